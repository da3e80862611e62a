"""Division by the root of the gradient's accumulated squares: Adagrad, RMSProp, Adadelta."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.dtypes import magnitude_squared
from fnnet.shapes import check_count
from fnnet.transforms.arithmetic import increment, narrow, over, root, towards, widen, zeros_real, zeros_wide
from fnnet.transforms.scalars import Number, as_leaves


class AdagradState(NamedTuple):
    """The sum of squared gradients."""

    total: Params
    hyperparams: dict[str, Array]


def scale_by_adagrad(initial_accumulator: Number = 0.1, eps: Number = 1e-7) -> Optimizer:
    r"""Divide by the root of the sum of all squared gradients so far (Duchi et al. 2011, figure 1, diagonal).

    :math:`u = g / \sqrt{a + \sum |g|^2 + \epsilon}`, and 0 where the sum is 0. ε is inside the root; the paper's δ is
    outside, and its sum starts at 0. `initial_accumulator` acts at init alone, so it is no leaf of the state.

    >>> optimizer = scale_by_adagrad()
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([ 0.302, -0.988], dtype=float32)
    """
    leaves = as_leaves("adagrad", eps=eps)
    start = as_leaves("adagrad", initial_accumulator=initial_accumulator)

    def init(params: Params) -> AdagradState:
        first = start()["initial_accumulator"]
        return AdagradState(tree.map(lambda z: z + first.astype(z.dtype), zeros_real(params)), leaves())

    def update(grads: Params, state: AdagradState, params: Params = None, **extra: Any) -> tuple[Params, AdagradState]:
        eps, wide = state.hyperparams["eps"], widen(grads)
        total = tree.map(lambda v, g: v + magnitude_squared(g), state.total, wide)
        updates = tree.map(lambda g, v: over(g, jnp.where(v > 0, root(v + eps.astype(v.dtype)), 1)), wide, total)
        return narrow(updates, grads), AdagradState(total, state.hyperparams)

    return Optimizer(init, update)


class RmsState(NamedTuple):
    """Running mean of the squared gradient and, if centred, of the gradient (else None)."""

    nu: Params
    mu: Params
    hyperparams: dict[str, Array]


def scale_by_rms(decay: Number = 0.9, eps: Number = 1e-8, *, centered: bool = False) -> Optimizer:
    r"""Divide by the root of the running mean square (Tieleman & Hinton 2012, lecture 6e).

    :math:`u = g / \sqrt{v + \epsilon}`, :math:`v \leftarrow \rho v + (1-\rho)|g|^2`, without correction of bias;
    `centered` (Graves 2013, section 4.2): by the running standard deviation, :math:`v - |m|^2` in place of v. ε is
    inside the root.

    >>> optimizer = scale_by_rms()
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([ 3.162, -3.162], dtype=float32)
    """
    leaves = as_leaves("scale_by_rms", decay=decay, eps=eps)

    def init(params: Params) -> RmsState:
        return RmsState(zeros_real(params), zeros_wide(params) if centered else None, leaves())

    def update(grads: Params, state: RmsState, params: Params = None, **extra: Any) -> tuple[Params, RmsState]:
        decay, eps = state.hyperparams["decay"], state.hyperparams["eps"]
        wide, mu = widen(grads), None
        nu = tree.map(lambda v, g: towards(v, magnitude_squared(g), 1 - decay), state.nu, wide)
        spread = nu
        if centered:
            mu = tree.map(lambda m, g: towards(m, g, 1 - decay), state.mu, wide)
            # A variance is not negative; its rounding error may be.
            spread = tree.map(lambda v, m: jnp.maximum(v - magnitude_squared(m), 0), nu, mu)
        # With ε = 0 and no gradient yet, 0 / 0 is no step.
        floor = tree.map(lambda v: v + eps.astype(v.dtype), spread)
        updates = tree.map(lambda g, v: over(g, jnp.where(v > 0, root(v), 1)), wide, floor)
        return narrow(updates, grads), RmsState(nu, mu, state.hyperparams)

    return Optimizer(init, update)


class AdadeltaState(NamedTuple):
    """Running mean squares of the gradients and of the updates."""

    nu: Params
    delta: Params
    hyperparams: dict[str, Array]


def scale_by_adadelta(rho: Number = 0.9, eps: Number = 1e-6) -> Optimizer:
    r"""Give the step the units of the parameters (Zeiler 2012, algorithm 1).

    :math:`u = g \sqrt{d + \epsilon} / \sqrt{v + \epsilon}`, with v and d the running mean squares of g and u; d is the
    one before this update.

    >>> optimizer = scale_by_adadelta()
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([ 0.003, -0.003], dtype=float32)
    """
    leaves = as_leaves("adadelta", rho=rho, eps=eps)

    def init(params: Params) -> AdadeltaState:
        return AdadeltaState(zeros_real(params), zeros_real(params), leaves())

    def update(
        grads: Params, state: AdadeltaState, params: Params = None, **extra: Any
    ) -> tuple[Params, AdadeltaState]:
        rho, eps, wide = state.hyperparams["rho"], state.hyperparams["eps"], widen(grads)
        nu = tree.map(lambda v, g: towards(v, magnitude_squared(g), 1 - rho), state.nu, wide)

        def direction(g: Array, v: Array, d: Array) -> Array:
            above, below = d + eps.astype(v.dtype), v + eps.astype(v.dtype)
            return root(above / jnp.where(below > 0, below, 1)).astype(g.dtype) * g

        updates = tree.map(direction, wide, nu, state.delta)
        delta = tree.map(lambda d, u: towards(d, magnitude_squared(u), 1 - rho), state.delta, updates)
        return narrow(updates, grads), AdadeltaState(nu, delta, state.hyperparams)

    return Optimizer(init, update)


class FactoredState(NamedTuple):
    """Updates made, and by leaf the running mean square: a ``Factored`` pair, or whole."""

    count: Array  # type: ignore[assignment]
    nu: Params
    hyperparams: dict[str, Array]


class Factored(NamedTuple):
    """The means over the last axis and over the last but one of a running mean square: n + m numbers for n · m."""

    row: Array
    column: Array


def scale_by_factored_rms(decay_rate: Number = 0.8, eps: Number = 1e-30, *, factor_from: int = 128) -> Optimizer:
    r"""Divide by a root mean square kept as row and column means (Shazeer & Stern 2018, algorithms 1, 2 and 4).

    :math:`u_{ij} = g_{ij} / \sqrt{r_i c_j / \bar r}`, where r and c are running means of :math:`|g|^2 + \epsilon` over
    the last axis and the last but one, with decay :math:`1 - t^{-\gamma}` at update t. Leaves whose last two axes are
    both at least `factor_from` long are factored; the others keep every element.

    >>> direction, grads = scale_by_factored_rms(factor_from=2), {"w": jnp.array([[1.0, -2.0], [3.0, 6.0]])}
    >>> direction.update(grads, direction.init(grads))[0]["w"].round(4)
    Array([[ 1., -1.],
           [ 1.,  1.]], dtype=float32)
    """
    leaves = as_leaves("adafactor", decay_rate=decay_rate, eps=eps)
    check_count("adafactor", "factor_from", factor_from)

    def zeros(p: Array) -> Any:
        if p.ndim < 2 or min(p.shape[-2:]) < factor_from:
            return p
        return Factored(jnp.zeros(p.shape[:-1], p.dtype), jnp.zeros((*p.shape[:-2], p.shape[-1]), p.dtype))

    def init(params: Params) -> FactoredState:
        return FactoredState(jnp.zeros((), jnp.int32), tree.map(zeros, zeros_real(params)), leaves())

    def update(
        grads: Params, state: FactoredState, params: Params = None, **extra: Any
    ) -> tuple[Params, FactoredState]:
        eps, wide = state.hyperparams["eps"], widen(grads)
        count = increment(state.count)
        fraction = count.astype(eps.dtype) ** -state.hyperparams["decay_rate"]

        def moment(g: Array, v: Any) -> Any:
            square = magnitude_squared(g)
            square = square + eps.astype(square.dtype)
            if not isinstance(v, Factored):
                return towards(v, square, fraction)
            row, column = jnp.mean(square, axis=-1), jnp.mean(square, axis=-2)
            return Factored(towards(v.row, row, fraction), towards(v.column, column, fraction))

        def direction(g: Array, v: Any) -> Array:
            if not isinstance(v, Factored):
                return over(g, jnp.where(v > 0, root(v), 1))
            row = root(v.row / jnp.maximum(jnp.mean(v.row, axis=-1, keepdims=True), jnp.finfo(v.row.dtype).tiny))
            below = row[..., :, None] * root(v.column)[..., None, :]
            return over(g, jnp.where(below > 0, below, 1))

        nu = tree.map(moment, wide, state.nu)
        return narrow(tree.map(direction, wide, nu), grads), FactoredState(count, nu, state.hyperparams)

    return Optimizer(init, update)
