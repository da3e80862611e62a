"""Pooling: the greatest or the mean of a window, or of all places."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array

from fnnet.core import Layer, Masked, stateless
from fnnet.dtypes import at_least_float32, dtype_of
from fnnet.errors import ShapeError
from fnnet.layers.sequences import mean_of_real, unpack
from fnnet.layers.sliding import greatest, total
from fnnet.layers.windows import (
    Padding,
    check_covered,
    check_padding,
    check_spatial,
    for_each_axis,
    pairs_of,
    window_of,
)
from fnnet.shapes import check_count

Slide: TypeAlias = Callable[[Array, Callable[..., Array]], Array]
"""``slide(x, function)``: `x` reduced by ``greatest`` or ``total`` over each window."""


def max_pool(
    window: int | Sequence[int] = 2,
    *,
    dims: int | None = None,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Layer:
    r"""Take the greatest value of each window, :math:`y_{p} = \max_q x_{s p + q}`, feature by feature.

    Shapes: (..., \*space, features) -> (..., \*new space, features), with `dims` spatial axes: as many as `window` has
    numbers; two if it is an int, unless `dims` is given. `stride` is the window unless given (as in torch and Keras;
    flax's is 1). `padding`: ``"VALID"``, ``"SAME"`` (new size = ⌈size / stride⌉), or pairs (before, after): what is
    padded is never the greatest. Ties: the gradient goes to the first.

    A ``Masked`` sequence (`dims` = 1) gives one: padding is left out, and a window is real if any of its steps is;
    zeros where none is.
    Raises: ValueError for numbers out of range, among them padding as large as the window; ShapeError for too few axes
    or a window that does not fit; DtypeError for integers.

    >>> fn.layers.max_pool(2)({}, jnp.arange(16.0).reshape(4, 4, 1))[..., 0]
    Array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """

    def pooled(values: Array, places: Array, mask: Array | None, slide: Slide) -> Any:
        if mask is None:
            return slide(values, greatest)
        low, zero = jnp.asarray(-jnp.inf, values.dtype), jnp.zeros((), values.dtype)
        real = slide(places.astype(jnp.float32), greatest) > 0
        y = slide(jnp.where(places, values, low), greatest)
        return Masked(jnp.where(real, y, zero), real[..., 0])

    return _pool("max_pool", pooled, window, dims, stride, padding)


def avg_pool(
    window: int | Sequence[int] = 2,
    *,
    dims: int | None = None,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Layer:
    r"""Take the mean of each window, :math:`y_p = \frac1{|W_p|} \sum_{q \in W_p} x_{s p + q}`, feature by feature.

    Arguments, shapes and errors as for ``max_pool``. :math:`W_p` is what of the window lies within the input, so that
    padding does not pull the mean to zero (as in stax and Keras; flax and torch count the padding unless told). Sums
    are in float32 at least.

    Law: a constant input gives that constant, whatever the padding.

    >>> fn.layers.avg_pool(2)({}, jnp.arange(16.0).reshape(4, 4, 1))[..., 0]
    Array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """

    def mean(values: Array, places: Array, mask: Array | None, slide: Slide) -> Any:
        wide = at_least_float32(values.dtype)
        count = slide(places.astype(wide), total)
        y = (slide(values.astype(wide), total) / jnp.maximum(count, 1)).astype(dtype_of(values))
        return y if mask is None else Masked(y, count[..., 0] > 0)

    return _pool("avg_pool", mean, window, dims, stride, padding)


def global_pool(kind: Literal["mean", "max"] = "mean", *, dims: int = 2) -> Layer:
    """Take the mean, or the greatest, over all `dims` spatial axes, feature by feature.

    Shapes: (..., *space, features) -> (..., features). A ``Masked`` sequence (`dims` = 1) gives an array: the mean or
    the greatest of its real steps; zeros if it has none.
    Raises: ValueError for another `kind` or ``dims < 1``; ShapeError for too few axes; DtypeError for integers.

    >>> fn.layers.global_pool("max", dims=1)({}, jnp.array([[1.0, 5.0], [3.0, 2.0]]))
    Array([3., 5.], dtype=float32)
    """
    if kind not in ("mean", "max"):
        raise ValueError(f"global_pool: kind must be 'mean' or 'max', got {kind!r}")
    check_count("global_pool", "dims", dims)

    def pool(x: Any) -> Array:
        values, mask = _unpack("global_pool", x, dims)
        axes = tuple(range(-1 - dims, -1))
        if kind == "mean":
            return values.mean(axes) if mask is None else mean_of_real(values, mask)
        if mask is None:
            return values.max(axes)
        real = mask[..., None]
        greatest = jnp.where(real, values, jnp.asarray(-jnp.inf, values.dtype)).max(axes)
        return jnp.where(real.any(axes), greatest, jnp.zeros((), values.dtype))

    return stateless("global_pool", pool)


def _pool(
    where: str,
    reduce: Callable[[Array, Array, Array | None, Slide], Any],
    window: int | Sequence[int],
    dims: int | None,
    stride: int | Sequence[int] | None,
    padding: Padding,
) -> Layer:
    """Return the layer ``reduce(values, places, mask, slide)``; `slide` reduces an array over each of its windows.

    `places`, of shape (..., *space, 1), are True where an input is real: at the mask's steps, or everywhere.
    """
    size = window_of(where, "window", window, dims)
    strides = size if stride is None else for_each_axis(where, "stride", stride, len(size))
    padding = check_padding(where, padding, len(size), ("SAME", "VALID"))
    if not isinstance(padding, str) and any(max(pair) >= n for pair, n in zip(padding, size, strict=True)):
        raise ValueError(f"{where}: padding must be less than the window, {size}, got {padding}")

    def pool(x: Any) -> Any:
        values, mask = _unpack(where, x, len(size))
        sizes = check_spatial(where, values, len(size))
        pairs = pairs_of(padding, sizes, size, strides)
        check_covered(where, sizes, size, pairs)

        def slide(x: Array, function: Callable[..., Array]) -> Array:
            lead = x.shape[: x.ndim - len(size) - 1]
            y = function(x.reshape(math.prod(lead), *x.shape[len(lead) :]), size, strides, pairs)
            return y.reshape(*lead, *y.shape[1:])

        # Without a mask all examples have the same places.
        places = (
            jnp.ones((1,) * (values.ndim - len(size) - 1) + sizes + (1,), bool) if mask is None else mask[..., None]
        )
        return reduce(values, places, mask, slide)

    return stateless(where, pool)


def _unpack(where: str, x: Any, dims: int) -> tuple[Array, Array | None]:
    """Return the values and the mask, None for an array."""
    if isinstance(x, Masked):
        if dims != 1:
            raise ShapeError(where, f"a Masked sequence has one spatial axis, got dims={dims}", "give dims=1.")
        return unpack(where, x)
    check_spatial(where, x, dims)
    return x, None
