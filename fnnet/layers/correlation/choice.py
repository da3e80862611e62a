"""Which formulation computes a correlation, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

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
    """Return the map called `name` of its two arguments, computed as `formulation` says."""
    chosen = choice(name, a, b, geometry, platform) if formulation == "auto" else formulation
    if chosen.startswith("winograd"):
        return getattr(winograd, name)(a, b, geometry, int(chosen[-1]))
    return getattr(_MODULES[chosen], name)(a, b, geometry)


def fits(formulation: Formulation, geometry: Geometry, features: int, dtype: object) -> bool:
    """Return whether the formulation computes correlations of this geometry and kind."""
    if formulation.startswith("winograd"):
        return geometry.window == (3, 3) and geometry.is_dense and dtype == jnp.float32
    return formulation != "depthwise" or geometry.groups == features


def choice(name: str, a: Array, b: Array, geometry: Geometry, platform: str) -> Formulation:
    """Return the formulation that measures fastest."""
    if platform != "cpu":
        return "xla"
    features = (b.shape[-2] if name == "input_gradient" else a.shape[-1] // geometry.groups) * geometry.groups
    if geometry.groups == features:
        return "columns" if features == 1 else "depthwise"
    few = min(features, (a if name == "input_gradient" else b).shape[-1]) < 8
    return "winograd4" if fits("winograd4", geometry, features, a.dtype) and not few else "columns"
