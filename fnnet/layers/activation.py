"""Activations with parameters."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from fnnet.core import Key, Layer, Params, Shaped, State
from fnnet.dtypes import dtype_of
from fnnet.initializers import Initializer, constant
from fnnet.shapes import align, check_floating, check_last_axis, check_rank, parameter


def prelu(*, shared: bool = False, slope_init: Initializer | None = None) -> Layer:
    r"""Rectifier that learns its slope a for negative inputs: :math:`y = \max(x, 0) + a \min(x, 0)`.

    He et al. 2015, eq. 1.

    Shapes: (..., features), to the same. Params: ``slope (features,)``, or () if `shared`; 0.25 at first.

    Law: with slope 0 it is ReLU, with slope 1 the identity.
    Raises: ShapeError if the last axis is not the one `init` saw; DtypeError for integers.

    >>> layer = fn.layers.prelu()
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones(2))
    >>> layer(params, jnp.array([-4.0, 3.0]))
    Array([-1.,  3.], dtype=float32)
    """
    initializer = constant(0.25) if slope_init is None else slope_init

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        check_floating("prelu", x)
        check_rank("prelu", x, 1, "(..., features)")
        return {"slope": initializer(key, () if shared else x.shape[-1:], dtype_of(x))}, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        check_floating("prelu", x)
        slope = parameter("prelu", params, "slope")
        if not shared:
            check_last_axis("prelu", x, slope.shape[0])
            slope = align(slope, x)
        return jnp.where(x >= 0, x, slope * x), state

    return Layer("prelu", init, apply)
