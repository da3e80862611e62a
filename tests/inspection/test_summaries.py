"""The summary says what the parameters and the compiled program say."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import fnnet as fn

pytestmark = pytest.mark.lowest

X = jax.ShapeDtypeStruct((5, 3), jnp.float32)


def test_rows_are_layers_with_their_own_parameters():
    """One row a named layer, in order; the parameters of the rows add up to those of the net."""
    net = fn.serial(fn.dense(4), jax.nn.relu, body=fn.serial(fn.dense(6), fn.dense(6)), head=fn.dense(2))
    result = fn.summary(net, X)
    assert [(row.path, row.shape, row.parameters) for row in result.rows] == [
        ("dense_0", (5, 4), 16),
        ("relu_0", (5, 4), 0),
        ("body/dense_0", (5, 6), 30),
        ("body/dense_1", (5, 6), 42),
        ("head", (5, 2), 14),
    ]
    assert sum(row.parameters for row in result.rows) == result.parameters == 102
    assert result.parameter_bytes == 408
    assert {row.dtype for row in result.rows} == {"float32"}


def test_flops_are_those_of_the_matmul():
    """A dense layer without bias of m × k × n needs 2mkn operations, which is what XLA counts."""
    result = fn.summary(fn.dense(16, bias_init=None), jax.ShapeDtypeStruct((8, 32), jnp.float32))
    assert result.flops == 2 * 8 * 32 * 16
    assert [row.path for row in result.rows] == ["dense"]


def test_it_prints_as_a_table():
    lines = str(fn.summary(fn.serial(fn.dense(4), fn.dense(2)), X)).splitlines()
    assert lines[0].split() == ["layer", "output", "dtype", "parameters"]
    assert lines[1].split() == ["dense_0", "(5,", "4)", "float32", "16"]
    assert lines[-1].startswith("26 parameters, 104 bytes; ")


def test_parameters_used_in_several_places_have_a_row():
    """Those of `shared` are counted once, beside the layers that use them: the rows add up."""
    net = fn.serial(fn.shared(fn.dense(3), lambda f: fn.serial(f, jax.nn.relu, f, fn.dense(3))), head=fn.dense(2))
    result = fn.summary(net, X)
    assert [(row.path, row.shape, row.parameters) for row in result.rows] == [
        ("shared_0/net/dense_0", (5, 3), 0),
        ("shared_0/net/relu_0", (5, 3), 0),
        ("shared_0/net/dense_1", (5, 3), 0),
        ("shared_0/net/dense_2", (5, 3), 12),
        ("head", (5, 2), 8),
        ("shared_0/shared", None, 12),
    ]
    assert str(result).splitlines()[6].split() == ["shared_0/shared", "float32", "12"]
    assert sum(row.parameters for row in result.rows) == result.parameters == 32


def test_the_row_of_a_sequence_layer_shows_its_values():
    """Of a ``Masked``, the values, not the mask."""
    x = fn.Masked(jax.ShapeDtypeStruct((5, 7, 3), jnp.float32), jax.ShapeDtypeStruct((5, 7), jnp.bool_))
    result = fn.summary(fn.serial(fn.gru(4), fn.layers.last_step()), x)
    assert [(row.path, row.shape, row.dtype) for row in result.rows] == [
        ("gru_0", (5, 7, 4), "float32"),
        ("last_step_0", (5, 4), "float32"),
    ]


def test_names_and_copies_of_any_depth():
    """Ensembles within ensembles, and a name with the signs of patterns."""
    net = fn.ensemble(fn.ensemble(fn.serial(fn.dense(3), jnp.tanh), 2), 4)
    assert [(row.path, row.parameters) for row in fn.summary(net, X).rows] == [("dense_0", 8 * 12), ("tanh_0", 0)]
    named = fn.serial(fn.named(fn.dense(3), "block[1]"))
    assert [(row.path, row.parameters) for row in fn.summary(named, X).rows] == [("block[1]_0", 12)]


def test_parameters_of_no_row_have_one():
    """A composition written by hand may hold parameters beside its children's."""

    def init(key, x):
        return {"temperature": jnp.ones(())}, {}

    def apply(params, state, x, *, key=None, train=False):
        return fn.compose.apply_child("relu", fn.as_layer(jax.nn.relu), {}, {}, x, key=key, train=train)

    result = fn.summary(fn.Layer("scaled", init, apply), X)
    assert [(row.path, row.shape, row.parameters) for row in result.rows] == [("relu", (5, 3), 0), ("scaled", None, 1)]


def test_layers_inside_loops_have_rows():
    """The body of a repeat stands once, with the shape that it has in the loop and the parameters of all copies."""
    net = fn.serial(
        fn.dense(3),
        fn.compose.repeat(fn.serial(fn.dense(3), jnp.tanh), 7),
        fn.compose.ensemble(fn.serial(fn.dense(2)), 5),
    )
    result = fn.summary(net, X)
    assert [(row.path, row.parameters) for row in result.rows] == [
        ("dense_0", 12),
        ("repeat_0/dense_0", 7 * 12),
        ("repeat_0/tanh_0", 0),
        ("ensemble_0/dense_0", 5 * 8),
    ]
    assert result.parameters == 12 + 7 * 12 + 5 * 8


def test_a_value_within_a_layer_has_no_row():
    """The activation of a layer is its own: a row a layer, with the shape of its output."""
    result = fn.summary(fn.serial(fn.dense(4, activation=jax.nn.relu), fn.rnn(2)), X)
    assert [(row.path, row.shape, row.parameters) for row in result.rows] == [
        ("dense_0", (5, 4), 16),
        ("rnn_0", (5, 2), 14),
    ]
    assert [row.path for row in fn.summary(fn.dense(4, activation=jax.nn.relu), X).rows] == ["dense"]
