"""A sweep is its members' runs, however it is laid out, and its table is theirs."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from functools import cache, partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet.errors import DataError
from fnnet.sweeps import groups, layouts, members
from fnnet.sweeps.table import to_pandas

KEY = jax.random.key(7)
X = np.asarray(jax.random.normal(jax.random.key(1), (24, 3)))
DATA = (X[:16], np.sin(X[:16, :1]))
HELD = (X[16:], np.sin(X[16:, :1]))
RATES, STEPS = {"learning_rate": [0.01, 0.2, 0.05]}, 12
SETTINGS = {"key": KEY, "steps": STEPS, "batch_size": 4}
LEAN = fn.Record(every=0)


def make_task(learning_rate=0.1, width=4, momentum=0.5):
    net = fn.serial(fn.dense(width, activation=jnp.tanh), fn.dense(1))
    return fn.Task(net, fn.losses.squared_error, fn.sgd(learning_rate, momentum), (fn.metrics.mean_absolute_error(),))


@cache
def alone(learning_rate, seed, record=LEAN, on_nonfinite="go_on"):
    return one(np.float32(learning_rate), jax.random.fold_in(KEY, seed), record, on_nonfinite)


@partial(jax.jit, static_argnums=(2, 3))
def one(learning_rate, key, record, on_nonfinite):
    task = make_task(learning_rate)
    options = {"steps": STEPS, "batch_size": 4, "record": record, "on_nonfinite": on_nonfinite}
    ts, history = fn.run(task, fn.init(task, key, DATA[0]), DATA, **options)
    return ts, history, fn.evaluate(task, ts, HELD)


def close(a, b, exact=False):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6)


def check(result, exact=False, **options):
    """Assert that each member is its run alone, and its record that of the run."""
    for record in result.table:
        ts, history, values = alone(record["learning_rate"], record["seed"], **options)
        close(result.state(record["member"]), ts, exact)
        close(result.history(record["member"]), history, exact)
        np.testing.assert_allclose(record["loss"], history["loss"][-1], rtol=1e-5)
        np.testing.assert_allclose(record["val_loss"], values["loss"], rtol=1e-5)
        np.testing.assert_allclose(record["val_mean_absolute_error"], values["mean_absolute_error"], rtol=1e-5)


@pytest.mark.parametrize("layout", ["vmap", "map", "threads", "devices"])
def test_each_member_is_its_run_alone(layout, monkeypatch):
    """To the bit where each member is computed by itself, to rounding where they are batched, in two unequal parts."""
    monkeypatch.setattr(layouts, "processors", lambda: 2)
    result = fn.sweep(make_task, RATES, DATA, seeds=2, validation=HELD, layout=layout, **SETTINGS)
    assert [(report.traced, report.layout, report.timings) for report in result.layout] == [
        (("learning_rate",), layout, ())
    ]
    assert len(result.table) == 6
    check(result, exact=layout in ("map", "threads"))


@pytest.mark.parametrize("quickest", ["vmap", "threads", "map"])
def test_the_quickest_layout_goes_on_from_the_trials(quickest, monkeypatch):
    """The run is the same wherever it changed its layout; its history holds what is taken every other step."""
    monkeypatch.setattr(members, "_MOST_IN_A_BLOCK", 3)
    monkeypatch.setattr(members, "_MOST_IN_A_PART", 4)
    monkeypatch.setattr(layouts, "PAYS", 0)
    monkeypatch.setattr(layouts, "candidates", lambda: ["vmap", *({quickest} - {"vmap"})])
    timed = layouts._timed
    seconds = {"vmap": 1e-9, quickest: 1e-10}
    monkeypatch.setattr(layouts, "_timed", lambda way, *rest: (timed(way, *rest)[0], seconds[way.layout]))
    record = fn.Record(every=2, rows=5)
    result = fn.sweep(make_task, RATES, DATA, validation=HELD, record=record, **SETTINGS)
    (report,) = result.layout
    tried = {timing.layout: timing for timing in report.timings}
    assert set(tried) == {"vmap", quickest}
    assert report.layout == report.timings[0].layout == quickest
    assert all(timing.compile_seconds > 0 and timing.step_seconds > 0 for timing in report.timings)
    assert [t.step_seconds for t in report.timings] == sorted(t.step_seconds for t in report.timings)
    check(result, record=record)


def test_map_is_not_tried_where_threads_lost(monkeypatch):
    """It is the same program on fewer processors."""
    monkeypatch.setattr(members, "_MOST_IN_A_BLOCK", 3)
    monkeypatch.setattr(layouts, "PAYS", 0)
    monkeypatch.setattr(layouts, "candidates", lambda: ["vmap", "threads", "map"])
    timed, seconds = layouts._timed, {"vmap": 1e-10, "threads": 1e-9, "map": 1e-8}
    monkeypatch.setattr(layouts, "_timed", lambda way, *rest: (timed(way, *rest)[0], seconds[way.layout]))
    (report,) = fn.sweep(make_task, RATES, DATA, **SETTINGS).layout
    assert [timing.layout for timing in report.timings] == ["vmap", "threads"]


@pytest.mark.types
def test_members_that_stop_keep_their_states():
    result = fn.sweep(
        make_task, {"learning_rate": [1e30, 0.1]}, DATA, validation=HELD, layout="vmap", on_nonfinite="stop", **SETTINGS
    )
    check(result, on_nonfinite="stop")
    assert int(result.state(0).step) < int(result.state(1).step) == STEPS


SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
import fnnet as fn
from fnnet.sweeps import layouts

def make_task(learning_rate):
    return fn.Task(fn.dense(1), fn.losses.squared_error, fn.adam(learning_rate))

def swept(points, layout):
    x = jnp.arange(12.0).reshape(6, 2)
    options = dict(key=jax.random.key(0), steps=4, batch_size=2, seeds=2, validation=(x, x[:, :1]), layout=layout)
    return fn.sweep(make_task, {"learning_rate": [0.1 * (n + 1) for n in range(points)]}, (x, x[:, :1]), **options)

assert len(jax.devices()) == 4 and "devices" in layouts.candidates()
whole = swept(5, "vmap").table
for points in (4, 5):
    table = swept(points, "devices").table
    assert len(table) == 2 * points
    for ours, theirs in zip(table, whole):
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-5)
"""


def test_members_are_shared_out_among_devices():
    """As many points as devices, and one more, with two seeds each."""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_numbers_that_python_must_know_make_groups():
    def branching(learning_rate, depth, cut):
        net = fn.serial(fn.dense(2), *([jnp.tanh] if cut > 0.5 else []), fn.dense(int(depth)))
        return fn.Task(net, fn.losses.squared_error, fn.sgd(learning_rate))

    points = [
        {"learning_rate": rate, "depth": depth, "cut": cut}
        for rate in (0.1, 0.2)
        for depth, cut in ((1.0, 0.2), (1, 0.2), (1.0, 0.8))
    ]
    course = members.Course(branching, False, 4, members.Options())
    found = groups.make_groups(course, points, (), (DATA, None))
    assert [group.traced for group in found] == [("learning_rate",)] * 3
    assert [group.points for group in found] == [(0, 3), (1, 4), (2, 5)]
    result = fn.sweep(branching, points[::3] + points[2:3], DATA, key=KEY, steps=2, batch_size=4, layout="vmap")
    assert [report.members for report in result.layout] == [2, 1]
    assert [record["cut"] for record in result.table] == [0.2, 0.2, 0.8]
    assert [len(result.state(n).params) for n in range(3)] == [2, 2, 2]


@pytest.mark.types
def test_a_static_name_is_not_traced():
    points = fn.sweeps.grid({"learning_rate": [0.1, 0.2], "momentum": [0.1, 0.3]})
    course = members.Course(make_task, False, 4, members.Options())
    for static, traced in ((("momentum",), [("learning_rate",)] * 2), ((), [("learning_rate", "momentum")])):
        assert [group.traced for group in groups.make_groups(course, points, static, (DATA, None))] == traced


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
        ({"width": [2]}, {"micro_batch": 2}, TypeError, "did you mean 'micro_batches'"),
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


@pytest.mark.parametrize("where", ["row", "state"])
def test_a_number_whose_tracing_changes_a_dtype_is_not_traced(where):
    """A Python number takes the dtype of what it multiplies, a traced one has its own."""

    def halved(scale):
        def times(x):
            return x * scale if isinstance(scale, float) else x.astype(jnp.float32) * scale

        def loss(z, y):
            losses = fn.losses.squared_error(z, y).astype(jnp.bfloat16)
            return times(losses) if where == "row" else losses

        def update(grads, state, params=None):
            return jax.tree.map(jnp.negative, grads), times(state) if where == "state" else state

        return fn.Task(fn.dense(1), loss, fn.Optimizer(lambda params: jnp.ones((), jnp.bfloat16), update))

    course = members.Course(halved, False, 4, members.Options())
    found = groups.make_groups(course, [{"scale": 0.5}, {"scale": 0.25}], (), (DATA, None))
    assert [group.traced for group in found] == [(), ()]
