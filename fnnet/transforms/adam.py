"""The Adam family's directions: a running mean of the gradient over the root of its running mean square."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.dtypes import magnitude_squared
from fnnet.transforms.arithmetic import (
    bias_correction,
    increment,
    narrow,
    over,
    root,
    times,
    towards,
    widen,
    zeros_real,
    zeros_wide,
)
from fnnet.transforms.scalars import Number, as_leaves


class AdamState(NamedTuple):
    """Moments of the gradient, in at least float32; `nu` is real."""

    count: Array  # type: ignore[assignment]  # hides tuple.count, as states do throughout the JAX world
    mu: Params
    nu: Params
    hyperparams: dict[str, Array]


def scale_by_adam(b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-8, *, nesterov: bool = False) -> Optimizer:
    r"""Divide the gradient's running mean by the root of its running mean square (Kingma & Ba 2015, algorithm 1).

    :math:`u = \hat m / (\sqrt{\hat v} + \epsilon)` with :math:`\hat m = m/(1-\beta_1^t)`,
    :math:`\hat v = v/(1-\beta_2^t)`, :math:`m \leftarrow \beta_1 m + (1-\beta_1) g`,
    :math:`v \leftarrow \beta_2 v + (1-\beta_2)|g|^2`. ε is outside the root.

    With `nesterov`, the mean is one step ahead, with a constant β₁ in place of Dozat's schedule of it (Dozat 2016,
    section 3): :math:`\hat m = \beta_1 m/(1-\beta_1^{t+1}) + (1-\beta_1) g/(1-\beta_1^t)`.

    The corrections are folded into two scalars, :math:`\sqrt{1-\beta_2^t}/(1-\beta_1^t)` on the mean and
    :math:`\epsilon\sqrt{1-\beta_2^t}` beside the root: the same update with one division an element instead of three.
    Moments are float32 for parameters of lower precision; a complex gradient has one real second moment, :math:`|g|^2`.

    >>> adam = scale_by_adam()
    >>> adam.update({"w": jnp.array([0.1, -10.0])}, adam.init({"w": jnp.ones(2)}))[0]["w"].round(4)
    Array([ 1., -1.], dtype=float32)
    """
    leaves = as_leaves("adam", b1=b1, b2=b2, eps=eps)

    def init(params: Params) -> AdamState:
        return AdamState(jnp.zeros((), jnp.int32), zeros_wide(params), zeros_real(params), leaves())

    def update(grads: Params, state: AdamState, params: Params = None, **extra: Any) -> tuple[Params, AdamState]:
        b1, b2, eps = (state.hyperparams[name] for name in ("b1", "b2", "eps"))
        count, mu, nu, wide = _moments(state, grads)
        correction = jnp.sqrt(bias_correction(b2, count))
        scale, floor = correction / bias_correction(b1, count), eps * correction
        if nesterov:
            ahead, now = b1 * correction / bias_correction(b1, count + 1), (1 - b1) * scale
            mean = tree.map(lambda m, g: times(ahead, m) + times(now, g), mu, wide)
        else:
            mean = tree.map(lambda m: times(scale, m), mu)
        updates = tree.map(lambda m, v: _over_root(m, v, floor), mean, nu)
        return narrow(updates, grads), AdamState(count, mu, nu, state.hyperparams)

    return Optimizer(init, update)


class AmsgradState(NamedTuple):
    """Moments of the gradient, and the largest corrected second moment so far."""

    count: Array  # type: ignore[assignment]
    mu: Params
    nu: Params
    nu_max: Params
    hyperparams: dict[str, Array]


def scale_by_amsgrad(b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-8) -> Optimizer:
    r"""Adam's direction with the largest second moment so far in place of the present one (Reddi et al. 2018).

    :math:`u = \hat m / (\sqrt{\max_t \hat v_t} + \epsilon)`. The maximum is of the moments corrected for bias; the
    paper corrects neither moment.

    >>> optimizer = scale_by_amsgrad()
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([ 1., -1.], dtype=float32)
    """
    leaves = as_leaves("amsgrad", b1=b1, b2=b2, eps=eps)

    def init(params: Params) -> AmsgradState:
        zeros = zeros_wide(params), zeros_real(params), zeros_real(params)
        return AmsgradState(jnp.zeros((), jnp.int32), *zeros, leaves())

    def update(grads: Params, state: AmsgradState, params: Params = None, **extra: Any) -> tuple[Params, AmsgradState]:
        b1, b2, eps = (state.hyperparams[name] for name in ("b1", "b2", "eps"))
        count, mu, nu, _ = _moments(state, grads)
        mean, square = 1 / bias_correction(b1, count), 1 / bias_correction(b2, count)
        nu_max = tree.map(lambda top, v: jnp.maximum(top, times(square, v)), state.nu_max, nu)
        updates = tree.map(lambda m, v: _over_root(times(mean, m), v, eps), mu, nu_max)
        return narrow(updates, grads), AmsgradState(count, mu, nu, nu_max, state.hyperparams)

    return Optimizer(init, update)


def scale_by_adamax(b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-8) -> Optimizer:
    r"""Divide the gradient's running mean by its decaying maximum (Kingma & Ba 2015, algorithm 2).

    :math:`u = m / ((1-\beta_1^t)\, v)` with :math:`v \leftarrow \max(\beta_2 v, |g| + \epsilon)`. The paper has no ε:
    it keeps the division defined for a parameter whose gradient has been zero from the start.

    >>> optimizer = scale_by_adamax()
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([ 1., -1.], dtype=float32)
    """
    leaves = as_leaves("adamax", b1=b1, b2=b2, eps=eps)

    def init(params: Params) -> AdamState:
        return AdamState(jnp.zeros((), jnp.int32), zeros_wide(params), zeros_real(params), leaves())

    def update(grads: Params, state: AdamState, params: Params = None, **extra: Any) -> tuple[Params, AdamState]:
        b1, b2, eps = (state.hyperparams[name] for name in ("b1", "b2", "eps"))
        count, wide = increment(state.count), widen(grads)
        mu = tree.map(lambda m, g: towards(m, g, 1 - b1), state.mu, wide)
        nu = tree.map(lambda v, g: jnp.maximum(times(b2, v), jnp.abs(g) + eps.astype(v.dtype)), state.nu, wide)
        mean = 1 / bias_correction(b1, count)
        # With ε = 0 and no gradient yet, 0 / 0 is no step.
        updates = tree.map(lambda m, v: over(times(mean, m), jnp.where(v > 0, v, 1)), mu, nu)
        return narrow(updates, grads), AdamState(count, mu, nu, state.hyperparams)

    return Optimizer(init, update)


def scale_by_radam(b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-8, threshold: Number = 5.0) -> Optimizer:
    r"""Adam's direction, rectified for the variance of its early second moments (Liu et al. 2020, algorithm 2).

    With :math:`\rho_\infty = 2/(1-\beta_2) - 1` and :math:`\rho_t = \rho_\infty - 2t\beta_2^t/(1-\beta_2^t)`: while
    :math:`\rho_t` is below `threshold`, :math:`u = \hat m`; then :math:`u = r_t \hat m / (\sqrt{\hat v} + \epsilon)`,
    :math:`r_t^2 = (\rho_t-4)(\rho_t-2)\rho_\infty / ((\rho_\infty-4)(\rho_\infty-2)\rho_t)`. The paper's threshold is
    4.

    >>> optimizer = scale_by_radam()
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([ 0.1, -2. ], dtype=float32)
    """
    leaves = as_leaves("radam", b1=b1, b2=b2, eps=eps, threshold=threshold)

    def init(params: Params) -> AdamState:
        return AdamState(jnp.zeros((), jnp.int32), zeros_wide(params), zeros_real(params), leaves())

    def update(grads: Params, state: AdamState, params: Params = None, **extra: Any) -> tuple[Params, AdamState]:
        b1, b2, eps, threshold = (state.hyperparams[name] for name in ("b1", "b2", "eps", "threshold"))
        count, mu, nu, _ = _moments(state, grads)
        power = bias_correction(b2, count)
        most = 2 / (1 - b2) - 1
        length = most - 2 * count.astype(power.dtype) * (1 - power) / power
        adaptive = length >= jnp.maximum(threshold, 4)
        # The clamp keeps the root defined, with a finite derivative, where it is not used.
        known = jnp.where(adaptive, length, 5.0)
        rectified = jnp.sqrt((known - 4) * (known - 2) * most / jnp.maximum((most - 4) * (most - 2) * known, 1e-30))
        mean, correction = 1 / bias_correction(b1, count), jnp.sqrt(power)
        scale, floor = rectified * mean * correction, eps * correction

        def direction(m: Array, v: Array) -> Array:
            return jnp.where(adaptive, _over_root(times(scale, m), v, floor), times(mean, m))

        return narrow(tree.map(direction, mu, nu), grads), AdamState(count, mu, nu, state.hyperparams)

    return Optimizer(init, update)


def _over_root(m: Array, v: Array, floor: Array) -> Array:
    """Return m / (√v + floor); with a floor of 0 and no gradient yet, 0 / 0 is no step."""
    below = root(v) + floor.astype(v.dtype)
    return over(m, jnp.where(below > 0, below, 1))


def _moments(state: AdamState | AmsgradState, grads: Params) -> tuple[Array, Params, Params, Params]:
    """Return the next count, first and second moment, and the gradients as they entered them."""
    b1, b2, wide = state.hyperparams["b1"], state.hyperparams["b2"], widen(grads)
    mu = tree.map(lambda m, g: towards(m, g, 1 - b1), state.mu, wide)
    nu = tree.map(lambda v, g: towards(v, magnitude_squared(g), 1 - b2), state.nu, wide)
    return increment(state.count), mu, nu, wide
