"""What a run tells the host between chunks, and the functions that listen: they show, record, or end the run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TextIO, TypeAlias

from fnnet.core import TrainState

Kind: TypeAlias = Literal["start", "chunk", "epoch", "end"]


class Event(NamedTuple):
    """What a callback is told, at the ``"start"``, after each ``"chunk"``, each ``"epoch"``, and at the ``"end"``.

    `logs` holds the mean training loss since the last event of its kind and, for an epoch, the validation metrics under
    ``val_`` names. `seconds` have passed since the start. `state` is valid during the call only: the next chunk reuses
    its buffers. The end is told even if an error or Ctrl-C breaks the run off; its `state` may then be gone.
    """

    kind: Kind
    step: int
    steps: int
    steps_an_epoch: int
    batch_size: int
    seconds: float
    logs: dict[str, float]
    state: TrainState


Callback: TypeAlias = Callable[[Event], bool | None]
"""Called with every event; returning True ends the run after it."""


def progress(title: str = "training", *, stream: TextIO | None = None) -> Callback:
    """Return a callback that shows live progress on `stream` (standard error): ETA, samples/s, loss and metrics.

    On a terminal a bar, drawn by `rich` (``pip install 'fnnet[cli]'``); elsewhere, or without rich, a line every
    tenth of the run.
    """
    stream = sys.stderr if stream is None else stream
    try:
        from rich.console import Console
    except ImportError:
        return _lines(title, stream)
    console = Console(file=stream)
    return _bar(title, console) if console.is_terminal else _lines(title, stream)


def describe(logs: dict[str, Any]) -> str:
    """Return the scalar logs on one line.

    >>> from fnnet import callbacks
    >>> callbacks.describe({"epoch": 1.0, "step": 8, "loss": 0.25, "val_accuracy": 0.5})
    'loss 0.2500  val_accuracy 0.5000'
    """
    scalars = {name: v for name, v in logs.items() if name not in ("epoch", "step") and not getattr(v, "ndim", 0)}
    return "  ".join(f"{name} {float(value):.4f}" for name, value in scalars.items())


def _pace(start: Event | None, event: Event) -> float:
    """Return the examples a second since `start`; 0 while there is no pace."""
    if start is None or event.seconds <= start.seconds:
        return 0.0
    return (event.step - start.step) * event.batch_size / (event.seconds - start.seconds)


def _is_warm(event: Event) -> bool:
    """Return whether everything is compiled: a pace taken from here on does not count that."""
    return event.kind == "epoch" or event.step > event.steps_an_epoch


def _lines(title: str, stream: TextIO) -> Callback:
    first, told = 0, 0
    warm: Event | None = None

    def callback(event: Event) -> None:
        nonlocal first, told, warm
        if event.kind == "start":
            first, told, warm = event.step, 0, None
        elif _is_warm(event):
            warm = warm or event
        tenths = 10 * (event.step - first) // max(1, event.steps - first)
        if event.kind == "epoch" and tenths > told:
            told = tenths
            epoch, epochs = event.step / event.steps_an_epoch, event.steps / event.steps_an_epoch
            pace = _pace(warm, event)
            rate = f"  {pace:,.0f} samples/s" if pace else ""
            stream.write(f"{title}: epoch {epoch:.4g}/{epochs:.4g}  {describe(event.logs)}{rate}\n")
            stream.flush()

    return callback


def _bar(title: str, console: Any) -> Callback:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]:,.0f} samples/s  {task.fields[words]}"),
    )
    bar = Progress(*columns, console=console)
    words: dict[str, Any] = {}
    warm: Event | None = None

    def callback(event: Event) -> None:
        nonlocal warm
        if event.kind == "start":
            bar.start()
            bar.add_task(title, total=event.steps, completed=event.step, rate=0.0, words="compiling")
            return
        if _is_warm(event):
            warm = warm or event
        words.update(event.logs)
        bar.update(bar.tasks[-1].id, completed=event.step, rate=_pace(warm, event), words=describe(words))
        if event.kind == "end":
            bar.stop()

    return callback
