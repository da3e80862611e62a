"""Slopes are the derivatives of the activations; shares, dead units and moments are counted from the values."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inspection_toys import drawn

import fnnet as fn
from fnnet.inspection import activations, dead_units, saturation, signal, slopes

pytestmark = pytest.mark.lowest

X = jax.random.normal(jax.random.key(3), (7, 4))


def test_the_slope_of_each_activation_is_its_derivative():
    """Of the table's functions, as children and as activations of a layer, away from kinks: one network of them all."""
    children = {}
    for row in fn.activations.TABLE:
        if row.name != "identity":
            children |= {f"map_{row.name}": fn.dense(4), row.name: row.function}
            children |= {f"layer_{row.name}": fn.dense(4, activation=row.function)}
    net = fn.serial(**children)
    params = drawn(net, X)
    values, found = activations(net, params, X), slopes(net, params, X)
    assert list(found) == [name for name in children if not name.startswith("map_")]
    for row in fn.activations.TABLE[1:]:
        np.testing.assert_allclose(found[row.name], row.derivative(values[f"map_{row.name}"]), rtol=1e-4, atol=1e-5)
        z = values[f"layer_{row.name}/z"]
        np.testing.assert_allclose(found[f"layer_{row.name}"], row.derivative(z), rtol=1e-4, atol=1e-5)


def test_what_is_no_elementwise_activation_has_no_slope():
    """Softmax, a permutation, a sum of branches, dropout, normalization; what passes a value on as it is."""
    net = fn.serial(
        jax.nn.softmax,
        jnp.flip,
        fn.residual(fn.serial(fn.dense(4))),
        fn.dropout(0.5),
        fn.layer_norm(),
        fn.dense(4, activation=jax.nn.softmax),
        fn.as_layer(lambda v: v),
        lambda v: jnp.cumsum(v, -1),
        lambda v: v * v.mean(),
        fn.layers.prelu(),
    )
    params, state = jax.jit(net.init)(jax.random.key(0), X)
    assert slopes(net, params, X, state) == {}


def test_an_activation_of_the_input_and_of_any_composition():
    """First of all, in nested, recomputed and compiled parts, in another precision, for integers before."""
    inner = fn.serial(fn.dense(4), fn.as_layer(jax.jit(jnp.tanh)))
    net = fn.serial(
        jax.nn.sigmoid, body=fn.remat(inner), low=fn.precision(fn.serial(jnp.sin)), out=fn.residual(fn.serial(jnp.cos))
    )
    params = drawn(net, X)
    values, found = activations(net, params, X), slopes(net, params, X)
    assert list(found) == ["sigmoid_0", "body/tanh_0", "low/sin_0", "out/body/cos_0"]
    s = jax.nn.sigmoid(X)
    chex.assert_trees_all_close(found["sigmoid_0"], s * (1 - s), rtol=1e-5)
    chex.assert_trees_all_close(found["body/tanh_0"], 1 - values["body/tanh_0"] ** 2, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(found["out/body/cos_0"], -jnp.sin(values["low"]), rtol=1e-4, atol=1e-6)
    tokens = fn.serial(fn.embedding(5, 3), jnp.tanh)
    params = drawn(tokens, jnp.arange(4))
    rows = activations(tokens, params, jnp.arange(4))["embedding_0"]
    chex.assert_trees_all_close(slopes(tokens, params, jnp.arange(4))["tanh_0"], 1 - jnp.tanh(rows) ** 2, rtol=1e-5)


def test_turns_and_members_have_their_own():
    """In a loop, slopes are those of its body, turn by turn; also of a body that begins with the activation."""
    body = fn.serial(jnp.tanh, fn.dense(4), jax.nn.relu)
    net = fn.serial(fn.repeat(body, 3), fn.ensemble(body, 2))
    params = drawn(net, X)
    values, found = activations(net, params, X), slopes(net, params, X)
    assert list(found) == [f"{copies}_0/{name}" for copies in ("repeat", "ensemble") for name in ("tanh_0", "relu_0")]
    for name in ("repeat_0", "ensemble_0"):
        chex.assert_trees_all_close(found[f"{name}/tanh_0"], 1 - values[f"{name}/tanh_0"] ** 2, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found[f"{name}/relu_0"], values[f"{name}/dense_0"] > 0)
    assert {path: v.shape for path, v in saturation(net, params, X).items()} == dict(
        zip(found, [(3,), (3,), (), ()], strict=True)
    )
    dead = dead_units(net, params, X)
    np.testing.assert_array_equal(dead["repeat_0/relu_0"], (values["repeat_0/dense_0"] <= 0).all(1))


@pytest.mark.row("gradient-instabilities")
def test_shares_and_dead_units_are_counted():
    """Of a convolution and a dense layer of ReLU with one unit each that never fires; least is a strict bound."""
    images = jax.random.normal(jax.random.key(1), (3, 5, 5, 2))
    net = fn.serial(fn.conv(4, activation=jax.nn.relu), fn.flatten(), fn.dense(6), fn.as_layer(jnp.tanh))
    params = drawn(net, images)
    params["conv_0"]["bias"] = params["conv_0"]["bias"].at[2].set(-1e3)
    found, share = slopes(net, params, images), saturation(net, params, images, least=0.3)
    for path in ("conv_0", "tanh_0"):
        np.testing.assert_allclose(share[path], np.mean(np.asarray(found[path]) < 0.3), rtol=1e-6)
    dead = dead_units(net, params, images)
    np.testing.assert_array_equal(dead["conv_0"], [False, False, True, False])
    assert not dead["tanh_0"].any()
    with pytest.raises(ValueError, match="saturation: least must be above 0, got 0"):
        saturation(net, params, images, least=0)


@pytest.mark.row("gradient-instabilities")
def test_the_signal_is_that_of_each_layer_at_its_depth():
    """Mean and variance are NumPy's of the values; a repeat is told turn by turn; compositions stand once."""
    body = fn.serial(fn.dense(4, activation=jnp.tanh))
    net = fn.serial(fn.dense(4), fn.repeat(body, 3), head=fn.serial(fn.dense(2)))
    key = jax.random.key(5)
    found = signal(net, key, X)
    assert found.paths == (
        "dense_0", "repeat_0[0]/dense_0", "repeat_0[1]/dense_0", "repeat_0[2]/dense_0", "repeat_0", "head/dense_0"
    )  # fmt: skip
    values = jax.tree.map(np.float64, activations(net, jax.jit(net.init)(key, X)[0], X))
    rows = [values["dense_0"], *values["repeat_0/dense_0"], values["repeat_0"], values["head"]]
    np.testing.assert_allclose(found.mean, [v.mean() for v in rows], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.var, [v.var() for v in rows], rtol=1e-4)


@pytest.mark.untyped
def test_a_signal_needs_a_key():
    with pytest.raises(fn.errors.KeyMissingError):
        signal(fn.dense(2), None, X)


def test_a_layer_that_is_repeated_alone_is_seen_turn_by_turn():
    """A repeat of a layer has Z and A, slopes and a signal of each turn, as has one of a composition of that layer."""
    layer = fn.dense(4, activation=jax.nn.relu)
    nets = [fn.serial(fn.repeat(body, 3), fn.dense(2)) for body in (layer, fn.serial(layer))]
    params = [drawn(net, X) for net in nets]
    params[1]["repeat_0"] = {"dense_0": params[0]["repeat_0"]}
    bare, within = (slopes(net, p, X) for net, p in zip(nets, params, strict=True))
    np.testing.assert_array_equal(bare["repeat_0/a"], within["repeat_0/dense_0"])
    bare, within = (activations(net, p, X) for net, p in zip(nets, params, strict=True))
    np.testing.assert_array_equal(bare["repeat_0/a"], within["repeat_0/dense_0"])
    np.testing.assert_array_equal(bare["repeat_0/a"], np.maximum(bare["repeat_0/z"], 0))
    paths = signal(nets[0], jax.random.key(0), X).paths
    assert paths == ("repeat_0[0]/a", "repeat_0[1]/a", "repeat_0[2]/a", "repeat_0", "dense_0")
    nested = fn.repeat(fn.repeat(layer, 2), 3)
    assert {path: v.shape for path, v in slopes(nested, drawn(nested, X), X).items()} == {"repeat/a": (3, 2, *X.shape)}


def test_a_recurrent_net_is_seen_step_by_step():
    """Its slopes are those at its outputs, by time; its signal and probes are of its output, which has all steps."""
    net = fn.serial(fn.rnn(3), fn.dense(2))
    x = jax.random.normal(jax.random.key(2), (5, 6, 2))
    params = drawn(net, x)
    h = activations(net, params, x)["rnn_0"]
    chex.assert_trees_all_close(slopes(net, params, x), {"rnn_0/a": jnp.moveaxis(1 - h**2, 1, 0)}, rtol=1e-5, atol=1e-6)
    assert signal(net, jax.random.key(0), x).paths == ("rnn_0", "dense_0")


def test_a_function_without_a_derivative_forwards_has_no_slope():
    """What has a custom_vjp is left out, and stops no slope of the others: in a layer, in a loop, under jit."""
    bent = jax.custom_vjp(jnp.tanh)
    bent.defvjp(lambda v: (jnp.tanh(v), v), lambda v, g: (g * (1 - jnp.tanh(v) ** 2),))
    body = fn.serial(fn.dense(4, activation=bent), jnp.tanh)
    net = fn.serial(fn.repeat(body, 2), fn.as_layer(jax.jit(bent)), fn.dense(4, activation=jax.nn.relu))
    params = drawn(net, X)
    values, found = activations(net, params, X), slopes(net, params, X)
    assert list(found) == ["repeat_0/tanh_0", "dense_0"]
    chex.assert_trees_all_close(found["repeat_0/tanh_0"], 1 - values["repeat_0/tanh_0"] ** 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["dense_0"], values["dense_0"] > 0)
