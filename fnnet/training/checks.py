"""What a task, a state and a batch must be, checked where they enter."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, PyTree

from fnnet.core import Task, TrainState
from fnnet.errors import DataError


def unpack(batch: PyTree) -> tuple[PyTree, PyTree, Array | None]:
    """Return ``(x, y, weight)`` of ``(x, y)`` or ``(x, y, weight)``; DataError for anything else."""
    if not isinstance(batch, tuple) or len(batch) not in (2, 3) or hasattr(batch, "_fields"):
        got = f"a tuple of {len(batch)}" if type(batch) is tuple else type(batch).__name__
        fix = "pass a tuple of arrays or pytrees; of a Dataset, its arrays: dataset.arrays."
        raise DataError("data", f"expected (x, y) or (x, y, weight), got {got}", fix)
    x, y, *weight = batch
    if weight and not hasattr(weight[0], "shape"):
        raise DataError(
            "data", f"the weight must be an array, got {type(weight[0]).__name__}", "make it one: jnp.array."
        )
    return x, y, weight[0] if weight else None


COLUMNS = ("step", "loss", "learning_rate", "grad_norm", "param_norm", "update_ratio", "skipped", "layers")
"""The columns of a history that are not a metric, a term of the loss or an auxiliary value of it."""


def check_task(task: Task) -> None:
    """Raise TypeError unless the parts of a task are what ``Task`` says, ValueError if two metrics share a name."""
    if not hasattr(task, "optimizer"):
        raise TypeError(f"expected a Task, got {type(task).__name__}: fn.Task(net, loss, optimizer) makes one")
    for part, functions in (("net", ("init", "apply")), ("optimizer", ("init", "update"))):
        thing = getattr(task, part)
        if not all(callable(getattr(thing, name, None)) for name in functions):
            fix = "; make a layer of a function by fn.as_layer" if part == "net" and callable(thing) else ""
            raise TypeError(f"task: {part} must have the functions {' and '.join(functions)}, got {thing!r}{fix}")
    if not callable(task.loss):
        raise TypeError(f"task: loss must be a function (prediction, target) -> values, got {task.loss!r}")
    if task.penalty is not None and not callable(task.penalty):
        raise TypeError(f"task: penalty must be a function (params) -> number, or None, got {task.penalty!r}")
    if not isinstance(task.metrics, tuple) or not all(callable(getattr(m, "update", None)) for m in task.metrics):
        raise TypeError(f"task: metrics must be a tuple of metrics, such as (accuracy(),), got {task.metrics!r}")
    names = [metric.name for metric in task.metrics]
    for name in names:
        if name in COLUMNS or names.count(name) > 1:
            problem = "is the name of a column of the history" if name in COLUMNS else "is the name of two metrics"
            raise ValueError(f"task: {name!r} {problem}; rename one by metric._replace(name=...)")


def check_state(where: str, ts: Any) -> None:
    """Raise TypeError unless `ts` is a ``TrainState``."""
    if not isinstance(ts, TrainState):
        fix = "; of what fit returned pass result.state" if isinstance(getattr(ts, "state", None), TrainState) else ""
        raise TypeError(f"{where}: expected a TrainState, as init and run return it, got {type(ts).__name__}{fix}")
