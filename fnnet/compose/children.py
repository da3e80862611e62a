"""How a composition names its children, and hands each its part of the parameters, the state and the key."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
from jax.ad_checkpoint import checkpoint_name

from fnnet.core import Key, Layer, Params, Shaped, State, is_layer_factory, stateless
from fnnet.errors import PathError, inside
from fnnet.shapes import check_key


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
    if is_layer_factory(thing):
        raise TypeError(f"{thing.__name__} makes a layer and is none: call it, e.g. {thing.__name__}(...)")
    return stateless(getattr(thing, "__name__", type(thing).__name__).strip("<>"), thing)


def child_key(key: Key, name: str) -> Key:
    """Return the key of the child called `name`: a function of the name alone, not of its place."""
    return jax.random.fold_in(key, name_hash(name))


def init_child(name: str, layer: Layer, key: Key, x: Shaped) -> tuple[Params, State]:
    """Return the parameters and the state of one child of a composition, made by its own key."""
    with inside(name):
        return _pair(layer, "init", "(params, state)", layer.init(child_key(check_key("init", key, when=""), name), x))


def apply_child(
    name: str, layer: Layer, params: Params, state: State, x: Any, *, key: Key | None, train: bool
) -> tuple[Any, State]:
    """Apply one child of a composition to its own part of `params`, `state` and `key`.

    The output is tagged with the name, and the operations carry it in their scope: so intermediates and costs can be
    read by path from the traced program.
    """
    key = None if key is None else child_key(key, name)
    with inside(name), jax.named_scope(name):
        own_params, own_state = _part(layer, "parameters", params, name), _part(layer, "state", state, name)
        result = layer.apply(own_params, own_state, x, key=key, train=train)
        y, new_state = _pair(layer, "apply", "(output, state)", result)
        return jax.tree.map(lambda leaf: checkpoint_name(leaf, name), y), new_state


def _pair(layer: Layer, function: str, parts: str, result: Any) -> tuple[Any, Any]:
    """Return what a child's function returned, TypeError unless it is a pair: a layer may be anyone's."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        got = f"{len(result)} values" if isinstance(result, tuple | list) else type(result).__name__
        raise TypeError(f"{layer.name}: {function} must return a pair {parts}, got {got}")
    return result[0], result[1]


def _part(layer: Layer, what: str, tree: Params, name: str) -> Params:
    """Return the child's entry, empty if there is none; PathError if the tree has no entries at all."""
    if not isinstance(tree, Mapping):
        raise PathError(
            layer.name,
            f"the {what} of the net must be a dict with an entry a layer, got {type(tree).__name__}",
            "pass those that init of this same network made: net(params, x, state), with both of a TrainState.",
        )
    return tree.get(name, {})


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
    for name in named_layers:
        if "/" in name:
            raise ValueError(f"{where}: a name must be text without '/', which separates those of a path, got {name!r}")
    return children | {name: as_layer(layer) for name, layer in named_layers.items()}


def entry(name: str, tree: Params) -> dict[str, Params]:
    """Return ``{name: tree}``, or nothing if the tree has no leaves."""
    return {name: tree} if jax.tree.leaves(tree) else {}
