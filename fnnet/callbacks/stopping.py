"""Ends of a run before its last step: no more progress, no more time."""

from __future__ import annotations

import math
from collections.abc import Set
from functools import partial, reduce
from typing import Any, Literal, NamedTuple

import numpy as np

from fnnet.callbacks.events import Callback, Decision, Event, LogsOnly
from fnnet.core import TrainState
from fnnet.errors import DataError, near_matches
from fnnet.shapes import check_count


def early_stopping(
    monitor: str = "val_loss",
    patience: int = 10,
    *,
    min_delta: float = 0.0,
    mode: Literal["min", "max"] = "min",
    restore_best: bool = True,
) -> Callback:
    """Return a callback that ends the run when `monitor` has not been better for `patience` epochs.

    Better is less (``"min"``) or more (``"max"``) than the best by more than `min_delta`; a value that is not finite is
    never better. With `restore_best` the run ends, however it does, with the state of its best epoch, the first of
    equals. It is in ``Fit.kept`` by the name of the monitor, and in checkpoints.

    Law: a run that is resumed ends where one that was left alone ends, with the same state; one that had ended already
    ends at once. If it was begun without early stopping, the epochs from then on count.
    Raises: ValueError for counts and modes that are none; DataError, at the first epoch, if there is no `monitor`.

    >>> task, x = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.0)), jnp.ones((4, 1))
    >>> stop = early_stopping("loss", patience=2)
    >>> result = fn.fit(task, (x, x), key=jax.random.key(0), epochs=9, batch_size=4, callbacks=[stop])
    >>> result.metrics["epoch"].tolist(), result.ended, int(result.state.step)
    ([1.0, 2.0, 3.0], 'callback', 1)
    """
    check_count("early_stopping", "patience", patience)
    if mode not in ("min", "max"):
        raise ValueError(f"early_stopping: mode must be 'min' or 'max', got {mode!r}")
    if not min_delta >= 0:
        raise ValueError(f"early_stopping: min_delta must be a number of at least 0, got {min_delta!r}")
    sign = 1 if mode == "min" else -1
    best = _Best()

    def callback(event: Event) -> Decision | None:
        nonlocal best
        if event.kind == "chunk":
            return None
        if event.kind == "end":
            return Decision(state=event.so_far().kept.get(monitor) if restore_best else None)
        if event.kind == "start":  # of a run that was resumed, too
            metrics, kept = event.so_far().metrics, event.so_far().kept.get(monitor)
            values = sign * _column(metrics, monitor) if metrics else np.zeros(0)
            is_now = len(values) > 0 and int(metrics["step"][-1]) == event.step
            best = best_of(values, min_delta)
            if restore_best:  # the best is what there is a state of
                known = len(values) - is_now
                best = _kept(metrics, values[:known], kept) if kept is not None and known else _Best()
                best = _after(best, float(values[-1]), min_delta) if is_now else best
        else:
            best, is_now = _after(best, sign * _number(event.logs, monitor), min_delta), True
        keep = {monitor: event.state} if restore_best and is_now and best.place == best.seen - 1 else {}
        return Decision(stop=best.seen - 1 - best.place >= patience, keep=keep)

    return callback


class _Best(NamedTuple):
    """Of so many values the place of the best one, 0 if none was finite, and that value, then infinite."""

    seen: int = 0
    place: int = 0
    value: float = math.inf


def best_of(values: np.ndarray, min_delta: float = 0.0) -> _Best:
    """Return the last value that was less than all before it by more than `min_delta`, and its place.

    >>> from fnnet.callbacks.stopping import best_of
    >>> best_of(np.array([3.0, np.nan, 2.0, 1.99]), min_delta=0.1)
    _Best(seen=4, place=2, value=2.0)
    """
    return reduce(partial(_after, min_delta=min_delta), values.tolist(), _Best())


def _kept(metrics: dict[str, Any], values: np.ndarray, kept: TrainState) -> _Best:
    """Return the epoch whose state is kept as the best of the values; none seen if it is not among them."""
    places = np.flatnonzero(metrics["step"][: len(values)] == int(kept.step))
    if not len(places):
        return _Best()
    value = float(values[places[-1]])
    return _Best(len(values), int(places[-1]), value if math.isfinite(value) else math.inf)


def _after(best: _Best, value: float, min_delta: float) -> _Best:
    is_better = math.isfinite(value) and (value < best.value - min_delta or best.value == math.inf)
    return _Best(best.seen + 1, *((best.seen, value) if is_better else (best.place, best.value)))


def time_limit(seconds: float) -> Callback:
    """Return a callback that ends the run, between two chunks, once `seconds` have passed since its start.

    Chunks last about half a second, so the run may be that much longer. Raises: ValueError unless ``seconds > 0``.

    >>> task, x = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.1)), jnp.ones((4, 1))
    >>> fn.fit(task, (x, x), key=jax.random.key(0), steps=10**9, batch_size=4, callbacks=[time_limit(0.01)]).ended
    'callback'
    """
    if not seconds > 0:
        raise ValueError(f"time_limit: seconds must be a number above 0, got {seconds!r}")
    return LogsOnly(lambda event: event.seconds >= seconds)


def _number(logs: dict[str, Any], monitor: str) -> float:
    scalars = {name: value for name, value in logs.items() if not np.ndim(value) and not isinstance(value, dict)}
    _check_monitor(monitor, scalars.keys())
    return float(scalars[monitor])


def _column(metrics: dict[str, Any], monitor: str) -> np.ndarray:
    columns = {name: column for name, column in metrics.items() if getattr(column, "ndim", 0) == 1}
    _check_monitor(monitor, columns.keys())
    return columns[monitor].astype(np.float64)


def _check_monitor(monitor: str, known: Set[str]) -> None:
    others = known - {"epoch", "step"}
    if monitor not in others:
        fix = near_matches(monitor, others) + ("; val_ metrics need validation data." if "val_" in monitor else ".")
        raise DataError("early_stopping", f"there is no metric {monitor!r}", fix)
