"""Scaling of updates by one number: a factor, or the negative learning rate, constant or scheduled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.transforms.arithmetic import increment, narrow, times, widen
from fnnet.transforms.chaining import InitUpdate, as_optimizer
from fnnet.transforms.scalars import Number, ScalarOrSchedule, as_leaves, with_hyperparams


class ScaleState(NamedTuple):
    """State of `scale`, and of `scale_by_learning_rate` with a number."""

    hyperparams: dict[str, Array]


class ScheduledState(NamedTuple):
    """State of `scale_by_learning_rate` with a schedule: the updates made, and the rate that the last one used."""

    count: Array  # type: ignore[assignment]  # the name hides tuple.count, as it does throughout the JAX world
    scheduled: dict[str, Array]


def scale(factor: Number) -> Optimizer:
    """Multiply updates by `factor`, any finite number.

    >>> scale(3.0).update({"w": jnp.ones(1)}, scale(3.0).init(None))[0]
    {'w': Array([3.], dtype=float32)}
    """
    leaves = as_leaves("scale", factor=factor)

    def update(grads: Params, state: ScaleState, params: Params = None, **extra: Any) -> tuple[Params, ScaleState]:
        return _multiply(state.hyperparams["factor"], grads), state

    return Optimizer(lambda params: ScaleState(leaves()), update)


def scale_by_learning_rate(learning_rate: ScalarOrSchedule) -> Optimizer:
    """Multiply updates by −learning_rate: the last link of an optimizer, where ascent becomes descent.

    A schedule is a function of the number of updates made before this one, so the first update uses ``schedule(0)``;
    the value that the last update used (before any: the first) is in the state beside the count.

    >>> rate = scale_by_learning_rate(fn.schedules.step(0.5, every=10, factor=0.1))
    >>> fn.transforms.hyperparams(rate.init({"w": jnp.ones(1)}))
    {'learning_rate': Array(0.5, dtype=float32)}
    """
    if callable(learning_rate):
        return _scale_by_schedule(learning_rate)
    leaves = as_leaves("scale_by_learning_rate", learning_rate=learning_rate)

    def update(grads: Params, state: ScaleState, params: Params = None, **extra: Any) -> tuple[Params, ScaleState]:
        return _multiply(-state.hyperparams["learning_rate"], grads), state

    return Optimizer(lambda params: ScaleState(leaves()), update)


def _scale_by_schedule(schedule: Callable[[Array], Array]) -> Optimizer:
    def rate_at(count: Array) -> Array:
        rate = jnp.asarray(schedule(count))
        if rate.ndim:
            raise ValueError(f"scale_by_learning_rate: the schedule must give one number, got shape {rate.shape}")
        if jnp.iscomplexobj(rate):
            raise ValueError(f"scale_by_learning_rate: the schedule must give real numbers, got {rate.dtype}")
        return rate.astype(jnp.result_type(float))

    def init(params: Params) -> ScheduledState:
        count = jnp.zeros((), jnp.int32)
        return ScheduledState(count, {"learning_rate": rate_at(count)})

    def update(
        grads: Params, state: ScheduledState, params: Params = None, **extra: Any
    ) -> tuple[Params, ScheduledState]:
        rate = rate_at(state.count)
        return _multiply(-rate, grads), ScheduledState(increment(state.count), {"learning_rate": rate})

    return Optimizer(init, update)


def _multiply(factor: Array, updates: Params) -> Params:
    """Return factor · updates, multiplied in at least float32: a small rate is none in 16 bits."""
    return narrow(tree.map(lambda u: times(factor, u), widen(updates)), updates)


class FollowState(NamedTuple):
    """The updates made, and the state of the optimizer whose numbers follow schedules."""

    count: Array  # type: ignore[assignment]
    inner: Any


def follow_schedules(optimizer: InitUpdate, numbers: Mapping[str, Callable[[Array], Array]]) -> Optimizer:
    """Set numbers of `optimizer`, by path or unambiguous name, from schedules of the count before each update.

    For any number that is not the learning rate: a momentum, a decay, a clip norm. Their present values are in the
    inner state; a value set there by `with_hyperparams` lasts until the next update.
    Raises: PathError, at init, for a name that is unknown or shared by several numbers.

    >>> optimizer = follow_schedules(scale(1.0), {"factor": fn.schedules.polynomial(1.0, 3.0, steps=2)})
    >>> state = optimizer.init(None)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update({"w": jnp.ones(1)}, state)
    >>> updates
    {'w': Array([2.], dtype=float32)}
    """
    followed = as_optimizer(optimizer)
    for name, schedule in numbers.items():
        if not callable(schedule):
            raise TypeError(f"follow_schedules: {name!r} must follow a function of the count, got {schedule!r}")

    def at(count: Array, inner: Any) -> Any:
        return with_hyperparams(inner, {name: schedule(count) for name, schedule in numbers.items()})

    def init(params: Params) -> FollowState:
        count = jnp.zeros((), jnp.int32)
        return FollowState(count, at(count, followed.init(params)))

    def update(grads: Params, state: FollowState, params: Params = None, **extra: Any) -> tuple[Params, FollowState]:
        updates, inner = followed.update(grads, at(state.count, state.inner), params, **extra)
        return updates, FollowState(increment(state.count), inner)

    return Optimizer(init, update)
