"""Arithmetic between a number of the state and a leaf."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet import schedules, transforms
from fnnet.transforms.arithmetic import bias_correction, leaf_norm, norm


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


SIZES = [1.0, 1e20, 1e25, 6e37, 1e-20, 1e-37]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("function", [norm, leaf_norm])
def test_norms_and_their_derivatives_over_the_range_of_float32(function, size):
    """Where a square is infinite or 0 too: the norm of (3, 4), and its gradient (3, 4)/5, in a vmap as well."""
    x = size * jnp.array([3.0, 4.0])
    value, slope = jax.jit(jax.value_and_grad(function))(x)
    np.testing.assert_allclose(np.float64(value) / size, 5, rtol=1e-6)
    np.testing.assert_allclose(slope, [0.6, 0.8], rtol=1e-6)
    values, slopes = jax.vmap(jax.value_and_grad(function))(jnp.stack([x, jnp.ones(2), jnp.zeros(2)]))
    np.testing.assert_allclose(np.float64(values) / [size, 1, 1], [5, 2**0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(slopes, [[0.6, 0.8], [0.5**0.5, 0.5**0.5], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("function", [norm, leaf_norm])
def test_norms_of_other_dtypes(function):
    """16 bits are summed in float32; a complex number's magnitude may overflow where its parts do not."""
    assert function(jnp.ones((300, 300), jnp.float16)) == 300
    np.testing.assert_allclose(function(1e38 * jnp.array([3.0 + 0.0j, 1j])), 1e38 * 10**0.5, rtol=1e-6)
    assert function(jnp.zeros((0, 3))) == 0
    assert function(jnp.array([1.0, jnp.inf])) == jnp.inf
    assert jnp.isnan(function(jnp.array([1.0, jnp.nan])))
