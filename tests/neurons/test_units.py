"""Threshold units against their truth tables, row by row."""

from __future__ import annotations

import itertools

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import neurons
from fnnet.errors import DataError, DtypeError, ShapeError

pytestmark = pytest.mark.types


def table(net, n):
    """The outputs on all rows of n inputs."""
    return np.asarray(net({}, neurons.boolean_inputs(n)))[:, 0].tolist()


GATES = {
    "and": (neurons.and_gate, all),
    "or": (neurons.or_gate, any),
    "nor": (neurons.nor_gate, lambda bits: not any(bits)),
    "nand": (neurons.nand_gate, lambda bits: not all(bits)),
    "majority": (neurons.majority, lambda bits: 2 * sum(bits) > len(bits)),
}


@pytest.mark.row("threshold-unit")
@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("gate", GATES)
def test_gates(gate, n):
    make, meaning = GATES[gate]
    assert table(make(n), n) == [meaning(bits) for bits in itertools.product((0, 1), repeat=n)]


@pytest.mark.row("threshold-unit")
def test_not():
    assert table(neurons.not_gate(), 1) == [1, 0]


@pytest.mark.row("threshold-unit")
@pytest.mark.parametrize("n", [1, 3, 5])
def test_k_of_n(n):
    for k in range(n + 1):
        assert table(neurons.k_of_n(k, n), n) == [sum(bits) >= k for bits in itertools.product((0, 1), repeat=n)]


@pytest.mark.row("threshold-unit")
@hypothesis.given(seed=st.integers(0, 2**31))
def test_inhibition_is_absolute(seed):
    """One active inhibitory input silences the unit, however many excite it."""
    rng = np.random.default_rng(seed)
    signs, theta = rng.integers(-1, 2, (4, 3)), rng.uniform(-1, 4, 3)
    got = np.asarray(neurons.threshold_layer(signs, theta)({}, neurons.boolean_inputs(4)))
    for row, bits in enumerate(itertools.product((0, 1), repeat=4)):
        for unit in range(3):
            excitation = sum(bit for bit, sign in zip(bits, signs[:, unit], strict=True) if sign == 1)
            silenced = any(bit for bit, sign in zip(bits, signs[:, unit], strict=True) if sign == -1)
            assert got[row, unit] == (excitation >= theta[unit] and not silenced)


@pytest.mark.row("threshold-geometry")
def test_theta_moves_the_line_and_never_turns_it():
    """The decision depends on the sum alone, for every θ: its normal is (1, …, 1); a greater θ fires on fewer rows."""
    rows = neurons.boolean_inputs(4)
    before = np.ones(16)
    for theta in np.arange(-0.5, 5, 0.5):
        fires = np.array(table(neurons.threshold_unit(4, theta), 4))
        for total in range(5):
            assert len(set(fires[np.asarray(rows.sum(1)) == total])) == 1
        assert (fires <= before).all()
        before = fires


@pytest.mark.row("weights-turn-the-line")
def test_no_unit_of_1943_is_nand_and_one_with_weights_is():
    """All choices of inhibition and threshold are tried."""
    wanted = [1, 1, 1, 0]
    for inhibitory in ([], [0], [1], [0, 1]):
        for theta in range(-1, 4):
            assert table(neurons.threshold_unit(2, theta, inhibitory), 2) != wanted
    weighted = fn.dense(1, activation=fn.activations.step)
    params = {"kernel": jnp.array([[-1.0], [-1.0]]), "bias": jnp.array([1.0])}
    assert weighted(params, neurons.boolean_inputs(2).astype(jnp.float32))[:, 0].tolist() == wanted


@pytest.mark.row("threshold-unit")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_boolean_function(n):
    """All 2^(2^n) functions of n inputs, checked on every row."""
    for values in itertools.product((0, 1), repeat=2**n):
        assert table(neurons.boolean_network(values), n) == list(values)


@pytest.mark.parametrize("n", [5, 8])
def test_boolean_functions_of_many_inputs(n):
    for seed, share in enumerate((0.02, 0.5, 1.0)):
        values = np.random.default_rng(seed).uniform(size=2**n) < share
        assert table(neurons.boolean_network(values), n) == values.tolist()


def test_a_table_may_have_an_axis_an_input():
    values = np.random.default_rng(0).integers(0, 2, (2, 2, 2))
    network = neurons.boolean_network(values)
    for bits in itertools.product((0, 1), repeat=3):
        assert int(network({}, jnp.array(bits))[0]) == values[bits]


def test_units_compose_like_other_layers():
    """A half adder by parallel units; dtypes are kept; jit and vmap change nothing."""
    carry_and_sum = fn.parallel(neurons.and_gate(), neurons.boolean_network([0, 1, 1, 0]))
    rows = neurons.boolean_inputs(2)
    params, state = carry_and_sum.init(jax.random.key(0), rows)
    assert params == {}
    assert state == {}
    carry, digit = carry_and_sum(params, rows)
    assert (2 * carry + digit)[:, 0].tolist() == rows.sum(1).tolist()
    for dtype in (bool, jnp.int8, jnp.float32, jnp.bfloat16):
        chex.assert_trees_all_equal(carry_and_sum({}, rows.astype(dtype)), (carry.astype(dtype), digit.astype(dtype)))
    chex.assert_trees_all_equal(jax.jit(carry_and_sum.__call__)({}, rows), (carry, digit))
    chex.assert_trees_all_equal(jax.vmap(lambda row: carry_and_sum({}, row))(rows), (carry, digit))
    mixed = fn.serial(neurons.threshold_layer(np.ones((2, 3)), [0, 1, 2]), fn.dense(1))
    params, _ = mixed.init(jax.random.key(0), rows.astype(jnp.float32))
    assert mixed(params, rows.astype(jnp.float32)).shape == (4, 1)


ERRORS = {
    "not boolean": (lambda: neurons.and_gate()({}, jnp.array([0.0, 0.5])), DataError, "must be 0 or 1, got 0.5"),
    "nan": (lambda: neurons.and_gate()({}, jnp.array([0.0, jnp.nan])), DataError, "must be 0 or 1, got nan"),
    "inputs": (lambda: neurons.and_gate()({}, jnp.zeros(3)), ShapeError, r"must be 2, got shape \(3,\)"),
    "init": (lambda: neurons.and_gate().init(jax.random.key(0), jnp.zeros(3)), ShapeError, "must be 2"),
    "list": (lambda: neurons.and_gate()({}, [0, 1]), DtypeError, "must be an array of bools or numbers, got list"),
    "complex": (lambda: neurons.and_gate()({}, jnp.zeros(2, jnp.complex64)), DtypeError, "got complex64"),
    "no inputs": (lambda: neurons.threshold_unit(0, 1), ValueError, "n must be at least 1"),
    "position": (lambda: neurons.threshold_unit(2, 1, [2]), ValueError, "positions of 0 to 1, got 2"),
    "theta": (lambda: neurons.threshold_unit(2, float("nan")), ValueError, "a finite number a unit"),
    "thetas": (lambda: neurons.threshold_layer([[1, 1]], [1]), ValueError, "a finite number a unit, 2"),
    "signs": (lambda: neurons.threshold_layer([[2]], [1]), ValueError, "matrix .n, units. of 1, 0 and -1"),
    "k": (lambda: neurons.k_of_n(3, 2), ValueError, "k must be at most n = 2, got 3"),
    "nine inputs": (lambda: neurons.boolean_network([0] * 512), ValueError, "at most 8 inputs.*got 9"),
    "no table": (lambda: neurons.boolean_network([0, 1, 1]), ValueError, r"2\*\*n values, got 3"),
    "empty table": (lambda: neurons.boolean_network([]), ValueError, r"2\*\*n values, got 0"),
    "one value": (lambda: neurons.boolean_network([1]), ValueError, r"2\*\*n values, got 1"),
    "rows of inputs": (
        lambda: neurons.boolean_network([[0, 0], [0, 1], [1, 0], [1, 1]]),
        ValueError,
        r"shape \(8,\), its values in the order of boolean_inputs\(3\), or 3 axes of two, got \(4, 2\)",
    ),
    "values": (lambda: neurons.boolean_network([0, 1, 2, 0]), ValueError, "must be 0 or 1, got"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    call, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message):
        call()
