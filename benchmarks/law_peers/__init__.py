"""Layers, losses and optimizers of flax, equinox and optax as subjects of the laws of ``fn.testing``."""

from law_peers.layers import layers


def things():
    """Return all subjects by name."""
    return layers()


__all__ = ["things"]
