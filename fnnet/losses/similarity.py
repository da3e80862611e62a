"""Losses of embeddings: how near two vectors are, or should be. The last axis is the vector."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import nn
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.errors import ShapeError
from fnnet.targets import as_binary, as_prediction, as_target, check_same_shape


def cosine(prediction: Float[Array, "*batch n"], target: Float[ArrayLike, "*batch n"]) -> Float[Array, "*batch"]:
    r"""One minus the cosine of the angle, :math:`1 - a \cdot b / (|a|\,|b|)`: from 0 (same direction) to 2 (opposite).

    No ε shifts it: vectors are scaled before they are squared, so that neither 1e-30 nor 1e30 is lost. A vector of
    zeros has no direction: loss 1, gradient 0. Raises: ShapeError if the shapes differ or there is no axis.

    >>> fn.losses.cosine(jnp.array([[2.0, 0.0], [0.0, 0.0]]), jnp.array([[0.0, 1.0], [1.0, 1.0]]))
    Array([1., 1.], dtype=float32)
    """
    a = as_prediction("cosine", prediction)
    b = as_target("cosine", a, target)
    _check_vectors("cosine", a)
    return 1 - (_direction(a) * _direction(b)).sum(-1)


def contrastive(
    pair: tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]], same: ArrayLike, *, margin: float = 1.0
) -> Float[Array, "*batch"]:
    r"""Draw like pairs together, push unlike ones apart: :math:`\frac12 y d^2 + \frac12 (1-y) \max(0, m - d)^2`.

    :math:`d = |a - b|` of the `pair` (a, b); `same` y (...) is 1 where they are alike (Hadsell et al. 2006, eq. 4, has
    the opposite labels). At identical points the gradient of d is taken to be 0: a pair that should part, stays.
    Raises: ShapeError if shapes differ; DataError for `same` outside [0, 1] where known, NaN elsewhere.

    >>> a, b = jnp.array([[0.0, 0.0]]), jnp.array([[0.3, 0.4]])
    >>> fn.losses.contrastive((a, b), jnp.array([1])), fn.losses.contrastive((a, b), jnp.array([0]))
    (Array([0.125], dtype=float32), Array([0.125], dtype=float32))
    """
    a, b = _vectors("contrastive", pair, ("a", "b"))
    y = as_binary("contrastive", a[..., 0], same)
    squared = jnp.square(a - b).sum(-1)
    near = jnp.square(nn.relu(margin - _length(a - b)))
    return (jnp.where(y == 0, 0.0, y * squared) + (1 - y) * near) / 2


def triplet(
    points: tuple[Float[Array, "*batch n"], Float[Array, "*batch n"], Float[Array, "*batch n"]],
    target: Any = None,
    *,
    margin: float = 1.0,
) -> Float[Array, "*batch"]:
    r"""Have the positive nearer than the negative: :math:`\max(0, |a - p|^2 - |a - n|^2 + m)` of `points` (a, p, n).

    Distances are squared, as in Schroff et al. (2015, eq. 3): some libraries take their roots. `target` is not used: it
    is there so that the loss fits a ``Task``. Raises: ShapeError if shapes differ.

    >>> a, p, n = jnp.array([[0.0]]), jnp.array([[1.0]]), jnp.array([[2.0]])
    >>> fn.losses.triplet((a, p, n)), fn.losses.triplet((a, n, p))
    (Array([0.], dtype=float32), Array([4.], dtype=float32))
    """
    anchor, positive, negative = _vectors("triplet", points, ("anchor", "positive", "negative"))
    return nn.relu(jnp.square(anchor - positive).sum(-1) - jnp.square(anchor - negative).sum(-1) + margin)


def _direction(x: Array) -> Array:
    """Return x/|x|, or 0 for 0."""
    x, _, zero = _scaled(x)
    return jnp.where(zero, 0.0, x / _root_of_squares(x, zero))


def _length(x: Array) -> Array:
    """Return |x|, with gradient 0 at 0."""
    x, largest, zero = _scaled(x)
    return jnp.where(zero, 0.0, largest * _root_of_squares(x, zero))[..., 0]


def _root_of_squares(x: Array, zero: Array) -> Array:
    return jnp.sqrt(jnp.where(zero, 1.0, jnp.square(x).sum(-1, keepdims=True)))


def _scaled(x: Array) -> tuple[Array, Array, Array]:
    """Return x over its largest magnitude, that magnitude, 1 for 0, and whether it is 0.

    So neither 1e-30 nor 1e30 is lost when it is squared; taken as constant, it changes neither value nor gradient.
    """
    largest = jax.lax.stop_gradient(jnp.abs(x).max(-1, keepdims=True))
    zero = largest == 0
    largest = jnp.where(zero, 1.0, largest)
    return x / largest, largest, zero


def _vectors(where: str, arrays: Any, names: tuple[str, ...]) -> list[Array]:
    if not isinstance(arrays, tuple | list) or len(arrays) != len(names):
        got = f"{len(arrays)} arrays" if isinstance(arrays, tuple | list) else type(arrays).__name__
        raise ShapeError(where, f"the prediction must be a tuple ({', '.join(names)}), got {got}", "return that tuple.")
    vectors = [as_prediction(where, array) for array in arrays]
    for vector in vectors:
        check_same_shape(where, vectors[0], vector)
        _check_vectors(where, vector)
    widest = max((vector.dtype for vector in vectors), key=lambda dtype: dtype.itemsize)
    return [vector.astype(widest) for vector in vectors]


def _check_vectors(where: str, x: Array) -> None:
    if x.ndim < 1 or x.shape[-1] < 1:
        raise ShapeError(
            where, f"vectors must have shape (..., n) with n at least 1, got {x.shape}", "add the last axis."
        )
