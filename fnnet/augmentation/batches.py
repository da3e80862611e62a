"""Batches of images: their checks, keys and ranges of what is drawn for their rows, and one transform of several."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from fnnet.core import Key
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.shapes import check_key
from fnnet.targets import check_value

Transform: TypeAlias = Callable[[Key, PyTree], PyTree]
"""A random change of a batch, ``transform(key, batch) -> batch``: pure, and compiled with the step."""

Range: TypeAlias = float | tuple[float, float]
"""From where a number is drawn, uniformly: r stands for the range of r to both sides of what changes nothing."""


def chain(*transforms: Transform) -> Transform:
    """Apply transforms one after another, each with a key of its own; of none, the batch stays as it is.

    Its own keys are folded from the key by place, so ``chain(a, b)`` draws for a what ``chain(a)`` does.
    Raises: TypeError for what is not a function.

    >>> turn = fn.augmentation.chain(fn.augmentation.flip(), fn.augmentation.rotation(10))
    >>> x, y = turn(jax.random.key(0), (jnp.ones((2, 8, 8, 3)), jnp.array([0, 1])))
    >>> x.shape, y.tolist()
    ((2, 8, 8, 3), [0, 1])
    """
    for transform in transforms:
        if not callable(transform):
            raise TypeError(f"chain: expected functions (key, batch) -> batch, got {transform!r}")

    def chained(key: Key, batch: PyTree) -> PyTree:
        for place, transform in enumerate(transforms):
            batch = transform(jax.random.fold_in(key, place), batch)
        return batch

    return chained


def opened(where: str, batch: PyTree, *, floating: bool) -> tuple[Array, PyTree, tuple[Array, ...]]:
    """Return the images (n, H, W, C) of a batch, its targets, and its weight as a tuple of one or none.

    Raises: DataError unless it is (x, y) or (x, y, weight); ShapeError unless x is (n, H, W, C); DtypeError if x is
    complex, or must be `floating` and is not.
    """
    if not isinstance(batch, tuple) or len(batch) not in (2, 3) or hasattr(batch, "_fields"):
        got = f"a tuple of {len(batch)}" if type(batch) is tuple else type(batch).__name__
        raise DataError(where, f"expected a batch (x, y) or (x, y, weight), got {got}", "pass a tuple of arrays.")
    x, y, *weight = batch
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        raise DtypeError(where, f"the images must be one array, got {type(x).__name__}", "pass x (n, H, W, C).")
    if len(x.shape) != 4 or 0 in x.shape:
        fix = "add the axis of channels, x[..., None]." if len(x.shape) == 3 else "put the channels last."
        raise ShapeError(where, f"the images must have shape (n, H, W, C), got {tuple(x.shape)}", fix)
    if jnp.issubdtype(x.dtype, jnp.complexfloating) or (floating and not jnp.issubdtype(x.dtype, jnp.floating)):
        fix = "cast them, e.g. x.astype(jnp.float32) / 255."
        raise DtypeError(where, f"the images must be real floating-point, got {x.dtype}", fix)
    return jnp.asarray(x), y, tuple(jnp.asarray(w) for w in weight)


def row_keys(where: str, key: Key, rows: int) -> Key:
    """Return a key for each row: that of row i is the same in a batch of any size."""
    return jax.vmap(jax.random.fold_in, (None, 0))(check_key(where, key, when=""), jnp.arange(rows))


def check_probability(where: str, value: Any) -> float:
    """Return `value` as a float; ValueError unless it is a number in [0, 1]."""
    check_value(where, "probability", value, "a number in [0, 1]", lambda p: 0 <= p <= 1)
    return float(value)


def span(
    where: str, name: str, value: Any, *, centre: float = 0.0, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    """Return (low, high) of a range; ValueError unless it is a number of at least 0, or a pair in order, within limits.

    >>> span("rotation", "degrees", 10), span("color", "contrast", 0.25, centre=1.0), span("color", "hue", (0, 0.1))
    ((-10.0, 10.0), (0.75, 1.25), (0.0, 0.1))
    """
    if isinstance(value, tuple | list):
        numbers, pair = tuple(value), len(value) == 2
    else:
        numbers, pair = (value,), False
    real = all(np.ndim(v) == 0 and np.asarray(v).dtype.kind in "iuf" and np.isfinite(v) for v in numbers)
    if not real or not (pair or len(numbers) == 1) or (not pair and numbers[0] < 0) or (pair and value[0] > value[1]):
        problem = f"{name} must be a number of at least 0, or a pair (low, high) in order"
        raise ValueError(f"{where}: {problem}, got {value!r}")
    low, high = (float(v) for v in (numbers if pair else (centre - numbers[0], centre + numbers[0])))
    if low < least or high > most:
        limits = f"at least {least:g}" if most == math.inf else f"within {least:g} … {most:g}"
        raise ValueError(f"{where}: the range of {name} must be {limits}, got {low:g} … {high:g}")
    return low, high


def check_ratios(where: str, name: str, value: Any, *, most: float = math.inf) -> tuple[float, float]:
    """Return a pair (low, high) of numbers above 0 and at most `most`; ValueError for anything else."""
    low, high = span(where, name, value, least=0.0, most=most) if isinstance(value, tuple | list) else (0.0, 0.0)
    if low <= 0:
        raise ValueError(f"{where}: {name} must be a pair (low, high) of numbers above 0, got {value!r}")
    return low, high


def as_fill(where: str, name: str, value: float, dtype: Any) -> np.ndarray:
    """Return what new places are filled with, in the dtype of the array; ValueError if integers cannot hold it."""
    if np.ndim(value) or not isinstance(value, int | float | np.number | np.ndarray):
        raise ValueError(f"{where}: {name} must be one number, got {value!r}")
    if not jnp.issubdtype(dtype, jnp.inexact):
        low, high = (0, 1) if dtype == jnp.bool_ else (jnp.iinfo(dtype).min, jnp.iinfo(dtype).max)
        if value != int(value) or not low <= value <= high:
            raise ValueError(f"{where}: {name} must be a whole number that {dtype} can hold, got {value!r}")
    return np.asarray(value).astype(dtype)


def units(key: Key, count: int, dtype: Any = jnp.float32) -> Float[Array, count]:
    """Draw numbers uniform in [0, 1), all of a row at once: each call would be a generator more to compile."""
    return jax.random.uniform(key, (count,), dtype)


def between(unit: Float[Array, ""], limits: tuple[float, float]) -> Float[Array, ""]:
    """Return the number that is so far from the lower to the upper limit; exactly the lower one if they are equal."""
    return limits[0] + unit * (limits[1] - limits[0])


def place(unit: Float[Array, ""], room: Any) -> Int[Array, ""]:
    """Return one of 0 … room - 1."""
    return jnp.minimum(jnp.floor(unit * jnp.asarray(room).astype(unit.dtype)).astype(jnp.int32), room - 1)
