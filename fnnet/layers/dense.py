"""The dense layer: every unit sees every unit of the layer before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from fnnet.activations import matching_initializer
from fnnet.core import Key, Layer, Params, Shaped, State
from fnnet.initializers import Initializer, zeros
from fnnet.layers.affine import add_bias, init_affine
from fnnet.shapes import check_floating, check_last_axis, check_rank


def dense(
    features: int,
    *,
    activation: Callable[[Any], Any] | None = None,
    kernel_init: Initializer | None = None,
    bias_init: Initializer | None = zeros,
) -> Layer:
    r"""Affine map of the last axis, then the activation: :math:`y = \phi(xW + b)`.

    Shapes: ``(..., n) -> (..., features)``. Params, of the input's dtype: ``kernel (n, features)``, and
    ``bias (features,)`` unless `bias_init` is None. Without `kernel_init` the kernel is drawn by the initializer that
    matches `activation` (``activations.TABLE``: He for ReLU, Glorot for sigmoid); LeCun normal, variance 1/n, where no
    activation is given.

    Law: ``dense(n, activation=f)`` is ``serial(dense(n, kernel_init=matching_initializer(f)), f)``.
    Raises: ValueError if ``features < 1``; ShapeError if the last axis is not the one `init` saw; DtypeError for
    integers.

    >>> layer = dense(3)
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((2, 5)))
    >>> layer(params, jnp.ones((2, 5))).shape
    (2, 3)
    """
    if features < 1:
        raise ValueError(f"dense: features must be at least 1, got {features}")
    initializer = matching_initializer(activation) if kernel_init is None else kernel_init

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        check_floating("dense", x)
        check_rank("dense", x, 1, "(..., features)")
        return init_affine(key, (x.shape[-1], features), x.dtype, initializer, bias_init), {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        check_last_axis("dense", x, params["kernel"].shape[0])
        y = add_bias(params, jnp.matmul(x, params["kernel"]))
        return (y if activation is None else activation(y)), state

    return Layer("dense", init, apply)
