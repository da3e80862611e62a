"""Losses of boxes: what they are of right, bad and padded targets, and that following them finds a box."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_toys import BOXES, fails

from fnnet import boxes, losses
from fnnet.errors import DataError, DtypeError, ShapeError

ALL = {name: getattr(losses, name) for name in ("iou", "giou", "diou", "ciou")}
P, T = jnp.asarray(BOXES[0]), BOXES[1]
every = pytest.mark.parametrize("name", ALL)


@pytest.mark.row("localisation")
@every
def test_it_is_one_minus_the_similarity(name):
    """Of any leading axes; 0, exactly and without a gradient, for the right box."""
    value = ALL[name](P.reshape(2, 2, 4), T.reshape(2, 2, 4))
    np.testing.assert_array_equal(value, 1 - getattr(boxes, name)(P, T).reshape(2, 2))
    right, slope = jax.value_and_grad(lambda p: ALL[name](p, T).sum())(jnp.asarray(T))
    assert right == 0
    assert np.abs(slope).max() < 1e-6


@every
def test_a_bad_target_is_noticed(name):
    """Not finite or inverted: an error that names it where it is known, nan where it is traced, for that box alone."""
    bad = {"not finite": np.float32([0, 0, np.inf, 1]), "inverted": np.float32([2, 0, 1, 1])}
    for problem, box in bad.items():
        target = T.copy()
        target[2] = box
        with fails(DataError, f"^{name}: target: box ", "at index 2", problem, r"\(1 of 4 boxes is bad\)", "Fix"):
            ALL[name](P, target)
        value = jax.jit(ALL[name])(P, target)
        assert np.isnan(value).tolist() == [False, False, True, False]


@every
def test_padding_may_be_weighed_out(name):
    """A target without area is allowed: its loss and gradient are finite, so that weight 0 leaves nothing of it."""
    target = T.copy()
    target[1] = 0

    def mean(p):
        return (ALL[name](p, target) * jnp.array([1.0, 0.0, 1.0, 1.0])).sum()

    value, slope = jax.value_and_grad(mean)(jnp.asarray(P))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()
    assert not slope[1].any()


@pytest.mark.row("localisation")
@pytest.mark.parametrize("name", ["giou", "diou", "ciou"])
def test_descent_finds_a_box_that_is_apart(name):
    """From a box apart, to which the IoU has no gradient, a few hundred small steps reach an IoU above 0.9."""
    start, target = jnp.array([8.0, 8.0, 9.0, 10.0]), jnp.array([0.0, 1.0, 4.0, 3.0])
    assert not jax.grad(losses.iou)(start, target).any()

    @jax.jit
    def descend(box):
        def step(carry, t):
            slope = jax.grad(ALL[name])(carry, target)
            return carry - 0.5 * 0.99**t * slope / jnp.linalg.norm(slope), None

        return jax.lax.scan(step, box, jnp.arange(500.0))[0]

    assert boxes.iou(descend(start), target) > 0.9


@pytest.mark.untyped
@every
def test_wrong_arguments(name):
    with fails(ShapeError, r"prediction must have shape \(\.\.\., 4\), got \(4, 3\)", "four coordinates"):
        ALL[name](P[:, :3], T[:, :3])
    with fails(ShapeError, r"prediction's shape \(4, 4\), got \(4,\)", "nothing is broadcast"):
        ALL[name](P, T[0])
    with fails(DtypeError, "floating-point, got int32"):
        ALL[name](P.astype(np.int32), T)
    assert ALL[name](P, np.round(T).astype(np.int32)).dtype == jnp.float32
