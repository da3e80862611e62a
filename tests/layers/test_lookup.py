"""Embedding: rows of a table, zeros outside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.core import Masked
from fnnet.errors import DtypeError
from fnnet.initializers import normal
from fnnet.layers import embedding

TABLE = jnp.arange(1.0, 13.0).reshape(4, 3)
INDICES = np.array([[3, 0], [3, 1]])


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8])
def test_rows_of_the_table(dtype):
    y = embedding(4, 3)({"table": TABLE}, jnp.asarray(INDICES, dtype))
    np.testing.assert_array_equal(y, np.asarray(TABLE)[INDICES])


def test_gradient_of_a_row_is_the_sum_over_its_uses():
    weight = jnp.arange(12.0).reshape(2, 2, 3)
    grad = jax.grad(lambda p: (weight * embedding(4, 3)(p, jnp.asarray(INDICES))).sum())({"table": TABLE})["table"]
    expected = np.zeros((4, 3))
    for place in np.ndindex(2, 2):
        expected[INDICES[place]] += weight[place]
    np.testing.assert_array_equal(grad, expected)


@pytest.mark.parametrize("index", [-1, -4, 4, 2**31 - 1, -(2**31)])
def test_outside_the_vocabulary_are_zeros_without_gradient(index):
    indices = jnp.array([index, 2])
    y = embedding(4, 3)({"table": TABLE}, indices)
    np.testing.assert_array_equal(y, [[0, 0, 0], TABLE[2]])
    grad = jax.grad(lambda t: embedding(4, 3)({"table": t}, indices).sum())(TABLE)
    np.testing.assert_array_equal(grad.sum(-1), [0, 0, 3, 0])


def test_small_integer_types_reach_a_large_vocabulary():
    """A vocabulary larger than the indices' type can say is compared as a number, not wrapped to that type."""
    table = jnp.arange(600.0).reshape(300, 2)
    y = embedding(300, 2)({"table": table}, jnp.array([255, 3], jnp.uint8))
    np.testing.assert_array_equal(y, table[jnp.array([255, 3])])


def test_indices_may_be_of_numpy(key):
    layer = embedding(4, 3)
    params, _ = layer.init(key, np.array([[1, 2]]))
    np.testing.assert_array_equal(layer(params, np.array([1, 3])), params["table"][np.array([1, 3])])


def test_masked_indices_give_a_masked_sequence(key):
    x = Masked(jnp.asarray(INDICES), jnp.array([[True, False], [True, True]]))
    layer = embedding(4, 3)
    params, _ = layer.init(key, x)
    y = layer(params, x)
    np.testing.assert_array_equal(y.values, layer(params, x.values))
    assert y.mask is x.mask


def test_the_table_is_drawn_as_said(key):
    table = embedding(1000, 16).init(key, jnp.zeros(1, int))[0]["table"]
    np.testing.assert_allclose(table.var(), 1 / 16, rtol=0.05)
    own = embedding(4, 3, table_init=normal(2.0), dtype=jnp.bfloat16).init(key, jnp.zeros(1, int))[0]["table"]
    np.testing.assert_array_equal(own, normal(2.0)(key, (4, 3), jnp.bfloat16))


def test_errors(key):
    with pytest.raises(ValueError, match="embedding: vocabulary must be at least 1, got 0"):
        embedding(0, 3)
    layer = embedding(4, 3)
    for bad, name in ((jnp.ones(2), "float32"), (jnp.ones(2, bool), "bool"), ([1, 2], "list")):
        with pytest.raises(DtypeError, match=f"embedding: the input must be an array of integers, got {name}"):
            layer.init(key, bad)
        with pytest.raises(DtypeError, match=r"cast it to jnp\.int32"):
            layer({"table": TABLE}, bad)
