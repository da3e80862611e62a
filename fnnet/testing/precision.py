"""Float64 for a while, and slopes by finite differences in it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

STEP = 1e-6  # of the differences


def x64() -> Any:
    """Return the context in which arrays of float64 can be made."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    experimental: Any = importlib.import_module("jax.experimental")  # before JAX 0.8
    return experimental.enable_x64()


def is_float(leaf: Any) -> bool:
    """Whether an array is of real floating-point numbers."""
    return bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def doubles(value: PyTree) -> PyTree:
    """Return the floating-point arrays of `value` as float64, the others as they are."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64) if is_float(leaf) else leaf, value)


def in_numpy(value: PyTree) -> PyTree:
    """Return the arrays of `value` in NumPy, the floating-point ones as float64: what a reference is given."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64 if is_float(leaf) else None), value)


def floats(value: PyTree) -> list[Array]:
    """Return the floating-point arrays of `value`."""
    return [leaf for leaf in jax.tree.leaves(value) if is_float(leaf)]


def weighed(y: PyTree) -> Array:
    """Return a number in which every element of `y` has a part of its own, and not linearly."""
    start = jnp.zeros(())
    parts = (
        ((jnp.sin(leaf) + leaf) * jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape))).sum()
        for leaf in floats(y)
    )
    return sum((part.astype(start.dtype) for part in parts), start)


class Slopes(NamedTuple):
    """Slopes of a value: in reverse and forward mode, by differences (to both sides, above, below); and its size."""

    reverse: Array
    forward: Array
    differences: Array
    size: Array


def slopes(function: Callable[..., Any]) -> Callable[..., Slopes]:
    """Return a compiled function of (at, along, *rest): the slopes of ``weighed(function(at, *rest))``."""

    @jax.jit
    def found(at: PyTree, along: PyTree, *rest: Any) -> Slopes:
        def value(size: Array) -> Array:
            moved = jax.tree.map(lambda a, d: a + size * d if is_float(a) else a, at, along)
            return weighed(function(moved, *rest))

        start = jnp.zeros(())
        middle, reverse = jax.value_and_grad(value)(start)
        forward = jax.jvp(value, (start,), (jnp.ones(()),))[1]
        above, below = value(start + STEP), value(start - STEP)
        differences = jnp.stack([(above - below) / 2, above - middle, middle - below]) / STEP
        return Slopes(reverse, forward, differences, jnp.abs(above))

    return found
