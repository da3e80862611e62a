"""A sweep: many runs, as few programs as their structure allows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet import sampling, tree
from fnnet.core import Key, Task, TrainState
from fnnet.shapes import check_count, check_key
from fnnet.sweeps import layouts, saving
from fnnet.sweeps.groups import Course, Group, Result, begin, make_groups, move, values_of
from fnnet.sweeps.layouts import LAYOUTS, LayoutName, Timing
from fnnet.sweeps.space import Point, as_points
from fnnet.sweeps.table import TableRecord, make_records, ranked, to_pandas
from fnnet.training import Record, unpack

LEAN = Record(every=0)


class Report(NamedTuple):
    """How a group was run: its fixed values, which names were traced, the layout, and the trials it was chosen by."""

    fixed: Point
    traced: tuple[str, ...]
    members: int
    layout: str
    timings: tuple[Timing, ...]


class Sweep(NamedTuple):
    """The results of a sweep. Member n is point ``n // seeds`` with seed ``n % seeds``.

    `table`: a record a member. `groups`, `results` and `layout` go together: the points of a group, the states and
    histories of its members with a leading axis, and how it was run.
    """

    points: tuple[Point, ...]
    seeds: int
    table: list[TableRecord]
    groups: tuple[Group, ...]
    results: tuple[Result, ...]
    layout: tuple[Report, ...]

    def state(self, member: int) -> TrainState:
        """Return the last state of a member."""
        group, place = self._place(member)
        return layouts.pick(self.results[group].state, place)

    def history(self, member: int) -> dict[str, Any]:
        """Return the history of a member's run, as ``run`` returns it."""
        group, place = self._place(member)
        return layouts.pick(self.results[group].history, place)

    def best(self, by: str | None = None, mode: Literal["min", "max"] = "min") -> TableRecord:
        """Return the best point, with the mean of the column `by` over its seeds and its standard deviation.

        `by` is ``val_loss`` unless another is named, ``loss`` in a sweep without validation.
        """
        return self.ranking(by, mode)[0]

    def ranking(self, by: str | None = None, mode: Literal["min", "max"] = "min") -> list[TableRecord]:
        """Return all points as `best` does, best first; those that diverged come last."""
        by = by or ("val_loss" if "val_loss" in self.table[0] else "loss")
        return ranked(self.table, list(self.points[0]), by, mode)

    def to_pandas(self) -> Any:
        """Return the table as a ``pandas.DataFrame``; ExtraMissingError without pandas."""
        return to_pandas(self.table)

    def _place(self, member: int) -> tuple[int, int]:
        if not 0 <= member < len(self.table):
            raise IndexError(f"sweep: there are members 0 to {len(self.table) - 1}, got {member}")
        point, seed = divmod(member, self.seeds)
        group = next(n for n, group in enumerate(self.groups) if point in group.points)
        return group, self.groups[group].points.index(point) * self.seeds + seed


def sweep(
    make_task: Callable[..., Task],
    space: Mapping[str, Sequence[Any]] | Sequence[Point],
    data: PyTree,
    *,
    key: Key,
    steps: int,
    batch_size: int,
    seeds: int = 1,
    validation: PyTree | None = None,
    layout: LayoutName | None = None,
    static: Sequence[str] = (),
    record: Record = LEAN,
    points_per_program: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    on_group: Callable[[list[TableRecord]], None] | None = None,
    **options: Any,
) -> Sweep:
    """Train ``make_task(**point)`` for every point of the space and every seed, and return all results.

    `space` is a dict of lists (a grid) or a list of points (``fn.sweeps.grid``, ``fn.sweeps.sample``). Hyperparameters
    that are numbers, not all whole, become arguments of one program; those that change shapes or structure, whole
    numbers, text and all other values make groups, each a program of its own. Which numbers can be arguments is found
    by tracing; the names in `static` are not tried. `make_task` must be pure: it is called with traced numbers too.

    Seed s is ``fold_in(key, s)`` for every point, so that points are compared from the same draws. `layout` is one of
    ``"vmap"``, ``"map"``, ``"threads"`` and ``"devices"``; without it each is tried for a few steps and the one of the
    least estimated time, compilation included, is taken. `validation` is measured at the end. `options` are those of
    ``run``.

    `points_per_program` bounds the memory: a group of more points is several programs. With a `directory` each finished
    group is written there, and a call of the same sweep takes from it what is there; that the functions have not
    changed is not checked, but for the shapes of what they give. `on_group` is given the table so far, nan where
    nothing was run yet, after each group.

    Law: a member's state and history are those of ``init`` and ``run`` of its task alone, up to rounding.
    Raises: as ``init``, ``run`` and ``make_task`` do, before anything is run; ValueError for points of unlike names;
    DataError if the directory holds another sweep.

    >>> def make_task(learning_rate):
    ...     return fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(learning_rate))
    >>> x, y = jnp.array([[1.0], [2.0]]), jnp.array([[2.0], [4.0]])
    >>> grid = {"learning_rate": [0.001, 0.1]}
    >>> result = fn.sweep(make_task, grid, (x, y), key=jax.random.key(0), steps=50, batch_size=2, layout="vmap")
    >>> result.best()["learning_rate"], len(result.table), result.layout[0].traced
    (0.1, 2, ('learning_rate',))
    """
    options = {"record": record, **options}
    setting = prepare(make_task, space, data, key, steps, batch_size, seeds, validation, layout, static, options)
    course, points, shared, groups = setting
    if points_per_program is not None:
        check_count("sweep", "points_per_program", points_per_program)
        groups = [part for group in groups for part in _parts(group, points_per_program)]
    place = None
    if directory is not None:
        settings = {"steps": steps, "seeds": seeds, "batch_size": batch_size, "parts": points_per_program, **options}
        settings["static"] = list(static)
        place = saving.open_directory(directory, saving.fingerprint(key, points, settings, shared))
    results, reports = [], []
    for number, group in enumerate(groups):
        members = start(course, points, group, key, seeds, shared)
        file = None if place is None else place / f"group_{number:05d}.npz"
        if file is not None and file.exists():
            result, report = _saved(file, course, group, members, shared, steps)
        else:
            result, report = advance(course, group, members, shared, steps, layout)
            if file is not None:
                saving.save(file, result, {"layout": report.layout, "timings": report.timings})
        results.append(result)
        reports.append(report)
        if on_group is not None:
            on_group(tabulate(points, seeds, groups[: number + 1], results, steps))
    table = tabulate(points, seeds, groups, results, steps)
    return Sweep(tuple(points), seeds, table, tuple(groups), tuple(results), tuple(reports))


def prepare(
    make_task: Callable[..., Task],
    space: Any,
    data: PyTree,
    key: Key,
    steps: int,
    batch_size: int,
    seeds: int,
    validation: PyTree | None,
    layout: str | None,
    static: Sequence[str],
    options: dict[str, Any],
) -> tuple[Course, list[Point], PyTree, list[Group]]:
    """Return what is shared, the points and their groups, after a check of all that is known before anything is run."""
    points = as_points(space)
    check_key("sweep", key, when="")
    check_count("sweep", "steps", steps)
    check_count("sweep", "seeds", seeds)
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"sweep: layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    course = Course(make_task, validation is not None, batch_size, options)
    shared = share(data, validation)
    return course, points, shared, make_groups(course, points, static, shared)


def _parts(group: Group, most: int) -> list[Group]:
    return [group._replace(points=group.points[n : n + most]) for n in range(0, len(group.points), most)]


def _saved(
    file: Path, course: Course, group: Group, members: PyTree, shared: PyTree, steps: int
) -> tuple[Result, Report]:
    program = jax.vmap(partial(move, course, group.fixed, steps), in_axes=(0, None))
    result, note = saving.load(file, jax.eval_shape(program, members, shared))
    timings = tuple(Timing(*timing) for timing in note["timings"])
    return result, Report(group.fixed, group.traced, layouts.size(members), note["layout"], timings)


def share(data: PyTree, validation: PyTree | None) -> PyTree:
    """Return the arrays that all members are given."""
    data = getattr(data, "arrays", data)
    unpack(data)
    sampling.length(data)
    if validation is not None:
        validation = getattr(validation, "arrays", validation)
        unpack(validation)
        sampling.length(validation, where="validation")
    return tree.map(jnp.asarray, (data, validation))


def start(course: Course, points: Sequence[Point], group: Group, key: Key, seeds: int, shared: PyTree) -> PyTree:
    """Return the members of a group at step 0: their numbers and states, point by point and seed by seed."""
    values = {name: jnp.asarray(np.repeat(v, seeds)) for name, v in values_of(points, group).items()}
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.tile(jnp.arange(seeds), len(group.points)))
    make = jax.jit(jax.vmap(partial(begin, course, group.fixed), in_axes=(0, 0, None)))
    return values, make(values, keys, shared[0][0])


def advance(
    course: Course, group: Group, members: PyTree, shared: PyTree, steps: int, layout: str | None
) -> tuple[Result, Report]:
    """Return the members' results after `steps` more steps, in the layout given or else found the quickest."""
    make = partial(partial, move, course, group.fixed)
    number = layouts.size(members)
    timings: list[Timing] = []
    if layout is None and number > 1:
        timings = layouts.measured(make, members, shared, steps)
    chosen = layout or (timings[0].layout if timings else "map")
    result = layouts.compiled(chosen, make(steps), members, shared)(members, shared)
    return result, Report(group.fixed, group.traced, number, chosen, tuple(timings))


def tabulate(
    points: Sequence[Point], seeds: int, groups: Sequence[Group], results: Sequence[Result], steps: int
) -> list[TableRecord]:
    """Return the table: of each member the loss of its last step, and the scalars measured on validation data."""
    columns: dict[str, np.ndarray] = {}
    for group, result in zip(groups, results, strict=True):
        rows = (np.array(group.points)[:, None] * seeds + np.arange(seeds)).ravel()
        measured = {f"val_{name}": value for name, value in result.validation.items()}
        for name, value in ({"loss": result.history["loss"][:, -1]} | measured).items():
            if value.ndim == 1:
                columns.setdefault(name, np.full(len(points) * seeds, np.nan))[rows] = np.asarray(value)
    members = [(point, seed) for point in range(len(points)) for seed in range(seeds)]
    return make_records(points, members, steps, columns)
