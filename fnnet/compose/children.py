"""How a composition names its children, and hands each its part of the parameters, the state and the key."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
from jax.ad_checkpoint import checkpoint_name

from fnnet.core import Key, Layer, Params, State, stateless
from fnnet.errors import inside


@runtime_checkable
class InitApply(Protocol):
    """A pair (init, apply) of the signatures of ``Layer``, whatever its type, with a ``name`` or without."""

    @property
    def init(self) -> Callable[..., tuple[Params, State]]:
        """``init(key, x) -> (params, state)``."""

    @property
    def apply(self) -> Callable[..., tuple[Any, State]]:
        """``apply(params, state, x, *, key=None, train=False) -> (y, state)``."""


LayerLike: TypeAlias = InitApply | Callable[[Any], Any]
"""A ``Layer``, anything with its ``init`` and ``apply``, or a function array -> array."""


def as_layer(thing: LayerLike) -> Layer:
    """Return a layer as it is, and a function array -> array as the layer without parameters that applies it.

    Anything with ``init`` and ``apply`` of the right signatures is a layer; one without a ``name`` gets its type's.

    >>> as_layer(jax.nn.relu).name
    'relu'
    """
    if isinstance(thing, Layer):
        return thing
    if isinstance(thing, InitApply):
        return Layer(getattr(thing, "name", type(thing).__name__.lower()), thing.init, thing.apply)
    if not callable(thing):
        raise TypeError(f"a layer must be a Layer or a function array -> array, got {type(thing).__name__}: {thing!r}")
    return stateless(getattr(thing, "__name__", type(thing).__name__).strip("<>"), thing)


def child_key(key: Key, name: str) -> Key:
    """Return the key of the child called `name`: a function of the name alone, not of its place."""
    return jax.random.fold_in(key, name_hash(name))


def apply_child(
    name: str, layer: Layer, params: Params, state: State, x: Any, *, key: Key | None, train: bool
) -> tuple[Any, State]:
    """Apply one child of a composition to its own part of `params`, `state` and `key`.

    The output is tagged with the name, and the operations carry it in their scope: so intermediates and costs can be
    read by path from the traced program.
    """
    key = None if key is None else child_key(key, name)
    with inside(name), jax.named_scope(name):
        y, new_state = layer.apply(params.get(name, {}), state.get(name, {}), x, key=key, train=train)
        return jax.tree.map(lambda leaf: checkpoint_name(leaf, name), y), new_state


def name_hash(name: str) -> int:
    """Return the number that is folded into a key for the child called `name`."""
    return zlib.crc32(name.encode())


def name_children(where: str, layers: tuple[LayerLike, ...], named_layers: dict[str, LayerLike]) -> dict[str, Layer]:
    """Return the layers by name: kind and ordinal for those given by position, the keyword for the others."""
    children: dict[str, Layer] = {}
    count: dict[str, int] = {}
    for layer in map(as_layer, layers):
        ordinal = count.get(layer.name, 0)
        count[layer.name] = ordinal + 1
        children[f"{layer.name}_{ordinal}"] = layer
    for name in children.keys() & named_layers.keys():
        raise ValueError(f"{where}: names must be distinct, got {name!r} for a layer by position and one by keyword")
    return children | {name: as_layer(layer) for name, layer in named_layers.items()}


def entry(name: str, tree: Params) -> dict[str, Params]:
    """Return ``{name: tree}``, or nothing if the tree has no leaves."""
    return {name: tree} if jax.tree.leaves(tree) else {}
