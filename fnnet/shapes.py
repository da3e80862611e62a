"""Checks of shapes and dtypes, and broadcasting that says which axes it means."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from fnnet.core import Key, Shaped
from fnnet.errors import DtypeError, KeyMissingError, ShapeError


def check_floating(where: str, x: Shaped) -> None:
    """Raise DtypeError unless `x` is a floating-point or complex array."""
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        raise DtypeError(where, f"the input must be an array, got {type(x).__name__}", "pass one array.")
    if not jnp.issubdtype(dtype, jnp.inexact):
        raise DtypeError(
            where, f"the input must be floating-point, got {dtype}", "cast it, e.g. x.astype(jnp.float32)."
        )


def check_rank(where: str, x: Shaped, least: int, layout: str) -> None:
    """Raise ShapeError if `x` has fewer than `least` axes; `layout` names them, e.g. ``(..., H, W, C)``."""
    if len(x.shape) < least:
        raise ShapeError(where, f"the input must have shape {layout}, got {tuple(x.shape)}", "add the missing axes.")


def check_last_axis(where: str, x: Shaped, size: int) -> None:
    """Raise unless `x` is floating-point and its last axis has the `size` seen at init."""
    check_floating(where, x)
    if len(x.shape) < 1 or x.shape[-1] != size:
        raise ShapeError(
            where,
            f"the last axis of the input must be {size} (as at init), got shape {tuple(x.shape)}",
            f"pass arrays of shape (..., {size}), or initialise the network again with an example of this shape.",
        )


def check_key(where: str, key: Key | None) -> Key:
    """Return `key`, or raise KeyMissingError if there is none."""
    if key is None:
        raise KeyMissingError(
            where, "needs a random key when train=True, got key=None", "pass key=jax.random.key(seed) to apply."
        )
    return key


def align(x: Array, like: Any, *, axis: int = -1) -> Array:
    """Return `x` with axes of size one added, so that its last axis meets axis `axis` of `like`.

    >>> align(jnp.ones(3), jnp.ones((2, 5, 3))).shape, align(jnp.ones(2), jnp.ones((2, 5, 3)), axis=0).shape
    ((1, 1, 3), (2, 1, 1))
    """
    after = like.ndim - 1 - axis % like.ndim
    before = like.ndim - after - x.ndim
    return x.reshape((1,) * before + x.shape + (1,) * after)


def at_least_float32(dtype: Any) -> Any:
    """Return the dtype to compute in where 16 bits are too few: float32 for narrower floats, else `dtype`.

    >>> at_least_float32(jnp.bfloat16), at_least_float32(jnp.dtype("float32"))
    (dtype('float32'), dtype('float32'))
    """
    dtype = jnp.dtype(dtype)
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.dtype(jnp.float32)
