"""PASCAL VOC's average precision against its published rule, detection by detection in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from detection_scenes import Scene, scene, scored

from fnnet import metrics
from fnnet.boxes import Detections, Objects

pytestmark = pytest.mark.types


def overlap(a, b, edge):
    width = min(a[2], b[2]) - max(a[0], b[0]) + edge
    height = min(a[3], b[3]) - max(a[1], b[1]) + edge
    if width <= 0 or height <= 0:
        return -math.inf
    sizes = [(box[2] - box[0] + edge) * (box[3] - box[1] + edge) for box in (a, b)]
    return width * height / (sum(sizes) - width * height)


def decisions(records, label, least, edge):
    """Return (hits and misses down the scores, number of objects asked for); None where a detection is left out."""
    found, there = records
    objects = [
        [
            {"box": box.tolist(), "difficult": bool(difficult), "taken": False}
            for box, one, valid, difficult in zip(*rows, strict=True)
            if valid and one == label
        ]
        for rows in zip(there.boxes, there.classes, there.valid, there.ignore | there.crowd, strict=True)
    ]
    detections = [
        (-score, i, j)
        for i, j in np.argwhere(found.valid & (found.classes == label)).tolist()
        for score in (found.scores[i, j],)
    ]
    out = []
    for _, i, j in sorted(detections):
        best, most = None, -math.inf
        for object_ in objects[i]:
            share = overlap(found.boxes[i, j], object_["box"], edge)
            if share > most:
                best, most = object_, share
        if most < least:
            out.append(False)
        elif best["difficult"]:
            out.append(None)
        else:
            out.append(not best["taken"])
            best["taken"] = True
    return out, sum(not object_["difficult"] for image in objects for object_ in image)


def curve(out, objects):
    hits = misses = 0
    points = []
    for one in out:
        hits, misses = hits + (one is True), misses + (one is False)
        points.append((hits / objects, hits / (hits + misses) if hits + misses else 0.0))
    return points


def area_under(points):
    recall, precision = [0.0, *(r for r, _ in points), 1.0], [0.0, *(p for _, p in points), 0.0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i + 1] - recall[i]) * precision[i + 1] for i in range(len(recall) - 1))


def eleven(points):
    return sum(max((p for r, p in points if r >= k / 10), default=0.0) for k in range(11)) / 11


RULES = {"voc": area_under, "voc11": eleven}
KINDS = {
    "mixed": {},
    "many detections of an object": {"classes": 2, "objects": 5, "detections": 30},
    "all scores equal": {"levels": 1, "classes": 2},
    "difficult": {"ignores": 0.6, "crowds": 0},
    "classes that are absent": {"classes": 9, "objects": 2, "detections": 3},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", RULES)
@pytest.mark.parametrize("inclusive", [False, True])
def test_equals_the_rule(kind, style, inclusive):
    """Each class's average precision, the mean over those with objects, and the recall."""
    options = KINDS[kind]
    classes = options.get("classes", 3)
    metric = metrics.mean_average_precision(classes, style=style, inclusive=inclusive)
    for seed in range(12):
        records = scene(seed, **options)
        expected, found = np.full((2, classes), np.nan)
        for label in range(classes):
            out, objects = decisions(records, label, 0.5, float(inclusive))
            if objects:
                expected[label] = RULES[style](curve(out, objects))
                found[label] = out.count(True) / objects
        value = scored(metric, records)
        assert list(value) == ["AP", "AR", "AP_per_class"]
        np.testing.assert_allclose(value["AP_per_class"], expected, rtol=0, atol=1e-12)
        for name, each in (("AP", expected), ("AR", found)):
            known = each[~np.isnan(each)]
            np.testing.assert_allclose(value[name], known.mean() if known.size else np.nan, rtol=0, atol=1e-12)


def test_the_curve():
    """The curve of a class is that of the rule, without the detections that are left out."""
    for seed in range(12):
        records = scene(seed, levels=0)
        acc = metrics.mean_average_precision(3, style="voc").update((), *records)
        for label in range(3):
            out, objects = decisions(records, label, 0.6, 0.0)
            points = np.array(curve([one for one in out if one is not None], objects or math.nan)).reshape(-1, 2)
            precision, recall, score = metrics.detection_curve(acc, label, overlap=0.6, style="voc")
            np.testing.assert_allclose(precision, points[:, 1], rtol=1e-12)
            np.testing.assert_allclose(recall, points[:, 0], rtol=1e-12)
            assert (np.diff(score) < 0).all()


def line(found, there, scores, ignore=()):
    """One image of one class: boxes ten high that lie on a line, (from, to)."""

    def boxes(ends):
        return np.array([[a, 0, b, 10] for a, b in ends], float).reshape(-1, 4)

    def labels(ends):
        return np.zeros(len(ends), int), np.ones(len(ends), bool)

    ignored = np.isin(np.arange(len(there)), ignore)
    detections = Detections(boxes(found), np.array(scores, float), *labels(found))
    return Scene(detections, Objects(boxes(there), *labels(there), ignore=ignored))


def values(records, **options):
    return [
        scored(metrics.mean_average_precision(1, style=style, **options), records)["AP"] for style in ("voc", "voc11")
    ]


def test_worked_examples():
    """By hand: hit, miss, hit of four objects; a second claim; a difficult object; the edge of a pixel."""
    four = [(0, 10), (20, 30), (40, 50), (60, 70)]
    # Recall 1/4 at precision 1, 1/2 at 2/3: of eleven points, 0 to .2 and .3 to .5.
    np.testing.assert_allclose(values(line([(0, 10), (90, 99), (20, 30)], four, (0.9, 0.8, 0.7))), [5 / 12, 5 / 11])
    # The second detection overlaps most with the object that the first has taken, so that it is wrong, and the third
    # finds the other object at precision 2/3; by COCO's rule it takes the other, of which it covers enough.
    two = line([(0, 10), (1, 11), (3, 13)], [(0, 10), (3, 13)], (0.9, 0.8, 0.7))
    np.testing.assert_allclose(values(two), [1 / 2 + 1 / 3, (6 + 5 * 2 / 3) / 11])
    coco = metrics.mean_average_precision(1, overlaps=[0.5], areas={})
    np.testing.assert_allclose(scored(coco, two)["AP"], 1)
    # What is difficult is not asked for, and finding it, twice even, is not wrong.
    difficult = line([(0, 10), (0, 10), (20, 30)], [(0, 10), (20, 30)], (0.9, 0.8, 0.7), ignore=[0])
    np.testing.assert_allclose(values(difficult), 1)
    # 5 of 15 wide overlap by 1/3; pixels 0 … 9 and 5 … 14 do too, which are (0, 9) and (5, 14) in VOC's annotations.
    third = line([(0, 9)], [(5, 14)], (0.9,))
    third = Scene(*(part._replace(boxes=part.boxes - [0, 0, 0, 1]) for part in third))
    assert values(third, overlaps=[1 / 3], inclusive=True) == [1, 1]
    assert values(third, overlaps=[1 / 3]) == [0, 0]
