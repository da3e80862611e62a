"""`fit` is `run` with a host that listens."""

from __future__ import annotations

import io
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_training import BATCH, STATIC, TASK, make_data, make_task

import fnnet as fn
from fnnet import callbacks, training
from fnnet.fitting import chunks, loop

compiled = jax.jit(fn.run, static_argnames=STATIC, compiler_options=fn.compiler_options())


@pytest.mark.leaks
@pytest.mark.parametrize("capacity", [1, 3, 4096])
def test_fit_is_run_whatever_the_chunks(capacity, monkeypatch):
    """The state and the losses of fit are those of run, bit for bit, in chunks of any length."""
    monkeypatch.setattr(chunks, "CAPACITY", capacity)
    chunks._program.cache_clear()
    data, record = make_data(), fn.Record(every=4, updates=True, layers=True)
    result = fn.fit(TASK, data, key=jax.random.key(1), steps=13, batch_size=BATCH, record=record)
    chunks._program.cache_clear()
    start = fn.init(TASK, jax.random.key(1), data[0])
    end, history = compiled(TASK, start, data, steps=13, batch_size=BATCH, record=record)
    chex.assert_trees_all_equal((result.state, result.history), (end, history))
    np.testing.assert_array_equal(result.history["step"], np.arange(1, 14))


def test_steps_that_last_are_told_one_by_one(monkeypatch):
    """Where a block lasts longer than the host is to wait, chunks are single steps, and the run is the same."""
    monkeypatch.setattr(loop, "_SECONDS_A_BLOCK", 0.0)
    monkeypatch.setattr(loop, "_SECONDS_A_CHUNK", 0.0)
    steps = []

    def look(event):
        if event.kind == "chunk":
            steps.append(event.step)

    options = {"key": jax.random.key(0), "steps": 10, "batch_size": BATCH}
    result = fn.fit(TASK, make_data(), callbacks=[look], **options)
    assert steps == [5, 6, 7, 8, 9, 10]
    monkeypatch.undo()
    chex.assert_trees_all_equal(result[:2], fn.fit(TASK, make_data(), **options)[:2])


def test_rows_that_are_large_make_short_chunks(monkeypatch):
    """The buffers of auxiliary values are bounded by their bytes, and the run is the same."""

    def loss(prediction, target):
        values = fn.losses.cross_entropy(prediction, target)
        return fn.Terms({"": values}, {"logits": prediction})

    task, steps = make_task(loss=loss), []

    def look(event):
        if event.kind == "chunk":
            steps.append(event.step)

    options = {"key": jax.random.key(0), "steps": 10, "batch_size": BATCH}
    whole = fn.fit(task, make_data(), **options)
    chunks._program.cache_clear()
    monkeypatch.setattr(chunks, "_BYTES", 3 * whole.history["logits"][0].nbytes)
    result = fn.fit(task, make_data(), callbacks=[look], **options)
    chunks._program.cache_clear()
    assert np.diff([0, *steps]).max() == 2
    chex.assert_trees_all_equal(result[:2], whole[:2])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_trains_through_fit(dtype):
    """Parameters stay in float32 and the loss falls; a scale that overflows at first ends no run."""
    net = fn.precision(fn.serial(fn.dense(6), jax.nn.relu, fn.dense(3)), compute=jnp.dtype(dtype))
    rule = fn.adam(0.05)
    scaled = dtype == "float16"
    task = make_task(net=net, optimizer=fn.transforms.dynamic_loss_scale(rule, initial=2.0**24) if scaled else rule)
    result = fn.fit(task, make_data(), key=jax.random.key(0), steps=60, batch_size=BATCH)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(result.state.params)} == {"float32"}
    assert result.ended == "steps"
    assert result.history["loss"][-10:].mean() < 0.8 * result.history["loss"][:3].mean()
    if scaled:
        assert 0 < int(result.state.opt_state.skipped) < 20


@pytest.mark.parametrize(
    ("lengths", "listeners", "steps_a_block"), [((3, 9), [lambda event: None], 1), ((20, 50), [], 10)]
)
def test_fit_compiles_once(lengths, listeners, steps_a_block):
    """One program serves every length of chunk, and a second fit of the same shapes."""
    chunks._program.cache_clear()
    for steps in lengths:
        fn.fit(TASK, make_data(), key=jax.random.key(0), steps=steps, batch_size=BATCH, callbacks=listeners)
    assert chunks._program.cache_info().currsize == 1
    course = training.check_course(TASK, make_data(), BATCH, None, None, 1, fn.Record(), "go_on")
    held = tuple(sorted(["grad_norm", "param_norm", *(metric.name for metric in TASK.metrics)]))
    program = chunks._program(TASK, course, held, steps_a_block, True)
    assert chunks._program.cache_info().currsize == 1
    assert program._cache_size() == 1


def test_fit_traces_a_step_twice():
    """Once for the shapes of its row, once for the program, but never again; the check of targets takes a loss, too."""
    traced = []

    def loss(prediction, target):
        traced.append(1)
        return fn.losses.squared_error(prediction, target)

    task = fn.Task(fn.dense(1), loss, fn.sgd(0.1))
    data = jnp.ones((8, 2)), jnp.ones((8, 1))
    counts = []
    for steps in (10, 30):
        fn.fit(task, data, key=jax.random.key(0), steps=steps, batch_size=2)
        counts.append(len(traced))
    assert counts == [3, 4]


def test_fit_holds_no_state_but_the_last(monkeypatch):
    """Between chunks one array of each shape is alive: neither the first state nor that from before the chunk."""
    monkeypatch.setattr(chunks, "CAPACITY", 2)
    task = fn.Task(fn.dense(37), fn.losses.squared_error, fn.sgd(0.1))
    data = jnp.ones((8, 41)), jnp.ones((8, 37))
    alive = []

    def count(event):
        if event.kind == "chunk":
            alive.append(sum(array.shape == (41, 37) for array in jax.live_arrays()))

    words = [count, fn.callbacks.progress(stream=io.StringIO())]
    fn.fit(task, data, key=jax.random.key(0), steps=8, batch_size=2, callbacks=words)
    assert alive == [1, 1, 1, 1]


def test_fit_goes_on_from_a_state_and_leaves_it():
    """fit(a + b) = fit(b, state=fit(a).state), and the given state can be used again."""
    data = make_data()
    first = fn.fit(TASK, data, key=jax.random.key(0), steps=4, batch_size=BATCH)
    second = fn.fit(TASK, data, state=first.state, steps=5, batch_size=BATCH)
    again = fn.fit(TASK, data, state=first.state, steps=5, batch_size=BATCH)
    whole = fn.fit(TASK, data, key=jax.random.key(0), steps=9, batch_size=BATCH)
    chex.assert_trees_all_equal(second.state, again.state, whole.state)
    assert second.history["step"].tolist() == [5, 6, 7, 8, 9]


def test_a_last_part_of_an_epoch_has_a_row():
    """A run that ends within an epoch closes with a row over the steps since the last one."""
    result = fn.fit(TASK, make_data(), key=jax.random.key(0), steps=7, batch_size=BATCH)
    assert result.metrics["epoch"].tolist() == [1, 1.4]
    np.testing.assert_allclose(result.metrics["loss"][1], result.history["loss"][5:].mean(), rtol=1e-6)


def test_metrics_of_every_epoch():
    """Each epoch has a row: the mean training loss, and the validation metrics of that moment."""
    data, validation = make_data(), make_data(seed=1)
    result = fn.fit(TASK, data, key=jax.random.key(0), epochs=3, batch_size=BATCH, validation=validation)
    assert result.metrics["epoch"].tolist() == [1, 2, 3]
    assert result.metrics["step"].tolist() == [5, 10, 15]
    np.testing.assert_allclose(result.metrics["loss"], result.history["loss"].reshape(3, 5).mean(1), rtol=1e-6)
    last = fn.evaluate(TASK, result.state, validation)
    np.testing.assert_allclose(result.metrics["val_loss"][-1], last["loss"], rtol=1e-6)
    np.testing.assert_allclose(result.metrics["val_accuracy"][-1], last["accuracy"], rtol=1e-6)


def test_a_data_set_can_be_fitted_as_it_is():
    """fit(dataset) = fit(dataset.arrays); its names stay outside."""
    train, validation = fn.data.split(fn.data.iris(), (0.8, 0.2), seed=0)
    whole = fn.fit(TASK, train, key=jax.random.key(0), epochs=1, validation=validation)
    arrays = fn.fit(TASK, train.arrays, key=jax.random.key(0), epochs=1, validation=validation.arrays)
    chex.assert_trees_all_equal(whole, arrays)
    with pytest.raises(fn.errors.DataError, match=r"expected \(x, y\)"):
        fn.fit(TASK, train.x, key=jax.random.key(0), epochs=1)


@pytest.mark.row("image-classification")
@pytest.mark.lowest
def test_learns_digits():
    """A small network reads at least 94 of 100 unseen handwritten digits after 15 epochs."""
    train, test = fn.data.split(fn.data.digits(), (0.8, 0.2), seed=0)
    task = make_task(net=fn.serial(fn.dense(64), jax.nn.relu, fn.dense(10)), optimizer=fn.adam(3e-3))
    result = fn.fit(task, train.arrays, key=jax.random.key(0), epochs=15, batch_size=32)
    assert fn.evaluate(task, result.state, test.arrays)["accuracy"] > 0.94


def test_a_callback_ends_the_run():
    """A callback that returns True ends the run after its event; the state so far is returned."""
    result = fn.fit(
        TASK,
        make_data(),
        key=jax.random.key(0),
        epochs=50,
        batch_size=BATCH,
        callbacks=[lambda event: event.kind == "epoch" and event.step >= 10],
    )
    assert int(result.state.step) == 10
    assert len(result.metrics["epoch"]) == 2


def test_the_end_is_told_of_a_run_that_breaks_off():
    """Ctrl-C in the middle reaches the caller, after every callback was told the end once."""
    told = []

    def break_off(event):
        told.append(event.kind)
        if event.kind == "chunk":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fn.fit(TASK, make_data(), key=jax.random.key(0), steps=5, batch_size=BATCH, callbacks=[break_off])
    assert told == ["start", "chunk", "end"]


def test_events_come_in_order():
    """start, then chunks and epochs, then end; steps never go back."""
    events = []
    fn.fit(TASK, make_data(), key=jax.random.key(0), epochs=2, batch_size=BATCH, callbacks=[events.append])
    kinds = [event.kind for event in events]
    assert (kinds[0], kinds[-1], kinds.count("epoch")) == ("start", "end", 2)
    assert set(kinds[1:-1]) == {"chunk", "epoch"}
    assert [event.step for event in events] == sorted(event.step for event in events)
    assert events[-1].steps == 10


@pytest.mark.leaks
@pytest.mark.parametrize("capacity", [1, 7, 4096])
def test_short_epochs_are_made_at_once(capacity, monkeypatch):
    """Without validation, and with callbacks that look at logs alone, chunks go on; all else is the same."""
    monkeypatch.setattr(chunks, "CAPACITY", capacity)
    monkeypatch.setattr(loop, "_SECONDS_A_CHUNK", 3600.0)
    chunks._program.cache_clear()
    told, cut = [], []
    options = {"key": jax.random.key(0), "steps": 93, "batch_size": BATCH}
    listeners = [callbacks.LogsOnly(told.append), callbacks.progress(stream=io.StringIO())]
    at_once = fn.fit(TASK, make_data(), callbacks=listeners, **options)
    one_by_one = fn.fit(TASK, make_data(), callbacks=[cut.append], **options)
    chunks._program.cache_clear()
    chex.assert_trees_all_equal(at_once, one_by_one)
    np.testing.assert_array_equal(at_once.metrics["step"], [*range(5, 93, 5), 93])
    means = [part.mean(dtype=np.float64) for part in np.split(at_once.history["loss"], range(5, 93, 5))]
    np.testing.assert_allclose(at_once.metrics["loss"], means, rtol=1e-12)
    epochs = [[(e.kind, e.step, e.logs) for e in events if e.kind in ("epoch", "end")] for events in (told, cut)]
    assert epochs[0] == epochs[1]
    assert [event.step for event in told] == sorted(event.step for event in told)
    chunks_made = [sum(event.kind == "chunk" for event in events) for events in (told, cut)]
    assert chunks_made == {1: [93, 93], 7: [16, 20], 4096: [3, 20]}[capacity]


def test_epochs_of_a_chunk_are_told_when_they_ended(monkeypatch):
    """By the steps of the chunk, so that a pace that is taken between two of them is that of the run."""
    monkeypatch.setattr(loop, "_SECONDS_A_CHUNK", 3600.0)
    told = []
    options = {"key": jax.random.key(0), "epochs": 50, "batch_size": BATCH}
    fn.fit(TASK, make_data(), callbacks=[callbacks.LogsOnly(told.append)], **options)
    seconds = [event.seconds for event in told]
    assert seconds == sorted(seconds)
    chunk = [event for event in told if event.kind == "epoch" and 90 < event.step < 250]
    steps = np.diff([event.step for event in chunk])
    paces = np.diff([event.seconds for event in chunk]) / steps
    np.testing.assert_allclose(paces, paces[0], rtol=1e-6)


def test_a_callback_that_looks_at_logs_alone_puts_no_state_in_place():
    def back(event):
        return callbacks.Decision(state=event.state) if event.kind == "epoch" else None

    with pytest.raises(TypeError, match="LogsOnly: back answers with a state; pass it to fit as it is"):
        fn.fit(
            TASK, make_data(), key=jax.random.key(0), epochs=2, batch_size=BATCH, callbacks=[callbacks.LogsOnly(back)]
        )


def test_epochs_before_what_is_not_finite_are_in_the_table():
    """Whether or not chunks end with epochs: the row of the epoch that broke off is left out."""
    x, y = make_data()
    task = make_task(optimizer=fn.sgd(lambda step: jnp.where(step < 12, 0.1, jnp.nan)))
    options = {"key": jax.random.key(0), "steps": 40, "batch_size": BATCH, "on_nonfinite": "stop"}
    runs = [fn.fit(task, (x, y), callbacks=listeners, **options) for listeners in ([], [lambda event: None])]
    chex.assert_trees_all_equal(*(run._replace(address=None, ended="") for run in runs))
    assert runs[0].address == runs[1].address
    assert runs[0].metrics["step"].tolist() == [5, 10]
    assert len(runs[0].history["loss"]) == 12


def test_no_step_is_no_change():
    """A run of no steps returns the initial state and empty history."""
    result = fn.fit(TASK, make_data(), key=jax.random.key(0), steps=0, batch_size=BATCH)
    assert result.history["loss"].shape == (0,)
    assert result.metrics == {}
    chex.assert_trees_all_equal(result.state, fn.init(TASK, jax.random.key(0), make_data()[0]))


def test_progress_writes_lines_where_there_is_no_terminal():
    """At most a line a tenth of the run, with epoch, loss and rate."""
    out = io.StringIO()
    bar = callbacks.progress("digits", stream=out)
    fn.fit(TASK, make_data(), key=jax.random.key(0), epochs=20, batch_size=BATCH, callbacks=[bar])
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("digits: epoch 20/20  loss ")
    assert lines[-1].endswith(" samples/s")


def test_progress_draws_a_bar_on_a_terminal(monkeypatch):
    """On a terminal, of 80 columns too, the bar counts steps, says how long it takes, and shows the last logs."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    bar = callbacks.progress("digits", stream=out)
    for _ in range(2):  # a second run has a bar of its own
        start = len(out.getvalue())
        fn.fit(TASK, make_data(), key=jax.random.key(0), epochs=2, batch_size=BATCH, callbacks=[bar])
        last = out.getvalue()[start:].split("digits ")[-1]
        assert re.search(r"10/10 steps 0:00:\d\d 0:00:00 [\d,]+ samples/s\s+loss \d\.\d{4}", last)


def test_what_is_wrong_with_validation_is_found_before_training():
    """A net that does not take its shape, and a metric that does not fit, end the run before its first step."""
    x, y = make_data()
    told = []
    for task, validation, message in (
        (TASK, (x[:, :3], y), r"validation/dense_0: the last axis of the input must be 4"),
        (TASK._replace(metrics=(fn.metrics.roc_auc(),)), (x, y), r"validation \(roc_auc\): the target must have"),
    ):
        with pytest.raises(fn.errors.ShapeError, match=message):
            fn.fit(
                task,
                (x, y),
                key=jax.random.key(0),
                steps=2,
                batch_size=BATCH,
                validation=validation,
                callbacks=[lambda event: told.append(event.kind)],
            )
    assert not told


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (TASK._replace(net=fn.dense(3)), "the params must be those of this task: missing 'bias', 'kernel'; unexpected"),
        (TASK._replace(optimizer=fn.sgd(0.1)), "the opt_state must be those of this task: missing '0/hyperparams/lea"),
    ],
)
def test_a_state_of_another_task_is_named(other, message):
    x, y = make_data()
    with pytest.raises(fn.errors.DataError, match=f"fit: {message}"):
        fn.fit(other, (x, y), state=fn.init(TASK, jax.random.key(0), x), steps=1, batch_size=BATCH)


def test_a_result_is_no_state():
    x, y = make_data()
    result = fn.fit(TASK, (x, y), key=jax.random.key(0), steps=1, batch_size=BATCH)
    with pytest.raises(TypeError, match=r"fit: expected a TrainState, .*, got Fit; .* pass result\.state"):
        fn.fit(TASK, (x, y), state=result, steps=1, batch_size=BATCH)
    with pytest.raises(TypeError, match="evaluate: expected a TrainState"):
        fn.evaluate(TASK, result, (x, y))
    with pytest.raises(TypeError, match="predict: expected a TrainState"):
        fn.predict(TASK, result.state.params, x)


def test_callbacks_are_a_list():
    with pytest.raises(TypeError, match="fit: callbacks must be a list of functions, got one"):
        fn.fit(TASK, make_data(), key=jax.random.key(0), steps=1, callbacks=fn.callbacks.progress())


def test_losses_in_float64_are_those_of_run(x64):
    """A run in float64 has its losses whole in the history."""
    x, y = (np.asarray(a, d) for a, d in zip(make_data(), (np.float64, np.int32), strict=True))
    state = fn.init(TASK, jax.random.key(0), x)
    _, history = jax.jit(fn.run, static_argnames=("task", "steps", "batch_size"))(
        TASK, state, (x, y), steps=3, batch_size=BATCH
    )
    result = fn.fit(TASK, (x, y), state=state, steps=3, batch_size=BATCH)
    assert history["loss"].dtype == jnp.float64
    np.testing.assert_array_equal(result.history["loss"], history["loss"])


def test_targets_are_checked_whatever_their_dtype():
    """A yes-or-no target of ±1 in floats is named before a step is made."""
    x, _ = make_data()
    task = fn.Task(fn.dense(1), fn.losses.binary_cross_entropy, fn.sgd(0.1))
    with pytest.raises(fn.errors.DataError, match=r"targets \(binary_.*\): targets must lie between 0 and 1"):
        fn.fit(task, (x, jnp.sign(x[:, :1])), key=jax.random.key(0), steps=1, batch_size=BATCH)


def test_metrics_of_several_values_are_columns():
    """A metric of one value a class has a row for each epoch, one of two arrays a pair of columns."""
    pair = fn.metrics.accuracy()._replace(name="pair", compute=lambda acc: (jnp.ones(2), jnp.ones(3)))
    task = TASK._replace(metrics=(fn.metrics.f1(3, average=None), pair))
    data = make_data()
    metrics = fn.fit(task, data, key=jax.random.key(0), epochs=2, batch_size=BATCH, validation=data).metrics
    assert metrics["val_f1_per_class"].shape == (2, 3)
    assert [column.shape for column in metrics["val_pair"]] == [(2, 2), (2, 3)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"key": jax.random.key(0)}, "exactly one of epochs and steps"),
        ({"key": jax.random.key(0), "steps": 1, "epochs": 1}, "got epochs=1, steps=1"),
        ({"steps": 1}, "exactly one of key"),
        ({"key": jax.random.key(0), "epochs": -1}, "fit: epochs must be at least 0, got -1"),
        ({"key": jax.random.key(0), "steps": 2.5}, r"fit: steps must be a whole number, got 2\.5"),
    ],
)
def test_contradicting_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        fn.fit(TASK, make_data(), batch_size=BATCH, **arguments)


def test_bad_data_is_refused_before_training():
    """Rows that are not finite, and labels outside the classes, are named before a step is made."""
    x, y = make_data()
    with pytest.raises(fn.errors.DataError, match=r"finite"):
        fn.fit(TASK, (x.at[3, 1].set(jnp.nan), y), key=jax.random.key(0), steps=1, batch_size=BATCH)
    with pytest.raises(fn.errors.DataError, match=r"label.* 7"):
        fn.fit(TASK, (x, y.at[5].set(7)), key=jax.random.key(0), steps=1, batch_size=BATCH)
    with pytest.raises(fn.errors.DataError, match=r"label.* 7"):
        fn.fit(TASK, (x, y), key=jax.random.key(0), steps=1, batch_size=BATCH, validation=(x, y.at[5].set(7)))


def test_averaged_parameters_are_validated():
    """With `evaluated` the validation metrics are those of the averaged parameters, and training is as without."""
    data = make_data()
    task = make_task(optimizer=fn.transforms.chain(fn.adam(0.05), fn.transforms.average(0.9)))
    options = {"key": jax.random.key(0), "epochs": 2, "batch_size": BATCH, "validation": data}
    plain = fn.fit(task, data, **options)
    averaged = fn.fit(task, data, evaluated=fn.transforms.with_average, **options)
    chex.assert_trees_all_equal(plain.state, averaged.state)
    expected = fn.evaluate(task, fn.transforms.with_average(plain.state), data)
    np.testing.assert_allclose(averaged.metrics["val_loss"][-1], expected["loss"], rtol=1e-6)
    assert averaged.metrics["val_loss"][-1] != plain.metrics["val_loss"][-1]


def test_a_decision_puts_another_state_in_place():
    """The run goes on from the state that a callback answers with: here from the start, once."""
    data, start = make_data(), fn.init(TASK, jax.random.key(0), make_data()[0])
    answered = []

    def back(event):
        if event.kind == "epoch" and not answered:
            answered.append(event.step)
            return callbacks.Decision(state=jax.tree.map(jnp.copy, start))
        return None

    result = fn.fit(TASK, data, state=start, steps=10, batch_size=BATCH, callbacks=[back])
    whole = fn.fit(TASK, data, state=start, steps=10, batch_size=BATCH)
    assert result.history["step"].tolist() == [*range(1, 6), *range(1, 11)]
    chex.assert_trees_all_equal(result.state, whole.state)


def test_callbacks_are_told_the_same_whatever_another_answers():
    """A state that is answered is put in place once all were told: at the end it is the result's alone."""
    data, start = make_data(), fn.init(TASK, jax.random.key(0), make_data()[0])
    seen = []

    def back(event):
        return callbacks.Decision(state=start) if event.kind == "end" else None

    def look(event):
        if event.kind == "end":
            seen.append((event.step, int(event.so_far().state.step)))

    for listeners in ([back, look], [look, back]):
        result = fn.fit(TASK, data, key=jax.random.key(0), steps=4, batch_size=BATCH, callbacks=listeners)
        assert int(result.state.step) == 0
    assert seen == [(4, 4), (4, 4)]


def test_every_callback_is_told_the_end_and_the_first_error_is_raised():
    told = []

    def broken(event):
        raise RuntimeError(f"broken at the {event.kind}")

    def broken_at_the_end(event):
        if event.kind == "end":
            broken(event)

    def look(event):
        told.append(event.kind)

    options = {"key": jax.random.key(0), "steps": 4, "batch_size": BATCH}
    with pytest.raises(RuntimeError, match="broken at the end"):
        fn.fit(TASK, make_data(), callbacks=[broken_at_the_end, look], **options)
    assert told[-1] == "end"
    with pytest.raises(RuntimeError, match="broken at the start"):
        fn.fit(TASK, make_data(), callbacks=[broken, look], **options)
    assert told[-1] == "end"


def test_the_loss_of_skipped_batches_is_left_out_of_the_mean():
    data = make_data()
    data = (data[0], data[1], jnp.ones(len(data[1])))

    def transform(key, batch):
        x, y, weight = batch
        return jnp.where(jax.random.bernoulli(key), jnp.nan, x), y, weight

    options = {"key": jax.random.key(3), "epochs": 2, "batch_size": BATCH, "on_nonfinite": "skip"}
    result = fn.fit(TASK, data, transform=transform, **options)
    skipped, losses = result.history["skipped"] == 1, result.history["loss"]
    assert skipped.any()
    assert not skipped.all()
    half = len(losses) // 2
    expected = [losses[part][~skipped[part]].mean() for part in (slice(half), slice(half, None))]
    np.testing.assert_allclose(result.metrics["loss"], expected, rtol=1e-6)


def test_a_callback_sees_the_run_so_far():
    """History, metrics and state up to the event, as fit returns them at the end."""
    seen = []

    def look(event):
        run = event.so_far()
        seen.append((event.kind, len(run.history["loss"]), len(run.metrics.get("epoch", ())), int(run.state.step)))

    fn.fit(TASK, make_data(), key=jax.random.key(0), epochs=2, batch_size=BATCH, callbacks=[look])
    assert seen[0] == ("start", 0, 0, 0)
    assert [counts for kind, *counts in seen if kind == "epoch"] == [[5, 1, 5], [10, 2, 10]]
    assert seen[-1] == ("end", 10, 2, 10)


def test_an_unknown_way_with_what_is_not_finite():
    with pytest.raises(ValueError, match="fit: on_nonfinite must be 'raise', 'skip' or 'stop', got 'go_on'"):
        fn.fit(TASK, make_data(), key=jax.random.key(0), steps=1, batch_size=BATCH, on_nonfinite="go_on")
