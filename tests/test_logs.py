"""Logs hold what the run told, whatever breaks it off, and a resumed run's are those of one that was not stopped."""

from __future__ import annotations

import csv
import json
import math
import struct
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import logs
from fnnet.callbacks import Event, Fit
from fnnet.errors import ExtraMissingError, ReadError

X = jnp.linspace(-1, 1, 8)[:, None]
TASK = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.1), metrics=(fn.metrics.mean_absolute_error(),))
COMMON = {"batch_size": 4, "validation": (X, X)}
WRITERS = {"csv": logs.csv_log, "jsonl": logs.jsonl_log}


def told(kind, step, /, *, metrics=None, **values):
    """Return an event of a run of 2 steps an epoch; at its start, that of a run that knows `metrics`."""
    return Event(kind, step, 8, 2, 4, 0.5 * step, values, None, lambda: Fit(None, {}, metrics or {}))


def rows_of(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    return list(csv.DictReader(text.splitlines()))


def without_seconds(path):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows_of(path)]


@pytest.fixture(params=WRITERS)
def path(request, tmp_path):
    return tmp_path / "new" / f"log.{request.param}"


def writer_for(path, **options):
    return WRITERS[path.suffix[1:]](path, **options)


def test_every_epoch_is_a_row(path):
    """The rows are those of Fit.metrics, and each is in the file when the next callback is called."""
    seen = []

    def look(event):
        if event.kind == "epoch":
            seen.append(len(rows_of(path)))

    listeners = [writer_for(path), look]
    result = fn.fit(TASK, (X, X), key=jax.random.key(0), epochs=3, callbacks=listeners, **COMMON)
    rows = rows_of(path)
    assert seen == [1, 2, 3]
    assert [row["kind"] for row in rows] == ["epoch"] * 3
    assert list(rows[0])[:4] == ["kind", "step", "epoch", "seconds"]
    for name, column in result.metrics.items():
        assert [float(row[name]) for row in rows] == column.tolist()
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_a_resumed_run_has_the_log_of_one_never_stopped(path, tmp_path):
    """Stopped at an epoch, and killed after rows that the checkpoint does not know of."""
    whole = tmp_path / path.name
    fn.fit(TASK, (X, X), key=jax.random.key(0), epochs=4, callbacks=[writer_for(whole)], **COMMON)
    half = fn.fit(TASK, (X, X), key=jax.random.key(0), epochs=2, callbacks=[writer_for(path)], **COMMON)
    fn.fit(TASK, (X, X), state=half.state, epochs=2, callbacks=[writer_for(path)], **COMMON)
    assert without_seconds(path) == without_seconds(whole)
    fn.fit(TASK, (X, X), state=half.state, epochs=2, callbacks=[writer_for(path)], **COMMON)
    assert without_seconds(path) == without_seconds(whole)


def test_a_log_that_was_lost_is_made_again_from_the_checkpoint(path, tmp_path):
    saver = fn.callbacks.checkpoint(tmp_path / "run")
    fn.fit(TASK, (X, X), key=jax.random.key(0), epochs=2, callbacks=[saver], **COMMON)
    whole = tmp_path / path.name
    fn.fit(TASK, (X, X), key=jax.random.key(0), epochs=3, callbacks=[writer_for(whole)], **COMMON)
    saver = fn.callbacks.checkpoint(tmp_path / "run")
    listeners = [saver, writer_for(path)]
    fn.fit(TASK, (X, X), key=jax.random.key(0), epochs=3, callbacks=listeners, resume=True, **COMMON)
    assert without_seconds(path) == without_seconds(whole)


def test_a_run_that_starts_afresh_begins_a_new_log(path):
    log = writer_for(path)
    for _ in range(2):
        log(told("start", 0))
        log(told("epoch", 2, loss=1.0))
        log(told("end", 2))
    assert len(rows_of(path)) == 1


def written(path):
    """Write a log of chunks and three epochs, and return its text."""
    log = writer_for(path, chunks=True)
    log(told("start", 0))
    for step in (2, 4, 6):
        log(told("chunk", step, loss=step / 7))
        log(told("epoch", step, epoch=step / 2, step=step, loss=step / 7, val_loss=1 / step))
    return path.read_bytes()


def test_a_line_half_written_is_taken_out_at_every_byte(path):
    """Cut anywhere, the whole lines stay; what the run knows of the rest comes back, and the log goes on."""
    text = written(path)
    whole, last = without_seconds(path), text.rstrip(b"\n").rfind(b"\n") + 1
    steps = np.array([2, 4, 6])
    metrics = {"epoch": steps / 2, "step": steps, "loss": steps / 7, "val_loss": 1 / steps}
    for cut in range(0, last, 5):
        path.write_bytes(text[:cut])
        writer_for(path)(told("start", 6))
        lines = max(text[:cut].count(b"\n") - (path.suffix == ".csv"), 0)
        assert without_seconds(path) == whole[:lines]
    for cut in range(last, len(text) + 1):
        path.write_bytes(text[:cut])
        log = writer_for(path, chunks=True)
        log(told("start", 6, metrics=metrics))
        assert without_seconds(path) == whole
        log(told("epoch", 8, loss=0.5, val_loss=0.25))
        assert len(rows_of(path)) == len(whole) + 1
        path.write_bytes(text[:cut])
        writer_for(path)(told("start", 2, metrics=metrics))
        assert without_seconds(path) == whole[:2]


def test_a_log_that_is_deleted_goes_on_as_a_log(path):
    """Of a run that goes on, the rows from then on, under their columns."""
    write = writer_for(path)
    for event in (told("start", 0), told("epoch", 2, loss=1.0)):
        write(event)
    path.unlink()
    for event in (told("epoch", 4, loss=0.5), told("epoch", 6, loss=0.25)):
        write(event)
    assert [(int(row["step"]), float(row["loss"])) for row in rows_of(path)] == [(4, 0.5), (6, 0.25)]


def test_what_comes_later_gets_a_column(tmp_path):
    path = tmp_path / "log.csv"
    written(path)
    rows = rows_of(path)
    assert list(rows[0]) == ["kind", "step", "epoch", "seconds", "loss", "val_loss"]
    assert [row["val_loss"] for row in rows] == ["", "0.5", "", "0.25", "", str(1 / 6)]


def test_chunks_are_told_if_they_are_asked_for(path):
    for chunks, kinds in ((False, ["epoch"]), (True, ["chunk", "epoch"])):
        log = writer_for(path, chunks=chunks)
        log(told("start", 0))
        log(told("chunk", 2, loss=1.0))
        log(told("epoch", 2, loss=1.0))
        assert [row["kind"] for row in rows_of(path)] == kinds


def test_what_is_not_finite_is_read_back(path):
    values = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": np.float32(math.nan), "e": jnp.float32(-0.0)}
    log = writer_for(path)
    log(told("start", 0))
    log(told("epoch", 2, **values))
    (row,) = rows_of(path)
    for name, value in values.items():
        np.testing.assert_equal(float(row[name]), float(value))


def test_what_is_not_scalar_is_a_list_in_json_alone(path):
    values = {"matrix": np.eye(2), "nested": {"a": jnp.array([1.0, jnp.inf]), "b": (1, 2)}, 'a,b"ü': 1.0}
    log = writer_for(path)
    log(told("start", 0))
    log(told("epoch", 2, **values))
    (row,) = rows_of(path)
    assert float(row['a,b"ü']) == 1.0
    if path.suffix == ".csv":
        assert len(row) == 5
    else:
        assert row["matrix"] == [[1.0, 0.0], [0.0, 1.0]]
        assert row["nested"] == {"a": [1.0, "Infinity"], "b": [1, 2]}


FOREIGN = {
    "notes": b"my notes",
    "empty line": b"\n",
    "other table": b"kind,step,loss\nepoch,1,2\n",
    "damaged csv": b"kind,step,epoch,seconds\nepoch,x,1.0,1.0\n",
    "short row": b"kind,step,epoch,seconds\nepoch\n",
    "damaged json": b'{"kind": "epoch", "step": 1}\n{"kind": \n',
    "no step": b'{"kind": "epoch"}\n',
}


@pytest.mark.parametrize("raw", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_no_log_is_left_alone(path, raw):
    path.parent.mkdir()
    path.write_bytes(raw)
    with pytest.raises(ReadError, match="is not a log that this callback wrote") as raised:
        writer_for(path)(told("start", 0))
    assert str(path) in str(raised.value)
    assert path.read_bytes() == raw


def records(folder):
    """Return (step, tag, value) of the event files of TensorBoard, and the steps from which others are purged."""
    from tensorboardX.proto.event_pb2 import Event as Record

    values, purged = [], []
    for file in sorted(folder.iterdir()):
        raw = file.read_bytes()
        while raw:
            (length,) = struct.unpack("<Q", raw[:8])
            record, raw = Record.FromString(raw[12 : 12 + length]), raw[16 + length :]
            values += [(record.step, value.tag, value.simple_value) for value in record.summary.value]
            purged += [record.step] if record.HasField("session_log") else []
    return values, purged


def test_tensorboard_is_given_every_scalar(tmp_path):
    """Epochs under one name, chunks under another; a resumed run purges the steps after its first."""
    log = logs.tensorboard(tmp_path / "board", chunks=True)
    log(told("start", 0))
    log(told("chunk", 2, loss=0.5))
    log(told("epoch", 2, epoch=1.0, step=2, loss=0.5, val_loss=math.nan, matrix=np.eye(2)))
    values, _ = records(tmp_path / "board")  # while the run goes on
    assert values[:2] == [(2, "chunk/loss", 0.5), (2, "epoch/loss", 0.5)]
    assert values[2][:2] == (2, "epoch/val_loss")
    assert math.isnan(values[2][2])
    assert len(values) == 3
    log(told("end", 2))
    log = logs.tensorboard(tmp_path / "board")
    log(told("start", 2))
    log(told("chunk", 4, loss=0.25))
    log(told("epoch", 4, loss=0.25))
    log(told("end", 4))
    values, purged = records(tmp_path / "board")
    assert values[3:] == [(4, "epoch/loss", 0.25)]
    assert purged[-1] == 3


def test_without_tensorboardx_the_extra_is_named(tmp_path, monkeypatch):
    for module in ("tensorboardX", "tensorboardX.event_file_writer"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissingError, match=r"pip install 'fnnet\[tensorboard\]'"):
        logs.tensorboard(tmp_path)
