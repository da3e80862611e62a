"""Layers that only give the trailing axes another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jaxtyping import Array

from fnnet.core import Layer, stateless
from fnnet.errors import ShapeError
from fnnet.shapes import check_count


def flatten(axes: int = 3) -> Layer:
    """Make the last `axes` axes one; those before are batch, and stay.

    Shapes: (..., height, width, features) -> (..., height · width · features) as it is; ``flatten(2)`` for images
    without an axis of features, or for sequences. Other libraries flatten all axes but the first, whatever they are:
    here one image and a batch of batches of them are flattened alike.
    Raises: ValueError if ``axes < 1``; ShapeError for fewer axes.

    >>> fn.layers.flatten()({}, jnp.ones((5, 28, 28, 3))).shape, fn.layers.flatten(2)({}, jnp.ones((5, 28, 28))).shape
    ((5, 2352), (5, 784))
    """
    return _reshape("flatten", (-1,), axes)


def reshape(shape: Sequence[int], *, axes: int = 1) -> Layer:
    """Give the last `axes` axes the shape `shape`, in row-major order; those before are batch, and stay.

    One size may be -1: what is left.
    Law: ``reshape(s, axes=k)`` then ``reshape(t, axes=len(s))`` is the identity if t are the k axes that were there.
    Raises: ValueError for sizes less than 1, or ``axes < 1``; ShapeError if the numbers of elements differ.

    >>> fn.layers.reshape((7, 7, -1))({}, jnp.ones((5, 98))).shape
    (5, 7, 7, 2)
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    if not sizes or sizes.count(-1) > 1:
        raise ValueError(f"reshape: shape must be sizes, of which one may be -1, such as (7, 7, -1), got {shape!r}")
    for size in sizes:
        if size != -1:
            check_count("reshape", "a size (but one of -1)", size)
    return _reshape("reshape", sizes, axes)


def _reshape(where: str, sizes: tuple[int, ...], axes: int) -> Layer:
    check_count(where, "axes", axes)
    known = math.prod(n for n in sizes if n != -1)

    def function(x: Any) -> Array:
        old = x.shape[max(x.ndim - axes, 0) :]
        count = math.prod(old)
        if x.ndim < axes:
            raise ShapeError(
                where, f"the input must have at least {axes} axes, got shape {x.shape}", f"give axes={x.ndim} or fewer."
            )
        if count % known or (-1 not in sizes and count != known):
            raise ShapeError(
                where,
                f"the last {axes} axes of the input, {old}, must have as many elements as {sizes}, got {count}",
                "change the shape, or axes.",
            )
        return x.reshape(*x.shape[: x.ndim - axes], *(count // known if n == -1 else n for n in sizes))

    return stateless(where, function)
