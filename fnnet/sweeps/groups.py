"""Which hyperparameters are numbers of one program, and which need a program of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet import training
from fnnet.errors import inside
from fnnet.sweeps.members import Course, Values, measured, plan_of, task_of
from fnnet.sweeps.space import Point


class Group(NamedTuple):
    """Points that are one program: `fixed` is the same in all, and `traced` are numbers that differ."""

    fixed: Point
    traced: tuple[str, ...]
    points: tuple[int, ...]


def make_groups(course: Course, points: Sequence[Point], static: Sequence[str], shared: PyTree) -> list[Group]:
    """Return the groups of the points, in the order of their first points.

    Of the names whose values are numbers, not all whole, those are traced with which every group's program has the
    shapes and the structure that it has for the number itself; what Python must know of a number shows in the trace.
    Raises: what `make_task` and the trace raise for a point as it is.
    """
    for number, point in enumerate(points):
        with inside(f"point {number}"):
            training.check_task(course.make_task(**point))
    if unknown := sorted(set(static) - set(points[0])):
        raise ValueError(f"sweep: static names {unknown[0]!r}, which is no hyperparameter of {sorted(points[0])}")
    traced = tuple(name for name in points[0] if name not in static and _varies([p[name] for p in points]))
    failing = {name for group in _grouped(points, traced) for name in _structural(course, points, group, shared)}
    return _grouped(points, tuple(name for name in traced if name not in failing))


def values_of(points: Sequence[Point], group: Group) -> dict[str, np.ndarray]:
    """Return the traced numbers of a group's points, a column a name."""
    return {name: np.array([points[n][name] for n in group.points], jnp.result_type(float)) for name in group.traced}


def _varies(values: Sequence[Any]) -> bool:
    numbers = all(isinstance(v, int | float | np.floating | np.integer) and not isinstance(v, bool) for v in values)
    return numbers and any(isinstance(v, float | np.floating) for v in values) and len(set(values)) > 1


def _grouped(points: Sequence[Point], traced: tuple[str, ...]) -> list[Group]:
    groups: dict[Any, tuple[Point, list[int]]] = {}
    for number, point in enumerate(points):
        fixed = {name: value for name, value in point.items() if name not in traced}
        # 1, 1.0 and True are equal and are not one program.
        key = tuple((name, type(value), _hashable(value)) for name, value in fixed.items())
        groups.setdefault(key, (fixed, []))[1].append(number)
    return [Group(fixed, traced, tuple(numbers)) for fixed, numbers in groups.values()]


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def _structural(course: Course, points: Sequence[Point], group: Group, shared: PyTree) -> list[str]:
    """Return those of a group's traced names that cannot be traced."""
    point = {name: points[group.points[0]][name] for name in group.traced}
    whole = _shapes(course, group.fixed | point, {}, shared)

    def fits(*names: str) -> bool:
        fixed = group.fixed | {name: value for name, value in point.items() if name not in names}
        values = {name: jnp.asarray(point[name], jnp.result_type(float)) for name in names}
        # The program of the plain numbers was traced above, so whatever fails here fails of the tracing.
        try:
            return bool(_shapes(course, fixed, values, shared) == whole)
        except Exception:
            return False

    if not group.traced or fits(*group.traced):
        return []
    alone = [name for name in group.traced if not fits(name)]
    return alone or list(group.traced)


def _shapes(course: Course, fixed: Point, values: Values, shared: PyTree) -> PyTree:
    def program(values: Values, shared: PyTree) -> PyTree:
        data, validation = shared
        task = task_of(course, fixed, values)
        ts = training.init(task, jax.random.key(0), data[0])
        after, _, row = training.first(task, plan_of(course, task, data), data, ts)
        return ts, after, row, measured(course, task, ts, validation)

    return jax.eval_shape(program, values, shared)
