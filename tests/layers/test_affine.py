"""The dense layer against float64, and its law."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.activations import matching_initializer
from fnnet.compose import serial
from fnnet.errors import PathError
from fnnet.initializers import normal
from fnnet.layers import conv, dense, rnn


@pytest.mark.row("dense")
def test_it_is_the_affine_map_then_the_activation(key):
    """y = φ(x W + b) in float64, whatever the leading axes, with a bias and without."""
    x = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    for bias_init in (normal(1.0), None):
        layer = dense(4, activation=jnp.tanh, bias_init=bias_init)
        params, state = layer.init(key, x)
        assert state == {}
        assert jax.tree.map(jnp.shape, params) == {"kernel": (5, 4)} | ({"bias": (4,)} if bias_init else {})
        bias = np.asarray(params.get("bias", np.zeros(4)), np.float64)
        expected = np.tanh(x.astype(np.float64) @ np.asarray(params["kernel"], np.float64) + bias)
        np.testing.assert_allclose(layer(params, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.row("dense")
def test_the_bias_is_one_more_row_of_the_kernel(x64, key):
    """x W + b = (x, 1) (W; b): the form with a bias is the one without, of an input with a 1; gradients too."""
    x = np.random.default_rng(0).normal(size=(7, 5))
    params, _ = dense(4).init(key, jnp.asarray(x))
    params["bias"] = jnp.arange(1.0, 5.0)
    augmented = {"kernel": jnp.concatenate([params["kernel"], params["bias"][None]])}
    with_one = jnp.concatenate([x, jnp.ones((7, 1))], axis=1)
    plain = dense(4, bias_init=None)
    np.testing.assert_allclose(dense(4)(params, x), plain(augmented, with_one), rtol=1e-12)
    grads = jax.grad(lambda p: (dense(4)(p, x) ** 2).sum())(params)
    expected = jax.grad(lambda p: (plain(p, with_one) ** 2).sum())(augmented)["kernel"]
    np.testing.assert_allclose(jnp.concatenate([grads["kernel"], grads["bias"][None]]), expected, rtol=1e-12)


@pytest.mark.parametrize("activation", [jax.nn.relu, jnp.tanh, jax.nn.selu])
def test_told_its_activation_it_is_the_pair(activation, key):
    """dense(n, activation=f) = serial(dense(n, kernel_init=matching_initializer(f)), f), initial values included."""
    x = jnp.ones((2, 5))
    pair = serial(dense(4, kernel_init=matching_initializer(activation)), activation)
    params, _ = serial(dense(4, activation=activation)).init(key, x)
    chex.assert_trees_all_equal(params, pair.init(key, x)[0])
    chex.assert_trees_all_equal(serial(dense(4, activation=activation))(params, x), pair(params, x))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: dense(0), ValueError, "dense: features must be at least 1, got 0"),
        (lambda: dense(64 / 2), ValueError, r"dense: features must be a whole number, got 32\.0"),
        (lambda: dense(True), ValueError, "dense: features must be a whole number, got True"),
        (lambda: dense(4, activation="relu"), TypeError, r"dense: activation must be .* jax\.nn\.relu, got 'relu'"),
        (lambda: conv(4, activation="relu"), TypeError, "conv: activation must be a function"),
        (lambda: rnn(4, activation="tanh"), TypeError, "rnn: activation must be a function"),
    ],
)
def test_impossible_arguments(make, error, message):
    with pytest.raises(error, match=f"^{message}"):
        make()


def test_counts_may_be_of_numpy(key):
    params, _ = dense(np.int64(3)).init(key, jnp.ones((1, 2)))
    assert params["kernel"].shape == (2, 3)


def test_parameters_of_another_net_are_named(key):
    """Those of fewer layers, those of a state that holds more than parameters, and none at all."""
    net = serial(dense(3), dense(2))
    x = jnp.ones((1, 4))
    params, state = net.init(key, x)
    with pytest.raises(PathError) as caught:
        net({"dense_0": params["dense_0"]}, x)
    problem, fix = str(caught.value).splitlines()
    assert problem == "dense_1: the parameters must have the entry 'kernel', got none"
    assert fix.startswith("  Fix: pass those that init of this same network made")
    with pytest.raises(PathError, match="dense_0: the parameters of the net must be a dict"):
        net((params, state), x)
    with pytest.raises(PathError, match="dense: the parameters must have the entry 'kernel', got tuple"):
        dense(3)((params, state), x)
