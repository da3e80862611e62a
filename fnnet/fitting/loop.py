"""`fit`: what is checked before a run, its loop over chunks, and what is told between them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet import fingerprints, sampling, training, tree
from fnnet.callbacks import Callback, Decision, Event, Fit, Kind, LogsOnly
from fnnet.core import Key, Task, TrainState
from fnnet.data.streams import Position
from fnnet.errors import NonFiniteError, StreamError, inside
from fnnet.fitting import checks, chunks, feeds, tables
from fnnet.fitting.feeds import Feed, Window
from fnnet.fitting.interrupts import asked_to_stop
from fnnet.fitting.validating import Measured, measurer
from fnnet.sampling import Sampler
from fnnet.shapes import check_count
from fnnet.training import Course, Record
from fnnet.training.records import RECORD
from fnnet.training.runs import Transform

_SECONDS_A_CHUNK = 0.5  # between two words to the host
_ROUND = 10  # steps of a block that is not to end with its epoch
_SECONDS_A_BLOCK = 2.0  # at most, or steps are made one by one


def fit(
    task: Task,
    data: PyTree,
    *,
    key: Key | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    validation: PyTree | None = None,
    callbacks: Sequence[Callback] = (),
    state: TrainState | None = None,
    resume: bool = False,
    sampler: Sampler | None = None,
    transform: Transform | None = None,
    micro_batches: int = 1,
    record: Record = RECORD,
    on_nonfinite: Literal["raise", "skip", "stop"] = "raise",
    evaluated: Any = None,
) -> Fit:
    """Train `task` on `data`, a ``Dataset``, ``(x, y)`` or ``(x, y, weight)``, for a number of `epochs` or of `steps`.

    `data` may be a stream too, of which no more than a few batches are held: a ``fn.data.stream``, an iterator or an
    iterable of batches. While steps are made, the next batches are read and put on the device. A batch has 32 rows
    unless `batch_size` says otherwise; of a stream, as many as it comes with.

    Starts afresh from `key`, or goes on from `state` (which is left as it is). After each epoch the loss and the task's
    metrics are taken on `validation`, arrays or a stream, if there is one; of the state that ``evaluated(state)``
    returns, if it is given (``fn.transforms.with_average`` for the averaged parameters). `callbacks` are functions of
    an ``fnnet.callbacks.Event``, told between chunks; one that returns True ends the run there. A chunk ends with its
    epoch if there are validation data, or callbacks other than ``fn.callbacks.LogsOnly``; else it may hold several.
    `sampler`, `transform`, `micro_batches` and `record` are as in ``fn.run``.

    `resume`: go on from the last whole checkpoint of the ``fn.callbacks.checkpoint`` among the callbacks, if there is
    one, with its history; `epochs` or `steps` count from the start of the run that it is of.

    `on_nonfinite`: when the loss, or by the end of a chunk the state, is nan or infinite, the run is made again from
    the chunk's start up to the step that did it. ``"raise"`` raises NonFiniteError, which says in which phase and
    where, and holds the last good state; ``"stop"`` returns that state, with the address in ``Fit.address``; ``"skip"``
    leaves out each update that is not finite, which is looked for at every step. Then chunks reuse the buffers of the
    state; else the state from before a chunk is kept until it is known to be finite, one state more in memory.

    Ctrl-C or SIGTERM ends the run at the end of the chunk and returns the run so far, with ``ended`` ``"interrupt"``; a
    second one ends it at once.

    Law: the last state and the history are those of ``fn.run`` compiled with ``fn.compiler_options()``, bit for bit on
    CPU, whatever the chunks; to rounding, of any other. A stream of the batches of `data` in order is as `data` with
    the sampler ``fn.sampling.in_order()``.
    Raises: DataError for data that is empty, not finite, of unequal lengths, with labels outside the classes or
    negative weights, or smaller than a batch, and for a `state` of another task; ValueError unless exactly one of
    `epochs` and `steps`, and one of `key` and `state`, is given; NonFiniteError; StreamError if the source of a stream
    fails, with the run so far; and as ``init`` and ``step`` do. What is wrong with `validation` is found before
    training.

    >>> x, y = jnp.eye(4), jnp.arange(4)
    >>> task = fn.Task(fn.dense(4), fn.losses.cross_entropy, fn.sgd(1.0))
    >>> result = fn.fit(task, (x, y), key=jax.random.key(0), steps=3, batch_size=4)
    >>> int(result.state.step), result.history["loss"].shape
    (3, (3,))
    """
    training.check_task(task)
    checks.check_host([part for part in (data, validation, key, state) if not training.come_in_batches(part)])
    checks.check_callbacks(callbacks)
    if batch_size is not None:
        check_count("fit", "batch_size", batch_size)
    count = checks.count_of(key, state, epochs, steps)
    if on_nonfinite not in ("raise", "skip", "stop"):
        raise ValueError(f"fit: on_nonfinite must be 'raise', 'skip' or 'stop', got {on_nonfinite!r}")
    feed = feeds.feed(feeds.as_stream(data), batch_size, sampler)
    in_chunks = "skip" if on_nonfinite == "skip" else "go_on"
    course = training.check_course(
        task, feed.shapes, feed.batch_size, feed.sampler, transform, micro_batches, record, in_chunks
    )
    example = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), feed.example[0])
    ts = (
        training.init(task, key, example) if key is not None else checks.checked(task, cast(TrainState, state), example)
    )
    training.check_targets(task, ts, feed.example)
    with inside("validation"):  # what is wrong with it is found before training, not after the first epoch
        measured = None if validation is None else measurer(task, ts, validation)
    if epochs is not None and feed.per_epoch is None:
        raise ValueError("fit: the stream's epochs have no known length; pass steps, or fn.data.stream(..., per_epoch)")
    row = chunks.row_of(task, course, ts, feed.shapes)
    check = partial(checks.check_resumed, task, row, measured is not None)
    before = _resumed(callbacks, ts, check) if resume else None
    before = before or Fit(ts, tree.map(lambda leaf: leaf[None][:0], row.blank), {}, first=int(ts.step))
    first, at = before.first, int(before.state.step)
    last = first + (count if epochs is None else count * cast(int, feed.per_epoch))
    per_epoch = feed.per_epoch or max(1, last)  # a stream of unknown length is one epoch
    by_epoch = measured is not None or not all(isinstance(callback, LogsOnly) for callback in callbacks)
    steps_a_block = _steps_a_block(at, last, per_epoch, by_epoch, _bytes_a_step(ts, feed))
    plan = _Plan(
        task, course, row, first, at, last, per_epoch, by_epoch, steps_a_block, on_nonfinite, evaluated,
        tuple(callbacks), cache(partial(_settings, course, per_epoch, last)), time.perf_counter(),
    )  # fmt: skip
    begun = [_begun(plan, before)]
    del ts, before  # `_train` empties the list: nothing keeps the first state, which may be large, alive
    return _train(plan, begun, feed, measured)


class _Plan(NamedTuple):
    """What stays the same throughout a run."""

    task: Task
    course: Course
    row: chunks.Row
    first: int  # the updates made before the run
    begun: int  # the step that it goes on from, if it is resumed another
    last: int  # the step that it ends with
    per_epoch: int
    by_epoch: bool  # whether a chunk ends with its epoch
    steps_a_block: int
    on_nonfinite: str
    evaluated: Any
    callbacks: tuple[Callback, ...]
    settings: Callable[[], Mapping[str, Any]]
    start: float  # seconds on the clock


class _Progress(NamedTuple):
    """What changes: the run so far, in pieces."""

    ts: TrainState
    at: int
    pieces: tables.Pieces  # of the history
    table: tables.Pieces  # of the metrics
    untold: tuple[np.ndarray, ...]  # the losses of the last steps, which the table does not cover yet
    kept: Mapping[str, TrainState] = {}
    clock: tuple[float, float] = (0.0, 0.0)  # the seconds at which the last chunk began and ended
    ended: Any = "error"
    address: training.Address | None = None
    position: Position | None = None  # of a stream
    error: Exception | None = None  # of the source of a stream


def _train(plan: _Plan, begun: list[_Progress], feed: Feed, measured: Measured | None) -> Fit:
    now, pace = begun.pop(), plan.steps_a_block
    windows = feed.open(now.at, plan.last, now.position)
    try:
        with asked_to_stop() as interrupted:
            now, stop = _tell(plan, now, "start", {})
            while now.at < plan.last and not stop and now.address is None and not interrupted():
                window = windows.at(now.at, interrupted)
                if window is None:
                    break
                over = window.until == now.at
                if over:
                    now = now._replace(error=window.error)
                else:
                    now, pace = _advance(plan, now, window, pace)
                    now, stop = _tell_chunk(plan, now)
                if over or (now.address is None and (now.at % plan.per_epoch == 0 or now.at == plan.last)):
                    now, wanted = _end_epochs(plan, now, np.array([now.at]), measured)
                    stop = stop or wanted
                if over:
                    break
            now = now._replace(ended=_reason(plan, now, stop, interrupted()))
            windows.close(now.at)
    except BaseException:  # an error ends the run too: what listens may hold a terminal or a file
        for end in (lambda: windows.close(now.at), lambda: _tell(plan, now, "end", _last(now))):
            with suppress(Exception):  # what went wrong first is what is told
                end()
        raise
    now, _ = _tell(plan, now, "end", _last(now))
    result = _so_far(plan, now)
    if plan.course.record.rows is not None:
        rows = training.kept(plan.course.record, len(result.history["step"]))
        result = result._replace(history=tree.map(lambda column: column[rows], result.history))
    if now.address is not None and plan.on_nonfinite == "raise":
        raise NonFiniteError("fit", now.address, result)
    if now.error is not None:
        raise StreamError("fit", now.error, result) from now.error
    return result


def _last(now: _Progress) -> dict[str, Any]:
    return tables.row_at(now.table[-1], -1) if now.table else {}


def _begun(plan: _Plan, before: Fit) -> _Progress:
    pieces, table = (before.history,), (before.metrics,) if before.metrics else ()
    untold = _untold(pieces, table, plan.begun, plan.per_epoch)
    ts = _own(plan, before.state)
    return _Progress(ts, plan.begun, pieces, table, untold, before.kept, position=before.position)


def _own(plan: _Plan, ts: TrainState) -> TrainState:
    """Return a state as one that is the run's alone: a copy if chunks reuse the buffers of theirs."""
    return jax.tree.map(jnp.copy if plan.on_nonfinite == "skip" else jnp.asarray, ts)


def _untold(pieces: tables.Pieces, table: tables.Pieces, at: int, per_epoch: int) -> tuple[np.ndarray]:
    """Return the losses of the steps up to `at` that no row of the table covers: of each step the last time."""
    told = int(table[-1]["step"][-1]) if table else 0
    covered = told if told <= at else at - at % per_epoch
    history = tables.joined(pieces)
    new = history["step"] > covered
    losses = dict(zip(history["step"][new].tolist(), history["loss"][new], strict=True))
    steps = list(itertools.takewhile(losses.__contains__, range(at, covered, -1)))
    return (np.array([losses[step] for step in reversed(steps)], history["loss"].dtype),)


def _reason(plan: _Plan, now: _Progress, stop: bool, interrupted: bool) -> str:
    if now.address is not None:
        return "nonfinite"
    if now.at >= plan.last:
        return "steps"
    return "callback" if stop else "interrupt" if interrupted else "data"


def _advance(plan: _Plan, now: _Progress, window: Window, pace: int) -> tuple[_Progress, int]:
    """Make the next chunk of steps, about as long as `pace`, and return the pace of the one after it."""
    most = min(window.until, plan.last) - now.at
    length = min(pace, chunks.capacity(plan.row.blank), most)
    if plan.by_epoch:
        length = min(length, plan.per_epoch - now.at % plan.per_epoch)
    in_blocks = length - length % plan.steps_a_block
    now, seconds = _made(plan, now, window, plan.steps_a_block if in_blocks else 1, in_blocks or length)
    return now, _next_pace(in_blocks or length, seconds, plan.steps_a_block)


def _made(plan: _Plan, now: _Progress, window: Window, steps_a_block: int, length: int) -> tuple[_Progress, float]:
    """Make the steps of a chunk, if something is not finite those before it, and return how many seconds they took."""
    task, course, watched = plan.task, plan.course, plan.on_nonfinite != "skip"
    before = now.pieces[-1]
    last = tree.map(lambda column: column[-1], before) if len(before["step"]) else None
    options: dict[str, Any] = {"last": last, "until_nonfinite": watched}
    began = time.perf_counter()
    chunk = chunks.run_chunk(task, course, plan.row, steps_a_block, now.ts, window.data, length, **options)
    if now.at == plan.begun:
        began = time.perf_counter()  # the first call has compiled the program, but does not wait for what it computes
    rows, made, fine = jax.device_get((chunk.rows, chunk.made, chunk.fine))
    seconds = time.perf_counter() - began
    rows = tree.map(lambda column: column[:made], rows)
    ts, address = chunk.ts, None
    if watched and not (fine and np.isfinite(rows["loss"]).all()):
        ts, address = chunks.first_nonfinite(task, course, plan.row, now.ts, window.data, int(made), rows["loss"])
        made = int(ts.step) - now.at
        rows = tree.map(lambda column: column[:made], rows)
        address = address or training.Address(int(ts.step), "unknown", "", 0, 0)
    pieces, untold = tables.appended(now.pieces, rows), (*now.untold, rows["loss"])
    now = now._replace(ts=ts, at=now.at + int(made), pieces=pieces, untold=untold)
    ended = began + seconds - plan.start
    return now._replace(address=address, position=window.position, clock=(ended - seconds, ended)), seconds


def _next_pace(length: int, seconds: float, steps_a_block: int) -> int:
    """Return the length of the next chunk: one that should last ``_SECONDS_A_CHUNK``, growing at most eightfold.

    It is of whole blocks, unless one lasts too long for the host to wait for.
    """
    pace = max(1, min(8 * length, int(length * _SECONDS_A_CHUNK / max(seconds, 1e-9))))
    if seconds / length * steps_a_block > _SECONDS_A_BLOCK:
        return pace
    return max(steps_a_block, pace - pace % steps_a_block)


def _tell_chunk(plan: _Plan, now: _Progress) -> tuple[_Progress, bool]:
    """Tell the epochs that ended within the chunk, and the chunk unless it ended with what is not finite."""
    chunk = now.untold[-1]
    done = now.at if now.address is None else now.at + 1  # an epoch that ends with the chunk is told after it
    first = (now.at - len(chunk)) // plan.per_epoch + 1
    ends = np.arange(first * plan.per_epoch, done, plan.per_epoch)
    now, stop = _end_epochs(plan, now, ends, None)
    if now.address is not None:
        return now, stop
    now, wanted = _tell(plan, now, "chunk", {"loss": float(tables.means(chunk, np.array([len(chunk)]))[0])})
    return now, stop or wanted


def _end_epochs(plan: _Plan, now: _Progress, ends: np.ndarray, measured: Measured | None) -> tuple[_Progress, bool]:
    """Add a row to the table for each step of `ends`, of the steps since the one before, and tell them."""
    losses, chunk = np.concatenate(now.untold), len(now.untold[-1])
    start = now.at - len(losses)
    ends = ends[ends > start]
    if not len(ends):
        return now, False
    rows = {"epoch": ends / plan.per_epoch, "step": ends, "loss": tables.means(losses, ends - start)}
    if measured is not None:
        ts = now.ts if plan.evaluated is None else plan.evaluated(now.ts)
        values = jax.device_get(measured(ts))
        rows |= {f"val_{name}": tree.map(tables.column, value) for name, value in values.items()}
    now, stop = now._replace(table=tables.appended(now.table, rows), untold=(losses[ends[-1] - start :],)), False
    at, (since, until) = now.at, now.clock
    for n, end in enumerate(ends.tolist() if plan.callbacks else ()):
        seconds = None if end == at else until - (until - since) * (at - end) / chunk
        now, wanted = _tell(plan, now, "epoch", tables.row_at(rows, n), end, seconds)
        stop = stop or wanted
    return now, stop


def _so_far(plan: _Plan, now: _Progress) -> Fit:
    history, metrics = tables.joined(now.pieces), tables.joined(now.table)
    return Fit(now.ts, history, metrics, now.ended, now.address, plan.first, now.position, now.kept)


def _tell(
    plan: _Plan,
    now: _Progress,
    kind: Kind,
    logs: dict[str, Any],
    step: int | None = None,
    seconds: float | None = None,
) -> tuple[_Progress, bool]:
    """Tell every callback the same, and return the run with the state that they leave, and whether any asks to stop."""
    seconds = time.perf_counter() - plan.start if seconds is None else seconds
    step = now.at if step is None else step
    batch_size, so_far = plan.course.batch_size, partial(_so_far, plan, now)
    event = Event(kind, step, plan.last, plan.per_epoch, batch_size, seconds, logs, now.ts, so_far, plan.settings)
    answers, errors = [], []
    for callback in plan.callbacks:
        try:
            answers.append(_decision(callback, callback(event)))
        except BaseException as error:  # the others are told the end all the same
            if kind != "end":
                raise
            errors.append(error)
    if errors:
        raise errors[0]
    for answer in answers:
        kept = {name: _own(plan, ts) for name, ts in answer.keep.items()}
        now = now._replace(kept={**now.kept, **kept}) if kept else now
    states = [answer.state for answer in answers if answer.state is not None]
    if states:
        now = _put(plan, now, states[-1])
    return now, any(answer.stop for answer in answers)


def _put(plan: _Plan, now: _Progress, ts: TrainState) -> _Progress:
    """Return the run with another state in place of its own."""
    at = int(ts.step)
    if at != now.at:
        now = now._replace(at=at, position=None, untold=_untold(now.pieces, now.table, at, plan.per_epoch))
    return now._replace(ts=_own(plan, ts))


def _decision(callback: Callback, answer: Any) -> Decision:
    if isinstance(answer, Decision):
        return answer
    if answer is not None and (np.ndim(answer) or np.asarray(answer).dtype != bool):
        name = getattr(callback, "__name__", repr(callback))
        fix = f"; call it, {name}(), to make the callback" if callable(answer) else ""
        raise TypeError(
            f"fit: a callback must return True (stop), False, None or a Decision, {name} returned {answer!r}{fix}"
        )
    return Decision(bool(answer))


def _resumed(callbacks: Sequence[Callback], like: TrainState, check: Callable[[Fit], None]) -> Fit | None:
    """Return the run that a checkpoint among the callbacks restores, checked; None if it has none yet."""
    savers = [callback for callback in callbacks if hasattr(callback, "restore")]
    if len(savers) != 1:
        got = f"{len(savers)} of them" if savers else "none"
        raise ValueError(
            f"fit: resume=True needs one fn.callbacks.checkpoint(directory) among the callbacks, got {got}"
        )
    return savers[0].restore(like, check)


def _steps_a_block(at: int, last: int, per_epoch: int, by_epoch: bool, size: int) -> int:
    """Return the steps of a block: the same for any number of epochs, unless epochs are short and may be crossed.

    Then the same for round numbers of steps.
    """
    known = chunks.block(*(n for n in (at, last, per_epoch) if n), size=size)
    if by_epoch or known >= _ROUND:
        return known
    return chunks.block(*(n for n in (at, last) if n), size=size, most=_ROUND)


def _bytes_a_step(ts: TrainState, feed: Feed) -> int:
    """Return the bytes of the state and of a batch."""
    return tree.nbytes(ts) + tree.nbytes(feed.shapes) * feed.batch_size // sampling.length(feed.shapes)


def _settings(course: Course, per_epoch: int, last: int) -> dict[str, Any]:
    """Return that by which the number of a step says what it sees; of one epoch, as long as the run, no length."""
    counts = {"batch_size": course.batch_size, "micro_batches": course.micro_batches}
    functions = {name: fingerprints.digest(getattr(course, name)) for name in ("sampler", "transform")}
    return counts | functions | ({} if per_epoch == last else {"steps_an_epoch": per_epoch})
