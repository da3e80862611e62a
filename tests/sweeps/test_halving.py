"""Survivors are a function of the table, and their states those of one long run."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet.sweeps import halving, survivors

KEY = jax.random.key(7)
X = np.asarray(jax.random.normal(jax.random.key(1), (24, 3)))
DATA, HELD = (X[:16], np.sin(X[:16, :1])), (X[16:], np.sin(X[16:, :1]))


def make_task(learning_rate, width):
    net = fn.serial(fn.dense(width, activation=jnp.tanh), fn.dense(1))
    return fn.Task(net, fn.losses.squared_error, fn.sgd(learning_rate, momentum=0.5))


@pytest.mark.parametrize("layout", ["map", "vmap"])
def test_survivors_are_those_of_a_full_run(layout):
    """Bit for bit where members are computed one by one."""
    grid = {"learning_rate": [1e-4, 1e30, 0.1], "width": [2, 3]}
    options = {"key": KEY, "batch_size": 4, "seeds": 2, "validation": HELD, "layout": layout}
    result = halving(make_task, grid, DATA, steps=3, eta=2, rungs=3, **options)
    assert [len(points) for points in result.points] == [6, 3, 2]
    assert [len(rung.table) for rung in result.rungs] == [12, 6, 4]
    assert all(rung.table[0]["steps"] == steps for rung, steps in zip(result.rungs, (3, 6, 12), strict=True))
    full = fn.sweep(make_task, grid, DATA, steps=12, **options)
    assert not set(result.points[1]) & {2, 3}  # those of the rate 1e30
    compare = np.testing.assert_array_equal if layout == "map" else np.testing.assert_allclose
    tolerance = {} if layout == "map" else {"rtol": 1e-4, "atol": 1e-6}
    for place, point in enumerate(result.points[-1]):
        for seed in range(2):
            ours, theirs = result.rungs[-1].state(2 * place + seed), full.state(2 * point + seed)
            assert int(ours.step) == 12
            for a, b in zip(jax.tree.leaves(ours.params), jax.tree.leaves(theirs.params), strict=True):
                compare(a, b, **tolerance)
    assert result.best()["mean"] == min(
        np.mean([r["val_loss"] for r in result.table() if r["rung"] == 2 and r["point"] == point])
        for point in result.points[-1]
    )


def test_what_goes_on_is_a_function_of_the_table():
    table = [{"acc": value} for value in (0.1, 0.3, 0.9, math.nan, 0.5, 0.5, 0.2, 0.2)]
    assert survivors(table, 2, keep=1, by="acc", mode="max") == [2]
    assert survivors(table, 2, keep=3, by="acc", mode="max") == [0, 2, 3]
    assert survivors(table, 2, keep=2, by="acc") == [0, 3]
    assert survivors(table, 2, keep=4, by="acc") == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="no column 'ac'"):
        survivors(table, 2, keep=1, by="ac")
