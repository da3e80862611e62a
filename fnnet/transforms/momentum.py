"""Momentum: a decaying sum of gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.transforms.arithmetic import narrow, times, widen, zeros_wide
from fnnet.transforms.scalars import Number, as_leaves


class MomentumState(NamedTuple):
    """The decaying sum of gradients, in at least float32."""

    velocity: Params
    hyperparams: dict[str, Array]


def add_momentum(momentum: Number = 0.9, *, nesterov: bool = False, mean: bool = False) -> Optimizer:
    r"""Replace the gradient by its decaying sum, :math:`v \leftarrow \mu v + g`, :math:`u = v` (Polyak 1964).

    With `nesterov`, :math:`u = g + \mu v` with the new v: Nesterov's method (1983) written in the parameters at which
    the gradient is taken (Sutskever et al. 2013, section 2, after the change of variables). The sum is not multiplied
    by 1 − μ, and the learning rate comes after it, so a change of rate acts at once. With `mean`, each gradient enters
    multiplied by 1 − μ: a running mean, without correction of bias, which leaves the size of the steps as it was.

    >>> momentum = add_momentum(0.5)
    >>> state = momentum.init({"w": jnp.zeros(1)})
    >>> updates, state = momentum.update({"w": jnp.ones(1)}, state)
    >>> momentum.update({"w": jnp.ones(1)}, state)[0]
    {'w': Array([1.5], dtype=float32)}
    """
    leaves = as_leaves("add_momentum", momentum=momentum)

    def init(params: Params) -> MomentumState:
        return MomentumState(zeros_wide(params), leaves())

    def update(
        grads: Params, state: MomentumState, params: Params = None, **extra: Any
    ) -> tuple[Params, MomentumState]:
        decay, wide = state.hyperparams["momentum"], widen(grads)
        share = tree.map(lambda g: times(1 - decay, g), wide) if mean else wide
        velocity = tree.map(lambda v, g: times(decay, v) + g, state.velocity, share)
        updates = tree.map(lambda v, g: g + times(decay, v), velocity, share) if nesterov else velocity
        return narrow(updates, grads), MomentumState(velocity, state.hyperparams)

    return Optimizer(init, update)
