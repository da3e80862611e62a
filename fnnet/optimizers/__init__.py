"""Optimizers: named chains of transforms."""

from fnnet.optimizers.adaptive import adam
from fnnet.optimizers.plain import sgd

__all__ = ["adam", "sgd"]
