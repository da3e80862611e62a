"""What a subject must be before laws are asked of it: its example has a batch, its words are known ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet import tree
from fnnet.core import Task
from fnnet.errors import DataError
from fnnet.sampling import Sampler
from fnnet.testing.subjects import (
    LayerSubject,
    LossSubject,
    MetricSubject,
    OptimizerSubject,
    RunSubject,
    SamplerSubject,
    ScheduleSubject,
    TransformSubject,
)


def check_example(where: str, subject: Any) -> None:
    """Raise if laws cannot be asked of a subject: DataError for its example, TypeError or ValueError for the rest."""
    _CHECKS[type(subject)](where, subject)


def _layer(where: str, subject: LayerSubject) -> None:
    _has_batch(where, "the example of its input", subject.x)
    try:
        params, _ = subject.layer.init(jax.random.key(0), subject.x)
    except Exception as error:
        problem = f"init fails on the example of its input ({type(error).__name__}: {error})"
        fix = "it is called as init(key, x): give an example of the shape and dtype that it takes."
        raise DataError(where, problem, fix) from error
    for path, leaf in tree.flatten(params).items():
        if not hasattr(leaf, "dtype"):
            problem = f"init gives a {type(leaf).__name__}, {leaf!r}, as the parameter {path or 'itself'}, not an array"
            raise DataError(where, problem, "make it one with jnp.asarray, or keep it out of the parameters.")


def _loss(where: str, subject: LossSubject) -> None:
    _is_function(where, "a loss", subject.loss)
    _has_batch(where, "the prediction", subject.prediction)
    _has_batch(where, "the target", subject.target)


def _metric(where: str, subject: MetricSubject) -> None:
    for name in ("init", "update", "compute", "merge"):
        _is_function(where, f"{name} of a metric", getattr(subject.metric, name, None))
    _has_batch(where, "the prediction", subject.prediction)
    _has_batch(where, "the target", subject.target)


def _transform(where: str, subject: TransformSubject) -> None:
    _is_function(where, "a transform", subject.transform)
    _has_batch(where, "the batch", subject.batch)


def _optimizer(where: str, subject: OptimizerSubject) -> None:
    _is_one_of(where, "scale", subject.scale, ("invariant", "linear", None))
    leaves = tree.flatten(subject.params)
    fix = "give an example of parameters: a pytree of floating-point arrays."
    if not leaves:
        raise DataError(where, "the example of its parameters has no array", fix)
    for path, leaf in leaves.items():
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise DataError(where, f"the example of its parameters has {leaf.dtype} at {path or 'its top'}", fix)


def _schedule(where: str, subject: ScheduleSubject) -> None:
    _is_function(where, "a schedule", subject.schedule)
    _is_one_of(where, "turns", subject.turns, ("falls", "rises", None))
    if isinstance(subject.steps, bool) or not isinstance(subject.steps, int | np.integer) or subject.steps < 1:
        raise ValueError(f"{where}: steps must be a whole number, at least 1, got {subject.steps!r}")


def _sampler(where: str, subject: SamplerSubject) -> None:
    for name in Sampler._fields:
        _is_function(where, f"{name} of a sampler", getattr(subject.sampler, name, None))


def _run(where: str, subject: RunSubject) -> None:
    if not isinstance(subject.task, Task):
        raise TypeError(f"{where}: a task must be a fn.Task, got {type(subject.task).__name__}: {subject.task!r}")
    _has_batch(where, "the data", subject.data)


def _has_batch(where: str, what: str, value: PyTree) -> None:
    """Raise DataError unless there are arrays, and each has a first axis, that of the batch, which is not empty."""
    leaves = tree.flatten(value)
    fix = "give arrays whose first axis is the batch, of one example or more."
    if not leaves:
        raise DataError(where, f"{what} has no array", fix)
    for path, leaf in leaves.items():
        if not leaf.shape or not leaf.shape[0]:
            raise DataError(where, f"{what} is {tree.type_name(leaf)}{f' at {path}' if path else ''}", fix)


def _is_function(where: str, what: str, thing: Any) -> None:
    if not callable(thing):
        raise TypeError(f"{where}: {what} must be a function, got {type(thing).__name__}: {thing!r}")


def _is_one_of(where: str, name: str, value: Any, words: tuple[Any, ...]) -> None:
    if value not in words:
        raise ValueError(f"{where}: {name} must be one of {', '.join(map(repr, words))}, got {value!r}")


_CHECKS: dict[type, Callable[[str, Any], None]] = {
    LayerSubject: _layer,
    LossSubject: _loss,
    MetricSubject: _metric,
    TransformSubject: _transform,
    SamplerSubject: _sampler,
    OptimizerSubject: _optimizer,
    ScheduleSubject: _schedule,
    RunSubject: _run,
}
