"""Decay of weights, and what chooses the leaves that a transform acts on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.errors import PathError
from fnnet.transforms.arithmetic import narrow, times, widen
from fnnet.transforms.chaining import need_params
from fnnet.transforms.scalars import Number, as_leaves

Mask: TypeAlias = str | Iterable[str] | PyTree | Callable[[Params], PyTree] | None
"""Patterns of paths (``"*/kernel"``, or a list of them), a tree of booleans like the parameters, a function from
parameters to one, or None for every leaf."""


class DecayState(NamedTuple):
    """The decay."""

    hyperparams: dict[str, Array]


def add_decayed_weights(weight_decay: Number = 1e-4, mask: Mask = None) -> Optimizer:
    r"""Add :math:`\lambda\theta` to the updates of the leaves in `mask`; ``update`` needs the parameters.

    After an adaptive direction and before the learning rate this is decoupled decay,
    :math:`\Delta\theta = -\eta(u + \lambda\theta)` (Loshchilov & Hutter 2019); before the direction it is the gradient
    of the penalty :math:`\lambda\lVert\theta\rVert^2/2`.
    Raises: PathError, at init, if a pattern matches no leaf.

    >>> decay = add_decayed_weights(0.5, mask="*/kernel")
    >>> params = {"a": {"kernel": jnp.ones(1), "bias": jnp.ones(1)}}
    >>> decay.update(fn.tree.zeros_like(params), decay.init(params), params)[0]
    {'a': {'bias': Array([0.], dtype=float32), 'kernel': Array([0.5], dtype=float32)}}
    """
    leaves = as_leaves("add_decayed_weights", weight_decay=weight_decay)

    def init(params: Params) -> DecayState:
        masked(params, mask, "add_decayed_weights")
        return DecayState(leaves())

    def update(grads: Params, state: DecayState, params: Params = None, **extra: Any) -> tuple[Params, DecayState]:
        params = need_params("add_decayed_weights", params)
        chosen = masked(params, mask, "add_decayed_weights")
        rate = state.hyperparams["weight_decay"]
        updates = tree.map(lambda g, p, on: g + times(rate, p) if on else g, widen(grads), widen(params), chosen)
        return narrow(updates, grads), state

    return Optimizer(init, update)


def masked(params: Params, mask: Mask, where: str) -> PyTree:
    """Return `mask` as a tree of booleans like the parameters; leaves that are None stay None.

    Raises: PathError if a pattern matches no leaf, or the tree is not like the parameters.
    """
    if mask is None:
        return tree.map(lambda leaf: True, params)
    if callable(mask):
        return masked(params, mask(params), where)
    if isinstance(mask, str) or (isinstance(mask, (list, tuple, set, frozenset)) and _all_strings(mask)):
        return tree.mask(params, mask, where=where)
    try:
        return tree.map(
            lambda leaf, on: None if leaf is None else bool(on), params, mask, is_leaf=lambda leaf: leaf is None
        )
    except ValueError as error:
        fix = "give patterns of paths, or one boolean a leaf."
        raise PathError(where, f"the mask must have the structure of the parameters ({error})", fix) from error


def _all_strings(items: Iterable[Any]) -> bool:
    return all(isinstance(item, str) for item in items)
