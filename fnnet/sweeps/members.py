"""A member of a sweep: how it begins, and its run as one compiled program, whatever part of its steps it makes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, PyTree

from fnnet import training, tree
from fnnet.core import Key, Task, TrainState
from fnnet.sampling import Sampler
from fnnet.sweeps.space import Point
from fnnet.training import Record

LEAN = Record(every=0)
_MOST_IN_A_BLOCK, _MOST_IN_A_PART = 32, 256

Values: TypeAlias = dict[str, Array]
"""The traced hyperparameters of a member, by name."""


class Options(NamedTuple):
    """The options of ``run`` that a sweep takes."""

    sampler: Sampler | None = None
    transform: Callable[[Key, PyTree], PyTree] | None = None
    micro_batches: int = 1
    record: Record = LEAN
    on_nonfinite: str = "go_on"


class Course(NamedTuple):
    """What all members of a sweep share beside the data."""

    make_task: Callable[..., Task]
    validated: bool
    batch_size: int
    options: Options


class Progress(NamedTuple):
    """How far a member is: what its next step is given, and what is measured after the last."""

    carry: training.Carry
    validation: dict[str, Array]


class Result(NamedTuple):
    """What a member's part of a run gives."""

    state: TrainState
    history: dict[str, Any]
    validation: dict[str, Array]


Member: TypeAlias = tuple[Values, Progress]

Rows: TypeAlias = dict[str, Any]
"""Columns of a history; before the first step, zeros in the shapes of a row."""


def task_of(course: Course, fixed: Point, values: Values) -> Task:
    """Return the task of a member."""
    return course.make_task(**fixed, **values)


def plan_of(course: Course, task: Task, data: PyTree) -> training.Course:
    """Return how the steps of a member's run are made."""
    return training.check_course(task, data, course.batch_size, *course.options)


def begin(course: Course, fixed: Point, values: Values, key: Key, x: PyTree) -> TrainState:
    """Return a member's state at step 0."""
    return training.init(task_of(course, fixed, values), key, x)


def opened(course: Course, fixed: Point, values: Values, ts: TrainState, shared: PyTree) -> tuple[Member, Rows]:
    """Return a member before its first step from `ts`."""
    task, (data, validation) = task_of(course, fixed, values), shared
    plan = plan_of(course, task, data)
    held, row = training.blank(task, plan, data, ts)
    carry = training.Carry(ts, held, jnp.array(True), row if plan.on_nonfinite == "stop" else {})
    last = jax.eval_shape(lambda ts: measured(course, task, ts, validation), ts)
    return (values, Progress(carry, tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), last))), row


def move(
    course: Course,
    fixed: Point,
    steps: int,
    row: Rows,
    member: Member,
    shared: PyTree,
    start: Int[Array, ""],
    stop: Int[Array, ""],
) -> tuple[Member, Rows]:
    """Return a member after the steps from `start` to `stop` of its `steps`, and their rows, filled up to `capacity`.

    One program serves every part of the run; its bounds are multiples of ``block(steps)``. `row` has the shapes of a
    row. What is measured is measured after the last step.
    """
    (values, progress), (data, validation) = member, shared
    task, length = task_of(course, fixed, values), block(steps)
    plan = plan_of(course, task, data)

    def one(carry: training.Carry, n: Int[Array, ""]) -> tuple[training.Carry, Rows]:
        return training.move(task, plan, data, carry, n == 0)

    def some(loop: tuple[Any, ...]) -> tuple[Any, ...]:
        made, carry, rows = loop
        carry, new = lax.scan(one, carry, made + jnp.arange(length, dtype=made.dtype))
        place = made - start
        rows = tree.map(lambda buffer, part: lax.dynamic_update_slice_in_dim(buffer, part, place, 0), rows, new)
        return made + length, carry, rows

    rows = tree.map(lambda leaf: jnp.zeros((capacity(steps), *leaf.shape), leaf.dtype), row)
    _, carry, rows = lax.while_loop(lambda loop: loop[0] < stop, some, (start, progress.carry, rows))
    if not course.validated:
        return (values, Progress(carry, {})), rows
    last = lax.cond(stop == steps, lambda: measured(course, task, carry.ts, validation), lambda: progress.validation)
    return (values, Progress(carry, last)), rows


def block(steps: int) -> int:
    """Return how many steps are made between two tests of the loop's end: a divisor of `steps`, of at most 32.

    A loop of known length costs less a step than one whose length is traced.

    >>> block(1000), block(7), block(61)
    (25, 7, 1)
    """
    return max(n for n in range(1, _MOST_IN_A_BLOCK + 1) if steps % n == 0)


def capacity(steps: int) -> int:
    """Return the most steps of a part of a run: whole blocks, and at most 256, so that its rows are few."""
    return _MOST_IN_A_PART // block(steps) * block(steps)


def begun(
    course: Course, fixed: Point, points: int, seeds: int, values: Values, key: Key, shared: PyTree
) -> tuple[Member, Rows]:
    """Return all members of `points` points, whose numbers are `values`, before their first step."""

    def one(values: Values, key: Key, _: None) -> tuple[Member, Rows]:
        return opened(course, fixed, values, begin(course, fixed, values, key, shared[0][0]), shared)

    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(seeds))
    return _flat(_crossed(one, points, seeds)(values, keys, None))


def resumed(
    course: Course, fixed: Point, seeds: int, values: Values, ts: TrainState, shared: PyTree
) -> tuple[Member, Rows]:
    """Return all members, whose numbers are `values`, one a point, before their next step from `ts`."""

    def one(values: Values, _: None, ts: TrainState) -> tuple[Member, Rows]:
        return opened(course, fixed, values, ts, shared)

    return _flat(_crossed(one, len(ts.step) // seeds, seeds)(values, None, _table(ts, seeds)))


def move_all(
    course: Course,
    fixed: Point,
    steps: int,
    row: Rows,
    seeds: int,
    members: Member,
    shared: PyTree,
    start: Int[Array, ""],
    stop: Int[Array, ""],
) -> tuple[Member, Rows]:
    """Return what `move` does of each member, batched: those of point 0 with each seed, then those of point 1.

    What members of one seed share, the key and the number of the step, and so the order of the data, is not batched
    over the points: each batch is gathered once a seed.
    """
    alike = course.options.on_nonfinite != "stop"  # else a member may be at a step of its own

    def one(values: Values, by_seed: dict[str, Any], progress: Progress) -> tuple[Member, Rows]:
        ts = progress.carry.ts._replace(**by_seed)
        progress = progress._replace(carry=progress.carry._replace(ts=ts))
        return move(course, fixed, steps, row, (values, progress), shared, start, stop)

    values, progress = _table(members, seeds)
    ts = progress.carry.ts
    by_seed = {"key": ts.key[0]} | ({"step": ts.step[0]} if alike else {})
    apart: Any = ts._replace(**dict.fromkeys(by_seed))
    by_both = progress._replace(carry=progress.carry._replace(ts=apart))
    values = tree.map(lambda leaf: leaf[:, 0], values)
    return _flat(_crossed(one, len(ts.step), seeds)(values, by_seed, by_both))


def _crossed(function: Callable[..., PyTree], points: int, seeds: int) -> Callable[..., PyTree]:
    """Return ``function(of a point, of a seed, of both)`` over the axes (points,), (seeds,) and (points, seeds)."""
    of_a_seed = jax.vmap(function, in_axes=(0, None, 0), axis_size=points)
    if seeds == 1:  # a program without the axis compiles in half the time

        def alone(of_point: PyTree, of_seed: PyTree, of_both: PyTree) -> PyTree:
            first, column = tree.map(lambda leaf: leaf[0], of_seed), tree.map(lambda leaf: leaf[:, 0], of_both)
            return tree.map(lambda leaf: leaf[:, None], of_a_seed(of_point, first, column))

        return alone
    return jax.vmap(of_a_seed, in_axes=(None, 0, 1), out_axes=1, axis_size=seeds)


def _table(members: PyTree, seeds: int) -> PyTree:
    return tree.map(lambda leaf: leaf.reshape(-1, seeds, *leaf.shape[1:]), members)


def _flat(table: PyTree) -> PyTree:
    return tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), table)


def measured(course: Course, task: Task, ts: TrainState, validation: PyTree) -> dict[str, Array]:
    """Return what is measured of a member after its last step."""
    return training.measure(task, ts, validation, batch_size=256) if course.validated else {}
