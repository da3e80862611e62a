"""The greatest value and the sum of each window, by slices, with backward passes that only select or spread.

``jax.lax.reduce_window`` goes back by select-and-scatter, which on CPU takes forty to seventy times as long as its
forward pass. Here the forward pass remembers which place of a window won, and the gradient is put there.
"""

from __future__ import annotations

import itertools
import math
from functools import partial, reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from fnnet.layers.windows import Pairs

Sizes = tuple[int, ...]


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def greatest(x: Array, window: Sizes, stride: Sizes, padding: Pairs) -> Array:
    """Return the greatest value in each window of `x` (batch, *space, features); padding is never the greatest.

    The derivative is that of the first of the greatest, in row-major order; NaN is greater than all numbers.
    """
    return _won(x, window, stride, padding)[0]


@greatest.defjvp
def _greatest_jvp(window: Sizes, stride: Sizes, padding: Pairs, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    y, place = _won(x, window, stride, padding)
    return y, _picked(dx, place, window, stride, padding)


def total(x: Array, window: Sizes, stride: Sizes, padding: Pairs) -> Array:
    """Return the sum of each window of `x` (batch, *space, features), axis by axis."""
    if _apart(window, stride, padding):
        return _split(x, window).sum(tuple(range(2, 2 * len(window) + 1, 2)))
    for axis in range(len(window)):
        x = reduce(add, _parts(x, 0.0, *(_on(axis, *of) for of in ((window, 1), (stride, 1), (padding, (0, 0))))))
    return x


def _on(axis: int, values: tuple[Any, ...], other: Any) -> tuple[Any, ...]:
    """Return the values with that of one axis kept and all others replaced."""
    return tuple(value if n == axis else other for n, value in enumerate(values))


def _won(x: Array, window: Sizes, stride: Sizes, padding: Pairs) -> tuple[Array, Array]:
    """Return the greatest of each window and its place in it, in row-major order."""
    y, *others = _parts(x, -jnp.inf, window, stride, padding)
    place = jnp.zeros(y.shape, _place_dtype(window))
    for number, part in enumerate(others, 1):
        wins = (part > y) | (part != part)
        y, place = jnp.where(wins, part, y), jnp.where(wins, jnp.asarray(number, place.dtype), place)
    return y, place


def _picked(x: Array, place: Array, window: Sizes, stride: Sizes, padding: Pairs) -> Array:
    """Return the value at the given place of each window: linear in `x`."""
    if not _apart(window, stride, padding):
        parts = _parts(x, 0.0, window, stride, padding)
        zero = jnp.zeros((), x.dtype)
        return reduce(add, (jnp.where(place == number, part, zero) for number, part in enumerate(parts)))
    # One select over the whole input, which goes back as one: nothing is put together from pieces.
    dims, split = len(window), _split(x, window)
    within = tuple(range(2, 2 * dims + 1, 2))
    numbers = jnp.arange(math.prod(window), dtype=place.dtype).reshape(window)
    numbers = lax.expand_dims(numbers, (0, 1, *range(3, 2 * dims, 2), 2 * dims + 1))
    chosen = lax.expand_dims(place, within) == numbers
    return jnp.where(chosen, split, jnp.zeros((), x.dtype)).sum(within)


def _apart(window: Sizes, stride: Sizes, padding: Pairs) -> bool:
    """Return whether the windows do not overlap, leave no gaps and no padding."""
    return window == stride and not any(itertools.chain(*padding))


def _split(x: Array, window: Sizes) -> Array:
    """Return `x` with each spatial axis split in two, windows and what is within: what is left over is left out."""
    counts = [n // k for n, k in zip(x.shape[1:-1], window, strict=True)]
    whole = x[(slice(None), *(slice(n * k) for n, k in zip(counts, window, strict=True)))]
    return whole.reshape(x.shape[0], *itertools.chain(*zip(counts, window, strict=True)), x.shape[-1])


def _parts(x: Array, fill: float, window: Sizes, stride: Sizes, padding: Pairs) -> list[Array]:
    """Return, for each place of the window in row-major order, what it meets in each of its positions."""
    padded = lax.pad(x, jnp.asarray(fill, x.dtype), [(0, 0, 0), *((a, b, 0) for a, b in padding), (0, 0, 0)])
    counts = [(n - k) // s + 1 for n, k, s in zip(padded.shape[1:-1], window, stride, strict=True)]
    parts = []
    for place in itertools.product(*map(range, window)):
        ends = [q + (n - 1) * s + 1 for q, n, s in zip(place, counts, stride, strict=True)]
        parts.append(lax.slice(padded, (0, *place, 0), (x.shape[0], *ends, x.shape[-1]), (1, *stride, 1)))
    return parts


def _place_dtype(window: Sizes) -> Any:
    return jnp.uint8 if math.prod(window) <= 256 else jnp.int32
