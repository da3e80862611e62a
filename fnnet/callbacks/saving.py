"""Checkpoints of a run as it goes on, from which it can be resumed to the bit."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeGuard, cast

import numpy as np

from fnnet import checkpoints
from fnnet.callbacks.events import Event, Fit
from fnnet.checkpoints import Snapshot, Writer
from fnnet.core import TrainState
from fnnet.errors import DataError
from fnnet.shapes import check_count


@dataclass(frozen=True)
class Checkpoint:
    """A callback that saves, and what ``fit(..., resume=True)`` restores from; made by `checkpoint`.

    ``restore(like, check)`` returns the run that the next "start" goes on with, if ``check(run)`` lets it pass; None if
    there is none.
    """

    tell: Callable[[Event], None]
    restore: Callable[[TrainState, Callable[[Fit], None]], Fit | None]

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
    one that was left alone.
    Raises: as ``fn.checkpoints.writer``; ValueError for intervals that are none; DataError if the run that is resumed
    had another batch size, number of micro-batches, sampler or transform, or epochs of another length.
    """
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"checkpoint: seconds must be a number of at least 0, or None, got {seconds!r}")
    if epochs is not None:
        check_count("checkpoint", "epochs", epochs)
    saver = _Saver(partial(checkpoints.writer, directory, keep=keep, best=best, mode=mode), config)
    sign = 1 if mode == "min" else -1

    def tell(event: Event) -> None:
        score = sign * _score(event, best)
        saver.notice(event)
        if event.kind == "start":
            saver.start(event)
            column = sign * np.asarray(event.so_far().metrics.get(best or "", []), np.float64)
            saver.least = np.min(column, initial=np.inf, where=np.isfinite(column))
        elif event.kind == "end":
            saver.end(event, _scores(event, best))
        elif score < saver.least or _due(event, epochs, seconds, saver.seconds):
            saver.save(event, _scores(event, best))
        saver.least = min(saver.least, score)

    def restore(like: TrainState, check: Callable[[Fit], None]) -> Fit | None:
        snapshot = checkpoints.restore(directory, like)
        if snapshot is None:
            return None
        history, metrics, first = dict(snapshot.history), dict(snapshot.metrics), int(snapshot.config.get("first", 0))
        run = Fit(snapshot.state, history, metrics, first=first, position=snapshot.position, kept=snapshot.kept)
        check(run)
        saver.resumed = snapshot
        return run

    return Checkpoint(tell, restore)


@dataclass
class _Saver:
    """The checkpoints of one run after another, written by what ``open(after=...)`` opens: what changes meanwhile."""

    open: Callable[..., AbstractContextManager[Writer]]
    config: Mapping[str, Any]
    stack: ExitStack = field(default_factory=ExitStack)
    write: Writer | None = None
    resumed: Snapshot | None = None  # that the run goes on from
    seconds: float = 0.0  # when the last one was saved
    last: int = -1  # its step
    at: int = 0  # the step of the event before
    back: int = 0  # the earliest step that was put in place since the last checkpoint
    least: float = math.inf  # the best score so far

    def begin(self, after: int | None) -> None:
        self.write = self.stack.enter_context(self.open(after=after))

    def notice(self, event: Event) -> None:
        """See whether a callback has put an earlier state in place."""
        self.back = min(self.back, event.step) if event.step < self.at else self.back
        self.at = event.step

    def start(self, event: Event) -> None:
        resumed, self.resumed = self.resumed, None
        if resumed is not None:
            _check_settings(resumed.config.get("settings", {}), event.settings())
        after = None if resumed is None else int(resumed.state.step)
        self.begin(after)
        self.last = -1 if after is None else after
        self.seconds, self.back = event.seconds, event.step

    def save(self, event: Event, scores: dict[str, float]) -> None:
        if self.write is not None and self.back < self.last:
            self.stack.close()
            self.begin(self.back)
            self.last = -1
        if self.write is not None and event.step != self.last:
            self.write.save(_snapshot(event, self.config), scores)
            self.seconds, self.last, self.back = event.seconds, event.step, event.step

    def end(self, event: Event, scores: dict[str, float]) -> None:
        try:
            if event.so_far().ended != "error":
                self.save(event, scores)
        finally:
            self.write = self.resumed = None
            self.stack.close()


def _snapshot(event: Event, config: Mapping[str, Any]) -> Snapshot:
    run = event.so_far()
    known = {"first": run.first, "settings": dict(event.settings()), "config": dict(config)}
    return Snapshot(run.state, run.history, run.metrics, run.position, known, run.kept)


def _check_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name, value in before.items():
        if now.get(name, value) != value:
            counted = isinstance(value, int)
            told = "by its name, what it holds and, of a lambda, its code"
            differ = f"{name} {value}, this one {now[name]}" if counted else f"another {name} than this one, {told}"
            fix = "resume it with what it was begun with, or go on from its state: fit(..., state=result.state)."
            raise DataError("checkpoint", f"the run that is resumed has {differ}", fix)


def _score(event: Event, best: str | None) -> float:
    value = event.logs.get(best) if event.kind == "epoch" and best is not None else None
    return float(value) if _is_number(value) and math.isfinite(value) else math.nan


def _scores(event: Event, best: str | None) -> dict[str, float]:
    logs = event.logs if event.kind == "epoch" else {}
    scores = {name: float(value) for name, value in logs.items() if _is_number(value)}
    return scores if best is None or best in scores or event.kind == "epoch" else {}


def _due(event: Event, epochs: int | None, seconds: float | None, saved: float) -> bool:
    ends_an_epoch = event.step % event.steps_an_epoch == 0 or event.step == event.steps
    if event.kind == "start" or (event.kind == "chunk" and ends_an_epoch):
        return False  # the epoch is told next, with its metrics
    by_time = seconds is not None and event.seconds - saved >= seconds
    by_epochs = event.kind == "epoch" and epochs is not None
    return by_time or (by_epochs and (event.step // event.steps_an_epoch) % cast(int, epochs) == 0)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float | np.number) or getattr(value, "ndim", 1) == 0
