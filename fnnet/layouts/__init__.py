"""Weights to and from the layouts of torch, Flax and Keras: other names, other axes, the same outputs."""

from fnnet.layouts.files import read, write
from fnnet.layouts.libraries import Layout, keras, linen, nnx, torch
from fnnet.layouts.rules import Rule, apart, move, together
from fnnet.layouts.transport import from_layout, to_layout

__all__ = [
    "Layout",
    "Rule",
    "apart",
    "from_layout",
    "keras",
    "linen",
    "move",
    "nnx",
    "read",
    "to_layout",
    "together",
    "torch",
    "write",
]
