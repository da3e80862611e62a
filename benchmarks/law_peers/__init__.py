"""Layers, losses, optimizers and schedules of flax, equinox and optax as subjects of the laws of ``fn.testing``."""

from law_peers.layers import layers
from law_peers.losses import losses
from law_peers.optimizers import optimizers, schedules


def things():
    """Return all subjects by name."""
    return {**layers(), **losses(), **optimizers(), **schedules()}


__all__ = ["things"]
