"""Masks as runs, to the bit as pycocotools has them; polygons by the rule of the centre, held to brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

import fnnet as fn
from fnnet.data import Runs, decode_mask, encode_mask
from fnnet.data.images import outlines
from fnnet.data.images.outlines import from_text, to_text
from fnnet.errors import DataError, DtypeError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(mask=MASKS)
def test_runs_are_those_of_pycocotools(mask):
    """There and back gives the mask; the compressed text is its, to the letter."""
    runs = encode_mask(mask)
    np.testing.assert_array_equal(decode_mask(runs), mask)
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert to_text(runs.counts) == theirs["counts"].decode()
    np.testing.assert_array_equal(from_text("counts", to_text(runs.counts)), runs.counts)
    counts = coco.frPyObjects({"size": list(mask.shape), "counts": runs.counts.tolist()}, *mask.shape)
    np.testing.assert_array_equal(coco.decode(counts).astype(bool), mask)


@given(counts=st.lists(st.integers(0, 2**31 - 1), max_size=9))
def test_text_holds_any_runs(counts):
    assert from_text("counts", to_text(counts)).tolist() == counts if counts else to_text(counts) == ""


@given(text=st.text(max_size=20))
def test_any_text_is_runs_or_an_error(text):
    try:
        counts = from_text("counts", text)
    except DataError:
        return
    assert (counts >= 0).all()


def polygon(rng, points=7):
    return rng.random((points, 2)) * [36, 26] - 3


def inside_by_brute_force(points, height, width):
    """Count the crossings of a ray to the left of each centre, one edge after another."""
    mask = np.zeros((height, width), bool)
    for row, column in np.ndindex(height, width):
        x, y = column + 0.5, row + 0.5
        for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, 0), strict=True):
            if (y1 <= y) != (y2 <= y) and x1 + (y - y1) * (x2 - x1) / (y2 - y1) <= x:
                mask[row, column] ^= True
    return mask


@pytest.mark.parametrize("seed", range(6))
def test_polygons_hold_the_centres_that_are_inside(seed, monkeypatch):
    """Even-odd for each, the union of all; and however few crossings are found at a time."""
    rng = np.random.default_rng(seed)
    parts = tuple(polygon(rng) for _ in range(2))
    expected = inside_by_brute_force(parts[0], 20, 30) | inside_by_brute_force(parts[1], 20, 30)
    np.testing.assert_array_equal(decode_mask(parts, (20, 30)), expected)
    monkeypatch.setattr(outlines, "_CROSSINGS", 3)
    np.testing.assert_array_equal(decode_mask(parts, (20, 30)), expected)


def test_corners_and_whole_pixels():
    """A polygon through pixels' corners holds just those; one that shares an edge with another holds the rest."""
    square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]])
    assert decode_mask((square,), (5, 6)).sum() == 6
    left, right = square * [0.5, 1.0], np.array([[2.0, 1.0], [4.0, 1.0], [4.0, 3.0], [2.0, 3.0]])
    assert not (decode_mask((left,), (5, 6)) & decode_mask((right,), (5, 6))).any()


@pytest.mark.parametrize("seed", range(3))
def test_polygons_are_near_those_of_pycocotools(seed):
    """Which draws borders by a rule of its own: the masks differ along them alone."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.random(9)) * 2 * np.pi
    points = np.stack([70 + 50 * np.cos(angles), 60 + 50 * np.sin(angles)], 1)
    mine = decode_mask((points,), (128, 140))
    theirs = coco.decode(coco.frPyObjects([points.ravel().tolist()], 128, 140))[..., 0].astype(bool)
    border = np.abs(np.diff(mine.astype(int), axis=1, prepend=0)) + np.abs(np.diff(mine.astype(int), axis=0, prepend=0))
    assert (mine ^ theirs).sum() <= border.sum()
    assert (mine & theirs).sum() / (mine | theirs).sum() > 0.95


MISTAKES = {
    "size": (Runs(np.array([6]), (2, 3)), DataError, "is a mask of 2 × 3 .*, and the image is 3 × 3"),
    "sum": (Runs(np.array([4, 4]), (3, 3)), DataError, "must fill 9 pixels, got 8"),
    "below 0": (Runs(np.array([-1, 10]), (3, 3)), DataError, "whole numbers of at least 0"),
    "floats": (Runs(np.array([9.0]), (3, 3)), DataError, "whole numbers of at least 0"),
    "points": ((np.ones((2, 2)),), ShapeError, r"must have shape \(points, 2\), got \(2, 2\)"),
    "flat": ((np.ones(6),), ShapeError, r"must have shape \(points, 2\), got \(6,\)"),
    "nan": ((np.full((3, 2), np.nan),), DataError, "points of a polygon must be finite"),
    "none": ((), DataError, "must have at least one polygon"),
}


@pytest.mark.parametrize(("outline", "error", "said"), MISTAKES.values(), ids=MISTAKES)
def test_outlines_that_are_none(outline, error, said):
    with pytest.raises(error, match=said):
        decode_mask(outline, (3, 3))


def test_masks_that_are_none():
    with pytest.raises(DtypeError, match="a mask must be of booleans, got int64"):
        encode_mask(np.ones((2, 2), np.int64))
    with pytest.raises(ShapeError, match=r"shape \(height, width\), got \(2,\)"):
        encode_mask(np.ones(2, bool))
    with pytest.raises(ValueError, match="polygons need the size"):
        decode_mask((np.ones((3, 2)),))
    with pytest.raises(ValueError, match="has more than 67108864 pixels"):
        fn.data.decode_mask((np.ones((3, 2)),), (2**20, 2**20))


@pytest.mark.parametrize("text", ["", "~", "P", "é", "0PPPPPPPP0", "1M"])
def test_text_that_is_no_mask(text):
    with pytest.raises(DataError, match="counts: is not a compressed mask"):
        from_text("counts", text)
