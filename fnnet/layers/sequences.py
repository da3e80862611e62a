"""Sequences of unequal lengths: what a ``Masked`` holds, put back, and reduced over its real steps."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from fnnet.core import Layer, Masked, Shaped, stateless
from fnnet.dtypes import at_least_float32, dtype_of
from fnnet.errors import DtypeError, ShapeError
from fnnet.shapes import check_floating, check_rank


def values_of(x: Shaped) -> Shaped:
    """Return the values of a ``Masked``, or the array itself."""
    return x.values if isinstance(x, Masked) else x


def unpack(where: str, x: Array | Masked) -> tuple[Array, Array | None]:
    """Return the values, zero at padding whatever it held (NaN too), and the mask, None for an array.

    Raises: ShapeError unless values are (..., time, features) and the mask (..., time); DtypeError unless values are
    floating-point and the mask boolean.
    """
    values = values_of(x)
    check_floating(where, values)
    check_rank(where, values, 2, "(..., time, features)")
    if not isinstance(x, Masked):
        return values, None
    if x.mask.shape != values.shape[:-1]:
        raise ShapeError(
            where,
            f"the mask must have shape {values.shape[:-1]}, that of the values but for features, got {x.mask.shape}",
            "pass Masked(values of (..., time, features), mask of (..., time)).",
        )
    if x.mask.dtype != jnp.bool_:
        raise DtypeError(where, f"the mask must be boolean, got {x.mask.dtype}", "pass mask != 0, True where real.")
    return jnp.where(x.mask[..., None], values, jnp.zeros((), dtype_of(values))), x.mask


def repack(values: Array, like: Array | Masked) -> Array | Masked:
    """Return `values` as what `like` is: an array, or a ``Masked`` of its mask."""
    return Masked(values, like.mask) if isinstance(like, Masked) else values


def mean_of_real(values: Array, mask: Array) -> Array:
    """Return the mean over the real steps of unpacked `values`, zeros where there are none; summed in float32 at least.

    >>> mean_of_real(jnp.array([[2.0], [4.0], [0.0]]), jnp.array([True, True, False]))
    Array([3.], dtype=float32)
    """
    wide = at_least_float32(values.dtype)
    count = jnp.maximum(mask.sum(-1, keepdims=True), 1).astype(wide)
    return (values.astype(wide).sum(-2) / count).astype(values.dtype)


def last_step() -> Layer:
    """Take the last real step of each sequence.

    Shapes: ``(..., time, features) -> (..., features)``; a sequence without real steps gives zeros.
    Raises: ShapeError for arrays without a time axis, or a mask of another shape.

    >>> x = fn.Masked(jnp.array([[1.0], [2.0], [9.0]]), jnp.array([True, True, False]))
    >>> fn.layers.last_step()({}, x)
    Array([2.], dtype=float32)
    """

    def take(x: Any) -> Array:
        values, mask = unpack("last_step", x)
        if mask is None:
            return values[..., -1, :]
        last = mask.shape[-1] - 1 - jnp.argmax(jnp.flip(mask, -1), axis=-1)  # zeros there if no step is real
        return jnp.take_along_axis(values, last[..., None, None], axis=-2)[..., 0, :]

    return stateless("last_step", take)


def mean_step() -> Layer:
    """Take the mean of the real steps of each sequence.

    Shapes: ``(..., time, features) -> (..., features)``; a sequence without real steps gives zeros.
    Raises: ShapeError for arrays without a time axis, or a mask of another shape.

    >>> x = fn.Masked(jnp.array([[1.0], [2.0], [9.0]]), jnp.array([True, True, False]))
    >>> fn.layers.mean_step()({}, x)
    Array([1.5], dtype=float32)
    """

    def take(x: Any) -> Array:
        values, mask = unpack("mean_step", x)
        if mask is None:
            return values.mean(-2)
        return mean_of_real(values, mask)

    return stateless("mean_step", take)
