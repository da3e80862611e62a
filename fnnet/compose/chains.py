"""One layer after the other."""

from __future__ import annotations

from typing import Any

from fnnet.compose.children import LayerLike, apply_child, entry, init_child, name_children
from fnnet.core import Key, Layer, Params, Shaped, State, output_shape
from fnnet.errors import inside


def serial(*layers: LayerLike, **named_layers: LayerLike) -> Layer:
    r"""Compose layers, first to last: :math:`y = (f_n \circ \dots \circ f_1)(x)`.

    Params: one entry a layer that has parameters, named by kind and ordinal (``dense_0``, ``dense_1``) or by keyword.
    A layer's initial parameters depend on its name and the key alone: adding an activation or a dropout changes none.

    Laws: ``serial()`` is the identity; ``serial(serial(f, g), h)`` and ``serial(f, serial(g, h))`` compute the same
    function, up to the nesting of their parameters.
    Raises: ValueError if a keyword is the name of a layer given by position.

    >>> net = serial(fn.dense(4), jax.nn.relu, fn.dense(2))
    >>> params, state = net.init(jax.random.key(0), jnp.ones((1, 3)))
    >>> list(params), net(params, jnp.ones((1, 3))).shape
    (['dense_0', 'dense_1'], (1, 2))
    """
    children = name_children("serial", layers, named_layers)

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        params: dict[str, Params] = {}
        state: dict[str, State] = {}
        for name, layer in children.items():
            p, s = init_child(name, layer, key, x)
            with inside(name):
                x = output_shape(layer, p, s, x)
            params |= entry(name, p)
            state |= entry(name, s)
        return params, state

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        new_state: dict[str, State] = {}
        for name, layer in children.items():
            x, s = apply_child(name, layer, params, state, x, key=key, train=train)
            new_state |= entry(name, s)
        return x, new_state

    return Layer("serial", init, apply)
