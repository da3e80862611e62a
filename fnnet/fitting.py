"""The host's loop: dispatches compiled chunks of a run, and between chunks reports, validates and listens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, PyTree

from fnnet import sampling, training, tree
from fnnet.callbacks import Callback, Event, Kind
from fnnet.core import Key, Task, TrainState
from fnnet.data import Dataset, check
from fnnet.errors import DataError, inside
from fnnet.shapes import check_count

_CAPACITY = 4096  # the most steps a chunk may have: the length of its buffer of losses
_SECONDS_A_CHUNK = 0.5  # between two words to the host


class Fit(NamedTuple):
    """The result of a run.

    `history`: ``step`` and ``loss`` of every step. `metrics`: one row an epoch: ``epoch``, ``step``, ``loss`` (mean
    since the last row) and, with validation data, ``val_loss`` and ``val_`` each metric.
    """

    state: TrainState
    history: dict[str, np.ndarray]
    metrics: dict[str, np.ndarray]


def fit(
    task: Task,
    data: PyTree,
    *,
    key: Key | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 32,
    validation: PyTree | None = None,
    callbacks: Sequence[Callback] = (),
    state: TrainState | None = None,
) -> Fit:
    """Train `task` on `data`, a ``Dataset``, ``(x, y)`` or ``(x, y, weight)``, for a number of `epochs` or of `steps`.

    Starts afresh from `key`, or goes on from `state` (which is left as it is). An epoch is ``n // batch_size`` steps;
    after each one the loss and the task's metrics are taken on `validation`, if there is one. `callbacks` are functions
    of an ``fnnet.callbacks.Event``, told between chunks; one that returns True ends the run there.

    Law: the last state and the losses are those of ``training.run``, bit for bit on CPU, whatever the chunks.
    Raises: DataError for data that is empty, not finite, of unequal lengths, with labels outside the classes or
    negative weights, or smaller than a batch, and for a `state` of another task; ValueError unless exactly one of
    `epochs` and `steps`, and one of `key` and `state`, is given; and as ``init`` and ``step`` do. What is wrong with
    `validation` is found before training.

    >>> x, y = jnp.eye(4), jnp.arange(4)
    >>> task = fn.Task(fn.dense(4), fn.losses.cross_entropy, fn.sgd(1.0))
    >>> result = fn.fit(task, (x, y), key=jax.random.key(0), steps=3, batch_size=4)
    >>> int(result.state.step), result.history["loss"].shape
    (3, (3,))
    """
    training.check_task(task)
    _check_host((data, validation, key, state))
    _check_callbacks(callbacks)
    check_count("fit", "batch_size", batch_size)
    count = _count(key, state, epochs, steps)
    data = _on_device(data, batch_size)
    example = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), data[0])
    ts = training.init(task, key, example) if key is not None else _checked(task, cast(TrainState, state), example)
    training.check_targets(task, ts, data)
    if validation is not None:
        with inside("validation"):  # what is wrong with it is found before training, not after the first epoch
            validation = _on_device(validation)
            training.check_targets(task, ts, validation)
            jax.eval_shape(lambda ts, data: training.measure(task, ts, data, batch_size=batch_size), ts, validation)
    per_epoch = sampling.length(data) // batch_size
    first, steps = int(ts.step), count if epochs is None else count * per_epoch
    plan = _Plan(first, first + steps, per_epoch, batch_size, time.perf_counter())
    # The chunks reuse the buffers that they are given, so they are given a copy.
    return _train(task, jax.tree.map(jnp.copy, ts), data, validation, plan, callbacks)


def _on_device(data: PyTree, batch_size: int | None = None) -> PyTree:
    """Return checked data as JAX arrays: put on the device once, not at every call of a compiled program."""
    arrays = data.arrays if isinstance(data, Dataset) else data
    training.unpack(arrays)
    check(data, batch_size=batch_size)
    return jax.tree.map(jnp.asarray, arrays)


def _checked(task: Task, ts: TrainState, example: PyTree) -> TrainState:
    """Return the state to go on from; DataError unless it is one of this task on such data."""
    training.check_state("fit", ts)
    expected = jax.eval_shape(lambda x: training.init(task, jax.random.key(0), x), example)
    for part in ("params", "state", "opt_state"):
        difference = tree.difference(getattr(ts, part), getattr(expected, part))
        if difference:
            fix = "go on with the task that the state is of, or start afresh with a key."
            raise DataError("fit", f"the {part} must be those of this task: {difference}", fix)
    return ts


class _Plan(NamedTuple):
    first: int  # steps made before
    last: int
    per_epoch: int
    batch_size: int
    start: float  # seconds on the clock


def _train(
    task: Task, ts: TrainState, data: PyTree, validation: PyTree | None, plan: _Plan, callbacks: Sequence[Callback]
) -> Fit:
    at, pace = plan.first, 1
    losses: list[np.ndarray] = [np.zeros(0, jnp.result_type(float))]
    told = 1  # how many chunks of losses are in the table
    table: list[dict[str, Any]] = []
    tell = partial(_tell, callbacks, plan)
    try:
        stop = tell("start", at, ts, {})
        while at < plan.last and not stop:
            length = min(pace, _CAPACITY, plan.last - at, plan.per_epoch - at % plan.per_epoch)
            began = time.perf_counter()
            ts, chunk = _chunk(task, ts, data, length, plan.batch_size)
            losses.append(np.asarray(chunk)[:length])
            pace = _next_pace(length, time.perf_counter() - began)
            at += length
            stop = tell("chunk", at, ts, {"loss": float(losses[-1].mean())})
            if at % plan.per_epoch == 0 or at == plan.last:
                table.append(_epoch_row(task, ts, plan, np.concatenate(losses[told:]), validation))
                told = len(losses)
                stop = tell("epoch", at, ts, table[-1]) or stop
    finally:  # an error or Ctrl-C ends the run too: what listens may hold a terminal or a file
        tell("end", at, ts, table[-1] if table else {})
    history = {"step": np.arange(plan.first, at) + 1, "loss": np.concatenate(losses)}
    columns = {name: [row[name] for row in table] for name in (table[0] if table else ())}
    return Fit(ts, history, {name: jax.tree.map(lambda *v: np.stack(v), *values) for name, values in columns.items()})


@partial(jax.jit, static_argnums=(0, 4), donate_argnums=1)
def _chunk(
    task: Task, ts: TrainState, data: PyTree, length: Int[Array, ""], batch_size: int
) -> tuple[TrainState, Array]:
    """Make `length` updates. The bound is traced, so that one program serves every length."""

    def body(n: Int[Array, ""], carry: tuple[TrainState, Array]) -> tuple[TrainState, Array]:
        ts, losses = carry
        ts, logs = training.step(task, ts, training.batch_at(ts, data, batch_size))
        return ts, losses.at[n].set(logs["loss"].astype(losses.dtype))

    return lax.fori_loop(0, length, body, (ts, jnp.zeros(_CAPACITY, jnp.result_type(float))))


def _next_pace(length: int, seconds: float) -> int:
    """Return the length of the next chunk: one that should last ``_SECONDS_A_CHUNK``, growing at most eightfold."""
    return max(1, min(8 * length, int(length * _SECONDS_A_CHUNK / max(seconds, 1e-9))))


def _epoch_row(
    task: Task, ts: TrainState, plan: _Plan, losses: np.ndarray, validation: PyTree | None
) -> dict[str, Any]:
    row: dict[str, Any] = {"epoch": int(ts.step) / plan.per_epoch, "step": int(ts.step), "loss": float(losses.mean())}
    if validation is None:
        return row
    values = jax.device_get(training.measure(task, ts, validation, batch_size=plan.batch_size))
    return row | {f"val_{name}": v if getattr(v, "ndim", 1) else v.item() for name, v in values.items()}


def _tell(
    callbacks: Sequence[Callback], plan: _Plan, kind: Kind, step: int, ts: TrainState, logs: dict[str, Any]
) -> bool:
    """Tell every callback, and return whether any asks to stop."""
    seconds = time.perf_counter() - plan.start
    event = Event(kind, step, plan.last, plan.per_epoch, plan.batch_size, seconds, logs, ts)
    answers: list[Any] = [callback(event) for callback in callbacks]
    for callback, answer in zip(callbacks, answers, strict=True):
        if answer is not None and (np.ndim(answer) or np.asarray(answer).dtype != bool):
            name = getattr(callback, "__name__", repr(callback))
            fix = f"; call it, {name}(), to make the callback" if callable(answer) else ""
            raise TypeError(f"fit: a callback must return True (stop), False or None, {name} returned {answer!r}{fix}")
    return any(answers)


def _check_host(inputs: PyTree) -> None:
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(inputs)):
        raise TypeError("fit: is the host's loop, and cannot be inside jit, vmap or grad: use fn.run there")


def _check_callbacks(callbacks: Sequence[Callback]) -> None:
    if callable(callbacks):
        raise TypeError(f"fit: callbacks must be a list of functions, got one: callbacks=[{callbacks!r}]")
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"fit: a callback must be a function of an Event, got {callback!r}")


def _count(key: Key | None, state: TrainState | None, epochs: int | None, steps: int | None) -> int:
    """Return the number of epochs or steps asked for; raise ValueError for arguments that contradict each other."""
    if (key is None) == (state is None):
        raise ValueError("fit: expected exactly one of key (start afresh) and state (go on), got both or neither")
    counts = [count for count in (epochs, steps) if count is not None]
    if len(counts) != 1:
        raise ValueError(f"fit: expected exactly one of epochs and steps, got epochs={epochs}, steps={steps}")
    return check_count("fit", "steps" if epochs is None else "epochs", counts[0], least=0)
