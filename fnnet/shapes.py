"""Checks of shapes, sizes, dtypes and entries, and broadcasting that says which axes it means."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from fnnet.core import Key, Masked, Params, Shaped
from fnnet.errors import DtypeError, KeyMissingError, PathError, ShapeError


def check_count(where: str, name: str, value: Any, *, least: int = 1) -> int:
    """Return `value` as an int; ValueError unless it is a whole number of at least `least`.

    >>> check_count("dense", "features", 64 / 2)
    Traceback (most recent call last):
    ...
    ValueError: dense: features must be a whole number, got 32.0
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = None
    if count is None or isinstance(value, bool):
        raise ValueError(f"{where}: {name} must be a whole number, got {value!r}")
    if count < least:
        raise ValueError(f"{where}: {name} must be at least {least}, got {count}")
    return count


def check_floating(where: str, x: Shaped) -> None:
    """Raise DtypeError unless `x` is a floating-point or complex array."""
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        fix = f"wrap the layer: fn.compose.on_values({where}(...))." if isinstance(x, Masked) else "pass one array."
        raise DtypeError(where, f"the input must be an array, got {type(x).__name__}", fix)
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


def parameter(where: str, params: Params, name: str, shape: tuple[int | None, ...] | None = None) -> Any:
    """Return ``params[name]``; PathError, with what is there instead, if it is not there.

    Raises: ShapeError if it has not the `shape` given, in which None stands for any size.

    >>> parameter("dense", {"bias": jnp.ones(2)}, "kernel")
    Traceback (most recent call last):
    ...
    fnnet.errors.PathError: dense: the parameters must have the entry 'kernel', got 'bias' alone
      Fix: pass those that init of this same network made: net(params, x), with state.params of a TrainState.
    """
    fix = "pass those that init of this same network made: net(params, x), with state.params of a TrainState."
    if isinstance(params, Mapping) and name in params:
        if shape is not None and not _fits(found := jnp.shape(params[name]), shape):
            expected = str(tuple("_" if size is None else size for size in shape)).replace("'", "")
            raise ShapeError(where, f"the parameter {name!r} must have shape {expected}, got {found}", fix)
        return params[name]
    got = type(params).__name__
    if isinstance(params, Mapping):
        got = f"{', '.join(map(repr, params))} alone" if params else "none"
    raise PathError(
        where,
        f"the parameters must have the entry {name!r}, got {got}",
        fix,
    )


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(found) == len(shape) and all(b in (a, None) for a, b in zip(found, shape, strict=True))


def check_key(where: str, key: Key | None, *, when: str = " when train=True") -> Key:
    """Return `key`, or raise KeyMissingError if there is none, or something else in its place."""
    if key is None:
        fix = "pass key=jax.random.key(seed)" + (" to apply." if when else ".")
        raise KeyMissingError(where, f"needs a random key{when}, got key=None", fix)
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape != ():
        raise KeyMissingError(where, f"needs one random key, got an array of them of shape {shape}", "pass keys[0].")
    if dtype is None or not (jnp.issubdtype(dtype, jax.dtypes.prng_key) or (dtype == jnp.uint32 and shape == (2,))):
        got = repr(key) if dtype is None else f"an array of {dtype} of shape {shape}"
        raise KeyMissingError(where, f"needs a random key, got {got}", "pass jax.random.key(seed).")
    return key


def align(x: Array, like: Any, *, axis: int = -1) -> Array:
    """Return `x` with axes of size one added, so that its last axis meets axis `axis` of `like`.

    >>> align(jnp.ones(3), jnp.ones((2, 5, 3))).shape, align(jnp.ones(2), jnp.ones((2, 5, 3)), axis=0).shape
    ((1, 1, 3), (2, 1, 1))
    """
    after = like.ndim - 1 - axis % like.ndim
    before = like.ndim - after - x.ndim
    return x.reshape((1,) * before + x.shape + (1,) * after)


def spread(where: str, weight: ArrayLike, like: Array) -> Array:
    """Return `weight`, which belongs to the leading axes of `like`, in the shape of `like`.

    Raises: ShapeError if its axes are not those.

    >>> spread("data", jnp.array([1.0, 0.0]), jnp.ones((2, 3))).tolist()
    [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    w = jnp.asarray(weight)
    if w.shape != like.shape[: w.ndim]:
        problem = f"the weight must have the leading axes of {like.shape}, got {w.shape}"
        raise ShapeError(where, problem, "give one weight for each example, or one for each of its values.")
    return jnp.broadcast_to(align(w, like, axis=w.ndim - 1) if w.ndim else w, like.shape)
