"""COCO's JSON of results: pycocotools takes it, it comes back, and mistakes are named by their place."""

from __future__ import annotations

import json

import numpy as np
import pytest
from object_scenes import scenes
from pycocotools.coco import COCO

import fnnet as fn
from fnnet.boxes import Detections
from fnnet.data import read_coco_results, write_coco, write_coco_results
from fnnet.errors import DataError, ReadError, ShapeError

ANNOTATIONS = scenes(0)


def found(seed, images=6, count=4, dtype=np.float32):
    rng = np.random.default_rng(seed)
    start = (rng.random((images, count, 2)) * 40 - 5).astype(dtype)
    sides = (rng.random((images, count, 2)) * 20).astype(dtype)
    scores = rng.random((images, count)).astype(dtype)
    labels = rng.integers(0, 4, (images, count)).astype(np.int32)
    return Detections(np.concatenate([start, start + sides], -1), scores, labels, rng.random((images, count)) < 0.7)


@pytest.mark.types
@pytest.mark.parametrize("padded", [True, False])
def test_what_was_found_comes_back(tmp_path, padded):
    given = found(0)
    rows = [Detections._make(field[n] for field in given) for n in range(6)]
    write_coco_results(tmp_path / "r.json", ANNOTATIONS, given if padded else rows)
    back = read_coco_results(tmp_path / "r.json", ANNOTATIONS)
    for got, expected in zip(back, rows, strict=True):
        assert got.valid.all()
        for name in ("boxes", "scores", "classes"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name)[expected.valid])


def test_pycocotools_takes_it(tmp_path, capsys):
    given = found(1)
    write_coco(tmp_path / "a.json", ANNOTATIONS)
    write_coco_results(tmp_path / "r.json", ANNOTATIONS, given)
    theirs = COCO(tmp_path / "a.json").loadRes(str(tmp_path / "r.json"))
    for place, image_id in enumerate(ANNOTATIONS.image_ids):
        entries = theirs.imgToAnns[image_id]
        kept = given.valid[place]
        assert [one["score"] for one in entries] == given.scores[place][kept].tolist()
        labels = [ANNOTATIONS.category_ids[label] for label in given.classes[place][kept]]
        assert [one["category_id"] for one in entries] == labels
    capsys.readouterr()


ENTRY = {"image_id": ANNOTATIONS.image_ids[0], "category_id": 90, "bbox": [0, 0, 1, 1], "score": 0.5}
MISTAKES = {
    "object": ({"a": 1}, r"the file.*must be a list, got an object"),
    "entry": ([ENTRY, 3], r"\[1\].*must be an object, got a number, 3"),
    "image": ([ENTRY | {"image_id": -1}], r"\[0\]\.image_id.*the annotations have no image_id -1"),
    "category": ([ENTRY | {"category_id": 1}], r"\[0\]\.category_id.*the annotations have no category_id 1"),
    "side": ([ENTRY | {"bbox": [0, 0, -1, 1]}], r"\[0\]\.bbox.*must have sides of at least 0"),
    "box": ([ENTRY | {"bbox": [0, 0, 1e308, 1], "score": "x"}], r"\[0\]\.score.*must be a number, got text, 'x'"),
    "no score": ([{name: ENTRY[name] for name in ("image_id", "category_id", "bbox")}], r"\[0\].*has no 'score'"),
}


@pytest.mark.parametrize(("value", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named_by_their_place(tmp_path, value, said):
    (tmp_path / "r.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match=said) as raised:
        read_coco_results(tmp_path / "r.json", ANNOTATIONS)
    assert "r.json" in str(raised.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "r.json").write_text("[")
    with pytest.raises(ReadError, match=r"r\.json: is not valid JSON"):
        read_coco_results(tmp_path / "r.json", ANNOTATIONS)
    with pytest.raises(ReadError, match=r"r\.json: has more than 0 bytes"):
        read_coco_results(tmp_path / "r.json", ANNOTATIONS, limit=0)


def test_what_cannot_be_read_back_is_not_written(tmp_path):
    good = found(2)
    everywhere = good._replace(valid=np.ones((6, 4), bool))
    for change, error, said in (
        (everywhere._replace(scores=good.scores * np.nan), DataError, "boxes and scores must be finite"),
        (everywhere._replace(boxes=good.boxes[..., ::-1] - [0, 0, 99, 99]), DataError, "a box is inverted"),
        (everywhere._replace(classes=good.classes + 4), DataError, "classes must be from 0 to 3, got 4 to 7"),
        (good._replace(boxes=good.boxes[..., :3]), ShapeError, r"image 0: expected boxes \(k, 4\)"),
        (Detections._make(field[:2] for field in good), ShapeError, "the detections of 6 images, got 2"),
    ):
        with pytest.raises(error, match=said):
            write_coco_results(tmp_path / "r.json", ANNOTATIONS, change)
    assert not list(tmp_path.iterdir())
    hidden = good._replace(valid=np.zeros((6, 4), bool), scores=good.scores * np.nan)
    write_coco_results(tmp_path / "r.json", ANNOTATIONS, hidden)
    assert all(len(row.boxes) == 0 for row in fn.data.read_coco_results(tmp_path / "r.json", ANNOTATIONS))
