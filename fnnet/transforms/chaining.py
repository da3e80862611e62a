"""Composition of transforms: the output of one is the input of the next, and their states lie side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from fnnet.core import Optimizer, Params, extras_taken
from fnnet.transforms.arithmetic import narrow, widen


@runtime_checkable
class InitUpdate(Protocol):
    """A pair (init, update) of the signatures of ``Optimizer``, whatever its type."""

    @property
    def init(self) -> Callable[..., Any]:
        """``init(params) -> opt_state``."""

    @property
    def update(self) -> Callable[..., tuple[Params, Any]]:
        """``update(grads, opt_state, params=None, **extra) -> (updates, opt_state)``."""


def chain(*transforms: InitUpdate) -> Optimizer:
    r"""Compose transforms, first to last; their states are a tuple in the same order.

    Takes any ``(init, update)`` pair of the protocol, ours or not. Extra arguments of ``update`` go to every transform
    that takes them. Gradients of 16 bits are widened to float32 for every ``Optimizer``, and narrowed for other pairs
    and at the end: what goes from link to link neither overflows nor vanishes.

    Laws: ``chain()`` is the identity; ``chain(chain(f, g), h)`` and ``chain(f, chain(g, h))`` make the same updates.
    Raises: TypeError if one of the transforms has no ``init`` and ``update``; ValueError, at init, for an average of
    the parameters that is not the last link.

    >>> optimizer = chain(fn.transforms.scale(2.0), fn.transforms.scale(3.0))
    >>> optimizer.update({"w": jnp.ones(1)}, optimizer.init({"w": jnp.ones(1)}))[0]
    {'w': Array([6.], dtype=float32)}
    """
    members = tuple(map(as_optimizer, transforms))
    ours = [isinstance(transform, Optimizer) for transform in transforms]

    def init(params: Params) -> tuple[Any, ...]:
        states = tuple(member.init(params) for member in members)
        if any(_has_last_link(state) for state in states[:-1]):
            raise ValueError("chain: an average of the parameters must be the last link, to see the final updates")
        return states

    def update(
        grads: Params, state: tuple[Any, ...], params: Params = None, **extra: Any
    ) -> tuple[Params, tuple[Any, ...]]:
        _check_parts(state, len(members))
        updates, new_states = widen(grads), []
        for member, own, member_state in zip(members, ours, state, strict=True):
            taken = widen(updates) if own else narrow(updates, grads)
            updates, new_state = member.update(taken, member_state, params, **extra)
            new_states.append(new_state)
        return narrow(updates, grads), tuple(new_states)

    return Optimizer(init, update)


def _has_last_link(state: Any) -> bool:
    def last(node: Any) -> bool:
        return getattr(node, "last_link", False) is True

    return any(last(node) for node in jax.tree.leaves(state, is_leaf=last))


def _check_parts(state: Any, count: int) -> None:
    if not isinstance(state, tuple) or len(state) != count:
        got = f"{len(state)}" if isinstance(state, tuple) else type(state).__name__
        raise ValueError(f"chain: the state must be what init returned, a tuple of {count} parts, got {got}")


def as_optimizer(pair: InitUpdate) -> Optimizer:
    """Return any pair of functions ``init`` and ``update`` as an ``Optimizer`` that ignores extras it does not take.

    A pair that is no ``Optimizer`` gets gradients no wider than the parameters are, as ``jax.grad`` makes them.
    Raises: TypeError if there is no ``init`` or no ``update``.

    >>> plain = fn.Optimizer(lambda params: (), lambda grads, state, params=None: (grads, state))
    >>> as_optimizer(plain).update({"w": jnp.ones(1)}, (), value=0.5)[0]
    {'w': Array([1.], dtype=float32)}
    """
    if not (callable(getattr(pair, "init", None)) and callable(getattr(pair, "update", None))):
        raise TypeError(f"an optimizer must have the functions init and update, got {type(pair).__name__}: {pair!r}")

    own = isinstance(pair, Optimizer)

    def update(grads: Params, state: Any, params: Params = None, **extra: Any) -> tuple[Params, Any]:
        taken = grads if own or params is None else _as_parameters(grads, params)
        return pair.update(taken, state, params, **extras_taken(pair.update, extra))

    return Optimizer(pair.init, update)


def _as_parameters(grads: Params, params: Params) -> Params:
    """Return the gradients, those narrowed that one of our wrappers has widened; what is no array stays as it is."""

    def narrowed(g: Any, p: Any) -> Any:
        arrays = all(hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact) for x in (g, p))
        return g.astype(p.dtype) if arrays and g.dtype.itemsize > p.dtype.itemsize else g

    return jax.tree.map(narrowed, grads, params, is_leaf=lambda node: node is None)


def need_params(where: str, params: Params) -> Params:
    """Return `params`, or raise ValueError if ``update`` was called without them."""
    if params is None:
        raise ValueError(f"{where}: update needs the parameters; call update(grads, opt_state, params)")
    return params


def need_extra(where: str, extra: dict[str, Any], name: str) -> Any:
    """Return the extra argument called `name`, or raise ValueError if ``update`` was called without it."""
    if extra.get(name) is None:
        raise ValueError(f"{where}: update needs {name}; call update(grads, opt_state, params, {name}=...)")
    return extra[name]
