"""Steps in proportion to the parameters they change, and the sign of a gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.transforms.arithmetic import narrow, times, towards, widen, zeros_wide
from fnnet.transforms.chaining import need_params
from fnnet.transforms.decay import Mask, masked
from fnnet.transforms.scalars import Number, as_leaves


class TrustState(NamedTuple):
    """The numbers of a rule without memory."""

    hyperparams: dict[str, Array]


def scale_by_trust_ratio(trust_coefficient: Number = 1.0, eps: Number = 0.0, mask: Mask = None) -> Optimizer:
    r"""Scale each leaf's update to the norm of its parameters (You et al. 2017; 2020, with φ the identity).

    :math:`u \leftarrow c\,u\,\lVert w\rVert / (\lVert u\rVert + \epsilon)`. The ratio is 1, without the coefficient,
    where either norm is 0, and for the leaves outside `mask`. ``update`` needs the parameters.

    >>> params, optimizer = {"w": jnp.array([3.0, 4.0])}, scale_by_trust_ratio()
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init(params), params)
    >>> np.asarray(updates["w"]).round(3)
    array([ 0.25 , -4.994], dtype=float32)
    """
    leaves = as_leaves("scale_by_trust_ratio", trust_coefficient=trust_coefficient, eps=eps)

    def update(grads: Params, state: TrustState, params: Params = None, **extra: Any) -> tuple[Params, TrustState]:
        params = need_params("scale_by_trust_ratio", params)

        def adapt(u: Array, p: Array, on: bool) -> Array:
            if not on:
                return u
            size, weight = tree.leaf_norm(u), tree.leaf_norm(p)
            coefficient, eps = (state.hyperparams[name].astype(size.dtype) for name in ("trust_coefficient", "eps"))
            known = (size > 0) & (weight > 0)
            return times(jnp.where(known, coefficient * weight / jnp.where(known, size + eps, 1), 1), u)

        updates = tree.map(adapt, widen(grads), widen(params), masked(params, mask, "scale_by_trust_ratio"))
        return narrow(updates, grads), state

    return Optimizer(lambda params: TrustState(leaves()), update)


def clip_by_leaf_rms(max_rms: Number = 1.0) -> Optimizer:
    r"""Bound each leaf's root mean square: :math:`u / \max(1, \mathrm{RMS}(u)/d)` (Shazeer & Stern 2018, section 6).

    >>> clip = clip_by_leaf_rms(1.0)
    >>> clip.update({"w": jnp.array([1.0, 7.0])}, clip.init(None))[0]
    {'w': Array([0.2, 1.4], dtype=float32)}
    """
    leaves = as_leaves("clip_by_leaf_rms", max_rms=max_rms)

    def update(grads: Params, state: TrustState, params: Params = None, **extra: Any) -> tuple[Params, TrustState]:
        def clip(u: Array) -> Array:
            rms = _rms(u)
            return times(1 / jnp.maximum(1, rms / state.hyperparams["max_rms"].astype(rms.dtype)), u)

        return narrow(tree.map(clip, widen(grads)), grads), state

    return Optimizer(lambda params: TrustState(leaves()), update)


def scale_by_parameter_rms(min_rms: Number = 1e-3) -> Optimizer:
    r"""Multiply by :math:`\max(\epsilon_2, \mathrm{RMS}(w))`: relative steps (Shazeer & Stern 2018, section 8).

    >>> params, optimizer = {"w": jnp.array([3.0, 4.0])}, scale_by_parameter_rms()
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init(params), params)
    >>> np.asarray(updates["w"]).round(3)
    array([ 0.354, -7.071], dtype=float32)
    """
    leaves = as_leaves("scale_by_parameter_rms", min_rms=min_rms)

    def update(grads: Params, state: TrustState, params: Params = None, **extra: Any) -> tuple[Params, TrustState]:
        def rescale(u: Array, p: Array) -> Array:
            rms = _rms(p)
            return times(jnp.maximum(rms, state.hyperparams["min_rms"].astype(rms.dtype)), u)

        weights = widen(need_params("scale_by_parameter_rms", params))
        return narrow(tree.map(rescale, widen(grads), weights), grads), state

    return Optimizer(lambda params: TrustState(leaves()), update)


class LionState(NamedTuple):
    """The running mean of the gradient."""

    mu: Params
    hyperparams: dict[str, Array]


def scale_by_lion(b1: Number = 0.9, b2: Number = 0.99) -> Optimizer:
    r"""Take the sign of a mean of momentum and gradient (Chen et al. 2023, algorithm 2).

    :math:`u = \mathrm{sign}(\beta_1 m + (1-\beta_1) g)`, then :math:`m \leftarrow \beta_2 m + (1-\beta_2) g`; the
    sign of a complex number is :math:`z/|z|`.

    >>> optimizer = scale_by_lion()
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([ 1., -1.], dtype=float32)
    """
    leaves = as_leaves("lion", b1=b1, b2=b2)

    def update(grads: Params, state: LionState, params: Params = None, **extra: Any) -> tuple[Params, LionState]:
        b1, b2, wide = state.hyperparams["b1"], state.hyperparams["b2"], widen(grads)
        updates = tree.map(lambda m, g: jnp.sign(towards(m, g, 1 - b1)), state.mu, wide)
        mu = tree.map(lambda m, g: towards(m, g, 1 - b2), state.mu, wide)
        return narrow(updates, grads), LionState(mu, state.hyperparams)

    return Optimizer(lambda params: LionState(zeros_wide(params), leaves()), update)


def _rms(x: Array) -> Array:
    return tree.leaf_norm(x) / x.size**0.5
