"""The threshold as a weight."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from fnnet.errors import ShapeError


def append_one(x: ArrayLike) -> Array:
    """Return `x` with the input x₀ = 1 in front: (..., n) -> (..., 1 + n).

    >>> fn.neurons.append_one(jnp.array([2.0, 3.0]))
    Array([1., 2., 3.], dtype=float32)
    """
    x = jnp.asarray(x)
    if not x.ndim:
        raise ShapeError("append_one", "the input must have shape (..., n), got ()", "pass a vector.")
    return jnp.concatenate([jnp.ones((*x.shape[:-1], 1), x.dtype), x], axis=-1)


def theta_as_weight(weights: ArrayLike, theta: ArrayLike) -> Array:
    r"""Return the weights of a unit with its threshold as the first of them: :math:`(w_0, w) = (-\theta, w)`.

    Law: :math:`\sum w_i x_i \ge \theta` decides as :math:`\sum w_i x_i - \theta \cdot 1 \ge 0`, the product with
    ``append_one(x)``. The sign is that of the algebra: w₀ = -θ. (Slides that write w₀ = θ must mean an input of -1.)
    The dtype is one with a sign that holds both: whole weights with a θ of 1.5 become floating-point.

    >>> fn.neurons.theta_as_weight(jnp.array([1.0, 1.0]), 1.5)
    Array([-1.5,  1. ,  1. ], dtype=float32)
    """
    weights = jnp.asarray(weights)
    if weights.ndim != 1 or jnp.ndim(theta):
        got = f"{weights.shape} and {jnp.shape(theta)}"
        raise ShapeError("theta_as_weight", f"expected weights (n,) and one theta, got shapes {got}", "of one unit.")
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(weights, theta, jnp.int8)  # of which none is unsigned
    return jnp.concatenate([-jnp.asarray(theta, dtype)[None], weights.astype(dtype)])
