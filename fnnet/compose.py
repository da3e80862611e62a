"""Layers made of layers. Every function here takes layers and returns one; none knows a concrete layer."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
from jax.ad_checkpoint import checkpoint_name

from fnnet.core import Key, Layer, Params, Shaped, State, output_shape, stateless
from fnnet.errors import inside

LayerLike: TypeAlias = Layer | Callable[[Any], Any]
"""A ``Layer``, anything with its ``name``, ``init`` and ``apply``, or a function array -> array."""


def as_layer(thing: LayerLike) -> Layer:
    """Return a layer as it is, and a function array -> array as the layer without parameters that applies it.

    >>> as_layer(jax.nn.relu).name
    'relu'
    """
    if hasattr(thing, "init") and hasattr(thing, "apply"):
        return thing
    if not callable(thing):
        raise TypeError(f"a layer must be a Layer or a function array -> array, got {type(thing).__name__}: {thing!r}")
    return stateless(getattr(thing, "__name__", type(thing).__name__).strip("<>"), thing)


def serial(*layers: LayerLike, **named_layers: LayerLike) -> Layer:
    r"""Compose layers, first to last: :math:`y = (f_n \circ \dots \circ f_1)(x)`.

    Params: one entry a layer that has parameters, named by kind and ordinal (``dense_0``, ``dense_1``) or by keyword.
    A layer's initial parameters depend on its name and the key alone: adding an activation or a dropout changes none.

    Laws: ``serial()`` is the identity; ``serial(serial(f, g), h)`` and ``serial(f, serial(g, h))`` compute the same
    function, up to the nesting of their parameters.

    >>> net = serial(fn.dense(4), jax.nn.relu, fn.dense(2))
    >>> params, state = net.init(jax.random.key(0), jnp.ones((1, 3)))
    >>> list(params), net(params, jnp.ones((1, 3))).shape
    (['dense_0', 'dense_1'], (1, 2))
    """
    children = _name_children(layers, named_layers)

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        params, state = {}, {}
        for name, layer in children.items():
            with inside(name):
                p, s = layer.init(child_key(key, name), x)
                x = output_shape(layer, p, s, x)
            params |= _entry(name, p)
            state |= _entry(name, s)
        return params, state

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        new_state = {}
        for name, layer in children.items():
            x, s = apply_child(name, layer, params, state, x, key=key, train=train)
            new_state |= _entry(name, s)
        return x, new_state

    return Layer("serial", init, apply)


def child_key(key: Key, name: str) -> Key:
    """Return the key of the child called `name`: a function of the name alone, not of its place."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


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


def _name_children(layers: tuple[LayerLike, ...], named_layers: dict[str, LayerLike]) -> dict[str, Layer]:
    children: dict[str, Layer] = {}
    count: dict[str, int] = {}
    for layer in map(as_layer, layers):
        ordinal = count.get(layer.name, 0)
        count[layer.name] = ordinal + 1
        children[f"{layer.name}_{ordinal}"] = layer
    return children | {name: as_layer(layer) for name, layer in named_layers.items()}


def _entry(name: str, tree: Params) -> dict[str, Params]:
    return {name: tree} if jax.tree.leaves(tree) else {}
