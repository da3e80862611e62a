"""Reaction to the loss: a smaller step when it stops falling."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.transforms.chaining import need_extra
from fnnet.transforms.scalars import Number, as_leaves


class PlateauState(NamedTuple):
    """The multiplier now in force, the best loss, how long since, and the running mean of the loss being judged."""

    scheduled: dict[str, Array]
    best: Array
    since: Array
    wait: Array
    mean: Array
    seen: Array
    hyperparams: dict[str, Array]


def reduce_on_plateau(
    factor: Number = 0.1,
    patience: Number = 10,
    *,
    rtol: Number = 1e-4,
    atol: Number = 0.0,
    cooldown: Number = 0,
    every: Number = 1,
    min_scale: Number = 0.0,
) -> Optimizer:
    """Multiply updates by a scale that falls by `factor` once the loss has not improved for `patience` judgements.

    A link after the direction: ``chain(adam(1e-3), reduce_on_plateau())``; ``update`` needs ``value``, the loss. The
    mean loss of `every` updates is judged: an improvement is below ``best − rtol · |best| − atol``. After a fall the
    next `cooldown` judgements do not count. The scale in force is readable as the number ``scale``. A nan never
    improves.

    >>> plateau = reduce_on_plateau(factor=0.5, patience=2)
    >>> state = plateau.init({"w": jnp.ones(1)})
    >>> for loss in (1.0, 1.0, 1.0):
    ...     updates, state = plateau.update({"w": jnp.ones(1)}, state, value=loss)
    >>> updates
    {'w': Array([0.5], dtype=float32)}
    """
    leaves = as_leaves(
        "reduce_on_plateau",
        factor=factor,
        patience=patience,
        rtol=rtol,
        atol=atol,
        cooldown=cooldown,
        every=every,
        min_scale=min_scale,
    )
    if not isinstance(factor, jax.core.Tracer) and not 0 <= factor < 1:
        raise ValueError(f"reduce_on_plateau: factor must be at least 0 and below 1, got {factor}")

    def init(params: Params) -> PlateauState:
        dtype = jnp.result_type(float)
        since, wait, mean, seen = (jnp.zeros((), dtype) for _ in range(4))
        best = jnp.full((), jnp.inf, dtype)
        return PlateauState({"scale": jnp.ones((), dtype)}, best, since, wait, mean, seen, leaves())

    def judge(state: PlateauState, value: Array) -> PlateauState:
        numbers, scale = state.hyperparams, state.scheduled["scale"]
        improved = value < jnp.where(
            jnp.isfinite(state.best), state.best - numbers["rtol"] * jnp.abs(state.best) - numbers["atol"], state.best
        )
        resting = state.wait > 0
        since = jnp.where(improved | resting, 0, state.since + 1)
        fall = since >= numbers["patience"]
        lower = jnp.minimum(scale, jnp.maximum(scale * numbers["factor"], numbers["min_scale"]))
        return state._replace(
            scheduled={"scale": jnp.where(fall, lower, scale)},
            best=jnp.where(improved, value, state.best),
            since=jnp.where(fall, 0, since),
            wait=jnp.where(fall, numbers["cooldown"], jnp.maximum(state.wait - 1, 0)),
            mean=jnp.zeros_like(state.mean),
            seen=jnp.zeros_like(state.seen),
        )

    def update(grads: Params, state: PlateauState, params: Params = None, **extra: Any) -> tuple[Params, PlateauState]:
        value = jnp.asarray(need_extra("reduce_on_plateau", extra, "value")).astype(state.mean.dtype)
        seen = state.seen + 1
        mean = state.mean + (value - state.mean) / seen
        due = seen >= state.hyperparams["every"]
        waiting, judged = state._replace(mean=mean, seen=seen), judge(state, mean)
        state = tree.map(lambda a, b: jnp.where(due, a, b), judged, waiting)
        return tree.scale(state.scheduled["scale"], grads), state

    return Optimizer(init, update)
