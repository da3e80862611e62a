"""COCO's numbers against COCO's own program, pycocotools, on made-up images full of equal scores and corner cases."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from detection_scenes import Scene, rows_of, scene, scored
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fnnet import metrics
from fnnet.boxes import Detections, Objects
from fnnet.metrics.detection.averages import COCO_RECALLS, VOC11_RECALLS, Curves, interpolated

pytestmark = pytest.mark.types

NAMES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
NAMES += ("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large")


class Ignoring(COCOeval):
    """COCO's program, without its overwriting of the mark of objects to ignore by that of crowds."""

    def _prepare(self):
        super()._prepare()
        for object_ in (object_ for group in self._gts.values() for object_ in group):
            object_["ignore"] = object_["iscrowd"] or object_["unasked"]


def xywh(box):
    return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]


def annotations(records, numbers):
    """The scene as COCO's lists of dicts."""
    found, there = records
    crowd, ignore = (np.zeros(there.valid.shape, bool) if x is None else x for x in (there.crowd, there.ignore))
    objects = [
        {
            "id": 1 + i * there.valid.shape[1] + j,
            "image_id": int(numbers[i]),
            "category_id": int(there.classes[i, j]),
            "bbox": xywh(there.boxes[i, j]),
            "area": float(np.prod(xywh(there.boxes[i, j])[2:]) if there.areas is None else there.areas[i, j]),
            "iscrowd": int(crowd[i, j]),
            "unasked": int(ignore[i, j]),
        }
        for i, j in np.argwhere(there.valid)
    ]
    detections = [
        {
            "image_id": int(numbers[i]),
            "category_id": int(found.classes[i, j]),
            "bbox": xywh(found.boxes[i, j]),
            "score": float(found.scores[i, j]),
        }
        for i, j in np.argwhere(found.valid)
    ]
    return objects, detections


def coco(records, classes, numbers=None, limits=(1, 10, 100)):
    """The twelve numbers of pycocotools, and the average precision of each class; NaN for its -1."""
    numbers = np.arange(len(records.objects.valid)) if numbers is None else numbers
    objects, detections = annotations(records, numbers)
    with contextlib.redirect_stdout(io.StringIO()):
        images, categories = [{"id": int(i)} for i in numbers], [{"id": label} for label in range(classes)]
        truth, nothing = COCO(), COCO()
        for data, entries in ((truth, objects), (nothing, [])):
            data.dataset = {"images": images, "categories": categories, "annotations": entries}
            data.createIndex()
        found = truth.loadRes(detections) if detections else nothing  # it cannot read an empty list
        evaluation = Ignoring(truth, found, "bbox")
        evaluation.params.maxDets = list(limits)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][..., 0, -1]
    per_class = np.where((precision > -1).all((0, 1)), precision.mean((0, 1)), np.nan)
    return np.where(evaluation.stats == -1, np.nan, evaluation.stats), per_class


def assert_same(records, classes, **options):
    image = options.get("numbers")
    value = scored(metrics.mean_average_precision(classes), records, image=image)
    stats, per_class = coco(records, classes, **options)
    assert tuple(value) == (*NAMES, "AP_per_class")
    np.testing.assert_allclose([value[name] for name in NAMES], stats, rtol=0, atol=1e-12)
    np.testing.assert_allclose(value["AP_per_class"], per_class, rtol=0, atol=1e-12)


KINDS = {
    "mixed": {},
    "no crowds, areas of the boxes": {"crowds": 0, "ignores": 0, "areas": False},
    "one image, one class": {"images": 1, "classes": 1, "objects": 6, "detections": 20},
    "all scores equal": {"levels": 1, "classes": 2},
    "scores all differ": {"levels": 0},
    "crowds": {"crowds": 0.7, "classes": 2},
    "classes that are absent": {"classes": 12, "objects": 2, "detections": 3},
    "many objects and detections": {"classes": 1, "images": 3, "objects": 15, "detections": 40},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", range(4))
def test_equals_pycocotools(kind, part):
    """All twelve numbers, and each class's, to 1e-12."""
    options = KINDS[kind]
    for seed in range(10 * part, 10 * part + 10):
        assert_same(scene(seed, **options), options.get("classes", 3))


def test_more_detections_than_count():
    """Of 160 detections an image and class, 100 are looked at: by score, of equal ones the first."""
    for seed in range(4):
        records = scene(seed, images=2, classes=1, objects=8, detections=160, levels=40)
        assert (records.detections.valid.sum(1) > 100).any()
        assert_same(records, 1)


def test_equal_scores_go_by_the_numbers_of_images():
    """Numbers out of order, and batches that come in any order, are taken as pycocotools takes them: by number."""
    metric = metrics.mean_average_precision(2)
    for seed in range(6):
        records = scene(seed, images=6, classes=2, levels=2)
        numbers = np.random.default_rng(seed).permutation(50)[:6]
        assert_same(records, 2, numbers=numbers)
        parts = [metric.update(metric.init(), *rows_of(records, [i]), image=numbers[[i]]) for i in range(6)]
        stats, _ = coco(records, 2, numbers=numbers)
        for order in ([0, 1, 2, 3, 4, 5], [3, 5, 0, 1, 4, 2]):
            value = metric.compute(sum((parts[i] for i in order), ()))
            np.testing.assert_allclose([value[name] for name in NAMES], stats, rtol=0, atol=1e-12)


def test_float32_boxes():
    """Boxes of arbitrary float32 corners, as a network gives them, are measured as in float64."""
    rng = np.random.default_rng(0)
    for seed in range(8):
        found, there = scene(seed)
        noise = rng.uniform(0, 0.3, found.boxes.shape)
        boxes = np.sort((found.boxes + noise).reshape(*noise.shape[:-1], 2, 2), -2).reshape(noise.shape)
        found = found._replace(boxes=boxes.astype(np.float32), scores=found.scores.astype(np.float32))
        assert_same(Scene(found, there._replace(boxes=there.boxes.astype(np.float32))), 3)


def test_the_bounds_of_areas_belong_to_both():
    """An object of 32² is small and medium, one of 96² medium and large; a detection's area is that of its box."""
    boxes = np.array([[[0.0, 0, 32, 32], [100, 0, 196, 96]]])
    labels, valid, scores = np.zeros((1, 2), int), np.ones((1, 2), bool), np.array([[0.9, 0.8]])
    records = Scene(Detections(boxes, scores, labels, valid), Objects(boxes, labels, valid))
    value = scored(metrics.mean_average_precision(1), records)
    np.testing.assert_allclose([value[f"AR_{name}"] for name in ("small", "medium", "large")], 1)
    assert_same(records, 1)


def test_a_worked_example():
    """Two of three objects found, a false positive between them: precision 1 up to recall 1/3, then 2/3, then 0."""
    there = np.array([[[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]])
    found = np.array([[[0.0, 0, 10, 10], [80, 0, 90, 10], [20, 0, 30, 10]]])
    labels, valid = np.zeros((1, 3), int), np.ones((1, 3), bool)
    records = Scene(Detections(found, np.array([[0.9, 0.8, 0.7]]), labels, valid), Objects(there, labels, valid))
    value = scored(metrics.mean_average_precision(1), records)
    # Of the points 0, .01 … 1, 34 are at most 1/3, 33 above it and at most 2/3.
    np.testing.assert_allclose(value["AP"], (34 + 33 * 2 / 3) / 101, rtol=1e-12)
    np.testing.assert_allclose([value["AR1"], value["AR10"]], [1 / 3, 2 / 3], rtol=1e-12)
    precision, recall, score = metrics.detection_curve(metrics.mean_average_precision(1).update((), *records), 0)
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(recall, [1 / 3, 1 / 3, 2 / 3])
    np.testing.assert_allclose(score, [0.9, 0.8, 0.7])


def test_an_overlap_of_1_is_asked_for_up_to_rounding():
    """At overlap 1, what lacks a part in 10¹⁰ of the area is enough, and a part in 10⁹ is not."""
    metric = metrics.mean_average_precision(1, overlaps=[1.0], areas={})
    for lack, expected in ((1e-11, 1), (1e-9, 0)):
        boxes, one = np.array([[0.0, 0, 1, 1]]), np.array([0])
        found = Detections(boxes * (1 - lack / 2), np.array([0.5]), one, one == 0)
        np.testing.assert_allclose(scored(metric, (found, Objects(boxes, one, one == 0)))["AR1"], expected)


def test_recalls_are_read_off_as_floats_compare():
    """The precision at a recall is that at the first hit whose recall, k / n in float64, is not less than it."""
    for recalls in (COCO_RECALLS, VOC11_RECALLS):
        for n in range(1, 400):
            precision = np.linspace(1, 0, n)
            curve = Curves(precision, np.zeros(n, int), np.arange(n), *(np.array(x) for x in ([[0]], [[n]], [n])))
            place = np.searchsorted(np.arange(1, n + 1) / n, recalls, side="left")
            assert interpolated(curve, recalls)[0, 0] == precision[place].mean(), n


@pytest.mark.parametrize("limits", [(2, 5, 7), (1, 3, 250)])
def test_other_limits(limits):
    """Recalls at other numbers of detections; all else is of the last (pycocotools' first number is of 100 alone)."""
    metric = metrics.mean_average_precision(1, max_detections=limits)
    for seed in range(6):
        records = scene(seed, classes=1, detections=30)
        value, (stats, _) = scored(metric, records), coco(records, 1, limits=limits)
        names = [name if not name[2:].isdigit() or "AP" in name else f"AR{limits[len(name) - 3]}" for name in NAMES]
        np.testing.assert_allclose([value[name] for name in names[1:]], stats[1:], rtol=0, atol=1e-12)
