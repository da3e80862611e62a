"""The address of the first value that is not finite: which phase of a step, and where in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.core import Task, TrainState
from fnnet.training.runs import Course, batch_at
from fnnet.training.steps import advance, step_key

PHASES = ("batch", "activation", "loss", "gradient", "update", "parameter", "state")
"""What a step computes, in its order."""

_WRAPPED = re.compile(r"\w+\(([^()]*)\)")


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
    which they run, the loss, then gradient, update, parameters and the net's state, each by path. Outside the named
    layers infinities may be meant (a masked attention score): they are not looked at. Of a loop, such as ``fn.repeat``
    makes, the output alone is.
    """
    # As the run may end in a batch or a state that no later check lets through, each is looked at in this order.
    counts = jax.device_get(_counts(task, course, ts, data))
    for phase, by_path in zip(PHASES, counts, strict=True):
        for path, (count, size) in by_path:
            if count:
                return Address(int(ts.step), phase, path.value, int(count), int(size))
    return None


@jax.tree_util.register_static
class _Path(NamedTuple):
    """A path among arrays: static, so that a compiled function may return it."""

    value: str


@partial(jax.jit, static_argnums=(0, 1))
def _counts(task: Task, course: Course, ts: TrainState, data: PyTree) -> tuple[list[Any], ...]:
    batch = batch_at(ts, data, course)
    after, made = advance(task, ts, batch, course.micro_batches)
    outcome = {k: v for k, v in made.outcome.logs.items() if k.startswith("loss/")} | {"": made.outcome.loss}
    return (
        _by_path(dict(zip(("x", "y", "weight"), batch, strict=False))),
        [(_Path(path), _count(value)) for path, value in _activations(task, ts, batch)],
        [(_Path(name), _count(value)) for name, value in outcome.items()],
        _by_path(made.grads)[::-1],  # the derivative comes from behind
        _by_path(made.updates),
        _by_path(after.params),
        _by_path(after.state),
    )


def _by_path(part: PyTree) -> list[tuple[_Path, tuple[Array, int]]]:
    return [(path, _count(leaf)) for path, leaf in _leaves(part)]


def _leaves(part: PyTree) -> list[tuple[_Path, Array]]:
    return [(_Path(path), leaf) for path, leaf in tree.flatten(part).items()]


def _count(leaf: Any) -> tuple[Array, int]:
    leaf = jnp.asarray(leaf)
    inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
    bad = jnp.sum(~jnp.isfinite(leaf), dtype=jnp.int32) if inexact else jnp.zeros((), jnp.int32)
    return bad, leaf.size


def _activations(task: Task, ts: TrainState, batch: PyTree) -> list[tuple[str, Array]]:
    """Return the outputs of named layers by path, in the order in which they run."""

    def forward(x: PyTree) -> PyTree:
        return task.net.apply(ts.params, ts.state, x, key=step_key(ts), train=True)[0]

    program = jax.make_jaxpr(forward)(batch[0])
    named = list(_outputs(program.jaxpr, program.consts, jax.tree.leaves(batch[0]), ""))
    return named or [(path.value, leaf) for path, leaf in _leaves(forward(batch[0]))]


def _outputs(jaxpr: Any, consts: Sequence[Any], inputs: list[Any], prefix: str) -> Iterator[tuple[str, Array]]:
    """Yield path and value of what compositions tagged, in order, programs that are called (jit, remat) included."""
    tagged = [equation for equation in jaxpr.eqns if equation.primitive.name == "name" or _called(equation)]
    # The program is asked for more of what it computes anyway: outputs of layers, and inputs of programs within.
    wanted = [_atoms(equation) for equation in tagged]
    more = jaxpr.replace(outvars=[atom for atoms in wanted for atom in atoms])
    values = iter(jax.core.eval_jaxpr(more, consts, *inputs))
    for equation, atoms in zip(tagged, wanted, strict=True):
        scope = "/".join(filter(None, (prefix, _unwrapped(str(equation.source_info.name_stack)))))
        got = [next(values) for _ in atoms]
        if inner := _called(equation):
            yield from _outputs(*inner, got, scope)
        else:
            yield scope, got[0]


def _atoms(equation: Any) -> list[Any]:
    return list(equation.invars if _called(equation) else equation.outvars)


def _called(equation: Any) -> tuple[Any, Sequence[Any]] | None:
    """Return the program that an equation calls once, with its own arguments, and its constants; None for any other."""
    if equation.primitive.name not in ("jit", "pjit", "checkpoint", "remat2"):
        return None
    inner = equation.params["jaxpr"]  # a closed one of jit, an open one, without constants, of checkpoint
    return getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())


def _unwrapped(scope: str) -> str:
    """Return the names of a scope as they are outside transformations, within which one is called vmap(name)."""
    while (plain := _WRAPPED.sub(r"\1", scope)) != scope:
        scope = plain
    return scope
