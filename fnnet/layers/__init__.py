"""Layers: factories of ``Layer``, channels last."""

from fnnet.layers.dense import dense

__all__ = ["dense"]
