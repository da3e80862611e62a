"""A run is one function: cut, thinned, recomputed and guarded, it stays what it is."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import stats
from test_training import BATCH, SIZE, STATIC, TASK, make_data, make_task

import fnnet as fn
from fnnet import sampling, training

pytestmark = pytest.mark.types

run = jax.jit(fn.run, static_argnames=STATIC)


def jitter(key, batch):
    x, *rest = batch
    return (x + 0.1 * jax.random.normal(key, x.shape), *rest)


def test_a_weighed_last_batch_completes_the_epoch():
    """Every row counts once an epoch, and the loss of the last batch is the mean over its own rows."""
    per_epoch, rows = sampling.epochs("weigh")
    assert per_epoch(SIZE, 7) == 6
    drawn = [rows(jax.random.key(3), jnp.int32(step), SIZE, 7) for step in range(6)]
    seen = np.concatenate([np.asarray(r)[np.asarray(w) > 0] for r, w in drawn])
    np.testing.assert_array_equal(np.sort(seen), np.arange(SIZE))
    assert drawn[-1][1].sum() == SIZE % 7
    x, y = make_data()
    task = make_task(optimizer=fn.sgd(0.1), metrics=())
    ts = fn.init(task, jax.random.key(0), x)._replace(step=jnp.int32(5))
    _, history = run(task, ts, (x, y), steps=1, batch_size=7, sampler=sampling.in_order("weigh"))
    last = slice(35, 40)
    np.testing.assert_allclose(history["loss"][0], task.loss(task.net(ts.params, x[last]), y[last]).mean(), rtol=1e-6)


def test_rows_of_their_own_weight_keep_it_in_a_weighed_batch():
    """The filling weighs nothing, whatever its own weight, one an example or one an element."""
    weight = jnp.arange(1.0, 6.0)
    for own in (weight, weight[:, None] * jnp.ones((5, 3))):
        course = training.check_course(TASK, (own, own), 3, sampling.in_order("weigh"), None, 1, fn.Record(), "go_on")
        ts = fn.init(TASK, jax.random.key(0), jnp.ones((1, 4)))._replace(step=jnp.int32(1))
        got = training.batch_at(ts, (own, own, own), course)[2]
        np.testing.assert_array_equal(got[:2], own[3:])
        assert not got[2:].any()


def test_rows_with_replacement_are_uniform():
    """Chi-squared of 40 000 rows of 25."""
    _, rows = sampling.with_replacement()
    drawn = jax.vmap(lambda step: rows(jax.random.key(0), step, 25, 40)[0])(jnp.arange(1000))
    assert stats.chisquare(np.bincount(np.ravel(drawn), minlength=25)).pvalue > 1e-3
    assert len(np.unique(drawn, axis=0)) == 1000


def test_a_sampler_made_again_is_the_same():
    """So that a second run of it is not compiled anew."""
    assert sampling.epochs() is sampling.epochs()
    assert sampling.in_order("weigh") == sampling.in_order("weigh")


@pytest.mark.untyped
def test_an_unknown_last_batch_is_named():
    with pytest.raises(ValueError, match="last must be 'drop' or 'weigh', got 'keep'"):
        sampling.epochs("keep")


def test_a_transform_has_a_key_of_its_step():
    """Each step changes its batch otherwise, and the same step always alike."""
    seen = training.check_course(TASK, make_data(), BATCH, sampling.in_order(), jitter, 1, fn.Record(), "go_on")
    ts = fn.init(TASK, jax.random.key(0), make_data()[0])
    first, again, later = (
        training.batch_at(ts._replace(step=jnp.int32(step)), make_data(), seen)[0] for step in (0, 0, 5)
    )
    np.testing.assert_array_equal(first, again)  # steps 0 and 5 see the same rows, in order
    assert np.abs(first - later).min() > 0
    with pytest.raises(fn.errors.DataError, match=r"expected \(x, y\)"):
        fn.run(TASK, ts, make_data(), steps=1, batch_size=BATCH, transform=lambda key, batch: batch[0])


@pytest.mark.parametrize("steps", [2, 12, 16])
def test_remat_changes_nothing_but_memory(steps):
    """State and history are those of the plain run, bit for bit."""
    data, ts = make_data(), fn.init(TASK, jax.random.key(1), make_data()[0])
    plain = run(TASK, ts, data, steps=steps, batch_size=BATCH)
    chex.assert_trees_all_equal(plain, run(TASK, ts, data, steps=steps, batch_size=BATCH, remat=True))


def test_memory_of_a_differentiated_run_grows_with_the_root_of_its_steps():
    """Sixteen times the steps take about sixteen times the memory, with remat about four times."""
    data, task = make_data(), make_task(optimizer=fn.sgd(0.1), metrics=(), net=fn.serial(fn.dense(64), fn.dense(3)))
    ts = fn.init(task, jax.random.key(0), data[0])

    def used(steps, remat):
        def last(params):
            options = {"batch_size": BATCH, "record": fn.Record(0), "remat": remat}
            return fn.run(task, ts._replace(params=params), data, steps=steps, **options)[1]["loss"][-1]

        return jax.jit(jax.grad(last)).lower(ts.params).compile().memory_analysis().temp_size_in_bytes

    assert used(1024, False) / used(64, False) > 12
    assert used(1024, True) / used(64, True) < 6
    assert used(1024, True) < used(1024, False) / 8


def test_gradients_of_the_validation_loss_by_rate_and_decay(x64):
    """Through a whole run of AdamW, by learning rate, decay and initial parameters, they equal finite differences."""
    x, y = make_data()
    data = (x.astype(jnp.float64), y)
    net = fn.serial(fn.dense(5), jnp.tanh, fn.dense(3))
    task = make_task(optimizer=fn.adamw(0.01, weight_decay=0.1), net=net, metrics=())
    ts = fn.init(task, jax.random.key(0), data[0])

    @jax.jit
    def validation_loss(numbers, params):
        opt_state = fn.with_hyperparams(ts.opt_state, numbers)
        start = ts._replace(params=params, opt_state=opt_state)
        end, _ = fn.run(task, start, data, steps=9, batch_size=BATCH, remat=True)
        return fn.evaluate(task, end, data)["loss"]

    numbers = {"learning_rate": jnp.array(0.01), "weight_decay": jnp.array(0.1)}
    check_grads(validation_loss, (numbers, ts.params), order=1, modes=["rev"], rtol=1e-5, atol=1e-7)
    by_number = jax.grad(validation_loss)(numbers, ts.params)
    assert all(abs(value) > 1e-6 for value in by_number.values())


def test_a_row_holds_what_the_step_did():
    """Norms, ratio, metrics and rate are those computed beside it with NumPy."""
    data = make_data()
    task = make_task(optimizer=fn.sgd(fn.schedules.exponential(0.5, steps=2, factor=0.5)))
    ts = fn.init(task, jax.random.key(0), data[0])
    record = fn.Record(every=1, updates=True, layers=True)
    options = {"batch_size": SIZE, "sampler": sampling.in_order(), "record": record}
    _, history = run(task, ts, data, steps=3, **options)
    np.testing.assert_allclose(history["learning_rate"], 0.5 * 0.5 ** (np.arange(3) / 2), rtol=1e-6)

    def norm(part):
        return np.sqrt(sum(np.square(np.asarray(leaf, np.float64)).sum() for leaf in jax.tree.leaves(part)))

    for n in range(3):
        loss, grads = jax.value_and_grad(lambda params: task.loss(task.net(params, data[0]), data[1]).mean())(ts.params)
        after, _ = fn.step(task, ts, data)
        accuracy = np.mean(np.argmax(task.net(ts.params, data[0]), 1) == data[1])
        moved = jax.tree.map(lambda a, b: a - b, after.params, ts.params)
        expected = (loss, norm(grads), norm(after.params), norm(moved) / norm(after.params), accuracy)
        names = ("loss", "grad_norm", "param_norm", "update_ratio", "accuracy")
        np.testing.assert_allclose([history[name][n] for name in names], expected, rtol=1e-4)
        kernel = history["layers"]["grad_norm"]["dense_1/kernel"][n]
        np.testing.assert_allclose(kernel, norm(grads["dense_1"]["kernel"]), rtol=1e-4)
        ts = after


def test_dearer_columns_are_held_between():
    """With every=4 they change at the first step and at multiples of four, and are then those of every=1."""
    data, ts = make_data(), fn.init(TASK, jax.random.key(0), make_data()[0])
    middle, _ = run(TASK, ts, data, steps=2, batch_size=BATCH)
    for start, taken in ((ts, [0, 4, 8]), (middle, [0, 2, 6])):
        _, sparse = run(TASK, start, data, steps=9, batch_size=BATCH, record=fn.Record(every=4))
        _, dense = run(TASK, start, data, steps=9, batch_size=BATCH, record=fn.Record(every=1))
        last = [max(n for n in taken if n <= step) for step in range(9)]
        for name in ("grad_norm", "param_norm", "accuracy"):
            np.testing.assert_allclose(sparse[name], dense[name][np.array(last)], rtol=1e-6)
        np.testing.assert_array_equal(sparse["loss"], dense["loss"])


@pytest.mark.parametrize("rows", [1, 3, 4, 100])
def test_a_thinned_history_is_a_part_of_the_whole(rows):
    data, ts = make_data(), fn.init(TASK, jax.random.key(0), make_data()[0])
    _, whole = run(TASK, ts, data, steps=10, batch_size=BATCH)
    _, some = run(TASK, ts, data, steps=10, batch_size=BATCH, record=fn.Record(rows=rows))
    kept = np.asarray(some["step"]) - 1
    assert len(kept) == min(rows, 10)
    assert kept[-1] == 9
    chex.assert_trees_all_equal(some, jax.tree.map(lambda column: column[kept], whole))


def poisoned(at):
    """Return a task whose update is infinite at one step."""
    return make_task(optimizer=fn.sgd(lambda count: jnp.where(count == at, jnp.inf, jnp.array(0.1))), metrics=())


def test_an_update_that_is_not_finite_is_skipped():
    """Its batch is passed over and the run goes on; the state stays finite."""
    data, task = make_data(), poisoned(4)
    ts = fn.init(task, jax.random.key(0), data[0])
    broken, history = run(task, ts, data, steps=9, batch_size=BATCH)
    assert not np.isfinite(history["loss"][5:]).any()
    assert not np.isfinite(broken.params["dense_0"]["bias"]).all()
    middle, _ = run(task, ts, data, steps=4, batch_size=BATCH)
    end, history = run(task, ts, data, steps=5, batch_size=BATCH, on_nonfinite="skip")
    assert history["skipped"].tolist() == [0, 0, 0, 0, 1]
    assert int(end.step) == 5
    chex.assert_trees_all_equal((end.params, end.opt_state), (middle.params, middle.opt_state))


def test_a_run_stops_before_an_update_that_is_not_finite():
    """The state is the last good one, and the rest of the history repeats the row of the step that failed."""
    data, task = make_data(), poisoned(4)
    ts = fn.init(task, jax.random.key(0), data[0])
    good, _ = run(task, ts, data, steps=4, batch_size=BATCH)
    end, history = run(task, ts, data, steps=9, batch_size=BATCH, on_nonfinite="stop")
    chex.assert_trees_all_equal(end, good)
    assert history["step"].tolist() == [1, 2, 3, 4, 5, 5, 5, 5, 5]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sampler": "epochs"}, TypeError, r"run: sampler must be one of fn\.sampling, .*, got 'epochs'"),
        ({"transform": 3}, TypeError, r"run: transform must be a function \(key, batch\) -> batch, got 3"),
        ({"record": 16}, TypeError, r"run: record must be an fn\.Record, got 16"),
        ({"record": fn.Record(every=-1)}, ValueError, "record: every must be at least 0, got -1"),
        ({"record": fn.Record(rows=0)}, ValueError, "record: rows must be at least 1, got 0"),
        ({"micro_batches": 0}, ValueError, "run: micro_batches must be at least 1, got 0"),
        ({"micro_batches": 3}, ValueError, "a batch of 8 rows cannot be cut into 3 equal parts"),
        ({"on_nonfinite": "raise"}, ValueError, "on_nonfinite must be 'go_on', 'skip' or 'stop', got 'raise'"),
    ],
)
@pytest.mark.untyped
def test_options_are_checked(options, error, message):
    ts = fn.init(TASK, jax.random.key(0), make_data()[0])
    with pytest.raises(error, match=message):
        fn.run(TASK, ts, make_data(), steps=1, batch_size=BATCH, **options)
