"""Rotary, sinusoidal and learned positions against loops of the formulas."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.core import Masked
from fnnet.errors import DtypeError, ShapeError
from fnnet.layers import learned_positions, rotary, sinusoidal_positions

X = jax.random.normal(jax.random.key(1), (2, 5, 6))
MASK = jnp.ones((2, 5), bool)


def test_rotary_rotates_each_pair_by_its_angle():
    """Feature i and i + d/2, as a complex number, are multiplied by exp(i p base^(-2i/d))."""
    y = np.asarray(rotary(X, base=50.0))
    x = np.asarray(X, np.float64)
    for p in range(5):
        for i in range(3):
            z = (x[:, p, i] + 1j * x[:, p, i + 3]) * np.exp(1j * p * 50.0 ** (-2 * i / 6))
            np.testing.assert_allclose(y[:, p, i], z.real, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(y[:, p, i + 3], z.imag, rtol=1e-4, atol=1e-5)


def test_rotary_products_depend_on_the_distance_alone():
    """q at s and k at t: the product is the same at s + c and t + c."""
    q, k = X[0, 0], X[1, 0]

    @jax.jit
    def product(s, t):
        return (rotary(q[None], positions=s[None]) * rotary(k[None], positions=t[None])).sum()

    at = lambda s, t: product(jnp.array(s), jnp.array(t)).item()  # noqa: E731
    assert at(3, 1) == pytest.approx(at(13, 11), rel=1e-4)
    assert at(3, 1) == pytest.approx(at(2, 0), rel=1e-4)
    assert at(3, 1) != pytest.approx(at(1, 3), rel=1e-3)
    chex.assert_trees_all_close(jnp.linalg.norm(rotary(X), axis=-1), jnp.linalg.norm(X, axis=-1), rtol=1e-5)


def test_rotary_takes_heads_after_time():
    y = rotary(X[:, :, None, :], time_axis=-3)
    chex.assert_trees_all_close(y[:, :, 0], rotary(X), rtol=1e-6)


def test_rotary_computes_angles_in_float32_and_keeps_the_dtype():
    """At position 1000 bfloat16 could not tell the angle from that of its neighbours."""
    positions = jnp.array([1001])
    x = jnp.ones((1, 2), jnp.bfloat16)
    y = rotary(x, positions=positions)
    assert y.dtype == jnp.bfloat16
    expected = [np.cos(1001) - np.sin(1001), np.cos(1001) + np.sin(1001)]
    np.testing.assert_allclose(y[0].astype(jnp.float32), expected, rtol=0.01)


def test_sinusoidal_positions_are_sines_and_cosines():
    y = sinusoidal_positions()({}, X)
    table = np.zeros((5, 6))
    for p in range(5):
        for i in range(3):
            table[p, 2 * i], table[p, 2 * i + 1] = np.sin(p / 10000 ** (i / 3)), np.cos(p / 10000 ** (i / 3))
    np.testing.assert_allclose(y, np.asarray(X) + table, rtol=1e-5, atol=1e-6)


def test_learned_positions_add_the_first_rows_of_their_table():
    layer = learned_positions(9)
    params, _ = layer.init(jax.random.key(0), X)
    table = np.asarray(params["table"])
    assert table.shape == (9, 6)
    assert 0.01 < table.std() < 0.03
    np.testing.assert_allclose(layer(params, X), np.asarray(X) + table[None, :5], rtol=1e-6)


@pytest.mark.parametrize("layer", [sinusoidal_positions(), learned_positions(9)], ids=lambda layer: layer.name)
def test_layers_return_what_they_took(layer):
    """A Masked gives a Masked of the same mask; no leading axes are needed; dtypes stay."""
    params, _ = layer.init(jax.random.key(0), Masked(X, MASK))
    y = layer(params, Masked(X, MASK))
    chex.assert_trees_all_equal(y, Masked(layer(params, X), MASK))
    chex.assert_trees_all_close(layer(params, X[0]), layer(params, X)[0], rtol=1e-6)
    half = layer(jax.tree.map(lambda p: p.astype(jnp.bfloat16), params), X.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16


def test_mistakes_are_reported():
    with pytest.raises(ShapeError, match=r"rotary: positions must have shape \(5,\), one a step, got \(4,\)"):
        rotary(X, positions=jnp.arange(4))
    with pytest.raises(ShapeError, match=r"rotary: the last axis must be even, got shape \(2, 5, 5\)"):
        rotary(X[..., :5])
    with pytest.raises(DtypeError, match=r"rotary: the input must be floating-point, got int32"):
        rotary(X.astype(jnp.int32))
    with pytest.raises(ShapeError, match=r"sinusoidal_positions: the last axis must be even, got shape \(2, 5, 5\)"):
        sinusoidal_positions()({}, X[..., :5])
    with pytest.raises(ValueError, match=r"sinusoidal_positions: base must be positive, got 0"):
        sinusoidal_positions(base=0)
    with pytest.raises(ValueError, match=r"learned_positions: length must be at least 1, got 0"):
        learned_positions(0)
    layer = learned_positions(4)
    params, _ = layer.init(jax.random.key(0), X)
    with pytest.raises(ShapeError, match=r"sequences must have at most 4 steps, got shape \(2, 5, 6\)\n  Fix: .*\(5\)"):
        layer(params, X)
    with pytest.raises(ShapeError, match=r"learned_positions: the last axis of the input must be 6"):
        layer(params, X[..., :5])
