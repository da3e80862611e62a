"""Layers, losses, optimizers and schedules of flax, equinox and optax as subjects of the laws of ``fn.testing``."""

from law_peers.layers import layers
from law_peers.losses import losses
from law_peers.optimizers import optimizers, schedules

LAWS_OF = dict.fromkeys(("equinox.BatchNorm, ema, trained", "equinox.BatchNorm, batch, trained"), "it_is_its_reference")
"""The one law that is asked of a thing that is made for it."""


def things():
    """Return all subjects by name."""
    return {**layers(), **losses(), **optimizers(), **schedules()}


__all__ = ["LAWS_OF", "things"]
