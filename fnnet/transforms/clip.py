"""Clipping: bounds on the size of gradients, against steps off a cliff."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.transforms.arithmetic import narrow, times, widen
from fnnet.transforms.chaining import need_params
from fnnet.transforms.scalars import Number, as_leaves


class ClipState(NamedTuple):
    """The bound."""

    hyperparams: dict[str, Array]


def clip_by_value(max_value: Number) -> Optimizer:
    """Bound each element to [−max_value, max_value]; of a complex element, each part. This turns the gradient.

    >>> clip = clip_by_value(1.0)
    >>> clip.update({"w": jnp.array([0.5, -3.0])}, clip.init(None))[0]
    {'w': Array([ 0.5, -1. ], dtype=float32)}
    """
    leaves = as_leaves("clip_by_value", max_value=max_value)

    def bound(g: Array, limit: Array) -> Array:
        if jnp.iscomplexobj(g):
            return jax.lax.complex(bound(jnp.real(g), limit), bound(jnp.imag(g), limit))
        return jnp.clip(g, -limit.astype(g.dtype), limit.astype(g.dtype))

    def update(grads: Params, state: ClipState, params: Params = None, **extra: Any) -> tuple[Params, ClipState]:
        return tree.map(lambda g: bound(g, state.hyperparams["max_value"]), grads), state

    return Optimizer(lambda params: ClipState(leaves()), update)


def clip_by_global_norm(max_norm: Number) -> Optimizer:
    r"""Scale all gradients by one factor so that their joint norm is at most `max_norm` (Pascanu et al. 2013).

    :math:`g \leftarrow g \min(1, c/\lVert g\rVert)`: the direction stays.

    >>> clip = clip_by_global_norm(1.0)
    >>> clip.update({"a": jnp.array([3.0]), "b": jnp.array([4.0])}, clip.init(None))[0]
    {'a': Array([0.6], dtype=float32), 'b': Array([0.8], dtype=float32)}
    """
    leaves = as_leaves("clip_by_global_norm", max_norm=max_norm)

    def update(grads: Params, state: ClipState, params: Params = None, **extra: Any) -> tuple[Params, ClipState]:
        factor = _shrinkage(tree.norm(grads), state.hyperparams["max_norm"])
        return narrow(tree.map(lambda g: times(factor, g), widen(grads)), grads), state

    return Optimizer(lambda params: ClipState(leaves()), update)


def clip_by_leaf_norm(max_norm: Number) -> Optimizer:
    """Scale each leaf by its own factor so that its norm is at most `max_norm`.

    >>> clip = clip_by_leaf_norm(1.0)
    >>> clip.update({"a": jnp.array([0.5]), "b": jnp.array([4.0])}, clip.init(None))[0]
    {'a': Array([0.5], dtype=float32), 'b': Array([1.], dtype=float32)}
    """
    leaves = as_leaves("clip_by_leaf_norm", max_norm=max_norm)

    def update(grads: Params, state: ClipState, params: Params = None, **extra: Any) -> tuple[Params, ClipState]:
        def clip(g: Array) -> Array:
            return times(_shrinkage(tree.leaf_norm(g), state.hyperparams["max_norm"]), g)

        return narrow(tree.map(clip, widen(grads)), grads), state

    return Optimizer(lambda params: ClipState(leaves()), update)


def clip_adaptively(clipping: Number = 0.01, eps: Number = 1e-3) -> Optimizer:
    r"""Bound each unit's gradient norm by a fraction of its weights' norm (Brock et al. 2021, equation 3).

    :math:`g_i \leftarrow g_i \min(1, \lambda \max(\lVert w_i\rVert, \epsilon)/\lVert g_i\rVert)`. A unit is an index of
    a kernel's last axis, the outputs; a vector or a scalar is one unit. ``update`` needs the parameters. The
    paper leaves the last layer out.

    >>> clip = clip_adaptively(0.5)
    >>> clip.update({"w": jnp.array([3.0])}, clip.init(None), {"w": jnp.array([2.0])})[0]
    {'w': Array([1.], dtype=float32)}
    """
    leaves = as_leaves("clip_adaptively", clipping=clipping, eps=eps)

    def update(grads: Params, state: ClipState, params: Params = None, **extra: Any) -> tuple[Params, ClipState]:
        def clip(g: Array, p: Array) -> Array:
            size, weight = _unit_norm(g), _unit_norm(p)
            least, fraction = (state.hyperparams[name].astype(size.dtype) for name in ("eps", "clipping"))
            return _shrinkage(size, fraction * jnp.maximum(weight, least)).astype(g.dtype) * g

        return narrow(tree.map(clip, widen(grads), widen(need_params("clip_adaptively", params))), grads), state

    return Optimizer(lambda params: ClipState(leaves()), update)


def _shrinkage(size: Array, limit: Array) -> Array:
    """Return min(1, limit / size), for a size of zero and an infinite limit too; nan where the size is, unhidden."""
    limit = limit.astype(size.dtype)
    within = size <= limit
    return jnp.where(within, 1, limit / jnp.where(within, 1, size))


def _unit_norm(x: Array) -> Array:
    axes = None if x.ndim < 2 else tuple(range(x.ndim - 1))
    return tree.leaf_norm(x, axes)
