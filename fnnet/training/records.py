"""The history of a run: what a row of it holds, and how often its dearer columns are taken."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, PyTree

from fnnet import tree
from fnnet.core import Task, TrainState
from fnnet.shapes import check_count
from fnnet.training.checks import unpack
from fnnet.training.objectives import Logs
from fnnet.training.steps import Made


class Record(NamedTuple):
    """What the history of a run holds. Every column has a value in every row.

    Of every step: ``step`` (the updates made, this one included), ``loss``, the loss's terms and auxiliary values, and
    ``learning_rate`` if the optimizer's state tells it (by path, ``learning_rate/...``, where it keeps several).

    Of the first step and of those whose number is a multiple of `every`, held until the next: ``grad_norm`` and
    ``param_norm``, the norms of the whole gradient and of all parameters after the update; the task's `metrics` of the
    batch, in training; with `updates`, ``update_ratio``, the norm of the update over that of the parameters; with
    `layers`, under ``layers``, the norms of the gradient, the update and the parameter of each path. What they cost,
    ``benchmarks/history_cost.py`` measures: the update's norm costs most, since it keeps an update from being made in
    place. With `every` 0 there are none.

    `rows`: how many rows are kept, evenly spaced and the last among them; None for all.
    """

    every: int = 16
    metrics: bool = True
    updates: bool = False
    layers: bool = False
    rows: int | None = None


RECORD = Record()
"""What the history holds unless another is asked for."""


def check_record(record: Record) -> None:
    """Raise TypeError for another thing, ValueError for counts that are none."""
    if not isinstance(record, Record):
        raise TypeError(f"run: record must be an fn.Record, got {record!r}")
    check_count("record", "every", record.every, least=0)
    if record.rows is not None:
        check_count("record", "rows", record.rows)


def row(task: Task, record: Record, after: TrainState, made: Made, held: PyTree, first: Bool[Array, ""]) -> PyTree:
    """Return the row of the history of one update, and what of it is held; `held` is of the row before."""
    cheap = {"step": after.step, "loss": made.outcome.loss} | made.outcome.logs | _learning_rates(after.opt_state)
    if not record.every:
        return cheap, held
    before = after.step - 1

    def taken() -> PyTree:
        return _taken(task, record, after, made)

    held = taken() if record.every == 1 else lax.cond(first | (before % record.every == 0), taken, lambda: held)
    return cheap | held, held


def nothing_held(task: Task, record: Record, after: TrainState, made: Made) -> PyTree:
    """Return zeros in the place of what is held, for shapes: the first row has its own."""
    if not record.every:
        return {}
    shapes = jax.eval_shape(lambda after, made: _taken(task, record, after, made), after, made)
    return tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def kept(record: Record, steps: int) -> np.ndarray:
    """Return the indices of the rows that are kept of `steps`."""
    if record.rows is None or record.rows >= steps:
        return np.arange(steps)
    return np.arange(1, record.rows + 1) * steps // record.rows - 1


def _taken(task: Task, record: Record, after: TrainState, made: Made) -> Logs | dict[str, Any]:
    columns: dict[str, Any] = {"grad_norm": _norm(made.grads), "param_norm": _norm(after.params)}
    if record.updates:
        columns["update_ratio"] = _ratio(_norm(made.updates), columns["param_norm"])
    if record.metrics:
        _, y, weight = unpack(made.batch)
        for metric in task.metrics:
            columns[metric.name] = metric.compute(metric.update(metric.init(), made.outcome.prediction, y, weight))
    if record.layers:
        parts = {"grad_norm": made.grads, "update_norm": made.updates, "param_norm": after.params}
        columns["layers"] = {name: tree.flatten(tree.map(_norm, part)) for name, part in parts.items()}
    return columns


def _norm(part: PyTree) -> Array:
    # Of the plain squares: `tree.norm`, which holds over the whole range, would add its second way to every program.
    return jnp.sqrt(tree.squared_norm(part))


def _ratio(update: Array, size: Array) -> Array:
    return jnp.where(size > 0, update / jnp.where(size > 0, size, 1), 0)


def _learning_rates(opt_state: PyTree) -> Logs:
    rates = {path: leaf for path, leaf in tree.flatten(opt_state).items() if path.endswith("learning_rate")}
    scalars = {path: leaf for path, leaf in rates.items() if jnp.ndim(leaf) == 0}
    if len(scalars) == 1:
        return {"learning_rate": next(iter(scalars.values()))}
    return {f"learning_rate/{path.rpartition('/')[0]}": leaf for path, leaf in scalars.items()}
