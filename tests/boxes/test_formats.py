"""Formats go there and back, in shares and pixels, and bad boxes are named."""

from __future__ import annotations

import itertools
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from box_toys import drawn, pure

from fnnet import boxes
from fnnet.boxes.formats import Format
from fnnet.errors import DataError, DtypeError, ShapeError

pytestmark = pytest.mark.types

X = drawn(0, 2, 3)
FORMATS = get_args(Format)
close = np.testing.assert_allclose


def test_formats_are_those_of_their_names():
    """One box, worked by hand, in all three."""
    box = {"xyxy": [10, 20, 40, 60], "xywh": [10, 20, 30, 40], "cxcywh": [25, 40, 30, 40]}
    for source, target in itertools.product(FORMATS, FORMATS):
        got = boxes.convert(jnp.array(box[source], jnp.float32), source, target)
        assert got.tolist() == box[target]


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(FORMATS, 2)))
def test_there_and_back(source, target):
    """Law: convert(convert(x, s, t), t, s) = x up to rounding, and a way by the third is the straight one."""
    x = np.asarray(boxes.convert(X, "xyxy", source))
    there = boxes.convert(x, source, target)
    close(boxes.convert(there, target, source), x, rtol=1e-5, atol=1e-5)
    (third,) = set(FORMATS) - {source, target}
    close(boxes.convert(boxes.convert(x, source, third), third, target), there, rtol=1e-5, atol=1e-5)
    if "xyxy" not in (source, target):
        assert (there[..., 2:] == x[..., 2:]).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: boxes.convert(x, "xyxy", "cxcywh"),
        lambda x: boxes.normalize(x, (5, 7)),
        lambda x: boxes.to_pixels(x, (5, 7)),
        lambda x: boxes.clip(x, (5, 7)),
        boxes.area,
    ],
    ids=["convert", "normalize", "to_pixels", "clip", "area"],
)
def test_they_are_pure_compile_and_take_leading_axes(function):
    whole = pure(function, X)
    close(jax.vmap(jax.vmap(function))(jnp.asarray(X)), whole, rtol=1e-6)
    low = function(jnp.asarray(X, jnp.bfloat16))
    assert low.dtype == (jnp.float32 if low.ndim < X.ndim else jnp.bfloat16)


@pytest.mark.parametrize("name", FORMATS)
def test_shares_are_of_width_and_height(name):
    """Law: to_pixels(normalize(x)) = x; x and widths go by the width, y and heights by the height, in any format."""
    x = np.asarray(boxes.convert(X, "xyxy", name))
    shares = boxes.normalize(x, (5, 20))
    close(shares, x / np.array([20, 5, 20, 5]), rtol=1e-6)
    close(boxes.to_pixels(shares, (5, 20)), x, rtol=1e-6)
    close(boxes.convert(shares, name, "xyxy"), boxes.normalize(X, (5, 20)), rtol=1e-5, atol=1e-6)


def test_each_image_may_have_its_size():
    """Sizes (batch, 2) are those of boxes (batch, n, 4)."""
    sizes = np.array([[5.0, 20.0], [7.0, 3.0]], np.float32)
    for function in (boxes.normalize, boxes.to_pixels, boxes.clip):
        for row, x, size in zip(function(X, jnp.asarray(sizes)), X, sizes, strict=True):
            close(row, function(x, tuple(size)), rtol=1e-6)
    sizes[1] = 99.0
    boxes.check_boxes(X[:, :1] / 10, size=sizes)


def test_area_and_clip():
    """Area is width times height, 0 if inverted; a clipped box lies in the image, is unchanged within, and stays so."""
    close(boxes.area(X), np.prod(X[..., 2:] - X[..., :2], -1), rtol=1e-6)
    assert boxes.area(jnp.array([[2.0, 0.0, 1.0, 5.0], [2.0, 5.0, 1.0, 0.0], [1.0, 1.0, 1.0, 4.0]])).tolist() == [0] * 3
    clipped = boxes.clip(X - 4, (5, 7))
    assert (clipped >= 0).all()
    assert (clipped <= jnp.array([7.0, 5.0, 7.0, 5.0]).reshape(1, 1, 4)).all()
    assert (boxes.clip(clipped, (5, 7)) == clipped).all()
    assert (boxes.clip(X, (100, 100)) == X).all()
    assert float(boxes.area(boxes.clip(X + 50, (5, 7))).sum()) == 0


BAD = {
    "is not finite": [np.nan, 0, 2, 2],
    "is inverted": [3, 0, 2, 2],
    "is without area": [1, 0, 1, 2],
    "is outside the image of height 5 and width 7": [1, 0, 3, 6],
}


@pytest.mark.parametrize("problem", BAD)
def test_the_first_bad_box_is_named(problem):
    """Its numbers, its index, what is wrong with it, how many are bad, and what to do."""
    x = np.tile(np.array([1.0, 1.0, 2.0, 2.0]), (2, 3, 1))
    boxes.check_boxes(x, size=(5, 7))
    x[1, 1], x[1, 2] = BAD[problem], BAD["is not finite"]
    with pytest.raises(
        DataError, match=rf"here: box \[.*\] at index \(1, 1\) {problem} \(2 of 6 boxes are bad\)\n  Fix"
    ):
        boxes.check_boxes(x, size=(5, 7), where="here")
    with pytest.raises(DataError, match=rf"at index 1 {problem}"):
        boxes.check_boxes(x[1, :2], size=(5, 7))
    with pytest.raises(DataError, match=rf"boxes: box \S+, .*\] {problem}"):
        boxes.check_boxes(x[1, 1], size=(5, 7))
    boxes.check_boxes(x, size=(5, 7), valid=np.array([[True] * 3, [True, False, False]]))


def test_what_may_pass():
    """A box at the edges, no box, an empty one where allowed, one outside where no size is given; infinity never."""
    boxes.check_boxes(np.array([[0.0, 0.0, 7.0, 5.0]]), size=(5, 7))
    boxes.check_boxes(np.zeros((0, 4)), size=(5, 7))
    boxes.check_boxes(np.zeros((1, 4)), allow_empty=True)
    boxes.check_boxes(np.array([-9.0, -9.0, 99.0, 99.0]))
    with pytest.raises(DataError, match="not finite"):
        boxes.check_boxes(np.array([0.0, 0.0, np.inf, 1.0]))


@pytest.mark.untyped
def test_wrong_arguments():
    """Integers, another last axis, unknown formats, and sizes that are none."""
    for function in (boxes.area, boxes.check_boxes, lambda x: boxes.convert(x, "xyxy", "xywh")):
        with pytest.raises(DtypeError, match="floating-point, got int"):
            function(np.ones((2, 4), np.int32))
        with pytest.raises(ShapeError, match=r"shape \(..., 4\), got \(2, 5\)"):
            function(np.ones((2, 5), np.float32))
        with pytest.raises((ShapeError, DtypeError)):
            function(np.float32(1))
    with pytest.raises(DtypeError, match="must be real"):
        boxes.area(np.ones(4, np.complex64))
    with pytest.raises(ValueError, match="one of xyxy, xywh, cxcywh, got 'yxyx'"):
        boxes.convert(X, "xyxy", "yxyx")
    with pytest.raises(ValueError, match=r"normalize: height and width must be .* got \[0, 4\]"):
        boxes.normalize(X, (0, 4))
    with pytest.raises(ShapeError, match=r"\(height, width\).* got shape \(3,\)"):
        boxes.to_pixels(X, (1, 2, 3))
    with pytest.raises(ShapeError, match=r"leading axes of boxes \(2, 3, 4\), got shape \(3, 2\)"):
        boxes.clip(X, np.ones((3, 2)))
    with pytest.raises(ShapeError, match=r"valid must have the shape \(2, 3\) of the boxes, got \(3,\)"):
        boxes.check_boxes(X, valid=np.ones(3, bool))
