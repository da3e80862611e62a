"""The address of the first value that is not finite: which phase of a step, and where in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
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
    which they run, the loss, then gradient, update, parameters and the net's state, each by path. Layers within
    ``fn.repeat``, or another ``lax.scan``, are looked at turn by turn: ``repeat_0[2]/dense_1`` is of the third. Outside
    the named layers infinities may be meant (a masked attention score): they are not looked at.
    """
    # As the run may end in a batch or a state that no later check lets through, each is looked at in this order.
    counts = jax.device_get(_counts(task, course, ts, data))
    for phase, by_path in zip(PHASES, counts, strict=True):
        for path, count, size in _in_turn(by_path):
            if count:
                return Address(int(ts.step), phase, path, int(count), int(size))
    return None


@jax.tree_util.register_static
class _Path(NamedTuple):
    """A path among arrays, or of a loop and its turns in order: static, so that a compiled function may return it."""

    value: str
    turns: tuple[int, ...] = ()


_Counts: TypeAlias = "list[tuple[_Path, Any]]"
"""By path how many values are not finite, and of how many; by the path of a loop such counts, with an axis of turns."""


def _in_turn(counts: _Counts, at: tuple[int, ...] = (), prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield path, count and size in the order in which they were computed, those of a loop turn by turn."""
    for path, found in counts:
        name = "/".join(filter(None, (prefix, path.value)))
        if isinstance(found, list):
            for turn in path.turns:
                yield from _in_turn(found, (*at, turn), f"{name}[{turn}]")
        else:
            count, size = found
            yield name, np.asarray(count)[at], np.asarray(size)[at]


@partial(jax.jit, static_argnums=(0, 1))
def _counts(task: Task, course: Course, ts: TrainState, data: PyTree) -> tuple[list[Any], ...]:
    batch = batch_at(ts, data, course)
    after, made = advance(task, ts, batch, course.micro_batches)
    outcome = {k: v for k, v in made.outcome.logs.items() if k.startswith("loss/")} | {"": made.outcome.loss}
    return (
        _by_path(dict(zip(("x", "y", "weight"), batch, strict=False))),
        _activations(task, ts, batch),
        [(_Path(name), _count(value)) for name, value in outcome.items()],
        _by_path(made.grads)[::-1],  # the derivative comes from behind
        _by_path(made.updates),
        _by_path(after.params),
        _by_path(after.state),
    )


def _by_path(part: PyTree) -> _Counts:
    return [(_Path(path), _count(leaf)) for path, leaf in tree.flatten(part).items()]


def _count(leaf: Any) -> tuple[Array, int]:
    leaf = jnp.asarray(leaf)
    inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
    bad = jnp.sum(~jnp.isfinite(leaf), dtype=jnp.int32) if inexact else jnp.zeros((), jnp.int32)
    return bad, leaf.size


def _activations(task: Task, ts: TrainState, batch: PyTree) -> _Counts:
    """Return the counts of the outputs of named layers, in the order in which they run."""

    def forward(x: PyTree) -> PyTree:
        return task.net.apply(ts.params, ts.state, x, key=step_key(ts), train=True)[0]

    program = jax.make_jaxpr(forward)(batch[0])
    _, named = _computed(program.jaxpr, program.consts, jax.tree.leaves(batch[0]))
    return named or _by_path(forward(batch[0]))


def _computed(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> tuple[list[Any], _Counts]:
    """Return what a program does, and the counts of what compositions tagged, programs that it calls included."""
    tagged = [equation for equation in jaxpr.eqns if _is_tagged(equation)]
    # The program is asked for more of what it computes anyway: outputs of layers, and inputs of programs within.
    wanted = [equation.invars if _within(equation) else equation.outvars for equation in tagged]
    more = jaxpr.replace(outvars=[*jaxpr.outvars, *(atom for atoms in wanted for atom in atoms)])
    values = iter(jax.core.eval_jaxpr(more, consts, *inputs))
    outputs = [next(values) for _ in jaxpr.outvars]
    counts: _Counts = []
    for equation, atoms in zip(tagged, wanted, strict=True):
        got, scope = [next(values) for _ in atoms], _unwrapped(str(equation.source_info.name_stack))
        if not (inner := _within(equation)):
            counts.append((_Path(scope), _count(got[0])))
        elif equation.primitive.name == "scan":
            counts.append(_of_loop(equation, inner, got, scope))
        else:
            _, within = _computed(*inner, got)
            counts += [(path._replace(value="/".join(filter(None, (scope, path.value)))), n) for path, n in within]
    return outputs, counts


def _of_loop(equation: Any, inner: tuple[Any, Any], inputs: list[Any], scope: str) -> tuple[_Path, _Counts]:
    """Return the counts of the body of a ``lax.scan``, with an axis of its turns."""
    length, fixed, carried = (equation.params[name] for name in ("length", "num_consts", "num_carry"))
    consts, carry, slices = inputs[:fixed], inputs[fixed : fixed + carried], inputs[fixed + carried :]

    def body(carry: list[Any], slices: list[Any]) -> tuple[list[Any], _Counts]:
        outputs, counts = _computed(*inner, [*consts, *carry, *slices])
        return outputs[:carried], counts

    turns = tuple(range(length))
    backwards = equation.params["reverse"]
    _, counts = lax.scan(body, carry, slices, length, reverse=backwards)
    return _Path(scope, turns[::-1] if backwards else turns), counts


def _is_tagged(equation: Any) -> bool:
    inner = _within(equation)
    return equation.primitive.name == "name" or (inner is not None and any(map(_is_tagged, inner[0].eqns)))


def _within(equation: Any) -> tuple[Any, Sequence[Any]] | None:
    """Return the program that an equation calls with its own arguments, once or in turns, and its constants, if any."""
    if equation.primitive.name not in ("jit", "pjit", "checkpoint", "remat2", "scan"):
        return None
    inner = equation.params["jaxpr"]  # a closed one of jit and scan, an open one, without constants, of checkpoint
    return getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())


def _unwrapped(scope: str) -> str:
    """Return the names of a scope as they are outside transformations, within which one is called vmap(name)."""
    while (plain := _WRAPPED.sub(r"\1", scope)) != scope:
        scope = plain
    return scope
