"""Initial values of parameters: ``initializer(key, shape, dtype) -> array``, those of ``jax.nn.initializers``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from jax.nn.initializers import (
    constant,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    ones,
    orthogonal,
    truncated_normal,
    uniform,
    zeros,
)
from jaxtyping import Array

Initializer: TypeAlias = Callable[..., Array]
"""``initializer(key, shape, dtype) -> array``."""

__all__ = [
    "Initializer",
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "zeros",
]
