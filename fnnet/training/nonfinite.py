"""The address of the first value that is not finite: which phase of a step, and where in it."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.core import Task, TrainState
from fnnet.tagged import Found, Tag, in_turn, look
from fnnet.training.runs import Course, batch_at
from fnnet.training.steps import advance, step_key

PHASES = ("batch", "activation", "loss", "gradient", "update", "parameter", "state")
"""What a step computes, in its order."""


class Address(NamedTuple):
    """Where the first value that is nan or infinite arose.

    `step`: the updates made before. `phase`: one of ``fnnet.training.PHASES``. `path`: that of the layer (activation),
    of the parameter, of the term of the loss or of the array of the batch. `count` of `size` values are not finite.
    """

    step: int
    phase: str
    path: str
    count: int  # type: ignore[assignment]  # hides tuple.count
    size: int

    def __str__(self) -> str:
        where = f" of {self.path}" if self.path else ""
        return f"step {self.step}: {self.phase}{where}, {self.count} of {self.size} values"


def first_nonfinite(task: Task, ts: TrainState, data: PyTree, course: Course) -> Address | None:
    """Return the address of the first value of the step at `ts` that is not finite; None if there is none.

    The step is made again, and every phase of it looked through: the batch, each named layer's output in the order in
    which they run, the loss, then gradient, update, parameters and the net's state, each by path. Layers within
    ``fn.repeat``, or another ``lax.scan``, are looked at turn by turn: ``repeat_0[2]/dense_1`` is of the third. Outside
    the named layers infinities may be meant (a masked attention score): they are not looked at.
    """
    # As the run may end in a batch or a state that no later check lets through, each is looked at in this order.
    counts = jax.device_get(_counts(task, course, ts, data))
    for phase, by_path in zip(PHASES, counts, strict=True):
        for path, (count, size) in in_turn(by_path):
            if count:
                return Address(int(ts.step), phase, path, int(count), int(size))
    return None


@partial(jax.jit, static_argnums=(0, 1))
def _counts(task: Task, course: Course, ts: TrainState, data: PyTree) -> tuple[list[Any], ...]:
    batch = batch_at(ts, data, course)
    after, made = advance(task, ts, batch, course.micro_batches)
    outcome = {k: v for k, v in made.outcome.logs.items() if k.startswith("loss/")} | {"": made.outcome.loss}
    return (
        _by_path(dict(zip(("x", "y", "weight"), batch, strict=False))),
        _activations(task, ts, batch),
        [(Tag(name), _count(value)) for name, value in outcome.items()],
        _by_path(made.grads)[::-1],  # the derivative comes from behind
        _by_path(made.updates),
        _by_path(after.params),
        _by_path(after.state),
    )


def _by_path(part: PyTree) -> Found:
    return [(Tag(path), _count(leaf)) for path, leaf in tree.flatten(part).items()]


def _count(leaf: Any) -> tuple[Array, int]:
    leaf = jnp.asarray(leaf)
    inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
    bad = jnp.sum(~jnp.isfinite(leaf), dtype=jnp.int32) if inexact else jnp.zeros((), jnp.int32)
    return bad, leaf.size


def _activations(task: Task, ts: TrainState, batch: PyTree) -> Found:
    """Return the counts of the outputs of named layers, in the order in which they run."""

    def forward(x: PyTree) -> PyTree:
        return task.net.apply(ts.params, ts.state, x, key=step_key(ts), train=True)[0]

    def visit(tag: Tag, value: Array) -> tuple[Array, Any]:
        return value, _count(value) if tag.of_layer else None

    prediction, named = look(forward, batch[0], visit=visit)
    return named or _by_path(prediction)
