"""What `fit` checks before a run: its arguments, its callbacks, the state to go on from, the run that is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
from jaxtyping import PyTree

from fnnet import training, tree
from fnnet.callbacks import Callback, Fit
from fnnet.core import Key, Task, TrainState
from fnnet.errors import DataError
from fnnet.fitting.chunks import Row
from fnnet.shapes import check_count


def check_host(inputs: PyTree) -> None:
    """Raise TypeError inside a trace."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(inputs)):
        raise TypeError("fit: is the host's loop, and cannot be inside jit, vmap or grad: use fn.run there")


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Raise TypeError unless these are several functions."""
    if callable(callbacks):
        raise TypeError(f"fit: callbacks must be a list of functions, got one: callbacks=[{callbacks!r}]")
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"fit: a callback must be a function of an Event, got {callback!r}")


def count_of(key: Key | None, state: TrainState | None, epochs: int | None, steps: int | None) -> int:
    """Return the number of epochs or steps asked for; raise ValueError for arguments that contradict each other."""
    if (key is None) == (state is None):
        raise ValueError("fit: expected exactly one of key (start afresh) and state (go on), got both or neither")
    counts = [count for count in (epochs, steps) if count is not None]
    if len(counts) != 1:
        raise ValueError(f"fit: expected exactly one of epochs and steps, got epochs={epochs}, steps={steps}")
    return check_count("fit", "steps" if epochs is None else "epochs", counts[0], least=0)


def checked(task: Task, ts: TrainState, example: PyTree) -> TrainState:
    """Return the state to go on from; DataError unless it is one of this task on such data."""
    training.check_state("fit", ts)
    expected = _init.eval_shape(task, example)
    for part in ("params", "state", "opt_state"):
        difference = tree.difference(getattr(ts, part), getattr(expected, part))
        if difference:
            fix = "go on with the task that the state is of, or start afresh with a key."
            raise DataError("fit", f"the {part} must be those of this task: {difference}", fix)
    return ts


@partial(jax.jit, static_argnums=0)  # for its memory of shapes: it is never compiled
def _init(task: Task, example: PyTree) -> TrainState:
    return training.init(task, jax.random.key(0), example)


def check_resumed(task: Task, row: Row, validated: bool, before: Fit) -> None:
    """Raise DataError unless the history and the metrics of a run can be gone on with."""
    columns = tree.map(lambda column: column[0], before.history) if len(before.history["step"]) else row.blank
    if difference := tree.difference(columns, row.blank):
        fix = "resume with the task and the record that it was begun with, or begin in another directory."
        raise DataError("fit", f"the history of the run that is resumed has other columns: {difference}", fix)
    expected = {"val_loss", *(f"val_{metric.name}" for metric in task.metrics)} if validated else set()
    got = {name for name in before.metrics if name.startswith("val_") and not name.startswith("val_loss/")}
    if before.metrics and got != expected:
        problem = f"the run that is resumed has the metrics {sorted(got)}, this one {sorted(expected)}"
        fix = "resume with the validation data and the metrics that it was begun with, or begin in another directory."
        raise DataError("fit", problem, fix)
