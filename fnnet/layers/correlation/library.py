"""Correlations as XLA has them: `jax.lax.conv_general_dilated` and its transposes."""

from __future__ import annotations

import jax
from jax import lax
from jaxtyping import Array

from fnnet.layers.correlation.geometry import Geometry


def forward(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """Return the correlation of `x` with `kernel`."""
    space = "".join(chr(ord("a") + axis) for axis in range(len(geometry.window)))
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=geometry.stride,
        padding=geometry.padding,
        rhs_dilation=geometry.dilation,
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
        feature_group_count=geometry.groups,
    )


def input_gradient(y: Array, kernel: Array, geometry: Geometry) -> Array:
    """Return the gradient of Σ y · forward(x, kernel) by x."""
    x = jax.ShapeDtypeStruct((y.shape[0], *geometry.sizes, kernel.shape[-2] * geometry.groups), y.dtype)
    return jax.linear_transpose(lambda x: forward(x, kernel, geometry), x)(y)[0]


def kernel_gradient(x: Array, y: Array, geometry: Geometry) -> Array:
    """Return the gradient of Σ y · forward(x, kernel) by the kernel."""
    shape = (*geometry.window, x.shape[-1] // geometry.groups, y.shape[-1])
    kernel = jax.ShapeDtypeStruct(shape, y.dtype)
    return jax.linear_transpose(lambda kernel: forward(x, kernel, geometry), kernel)(y)[0]
