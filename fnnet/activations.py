"""Activations, and one table of what is known of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.nn import relu, sigmoid, tanh

from fnnet.initializers import Initializer, glorot_uniform, he_normal, lecun_normal

__all__ = ["matching_initializer", "relu", "sigmoid", "tanh"]


def matching_initializer(activation: Callable[[Any], Any] | None) -> Initializer:
    """Return the kernel initializer that keeps the signal's variance through `activation`; LeCun normal if None."""
    if activation is relu:
        return he_normal()
    if activation in (sigmoid, tanh):
        return glorot_uniform()
    return lecun_normal()
