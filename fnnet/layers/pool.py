"""Pooling: the greatest or the mean of a window, or of all places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet.core import Layer, Masked, stateless
from fnnet.errors import ShapeError
from fnnet.layers.sequences import unpack
from fnnet.layers.windows import (
    Padding,
    Pairs,
    check_covered,
    check_dims,
    check_padding,
    check_spatial,
    pairs_of,
    spread,
    window_of,
)


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
    size, strides, padding = _window("max_pool", window, dims, stride, padding)

    def pool(x: Any) -> Any:
        values, mask = _unpack("max_pool", x, len(size))
        pairs = _pairs("max_pool", values, size, strides, padding)
        if mask is None:
            return _greatest(values, size, strides, pairs)
        low = jnp.asarray(-jnp.inf, values.dtype)
        real = _count(mask[..., None], values.dtype, size, strides, pairs) > 0
        y = _greatest(jnp.where(mask[..., None], values, low), size, strides, pairs)
        return Masked(jnp.where(real, y, jnp.zeros((), y.dtype)), real[..., 0])

    return stateless("max_pool", pool)


def avg_pool(
    window: int | Sequence[int] = 2,
    *,
    dims: int | None = None,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Layer:
    r"""Take the mean of each window, :math:`y_p = \frac1{|W_p|} \sum_{q \in W_p} x_{s p + q}`, feature by feature.

    Arguments, shapes and errors as for ``max_pool``. :math:`W_p` is what of the window lies within the input, so that
    padding does not pull the mean to zero (as in stax and Keras; flax and torch count the padding unless told).

    Law: a constant input gives that constant, whatever the padding.

    >>> fn.layers.avg_pool(2)({}, jnp.arange(16.0).reshape(4, 4, 1))[..., 0]
    Array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    size, strides, padding = _window("avg_pool", window, dims, stride, padding)

    def pool(x: Any) -> Any:
        values, mask = _unpack("avg_pool", x, len(size))
        pairs = _pairs("avg_pool", values, size, strides, padding)
        total = _total(values, size, strides, pairs)
        if mask is not None:
            count = _count(mask[..., None], values.dtype, size, strides, pairs)
            return Masked(total / jnp.maximum(count, 1), count[..., 0] > 0)
        if not any(sum(pair) for pair in pairs):
            return total / math.prod(size)
        inside = jnp.ones((1,) * (values.ndim - len(size) - 1) + values.shape[-len(size) - 1 : -1] + (1,), jnp.bool_)
        return total / _count(inside, values.dtype, size, strides, pairs)

    return stateless("avg_pool", pool)


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
    check_dims("global_pool", dims)

    def pool(x: Any) -> Array:
        values, mask = _unpack("global_pool", x, dims)
        axes = tuple(range(-1 - dims, -1))
        if mask is None:
            return values.mean(axes) if kind == "mean" else values.max(axes)
        real, zero = mask[..., None], jnp.zeros((), values.dtype)
        if kind == "mean":
            return values.sum(axes) / jnp.maximum(real.sum(axes), 1).astype(values.dtype)
        greatest = jnp.where(real, values, jnp.asarray(-jnp.inf, values.dtype)).max(axes)
        return jnp.where(real.any(axes), greatest, zero)

    return stateless("global_pool", pool)


def _window(
    where: str, window: int | Sequence[int], dims: int | None, stride: int | Sequence[int] | None, padding: Padding
) -> tuple[tuple[int, ...], tuple[int, ...], Padding]:
    size = window_of(where, "window", window, dims)
    strides = size if stride is None else spread(where, "stride", stride, len(size))
    padding = check_padding(where, padding, len(size), ("SAME", "VALID"))
    if not isinstance(padding, str) and any(max(pair) >= n for pair, n in zip(padding, size, strict=True)):
        raise ValueError(f"{where}: padding must be less than the window, {size}, got {padding}")
    return size, strides, padding


def _unpack(where: str, x: Any, dims: int) -> tuple[Array, Array | None]:
    """Return the values and the mask, None for an array."""
    if isinstance(x, Masked):
        if dims != 1:
            raise ShapeError(where, f"a Masked sequence has one spatial axis, got dims={dims}", "give dims=1.")
        return unpack(where, x)
    check_spatial(where, x, dims)
    return x, None


def _pairs(where: str, x: Array, size: tuple[int, ...], stride: tuple[int, ...], padding: Padding) -> Pairs:
    sizes = check_spatial(where, x, len(size))
    pairs = pairs_of(padding, sizes, size, stride)
    check_covered(where, sizes, size, pairs)
    return pairs


def _reduce(
    x: Array, start: float, function: Any, size: tuple[int, ...], stride: tuple[int, ...], pairs: Pairs
) -> Array:
    lead = x.ndim - len(size) - 1
    return jax.lax.reduce_window(
        x, start, function, (1,) * lead + size + (1,), (1,) * lead + stride + (1,), ((0, 0),) * lead + pairs + ((0, 0),)
    )


def _greatest(x: Array, size: tuple[int, ...], stride: tuple[int, ...], pairs: Pairs) -> Array:
    return _reduce(x, -jnp.inf, jax.lax.max, size, stride, pairs)


def _total(x: Array, size: tuple[int, ...], stride: tuple[int, ...], pairs: Pairs) -> Array:
    return _reduce(x, 0.0, jax.lax.add, size, stride, pairs)


def _count(inside: Array, dtype: Any, size: tuple[int, ...], stride: tuple[int, ...], pairs: Pairs) -> Array:
    """Return how many of each window's positions are inside."""
    return _total(inside.astype(dtype), size, stride, pairs)
