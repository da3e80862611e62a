"""Objects of images are padded: nothing is lost, nothing is added, and what is wrong is named with its image."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from box_toys import drawn

from fnnet import boxes
from fnnet.boxes import Objects
from fnnet.errors import DataError, DtypeError, ShapeError

pytestmark = pytest.mark.types

SIZES = (3, 0, 2)
PAIRS = [(drawn(seed, n), np.arange(n) + seed) for seed, n in enumerate(SIZES)]


def of(boxes, classes, **beside):
    return Objects(boxes, classes, np.ones(len(boxes), bool), **beside)


def test_padding_keeps_every_object_in_its_place():
    """The valid objects of each image are those given, in their order; the rest is 0."""
    for count in (None, 5):
        objects = boxes.pad_objects(PAIRS, count)
        assert objects.boxes.shape == (3, count or 3, 4)
        assert objects.boxes.dtype == np.float32
        assert objects.classes.dtype == np.int32
        assert objects.valid.sum(-1).tolist() == list(SIZES)
        assert (objects.crowd, objects.ignore, objects.areas) == (None, None, None)
        for i, (x, classes) in enumerate(PAIRS):
            np.testing.assert_array_equal(objects.boxes[i][objects.valid[i]], x)
            np.testing.assert_array_equal(objects.classes[i][objects.valid[i]], classes)
        assert not objects.boxes[~objects.valid].any()
        assert not objects.classes[~objects.valid].any()
    assert boxes.pad_objects(PAIRS[1:2]).boxes.shape == (1, 0, 4)


def test_padding_twice_is_padding_once():
    """Law: images taken out of padded objects and padded again give these; more room adds padding alone."""
    images = [of(x, c, crowd=c == 2, areas=x[:, 0]) for x, c in PAIRS]
    padded = boxes.pad_objects(images)
    wide = boxes.pad_objects(images, 6)
    for source in (padded, wide):
        rows = [jax.tree.map(lambda field, i=i: field[i], source) for i in range(len(PAIRS))]
        jax.tree.map(np.testing.assert_array_equal, boxes.pad_objects(rows), padded)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:, :3], b), wide, padded)


def test_what_one_image_has_all_have():
    """No crowd, nothing ignored, and the areas of the boxes, where an image does not say."""
    (a, none, b), (x, y) = PAIRS, (PAIRS[0][0], PAIRS[2][0])
    images = [of(*a, crowd=np.array([False, True, False])), none, of(*b, areas=np.array([7.0, 8.0]), ignore=[True] * 2)]
    objects = boxes.pad_objects(images)
    assert objects.crowd.tolist() == [[False, True, False], [False] * 3, [False] * 3]
    assert objects.ignore.tolist() == [[False] * 3, [False] * 3, [True, True, False]]
    np.testing.assert_allclose(objects.areas[0], boxes.area(x), rtol=1e-6)
    assert objects.areas[2].tolist() == [7, 8, 0]
    assert objects.areas.dtype == y.dtype


def test_dtypes():
    """Boxes stay in float64 where one image is; an image without objects has no say in it."""
    assert boxes.pad_objects([PAIRS[0], (np.zeros((0, 4)), np.zeros(0))]).boxes.dtype == np.float32
    assert boxes.pad_objects([PAIRS[0], (np.ones((1, 4)), np.zeros(1, int))]).boxes.dtype == np.float64


@pytest.mark.untyped
def test_what_is_wrong_is_named_with_its_image():
    good, x = PAIRS[0], drawn(9, 2)
    for images, count, error, problem in [
        ([], None, DataError, "at least one image"),
        (PAIRS, 2, DataError, r"image 0 has 3 objects.*count=2.*\n  Fix: pass count=3"),
        ([good, (x, np.zeros(3, int))], None, ShapeError, r"image 1: for 2 boxes, classes must have shape \(2,\)"),
        ([good, (x[0], np.zeros(4, int))], None, ShapeError, r"image 1: boxes must have shape \(n, 4\), got \(4,\)"),
        ([(x[:, :3], np.zeros(2, int))], None, ShapeError, r"got \(2, 3\)"),
        ([(x.astype(int), np.zeros(2, int))], None, DtypeError, "floating-point, got int64"),
        ([good, (x, np.zeros(2))], None, DtypeError, "image 1: classes must be integers, got float64"),
        ([of(x, np.zeros(2, int), crowd=np.zeros(3, bool))], None, ShapeError, "crowd must have shape"),
        ([x], None, ShapeError, r"expected Objects or \(boxes, classes\), got ndarray"),
        (PAIRS, 2.5, ValueError, "count must be a whole number"),
    ]:
        with pytest.raises(error, match=f"(?s){problem}"):
            boxes.pad_objects(images, count)
