"""Tagged values, read from the traced program: which there are, and the program run with a look at each.

Compositions tag each child's output with its name, in a scope of that name; a layer may tag a value within it by
another name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.core import Literal
from jaxtyping import Array

_WRAPPED = re.compile(r"\b(?:vmap|jvp|transpose)\(([^()]*)\)")
_CALLS = ("jit", "pjit", "checkpoint", "remat2", "scan")


@jax.tree_util.register_static
class Tag(NamedTuple):
    """The place of a value: its path, and whether it is the output of the layer of that path or a value within one.

    Each of the `loops` around it puts an axis of turns in front of what is kept. It is `alone` if nothing else holds
    what a layer makes turn by turn. Static, as a ``Loop`` is, so that a compiled function may return it.
    """

    path: str
    of_layer: bool = True
    loops: int = 0
    alone: bool = False


@jax.tree_util.register_static
class Loop(NamedTuple):
    """A loop within which there are tags: its path, and its turns in the order in which they are made."""

    path: str
    turns: tuple[int, ...]


Found: TypeAlias = "list[tuple[Tag | Loop, Any]]"
"""What was kept of each tag, in the order in which they run; of a loop a list of such, every leaf by turns."""

Visit: TypeAlias = Callable[[Tag, Array], tuple[Array, Any]]
"""``(tag, value) -> (the value to go on with, what to keep or None)``."""


def tags(function: Callable[..., Any], *arguments: Any) -> list[tuple[Tag, Any]]:
    """Return every tag in ``function(*arguments)`` with the shape of its value, programs within programs included.

    Nothing is computed; arguments may be ``jax.ShapeDtypeStruct``. The body of a loop stands once.

    >>> net = fn.serial(fn.dense(4, activation=jnp.tanh))
    >>> params, _ = net.init(jax.random.key(0), jnp.ones((2, 3)))
    >>> [(tag.path, tag.of_layer, value.shape) for tag, value in tags(net.__call__, params, jnp.ones((2, 3)))]
    [('dense_0/z', False, (2, 4)), ('dense_0', True, (2, 4))]
    """
    return list(_tags(jax.make_jaxpr(function)(*arguments).jaxpr, Tag(""), handed=False))


def look(
    function: Callable[..., Any],
    *arguments: Any,
    visit: Visit,
    added: Mapping[str, Array] = {},
    still: Collection[str] = (),
) -> tuple[Any, Found]:
    """Return ``function(*arguments)`` and what `visit` kept of each tagged value, which it may replace.

    Before the visit, that of `added` is added to the first value of its path; within a loop it has an axis of turns in
    front. Tags are seen in what the function calls once or in turns (``jit``, ``checkpoint``, ``lax.scan``); within
    ``lax.cond`` and ``lax.while_loop`` they are not. What a loop hands on has the path ``a`` in it where a layer alone
    is its body, which nothing else names. The primitives `still` are constants to whoever differentiates.

    >>> net = fn.serial(jnp.square, jnp.negative)
    >>> y, found = look(lambda x: net({}, x), jnp.array(3.0), visit=lambda tag, value: (value + 1, value))
    >>> float(y), [(tag.path, float(value)) for tag, value in found]
    (-9.0, [('square_0', 9.0), ('negative_0', -10.0)])
    """
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    how = _How(visit, frozenset(still))
    outputs, found = _run(program.jaxpr, program.consts, jax.tree.leaves(arguments), how, dict(added), Tag(""))
    return jax.tree.unflatten(jax.tree.structure(shapes), outputs), found


def flat(found: Found) -> list[tuple[Tag, Any]]:
    """Return what was kept, in order, without the loops around it."""
    return [pair for place, kept in found for pair in (flat(kept) if isinstance(place, Loop) else [(place, kept)])]


def by_path(found: Found) -> dict[str, Any]:
    """Return what was kept by path, in order; of a path with several values the first (a ``Masked``'s values).

    >>> by_path([(Tag("a"), 1), (Loop("b", (0, 1)), [(Tag("b/c"), [2, 3])]), (Tag("a"), 4)])
    {'a': 1, 'b/c': [2, 3]}
    """
    values: dict[str, Any] = {}
    for tag, kept in flat(found):
        values.setdefault(tag.path, kept)
    return values


def map_found(function: Callable[[Tag, Any], Any], found: Found) -> Found:
    """Return ``function(tag, what was kept)`` of every tag in the place of what was kept."""
    return [
        (place, map_found(function, kept) if isinstance(place, Loop) else function(place, kept))
        for place, kept in found
    ]


def in_turn(found: Found) -> Iterator[tuple[str, Any]]:
    """Yield path and what was kept, in the order in which they were made, those of a loop turn by turn.

    >>> list(in_turn([(Tag("a"), 1), (Loop("b", (0, 1)), [(Tag("b/c", True, 1), np.array([2, 3]))])]))
    [('a', 1), ('b[0]/c', np.int64(2)), ('b[1]/c', np.int64(3))]
    """
    return _in_turn(found, (), "", "")


def _in_turn(found: Found, at: tuple[int, ...], outer: str, name: str) -> Iterator[tuple[str, Any]]:
    for place, kept in found:
        path = _joined(name, place.path.removeprefix(outer).removeprefix("/"))
        if isinstance(place, Loop):
            for turn in place.turns:
                yield from _in_turn(kept, (*at, turn), place.path, f"{path}[{turn}]")
        else:
            yield path, jax.tree.map(lambda leaf: leaf[at], kept) if at else kept


class _How(NamedTuple):
    visit: Visit
    still: frozenset[str]


def _run(
    jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any], how: _How, added: dict[str, Array], outer: Tag
) -> tuple[list[Any], Found]:
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def read(atoms: Iterable[Any]) -> list[Any]:
        return [atom.val if isinstance(atom, Literal) else values[atom] for atom in atoms]

    found: Found = []
    for equation in jaxpr.eqns:
        inner = called(equation)
        if equation.primitive.name == "name":
            (value,), tag = read(equation.invars), tag_of(equation, outer)
            if tag.path in added:
                value = value + added.pop(tag.path)
            value, kept = how.visit(tag, value)
            outputs = [value]
            found += [] if kept is None else [(tag, kept)]
        elif inner is None or not any(_tags(inner[0], outer)):
            # As a program of its own, since how an equation is evaluated differs between versions of JAX.
            variables = [atom for atom in equation.invars if not isinstance(atom, Literal)]
            alone = jaxpr.replace(constvars=[], invars=variables, outvars=equation.outvars, eqns=[equation])
            given = read(variables)
            if how.still and not how.still.isdisjoint(_primitives(equation)):
                given = jax.lax.stop_gradient(given)
            outputs = jax.core.eval_jaxpr(alone, [], *given)
        elif equation.primitive.name == "scan":
            outputs, within = _loop(equation, inner, read(equation.invars), how, added, scope_of(equation, outer))
            found.append(within)
        else:
            outputs, several = _run(*inner, read(equation.invars), how, added, scope_of(equation, outer))
            found += several
        values |= zip(equation.outvars, outputs, strict=True)
    return read(jaxpr.outvars), found


def _loop(
    equation: Any, inner: tuple[Any, Any], inputs: list[Any], how: _How, added: dict[str, Array], scope: Tag
) -> tuple[list[Any], tuple[Loop, Found]]:
    length, fixed, carried = (equation.params[name] for name in ("length", "num_consts", "num_carry"))
    consts, carry, slices = inputs[:fixed], inputs[fixed : fixed + carried], inputs[fixed + carried :]
    handed = handed_on(equation, scope)
    scope = scope._replace(loops=scope.loops + 1)
    tags = [tag for tag, _ in _tags(inner[0], scope)] + ([handed] if handed else [])
    own = {tag.path: added.pop(tag.path) for tag in tags if tag.path in added}

    def body(carry: list[Any], slices: tuple[list[Any], dict[str, Array]]) -> tuple[list[Any], Any]:
        outputs, found = _run(*inner, [*consts, *carry, *slices[0]], how, dict(slices[1]), scope)
        if handed:
            value, kept = how.visit(handed, outputs[0] + slices[1].get(handed.path, 0))
            outputs, found = [value, *outputs[1:]], [*found, *([] if kept is None else [(handed, kept)])]
        return outputs[:carried], (outputs[carried:], found)

    backwards = equation.params["reverse"]
    carry, (stacked, found) = jax.lax.scan(body, carry, (slices, own), length, reverse=backwards)
    turns = tuple(range(length))
    return [*carry, *stacked], (Loop(scope.path, turns[::-1] if backwards else turns), found)


def _tags(jaxpr: Any, outer: Tag, *, handed: bool = True) -> Iterator[tuple[Tag, Any]]:
    for equation in jaxpr.eqns:
        scope = scope_of(equation, outer)
        if equation.primitive.name == "scan":
            scope = scope._replace(loops=scope.loops + 1)
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(inner):
                yield from _tags(getattr(inner, "jaxpr", inner), scope, handed=handed)
        if handed and equation.primitive.name == "scan" and (tag := handed_on(equation, scope_of(equation, outer))):
            yield tag, equation.params["jaxpr"].out_avals[0]
        if equation.primitive.name == "name":
            yield tag_of(equation, outer), equation.outvars[0].aval


def tag_of(equation: Any, outer: Tag) -> Tag:
    """Return the place of the value that an equation tags, in a program whose own place is `outer`."""
    scope, name = scope_of(equation, outer), equation.params["name"]
    if scope.path.rpartition("/")[2] == name:
        return scope
    return scope._replace(path=_joined(scope.path, name), of_layer=False)


def handed_on(equation: Any, scope: Tag) -> Tag | None:
    """Return the place of what a loop hands on from turn to turn, if the body names values within a layer alone.

    Such is ``fn.repeat(fn.dense(...))``: the layer's output has no name of its own, since no composition is there to
    give one.
    """
    body, carried = equation.params["jaxpr"], equation.params["num_carry"]
    within = [tag for tag, _ in _tags(body.jaxpr, scope)]
    named = any(tag.of_layer or tag.alone for tag in within)
    if carried != 1 or not within or named or not jnp.issubdtype(body.out_avals[0].dtype, jnp.inexact):
        return None
    stacked = body.jaxpr.outvars[0] in body.jaxpr.outvars[1:]  # as of a recurrent net: its output has all turns
    return Tag(_joined(scope.path, "a"), False, scope.loops + 1, alone=not stacked)


def scope_of(equation: Any, outer: Tag) -> Tag:
    """Return the names of an equation's scope as they are outside transformations, which call one vmap(name)."""
    scope = str(equation.source_info.name_stack)
    while (plain := _WRAPPED.sub(r"\1", scope)) != scope:
        scope = plain
    return outer._replace(path=_joined(outer.path, scope))


def _joined(*names: str) -> str:
    return "/".join(filter(None, names))


def _primitives(equation: Any) -> Iterator[str]:
    yield equation.primitive.name
    for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
        program: Any = getattr(inner, "jaxpr", inner)
        for one in getattr(program, "eqns", ()):
            yield from _primitives(one)


def _is_program(thing: Any) -> bool:
    return hasattr(thing, "eqns") or hasattr(thing, "jaxpr")


def called(equation: Any) -> tuple[Any, Sequence[Any]] | None:
    """Return the program that an equation calls with its own arguments, once or in turns, and its constants, if any."""
    if equation.primitive.name not in _CALLS:
        return None
    inner = equation.params["jaxpr"]  # a closed one of jit and scan, an open one, without constants, of checkpoint
    return getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
