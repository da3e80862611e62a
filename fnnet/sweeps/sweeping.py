"""A sweep: many runs, as few programs as their structure allows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet import sampling, training, tree
from fnnet.core import Key, Task, TrainState
from fnnet.errors import near_matches
from fnnet.shapes import check_count, check_key
from fnnet.sweeps import layouts, saving
from fnnet.sweeps.groups import Group, make_groups, values_of
from fnnet.sweeps.layouts import LAYOUTS, LayoutName, Moves, Timing
from fnnet.sweeps.members import LEAN, Course, Options, Result, begun, block, capacity, move, move_all, resumed
from fnnet.sweeps.space import Axes, Point, as_points
from fnnet.sweeps.table import TableRecord, make_records, ranked, to_pandas
from fnnet.training import Record


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
    space: Axes | Sequence[Point],
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
    on_progress: Callable[[list[TableRecord]], None] | None = None,
    **options: Any,
) -> Sweep:
    """Train ``make_task(**point)`` for every point of the space and every seed, and return all results.

    `space` is a dict of lists (a grid) or a list of points (``fn.sweeps.grid``, ``fn.sweeps.sample``). Hyperparameters
    that are numbers, not all whole, become arguments of one program; those that change shapes or structure, whole
    numbers, text and all other values make groups, each a program of its own. Which numbers can be arguments is found
    by tracing; the names in `static` are not tried. `make_task` must be pure: it is called with traced numbers too.

    Seed s is ``fold_in(key, s)`` for every point, so that points are compared from the same draws. `layout` is one of
    ``"vmap"`` (one batched program; on CPU each processor has it with a part of the members), ``"map"`` (one member
    after another), ``"threads"`` (the program of a member, on each processor) and ``"devices"`` (the batched program,
    on each device). Without it vmap makes the first steps, by which it is judged, the others are tried while that may
    pay, and the quickest goes on. `validation` is measured at the end. `options` are those of ``run`` but `remat`.

    `points_per_program` bounds the memory: a group of more points is several programs. With a `directory` each finished
    group is written there, and a call of the same sweep takes from it what is there; that the functions have not
    changed is not checked, but for the shapes of what they give. `on_progress` is given the table so far after
    each part of a group, of some hundred steps: nan where nothing is known yet, and 0 steps.

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
    setting, groups = prepare(
        make_task, space, data, key, steps, batch_size, seeds, validation, layout, static, options
    )
    if points_per_program is not None:
        check_count("sweep", "points_per_program", points_per_program)
        groups = [part for group in groups for part in _parts(group, points_per_program)]
    place = None
    if directory is not None:
        settings = {"steps": steps, "parts": points_per_program, "static": list(static)}
        place = open_directory(directory, setting, settings)
    results, reports = [], []
    columns: list[dict[str, Any]] = []

    def tell(made: int, latest: dict[str, Any]) -> None:
        if on_progress is not None:
            begun = [*columns, latest]
            on_progress(tabulate(setting.points, seeds, groups, begun, [steps] * len(columns) + [made]))

    for number, group in enumerate(groups):
        file = None if place is None else place / f"group_{number:05d}.npz"
        told = None if on_progress is None else lambda made, rows: tell(made, {"loss": rows["loss"][:, -1]})
        result, report = advance(setting, group, steps, file=file, told=told)
        results.append(result)
        reports.append(report)
        tell(steps, measures(result))
        columns.append(measures(result))
    table = tabulate(setting.points, seeds, groups, columns, [steps] * len(groups))
    return Sweep(tuple(setting.points), seeds, table, tuple(groups), tuple(results), tuple(reports))


class Setting(NamedTuple):
    """What all parts of a sweep have in common; `shared` is the data and those of validation."""

    course: Course
    points: list[Point]
    shared: PyTree
    key: Key
    seeds: int
    layout: str | None


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
) -> tuple[Setting, list[Group]]:
    """Return the setting and the groups of its points, after a check of all that is known before anything is run."""
    points = as_points(space)
    check_key("sweep", key, when="")
    check_count("sweep", "steps", steps)
    check_count("sweep", "seeds", seeds)
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"sweep: layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    if unknown := sorted(set(options) - set(Options._fields)):
        raise TypeError(f"sweep: there is no option {unknown[0]!r}; {near_matches(unknown[0], Options._fields)}")
    course = Course(make_task, validation is not None, batch_size, Options(**options))
    shared = share(data, validation)
    return Setting(course, points, shared, key, seeds, layout), make_groups(course, points, static, shared)


def open_directory(directory: str | os.PathLike[str], setting: Setting, settings: dict[str, Any]) -> Path:
    """Return the directory of a sweep of this setting and these further settings; DataError if it is of another."""
    course = setting.course
    settings |= {"seeds": setting.seeds, "batch_size": course.batch_size, **course.options._asdict()}
    digest = saving.fingerprint(setting.key, setting.points, settings, setting.shared)
    return saving.open_directory(directory, digest)


def share(data: PyTree, validation: PyTree | None) -> PyTree:
    """Return the arrays that all members are given."""
    data = getattr(data, "arrays", data)
    training.unpack(data)
    sampling.length(data)
    if validation is not None:
        validation = getattr(validation, "arrays", validation)
        training.unpack(validation)
        sampling.length(validation, where="validation")
    return tree.map(jnp.asarray, (data, validation))


def advance(
    setting: Setting,
    group: Group,
    steps: int,
    *,
    states: TrainState | None = None,
    file: Path | None = None,
    told: Callable[[int, PyTree], None] | None = None,
) -> tuple[Result, Report]:
    """Return the results of a group's members after `steps` more steps from `states`, or from the start.

    They are taken from the file if it is there, and written to it if not. `told` is given the steps made and the rows
    of the last of them, part after part.
    """
    course, points, shared, key, seeds, layout = setting
    first = partial(begun, course, group.fixed, len(group.points), seeds)
    later = partial(resumed, course, group.fixed, seeds)
    arguments = (values_of(points, group), key if states is None else states, shared)
    make = jax.jit(first if states is None else later).lower(*arguments)
    kept = training.kept(course.options.record, steps)
    if file is not None and file.exists():
        (_, progress), row = make.out_info
        rows = tree.map(lambda leaf: _rows_like(leaf, len(kept)), row)
        result, note = saving.load(file, Result(progress.carry.ts, rows, progress.validation))
        layout, timings = note["layout"], tuple(Timing(*timing) for timing in note["timings"])
    else:
        row = tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), make.out_info[1])
        one = partial(move, course, group.fixed, steps, row)
        several = partial(move_all, course, group.fixed, steps, row, seeds)
        moves = Moves(one, several, seeds, block(steps), capacity(steps))
        (_, progress), rows, layout, timings = layouts.run(moves, make, arguments, shared, steps, layout, told)
        rows = tree.map(lambda column: column[:, kept], rows)
        result = tree.map(jnp.asarray, Result(progress.carry.ts, rows, progress.validation))
        if file is not None:
            saving.save(file, result, {"layout": layout, "timings": timings})
    return result, Report(group.fixed, group.traced, len(group.points) * seeds, layout, timings)


def _rows_like(row: Any, number: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((row.shape[0], number, *row.shape[1:]), row.dtype)


def _parts(group: Group, most: int) -> list[Group]:
    return [group._replace(points=group.points[n : n + most]) for n in range(0, len(group.points), most)]


def measures(result: Result) -> dict[str, Any]:
    """Return the columns of a group in the table: the loss of the last step, and what was measured on validation data.

    Those that are not a number a member are left out.
    """
    measured = {f"val_{name}": value for name, value in result.validation.items()}
    columns = {"loss": np.asarray(result.history["loss"])[:, -1]} | measured
    return {name: value for name, value in columns.items() if value.ndim == 1}


def tabulate(
    points: Sequence[Point],
    seeds: int,
    groups: Sequence[Group],
    columns: Sequence[dict[str, Any]],
    made: Sequence[int],
) -> list[TableRecord]:
    """Return the table of the columns of the first groups and the steps that they made; of the others nan, and 0."""
    count = len(points) * seeds
    values: dict[str, np.ndarray] = {}
    steps = np.zeros(count, int)
    for group, known, number in zip(groups, columns, made, strict=False):
        rows = (np.array(group.points)[:, None] * seeds + np.arange(seeds)).ravel()
        steps[rows] = number
        for name, value in known.items():
            values.setdefault(name, np.full(count, np.nan))[rows] = np.asarray(value)
    members = [(point, seed) for point in range(len(points)) for seed in range(seeds)]
    return make_records(points, members, steps, values)
