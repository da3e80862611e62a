"""Protection from updates that are not finite."""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.transforms.arithmetic import narrow
from fnnet.transforms.chaining import InitUpdate, as_optimizer


class SkipState(NamedTuple):
    """How many updates were skipped, in all and since the last that was not, and the inner optimizer's state."""

    skipped: Array
    in_a_row: Array
    inner: Any


def skip_nonfinite(optimizer: InitUpdate) -> Optimizer:
    """Make a zero update, and leave the optimizer's state as it is, when a gradient or an update is nan or infinite.

    Or when a value of the state would become so: the square of a gradient may overflow where its update does not.
    The state counts the skipped updates in all, and in a row: a row that grows means training is broken, not unlucky.

    >>> optimizer = skip_nonfinite(fn.transforms.scale(2.0))
    >>> updates, state = optimizer.update({"w": jnp.array([jnp.nan])}, optimizer.init({"w": jnp.ones(1)}))
    >>> updates, int(state.skipped)
    ({'w': Array([0.], dtype=float32)}, 1)
    """
    inner = as_optimizer(optimizer)

    def init(params: Params) -> SkipState:
        return SkipState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), inner.init(params))

    def update(grads: Params, state: SkipState, params: Params = None, **extra: Any) -> tuple[Params, SkipState]:
        updates, new_inner = inner.update(grads, state.inner, params, **extra)
        fine = all_finite(grads) & all_finite(updates) & _stays_finite(state.inner, new_inner)
        updates = tree.map(lambda u: jnp.where(fine, u, jnp.zeros_like(u)), narrow(updates, grads))
        kept = jax.tree.map(lambda new, old: jnp.where(fine, new, old), new_inner, state.inner)
        skip = 1 - fine.astype(jnp.int32)
        return updates, SkipState(state.skipped + skip, (state.in_a_row + 1) * skip, kept)

    return Optimizer(init, update)


def _stays_finite(before: Any, after: Any) -> Array:
    """Return whether no value became nan or infinite that was not (as the best loss is, before there is one)."""
    worse = [
        jnp.any(jnp.isfinite(old) & ~jnp.isfinite(new))
        for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
        if jnp.issubdtype(jnp.result_type(new), jnp.inexact)
    ]
    return ~reduce(jnp.logical_or, worse, jnp.array(False))


def all_finite(params: Params) -> Array:
    """Return whether no value of any leaf is nan or infinite; a scalar."""
    return reduce(jnp.logical_and, [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)], jnp.array(True))
