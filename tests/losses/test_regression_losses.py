"""Losses of regression where the plain formula would lose digits or overflow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fnnet import losses


def test_log_cosh_is_precise_near_zero_and_far_away():
    """Relative error of float32 from 1e-6 to 1e30, and gradient tanh."""
    x = np.concatenate([np.logspace(-6, 1, 50), [1e2, 1e4, 1e30]]).astype(np.float32)
    e = x.astype(np.float64)
    want = np.where(e < 1e-3, e**2 / 2 - e**4 / 12, e + np.log1p(np.exp(-2 * e)) - np.log(2))
    np.testing.assert_allclose(losses.log_cosh(x, np.zeros_like(x)), want, rtol=1e-6)
    np.testing.assert_allclose(
        jax.grad(lambda x: losses.log_cosh(x, jnp.zeros_like(x)).sum())(x), np.tanh(e), rtol=1e-6
    )


def test_poisson_continues_smoothly():
    """Beyond the largest log-rate the loss goes on as the tangent: the gradient there is constant."""
    slope = jax.vmap(jax.grad(losses.poisson))(jnp.array([49.0, 50.0, 60.0, 1e4]), jnp.zeros(4))
    np.testing.assert_allclose(slope, np.exp([49.0, 50.0, 50.0, 50.0]), rtol=1e-5)


def test_float16_does_not_overflow():
    """A square that float16 cannot hold is held: 300² > 65504."""
    assert losses.squared_error(jnp.array([300.0], jnp.float16), jnp.array([0.0])) == 90000


def test_poisson_of_a_rate_of_zero_and_no_events_is_zero():
    """At a log-rate of -inf a count of 0 has loss 0 and gradient 0; any other count is an infinite surprise."""
    value, slope = jax.value_and_grad(losses.poisson)(jnp.array(-jnp.inf), jnp.array(0))
    assert (value, slope) == (0, 0)
    assert losses.poisson(jnp.array([-jnp.inf]), jnp.array([2])) == jnp.inf
