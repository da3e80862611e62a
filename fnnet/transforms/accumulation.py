"""Accumulation: the mean gradient of several micro-batches as one update."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.transforms.arithmetic import narrow, towards, widen, zeros_wide
from fnnet.transforms.chaining import InitUpdate, as_optimizer
from fnnet.transforms.scalars import Number, as_leaves


class AccumulateState(NamedTuple):
    """The running means of the gradient and the loss over `count` micro-steps, and the inner optimizer's state."""

    count: Array  # type: ignore[assignment]  # micro-steps since the last update
    mean: Params
    value: Array
    inner: Any
    hyperparams: dict[str, Array]


def accumulate(optimizer: InitUpdate, every: Number) -> Optimizer:
    """Update once in `every` calls, with the mean gradient (and mean ``value``) of those; the other updates are zero.

    Law: k micro-batches of equal size, accumulated with ``every=k``, make the update of their union, up to rounding,
    if the network takes no statistics over the batch. The count that a schedule sees is the number of real updates. A
    ``value_fn`` is passed on as it is, the loss of the last micro-batch alone: no place for a line search.

    >>> optimizer = accumulate(fn.transforms.scale(1.0), every=2)
    >>> state = optimizer.init({"w": jnp.zeros(1)})
    >>> first, state = optimizer.update({"w": jnp.array([1.0])}, state)
    >>> first, optimizer.update({"w": jnp.array([3.0])}, state)[0]
    ({'w': Array([0.], dtype=float32)}, {'w': Array([2.], dtype=float32)})
    """
    leaves = as_leaves("accumulate", every=every)
    inner = as_optimizer(optimizer)

    def init(params: Params) -> AccumulateState:
        zero = jnp.zeros((), jnp.result_type(float))
        return AccumulateState(jnp.zeros((), jnp.int32), zeros_wide(params), zero, inner.init(params), leaves())

    def update(
        grads: Params, state: AccumulateState, params: Params = None, **extra: Any
    ) -> tuple[Params, AccumulateState]:
        count = state.count + 1
        fraction = 1 / count.astype(jnp.result_type(float))
        mean = tree.map(lambda m, g: towards(m, g, fraction), state.mean, widen(grads))
        known = {name for name in ("value", "grad") if extra.get(name) is not None}
        loss = jnp.asarray(extra["value"] if "value" in known else 0.0)
        value = towards(state.value, loss.astype(state.value.dtype), fraction)
        whole = not jnp.issubdtype(loss.dtype, jnp.inexact)
        means = {"value": value if whole else value.astype(loss.dtype)} if "value" in known else {}
        means |= {"grad": narrow(mean, extra["grad"])} if "grad" in known else {}

        def apply(inner_state: Any) -> tuple[Params, Any]:
            updates, inner_state = inner.update(narrow(mean, grads), inner_state, params, **(extra | means))
            return narrow(updates, grads), inner_state

        def wait(inner_state: Any) -> tuple[Params, Any]:
            return tree.zeros_like(grads), inner_state

        due = count.astype(fraction.dtype) >= state.hyperparams["every"]
        updates, inner_state = jax.lax.cond(due, apply, wait, state.inner)
        count, mean, value = jax.tree.map(lambda x: jnp.where(due, jnp.zeros_like(x), x), (count, mean, value))
        return updates, AccumulateState(count, mean, value, inner_state, state.hyperparams)

    return Optimizer(init, update)
