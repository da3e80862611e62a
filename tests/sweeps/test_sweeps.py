"""A sweep is its members' runs, however it is laid out, and its table is theirs."""

from __future__ import annotations

import math
import sys
from functools import cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet.errors import DataError
from fnnet.sweeps.table import to_pandas

KEY = jax.random.key(7)
X = np.asarray(jax.random.normal(jax.random.key(1), (24, 3)))
DATA = (X[:16], np.sin(X[:16, :1]))
HELD = (X[16:], np.sin(X[16:, :1]))
RUN = jax.jit(fn.run, static_argnames=("task", "steps", "batch_size", "record"))


def make_task(learning_rate=0.1, width=4, momentum=0.5):
    net = fn.serial(fn.dense(width, activation=jnp.tanh), fn.dense(1))
    return fn.Task(net, fn.losses.squared_error, fn.sgd(learning_rate, momentum), (fn.metrics.mean_absolute_error(),))


@cache
def alone(width, learning_rate, seed, steps=6):
    task, key = make_task(learning_rate, width), jax.random.fold_in(KEY, seed)
    ts = jax.jit(fn.init, static_argnums=0)(task, key, DATA[0])
    ts, history = RUN(task, ts, DATA, steps=steps, batch_size=4, record=fn.Record(every=0))
    return ts, history, fn.evaluate(task, ts, HELD)


def close(a, b, exact=False):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_allclose(x, y, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6)


@pytest.mark.parametrize("layout", ["vmap", "map", "threads", "devices", None])
def test_each_member_is_its_run_alone(layout):
    """To the bit where each member is computed by itself, to rounding where they are batched."""
    grid = {"width": [3, 5], "learning_rate": [0.01, 0.2]}
    result = fn.sweep(make_task, grid, DATA, key=KEY, steps=6, batch_size=4, seeds=2, validation=HELD, layout=layout)
    assert [report.traced for report in result.layout] == [("learning_rate",)] * 2
    assert len(result.table) == 8
    for record in result.table:
        ts, history, values = alone(record["width"], record["learning_rate"], record["seed"])
        exact = layout in ("map", "threads")
        close(result.state(record["member"]), ts, exact)
        close(result.history(record["member"]), history, exact)
        np.testing.assert_allclose(record["loss"], history["loss"][-1], rtol=1e-5)
        np.testing.assert_allclose(record["val_loss"], values["loss"], rtol=1e-5)
        np.testing.assert_allclose(record["val_mean_absolute_error"], values["mean_absolute_error"], rtol=1e-5)
    for report in result.layout:
        assert report.layout == layout if layout else report.layout == report.timings[0].layout
        assert layout is not None or report.timings
        assert all(t.compile_seconds > 0 and t.step_seconds > 0 for t in report.timings)
        assert [t.estimate for t in report.timings] == sorted(t.estimate for t in report.timings)


def test_numbers_that_python_must_know_make_groups():
    def branching(learning_rate, depth, cut):
        net = fn.serial(fn.dense(2), *([jnp.tanh] if cut > 0.5 else []), fn.dense(int(depth)))
        return fn.Task(net, fn.losses.squared_error, fn.sgd(learning_rate))

    grid = {"learning_rate": [0.1, 0.2], "depth": [1.0, 1], "cut": [0.2, 0.8]}
    result = fn.sweep(branching, grid, DATA, key=KEY, steps=2, batch_size=4, layout="vmap")
    assert {report.traced for report in result.layout} == {("learning_rate",)}
    assert [report.members for report in result.layout] == [2, 2, 2, 2]
    assert [record["cut"] for record in result.table] == [0.2, 0.8] * 4


def test_a_static_name_is_not_traced():
    grid = {"learning_rate": [0.1, 0.2], "momentum": [0.1, 0.3]}
    result = fn.sweep(make_task, grid, DATA, key=KEY, steps=1, batch_size=4, layout="vmap", static=("momentum",))
    assert [(report.traced, report.members) for report in result.layout] == [(("learning_rate",), 2)] * 2


def test_a_number_of_the_loss_is_traced_through_validation():
    def scaled(weight):
        loss = lambda z, y: weight * fn.losses.squared_error(z, y)  # noqa: E731
        return fn.Task(fn.dense(1), loss, fn.sgd(0.1))

    result = fn.sweep(
        scaled, {"weight": [0.0, 2.0]}, DATA, key=KEY, steps=3, batch_size=4, validation=HELD, layout="vmap"
    )
    assert result.layout[0].traced == ("weight",)
    task = scaled(2.0)
    np.testing.assert_allclose(result.table[1]["val_loss"], fn.evaluate(task, result.state(1), HELD)["loss"], rtol=1e-5)
    assert result.table[0]["val_loss"] == 0


def test_a_member_that_diverges_is_last_and_breaks_nothing():
    result = fn.sweep(
        make_task, {"learning_rate": [1e30, 0.1]}, DATA, key=KEY, steps=20, batch_size=4, seeds=2, layout="vmap"
    )
    first, last = result.ranking()
    assert (first["learning_rate"], last["learning_rate"]) == (0.1, 1e30)
    assert math.isnan(last["mean"])
    losses = [record["loss"] for record in result.table if record["learning_rate"] == 0.1]
    assert (first["mean"], first["std"]) == (pytest.approx(np.mean(losses)), pytest.approx(np.std(losses, ddof=1)))
    assert result.best(mode="max")["learning_rate"] == 0.1


@pytest.mark.parametrize(
    ("space", "options", "error", "message"),
    [
        ({"learning_rate": [-1.0, 0.1]}, {}, ValueError, "must be at least 0"),
        ({"learning_rate": []}, {}, ValueError, "no values"),
        ({"learning_rate": 0.1}, {}, TypeError, "must be a list"),
        ([], {}, ValueError, "at least one point"),
        ([{"width": 2}, {"momentum": 0.1}], {}, ValueError, "point 1 has the names"),
        ({"loss": [1]}, {}, ValueError, "column of the table"),
        ({"width": [2]}, {"layout": "loop"}, ValueError, "layout must be one of"),
        ({"width": [2]}, {"static": ("depth",)}, ValueError, "no hyperparameter"),
        ({"width": [2]}, {"batch_size": 100}, DataError, "batch_size"),
    ],
)
def test_mistakes_are_named_before_anything_runs(space, options, error, message):
    with pytest.raises(error, match=message):
        fn.sweep(make_task, space, DATA, **({"key": KEY, "steps": 1, "batch_size": 4} | options))


def test_a_table_for_pandas_says_what_it_lacks(monkeypatch):
    """pandas is none of the extras: without it one is told what to install; with it, the records are its rows."""
    made = []
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=made.append))
    to_pandas([{"loss": 1.0}])
    assert made == [[{"loss": 1.0}]]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(fn.errors.ExtraMissingError, match="pip install pandas"):
        to_pandas([{"loss": 1.0}])
