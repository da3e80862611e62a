"""A scale of the loss that follows the range of float16."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.targets import check_value
from fnnet.transforms.arithmetic import narrow
from fnnet.transforms.chaining import InitUpdate, as_optimizer
from fnnet.transforms.nonfinite import all_finite
from fnnet.transforms.scalars import Number, as_leaves


class LossScaleState(NamedTuple):
    """The factor of the loss, the finite updates since it last changed, those skipped, and the inner state."""

    loss_scale: Float[Array, ""]
    fine: Int[Array, ""]
    skipped: Int[Array, ""]
    inner: Any
    hyperparams: dict[str, Array]


def dynamic_loss_scale(
    optimizer: InitUpdate, initial: Number = 2.0**15, every: Number = 2000, factor: Number = 2.0
) -> Optimizer:
    r"""Have the loss multiplied by a factor, so that gradients computed in float16 do not vanish (Micikevicius 2018).

    The training step multiplies the loss by ``loss_scale`` before the derivative and divides the gradient by it after,
    in the parameters' dtype: keep those in float32 by ``fn.precision(net, compute=jnp.float16)``. A gradient that is
    not finite makes a zero update, leaves the inner state as it is and divides the scale by `factor`, to 1 at least;
    `every` finite ones in a row multiply it.

    Raises: ValueError for an `initial` that is not above 0, a `factor` not above 1, an `every` that is no whole number.
    Law: where nothing over- or underflows, updates are those of `optimizer`: the scale is a power of two.

    >>> optimizer = dynamic_loss_scale(fn.sgd(0.1), initial=8.0)
    >>> updates, state = optimizer.update({"w": jnp.array([jnp.inf])}, optimizer.init({"w": jnp.ones(1)}))
    >>> updates, float(state.loss_scale), int(state.skipped)
    ({'w': Array([0.], dtype=float32)}, 4.0, 1)
    """
    check_value("dynamic_loss_scale", "initial", initial, "a number above 0", lambda value: value > 0)
    check_value("dynamic_loss_scale", "factor", factor, "a number above 1", lambda value: value > 1)
    inner = as_optimizer(optimizer)
    leaves = as_leaves("dynamic_loss_scale", initial=initial, every=every, factor=factor)

    def init(params: Params) -> LossScaleState:
        numbers = leaves()
        zero = jnp.zeros((), jnp.int32)
        return LossScaleState(numbers["initial"], zero, zero, inner.init(params), numbers)

    def update(
        grads: Params, state: LossScaleState, params: Params = None, **extra: Any
    ) -> tuple[Params, LossScaleState]:
        factor = state.hyperparams["factor"]
        updates, new_inner = inner.update(grads, state.inner, params, **extra)
        finite = all_finite(grads)
        updates = tree.map(lambda u: jnp.where(finite, u, jnp.zeros_like(u)), narrow(updates, grads))
        kept = tree.map(lambda new, old: jnp.where(finite, new, old), new_inner, state.inner)
        fine = jnp.where(finite, state.fine + 1, 0)
        due = fine.astype(factor.dtype) >= state.hyperparams["every"]
        grown = jnp.where(due, state.loss_scale * factor, state.loss_scale)
        scale = jnp.where(finite, grown, jnp.maximum(state.loss_scale / factor, 1))
        scale = jnp.where(jnp.isfinite(scale), scale, state.loss_scale)
        skipped = state.skipped + 1 - finite.astype(jnp.int32)
        return updates, LossScaleState(scale, jnp.where(due, 0, fine), skipped, kept, state.hyperparams)

    return Optimizer(init, update)
