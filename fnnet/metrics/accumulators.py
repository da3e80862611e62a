"""Sums that keep what float32 rounds away, and the metrics that are means: the ground that the other metrics stand on.

A sum is carried as an unevaluated pair of floats (Knuth 1969, theorem 4.2.2 B; Dekker 1971), some 48 bits in float32.
So a count is exact far beyond 2²⁴, and a sum over a million batches is that over one, to the last digit of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from fnnet.core import Metric
from fnnet.shapes import spread

_CHUNK = 1024  # values added in plain floats


class Sum(NamedTuple):
    """A sum as ``value + error``: what has been rounded away from `value` is kept in `error`."""

    value: Float[Array, "*shape"]
    error: Float[Array, "*shape"]


def nothing(*shape: int) -> Sum:
    """Return the sum of nothing, of the given shape, in the default float dtype."""
    return Sum(jnp.zeros(shape), jnp.zeros(shape))


def plus(a: Sum, b: Sum) -> Sum:
    """Return a + b. Commutative to the bit; associative up to the last bits of the error.

    >>> float(plus(plus(Sum(jnp.array(2.0**24), jnp.array(0.0)), single(jnp.array(1.0))), single(jnp.array(1.0))).value)
    16777218.0
    """
    total, rounded = _two_sum(a.value, b.value)
    return Sum(*_two_sum(total, rounded + (a.error + b.error)))


def single(x: Float[Array, "*shape"]) -> Sum:
    """Return `x` as a sum of one term."""
    return Sum(x, jnp.zeros_like(x))


def total(x: Float[Array, "*shape"]) -> Sum:
    """Return the sum over the first axis."""
    zero = jnp.zeros((), x.dtype)
    return Sum(*lax.reduce((x, jnp.zeros_like(x)), (zero, zero), _combine, (0,)))


def counted(n: int, dtype: Any) -> Sum:
    """Return the sum of `n` ones. An array of ones XLA would add up while it compiles, which takes seconds for images.

    >>> many = counted(2**24 + 1, jnp.float32)
    >>> float(many.value) + float(many.error) - 2**24
    1.0
    """
    value = np.asarray(n, dtype)
    return Sum(jnp.asarray(value), jnp.asarray(n - int(value), dtype))


def by_bin(place: Int[Array, n], x: Float[Array, n], bins: int, chunk: int = _CHUNK) -> Sum:
    """Return the sum of `x` in each bin, `place` being that of each value.

    Values are added up by `chunk`, and these sums without loss: so one large update does not use up a float32's digits.
    """
    part = jnp.arange(x.size) // chunk
    return total(jnp.zeros((-(-x.size // chunk), bins), x.dtype).at[part, place].add(x))


def read(x: Sum) -> Float[Array, "*shape"]:
    """Return the sum as one number."""
    return x.value + x.error


class Mean(NamedTuple):
    """A weighted mean in the making."""

    total: Sum
    weight: Sum


def merge_means(a: Mean, b: Mean) -> Mean:
    """Return the mean over both."""
    return Mean(plus(a.total, b.total), plus(a.weight, b.weight))


def weighted_mean(name: str, values: Callable[[Any, Any], Array | tuple[Array, Array | None]]) -> Metric:
    r"""Return the metric :math:`\sum w_i v_i / \sum w_i` of ``values(prediction, target)``.

    The leading axes of the values are batch; `values` may return a pair (values, kept) where some are to be left out,
    or kept is None. A weight belongs to the leading axes and counts once for each value under it. What weighs nothing
    adds nothing, be it NaN. The mean of nothing is NaN.
    """

    def init() -> Mean:
        return Mean(nothing(), nothing())

    def update(acc: Mean, prediction: Any, target: Any, weight: ArrayLike | None = None) -> Mean:
        result = values(prediction, target)
        v, kept = result if isinstance(result, tuple) else (result, None)
        dtype = acc.weight.value.dtype
        v, w = weigh(name, v, weight, kept, dtype)
        of_all = counted(w.size, dtype) if weight is None and kept is None else total(w)
        return merge_means(acc, Mean(total(v * w), of_all))

    def compute(acc: Mean) -> Array:
        return read(acc.total) / read(acc.weight)

    return Metric(name, init, update, compute, merge_means)


def mean(function: Callable[[Any, Any], Array], name: str | None = None) -> Metric:
    """Weighted mean of ``function(prediction, target)``, such as a loss: one value an example, or more.

    Raises: ShapeError if the axes of the weight are not the leading ones of the values.

    >>> metric = fn.metrics.mean(fn.losses.squared_error)
    >>> acc = metric.update(metric.init(), jnp.array([1.0, 3.0]), jnp.array([0.0, 0.0]))
    >>> metric.name, float(metric.compute(acc))
    ('squared_error', 5.0)
    """
    return weighted_mean(name or str(getattr(function, "__name__", "mean")), function)


def weigh(
    where: str, values: Array, weight: ArrayLike | None, kept: Array | None, dtype: Any
) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Return values and weights side by side in one axis, in `dtype`; values that weigh nothing are 0.

    Raises: ShapeError if the axes of `weight` are not the leading ones of `values`.
    """
    values = jnp.asarray(values)
    w = jnp.ones(values.shape, dtype) if weight is None else spread(where, weight, values).astype(dtype)
    w = w if kept is None else jnp.where(kept, w, 0.0)
    v = jnp.where(w == 0, 0.0, values.astype(dtype))
    return v.reshape(-1), w.reshape(-1)


def hit_or_nan(hit: Array, sound: Array) -> Array:
    """Return 1 for a hit and 0 for a miss, NaN where the example is not sound."""
    return jnp.where(sound, hit.astype(jnp.float32), jnp.nan)


def _combine(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return `plus` of pairs: one function, so that a reduction by it is compiled once, without ``jit`` too."""
    return tuple(plus(Sum(*a), Sum(*b)))  # type: ignore[return-value]


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a + b as rounded, and exactly what the rounding took (0 where the sum is not finite)."""
    s = a + b
    of_b = s - a
    error = (a - (s - of_b)) + (b - of_b)
    return s, jnp.where(jnp.isfinite(s), error, 0.0)
