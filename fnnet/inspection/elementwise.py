"""Which layers of a traced program act on each element alone: the activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.core import Literal as Constant

from fnnet.tagged import Tag, called, handed_on, scope_of, tag_of

_SAME = frozenset({"convert_element_type", "copy", "reduce_precision"})
_BENDING = """
abs acos acosh add and asin asinh atan atan2 atanh cbrt ceil clamp cos cosh div eq erf erfc erf_inv exp exp2 expm1
floor ge gt integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg not or pow rem round rsqrt
select_n sign sin sinh sqrt square sub tan tanh xor
"""
_ELEMENTWISE = _SAME.union(_BENDING.split())
STILL = ("custom_vjp_call",)
"""What has no derivative forwards, and so no slope."""


class Origin(NamedTuple):
    """What is, element by element, a function of the value at `path` alone: that value itself unless it is `bent`."""

    path: str
    bent: bool = False


Source: TypeAlias = Origin | Literal["constant", "mixed"]


def elementwise(function: Callable[..., Any], *arguments: Any, of: int) -> set[str]:
    """Return the paths of the layers whose output is, element by element, a function of one named value alone.

    That value is another layer's output, one within a layer, or the argument in place `of`. What passes a value on as
    it is, is none of them, nor is what contains a ``jax.custom_vjp``. It is read from the program: nothing is computed.

    >>> net = fn.serial(fn.dense(3), jnp.tanh, jax.nn.softmax, lambda v: 2 * v - 1)
    >>> params, _ = net.init(jax.random.key(0), jnp.ones((2, 4)))
    >>> sorted(elementwise(net.__call__, params, jnp.ones((2, 4)), of=1))
    ['lambda_0', 'tanh_0']
    """
    sources: list[Source] = []
    for place, argument in enumerate(arguments):
        for n, leaf in enumerate(jax.tree.leaves(argument)):
            traced = place == of and jnp.issubdtype(leaf.dtype, jnp.inexact)
            sources.append(Origin(f"argument {n}") if traced else "mixed")
    found: set[str] = set()
    _follow(jax.make_jaxpr(function)(*arguments).jaxpr, sources, Tag(""), found)
    return found


def _follow(jaxpr: Any, inputs: Sequence[Source], outer: Tag, found: set[str]) -> list[Source]:
    """Return the sources of what a program returns, and add the paths of elementwise layers to `found`."""
    sources: dict[Any, Source] = dict.fromkeys(jaxpr.constvars, "constant")
    sources |= zip(jaxpr.invars, inputs, strict=True)
    for equation in jaxpr.eqns:
        given: list[Source] = ["constant" if isinstance(atom, Constant) else sources[atom] for atom in equation.invars]
        made = _made(equation, given, outer, found)
        sources |= zip(equation.outvars, made, strict=True)
    return ["constant" if isinstance(atom, Constant) else sources[atom] for atom in jaxpr.outvars]


def _made(equation: Any, given: list[Source], outer: Tag, found: set[str]) -> list[Source]:
    kind = equation.primitive.name
    if kind == "name":
        tag = tag_of(equation, outer)
        if tag.of_layer and isinstance(given[0], Origin) and given[0].bent:
            found.add(tag.path)
        return [Origin(tag.path) if jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.inexact) else "mixed"]
    if kind == "scan":
        return _loop(equation, given, scope_of(equation, outer), found)
    inner = equation.params.get("call_jaxpr") if kind == "custom_jvp_call" else (called(equation) or (None,))[0]
    if inner is not None:
        return _follow(getattr(inner, "jaxpr", inner), given, scope_of(equation, outer), found)
    if all(source == "constant" for source in given):
        return ["constant" for _ in equation.outvars]
    origins = [source for source in given if isinstance(source, Origin)]
    shapes = {atom.aval.shape for atom, source in zip(equation.invars, given, strict=True) if source != "constant"}
    if (
        kind not in _ELEMENTWISE
        or "mixed" in given
        or len({origin.path for origin in origins}) > 1
        or shapes != {equation.outvars[0].aval.shape}
    ):
        return ["mixed" for _ in equation.outvars]
    return [origins[0] if kind in _SAME else Origin(origins[0].path, bent=True)]


def _loop(equation: Any, given: list[Source], scope: Tag, found: set[str]) -> list[Source]:
    """Follow the body of a loop; what it carries is a named value in each turn if it is one before and after each."""
    body, fixed, carried = (equation.params[name] for name in ("jaxpr", "num_consts", "num_carry"))
    start = given[fixed : fixed + carried]
    carry = [_named(source, Origin(f"{scope.path} carries {n}")) for n, source in enumerate(start)]
    handed = handed_on(equation, scope)
    slices: list[Source] = ["constant" if source == "constant" else "mixed" for source in given[fixed + carried :]]
    while True:
        within: set[str] = set()
        outputs = _follow(body.jaxpr, [*given[:fixed], *carry, *slices], scope, within)
        if handed is not None:
            within |= {handed.path} if isinstance(outputs[0], Origin) and outputs[0].bent else set()
            outputs[0] = Origin(handed.path)
        settled = [_named(source, before) for source, before in zip(outputs[:carried], carry, strict=True)]
        if settled == carry:
            found |= within
            return [_named(source, source) if n < carried else "mixed" for n, source in enumerate(outputs)]
        carry = settled


def _named(source: Source, result: Source) -> Source:
    """Return `result` if `source` is a named value as it is."""
    return result if isinstance(source, Origin) and not source.bent else "mixed"
