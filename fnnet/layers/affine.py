"""The dense layer, and the kernel and bias that it, convolutions and attention hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array

from fnnet.activations import check_activation, matching_initializer
from fnnet.core import Key, Layer, Params, Shaped, State
from fnnet.dtypes import dtype_of
from fnnet.initializers import Initializer, zeros
from fnnet.shapes import align, check_count, check_floating, check_last_axis, check_rank, parameter


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
    Raises: ValueError unless `features` is a whole number of at least 1; TypeError unless `activation` is a function;
    ShapeError if the last axis is not the one `init` saw, or `params` are those of other `features`; DtypeError for
    integers; PathError where `params` lacks an entry.

    >>> layer = dense(3)
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((2, 5)))
    >>> layer(params, jnp.ones((2, 5))).shape
    (2, 3)
    """
    check_count("dense", "features", features)
    check_activation("dense", activation)
    initializer = matching_initializer(activation) if kernel_init is None else kernel_init

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        check_floating("dense", x)
        check_rank("dense", x, 1, "(..., features)")
        return init_affine(key, (x.shape[-1], features), dtype_of(x), initializer, bias_init), {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        kernel = parameter("dense", params, "kernel", (None, features))
        check_last_axis("dense", x, kernel.shape[0])
        y = add_bias("dense", params, jnp.matmul(x, kernel), bias_init)
        return activated(activation, y), state

    return Layer("dense", init, apply)


def init_affine(
    key: Key, shape: tuple[int, ...], dtype: Any, kernel_init: Initializer, bias_init: Initializer | None
) -> dict[str, Array]:
    """Return ``{"kernel", "bias"}`` for a kernel of `shape`, its last axis that of the outputs; no bias if None."""
    kernel = {"kernel": kernel_init(key, shape, dtype)}
    # By the kernel's own key the bias would be drawn equal to the kernel's first row.
    return kernel if bias_init is None else kernel | {"bias": bias_init(jax.random.fold_in(key, 1), shape[-1:], dtype)}


def add_bias(where: str, params: Params, y: Array, bias_init: Initializer | None) -> Array:
    """Return y + bias, or y for a layer that has none, its `bias_init` being None."""
    return y if bias_init is None else y + align(parameter(where, params, "bias", y.shape[-1:]), y)


def activated(activation: Callable[[Any], Any] | None, z: Array) -> Array:
    """Return φ(z), with z tagged as a value within the layer; z itself if there is no activation."""
    return z if activation is None else activation(checkpoint_name(z, "z"))
