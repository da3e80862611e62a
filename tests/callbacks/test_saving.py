"""A run that is saved as it goes is resumed to the bit."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_training import BATCH, TASK, make_data, make_task

import fnnet as fn
from fnnet import checkpoints
from fnnet.errors import DataError


def fit(directory, *, task=TASK, callbacks=(), options=None, rows=None, **arguments):
    data = tuple(part[:rows] for part in make_data())
    saver = fn.callbacks.checkpoint(directory, **(options or {}))
    arguments = {"key": jax.random.key(0), "epochs": 6, "batch_size": BATCH, "validation": data} | arguments
    return fn.fit(task, data, callbacks=[*callbacks, saver], **arguments)


def alone(**arguments):
    data = make_data()
    arguments = {"key": jax.random.key(0), "epochs": 6, "batch_size": BATCH, "validation": data} | arguments
    return fn.fit(TASK, data, **arguments)


@pytest.mark.parametrize("record", [fn.Record(), fn.Record(every=4, updates=True, layers=True, rows=7)])
@pytest.mark.parametrize("ends", [[3], [2, 7, 8, 20]])
def test_a_resumed_run_is_one_that_was_left_alone(tmp_path, ends, record):
    """State, history and metrics are those of a run in one piece, bit for bit, wherever it was cut."""
    for end in ends:
        fit(tmp_path / "run", epochs=None, steps=end, resume=True, record=record)
    result, expected = fit(tmp_path / "run", resume=True, record=record), alone(record=record)
    chex.assert_trees_all_equal(result.state, expected.state)
    chex.assert_trees_all_equal(result.history, expected.history)
    whole = {name: np.isin(column, expected.metrics["step"]) for name, column in result.metrics.items()}["step"]
    names = ("step", "val_loss", "val_accuracy", *(["loss"] if len(whole) == len(expected.metrics["step"]) else []))
    for name in names:
        np.testing.assert_array_equal(result.metrics[name][whole], expected.metrics[name])


def test_a_run_that_is_over_is_resumed_as_it_is(tmp_path):
    first = fit(tmp_path / "run")
    again = fit(tmp_path / "run", resume=True)
    chex.assert_trees_all_equal(
        (first.state, first.history, first.metrics), (again.state, again.history, again.metrics)
    )
    assert again.ended == "steps"


def test_a_run_that_fails_is_resumed_from_before(tmp_path):
    """An error in a callback saves nothing more, and what was saved goes on to the bit."""

    def fail(event):
        if event.step > 12:
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fit(tmp_path / "run", callbacks=[fail], options={"epochs": 1})
    assert checkpoints.steps(tmp_path / "run")[-1] == 10
    chex.assert_trees_all_equal(fit(tmp_path / "run", resume=True).state, alone().state)


def test_an_interrupted_run_is_saved(tmp_path):
    import signal

    def interrupt(event):
        if event.step == 10 and event.kind == "epoch":
            signal.raise_signal(signal.SIGINT)

    result = fit(tmp_path / "run", callbacks=[interrupt], epochs=100)
    assert result.ended == "interrupt"
    assert checkpoints.steps(tmp_path / "run")[-1] == int(result.state.step)


def test_the_last_and_the_best_are_kept(tmp_path):
    """Of eight epochs the last two stay, and the best by validation loss."""
    values = iter([5.0, 2.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0])

    def script(event):
        if event.kind == "epoch":
            event.logs["val_loss"] = next(values)

    fit(tmp_path / "run", callbacks=[script], epochs=8, options={"epochs": 1, "keep": 2, "best": "val_loss"})
    assert checkpoints.steps(tmp_path / "run") == (10, 35, 40)
    assert checkpoints.best_step(tmp_path / "run", "val_loss") == 10


def test_what_is_saved_is_whole(tmp_path):
    result = fit(tmp_path / "run", options={"config": {"width": 6}})
    snapshot = checkpoints.restore(tmp_path / "run", result.state)
    chex.assert_trees_all_equal(snapshot.state, result.state)
    chex.assert_trees_all_equal(snapshot.history, result.history)
    assert {name: snapshot.config[name] for name in ("first", "config")} == {"first": 0, "config": {"width": 6}}
    settings = snapshot.config["settings"]
    assert settings.keys() == {"batch_size", "micro_batches", "sampler", "transform", "steps_an_epoch"}
    assert (settings["batch_size"], settings["steps_an_epoch"]) == (BATCH, 5)
    assert snapshot.versions["jax"] == jax.__version__


def test_a_directory_of_another_run_is_left_alone(tmp_path):
    fit(tmp_path / "run")
    with pytest.raises(fn.errors.DataError, match="holds checkpoints already"):
        fit(tmp_path / "run")
    wider = make_task(net=fn.serial(fn.dense(7), jax.nn.relu, fn.dense(3)))
    with pytest.raises(fn.errors.DataError, match="the state saved is not that of this task"):
        fit(tmp_path / "run", task=wider, resume=True)


def test_resuming_needs_a_checkpoint():
    with pytest.raises(ValueError, match=r"fit: resume=True needs one fn\.callbacks\.checkpoint.* got none"):
        fn.fit(TASK, make_data(), key=jax.random.key(0), steps=1, batch_size=BATCH, resume=True)


@pytest.mark.parametrize("saver_first", [False, True])
def test_what_is_saved_at_the_end_is_what_was_trained(tmp_path, saver_first):
    """Early stopping gives the best state back; the checkpoint holds the last, whichever is told first."""
    stop = fn.callbacks.early_stopping("val_loss", patience=1, mode="max")  # the loss falls, so the first is the best
    saver = fn.callbacks.checkpoint(tmp_path / "run")
    listeners = [saver, stop] if saver_first else [stop, saver]
    options = {"key": jax.random.key(0), "epochs": 6, "batch_size": BATCH, "validation": make_data()}
    result = fn.fit(TASK, make_data(), callbacks=listeners, **options)
    assert result.ended == "callback"
    assert int(result.state.step) == 5
    assert checkpoints.steps(tmp_path / "run")[-1] == 10
    chex.assert_trees_all_equal(fit(tmp_path / "run", resume=True).state, alone().state)


def test_a_run_that_is_put_back_is_saved_from_there(tmp_path):
    """A callback that puts an earlier state in place once: later checkpoints are of the steps that follow it."""
    start, done = fn.init(TASK, jax.random.key(0), make_data()[0]), []

    def back(event):
        if event.kind == "epoch" and event.step == 15 and not done:
            done.append(event.step)
            return fn.callbacks.Decision(state=start)
        return None

    result = fit(tmp_path / "run", callbacks=[back], options={"epochs": 1, "seconds": None, "keep": 9})
    assert done == [15]
    assert checkpoints.steps(tmp_path / "run") == (5, 10, 15, 20, 25, 30)
    chex.assert_trees_all_equal(result.state, alone().state)


def test_a_refused_resume_loses_nothing(tmp_path):
    """The callback of a resume that was refused is used again, without resume: the directory is another run's."""
    fit(tmp_path / "run", epochs=3, options={"epochs": 1, "keep": 9})
    saver, data = fn.callbacks.checkpoint(tmp_path / "run"), make_data()
    options = {"key": jax.random.key(0), "callbacks": [saver], "epochs": 6}
    for changed in ({"batch_size": BATCH}, {"batch_size": BATCH + 1, "validation": data}):
        with pytest.raises(DataError, match="the run that is resumed has"):
            fn.fit(TASK, data, resume=True, **options, **changed)
        with pytest.raises(DataError, match="holds checkpoints already"):
            fn.fit(TASK, data, batch_size=BATCH, validation=data, **options)
    assert checkpoints.steps(tmp_path / "run") == (5, 10, 15)


@pytest.mark.parametrize("every", [1, 2, 4])
def test_the_last_checkpoint_is_that_of_the_result_after_a_roll_back(tmp_path, every):
    """A callback puts a changed earlier state in place, and the run comes again to steps that were saved before."""
    done, early = [], []

    def back(event):
        if event.kind == "epoch" and event.step == 5 and not early:
            early.append(jax.tree.map(np.array, event.state.params))
        if event.kind == "epoch" and event.step == 20 and not done:
            done.append(event.step)
            params = jax.tree.map(lambda leaf: 2 * leaf, early[0])
            step = jnp.int32(5)
            return fn.callbacks.Decision(state=event.state._replace(step=step, params=params))
        return None

    options = {"epochs": every, "seconds": None, "keep": 9}
    result = fit(tmp_path / "run", callbacks=[back], epochs=4, options=options)
    snapshot = checkpoints.restore(tmp_path / "run", result.state)
    chex.assert_trees_all_equal(snapshot.state, result.state)
    chex.assert_trees_all_equal(snapshot.history, result.history)


def test_metrics_that_are_no_numbers_are_no_scores(tmp_path):
    """A metric of a dict or of an array is saved with the others."""
    spread = fn.Metric(
        "spread", lambda: jnp.zeros(2), lambda acc, z, y, w=None: acc + z[0, :2], lambda acc: {"a": acc[0], "b": acc}
    )
    task = make_task(metrics=(fn.metrics.accuracy(), spread))
    result = fit(tmp_path / "run", task=task, epochs=2, options={"epochs": 1, "best": "val_accuracy", "mode": "max"})
    snapshot = checkpoints.restore(tmp_path / "run", result.state)
    assert snapshot.metrics["val_spread"]["b"].shape == (2, 2)


OTHERS = {
    "record": (
        {"record": fn.Record(updates=True)},
        "the run that is resumed has other columns: missing",
    ),
    "no validation": ({"validation": None}, r"has the metrics \['val_accuracy', 'val_loss'\], this one \[\]"),
    "batch size": ({"batch_size": BATCH + 1}, f"has batch_size {BATCH}, this one {BATCH + 1}"),
    "micro-batches": ({"micro_batches": 2}, "has micro_batches 1, this one 2"),
    "sampler": ({"sampler": fn.sampling.with_replacement()}, "has another sampler than this one"),
    "transform": ({"transform": lambda key, batch: batch}, "has another transform than this one"),
    "fewer data": ({"rows": 3 * BATCH}, "has steps_an_epoch 5, this one 3"),
    "metrics": ({"task": make_task(metrics=())}, "other columns: unexpected 'accuracy'"),
}


@pytest.mark.parametrize(("arguments", "words"), OTHERS.values(), ids=OTHERS)
def test_a_run_is_not_resumed_with_other_columns(tmp_path, arguments, words):
    fit(tmp_path / "run", epochs=2)
    with pytest.raises(DataError, match=words):
        fit(tmp_path / "run", resume=True, **arguments)
    assert checkpoints.steps(tmp_path / "run")[-1] == 10


@pytest.mark.parametrize("epochs", [0, -1, 1.5])
def test_intervals_that_are_none_are_refused(tmp_path, epochs):
    with pytest.raises(ValueError, match="checkpoint: epochs"):
        fn.callbacks.checkpoint(tmp_path, epochs=epochs)
