"""Averages of the parameters along training, read from the optimizer's state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.core import Optimizer, Params, TrainState
from fnnet.transforms.arithmetic import increment, narrow, towards, widen
from fnnet.transforms.chaining import need_params
from fnnet.transforms.scalars import Number, as_leaves


class AverageState(NamedTuple):
    """The average so far, in at least float32, and the sum of the weights in it."""

    count: Array  # type: ignore[assignment]
    average: Params
    weight: Array
    hyperparams: dict[str, Array]

    @property
    def last_link(self) -> bool:
        """Say to `chain` that no update is to change after it is averaged."""
        return True


def average(decay: Number = 0.999) -> Optimizer:
    r"""Keep the exponential moving average of the parameters; updates pass unchanged. The last link of a chain.

    After t updates the average is :math:`\sum_i \beta^{t-i}\theta_i / \sum_i \beta^{t-i}` over the parameters
    :math:`\theta_1 \dots \theta_t` that the updates made: without the initial ones, so no correction of bias is left to
    do. Before the first update it is the initial parameters. Read it with `averaged`. ``update`` needs the parameters.

    >>> params, optimizer = {"w": jnp.array(0.0)}, fn.transforms.chain(fn.transforms.scale(1.0), average(0.5))
    >>> state = optimizer.init(params)
    >>> for step in (1.0, 3.0):
    ...     updates, state = optimizer.update({"w": jnp.array(step)}, state, params)
    ...     params = fn.tree.add(params, updates)
    >>> params, averaged(state)
    ({'w': Array(4., dtype=float32)}, {'w': Array(3., dtype=float32)})
    """
    leaves = as_leaves("average", decay=decay)
    return _averaging(leaves, lambda state: state.hyperparams["decay"] * state.weight, "average")


def polyak_average(start: Number = 0) -> Optimizer:
    r"""Keep the plain mean of the parameters that updates made, the first `start` left out (Polyak & Juditsky 1992).

    Updates pass unchanged; the last link of a chain. Until then the average is the latest parameters. Read it with
    `averaged`. ``update`` needs the parameters.

    >>> params, optimizer = {"w": jnp.array(0.0)}, fn.transforms.chain(fn.transforms.scale(1.0), polyak_average())
    >>> state = optimizer.init(params)
    >>> for step in (1.0, 3.0):
    ...     updates, state = optimizer.update({"w": jnp.array(step)}, state, params)
    ...     params = fn.tree.add(params, updates)
    >>> params, averaged(state)
    ({'w': Array(4., dtype=float32)}, {'w': Array(2.5, dtype=float32)})
    """
    leaves = as_leaves("polyak_average", start=start)

    def carry(state: AverageState) -> Array:
        return jnp.where(state.count.astype(state.weight.dtype) <= state.hyperparams["start"], 0, state.weight)

    return _averaging(leaves, carry, "polyak_average")


def averaged(opt_state: PyTree, like: Params | None = None) -> Params:
    """Return the averaged parameters that `average` or `polyak_average` keeps in the state, in the dtypes of `like`.

    Of a leaf that is not averaged, being frozen around the average, `like` has the value.
    Raises: ValueError if the state keeps none, or more than one, or the values of leaves not averaged are not given.

    >>> optimizer = fn.transforms.chain(fn.transforms.scale(1.0), average(0.9))
    >>> averaged(optimizer.init({"w": jnp.ones(1)}))
    {'w': Array([1.], dtype=float32)}
    """
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, AverageState))
    found = [leaf.average for leaf in leaves if isinstance(leaf, AverageState)]
    if len(found) != 1:
        raise ValueError(
            f"averaged: the state must keep one average of the parameters, got {len(found)};"
            " put fn.transforms.average() last in the optimizer's chain, once"
        )
    absent = [leaf is None for leaf in jax.tree.leaves(found[0], is_leaf=lambda leaf: leaf is None)]
    if like is None:
        if any(absent):
            raise ValueError("averaged: frozen parameters have no average; pass them too: averaged(state, params)")
        return found[0]
    whole = tree.map(lambda mean, p: p if mean is None else mean, found[0], like, is_leaf=lambda leaf: leaf is None)
    return narrow(whole, like)


def with_average(ts: TrainState) -> TrainState:
    """Return the state with the averaged parameters in place of the latest: to evaluate and to predict with.

    ``fn.fit(..., evaluated=fn.transforms.with_average)`` validates with them. Statistics that the net keeps, as batch
    normalisation does, stay those of the latest parameters.
    Raises: as ``averaged``.

    >>> optimizer = fn.transforms.chain(fn.sgd(0.1), average(0.9))
    >>> task, x = fn.Task(fn.dense(1), fn.losses.squared_error, optimizer), jnp.ones((2, 1))
    >>> ts = fn.init(task, jax.random.key(0), x)
    >>> for _ in range(2):
    ...     ts, _ = fn.step(task, ts, (x, x))
    >>> with_average(ts).params["bias"] == averaged(ts.opt_state)["bias"], with_average(ts).params == ts.params
    (Array([ True], dtype=bool), False)
    """
    return ts._replace(params=averaged(ts.opt_state, ts.params))


def _averaging(leaves: Callable[[], dict[str, Array]], carry: Callable[[AverageState], Array], where: str) -> Optimizer:
    def init(params: Params) -> AverageState:
        copies = tree.map(lambda p: jnp.array(p, copy=True), widen(params))
        return AverageState(jnp.zeros((), jnp.int32), copies, jnp.zeros((), jnp.result_type(float)), leaves())

    def update(grads: Params, state: AverageState, params: Params = None, **extra: Any) -> tuple[Params, AverageState]:
        latest = widen(tree.add(need_params(where, params), grads))
        weight = carry(state) + 1
        mean = tree.map(lambda a, p: towards(a, p, 1 / weight), state.average, latest)
        return grads, AverageState(increment(state.count), mean, weight, state.hyperparams)

    return Optimizer(init, update)
