"""Orthogonal updates of matrices, by the Newton–Schulz iteration."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.errors import ShapeError
from fnnet.shapes import check_count
from fnnet.transforms.arithmetic import narrow, over, times, widen, widened, zeros_wide
from fnnet.transforms.decay import Mask, masked
from fnnet.transforms.scalars import Number, as_leaves

# The quintic x ↦ ax + bx³ + cx⁵ with the slope at 0 as large as keeps [0, 1] within about [0.7, 1.2] (Jordan 2024).
_QUINTIC = (3.4445, -4.7750, 2.0315)


class MuonState(NamedTuple):
    """The decaying sum of gradients."""

    velocity: Params
    hyperparams: dict[str, Array]


def scale_by_muon(
    momentum: Number = 0.95, eps: Number = 1e-7, *, nesterov: bool = True, iterations: int = 5, stacked: Mask = ()
) -> Optimizer:
    r"""Replace a matrix's momentum by the nearest semi-orthogonal matrix, roughly (Jordan 2024).

    :math:`v \leftarrow \mu v + g`, then `orthogonalize` of v, or of :math:`g + \mu v` with `nesterov`, times
    :math:`\sqrt{\max(1, n_\mathrm{out}/n_\mathrm{in})}`. Kernels are (in, out); of an array with more axes, all but
    the last are taken as the inputs. Leaves in `stacked` have an axis of copies in front, as ``repeat`` makes them, and
    each copy is a matrix of its own. `iterations` shapes the program, so it is no leaf of the state. Every leaf must
    have two axes or more, not counting copies: `fnnet.optimizers.muon` gives the others to another optimizer.

    >>> direction, grads = scale_by_muon(), {"w": jnp.diag(jnp.array([5.0, 0.5]))}
    >>> sizes = jnp.diag(direction.update(grads, direction.init(grads))[0]["w"])
    >>> bool(((sizes > 0.7) & (sizes < 1.2)).all())
    True
    """
    leaves = as_leaves("muon", momentum=momentum, eps=eps)
    check_count("muon", "iterations", iterations)

    def update(grads: Params, state: MuonState, params: Params = None, **extra: Any) -> tuple[Params, MuonState]:
        decay, wide = state.hyperparams["momentum"], widen(grads)
        velocity = tree.map(lambda v, g: times(decay, v) + g, state.velocity, wide)
        ahead = tree.map(lambda v, g: g + times(decay, v), velocity, wide) if nesterov else velocity

        def direction(u: Array) -> Array:
            matrix = u.reshape(-1, u.shape[-1])
            inputs, outputs = matrix.shape
            factor = max(1.0, outputs / inputs) ** 0.5
            return (factor * orthogonalize(matrix, state.hyperparams["eps"], iterations=iterations)).reshape(u.shape)

        copies = masked(grads, stacked, "muon")
        updates = tree.map(lambda u, many: (jax.vmap(direction) if many else direction)(u), ahead, copies)
        return narrow(updates, grads), MuonState(velocity, state.hyperparams)

    return Optimizer(lambda params: MuonState(zeros_wide(params), leaves()), update)


def orthogonalize(matrix: Array, eps: Number = 1e-7, *, iterations: int = 5) -> Array:
    r"""Return roughly :math:`U V^*` for :math:`U S V^*`: singular values brought to about 1, between 0.7 and 1.2.

    Starting at :math:`X = G/(\lVert G\rVert_F + \epsilon)`, the steps are :math:`X \leftarrow aX + (bA + cA^2)X` with
    :math:`A = XX^*`. Singular values below some 1e-3 of the norm are only brought part of the way.
    Raises: ShapeError unless it has two axes.

    >>> q = orthogonalize(jnp.array([[2.0, 0.0], [0.0, -1.0]]))
    >>> bool(jnp.all(jnp.abs(jnp.abs(jnp.diag(q)) - 1) < 0.35))
    True
    """
    if matrix.ndim != 2:
        raise ShapeError("orthogonalize", f"expected a matrix, got shape {matrix.shape}", "vmap over leading axes.")
    a, b, c = _QUINTIC
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.mT.conj()
    size = tree.leaf_norm(x)
    size = size + jnp.asarray(eps).astype(size.dtype)
    x = over(widened(x), jnp.where(size > 0, size, 1)).astype(matrix.dtype)

    def step(x: Array, _: None) -> tuple[Array, None]:
        gram = x @ x.mT.conj()
        return a * x + (b * gram + c * gram @ gram) @ x, None

    x, _ = jax.lax.scan(step, x, None, length=iterations)
    return x if wide else x.mT.conj()
