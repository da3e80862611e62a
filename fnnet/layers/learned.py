"""Learned vectors that multiply features, or stand before a sequence."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from fnnet.core import Key, Layer, Params, Shaped, State
from fnnet.dtypes import dtype_of
from fnnet.initializers import Initializer, normal, ones
from fnnet.shapes import align, check_floating, check_last_axis, check_rank, parameter


def scale(*, scale_init: Initializer = ones) -> Layer:
    r"""Multiply each feature by a learned number, :math:`y = \gamma \odot x` (layer scale: Touvron et al. 2021, eq. 2).

    Shapes: (..., features), to the same. Params: ``scale (features,)``, ones unless `scale_init` is given; at the end
    of a residual branch something small, as 1e-6, lets it begin as the identity.
    Raises: ShapeError, DtypeError for inputs unlike those of `init`, or integers.

    >>> layer = fn.layers.scale(scale_init=fn.initializers.constant(0.5))
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((3, 2)))
    >>> layer(params, jnp.array([1.0, 2.0]))
    Array([0.5, 1. ], dtype=float32)
    """

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        _check("scale", x, 1, "(..., features)")
        return {"scale": scale_init(key, x.shape[-1:], dtype_of(x))}, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        _check("scale", x, 1, "(..., features)")
        gamma = parameter("scale", params, "scale", (None,))
        check_last_axis("scale", x, gamma.shape[0])
        return x * align(gamma.astype(dtype_of(x)), x), state

    return Layer("scale", init, apply)


def class_token(*, token_init: Initializer | None = None) -> Layer:
    """Put one learned vector before a sequence, to gather what is told of it (Dosovitskiy et al. 2021, eq. 1).

    Shapes: (..., time, features) -> (..., 1 + time, features). Params: ``token (features,)``, normal of standard
    deviation 0.02 unless `token_init` is given.
    Raises: ShapeError, DtypeError for inputs unlike those of `init`, or integers.

    >>> layer = fn.layers.class_token()
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((5, 4)))
    >>> layer(params, jnp.ones((2, 5, 4))).shape
    (2, 6, 4)
    """
    initializer = normal(0.02) if token_init is None else token_init

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        _check("class_token", x, 2, "(..., time, features)")
        return {"token": initializer(key, x.shape[-1:], dtype_of(x))}, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        _check("class_token", x, 2, "(..., time, features)")
        token = parameter("class_token", params, "token", (None,))
        check_last_axis("class_token", x, token.shape[0])
        first = jnp.broadcast_to(token.astype(dtype_of(x)), (*x.shape[:-2], 1, x.shape[-1]))
        return jnp.concatenate([first, x], -2), state

    return Layer("class_token", init, apply)


def _check(where: str, x: Shaped, rank: int, layout: str) -> None:
    check_floating(where, x)
    check_rank(where, x, rank, layout)
