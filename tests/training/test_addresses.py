"""The first value that is not finite has an address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_training import BATCH, make_data, make_task

import fnnet as fn
from fnnet import training


class Case(NamedTuple):
    phase: str
    path: str
    parts: dict[str, Any] = {}  # noqa: RUF012
    transform: Callable[..., Any] | None = None
    micro_batches: int = 1


def log_of_the_first(prediction, target):
    return jnp.log(-jnp.square(prediction[:, 0]))


def root_of_nothing(prediction, target):
    return jnp.sqrt(jnp.abs(prediction[:, 0] * 0))


def diverging_state():
    def apply(params, state, x, *, key=None, train=False):
        return x, {"count": state["count"] * 3e38}

    return fn.Layer("counter", lambda key, x: ({}, {"count": jnp.full((), 3.0)}), apply)


def grown(x):
    return 1e15 * x


def backwards():
    """Four turns of one layer, the last of which is made first."""
    inner = fn.serial(grown, jnp.negative)

    def apply(params, state, x, *, key=None, train=False):
        def turn(x, n):
            return inner.apply({}, {}, jnp.where(n < 3, x, x / x), train=train)[0], None

        return jax.lax.scan(turn, x, jnp.arange(4), reverse=True)[0], state

    return fn.Layer("backwards", lambda key, x: ({}, {}), apply)


CASES = {
    "batch": Case("batch", "x", transform=lambda key, batch: (jnp.log(batch[0]), batch[1])),
    "layer": Case("activation", "log_0", {"net": fn.serial(fn.dense(4), jnp.log, fn.dense(3))}),
    "nested, recomputed, in parts": Case(
        "activation",
        "body/dense_1",
        {"net": fn.serial(body=fn.remat(fn.serial(fn.dense(4), fn.dense(5, activation=jnp.log))), head=fn.dense(3))},
        micro_batches=2,
    ),
    "repeat": Case(
        "activation",
        "repeat_0[0]/log_0",
        {"net": fn.serial(fn.dense(4), fn.repeat(fn.serial(fn.dense(4), jnp.log), 3), fn.dense(3))},
    ),
    "repeat, a later turn": Case(
        "activation",
        "repeat_0[2]/grown_0",
        {"net": fn.serial(fn.repeat(fn.serial(grown, jnp.negative), 5, unroll=2), fn.dense(3))},
    ),
    "repeat in repeat, recomputed": Case(
        "activation",
        "repeat_0[1]/repeat_0[0]/grown_0",
        {"net": fn.serial(fn.repeat(fn.serial(fn.repeat(fn.remat(fn.serial(grown)), 2), jnp.negative), 3))},
    ),
    "a loop backwards": Case("activation", "backwards_0[1]/grown_0", {"net": fn.serial(backwards(), fn.dense(3))}),
    "ensemble": Case(
        "activation",
        "ensemble_0/log_0",
        {"net": fn.serial(fn.ensemble(fn.serial(fn.dense(4), jnp.log), 8), lambda v: v.mean(0), fn.dense(3))},
    ),
    "a net without names": Case("activation", "", {"net": fn.dense(3, activation=jnp.log)}),
    "loss": Case("loss", "", {"loss": log_of_the_first}),
    "term": Case("loss", "loss/b", {"loss": lambda z, t: {"a": z[:, 0], "b": log_of_the_first(z, t)}}),
    "gradient": Case("gradient", "dense_1/kernel", {"loss": root_of_nothing}),
    "update": Case("update", "dense_0/bias", {"optimizer": fn.sgd(lambda count: jnp.full((), jnp.inf))}),
    "state": Case("state", "counter_0/count", {"net": fn.serial(diverging_state(), fn.dense(3))}),
}


def address(case):
    task = make_task(**({"metrics": ()} | case.parts))
    data = make_data()
    ts = fn.init(task, jax.random.key(0), data[0])
    arguments = (BATCH, None, case.transform, case.micro_batches, fn.Record(), "go_on")
    return training.first_nonfinite(task, ts, data, training.check_course(task, data, *arguments))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_found_in_its_phase(case):
    found = address(case)
    assert (found.step, found.phase, found.path) == (0, case.phase, case.path)
    assert 0 < found.count <= found.size


def test_a_parameter_that_overflows():
    """Parameters and update are finite, and their sum is not."""
    task = make_task(optimizer=fn.Optimizer(lambda p: (), lambda g, s, p=None: (p, s)), loss=lambda z, t: 0 * z[:, 0])
    data = make_data()
    ts = fn.init(task, jax.random.key(0), data[0])
    ts = ts._replace(params=jax.tree.map(lambda p: p, ts.params) | {"dense_1": {
        "bias": jnp.full(3, 3e38), "kernel": ts.params["dense_1"]["kernel"] * 0}})  # fmt: skip
    task = task._replace(net=fn.serial(fn.dense(6), jax.nn.relu, fn.stop_gradient(fn.dense(3))))
    ts = ts._replace(params={"dense_0": ts.params["dense_0"], "dense_1": ts.params["dense_1"]})
    course = training.check_course(task, data, BATCH, None, None, 1, fn.Record(), "go_on")
    found = training.first_nonfinite(task, ts, data, course)
    assert (found.phase, found.path, found.count) == ("parameter", "dense_1/bias", 3)


def test_a_step_that_is_finite_has_none():
    net = fn.serial(fn.dense(6), fn.batch_norm(), jax.nn.relu, fn.dropout(0.5), fn.dense(3))
    assert address(Case("", "", {"net": net})) is None


def test_it_reads_as_a_sentence():
    assert str(training.Address(7, "gradient", "dense_0/bias", 2, 6)) == (
        "step 7: gradient of dense_0/bias, 2 of 6 values"
    )
    assert str(training.Address(7, "loss", "", 1, 1)) == "step 7: loss, 1 of 1 values"


@pytest.mark.parametrize("at", [0, 1, 11, 12])
def test_fit_names_the_step_whatever_the_chunk(at):
    """The error names the update, and holds the run up to the step before, whose state trains on."""
    rate = fn.sgd(lambda count: jnp.where(count == at, jnp.inf, jnp.array(0.1)))
    task, data = make_task(optimizer=rate), make_data()
    with pytest.raises(
        fn.errors.NonFiniteError, match=rf"fit: .* at step {at}: update of dense_0/bias, 6 of"
    ) as caught:
        fn.fit(task, data, key=jax.random.key(0), steps=13, batch_size=BATCH)
    error = caught.value
    assert error.address.phase == "update"
    assert int(error.run.state.step) == at == len(error.run.history["loss"])
    stopped = fn.fit(task, data, key=jax.random.key(0), steps=13, batch_size=BATCH, on_nonfinite="stop")
    assert (stopped.ended, stopped.address) == ("nonfinite", error.address)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(stopped.state.params))
    if at:
        before = fn.fit(task, data, key=jax.random.key(0), steps=at, batch_size=BATCH)
        jax.tree.map(np.testing.assert_array_equal, stopped.state.params, before.state.params)


def test_fit_passes_over_an_update_that_is_not_finite():
    rate = fn.sgd(lambda count: jnp.where(count == 5, jnp.inf, jnp.array(0.1)))
    task, data = make_task(optimizer=rate), make_data()
    result = fn.fit(task, data, key=jax.random.key(0), steps=13, batch_size=BATCH, on_nonfinite="skip")
    assert result.ended == "steps"
    assert np.isfinite(result.history["loss"]).all()
    assert result.history["skipped"].sum() >= 1


def test_a_loss_that_is_not_finite_at_the_start_of_a_later_chunk():
    """The step that is named is the one whose loss is not finite, where the state before it is finite."""
    data = make_data()
    task = make_task(metrics=())

    def transform(key, batch):
        x, y = batch
        return jnp.where(jax.random.uniform(key) < 0.1, jnp.nan, x), y

    with pytest.raises(fn.errors.NonFiniteError, match=r"batch of x, 32 of 32 values") as caught:
        fn.fit(task, data, key=jax.random.key(0), steps=60, batch_size=BATCH, transform=transform)
    assert int(caught.value.run.state.step) == caught.value.address.step
    assert np.isfinite(caught.value.run.history["loss"]).all()
