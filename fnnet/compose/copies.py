"""Many copies of one layer: in a row, side by side, or one set of parameters in many places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fnnet import tree
from fnnet.compose.children import LayerLike, apply_child, as_layer, child_key, entry, name_hash
from fnnet.core import Key, Layer, Params, Shaped, State, stateless
from fnnet.errors import ShapeError, inside
from fnnet.shapes import check_count, check_key


def repeat(layer: LayerLike, n: int, *, unroll: int = 1) -> Layer:
    """Apply n copies of a layer one after the other: a scan over stacked parameters.

    Params and state: those of the layer, every leaf with a leading axis of n. The body is traced and compiled once,
    whatever n. The layer must return the shape and dtype that it takes. `unroll` copies make one step of the loop.

    Law: it is ``serial(*[layer] * n)`` with its entries stacked: initial values, outputs, state and random keys are the
    same.
    Raises: ValueError if ``n < 1`` or ``unroll < 1``; ShapeError if the layer changes the shape or dtype.

    >>> net = fn.compose.repeat(fn.dense(4), 12)
    >>> params, state = net.init(jax.random.key(0), jnp.ones((2, 4)))
    >>> params["kernel"].shape, net(params, jnp.ones((2, 4))).shape
    ((12, 4, 4), (2, 4))
    """
    layer = as_layer(layer)
    check_count("repeat", "n", n)
    check_count("repeat", "unroll", unroll)

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        def body(x: Any, slices: tuple[Params, State, Key | None]) -> tuple[Any, State]:
            p, s, k = slices
            y, s = layer.apply(p, s, x, key=k, train=train)
            _check_same(x, y)
            return y, s

        _check_copies("repeat", params, n)
        return jax.lax.scan(body, x, (params, state, _copy_keys(layer, key, n)), length=n, unroll=unroll)

    return Layer("repeat", _init_copies(layer, n), apply)


def ensemble(layer: LayerLike, n: int) -> Layer:
    """Apply n members of one kind to the same input: y has a leading axis of members.

    Params and state: those of the layer, every leaf with a leading axis of n; members differ by their keys. All members
    run as one batched program.

    Law: member i is branch i of ``parallel(*[layer] * n)``: initial values, output, state and random key are the same.
    Raises: ValueError if ``n < 1``.

    >>> net = fn.compose.ensemble(fn.dense(3), 5)
    >>> params, state = net.init(jax.random.key(0), jnp.ones((2, 4)))
    >>> net(params, jnp.ones((2, 4))).shape
    (5, 2, 3)
    """
    layer = as_layer(layer)
    check_count("ensemble", "n", n)

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        def member(p: Params, s: State, k: Key | None) -> tuple[Any, State]:
            return layer.apply(p, s, x, key=k, train=train)

        _check_copies("ensemble", params, n)
        return jax.vmap(member, axis_size=n)(params, state, _copy_keys(layer, key, n))

    return Layer("ensemble", _init_copies(layer, n), apply)


class SharedLayer(NamedTuple):
    """A layer whose parameters are held by the ``shared`` around it: to be placed any number of times.

    ``using(function)`` is the layer ``x -> function(params, x)`` of the same parameters, used in another way.
    """

    name: str
    init: Callable[[Key, Shaped], tuple[Params, State]]
    apply: Callable[..., tuple[Any, State]]
    using: Callable[[Callable[[Params, Any], Any]], Layer]


def shared(layer: LayerLike, build: Callable[[SharedLayer], LayerLike]) -> Layer:
    """Use one set of parameters in many places: ``shared(layer, lambda f: serial(f, jax.nn.relu, f))``.

    `build` takes the layer and returns the composition in which it has many places, and no parameters of its own.
    Params: ``shared``, those of the layer, made for the input of its first place; ``net``, those of the rest. State and
    random keys belong to each place. `build` must be pure: it is called again at every trace.

    ``f.using(function)`` places ``x -> function(params, x)``: tied embeddings are
    ``shared(embedding, lambda f: serial(f, body, f.using(lambda params, x: x @ params[name].T)))``.

    Laws: it equals the composition of separate layers given equal parameters; the gradient of ``shared`` is the sum of
    the gradients that those would have.
    Raises: ValueError if `build` does not place the layer.

    >>> net = fn.compose.shared(fn.dense(3), lambda f: fn.serial(f, jax.nn.relu, f))
    >>> params, state = net.init(jax.random.key(0), jnp.ones((2, 3)))
    >>> jax.tree.map(jnp.shape, params)
    {'shared': {'bias': (3,), 'kernel': (3, 3)}}
    """
    layer = as_layer(layer)

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        own_key = child_key(key, "shared")
        seen: list[Shaped] = []  # shapes only, so that nothing leaks from a trace within which the layer is placed

        def init_place(place_key: Key, v: Shaped) -> tuple[Params, State]:
            seen.append(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), v))
            return {}, layer.init(place_key, v)[1]

        def own_params() -> Params:
            if not seen:
                raise ValueError("shared: build must place the layer before, or beside, f.using(...), got no f")
            with inside("shared"):
                return layer.init(own_key, seen[0])[0]

        with inside("net"):
            params, state = as_layer(build(_place(layer, init_place, own_params))).init(child_key(key, "net"), x)
        return {"shared": own_params()} | entry("net", params), entry("net", state)

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        def init_place(place_key: Key, v: Shaped) -> tuple[Params, State]:
            return {}, layer.init(place_key, v)[1]

        net = as_layer(build(_place(layer, init_place, lambda: params.get("shared", {}))))
        y, new_state = apply_child("net", net, params, state, x, key=key, train=train)
        return y, entry("net", new_state)

    return Layer("shared", init, apply)


def _place(
    layer: Layer, init: Callable[[Key, Shaped], tuple[Params, State]], own_params: Callable[[], Params]
) -> SharedLayer:
    """Return the layer as its places see it: without parameters, applied to those that `own_params` returns."""

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        return layer.apply(own_params(), state, x, key=key, train=train)

    def using(function: Callable[[Params, Any], Any]) -> Layer:
        return stateless("using", lambda x: function(own_params(), x))

    return SharedLayer(layer.name, init, apply, using)


def _check_copies(where: str, params: Params, n: int) -> None:
    """Raise ShapeError unless every parameter has a leading axis of n."""
    for path, leaf in tree.flatten(params).items():
        if jnp.shape(leaf)[:1] != (n,):
            problem = f"the parameter {path!r} must have a leading axis of {n} copies, got shape {jnp.shape(leaf)}"
            raise ShapeError(where, problem, "pass those that init of this same network made.")


def _check_same(x: Any, y: Any) -> None:
    shapes = [jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree) for tree in (x, y)]
    if shapes[0] != shapes[1]:
        taken, returned = (jax.tree.map(lambda leaf: str(jax.typeof(leaf)), tree) for tree in (x, y))
        raise ShapeError(
            "repeat",
            f"the layer must return the shape and dtype that it takes, got {taken} -> {returned}",
            "put what changes them before or after the repeated layer.",
        )


def _copy_keys(layer: Layer, key: Key | None, n: int) -> Key | None:
    """Return the keys that ``serial`` and ``parallel`` give to n layers of this kind."""
    if key is None:
        return None
    hashes = jnp.array([name_hash(f"{layer.name}_{i}") for i in range(n)], jnp.uint32)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, hashes)


def _init_copies(layer: Layer, n: int) -> Callable[[Key, Shaped], tuple[Params, State]]:
    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        return jax.vmap(lambda k: layer.init(k, x))(_copy_keys(layer, check_key("init", key, when=""), n))

    return init
