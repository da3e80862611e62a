"""Checkpoints of a run as it goes on, from which it can be resumed to the bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from fnnet import checkpoints
from fnnet.callbacks.events import Event, Fit
from fnnet.checkpoints import Snapshot, Writer
from fnnet.core import TrainState
from fnnet.errors import DataError
from fnnet.shapes import check_count


class Checkpoint(NamedTuple):
    """A callback that saves, and what ``fit(..., resume=True)`` restores from; made by `checkpoint`."""

    tell: Callable[[Event], None]
    restore: Callable[[TrainState], Fit | None]

    def __call__(self, event: Event) -> None:
        """Save if it is time to."""
        self.tell(event)


def checkpoint(
    directory: str | os.PathLike[str],
    *,
    seconds: float | None = 30.0,
    epochs: int | None = None,
    keep: int = 3,
    best: str | None = None,
    mode: Literal["min", "max"] = "min",
    config: Mapping[str, Any] = {},
) -> Checkpoint:
    """Return a callback that saves all of a run in `directory`, in the background, for ``fit(..., resume=True)``.

    It saves once `seconds` have passed since the last time, after every so many `epochs`, whenever the epoch's metric
    `best` (say ``"val_loss"``) is better than ever, and at the end, unless by an error. The last `keep` stay, and the
    best. `config`: what else is to be known of the run, of what JSON has. Needs Orbax (``pip install 'fnnet[io]'``).

    Law: a run that ended at any moment, or was killed, and is resumed ends in the same state, bit for bit on CPU, as
    one that was left alone. (Early stopping knows no best state from before it was resumed.)
    Raises: as ``fn.checkpoints.writer``; ValueError for intervals that are none; DataError if the run that is resumed
    had batches of another size, or epochs of another length.
    """
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"checkpoint: seconds must be a number of at least 0, or None, got {seconds!r}")
    if epochs is not None:
        check_count("checkpoint", "epochs", epochs)
    stack = ExitStack()
    write: Writer | None = None
    after: int | None = None  # the step of the checkpoint that the run goes on from
    before: Mapping[str, int] = {}  # the settings of that run
    saved, last = 0.0, -1  # when, and of which step

    def begin(after: int | None) -> Writer:
        return stack.enter_context(checkpoints.writer(directory, after=after, keep=keep, best=best, mode=mode))

    def save(event: Event) -> None:
        nonlocal write, saved, last
        if write is not None and event.step < last:  # a callback has put an earlier state in place
            stack.close()
            write, last = begin(event.step), -1
        if write is not None and event.step != last:
            write.save(_snapshot(event, config), _scores(event, best))
            saved, last = event.seconds, event.step

    def tell(event: Event) -> None:
        nonlocal write, after, saved, last
        if event.kind == "start":
            _check_settings(before if after is not None else {}, _settings(event))
            write = begin(after)
            saved, last, after = event.seconds, -1 if after is None else after, None
        elif event.kind == "end":
            try:
                if event.so_far().ended != "error":
                    save(event)
            finally:
                write = None
                stack.close()
        elif _due(event, epochs, seconds, saved) or (best is not None and _is_best(event, best, mode)):
            save(event)

    def restore(like: TrainState) -> Fit | None:
        nonlocal after, before
        snapshot = checkpoints.restore(directory, like)
        if snapshot is None:
            return None
        after, before = int(snapshot.state.step), snapshot.config.get("settings", {})
        first = int(snapshot.config.get("first", 0))
        return Fit(
            snapshot.state, dict(snapshot.history), dict(snapshot.metrics), "steps", None, first, snapshot.position
        )

    return Checkpoint(tell, restore)


def _snapshot(event: Event, config: Mapping[str, Any]) -> Snapshot:
    run = event.so_far()
    known = {"first": run.first, "settings": _settings(event), "config": dict(config)}
    return Snapshot(run.state, run.history, run.metrics, run.position, known)


def _settings(event: Event) -> dict[str, int]:
    """Return that by which the number of a step says which rows it sees; an epoch that is the whole run has no say."""
    whole = event.steps_an_epoch == event.steps
    return {"batch_size": event.batch_size} | ({} if whole else {"steps_an_epoch": event.steps_an_epoch})


def _check_settings(before: Mapping[str, int], now: Mapping[str, int]) -> None:
    for name, value in before.items():
        if now.get(name, value) != value:
            problem = f"the run that is resumed has {name} {value}, this one {now[name]}"
            fix = "resume it with the same data and batch_size, or go on from its state: fit(..., state=result.state)."
            raise DataError("checkpoint", problem, fix)


def _scores(event: Event, best: str | None) -> dict[str, float]:
    logs = event.logs if event.kind == "epoch" else {}
    scores = {name: float(value) for name, value in logs.items() if not np.ndim(value)}
    return scores if best is None or best in scores or event.kind == "epoch" else {}


def _due(event: Event, epochs: int | None, seconds: float | None, saved: float) -> bool:
    ends_an_epoch = event.step % event.steps_an_epoch == 0 or event.step == event.steps
    if event.kind == "start" or (event.kind == "chunk" and ends_an_epoch):
        return False  # the epoch is told next, with its metrics
    by_time = seconds is not None and event.seconds - saved >= seconds
    by_epochs = event.kind == "epoch" and epochs is not None
    return by_time or (by_epochs and (event.step // event.steps_an_epoch) % cast(int, epochs) == 0)


def _is_best(event: Event, best: str, mode: str) -> bool:
    if event.kind != "epoch":
        return False
    values = np.asarray(event.so_far().metrics.get(best, [np.nan]), np.float64) * (1 if mode == "min" else -1)
    return bool(np.isfinite(values[-1])) and values[-1] <= np.nanmin(values)
