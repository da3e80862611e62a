"""Which formulation computes a correlation, and why."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array

from fnnet.layers.correlation import columns, depthwise, library, winograd
from fnnet.layers.correlation.geometry import Geometry

Formulation: TypeAlias = Literal["auto", "xla", "columns", "depthwise", "winograd2", "winograd4"]
"""How a correlation is computed: the measured choice, or one of the programs by name."""

FORMULATIONS: tuple[Formulation, ...] = ("auto", "xla", "columns", "depthwise", "winograd2", "winograd4")

KINDS: dict[Formulation, str] = {
    "depthwise": "as many groups as input features",
    "winograd2": "float32 and a window 3 × 3 without stride, dilation or groups",
    "winograd4": "float32 and a window 3 × 3 without stride, dilation or groups",
}
"""What the formulations are for that do not compute every correlation."""

_MODULES = {"xla": library, "columns": columns, "depthwise": depthwise}


def computed(name: str, a: Array, b: Array, geometry: Geometry, formulation: Formulation, *, platform: str) -> Array:
    """Return the map called `name` of its two arguments, computed as `formulation` says.

    One that does not fit, as when kernels batched by ``vmap`` have become groups, gives way to columns.
    """
    sizes = {"forward": (a.shape[-1], b.shape[-1]), "kernel_gradient": (a.shape[-1], b.shape[-1])}
    inputs, outputs = sizes.get(name, (b.shape[-2] * geometry.groups, a.shape[-1]))
    chosen = choice(inputs, outputs, geometry, a.dtype, platform) if formulation == "auto" else formulation
    if not fits(chosen, geometry, inputs, a.dtype):
        chosen = "columns"
    if chosen.startswith("winograd"):
        return getattr(winograd, name)(a, b, geometry, int(chosen[-1]))
    return getattr(_MODULES[chosen], name)(a, b, geometry)


def fits(formulation: Formulation, geometry: Geometry, inputs: int, dtype: Any) -> bool:
    """Return whether the formulation computes correlations of this geometry, input features and dtype."""
    if formulation.startswith("winograd"):
        return geometry.window == (3, 3) and geometry.is_dense and dtype == jnp.float32
    return formulation != "depthwise" or geometry.groups == inputs


def choice(inputs: int, outputs: int, geometry: Geometry, dtype: Any, platform: str) -> Formulation:
    """Return the formulation that measured fastest for so many features in and out (``benchmarks/README.md``).

    Off the CPU XLA's own, which calls the vendor's library. On it XLA's gradients take 10 to 100 times as long inside
    loops, and columns are as fast as its matrix product; Winograd's transforms pay from 8 features on.
    """
    if platform != "cpu":
        return "xla"
    if 1 < inputs == geometry.groups:
        return "depthwise"
    if min(inputs, outputs) >= 8 and fits("winograd4", geometry, inputs, dtype):
        return "winograd4"
    return "columns"
