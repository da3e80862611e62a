"""The values within a network are what its layers compute, and their derivatives those of backpropagation."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspection_toys import drawn

import fnnet as fn
from fnnet.inspection import activations, gradients
from fnnet.inspection.intermediates import keep, whole
from fnnet.tagged import look
from fnnet.training.objectives import objective
from fnnet.training.steps import step_key

X = jax.random.normal(jax.random.key(3), (4, 6, 6, 2))
NETS = {
    "serial": fn.serial(
        fn.conv(3, activation=jax.nn.relu), fn.flatten(), body=fn.serial(fn.dense(5), jnp.tanh), head=fn.dense(2)
    ),
    "residual": fn.residual(fn.serial(fn.dense(2, activation=jnp.tanh))),
    "without composition": fn.dense(3, activation=jax.nn.sigmoid),
    "without tags": fn.as_layer(jnp.tanh),
}


@pytest.mark.row("z-and-a")
@pytest.mark.lowest
def test_each_is_what_the_layers_up_to_it_compute():
    """Of a serial network by hand: Z, A, function children, and the children of a child."""
    net = NETS["serial"]
    params = drawn(net, X)
    values = activations(net, params, X)
    names = ["conv_0/z", "conv_0", "flatten_0", "body/dense_0", "body/tanh_0", "body", "head"]
    assert list(values) == names
    z = fn.conv(3)(params["conv_0"], X)
    a = fn.flatten()({}, jnp.maximum(z, 0))
    hidden = fn.dense(5)(params["body"]["dense_0"], a)
    output = fn.dense(2)(params["head"], jnp.tanh(hidden))
    expected = [z, jnp.maximum(z, 0), a, hidden, jnp.tanh(hidden), jnp.tanh(hidden), output]
    chex.assert_trees_all_close(values, dict(zip(names, expected, strict=True)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_the_last_is_the_output(net):
    params = drawn(net, X)
    values = activations(net, params, X)
    chex.assert_trees_all_close(list(values.values())[-1], net(params, X), rtol=1e-6, atol=1e-7)


def test_names_of_nets_whose_output_no_child_makes():
    paths = {name: list(activations(net, drawn(net, X), X)) for name, net in NETS.items()}
    assert paths["residual"][-1] == "residual"
    assert paths["without composition"] == ["dense/z", "dense"]
    assert paths["without tags"] == ["tanh"]


def test_compiled_or_mapped_they_are_the_same():
    """jit changes no value; vmap over parameters stacks those of each network."""
    net = NETS["serial"]
    nets = [drawn(net, X, seed) for seed in range(3)]
    stacked = jax.vmap(lambda p: activations(net, p, X))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *nets))
    compiled = jax.jit(lambda p: activations(net, p, X))
    for member, params in enumerate(nets):
        alone = activations(net, params, X)
        chex.assert_trees_all_close(jax.tree.map(lambda v, n=member: v[n], stacked), alone, rtol=1e-4, atol=1e-5)
        chex.assert_trees_all_close(compiled(params), alone, rtol=1e-5, atol=1e-6)


def test_turns_and_members_stand_in_front():
    """A repeat's values are those of `serial` stacked; an ensemble's those of each member, for dense and conv alike."""
    body = fn.serial(fn.conv(2, activation=jnp.tanh), fn.dense(2))
    net = fn.serial(fn.repeat(body, 3), fn.ensemble(body, 5))
    params = drawn(net, X)
    values = activations(net, params, X)
    x = X
    for turn in range(3):
        inner = activations(body, jax.tree.map(lambda leaf, n=turn: leaf[n], params["repeat_0"]), x)
        of_turn = {path: values[f"repeat_0/{path}"][turn] for path in inner}
        chex.assert_trees_all_close(of_turn, inner, rtol=1e-4, atol=1e-5)
        x = inner["dense_0"]
    for member in range(5):
        inner = activations(body, jax.tree.map(lambda leaf, n=member: leaf[n], params["ensemble_0"]), x)
        of_member = {path: values[f"ensemble_0/{path}"][member] for path in inner}
        chex.assert_trees_all_close(of_member, inner, rtol=1e-4, atol=1e-5)


def test_in_training_they_are_those_of_training():
    net = fn.serial(fn.dropout(0.5), fn.batch_norm())
    params, state = jax.jit(net.init)(jax.random.key(0), X)
    key = jax.random.key(7)
    values = activations(net, params, X, state, key=key, train=True)
    expected, _ = jax.jit(lambda p: net.apply(p, state, X, key=key, train=True))(params)
    chex.assert_trees_all_close(values["batch_norm_0"], expected, rtol=1e-5)
    assert 0.3 < float((values["dropout_0"] == 0).mean()) < 0.7


def test_a_masked_has_its_values():
    x = fn.Masked(X[:, :, 0], jnp.ones((4, 6), bool))
    net = fn.serial(fn.rnn(3), fn.layers.last_step())
    params = drawn(net, x)
    values = activations(net, params, x)
    assert {path: value.shape for path, value in values.items()} == {
        "rnn_0/z": (6, 4, 3), "rnn_0/a": (6, 4, 3), "rnn_0": (4, 6, 3), "last_step_0": (4, 3)}  # fmt: skip
    chex.assert_trees_all_close(jnp.tanh(values["rnn_0/z"][-1]), values["last_step_0"], rtol=1e-6)


class Net(NamedTuple):
    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray


@pytest.mark.row("backpropagation")
@given(seed=st.integers(0, 10_000))
def test_derivatives_are_those_of_backpropagation_by_hand(seed):
    """Of a net of two layers, softmax and cross-entropy: δ₂ = (P − Y) / m, δ₁ = δ₂ W₂ᵀ ⊙ φ'(Z₁), in float64."""
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(8, 3)).astype(np.float32), random.integers(0, 4, 8)
    net = Net(*(random.normal(size=shape).astype(np.float32) for shape in ((3, 5), (5,), (5, 4), (4,))))
    params = {"dense_0": {"kernel": net.w1, "bias": net.b1}, "dense_1": {"kernel": net.w2, "bias": net.b2}}
    ts = fn.init(TASK, jax.random.key(0), x)._replace(params=jax.tree.map(jnp.asarray, params))
    found = gradients(TASK, ts, (jnp.asarray(x), jnp.asarray(y, jnp.int32)))

    wide = Net(*(a.astype(np.float64) for a in net))
    z1 = x.astype(np.float64) @ wide.w1 + wide.b1
    a1 = np.tanh(z1)
    z2 = a1 @ wide.w2 + wide.b2
    p = np.exp(z2 - z2.max(1, keepdims=True))
    d2 = (p / p.sum(1, keepdims=True) - np.eye(4)[y]) / len(y)
    da1 = d2 @ wide.w2.T
    d1 = da1 * (1 - a1**2)
    chex.assert_trees_all_close(
        jax.tree.map(np.asarray, found.activations),
        {"dense_0/z": d1, "dense_0": da1, "dense_1": d2},
        rtol=1e-3,
        atol=1e-5,
    )
    by_hand = {
        "dense_0/kernel": x.T @ d1,
        "dense_0/bias": d1.sum(0),
        "dense_1/kernel": a1.T @ d2,
        "dense_1/bias": d2.sum(0),
    }
    chex.assert_trees_all_close(jax.tree.map(np.asarray, found.params), by_hand, rtol=1e-3, atol=1e-5)


TASK = fn.Task(fn.serial(fn.dense(5, activation=jnp.tanh), fn.dense(4)), fn.losses.cross_entropy, fn.sgd(0.1))


def test_derivatives_are_limits_of_differences(x64):
    """∂J/∂V is the change of the objective when V is moved, in loops, ensembles, dropout and batch norm too."""
    net = fn.serial(
        fn.repeat(fn.serial(fn.dense(3, activation=jnp.tanh), fn.dropout(0.3)), 2),
        fn.batch_norm(),
        fn.ensemble(fn.serial(fn.dense(4)), 2),
        lambda v: v.mean(0),
    )
    task = fn.Task(net, fn.losses.cross_entropy, fn.sgd(0.1), penalty=fn.tree.squared_norm)
    x, y = jax.random.normal(jax.random.key(1), (6, 3)), jnp.arange(6) % 4
    ts = jax.jit(fn.init, static_argnums=0)(task, jax.random.key(0), x)
    found = gradients(task, ts, (x, y))
    assert list(found.activations) == [
        "repeat_0/dense_0/z", "repeat_0/dense_0", "repeat_0/dropout_0", "repeat_0", "batch_norm_0",
        "ensemble_0/dense_0", "ensemble_0", "lambda_0"]  # fmt: skip
    after, _ = jax.jit(fn.step, static_argnums=0)(task, ts, (x, y))
    before, after = (fn.tree.flatten(state.params) for state in (ts, after))
    step = {path: (np.asarray(before[path]) - np.asarray(after[path])) / 0.1 for path in before}
    chex.assert_trees_all_close(found.params, step, rtol=1e-9, atol=1e-12)

    @jax.jit
    def moved(added):
        def apply(params, state, x, *, key=None, train=False):
            return look(whole(net, key, train=train), params, state, x, visit=keep, added=added)[0]

        seen = task._replace(net=net._replace(apply=apply))
        return objective(seen, ts.params, ts.state, (x, y), step_key(ts)).loss

    random = np.random.default_rng(0)
    directions = {path: random.normal(size=v.shape) for path, v in found.activations.items()}
    for path, direction in directions.items():
        up, down = (
            float(moved({f"serial/{name}": size * v if name == path else 0 * v for name, v in directions.items()}))
            for size in (1e-6, -1e-6)
        )
        expected = np.vdot(found.activations[path], direction)
        np.testing.assert_allclose((up - down) / 2e-6, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.untyped
def test_what_is_no_task_no_state_no_batch():
    """The errors are those of `fn.step`."""
    x = X[:, 0, 0]
    ts = fn.init(TASK, jax.random.key(0), x)
    with pytest.raises(TypeError, match="expected a Task"):
        gradients(TASK.net, ts, (x, x))
    with pytest.raises(TypeError, match="gradients: expected a TrainState"):
        gradients(TASK, ts.params, (x, x))
    with pytest.raises(fn.errors.DataError, match=r"expected \(x, y\)"):
        gradients(TASK, ts, x)
