"""Live progress of a run: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from fnnet.callbacks.events import Callback, Event, LogsOnly


def progress(title: str = "training", *, stream: TextIO | None = None) -> Callback:
    r"""Return a callback that shows live progress on `stream` (standard error): ETA, samples/s, loss and metrics.

    On a terminal a bar, drawn by `rich` (``pip install 'fnnet[cli]'``); elsewhere, or without rich, a line every
    tenth of the run.

    >>> import io
    >>> task, x = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.0)), jnp.zeros((4, 1))
    >>> words = io.StringIO()
    >>> listeners = [progress("zeros", stream=words)]
    >>> _ = fn.fit(task, (x, x), key=jax.random.key(0), epochs=1, batch_size=2, callbacks=listeners)
    >>> words.getvalue()
    'zeros: epoch 1/1  loss 0.0000\n'
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
    numbers = {name: v for name, v in logs.items() if isinstance(v, int | float) or getattr(v, "ndim", 1) == 0}
    scalars = {name: v for name, v in numbers.items() if name not in ("epoch", "step")}
    return "  ".join(f"{name} {format_scalar(float(value))}" for name, value in scalars.items())


def format_scalar(value: float) -> str:
    """Return a number to four decimals, or to five significant digits where that would say too little or too much.

    >>> from fnnet import callbacks
    >>> [callbacks.format_scalar(value) for value in (0.25, 1 / 3 * 1e-4, 233551984.0)]
    ['0.2500', '3.3333e-05', '2.3355e+08']
    """
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.5g}"


def _pace(start: tuple[int, float] | None, event: Event) -> float:
    """Return the examples a second since `start`, a step and its seconds; 0 while there is no pace."""
    if start is None or event.seconds <= start[1]:
        return 0.0
    return (event.step - start[0]) * event.batch_size / (event.seconds - start[1])


def _is_warm(event: Event) -> bool:
    """Return whether everything is compiled: a pace taken from here on does not count that."""
    return event.kind == "epoch" or event.step > event.steps_an_epoch


def _lines(title: str, stream: TextIO) -> Callback:
    first, told = 0, 0
    warm: tuple[int, float] | None = None  # the step and the seconds that the pace is taken from

    def callback(event: Event) -> None:
        nonlocal first, told, warm
        if event.kind == "start":
            first, told, warm = event.step, 0, None
        elif _is_warm(event):
            warm = warm or (event.step, event.seconds)
        tenths = 10 * (event.step - first) // max(1, event.steps - first)
        if event.kind == "epoch" and tenths > told:
            told = tenths
            epoch, epochs = event.step / event.steps_an_epoch, event.steps / event.steps_an_epoch
            pace = _pace(warm, event)
            rate = f"  {pace:,.0f} samples/s" if pace else ""
            stream.write(f"{title}: epoch {epoch:.4g}/{epochs:.4g}  {describe(event.logs)}{rate}\n")
            stream.flush()

    return LogsOnly(callback)


def _bar(title: str, console: Any) -> Callback:
    """Draw the bar with its times on one line and the loss and metrics below it, so that 80 columns hold both."""
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    bar, words = Progress(*columns, console=console, expand=True), Text("compiling")
    live = Live(Group(bar, words), console=console, refresh_per_second=4)
    logs: dict[str, Any] = {}
    warm: tuple[int, float] | None = None  # the step and the seconds that the pace is taken from

    def callback(event: Event) -> None:
        nonlocal warm
        if event.kind == "start":
            logs.clear()
            words.plain, warm = "compiling", None
            for task in bar.task_ids:  # of an earlier run
                bar.remove_task(task)
            bar.add_task(title, total=event.steps, completed=event.step, rate="")
            live.start()
            return
        if not bar.task_ids:  # the run ended before it was told to begin
            return
        if _is_warm(event):
            warm = warm or (event.step, event.seconds)
        logs.update(event.logs)
        words.plain = describe(logs)
        pace = _pace(warm, event)
        bar.update(bar.tasks[-1].id, completed=event.step, rate=f"{pace:,.0f} samples/s" if pace else "")
        if event.kind == "end":
            live.stop()

    return LogsOnly(callback)
