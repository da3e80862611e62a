"""The program that is run with a look at each tag is the program."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet.tagged import Loop, by_path, in_turn, look, tags

pytestmark = pytest.mark.lowest

X = jnp.linspace(-1.0, 2.0, 15).reshape(5, 3)


def keep(tag, value):
    return value, value


def net():
    inner = fn.serial(fn.dense(3, activation=jnp.tanh), fn.dropout(0.5))
    return fn.serial(fn.repeat(fn.remat(inner), 3), fn.ensemble(fn.serial(fn.dense(2), jax.nn.relu), 2), lambda v: v[0])


def test_looking_changes_nothing():
    """Output, state and gradient are those of the function, with random numbers, loops and copies within."""
    layer, key = net(), jax.random.key(1)
    params, state = layer.init(jax.random.key(0), X)

    def apply(params, x):
        return layer.apply(params, state, x, key=key, train=True)

    def looked(params, x):
        return look(apply, params, x, visit=keep)[0]

    def with_grad(function):
        def loss(params):
            y, state = function(params, X)
            return jnp.square(y).sum(), (y, state)

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)

    chex.assert_trees_all_close(with_grad(looked), with_grad(apply), rtol=1e-5, atol=1e-7)


def test_tags_foretell_what_is_found():
    """`tags`, which computes nothing, has the paths and, but for the axes of turns, the shapes of what `look` finds."""
    layer = net()
    params, _ = layer.init(jax.random.key(0), X)
    found = look(layer.__call__, params, X, visit=keep)[1]
    expected = {tag.path: (3,) * tag.loops + value.shape for tag, value in tags(layer.__call__, params, X)}
    assert {path: value.shape for path, value in by_path(found).items()} == expected
    assert list(by_path(found)) == list(expected)
    assert expected["repeat_0/dense_0/z"] == (3, 5, 3)
    assert expected["ensemble_0/dense_0"] == (2, 5, 2)


def test_loops_are_told_turn_by_turn():
    """Nested loops, one of them backwards, in the order in which their bodies run."""

    def function(x):
        def outer(x, _):
            with jax.named_scope("inner"):
                x, _ = jax.lax.scan(lambda v, n: (tag(v + n), None), x, jnp.arange(2.0), reverse=True)
            return x, None

        with jax.named_scope("outer"):
            return jax.lax.scan(outer, x, length=2)[0]

    def tag(value):
        with jax.named_scope("leaf"):
            return jax.ad_checkpoint.checkpoint_name(value, "leaf")

    y, found = look(function, jnp.array(0.0), visit=keep)
    assert [(path, float(value)) for path, value in in_turn(found)] == [
        ("outer[0]/inner[1]/leaf", 1.0),
        ("outer[0]/inner[0]/leaf", 1.0),
        ("outer[1]/inner[1]/leaf", 2.0),
        ("outer[1]/inner[0]/leaf", 2.0),
    ]
    assert float(y) == 2.0
    assert isinstance(found[0][0], Loop)


def test_what_is_added_is_added_once_at_its_path():
    """A turn of a loop has its own; a path that two values have is that of the first."""
    layer = fn.serial(fn.repeat(fn.serial(jnp.negative), 3), jnp.square)
    added = {"repeat_0/negative_0": jnp.array([1.0, 10.0, 100.0])[:, None], "square_0": jnp.array([5.0])}
    y, _ = look(lambda x: layer({}, x), jnp.array([2.0]), visit=keep, added=added)
    expected = 2.0
    for amount in (1.0, 10.0, 100.0):
        expected = amount - expected
    np.testing.assert_array_equal(y, [expected**2 + 5])


def test_a_value_may_be_replaced():
    layer = fn.serial(jnp.negative, jnp.square)
    y, _ = look(lambda x: layer({}, x), X, visit=lambda tag, value: (jnp.zeros_like(value), None))
    np.testing.assert_array_equal(y, jnp.zeros_like(X))
