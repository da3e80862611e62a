"""A run over a stream is the run over its batches, wherever it is cut, and reads ahead while it computes."""

from __future__ import annotations

import os
import signal
import threading

import chex
import grain
import jax
import numpy as np
import pytest
from test_training import BATCH, TASK, make_data

import fnnet as fn
from fnnet.errors import DataError, NonFiniteError, StreamError
from fnnet.fitting import feeds

X, Y = (np.asarray(part) for part in make_data())
PER_EPOCH = len(X) // BATCH
KEY = jax.random.key(1)


def batch_at(step, data=(X, Y), batch=BATCH):
    start = step % -(-len(data[0]) // batch) * batch
    return tuple(part[start : start + batch] for part in data)


def numbered(source):
    """Return a function step -> batch and the list of the steps that it was asked for."""
    asked = []

    def batch(step):
        asked.append(step)
        return source(step)

    return batch, asked


class Loader:
    """An iterable of batches with a length, as other libraries have them: lists of arrays, anew at every pass."""

    def __len__(self):
        return PER_EPOCH

    def __iter__(self):
        return (list(batch_at(step)) for step in range(PER_EPOCH))


def grain_set(*, shuffled=False, seen=None):
    def example(row):
        if seen is not None:
            seen.append(row)
        return X[row], Y[row]

    rows = grain.MapDataset.source(np.arange(len(X)))
    rows = rows.shuffle(seed=3).repeat(None) if shuffled else rows
    return rows.map(example).to_iter_dataset(grain.ReadOptions(num_threads=0)).batch(BATCH)


SOURCES = {
    "a function": lambda: batch_at,
    "an iterable": Loader,
    "a generator": lambda: (batch_at(step) for step in range(1000)),
    "a Grain data set": grain_set,
    "an iterator of Grain": lambda: iter(grain.MapDataset.source(range(5)).repeat(None).map(batch_at)),
    "a Grain loader": lambda: grain.DataLoader(
        data_source=range(PER_EPOCH), sampler=grain.samplers.IndexSampler(PER_EPOCH), operations=[_Batch()]
    ),
}


class _Batch(grain.transforms.Map):
    def map(self, step):
        return batch_at(step)


def fit(source, *, last="drop", **arguments):
    stream = source if isinstance(source, fn.data.Stream) else fn.data.stream(source, per_epoch=PER_EPOCH, last=last)
    return fn.fit(TASK, stream, **({"key": KEY, "steps": 17} | arguments))


def in_memory(data=(X, Y), last="drop", **arguments):
    options = {"key": KEY, "steps": 17, "batch_size": BATCH, "sampler": fn.sampling.in_order(last)}
    return fn.fit(TASK, data, **(options | arguments))


def assert_same(run, other):
    """The same states, histories and tables; runs may stand in other places of their sources."""
    chex.assert_trees_all_equal(
        (run.state, run.history, run.metrics, run.ended), (other.state, other.history, other.metrics, other.ended)
    )


@pytest.fixture(params=[(256, 60.0), (3, 60.0), (256, 0.0)], ids=["one window", "small windows", "a batch a window"])
def cuts(request, monkeypatch):
    """Windows of at most so many steps, or read for at most so many seconds."""
    monkeypatch.setattr(feeds, "_STEPS", request.param[0])
    monkeypatch.setattr(feeds, "_SECONDS", request.param[1])


@pytest.mark.lowest
@pytest.mark.types
@pytest.mark.parametrize("name", SOURCES)
def test_a_stream_is_its_batches_in_memory(name, monkeypatch):
    """fit(stream of the batches of data) = fit(data, in order), bit for bit."""
    monkeypatch.setattr(feeds, "_STEPS", 7)
    assert_same(fit(SOURCES[name]()), in_memory())


def test_windows_do_not_show(cuts):
    """However the stream is cut into windows, with validation, augmentation and a row of metrics an epoch."""
    options = {"validation": (X, Y), "transform": lambda key, batch: (batch[0] + jax.random.normal(key), batch[1])}
    assert_same(fit(batch_at, **options), in_memory(**options))


@pytest.mark.parametrize("last", ["weigh", "drop"])
def test_a_ragged_batch_weighs_its_rows_or_is_left_out(last):
    """A shorter last batch is as `fn.sampling` has it: each row once an epoch, or none of it."""
    data = X[:37], Y[:37]
    batches = [batch_at(step, data) for step in range(5)]
    assert len(batches[-1][0]) == 5
    assert_same(fn.fit(TASK, fn.data.stream(batches, per_epoch=4 + (last == "weigh"), last=last), key=KEY, steps=14),
                in_memory(data, last, steps=14))  # fmt: skip


def test_weights_of_a_stream_stay():
    """Weights are those of the examples, and 0 in what a ragged batch is filled up with."""
    data = X[:37], Y[:37], np.linspace(0, 1, 37, dtype=np.float32)
    stream = fn.data.stream([batch_at(step, data) for step in range(5)])
    assert_same(fn.fit(TASK, stream, key=KEY, epochs=2), in_memory(data, "weigh", steps=10))


def test_epochs_are_passes():
    """An iterable with a length says itself what an epoch is; of another, `steps` must."""
    assert fn.fit(TASK, Loader(), key=KEY, epochs=2).metrics["step"].tolist() == [5, 10]
    with pytest.raises(ValueError, match=r"pass steps, or fn\.data\.stream\(\.\.\., per_epoch\)"):
        fn.fit(TASK, iter(Loader()), key=KEY, epochs=2)
    assert fn.fit(TASK, iter(Loader()), key=KEY, steps=4).metrics["epoch"].tolist() == [1]


RESUMED = {
    "a function": lambda seen: numbered(batch_at)[0],
    "an iterable": lambda seen: Loader(),
    "a Grain data set": lambda seen: grain_set(shuffled=True, seen=seen),
    "a Grain loader": lambda seen: SOURCES["a Grain loader"](),
    "an iterator of Grain": lambda seen: iter(grain_set(shuffled=True, seen=seen)),
}


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("ends", [[5], [2, 9, 13]])
def test_a_stream_is_resumed_to_the_bit(tmp_path, monkeypatch, name, ends):
    """A run that ended anywhere in a window and is resumed ends as one that was left alone."""
    monkeypatch.setattr(feeds, "_STEPS", 4)

    def go(directory, steps):
        saver = fn.callbacks.checkpoint(directory, seconds=0)
        return fit(RESUMED[name]([]), steps=steps, resume=True, callbacks=[saver], validation=(X, Y))

    for end in ends:
        go(tmp_path / "cut", end)
    result, whole = go(tmp_path / "cut", 17), go(tmp_path / "whole", 17)
    chex.assert_trees_all_equal((result.state, result.history), (whole.state, whole.history))


def test_a_source_that_can_seek_is_not_read_again(tmp_path, monkeypatch):
    """Resumed after 12 steps in windows of four, what came before is not read."""
    monkeypatch.setattr(feeds, "_STEPS", 4)
    batch, asked = numbered(batch_at)
    fit(batch, steps=12, resume=True, callbacks=[fn.callbacks.checkpoint(tmp_path / "function")])
    asked.clear()
    fit(batch, steps=14, resume=True, callbacks=[fn.callbacks.checkpoint(tmp_path / "function")])
    assert set(asked) == {0, 12, 13}  # the first is looked at for its shapes
    seen = []
    for steps, rows in [(12, 13 * BATCH), (14, BATCH + 6 * BATCH)]:  # a window of four read again, and two batches
        seen.clear()
        saver = fn.callbacks.checkpoint(tmp_path / "grain")
        fit(grain_set(shuffled=True, seen=seen), steps=steps, resume=True, callbacks=[saver])
        assert len(seen) <= rows


@pytest.mark.parametrize("make", [lambda: iter(grain_set(shuffled=True)), lambda: (batch_at(t) for t in range(99))])
def test_an_iterator_goes_on_in_the_next_run(make):
    """fit(a), then fit(b) of one iterator is fit(a + b): nothing is read that is not trained on."""
    source = make()
    first = fit(source, steps=6)
    assert_same(
        fit(source, key=None, state=first.state, steps=9)._replace(history=None, metrics=None),
        fit(make(), steps=15)._replace(history=None, metrics=None),
    )


def test_an_iterator_that_seeks_is_left_where_the_run_ended(monkeypatch):
    """A callback ends the run with batches read ahead: they are there for the next run."""
    monkeypatch.setattr(feeds, "_STEPS", 4)
    source = iter(grain_set(shuffled=True))
    first = fit(source, steps=100, callbacks=[lambda event: event.step >= 6])
    assert first.ended == "callback"
    steps = 20 - int(first.state.step)
    second = fit(source, key=None, state=first.state, steps=steps)
    chex.assert_trees_all_equal(second.state, fit(iter(grain_set(shuffled=True)), steps=20).state)


def test_a_source_that_ends_ends_the_run(tmp_path):
    """What there was is trained on, has its row, and is saved."""
    saver = fn.callbacks.checkpoint(tmp_path / "run")
    result = fit((batch_at(step) for step in range(13)), callbacks=[saver], validation=(X, Y))
    assert (result.ended, int(result.state.step)) == ("data", 13)
    assert result.metrics["step"].tolist() == [5, 10, 13]
    assert fn.checkpoints.steps(tmp_path / "run")[-1] == 13


def test_a_source_that_fails_loses_nothing():
    """The error says of which step the batch was, and holds the run up to it."""

    def batch(step):
        if step == 9:
            raise OSError("no more disk")
        return batch_at(step)

    with pytest.raises(StreamError, match=r"batch of step 9 could not be read, OSError: no more disk\n  Fix") as info:
        fit(batch)
    assert isinstance(info.value.__cause__, OSError)
    assert_same(info.value.run._replace(ended="steps"), in_memory(steps=9))


def test_a_nan_of_a_stream_has_an_address():
    """The batch is named, and the last good state is that before it."""

    def batch(step):
        x, y = batch_at(step)
        return (np.where(step == 11, np.nan, x).astype(np.float32), y)

    with pytest.raises(NonFiniteError, match="step 11: batch of x"):
        fit(batch)
    assert int(fit(batch, on_nonfinite="stop").state.step) == 11
    assert fit(batch, on_nonfinite="skip").history["skipped"].tolist() == [0] * 11 + [1] + [0] * 5


def test_batches_are_read_while_steps_are_made(monkeypatch):
    """The next window is read before a run has told of the one before, and no window after that."""
    monkeypatch.setattr(feeds, "_STEPS", 4)
    batch, asked = numbered(batch_at)
    read = threading.Event()

    def source(step):
        if step == 7:
            read.set()
        return batch(step)

    most = []

    def told(event):
        if event.kind == "chunk" and event.step <= 4:
            assert read.wait(timeout=30)
        most.append(max(asked) - event.step)

    fit(source, steps=40, callbacks=[told])
    assert max(most) <= 2 * 4


def test_ctrl_c_does_not_wait_for_a_source_that_hangs(monkeypatch):
    """The run so far comes back although the source gives nothing more."""
    monkeypatch.setattr(feeds, "_PATIENCE", 0.1)
    monkeypatch.setattr(feeds, "_STEPS", 2)
    released = threading.Event()

    def source(step):
        if step == 6:
            os.kill(os.getpid(), signal.SIGINT)
            released.wait(timeout=60)
        return batch_at(step)

    result = fit(source)
    released.set()
    assert result.ended == "interrupt"
    assert int(result.state.step) <= 6
    expected = in_memory(steps=int(result.state.step))
    assert_same(result._replace(ended="steps", metrics=expected.metrics), expected)
    assert all(step % PER_EPOCH == 0 for step in result.metrics.get("step", ()))  # of epochs that ended


def test_a_state_put_in_place_goes_on_from_its_step(monkeypatch):
    """A callback that puts an earlier state in place is given that step's batches once more."""
    monkeypatch.setattr(feeds, "_STEPS", 4)
    start, done = fn.init(TASK, KEY, X), []

    def again(event):
        if event.step >= 12 and not done:
            done.append(event.step)
            return fn.callbacks.Decision(state=start)
        return None

    chex.assert_trees_all_equal(fit(batch_at, callbacks=[again]).state, in_memory().state)


@pytest.mark.parametrize(
    ("data", "arguments", "error", "words"),
    [
        (batch_at, {"sampler": fn.sampling.epochs()}, ValueError, "a stream has its own order, and takes no sampler"),
        (batch_at, {"batch_size": 9}, ValueError, "batches have 8 rows, got batch_size=9; leave it out"),
        (lambda step: (X[:8] * np.nan, Y[:8]), {}, DataError, "x must be finite, got nan at row 0"),
        (lambda step: (X[:8], Y[:8] + 5), {}, DataError, "label"),
        (lambda step: {"x": X[:8]}, {}, DataError, r"batch 0: expected \(x, y\) or \(x, y, weight\), got a dict"),
        ([], {}, DataError, "the source has no batch"),
        (iter(()), {}, DataError, "the source has no batch"),
    ],
)
def test_a_stream_that_cannot_be_trained_on(data, arguments, error, words):
    with pytest.raises(error, match=words):
        fn.fit(TASK, fn.data.stream(data), key=KEY, steps=3, **arguments)


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (lambda x, y: (x[:, :3], y), "batch 2: must be like the first"),
        (lambda x, y: (x.astype(np.int32), y), "batch 2: must be like the first"),
        (lambda x, y: (x, y, y), "batch 2: must be like the first"),
        (lambda x, y: (np.concatenate([x, x]), np.concatenate([y, y])), "batch 2: must be like the first"),
        (lambda x, y: (x, y[:4]), r"batch 2: expected one number of examples"),
    ],
)
def test_batches_are_alike(odd, words):
    """A batch of another shape, dtype or structure is named by its number; the run so far is kept."""
    batches = [batch_at(step) if step != 2 else odd(*batch_at(step)) for step in range(5)]
    with pytest.raises(StreamError, match=words) as info:
        fit(batches)
    assert int(info.value.run.state.step) == 2


@pytest.mark.parametrize("make", [Loader, lambda: fn.data.stream(batch_at, per_epoch=PER_EPOCH), grain_set])
def test_validation_may_come_in_batches(make):
    """Its measures are those of the same rows in memory, to rounding."""
    result, expected = fit(batch_at, validation=make()), fit(batch_at, validation=(X, Y))
    assert list(result.metrics) == list(expected.metrics)
    chex.assert_trees_all_close(result.metrics, expected.metrics, rtol=1e-6)


def test_evaluation_of_batches_is_that_of_their_rows():
    """Exact over batches of any sizes, with weights or without."""
    ts = fn.init(TASK, KEY, X)
    weight = np.linspace(0, 3, len(X)).astype(np.int32)
    for data in ((X, Y), (X, Y, weight)):
        cut = [tuple(part[start:end] for part in data) for start, end in [(0, 7), (7, 8), (8, 40)]]
        chex.assert_trees_all_close(fn.evaluate(TASK, ts, iter(cut)), fn.evaluate(TASK, ts, data), rtol=1e-6)
    with pytest.raises(ValueError, match="batches have the rows that they come with, got batch_size=4"):
        fn.evaluate(TASK, ts, iter(cut), batch_size=4)
    with pytest.raises(DataError, match="there is no batch"):
        fn.evaluate(TASK, ts, iter(()))
    with pytest.raises(DataError, match=r"batch 1 \(data\): expected \(x, y\)"):
        fn.evaluate(TASK, ts, iter([(X, Y), X]))


def test_validation_that_cannot_be_read_again():
    with pytest.raises(ValueError, match="but an iterator only once; pass an iterable"):
        fit(batch_at, validation=iter(Loader()))
    with pytest.raises(ValueError, match="length of an epoch is not known"):
        fit(batch_at, validation=fn.data.stream(batch_at))
    with pytest.raises(DataError, match="the source has no batch"):
        fit(batch_at, validation=grain.MapDataset.source([]))


def test_a_position_of_another_source_is_refused():
    """What the source says to a position that it does not know is told with the step that it is of."""
    stream = fn.data.stream(grain_set())
    with pytest.raises(DataError, match=r"does not take the position of step 3, \w+.*\n  Fix: go on with the source"):
        stream.begin(4, {"step": 3, "state": {"another": 1}})


def test_batches_are_numbered_by_their_steps():
    """So are those of a run that goes on."""
    batches = [batch_at(step) for step in range(7)]
    batches[6] = (batches[6][0][:, :2], batches[6][1])
    first = fit(batches, steps=4)
    with pytest.raises(StreamError, match=r"step 6 could not be read, DataError: batch 6: must be like the first"):
        fit(batches, key=None, state=first.state, steps=4)
