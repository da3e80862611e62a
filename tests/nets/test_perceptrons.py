"""Networks by name are the compositions that they say, and the widths proposed for them go as their rule says."""

from __future__ import annotations

from itertools import pairwise

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fnnet as fn

COUNTS = st.tuples(st.integers(1, 200), st.integers(1, 20), st.integers(2, 8))


def size(inputs, widths):
    """Count the parameters of dense layers by hand: a kernel (n, m) and m biases each."""
    return sum(n * m + m for n, m in pairwise((inputs, *widths)))


@pytest.mark.row("feedforward")
def test_mlp_is_the_serial_of_its_dense_layers(key):
    """Same names, same initial values, same outputs; the last layer is linear."""
    x = jax.random.normal(jax.random.key(1), (5, 3), jnp.float32)
    net = fn.nets.mlp((4, 6, 2), jnp.tanh)
    by_hand = fn.serial(fn.dense(4, activation=jnp.tanh), fn.dense(6, activation=jnp.tanh), fn.dense(2))
    params, _ = net.init(key, x)
    chex.assert_trees_all_equal(params, by_hand.init(key, x)[0])
    chex.assert_trees_all_equal(net(params, x), by_hand(params, x))
    assert fn.tree.size(params) == size(3, (4, 6, 2))


def test_mlp_without_activation_collapses(key):
    """Without non-linearity it is affine, whatever its depth."""
    x = jnp.ones((1, 3))
    params, _ = fn.nets.mlp((4, 6, 2), None).init(key, x)
    layer, one = fn.collapse(fn.nets.mlp((4, 6, 2), None), params, x)
    chex.assert_trees_all_close(layer(one, x), fn.nets.mlp((4, 6, 2), None)(params, x), rtol=1e-5)


@pytest.mark.row("widths")
@given(COUNTS)
def test_expand_goes_up_and_then_down(counts):
    """The first layer is wider than input and output, and no layer after it is wider than the one before."""
    inputs, outputs, depth = counts
    widths = fn.nets.widths(inputs, outputs, depth, "expand")
    assert len(widths) == depth
    assert widths[0] > max(inputs, outputs)
    assert widths[-1] == outputs
    assert all(a >= b for a, b in pairwise(widths))


@pytest.mark.row("widths")
@given(COUNTS)
def test_reduce_goes_down(counts):
    """From the input on no layer is wider than the one before, and steps are of one factor, to rounding."""
    inputs, outputs, depth = counts
    inputs = max(inputs, outputs)
    widths = fn.nets.widths(inputs, outputs, depth, "reduce")
    assert len(widths) == depth
    assert widths[-1] == outputs
    assert all(a >= b for a, b in pairwise((inputs, *widths)))
    exact = [inputs * (outputs / inputs) ** ((n + 1) / depth) for n in range(depth)]
    assert all(abs(width - value) <= 0.5 + 1e-9 for width, value in zip(widths, exact, strict=True))


@given(COUNTS)
def test_uniform_is_level(counts):
    """All hidden layers are as wide, and between inputs and outputs."""
    inputs, outputs, depth = counts
    *hidden, last = fn.nets.widths(inputs, outputs, depth, "uniform")
    assert len(set(hidden)) == 1
    assert last == outputs
    assert min(inputs, outputs) <= hidden[0] <= max(inputs, outputs)


@given(st.sampled_from(["expand", "reduce", "uniform"]), st.integers(2, 6), st.integers(4000, 8000))
def test_parameters_are_met(rule, depth, parameters):
    """The network has the parameters asked for, to 5%, and still goes as its rule says."""
    inputs = {"expand": 3, "reduce": 300, "uniform": 64}[rule]
    widths = fn.nets.widths(inputs, 10, depth, rule, parameters=parameters)
    assert abs(size(inputs, widths) / parameters - 1) < 0.05
    assert widths[-1] == 10
    assert all(a >= b for a, b in pairwise(widths if rule == "expand" else widths[:-1]))
    assert {"expand": widths[0] > inputs, "reduce": widths[0] <= inputs, "uniform": len(set(widths[:-1])) == 1}[rule]


@given(st.integers(700, 20_000))
def test_no_other_width_is_nearer(parameters):
    """Of all uniform networks of three layers the proposed one is nearest, found by trying each."""
    sizes = {width: size(64, (width, width, 10)) for width in range(1, 200)}
    found = fn.nets.widths(64, 10, 3, "uniform", parameters=parameters)[0]
    assert abs(sizes[found] - parameters) == min(abs(value - parameters) for value in sizes.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2, 3, "expand"), "inputs must be at least 1, got 0"),
        ((2, 2.5, 3, "expand"), "outputs must be a whole number, got 2.5"),
        ((2, 2, 1, "expand"), "depth must be at least 2, got 1"),
        ((2, 2, 3, "shrink"), "rule must be 'expand', 'reduce' or 'uniform', got 'shrink'"),
        ((2, 3, 3, "reduce"), "to reduce, inputs must be at least the 3 outputs, got 2"),
        (
            (64, 10, 3, "reduce", 100_000),
            "parameters must be at most 6045 for rule 'reduce' at these sizes, got 100000",
        ),
        ((64, 10, 3, "expand", 100), "parameters must be at least 6135 for rule 'expand' at these sizes, got 100"),
        ((64, 10, 3, "uniform", 0), "parameters must be at least 1, got 0"),
    ],
)
def test_widths_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match="^widths: " + message):
        fn.nets.widths(*arguments[:4], parameters=arguments[4] if len(arguments) > 4 else None)


def test_widths_may_be_an_array(key):
    x = jnp.ones((2, 3))
    chex.assert_trees_all_equal(fn.nets.mlp(np.array([4, 2])).init(key, x)[0], fn.nets.mlp((4, 2)).init(key, x)[0])


def test_no_widths():
    with pytest.raises(ValueError, match=r"mlp: widths must be a sequence of whole numbers, such as \(64, 10\), got 5"):
        fn.nets.mlp(5)
    with pytest.raises(ValueError, match="mlp: widths must be at least one"):
        fn.nets.mlp(np.array([], int))
    with pytest.raises(ValueError, match="mlp: widths must be at least one, that of the output, got none"):
        fn.nets.mlp(())
