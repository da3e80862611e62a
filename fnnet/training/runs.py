"""A whole run as one pure function of the task, the state and the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, PyTree

from fnnet import sampling, tree
from fnnet.core import Key, Task, TrainState
from fnnet.sampling import Sampler
from fnnet.shapes import check_count
from fnnet.training import records
from fnnet.training.checks import check_task, unpack
from fnnet.training.objectives import Logs
from fnnet.training.records import RECORD, Record
from fnnet.training.steps import advance

_ORDER, _TRANSFORM = 2, 3  # the streams of randomness that the root key is folded into

Transform: TypeAlias = Callable[[Key, PyTree], PyTree]
"""A random change of a batch, ``transform(key, batch) -> batch``: pure, and compiled with the step."""


class Course(NamedTuple):
    """How the steps of a run are made: what is static about it beside the task. Hashable."""

    batch_size: int
    sampler: Sampler
    transform: Transform | None
    micro_batches: int
    record: Record
    on_nonfinite: str


def run(
    task: Task,
    ts: TrainState,
    data: PyTree,
    *,
    steps: int,
    batch_size: int,
    sampler: Sampler | None = None,
    transform: Transform | None = None,
    micro_batches: int = 1,
    record: Record = RECORD,
    on_nonfinite: Literal["go_on", "skip", "stop"] = "go_on",
    remat: bool = False,
) -> tuple[TrainState, Logs]:
    r"""Make `steps` updates on batches of `data`, as one ``lax.scan``: jit, vmap or differentiate it.

    The batch of a step is a function of the root key and ``ts.step``: its rows are those of the `sampler`
    (``fn.sampling.epochs()`` unless another is given), and `transform`, if any, is given a key of that step and the
    batch, to augment it on the device. Hence the law: ``run`` of a + b steps is ``run`` of a steps and then of b steps,
    bit for bit on CPU; and ``vmap`` over keys is each run alone, to rounding (in float32 parameters to 1e-5 after ten
    steps of Adam; a difference then grows as the training lets it).

    It is not compiled by itself: ``jit`` it once, all but `ts` and `data` static, and call that, since each call of
    ``fn.run`` as it is compiles anew.

    `micro_batches`: as in ``step``. `record`: what the history holds. `on_nonfinite`: whether an update that is nan or
    infinite, or whose loss is, is made all the same (``"go_on"``), left out (``"skip"``: the batch is passed over, and
    ``skipped`` is 1 in its row), or ends the run (``"stop"``: the state is that before it, and the rest of the
    history repeats that step's row). `remat`: under differentiation keep about :math:`2\sqrt{steps}` states instead of
    all, and make each step twice.

    Returns the last state and the history, a dict of columns with a row a step (see ``fn.Record``).
    Raises: DataError if leading axes differ, there is no example, or `batch_size` exceeds their number; ValueError for
    negative `steps`; and as ``step`` does.

    >>> task = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.1))
    >>> x, y = jnp.array([[1.0], [2.0]]), jnp.array([[2.0], [4.0]])
    >>> run = jax.jit(fn.run, static_argnames=("task", "steps", "batch_size"))
    >>> ts, history = run(task, fn.init(task, jax.random.key(0), x), (x, y), steps=100, batch_size=2)
    >>> history["loss"].shape, bool(history["loss"][-1] < 0.01), sorted(history)
    ((100,), True, ['grad_norm', 'learning_rate', 'loss', 'param_norm', 'step'])
    """
    course = check_course(task, data, batch_size, sampler, transform, micro_batches, record, on_nonfinite)
    check_count("run", "steps", steps, least=0)

    def body(carry: PyTree, n: Int[Array, ""]) -> tuple[PyTree, Logs]:
        return move(task, course, data, carry, n == 0)

    (ts, *_), rows = _scan(body, _start(task, course, data, ts), steps, remat)
    return ts, tree.map(lambda column: column[records.kept(record, steps)], rows)


def check_course(
    task: Task,
    data: PyTree,
    batch_size: int,
    sampler: Sampler | None,
    transform: Transform | None,
    micro_batches: int,
    record: Record,
    on_nonfinite: str,
) -> Course:
    """Return the course of a run, after a check of all that is known of it before a step is made."""
    check_task(task)
    unpack(data)
    sampling.check_batch_size(sampling.length(data), batch_size)
    check_count("run", "micro_batches", micro_batches)
    records.check_record(record)
    sampler = sampling.epochs() if sampler is None else sampler
    sampling.check_sampler(sampler)
    if transform is not None and not callable(transform):
        raise TypeError(f"run: transform must be a function (key, batch) -> batch, got {transform!r}")
    if on_nonfinite not in ("go_on", "skip", "stop"):
        raise ValueError(f"run: on_nonfinite must be 'go_on', 'skip' or 'stop', got {on_nonfinite!r}")
    return Course(batch_size, sampler, transform, micro_batches, record, on_nonfinite)


class Carry(NamedTuple):
    """What goes from step to step: the state, and of the row before what is held, and all if the run may end in it."""

    ts: TrainState
    held: PyTree
    going: Bool[Array, ""]
    last: Logs


def _start(task: Task, course: Course, data: PyTree, ts: TrainState) -> Carry:
    """Return what the first step is given."""
    held, row = blank(task, course, data, ts)
    return Carry(ts, held, jnp.array(True), row if course.on_nonfinite == "stop" else {})


def blank(task: Task, course: Course, data: PyTree, ts: TrainState) -> tuple[PyTree, Logs]:
    """Return zeros in the place of what is held of a row of the history, and of the row."""
    shapes = jax.eval_shape(lambda ts: first(task, course, data, ts)[1:], ts)
    held, row = tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return held, row


def first(task: Task, course: Course, data: PyTree, ts: TrainState) -> tuple[TrainState, PyTree, Logs]:
    """Return the state after the first step, for its shapes, zeros in the place of what is held, and the row."""
    after, made = advance(task, ts, batch_at(ts, data, course), course.micro_batches)
    held = records.nothing_held(task, course.record, after, made)
    row, _ = records.row(task, course.record, after, made, held, jnp.array(True))
    return after, held, row | ({"skipped": jnp.zeros((), jnp.int32)} if course.on_nonfinite == "skip" else {})


def move(task: Task, course: Course, data: PyTree, carry: Carry, first: Bool[Array, ""]) -> tuple[Carry, Logs]:
    """Make the next update of a run, be it the first, and return its row of the history."""
    ts = carry.ts
    after, made = advance(task, ts, batch_at(ts, data, course), course.micro_batches)
    row, held = records.row(task, course.record, after, made, carry.held, first)
    if course.on_nonfinite == "go_on":
        return Carry(after, held, carry.going, carry.last), row
    fine = jnp.isfinite(made.outcome.loss) & _all_finite(after.params) & _all_finite(after.state)
    if course.on_nonfinite == "skip":
        after = _where(fine, after, ts._replace(step=ts.step + 1))
        return Carry(after, held, carry.going, carry.last), row | {"skipped": 1 - fine.astype(jnp.int32)}
    row = _where(carry.going, row, carry.last)
    going = carry.going & fine
    return Carry(_where(going, after, ts), held, going, row), row


def batch_at(ts: TrainState, data: PyTree, course: Course) -> PyTree:
    """Return the batch that the step at `ts` sees."""
    key = jax.random.fold_in(ts.key, _ORDER)
    rows, real = course.sampler.rows(key, ts.step, sampling.length(data), course.batch_size)
    batch = take(data, rows)
    if real is not None:
        x, y, weight = unpack(batch)
        batch = (x, y, real if weight is None else weight * _leading(real, weight).astype(weight.dtype))
    if course.transform is None:
        return batch
    changed = course.transform(jax.random.fold_in(jax.random.fold_in(ts.key, _TRANSFORM), ts.step), batch)
    unpack(changed)
    return changed


def take(data: PyTree, rows: Int[Array, batch]) -> PyTree:
    """Return the rows of all arrays; `rows` must be in bounds."""
    # Saying that they are in bounds spares a clamp and a select an element.
    return tree.map(lambda leaf: jnp.asarray(leaf).at[rows].get(mode="promise_in_bounds"), data)


def _leading(real: Array, weight: Array) -> Array:
    return real.reshape(-1, *(1,) * (weight.ndim - 1))


def _scan(
    body: Callable[[PyTree, Int[Array, ""]], tuple[PyTree, Logs]], carry: PyTree, steps: int, remat: bool
) -> tuple[PyTree, Logs]:
    numbers = jnp.arange(steps)
    if not remat or steps < 2:
        return lax.scan(body, carry, numbers)
    length = math.isqrt(steps)
    whole = steps - steps % length
    # Inside a scan nothing is shared between the two passes, so there is nothing to keep apart (prevent_cse).
    segment = jax.checkpoint(lambda carry, numbers: lax.scan(body, carry, numbers), prevent_cse=False)
    carry, rows = lax.scan(segment, carry, numbers[:whole].reshape(-1, length))
    rows = tree.map(lambda column: column.reshape(-1, *column.shape[2:]), rows)
    if whole == steps:
        return carry, rows
    carry, rest = lax.scan(segment, carry, numbers[whole:][None])
    return carry, tree.map(lambda a, b: jnp.concatenate([a, b[0]]), rows, rest)


def _where(condition: Bool[Array, ""], a: PyTree, b: PyTree) -> PyTree:
    return tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def _all_finite(params: PyTree) -> Bool[Array, ""]:
    leaves = [leaf for leaf in jax.tree.leaves(params) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]).all() if leaves else jnp.array(True)
