"""The Adam family's directions: a running mean of the gradient over the root of its running mean square."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.transforms.hyperparams import Number, as_leaves
from fnnet.transforms.precision import (
    bias_correction,
    increment,
    magnitude_squared,
    narrow,
    over,
    root,
    times,
    towards,
    widen,
    zeros_real,
    zeros_wide,
)


class AdamState(NamedTuple):
    """Moments of the gradient, in at least float32; `nu` is real."""

    count: Array  # type: ignore[assignment]  # the name hides tuple.count, as it does throughout the JAX world
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
        count, wide = increment(state.count), widen(grads)
        mu = tree.map(lambda m, g: towards(m, g, 1 - b1), state.mu, wide)
        nu = tree.map(lambda v, g: towards(v, magnitude_squared(g), 1 - b2), state.nu, wide)
        correction = jnp.sqrt(bias_correction(b2, count))
        scale, floor = correction / bias_correction(b1, count), eps * correction
        if nesterov:
            ahead, now = b1 * correction / bias_correction(b1, count + 1), (1 - b1) * scale
            mean = tree.map(lambda m, g: times(ahead, m) + times(now, g), mu, wide)
        else:
            mean = tree.map(lambda m: times(scale, m), mu)
        updates = tree.map(lambda m, v: over(m, root(v) + floor.astype(v.dtype)), mean, nu)
        return narrow(updates, grads), AdamState(count, mu, nu, state.hyperparams)

    return Optimizer(init, update)
