"""Recurrent layers against float64 loops, and the laws of padding and of time."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.compose import bidirectional, serial
from fnnet.core import Layer, Masked
from fnnet.errors import DtypeError, ShapeError
from fnnet.initializers import normal
from fnnet.layers import gru, last_step, lstm, mean_step, rnn

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (3, 5, 4))
LENGTHS = (5, 3, 0)
MASK = jnp.arange(5)[None, :] < jnp.array(LENGTHS)[:, None]
F = 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn_step(p, x, carry):
    h = np.tanh(x @ p["kernel"] + carry[0] @ p["recurrent"] + p["bias"])
    return (h,)


def lstm_step(p, x, carry):
    h, c = carry
    gate = {
        name: x @ p["kernel"][:, cols] + h @ p["recurrent"][:, cols] + p["bias"][cols]
        for name, cols in ((n, slice(i * F, (i + 1) * F)) for i, n in enumerate("ifgo"))
    }
    c = sigmoid(gate["f"]) * c + sigmoid(gate["i"]) * np.tanh(gate["g"])
    return sigmoid(gate["o"]) * np.tanh(c), c


def gru_step(p, x, carry):
    (h,) = carry
    reset, update, new = (slice(i * F, (i + 1) * F) for i in range(3))
    r = sigmoid(x @ p["kernel"][:, reset] + h @ p["recurrent"][:, reset] + p["bias"][reset])
    z = sigmoid(x @ p["kernel"][:, update] + h @ p["recurrent"][:, update] + p["bias"][update])
    n = np.tanh(x @ p["kernel"][:, new] + p["bias"][new] + r * (h @ p["recurrent"][:, new] + p["reset_bias"]))
    return ((1 - z) * n + z * h,)


CELLS = {"rnn": (rnn, rnn_step, 1), "lstm": (lstm, lstm_step, 2), "gru": (gru, gru_step, 1)}
cells = pytest.mark.parametrize("cell", CELLS)


def make(cell, **options):
    return CELLS[cell][0](F, bias_init=normal(1.0), **options)


@functools.cache
def made(cell):
    """Parameters of the layer, made once in float32."""
    return jax.jit(make(cell).init)(KEY, X)[0]


def oracle(cell, params, x, length, reverse):
    """One example (time, n): outputs at its real steps."""
    _, step, carried = CELLS[cell]
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    carry, outputs = (np.zeros(F),) * carried, np.zeros((length, F))
    for t in reversed(range(length)) if reverse else range(length):
        carry = step(p, np.asarray(x[t], np.float64), carry)
        outputs[t] = carry[0]
    return outputs


@cells
@pytest.mark.parametrize("reverse", [False, True])
def test_a_recurrent_layer_is_the_loop_over_time(cell, reverse):
    """With and without padding, forwards and backwards."""
    layer = make(cell, reverse=reverse)
    params = made(cell)
    y, padded = jax.jit(lambda p: (layer(p, X), layer(p, Masked(X, MASK))))(params)
    chex.assert_trees_all_equal(padded.mask, MASK)
    for i, length in enumerate(LENGTHS):
        np.testing.assert_allclose(y[i], oracle(cell, params, X[i], 5, reverse), rtol=1e-4, atol=1e-5)
        expected = oracle(cell, params, X[i], length, reverse)
        np.testing.assert_allclose(padded.values[i, :length], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_the_state_stands_still_over_padding(cell):
    """Padding anywhere: outputs there repeat the last real one, zeros before the first."""
    layer = make(cell)
    params = made(cell)
    mask = jnp.array([False, True, False, True, False])
    y = layer(params, Masked(X[0], mask)).values
    dense = layer(params, X[0][jnp.array([1, 3])])
    chex.assert_trees_all_close(y, jnp.stack([0 * dense[0], dense[0], dense[0], dense[1], dense[1]]), rtol=1e-5)


@pytest.mark.parametrize("cell", ["lstm"])
def test_padding_has_no_influence(cell):
    """NaN at padding changes neither outputs nor gradients."""
    layer = make(cell)
    params = made(cell)

    @jax.jit
    def run(values):
        def loss(p, values):
            y = layer(p, Masked(values, MASK)).values
            return (y**2).sum(), y

        return jax.value_and_grad(loss, has_aux=True)(params, values)

    clean, filled = run(X), run(jnp.where(MASK[..., None], X, jnp.nan))
    chex.assert_trees_all_equal(clean, filled)
    chex.assert_tree_all_finite(clean)


SHAPES = {
    "rnn": {"kernel": (4, 3), "recurrent": (3, 3), "bias": (3,)},
    "lstm": {"kernel": (4, 12), "recurrent": (3, 12), "bias": (12,)},
    "gru": {"kernel": (4, 9), "recurrent": (3, 9), "bias": (9,), "reset_bias": (3,)},
}


@cells
def test_initial_parameters(cell):
    """Shapes as stated; each gate's recurrent block is orthogonal; the forget gate begins open."""
    params, state = jax.jit(CELLS[cell][0](F).init)(KEY, X)
    assert state == {}
    assert jax.tree.map(jnp.shape, params) == SHAPES[cell]
    blocks = np.split(np.asarray(params["recurrent"]), SHAPES[cell]["kernel"][1] // F, axis=1)
    for i, block in enumerate(blocks):
        np.testing.assert_allclose(block @ block.T, np.eye(F), atol=1e-5)
        assert not any(np.allclose(block, other) for other in blocks[i + 1 :])
    expected = np.repeat([0.0, 1.0, 0.0, 0.0], F) if cell == "lstm" else np.zeros(SHAPES[cell]["bias"])
    np.testing.assert_array_equal(params["bias"], expected)


def test_options_reach_the_cell():
    params, _ = lstm(F, forget_bias=2.0, kernel_init=normal(1.0)).init(KEY, X)
    assert params["bias"][F].item() == 2.0
    layer = rnn(F, activation=lambda x: x, recurrent_init=lambda key, shape, dtype: jnp.eye(F, dtype=dtype))
    params, _ = layer.init(KEY, X)
    chex.assert_trees_all_close(layer(params, X), jnp.cumsum(X @ params["kernel"], axis=1), rtol=1e-4, atol=1e-5)


@cells
def test_mistakes_are_reported(cell):
    with pytest.raises(ValueError, match=f"^{cell}: features must be at least 1, got 0$"):
        CELLS[cell][0](0)
    layer = make(cell)
    params = made(cell)
    with pytest.raises(ShapeError, match=rf"^{cell}: the last axis of the input must be 4"):
        layer(params, X[..., :3])
    with pytest.raises(ShapeError, match=rf"^{cell}: the input must have shape \(..., time, features\), got \(4,\)"):
        layer.init(KEY, X[0, 0])
    with pytest.raises(DtypeError, match=rf"^{cell}: the input must be floating-point, got int32"):
        layer.init(KEY, X.astype(jnp.int32))
    with pytest.raises(ShapeError, match=rf"^{cell}: the mask must have shape \(3, 5\), .* got \(5,\)"):
        layer(params, Masked(X, MASK[0]))


@pytest.mark.parametrize("make_cell", [rnn, lstm, gru])
def test_without_biases_it_is_that_of_zero_biases(make_cell):
    """bias_init=None leaves all of them out; of an LSTM the forget bias too."""
    options = {"forget_bias": 0.0} if make_cell is lstm else {}
    plain, biased = make_cell(F, bias_init=None), make_cell(F, **options)
    params, _ = plain.init(KEY, X)
    assert set(params) == {"kernel", "recurrent"}
    zeros = {name: leaf for name, leaf in biased.init(KEY, X)[0].items() if name not in params}
    assert not any(leaf.any() for leaf in zeros.values())
    chex.assert_trees_all_close(plain(params, X), biased(params | zeros, X), rtol=1e-6)


def test_a_function_runs_both_ways():
    """Any function array -> array is a layer, here too."""
    chex.assert_trees_all_equal(bidirectional(jnp.tanh)({}, X), jnp.concatenate([jnp.tanh(X), jnp.tanh(X)], -1))


@pytest.mark.parametrize("cell", ["gru"])
def test_bidirectional_is_one_layer_each_way(cell):
    """Its halves are the layer forwards and, with its own parameters, in reverse; so over padding too."""
    layer = bidirectional(make(cell))
    params, _ = jax.jit(layer.init)(KEY, X)
    assert not np.allclose(params["forward"]["kernel"], params["backward"]["kernel"])
    y = layer(params, Masked(X, MASK))
    forward = make(cell)(params["forward"], Masked(X, MASK))
    backward = make(cell, reverse=True)(params["backward"], Masked(X, MASK))
    chex.assert_trees_all_close(y.values, jnp.concatenate([forward.values, backward.values], -1), rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal(y.mask, MASK)


def test_bidirectional_reverses_with_time():
    """Reversing time and swapping the parameters reverses the output and swaps its halves."""
    layer = bidirectional(make("gru"))
    p, _ = jax.jit(layer.init)(KEY, X)
    y = layer(p, X)
    swapped = layer({"forward": p["backward"], "backward": p["forward"]}, X[:, ::-1])
    chex.assert_trees_all_close(jnp.concatenate([swapped[..., F:], swapped[..., :F]], -1), y[:, ::-1], rtol=1e-5)


def test_bidirectional_hands_on_state_keys_and_paths():
    def init(key, x):
        return {}, {"uses": jnp.zeros((), jnp.int32)}

    def apply(params, state, x, *, key=None, train=False):
        if x.shape[-1] != 4:
            raise ShapeError("toy", "wrong", "")
        if not train:
            return x, state
        return x + jax.random.normal(key, x.shape), {"uses": state["uses"] + 1}

    layer = bidirectional(Layer("toy", init, apply))
    params, state = layer.init(KEY, X)
    y, new = layer.apply(params, state, X, key=KEY, train=True)
    assert new == {"forward": {"uses": 1}, "backward": {"uses": 1}}
    assert not np.allclose(y[..., :4], y[..., 4:])
    with pytest.raises(ShapeError, match=r"forward \(toy\): wrong"):
        layer(params, X[..., :2], state)


def test_bidirectional_layers_without_parameters_compose():
    """``serial`` keeps no entry for a layer without parameters; the layer works without one."""
    double = Layer("double", lambda key, x: ({}, {}), lambda p, s, x, key=None, train=False: (2 * x, s))
    net = serial(bidirectional(double))
    params, state = net.init(KEY, X)
    assert (params, state) == ({}, {})
    chex.assert_trees_all_equal(net(params, X), jnp.concatenate([2 * X, 2 * X], -1))


def test_last_step_is_the_last_real_one():
    """Of ragged lengths, of gaps, of nothing (zeros), and of an array."""
    got = last_step()({}, Masked(X, MASK))
    chex.assert_trees_all_equal(got, jnp.stack([X[0, 4], X[1, 2], jnp.zeros(4)]))
    gaps = jnp.array([True, False, True, False, False])
    chex.assert_trees_all_equal(last_step()({}, Masked(X[0], gaps)), X[0, 2])
    chex.assert_trees_all_equal(last_step()({}, X), X[:, -1])


def test_mean_step_is_the_mean_of_the_real_ones():
    filled = jnp.where(MASK[..., None], X, jnp.nan)
    expected = [np.asarray(X[0]).mean(0), np.asarray(X[1, :3]).mean(0), np.zeros(4)]
    np.testing.assert_allclose(mean_step()({}, Masked(filled, MASK)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mean_step()({}, X), np.asarray(X).mean(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", [last_step(), mean_step()], ids=lambda layer: layer.name)
def test_reductions_need_a_time_axis(layer):
    with pytest.raises(ShapeError, match=rf"^{layer.name}: the input must have shape \(..., time, features\)"):
        layer({}, X[0, 0])
