"""Logs of a run in files: a row as soon as it is known, whole after a crash, and one row a time after a resume."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np

from fnnet.callbacks import Callback, Event, LogsOnly
from fnnet.errors import ReadError, needs_extra
from fnnet.writing import replacing

Row: TypeAlias = dict[str, Any]

_FIRST = ("kind", "step", "epoch", "seconds")


def csv_log(path: str | os.PathLike[str], *, chunks: bool = False) -> Callback:
    r"""Return a callback that writes a row of a CSV file for each epoch, and for each chunk if `chunks`.

    Columns: ``kind`` (epoch or chunk), ``step``, ``epoch``, ``seconds`` since the run's start, then every scalar log in
    the order in which they come; one that comes later is added to all rows, empty in those before. Not finite is
    ``nan``, ``inf``, ``-inf``. Logs that are not scalars are left out.

    A row is in the file when the next callback is called, and a crash of the process loses none. A run that starts
    takes the rows after its own first step out of the file: one that starts afresh begins a new log, one that is
    resumed goes on with it. What was half written is taken out, and epochs that the resumed run knows and the file does
    not are put in, without their seconds.

    Law: the rows of epochs of a resumed run are those of one that was never stopped, but for ``seconds``. (Chunks end
    where the clock says.)
    Raises: ReadError, at the start, for a file that is not such a log: it is left alone.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.csv"
    >>> task, x = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.0)), jnp.zeros((4, 1))
    >>> _ = fn.fit(task, (x, x), key=jax.random.key(0), epochs=2, batch_size=2, callbacks=[csv_log(path)])
    >>> [line.split(",")[:3] for line in path.read_text().splitlines()]
    [['kind', 'step', 'epoch'], ['epoch', '2', '1.0'], ['epoch', '4', '2.0']]
    """
    path = Path(path)
    columns: list[str] = []

    def start(event: Event) -> None:
        nonlocal columns
        columns, rows = _read_csv(path)
        rows = _up_to(event, rows, _scalars)
        columns = _union(columns if rows else [], rows)
        _replace(path, _csv_text(columns, [dict(zip(columns, columns, strict=True)), *rows]) if rows else "")

    def add(row: Row) -> None:
        nonlocal columns
        row = _scalars(row)
        added = _union(columns, [row])
        if added == columns and path.exists():
            return _append(path, _csv_text(columns, [row]))
        rows, columns = _read_csv(path)[1], added
        return _replace(path, _csv_text(columns, [dict(zip(columns, columns, strict=True)), *rows, row]))

    return _listener(start, add, chunks)


def jsonl_log(path: str | os.PathLike[str], *, chunks: bool = False) -> Callback:
    r"""Return a callback that writes a line of JSON for each epoch, and for each chunk if `chunks`.

    Keys: ``kind`` (epoch or chunk), ``step``, ``epoch``, ``seconds`` since the run's start, then every log; arrays are
    lists. JSON has no numbers that are not finite: they are the texts ``"NaN"``, ``"Infinity"``, ``"-Infinity"``, which
    Python's ``float`` takes.

    Crashes, restarts and resumed runs are as in ``csv_log``; seconds that are not known are null.
    Law: the lines of epochs of a resumed run are those of one that was never stopped, but for ``seconds``.
    Raises: ReadError, at the start, for a file that is not such a log: it is left alone.

    >>> import json, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.jsonl"
    >>> task, x = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.0)), jnp.zeros((4, 1))
    >>> _ = fn.fit(task, (x, x), key=jax.random.key(0), epochs=2, batch_size=2, callbacks=[jsonl_log(path)])
    >>> [json.loads(line)["loss"] for line in path.read_text().splitlines()]
    [0.0, 0.0]
    """
    path = Path(path)

    def start(event: Event) -> None:
        _replace(path, _json_text(_up_to(event, _read_jsonl(path), _plain)))

    def add(row: Row) -> None:
        _append(path, _json_text([_plain(row)]))

    return _listener(start, add, chunks)


def tensorboard(directory: str | os.PathLike[str], *, chunks: bool = False) -> Callback:
    """Return a callback that writes every scalar log for TensorBoard: ``epoch/loss``, ``chunk/loss`` if `chunks`.

    Each run adds a file to the directory. TensorBoard leaves out what a run before wrote of later steps than this one
    starts at. Logs that are not scalars are left out.

    Raises: ExtraMissingError without tensorboardX (``pip install 'fnnet[tensorboard]'``).

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> task, x = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.0)), jnp.zeros((4, 1))
    >>> _ = fn.fit(task, (x, x), key=jax.random.key(0), epochs=2, batch_size=2, callbacks=[tensorboard(folder)])
    >>> [path.name.split(".")[0] for path in folder.iterdir()]
    ['events']
    """
    with needs_extra("tensorboard", "tensorboard"):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event as Record
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.proto.summary_pb2 import Summary
    # Not its SummaryWriter, whose flush does not wait for the queue that a thread of it writes from.
    writer: Any = None

    def write(step: int, **what: Any) -> None:
        writer.write_event(Record(wall_time=time.time(), step=step, **what))
        writer.flush()

    def callback(event: Event) -> None:
        nonlocal writer
        if event.kind == "start":
            Path(directory).mkdir(parents=True, exist_ok=True)
            writer = EventsWriter(str(Path(directory) / "events"), f".{event.step:09d}")
            write(event.step + 1, session_log=SessionLog(status=SessionLog.START))
        if _is_told(event, chunks):
            scalars = {name: value for name, value in _scalars(_row(event)).items() if name not in _FIRST}
            values = [Summary.Value(tag=f"{event.kind}/{n}", simple_value=value) for n, value in scalars.items()]
            write(event.step, summary=Summary(value=values))
        if event.kind == "end" and writer is not None:
            writer.close()
            writer = None

    return LogsOnly(callback)


def _listener(start: Callable[[Event], None], add: Callable[[Row], None], chunks: bool) -> Callback:
    def callback(event: Event) -> None:
        if event.kind == "start":
            start(event)
        elif _is_told(event, chunks):
            add(_row(event))

    return LogsOnly(callback)


def _is_told(event: Event, chunks: bool) -> bool:
    return event.kind == "epoch" or (chunks and event.kind == "chunk")


def _row(event: Event) -> Row:
    first = (event.kind, event.step, event.step / event.steps_an_epoch, round(event.seconds, 3))
    return {**event.logs, **dict(zip(_FIRST, first, strict=True))}


def _up_to(event: Event, rows: list[Row], form: Callable[[Row], Row]) -> list[Row]:
    """Return the rows up to the step of the start, with the epochs that the run knows and the rows lack."""
    kept = [row for row in rows if int(row["step"]) <= event.step]
    known = {int(row["step"]) for row in kept if row["kind"] == "epoch"}
    metrics = event.so_far().metrics
    lost = [n for n, step in enumerate(metrics.get("step", ())) if step <= event.step and int(step) not in known]
    for n in lost:
        logs = jax.tree.map(lambda column, n=n: column[n], metrics)
        kept.append(form({**logs, "kind": "epoch", "step": int(metrics["step"][n]), "seconds": None}))
    return sorted(kept, key=lambda row: (int(row["step"]), row["kind"] == "epoch"))


def _ordered(row: Row) -> Row:
    return {name: row[name] for name in _FIRST} | row


def _scalars(row: Row) -> Row:
    """Return the numbers of a row as Python's own, and its kind."""
    plain = {name: value.item() if _is_scalar(value) else value for name, value in row.items()}
    return _ordered({name: v for name, v in plain.items() if isinstance(v, int | float) or name in _FIRST})


def _is_scalar(value: Any) -> bool:
    return isinstance(value, np.generic | np.ndarray | jax.Array) and value.ndim == 0


def _plain(row: Row) -> Row:
    return _ordered({name: _as_json(value) for name, value in row.items()})


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _as_json(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_as_json(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _as_json(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, str | int | float | None) else str(value)


def _union(columns: list[str], rows: Iterable[Row]) -> list[str]:
    """Return the columns, and after them those of the rows that are new, in order."""
    return list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))


def _csv_text(columns: list[str], rows: Iterable[Row]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue()


def _json_text(rows: Iterable[Row]) -> str:
    return "".join(json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n" for row in rows)


def _read_csv(path: Path) -> tuple[list[str], list[Row]]:
    """Return the columns and the whole rows of a log that may not be there, or end in the midst of a row."""
    table = list(csv.reader(io.StringIO(_whole_lines(path, ",".join(_FIRST)), newline="")))
    if not table:
        return [], []
    columns, *rows = table
    return columns, _checked(path, [dict(zip(columns, row, strict=False)) for row in rows])


def _read_jsonl(path: Path) -> list[Row]:
    try:
        return _checked(path, [json.loads(line) for line in _whole_lines(path, '{"kind": "').split("\n")[:-1]])
    except ValueError as error:
        raise _not_a_log(path) from error


def _checked(path: Path, rows: list[Row]) -> list[Row]:
    if not all(isinstance(row, dict) and re.fullmatch(r"\d+", str(row.get("step"))) and "kind" in row for row in rows):
        raise _not_a_log(path)
    return rows


def _whole_lines(path: Path, beginning: str) -> str:
    """Return the text up to its last line's end, which is written with the line; ReadError unless it begins so."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""
    if not text.startswith(beginning[: len(text)]):
        raise _not_a_log(path)
    return text[: text.rfind("\n") + 1]


def _not_a_log(path: Path) -> ReadError:
    fix = "give the log another path, or move the file away."
    return ReadError(str(path), "is there, and is not a log that this callback wrote", fix)


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(text.encode())


def _append(path: Path, text: str) -> None:
    # Opened for each row: nothing stays open or unwritten whatever ends the process.
    with path.open("ab") as file:
        file.write(text.encode())
