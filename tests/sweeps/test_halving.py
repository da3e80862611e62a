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


def test_survivors_are_those_of_a_full_run():
    """Bit for bit where members are computed one by one; those that diverged do not go on."""
    grid = {"learning_rate": [1e30, 0.1, 1e-4], "width": [2, 3]}
    options = {"batch_size": 4, "validation": HELD, "layout": "map"}
    result = halving(make_task, grid, DATA, key=KEY, steps=3, eta=2, rungs=2, seeds=2, **options)
    assert [len(points) for points in result.points] == [6, 3]
    assert [len(rung.table) for rung in result.rungs] == [12, 6]
    assert [rung.table[0]["steps"] for rung in result.rungs] == [3, 6]
    assert not set(result.points[1]) & {0, 1}
    run = jax.jit(fn.run, static_argnames=("task", "steps", "batch_size"))
    point = result.points[1][0]
    task = make_task(**result.rungs[0].points[point])
    ts = jax.jit(fn.init, static_argnums=0)(task, jax.random.fold_in(KEY, 1), DATA[0])
    ts, history = run(task, ts, DATA, steps=6, batch_size=4)
    ours = result.rungs[1].state(1)
    assert int(ours.step) == 6
    jax.tree.map(np.testing.assert_array_equal, ours.params, ts.params)
    losses = [rung.history(member)["loss"] for rung, member in zip(result.rungs, (2 * point + 1, 1), strict=True)]
    np.testing.assert_array_equal(np.concatenate(losses), history["loss"])
    assert result.best()["mean"] == min(
        np.mean([r["val_loss"] for r in result.table() if r["rung"] == 1 and r["point"] == point])
        for point in result.points[1]
    )


@pytest.mark.types
def test_what_goes_on_is_a_function_of_the_table():
    table = [{"acc": value} for value in (0.1, 0.3, 0.9, math.nan, 0.5, 0.5, 0.2, 0.2)]
    assert survivors(table, 2, keep=1, by="acc", mode="max") == [2]
    assert survivors(table, 2, keep=3, by="acc", mode="max") == [0, 2, 3]
    assert survivors(table, 2, keep=2, by="acc") == [0, 3]
    assert survivors(table, 2, keep=4, by="acc") == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="no column 'ac'"):
        survivors(table, 2, keep=1, by="ac")
