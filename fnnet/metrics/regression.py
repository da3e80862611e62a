"""Metrics of regression, element by element. Prediction and target have one shape: nothing is broadcast."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.core import Metric
from fnnet.errors import ShapeError
from fnnet.metrics.accumulators import Sum, nothing, plus, read, single, total, weighted_mean
from fnnet.shapes import check_count, spread
from fnnet.targets import error_of


def mean_squared_error() -> Metric:
    r"""Mean of :math:`(\hat y - y)^2` over all elements.

    >>> metric = fn.metrics.mean_squared_error()
    >>> float(metric.compute(metric.update(metric.init(), jnp.array([1.0, 3.0]), jnp.array([0.0, 0.0]))))
    5.0
    """
    return weighted_mean("mean_squared_error", lambda p, t: jnp.square(error_of("mean_squared_error", p, t)))


def mean_absolute_error() -> Metric:
    r"""Mean of :math:`|\hat y - y|` over all elements.

    >>> metric = fn.metrics.mean_absolute_error()
    >>> float(metric.compute(metric.update(metric.init(), jnp.array([1.0, 3.0]), jnp.array([0.0, 0.0]))))
    2.0
    """
    return weighted_mean("mean_absolute_error", lambda p, t: jnp.abs(error_of("mean_absolute_error", p, t)))


class Variation(NamedTuple):
    """What R² needs: the weight, the mean target, the squared distances from that mean and from the predictions.

    And the least and the greatest target: where they are equal, what is left of the distances is rounding.
    """

    weight: Sum
    mean: Sum
    about_mean: Sum
    residual: Sum
    least: Array
    greatest: Array


def r2(outputs: int | None = None) -> Metric:
    r"""Share of the target's variance that is explained, :math:`R^2 = 1 - \sum w (y-\hat y)^2 / \sum w (y-\bar y)^2`.

    With `outputs` m, prediction and target are (..., m), and the result is the mean of the R² of each output; without,
    all elements are taken for values of one variable. A constant target gives 1 if met exactly, else 0.
    Parts are merged by their means and squared distances (Chan et al. 1979), which no offset of the targets spoils.
    Raises: ValueError if ``outputs < 1``; ShapeError if shapes differ or the last axis is not `outputs`.

    >>> metric = fn.metrics.r2()
    >>> target = 1e4 + jnp.array([0.0, 1.0, 2.0])
    >>> float(metric.compute(metric.update(metric.init(), target + jnp.array([1.0, 0.0, 0.0]), target)))
    0.5
    """
    columns = 1 if outputs is None else check_count("r2", "outputs", outputs)

    def init() -> Variation:
        infinite = jnp.full(columns, jnp.inf)
        return Variation(nothing(columns), nothing(columns), nothing(columns), nothing(columns), infinite, -infinite)

    def update(acc: Variation, prediction: Any, target: Any, weight: ArrayLike | None = None) -> Variation:
        error = error_of("r2", prediction, target)
        if outputs is not None and error.shape[-1:] != (outputs,):
            problem = f"the last axis must be {outputs} (outputs), got shape {error.shape}"
            raise ShapeError("r2", problem, "drop outputs=, or pass arrays of shape (..., outputs).")
        dtype = acc.weight.value.dtype
        w = jnp.ones(error.shape, dtype) if weight is None else spread("r2", weight, error).astype(dtype)
        y = jnp.asarray(target).astype(dtype)
        return _merge(acc, _variation(*(x.reshape(-1, columns) for x in (w, y, error.astype(dtype)))))

    def compute(acc: Variation) -> Array:
        residual, about_mean = read(acc.residual), read(acc.about_mean)
        constant = (acc.least == acc.greatest) & (residual >= 0)  # a NaN residual stays NaN
        explained = 1 - residual / jnp.where(constant, 1.0, about_mean)
        explained = jnp.where(constant, jnp.where(residual == 0, 1.0, 0.0), explained)
        return jnp.where(read(acc.weight) > 0, explained, jnp.nan).mean()

    return Metric("r2", init, update, compute, _merge)


def _variation(w: Float[Array, "n m"], y: Float[Array, "n m"], error: Float[Array, "n m"]) -> Variation:
    counted = w != 0
    y, error = jnp.where(counted, y, 0.0), jnp.where(counted, error, 0.0)
    weight = total(w)
    divisor = jnp.where(read(weight) == 0, 1.0, read(weight))
    about = read(total(w * y)) / divisor
    # Distances are from a mean that has been rounded: what is left of their sum corrects the mean and the squares.
    distance = jnp.where(counted, y - about[None], 0.0)
    left = read(total(w * distance))
    about_mean = plus(total(w * distance * distance), single(-left * left / divisor))
    mean = plus(single(about), single(left / divisor))
    least = jnp.where(counted, y, jnp.inf).min(0, initial=jnp.inf)
    greatest = jnp.where(counted, y, -jnp.inf).max(0, initial=-jnp.inf)
    return Variation(weight, mean, about_mean, total(w * error * error), least, greatest)


def _merge(a: Variation, b: Variation) -> Variation:
    weight = plus(a.weight, b.weight)
    whole = read(weight)
    wa, wb = (read(part.weight) / jnp.where(whole == 0, 1.0, whole) for part in (a, b))
    gap = (b.mean.value - a.mean.value) + (b.mean.error - a.mean.error)
    # Step from the heavier mean, so that merging with nothing returns the other to the bit, in either order.
    from_a = plus(a.mean, single(gap * wb))
    from_b = plus(b.mean, single(-gap * wa))
    mean = Sum(*(jnp.where(wa >= wb, x, y) for x, y in zip(from_a, from_b, strict=True)))
    between = single(wa * wb * whole * gap * gap)
    about_mean = plus(plus(a.about_mean, b.about_mean), between)
    ends = jnp.minimum(a.least, b.least), jnp.maximum(a.greatest, b.greatest)
    return Variation(weight, mean, about_mean, plus(a.residual, b.residual), *ends)
