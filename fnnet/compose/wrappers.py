"""The same layer, run otherwise: recomputed, in another precision, held, under a name, over values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from fnnet.compose.children import LayerLike, as_layer
from fnnet.core import Key, Layer, Masked, Params, Shaped, State
from fnnet.dtypes import dtype_of
from fnnet.shapes import align


def remat(layer: LayerLike, *, policy: Callable[..., Any] | None = None) -> Layer:
    """Recompute the layer in the backward pass instead of keeping its intermediate values: memory for time.

    `policy` says what to keep all the same, as for ``jax.checkpoint``: every layer's output is tagged with its name, so
    ``jax.checkpoint_policies.save_only_these_names("dense_0")`` keeps those. ``repeat(remat(block), n)`` keeps one
    input a block.

    Law: outputs, state and gradients are those of the layer.

    >>> fn.compose.remat(jax.nn.relu)({}, jnp.array([-1.0, 1.0]))
    Array([0., 1.], dtype=float32)
    """
    layer = as_layer(layer)

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        def call(params: Params, state: State, x: Any, key: Key | None) -> tuple[Any, State]:
            return layer.apply(params, state, x, key=key, train=train)

        return jax.checkpoint(call, policy=policy)(params, state, x, key)

    return Layer(layer.name, layer.init, apply)


def precision(
    layer: LayerLike,
    *,
    compute: DTypeLike | None = jnp.bfloat16,
    params: DTypeLike | None = jnp.float32,
    output: DTypeLike | None = jnp.float32,
) -> Layer:
    """Run a layer in one dtype with its parameters kept in another (Micikevicius et al. 2018).

    Parameters are made in `params`; they and the input are cast to `compute` for the layer, and the output to `output`.
    Gradients have the parameters' dtype. State keeps its own dtype throughout: running statistics are not rounded.
    Only floating-point leaves are cast; None leaves a dtype as it is.

    Law: with all three of the input's dtype it is the layer.
    Raises: ValueError if one is not a floating-point dtype.

    >>> layer = fn.compose.precision(fn.dense(3))
    >>> params, state = layer.init(jax.random.key(0), jnp.ones((2, 5)))
    >>> params["kernel"].dtype.name, layer(params, jnp.ones((2, 5))).dtype.name
    ('float32', 'float32')
    """
    layer = as_layer(layer)
    for argument, dtype in (("compute", compute), ("params", params), ("output", output)):
        if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(f"precision: {argument} must be a floating-point dtype or None, got {dtype!r}")

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        made, state = layer.init(key, jax.tree.map(lambda leaf: _respec(leaf, params), x))
        return _cast(made, params), state

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        y, new_state = layer.apply(_cast(params, compute), state, _cast(x, compute), key=key, train=train)
        kept = jax.tree.map(lambda new, old: new.astype(old.dtype), new_state, state)
        return _cast(y, output), kept

    return Layer(layer.name, init, apply)


def stop_gradient(layer: LayerLike, *, of: Literal["output", "params"] = "output") -> Layer:
    """Hold a layer constant under differentiation.

    Of the ``output``: no gradient reaches its parameters nor its input. Of the ``params``: its parameters are constants
    and gradients pass through to the layers before it. An optimizer may still move them, by a decay of the weights: to
    keep them, ``fn.transforms.freeze``.

    Law: outputs are those of the layer; the gradients named above are zero, all others are those of the layer.
    Raises: ValueError if `of` is neither.

    >>> jax.grad(lambda x: fn.compose.stop_gradient(jnp.square)({}, x))(3.0)
    Array(0., dtype=float32, weak_type=True)
    """
    layer = as_layer(layer)
    if of not in ("output", "params"):
        raise ValueError(f"stop_gradient: of must be 'output' or 'params', got {of!r}")

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        if of == "params":
            return layer.apply(jax.lax.stop_gradient(params), state, x, key=key, train=train)
        return jax.lax.stop_gradient(layer.apply(params, state, x, key=key, train=train))

    return Layer(layer.name, layer.init, apply)


def inference(layer: LayerLike) -> Layer:
    """Run a layer as at inference in training too: no dropout, running statistics, its state left as it is.

    For a part that is not to change, beside ``fn.transforms.freeze`` of its parameters.

    Law: ``inference(f).apply(..., train=True)`` is ``f.apply(..., train=False)``, with the same key.

    >>> layer = inference(fn.dropout(0.5))
    >>> layer.apply({}, {}, jnp.ones(2), train=True)[0]
    Array([1., 1.], dtype=float32)
    """
    layer = as_layer(layer)

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        return layer.apply(params, state, x, key=key, train=False)

    return Layer(layer.name, layer.init, apply)


def named(layer: LayerLike, name: str) -> Layer:
    """Give a layer another kind, by which the compositions around it name its entry: ``block`` makes ``block_0``.

    For an entry called exactly so, without ordinal, use the keyword: ``serial(head=layer)``.

    Law: all else is the layer's.
    Raises: ValueError if the name is empty or holds a ``/``, which separates the names of a path.

    >>> net = fn.serial(fn.compose.named(fn.dense(3), "hidden"), fn.compose.named(fn.dense(2), "hidden"))
    >>> list(net.init(jax.random.key(0), jnp.ones((1, 4)))[0])
    ['hidden_0', 'hidden_1']
    """
    if not name or "/" in name:
        raise ValueError(f"named: name must be text without '/', got {name!r}")
    layer = as_layer(layer)
    return Layer(name, layer.init, layer.apply)


def on_values(layer: LayerLike) -> Layer:
    """Apply a layer to the values of a ``Masked`` and keep the mask; on anything else it is the layer.

    The layer must keep all axes but the last, since the mask has them. It sees zeros at padding, whatever it held.

    Law: ``on_values(f)(Masked(v, m)) = Masked(f(v), m)`` where v is 0 at padding.

    >>> x = fn.Masked(jnp.array([[-1.0], [2.0]]), jnp.array([True, True]))
    >>> fn.compose.on_values(jax.nn.relu)({}, x).values.ravel()
    Array([0., 2.], dtype=float32)
    """
    layer = as_layer(layer)

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        return layer.init(key, x.values if isinstance(x, Masked) else x)

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        if not isinstance(x, Masked):
            return layer.apply(params, state, x, key=key, train=train)
        real = align(x.mask, x.values, axis=x.mask.ndim - 1)
        zeroed = jnp.where(real, x.values, jnp.zeros((), dtype_of(x.values)))
        values, state = layer.apply(params, state, zeroed, key=key, train=train)
        return Masked(values, x.mask), state

    return Layer(layer.name, init, apply)


def _cast(tree: Any, dtype: DTypeLike | None) -> Any:
    def cast(leaf: Any) -> Any:
        return leaf.astype(dtype) if dtype is not None and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


def _respec(leaf: Any, dtype: DTypeLike | None) -> jax.ShapeDtypeStruct:
    floating = dtype is not None and jnp.issubdtype(leaf.dtype, jnp.floating)
    return jax.ShapeDtypeStruct(leaf.shape, dtype if floating else leaf.dtype)
