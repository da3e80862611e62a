"""Layers side by side on one input, and the ways to combine what they return."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from fnnet.activations import identity
from fnnet.compose.children import LayerLike, apply_child, as_layer, entry, init_child, name_children
from fnnet.core import Key, Layer, Masked, Params, Shaped, State
from fnnet.errors import ShapeError


def as_tuple(*outputs: Any) -> tuple[Any, ...]:
    """Return the outputs as a tuple.

    >>> as_tuple(1, 2)
    (1, 2)
    """
    return outputs


def add(*outputs: Any) -> Any:
    """Return the sum of outputs of one shape: nothing is broadcast. The sum of ``Masked`` is real where all are.

    Raises: ShapeError if the shapes differ.

    >>> fn.compose.add(jnp.ones(2), jnp.ones(2))
    Array([2., 2.], dtype=float32)
    """
    if not outputs:
        raise ValueError("add: needs at least one output, got none")
    return _on_leaves("add", len, lambda *leaves: reduce(jnp.add, leaves), outputs)


def concat(*outputs: Any) -> Any:
    """Return the outputs joined along their last axis. Where all are ``Masked``, so is what they make.

    Raises: ShapeError if any other axis differs.

    >>> fn.compose.concat(jnp.ones((2, 3)), jnp.ones((2, 1))).shape
    (2, 4)
    """
    if not outputs:
        raise ValueError("concat: needs at least one output, got none")
    return _on_leaves("concat", lambda shape: len(shape) - 1, lambda *leaves: jnp.concatenate(leaves, -1), outputs)


def parallel(*branches: LayerLike, combine: Callable[..., Any] = as_tuple, **named_branches: LayerLike) -> Layer:
    r"""Apply every branch to the same input: :math:`y = c(f_1(x), \dots, f_n(x))`.

    `combine` takes the outputs as its arguments, in order; by default they are returned as a tuple. Any function of
    n outputs will do: ``concat``, ``add``, ``jnp.multiply`` (a gate). Params: one entry a branch that has parameters,
    named as in ``serial``. A branch for one of several inputs begins with the function that picks it.

    Law: ``parallel(f, g)(x) = (f(x), g(x))``; a branch's parameters, state and key are those it has in ``serial``.
    Raises: ValueError without branches, or if a keyword is the name of a branch given by position.

    >>> net = fn.compose.parallel(jax.nn.relu, jnp.negative, combine=fn.compose.concat)
    >>> net({}, jnp.array([1.0, -2.0]))
    Array([ 1.,  0., -1.,  2.], dtype=float32)
    """
    children = name_children("parallel", branches, named_branches)
    if not children:
        raise ValueError("parallel: needs at least one branch, got none")
    return _fan("parallel", children, combine)


def residual(layer: LayerLike, shortcut: LayerLike = identity, combine: Callable[..., Any] = add) -> Layer:
    r"""Join a layer's output with its input: :math:`y = c(f(x), s(x))`, by default :math:`f(x) + x` (He et al. 2016).

    Params: ``body`` and, where it has parameters, ``shortcut``. Where the layer changes the shape, give a shortcut that
    changes it alike. A U-Net is ``residual(serial(down, residual(...), up), combine=concat)``, nested level by level
    (Ronneberger et al. 2015).

    Law: where f is zero, y = x; the Jacobian is that of f plus the identity, so gradients pass however small that of f.
    Raises: ShapeError where `combine` cannot join what the two return.

    >>> fn.compose.residual(lambda x: 0 * x)({}, jnp.ones(2))
    Array([1., 1.], dtype=float32)
    """
    return _fan("residual", {"body": as_layer(layer), "shortcut": as_layer(shortcut)}, combine)


def bidirectional(layer: LayerLike) -> Layer:
    """Run one copy of a sequence layer forwards and another backwards in time; join them along the last axis.

    Shapes: ``(..., time, n) -> (..., time, 2·features)``, forward first, an array or a ``Masked``, and returns what it
    took. Params: ``forward`` and ``backward``. Any layer that keeps the time axis will do (Schuster & Paliwal 1997).

    Law: reversing time and swapping ``forward`` and ``backward`` reverses the output and swaps its halves.

    >>> layer = fn.compose.bidirectional(fn.gru(3))
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((2, 5, 4)))
    >>> layer(params, jnp.ones((2, 5, 4))).shape
    (2, 5, 6)
    """
    forward = as_layer(layer)

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        y, state = forward.apply(params, state, _flip_time(x), key=key, train=train)
        return _flip_time(y), state

    backward = Layer(forward.name, forward.init, apply)
    return _fan("bidirectional", {"forward": forward, "backward": backward}, concat)


def _flip_time(x: Any) -> Any:
    return Masked(jnp.flip(x.values, -2), jnp.flip(x.mask, -1)) if isinstance(x, Masked) else jnp.flip(x, -2)


def _fan(kind: str, children: dict[str, Layer], combine: Callable[..., Any]) -> Layer:
    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        params: dict[str, Params] = {}
        state: dict[str, State] = {}
        for name, layer in children.items():
            p, s = init_child(name, layer, key, x)
            params |= entry(name, p)
            state |= entry(name, s)
        return params, state

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        outputs: list[Any] = []
        new_state: dict[str, State] = {}
        for name, layer in children.items():
            y, s = apply_child(name, layer, params, state, x, key=key, train=train)
            outputs.append(y)
            new_state |= entry(name, s)
        return combine(*outputs), new_state

    return Layer(kind, init, apply)


def _on_leaves(
    where: str, common: Callable[[tuple[int, ...]], int], function: Callable[..., Any], outputs: tuple[Any, ...]
) -> Any:
    """Apply `function` to matching leaves whose first `common(shape)` axes must be the same."""
    if all(isinstance(output, Masked) for output in outputs):
        values = _on_leaves(where, common, function, tuple(output.values for output in outputs))
        return Masked(values, reduce(jnp.logical_and, (output.mask for output in outputs)))
    structures = [jax.tree.structure(output) for output in outputs]
    if len(set(structures)) > 1:
        raise ShapeError(
            where,
            f"the outputs must have one structure, got {' and '.join(map(str, structures))}",
            "return the same kind of thing from every branch.",
        )

    def check_and_apply(*leaves: Any) -> Any:
        shapes = [jnp.shape(leaf) for leaf in leaves]
        if len({(len(shape), shape[: common(shape)]) for shape in shapes}) > 1 or common(shapes[0]) < 0:
            axes = "shape" if where == "add" else "shape but for the last axis"
            raise ShapeError(
                where,
                f"the outputs must have one {axes}, got {' and '.join(map(str, shapes))}",
                "change a branch (the shortcut of a residual) so that it returns the shape of the others.",
            )
        return function(*leaves)

    return jax.tree.map(check_and_apply, *outputs)
