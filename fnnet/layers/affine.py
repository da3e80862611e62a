"""A kernel and perhaps a bias, as dense, convolutional and attention layers hold them."""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import Array

from fnnet.core import Key, Params
from fnnet.initializers import Initializer
from fnnet.shapes import align


def init_affine(
    key: Key, shape: tuple[int, ...], dtype: Any, kernel_init: Initializer, bias_init: Initializer | None
) -> dict[str, Array]:
    """Return ``{"kernel", "bias"}`` for a kernel of `shape`, its last axis that of the outputs; no bias if None."""
    kernel = {"kernel": kernel_init(key, shape, dtype)}
    # By the kernel's own key the bias would be drawn equal to the kernel's first row.
    return kernel if bias_init is None else kernel | {"bias": bias_init(jax.random.fold_in(key, 1), shape[-1:], dtype)}


def add_bias(params: Params, y: Array) -> Array:
    """Return y + bias, or y where there is none."""
    return y + align(params["bias"], y) if "bias" in params else y
