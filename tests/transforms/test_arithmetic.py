"""Arithmetic between a number of the state and a leaf."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet import schedules, transforms
from fnnet.transforms.arithmetic import bias_correction


def test_bias_correction_has_its_derivative_at_zero(x64):
    """d(1 - βᵗ)/dβ = -t βᵗ⁻¹, at β = 0 too, where momentum is being tried."""
    for decay, count, slope in ((0.0, 1, -1.0), (0.0, 2, 0.0), (0.5, 3, -0.75), (0.999, 2, -1.998)):
        derivative = jax.grad(bias_correction)(jnp.asarray(decay), jnp.asarray(count))
        np.testing.assert_allclose(derivative, slope, rtol=1e-12)


COUNTING = {
    "adam": transforms.scale_by_adam(),
    "amsgrad": transforms.scale_by_amsgrad(),
    "adamax": transforms.scale_by_adamax(),
    "radam": transforms.scale_by_radam(),
    "average": transforms.average(),
    "factored_rms": transforms.scale_by_factored_rms(),
    "lbfgs": transforms.scale_by_lbfgs(2),
    "learning_rate": transforms.scale_by_learning_rate(schedules.cosine(0.1, steps=10)),
    "follow_schedules": transforms.follow_schedules(transforms.scale(1.0), {"factor": schedules.constant(0.5)}),
}


@pytest.mark.parametrize("optimizer", COUNTING.values(), ids=COUNTING)
def test_counts_stay_at_the_largest_int32(optimizer):
    """A count of updates stops where it would wrap round to below zero, and the update there is finite."""
    most, params = jnp.iinfo(jnp.int32).max, {"w": jnp.array([1.0, -2.0])}
    state = optimizer.init(params)._replace(count=jnp.asarray(most - 1, jnp.int32))
    for _ in range(2):
        updates, state = optimizer.update(params, state, params)
        assert int(state.count) == most
        assert jnp.all(jnp.isfinite(updates["w"]))
