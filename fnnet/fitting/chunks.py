"""A chunk of a run as one compiled program, whatever its length."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, PyTree

from fnnet import training, tree
from fnnet.core import Task, TrainState
from fnnet.training import Address, Carry, Course

CAPACITY = 4096
"""The most steps a chunk may have, if its buffers of rows are not too large."""

_BYTES = 16 * 2**20  # the most that the rows of a chunk take, but for one row
_LARGE = 16 * 2**20  # bytes that a step reads, beside which a test of the loop's end is nothing


class Chunk(NamedTuple):
    """What a chunk returns: the state, the rows of its steps, how many were made, and whether the state is finite."""

    ts: TrainState
    rows: dict[str, Any]
    made: Int[Array, ""]
    fine: Bool[Array, ""]


def capacity(row: PyTree) -> int:
    """Return the most steps a chunk may have: the length of its buffers of such rows.

    >>> from fnnet.fitting.chunks import capacity
    >>> capacity({"loss": np.zeros(())}), capacity({"loss": np.zeros(()), "logits": np.zeros((128, 1000))})
    (4096, 16)
    """
    return max(1, min(CAPACITY, _BYTES // tree.nbytes(row)))


def block(*numbers: int, size: int = 0, most: int = 32) -> int:
    """Return how many steps are made between two tests of the loop's end: a divisor of all `numbers`, at most `most`.

    On CPU a loop whose length is known when it is compiled costs less a step at small batches than one whose length is
    traced; so the loop of traced length is made of blocks of known length. Steps that read many bytes, `size`, are
    their own blocks: they last long enough for the host to hear of each.

    >>> from fnnet.fitting.chunks import block
    >>> block(625, 600), block(56, 1680), block(19, 60), block(625, 600, size=10**8)
    (25, 28, 1, 1)
    """
    if size > _LARGE:
        return 1
    whole = math.gcd(*numbers)
    return max(n for n in range(1, most + 1) if whole % n == 0) if whole else 1


class Row(NamedTuple):
    """What a row of the history is like: zeros in its shapes, and the names of the columns that are held."""

    blank: dict[str, Any]
    held: tuple[str, ...]


def row_of(task: Task, course: Course, ts: TrainState, data: PyTree) -> Row:
    """Return what a row is like; of `ts` and `data` the shapes alone are looked at."""
    held, blank = _blank.eval_shape(task, course, data, ts)
    return Row(tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), blank), tuple(held))


_blank = jax.jit(training.blank, static_argnums=(0, 1))  # for its memory of shapes: it is never compiled


def run_chunk(
    task: Task,
    course: Course,
    row: Row,
    steps_a_block: int,
    ts: TrainState,
    data: PyTree,
    length: int,
    *,
    last: PyTree = None,
    until_nonfinite: bool = False,
) -> Chunk:
    """Make `length` updates, a multiple of `steps_a_block`.

    One program serves every length. `last` is the row of the step before, None if there is none. With `until_nonfinite`
    the chunk ends with the block in which the loss is not finite, and `ts` stays, to make steps again from; without it
    the buffers of `ts` are reused.
    """
    program = _program(task, course, row.held, steps_a_block, until_nonfinite)
    before = row.blank if last is None else last
    return program(ts, data, np.int32(length), before, np.bool_(last is None))


def first_nonfinite(
    task: Task, course: Course, row: Row, ts: TrainState, data: PyTree, made: int, losses: np.ndarray
) -> tuple[TrainState, Address | None]:
    """Return the state before the first step of a chunk that made something not finite, and the address of that.

    The chunk from `ts` of `made` steps is made again in part, up to the last state that is finite, found by bisection.
    None for the address if the step, made again by itself, is finite after all, as it may be on an accelerator.
    """

    def after(steps: int) -> Chunk:
        return run_chunk(task, course, row, 1, tree.map(jnp.copy, ts), data, steps)

    bad = np.flatnonzero(~np.isfinite(losses))
    low, high = 0, int(bad[0]) if bad.size else made  # the state after `low` steps is finite
    if bad.size and bool(after(high).fine):
        low = high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bool(after(middle).fine) else (low, middle)
    good = after(low).ts
    return good, training.first_nonfinite(task, good, data, course)


@lru_cache(maxsize=256)
def _program(task: Task, course: Course, held: tuple[str, ...], steps_a_block: int, until_nonfinite: bool) -> Any:
    """Return the compiled program of chunks; its options are those under which the machine runs it fastest."""
    function = partial(_chunk, task, course, held, steps_a_block, until_nonfinite)
    donated = () if until_nonfinite else (0,)
    return jax.jit(function, donate_argnums=donated, compiler_options=training.compiler_options())


def _chunk(
    task: Task,
    course: Course,
    held: tuple[str, ...],
    steps_a_block: int,
    until_nonfinite: bool,
    ts: TrainState,
    data: PyTree,
    length: Int[Array, ""],
    last: dict[str, Any],
    first: Bool[Array, ""],
) -> Chunk:
    carry = Carry(ts, {name: last[name] for name in held}, jnp.array(True), {})
    rows = tree.map(lambda leaf: jnp.zeros((capacity(last), *leaf.shape), leaf.dtype), last)

    def going_on(loop: tuple[PyTree, ...]) -> Bool[Array, ""]:
        made, finite, *_ = loop
        return (made < length) & finite

    def steps(loop: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
        made, finite, carry, rows = loop

        def one(carry: PyTree, n: Int[Array, ""]) -> tuple[PyTree, PyTree]:
            return training.move(task, course, data, carry, first & (made + n == 0))

        carry, new = lax.scan(one, carry, jnp.arange(steps_a_block, dtype=made.dtype))
        rows = tree.map(lambda buffer, part: lax.dynamic_update_slice_in_dim(buffer, part, made, 0), rows, new)
        if until_nonfinite:
            finite = jnp.isfinite(new["loss"]).all()
        return made + steps_a_block, finite, carry, rows

    made, _, carry, rows = lax.while_loop(going_on, steps, (jnp.int32(0), jnp.array(True), carry, rows))
    return Chunk(carry.ts, rows, made, _all_finite((carry.ts.params, carry.ts.state)))


def _all_finite(parts: PyTree) -> Bool[Array, ""]:
    leaves = [leaf for leaf in jax.tree.leaves(parts) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]
    # 0 · x is nan where x is not finite: such a product compiles faster than a test of each value, and takes no memory;
    # made at every step, as in `run`, it would be the slower.
    sums = [jnp.vdot(leaf, jnp.zeros_like(leaf)) for leaf in leaves]
    return jnp.stack([jnp.isfinite(each) for each in sums]).all() if sums else jnp.array(True)
