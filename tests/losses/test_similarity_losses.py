"""Losses of vectors far from length one, and what they are made of."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_toys import REAL, SOFT, Z, fails

from fnnet import losses
from fnnet.errors import ShapeError


def test_cosine_does_not_depend_on_length():
    """cosine(s·a, b) = cosine(a, b) for any s > 0 that float32 holds; a zero vector has loss 1 and gradient 0."""
    for s in (1e-30, 1e30):
        np.testing.assert_allclose(losses.cosine(Z * np.float32(s), REAL), losses.cosine(Z, REAL), rtol=1e-5)
    value, gradient = jax.value_and_grad(lambda a: losses.cosine(a, REAL[0]))(jnp.zeros(3))
    assert value == 1
    np.testing.assert_array_equal(gradient, np.zeros(3))


@pytest.mark.parametrize(
    ("distance", "same", "value", "slope"),
    [(1e-20, 0, 0.5, -1.0), (1e-20, 1, 0.0, 1e-20), (1e20, 0, 0.0, 0.0), (1e20, 1, np.inf, 1e20)],
)
def test_contrastive_at_distances_whose_square_float32_cannot_hold(distance, same, value, slope):
    """The gradient is that of the formula; the value is infinite only where the true one does not fit."""
    pair = jnp.array([[distance, 0.0]]), jnp.zeros((1, 2))
    got, (a, b) = jax.value_and_grad(lambda pair: losses.contrastive(pair, np.array([same]))[0])(pair)
    np.testing.assert_allclose(got, value, rtol=1e-6)
    np.testing.assert_allclose(a, [[slope, 0.0]], rtol=1e-6)
    np.testing.assert_array_equal(b, -a)


def test_a_pair_that_is_half_alike_mixes_the_two_contrastive_losses():
    """y of the loss of like pairs, 1 - y of that of unlike ones, in float64 with a margin of 2."""
    y, a, b = SOFT[:, 0], Z.astype(np.float64), REAL.astype(np.float64)
    a = b + (a - b) / 4  # on both sides of the margin
    d = np.linalg.norm(a - b, axis=-1)
    assert (d < 2).any()
    assert (d > 2).any()
    want = (y * d**2 + (1 - y) * np.maximum(0, 2 - d) ** 2) / 2
    pair = a.astype(np.float32), REAL
    np.testing.assert_allclose(losses.contrastive(pair, y, margin=2.0), want, rtol=1e-5)


def test_the_margin_of_a_triplet_is_that_given():
    """A margin of 10 in NumPy, where some rows are within it and some beyond."""
    a, p, n = Z.astype(np.float64), REAL.astype(np.float64), Z[::-1].astype(np.float64)
    want = np.maximum(0, ((a - p) ** 2).sum(-1) - ((a - n) ** 2).sum(-1) + 10)
    assert (want > 0).any()
    assert (want == 0).any()
    np.testing.assert_allclose(losses.triplet((Z, REAL, Z[::-1]), margin=10.0), want, rtol=1e-5)


def test_vectors_are_compared_in_the_widest_of_their_dtypes(x64):
    """A float64 keeps its digits beside a float32, whichever comes first; each gradient has its own dtype."""
    near, one = jnp.array([[1.0 + 1e-12]], jnp.float64), jnp.ones((1, 1), jnp.float32)
    for pair in ((near, one), (one, near)):
        value, slopes = jax.value_and_grad(lambda pair: losses.contrastive(pair, np.array([1]))[0])(pair)
        np.testing.assert_allclose(value, 5e-25, rtol=1e-3)
        assert [slope.dtype for slope in slopes] == [vector.dtype for vector in pair]
    assert jax.eval_shape(losses.triplet, (one, one, near)).dtype == jnp.float64
    assert jax.eval_shape(losses.cosine, one, near).dtype == jnp.float32


def test_vectors_of_other_shapes_or_of_no_length_raise():
    """Every vector has the first one's shape, and at least one entry."""
    with fails(ShapeError, r"contrastive: .* shape \(4, 3\), got \(4, 2\)", "nothing is broadcast"):
        losses.contrastive((Z, Z[:, :2]), np.ones(4))
    with fails(ShapeError, r"triplet: .* shape \(4, 3\), got \(3,\)"):
        losses.triplet((Z, Z, Z[0]))
    with fails(ShapeError, r"contrastive: the target must have the prediction's shape \(4,\), got \(4, 1\)"):
        losses.contrastive((Z, REAL), np.ones((4, 1)))
    for loss, empty in ((losses.triplet, (Z[:, :0],) * 3), (losses.cosine, Z[:, :0])):
        with fails(ShapeError, r"with n at least 1, got \(4, 0\)", "add the last axis"):
            loss(empty, Z[:, :0])
