"""Affine nets collapse into one affine layer: depth without nonlinearity adds nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet.compose.children import LayerLike, as_layer
from fnnet.core import Key, Layer, Params, Shaped, State
from fnnet.dtypes import at_least_float32, dtype_of
from fnnet.errors import DataError, ShapeError
from fnnet.shapes import align, check_last_axis, parameter
from fnnet.tagged import Found, Tag, by_path, look


def collapse(net: LayerLike, params: Params, x: Shaped, state: State = {}) -> tuple[Layer, Params]:  # noqa: B006
    r"""Return the one affine layer that equals an affine net: :math:`W_n(\dots(W_1 x + b_1)\dots) + b_n = Wx + b`.

    `x` is an example of the net's input, of shape (..., n); its values are not used. The net must map each vector of
    the last axis to a vector. The layer's params are ``kernel (n, features)`` and ``bias (features,)``, as those of a
    dense layer: the bias is the net at zero, the kernel its Jacobian there.

    Law: for an affine net, ``layer(collapsed, x) = net(params, x)`` up to rounding, whatever its depth.
    The net is known by its values at random points of three sizes: a bend that none of them meets, such as that of a
    rectifier far from where its inputs lie, is not found.
    Raises: DataError if the net is seen not to be affine, naming the first of its layers whose output is not;
    ShapeError if it does not map vectors to vectors.

    >>> net = fn.serial(fn.dense(8), fn.dense(3))
    >>> params, _ = net.init(jax.random.key(0), jnp.ones((2, 4)))
    >>> layer, collapsed = fn.compose.collapse(net, params, jnp.ones((2, 4)))
    >>> bool(jnp.allclose(layer(collapsed, jnp.ones((2, 4))), net(params, jnp.ones((2, 4))), atol=1e-5))
    True
    """
    layer = as_layer(net)
    # In float32 at least: in 16 bits a bend is within rounding.
    params, state = _widened(params), _widened(state)
    zero = jnp.zeros(x.shape[-1:], at_least_float32(dtype_of(x)))

    def function(v: Array) -> Array:
        return layer.apply(params, state, v)[0]

    bias = jax.eval_shape(function, zero)
    if not isinstance(bias, jax.ShapeDtypeStruct) or bias.ndim != 1:
        raise ShapeError(
            "collapse",
            f"the net must map a vector to a vector, got {zero.shape} -> {jax.tree.map(lambda leaf: leaf.shape, bias)}",
            "collapse a net of the last axis.",
        )
    with jax.default_matmul_precision("highest"):  # or an accelerator's rounding would look like a bend
        _check_affine(function, zero)
        columns = jax.jit(jax.jacfwd(function))(zero)
        collapsed = {"kernel": columns.T, "bias": function(zero)}
        return _affine(bias.shape[0]), jax.tree.map(lambda leaf: leaf.astype(dtype_of(x)), collapsed)


def _widened(tree: Params) -> Params:
    def widen(leaf: Array) -> Array:
        return leaf.astype(at_least_float32(leaf.dtype)) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(widen, tree)


def _affine(features: int) -> Layer:
    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        kernel = jax.nn.initializers.lecun_normal()(key, (x.shape[-1], features), dtype_of(x))
        return {"kernel": kernel, "bias": jnp.zeros(features, kernel.dtype)}, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        kernel, bias = (parameter("affine", params, name) for name in ("kernel", "bias"))
        check_last_axis("affine", x, kernel.shape[0])
        y = x @ kernel
        return y + align(bias, y), state

    return Layer("affine", init, apply)


def _check_affine(function: Callable[[Array], Array], zero: Array) -> None:
    """Raise if the function, or any tagged value within it, departs from its own linearisation at zero.

    Points of three sizes in random directions, both signs: a kink that the points of one size miss is met by another.
    """
    directions = jax.random.normal(jax.random.key(0), (16, zero.size), zero.dtype)
    points = jnp.concatenate([size * directions for size in (0.1, 1.0, 100.0)])

    def values(v: Array) -> Found:
        output, found = look(function, v, visit=_keep)
        return [*found, (Tag("its output"), output)]

    def departures(points: Array) -> Found:
        at_zero, linear = jax.linearize(values, zero)

        def departure(got: Array, start: Array, change: Array) -> Array:
            scale = jnp.abs(got).max() + jnp.abs(start).max() + jnp.abs(change).max()
            return jnp.abs(got - start - change).max() / jnp.maximum(scale, jnp.finfo(zero.dtype).tiny)

        shares = jax.vmap(lambda v: jax.tree.map(departure, values(v), at_zero, linear(v)))(points)
        return jax.tree.map(jnp.max, shares)

    for name, share in by_path(jax.jit(departures)(points)).items():
        if not share <= 64 * float(jnp.finfo(zero.dtype).eps) ** 0.75:  # so that NaN is no pass
            raise DataError(
                "collapse",
                f"the net must be affine, got {name} which departs from its linearisation by {share:.2g} of its size",
                "collapse the layers before and after it, each part on its own.",
            )


def _keep(tag: Tag, value: Array) -> tuple[Array, Array | None]:
    return value, value if tag.of_layer and jnp.issubdtype(value.dtype, jnp.floating) else None
