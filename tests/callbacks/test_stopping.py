"""Runs that end before their last step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import chex
import jax
import numpy as np
import pytest
from test_training import BATCH, TASK, make_data

import fnnet as fn
from fnnet.callbacks.stopping import best_of


def fit(callbacks, **options):
    data = make_data()
    options = {"key": jax.random.key(0), "epochs": 8, "batch_size": BATCH, "validation": data} | options
    return fn.fit(TASK, data, callbacks=callbacks, **options)


def script(values):
    """Return a callback that puts values in the place of the validation loss, and keeps the state of each epoch."""
    states = []

    def callback(event):
        if event.kind == "epoch":
            event.logs["val_loss"] = values[len(states)]
            states.append(jax.tree.map(np.array, event.state.params))

    return callback, states


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([5, 4, 3, 3, 3, 3, 3, 3], {"patience": 2}, 5, 2),
        ([5, 4, 6, 3, 7, 8, 1, 1], {"patience": 3}, 8, 6),
        ([5, 4, 3.9, 3.8, 3.7, 1, 1, 1], {"patience": 2, "min_delta": 0.5}, 4, 1),
        ([1, 2, 2, 1, 1, 1, 1, 1], {"patience": 2, "mode": "max"}, 4, 1),
        ([np.nan, np.nan, 2, np.nan, np.nan, np.nan, 1, 1], {"patience": 3}, 6, 2),
        ([8, 7, 6, 5, 4, 3, 2, 1], {"patience": 1}, 8, 7),
    ],
)
def test_early_stopping_ends_and_restores_the_best(values, options, epochs, best):
    told, states = script(values)
    result = fit([told, fn.callbacks.early_stopping(**options)])
    assert len(result.metrics["epoch"]) == epochs
    assert int(result.state.step) == (best + 1) * 5
    chex.assert_trees_all_equal(result.state.params, states[best])


@pytest.mark.parametrize("cut", [5, 8, 13, 15, 20, 22, 60])
def test_a_resumed_run_ends_with_the_best_state_of_all(tmp_path, cut):
    """However early the best epoch was, and wherever the run was cut: even one that had stopped already."""

    def stop():  # the loss falls, so that the first of the epochs is the best
        return fn.callbacks.early_stopping("val_loss", patience=4, mode="max")

    data = make_data()
    options = {"key": jax.random.key(0), "batch_size": BATCH, "validation": data}
    expected = fn.fit(TASK, data, callbacks=[stop()], epochs=8, **options)
    assert (expected.ended, int(expected.state.step)) == ("callback", 5)
    saver = fn.callbacks.checkpoint(tmp_path / "run", seconds=None)
    fn.fit(TASK, data, callbacks=[stop(), saver], steps=cut, **options)
    listeners = [stop(), fn.callbacks.checkpoint(tmp_path / "run")]
    result = fn.fit(TASK, data, callbacks=listeners, epochs=8, resume=True, **options)
    assert result.ended == "callback"
    chex.assert_trees_all_equal(result.state, expected.state)
    if cut % 5 == 0 and cut < 25:  # otherwise the first run has a row for its last steps
        chex.assert_trees_all_equal(result.metrics, expected.metrics)


@pytest.mark.parametrize("first", [[], [0.1]], ids=["without", "with another min_delta"])
def test_a_best_epoch_whose_state_was_not_kept_does_not_count(tmp_path, first):
    """A run that is resumed with early stopping as it was not before ends with a state of its own table."""
    data = make_data()
    options = {"key": jax.random.key(0), "batch_size": BATCH, "validation": data}
    stops = [fn.callbacks.early_stopping("val_loss", patience=9, min_delta=delta) for delta in first]
    fn.fit(TASK, data, callbacks=[*stops, fn.callbacks.checkpoint(tmp_path / "run")], epochs=4, **options)
    listeners = [fn.callbacks.early_stopping("val_loss", patience=9), fn.callbacks.checkpoint(tmp_path / "run")]
    result = fn.fit(TASK, data, callbacks=listeners, epochs=6, resume=True, **options)
    assert int(result.state.step) == result.metrics["step"][result.metrics["val_loss"].argmin()] == 30
    chex.assert_trees_all_equal(result.state, result.kept["val_loss"])


def test_each_monitor_keeps_its_own_best():
    """Of two the last one's is restored; both are in the result."""
    data = make_data()
    stops = [fn.callbacks.early_stopping("val_loss", 9), fn.callbacks.early_stopping("loss", 9, mode="max")]
    result = fit(stops, epochs=4, validation=data)
    assert {name: int(ts.step) for name, ts in result.kept.items()} == {"val_loss": 20, "loss": 5}
    assert int(result.state.step) == 5
    chex.assert_trees_all_equal(result.state, result.kept["loss"])


def test_the_last_state_stays_without_restoring():
    told, states = script([1, 2, 3, 4, 5, 6, 7, 8])
    result = fit([told, fn.callbacks.early_stopping(patience=2, restore_best=False)])
    assert result.ended == "callback"
    chex.assert_trees_all_equal(result.state.params, states[2])


def test_a_monitor_that_is_not_there_is_named():
    with pytest.raises(fn.errors.DataError, match=r"(?s)there is no metric 'val_acuracy'.*did you mean 'val_accuracy'"):
        fit([fn.callbacks.early_stopping("val_acuracy")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fn.callbacks.early_stopping(patience=0), "early_stopping: patience must be at least 1, got 0"),
        (lambda: fn.callbacks.early_stopping(mode="least"), "mode must be 'min' or 'max', got 'least'"),
        (lambda: fn.callbacks.early_stopping(min_delta=-1.0), "min_delta must be a number of at least 0, got -1.0"),
        (lambda: fn.callbacks.time_limit(0), "time_limit: seconds must be a number above 0, got 0"),
        (lambda: fn.callbacks.checkpoint("x", seconds=-1), "checkpoint: seconds must be a number of at least 0"),
    ],
)
def test_impossible_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_best_place_of_many():
    """Against the plain definition, on random values."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        values, delta = rng.integers(0, 5, 8).astype(float), rng.choice([0.0, 1.0])
        place = 0
        for n in range(1, 8):
            place = n if values[n] < values[place] - delta else place
        assert best_of(values, delta) == (8, place, values[place])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_at_a_step(number):
    """The run so far is returned, whole; the handlers are as before."""
    before = signal.getsignal(number)

    def interrupt(event):
        if event.kind == "epoch" and event.step == 10:
            os.kill(os.getpid(), number)

    result = fit([interrupt], epochs=1000)
    assert result.ended == "interrupt"
    assert len(result.history["loss"]) == int(result.state.step) < 5000
    expected = fn.fit(TASK, make_data(), key=jax.random.key(0), steps=int(result.state.step), batch_size=BATCH)
    chex.assert_trees_all_equal(result.state, expected.state)
    assert signal.getsignal(number) is before


def test_a_second_signal_ends_it_at_once():
    told = []

    def interrupt(event):
        told.append(event.kind)
        if event.kind == "epoch":
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit([interrupt])
    assert told[-2:] == ["epoch", "end"]


def test_outside_the_main_thread_signals_are_left_alone():
    results = []
    thread = threading.Thread(target=lambda: results.append(fit([], epochs=1)))
    thread.start()
    thread.join()
    assert results[0].ended == "steps"


def test_a_script_that_is_terminated_goes_on_after_fit(tmp_path):
    """SIGTERM from outside ends `fit`, not the process: what follows it runs."""
    code = (
        "import os, signal, jax, jax.numpy as jnp, fnnet as fn\n"
        "def terminate(event):\n"
        "    if event.kind == 'epoch' and event.step == 50: os.kill(os.getpid(), signal.SIGTERM)\n"
        "task, x = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.1)), jnp.ones((4, 1))\n"
        "r = fn.fit(task, (x, x), key=jax.random.key(0), steps=10**7, batch_size=2, callbacks=[terminate])\n"
        "print(r.ended, int(r.state.step) == len(r.history['loss']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["interrupt", "True"]
