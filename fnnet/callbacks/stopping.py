"""Ends of a run before its last step: no more progress, no more time."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from fnnet.callbacks.events import Callback, Decision, Event
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
    equals; of a run that was resumed, of the best since then, unless none was better than before.

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
    best: TrainState | None = None

    def callback(event: Event) -> Decision | None:
        nonlocal best
        if event.kind == "start":
            best = None
        if event.kind == "epoch":
            values = _column(event.so_far().metrics, monitor) * (1 if mode == "min" else -1)
            place = best_place(values, min_delta)
            if place == len(values) - 1 and restore_best:
                best = jax.tree.map(jnp.copy, event.state)
            return Decision(stop=len(values) - 1 - place >= patience)
        if event.kind == "end" and best is not None:
            return Decision(state=best)
        return None

    return callback


def best_place(values: np.ndarray, min_delta: float = 0.0) -> int:
    """Return the index of the last value that was less than all before it by more than `min_delta`, 0 if none was.

    >>> from fnnet.callbacks.stopping import best_place
    >>> best_place(np.array([3.0, np.nan, 2.0, 1.99]), min_delta=0.1)
    2
    """
    place, best = 0, np.inf
    for index, value in enumerate(values):
        if np.isfinite(value) and (value < best - min_delta if np.isfinite(best) else True):
            place, best = index, value
    return place


def time_limit(seconds: float) -> Callback:
    """Return a callback that ends the run, between two chunks, once `seconds` have passed since its start.

    Chunks last about half a second, so the run may be that much longer. Raises: ValueError unless ``seconds > 0``.

    >>> task, x = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.1)), jnp.ones((4, 1))
    >>> fn.fit(task, (x, x), key=jax.random.key(0), steps=10**9, batch_size=4, callbacks=[time_limit(0.01)]).ended
    'callback'
    """
    if not seconds > 0:
        raise ValueError(f"time_limit: seconds must be a number above 0, got {seconds!r}")
    return lambda event: event.seconds >= seconds


def _column(metrics: dict[str, Any], monitor: str) -> np.ndarray:
    known = {name: column for name, column in metrics.items() if getattr(column, "ndim", 0) == 1}
    if monitor not in known or monitor in ("epoch", "step"):
        others = known.keys() - {"epoch", "step"}
        fix = near_matches(monitor, others) + ("; val_ metrics need validation data." if "val_" in monitor else ".")
        raise DataError("early_stopping", f"there is no metric {monitor!r}", fix)
    return known[monitor].astype(np.float64)
