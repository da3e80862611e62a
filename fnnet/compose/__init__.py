"""Layers made of layers. Every function here takes layers and returns one; none knows a concrete layer.

A layer is anything with ``init`` and ``apply`` of the signatures of ``fnnet.core.Layer``, or a function array -> array.
Compositions of several layers (``serial``, ``parallel``, ``residual``, ``shared``) give each child an entry of its own
in parameters and state, and a key made of its name. Those of one layer (``repeat``, ``ensemble``, ``remat``,
``precision``, ``stop_gradient``, ``inference``, ``named``, ``on_values``) have the entries of that layer.
"""

from fnnet.activations import identity
from fnnet.compose.affine import collapse
from fnnet.compose.branches import add, as_tuple, bidirectional, concat, parallel, residual
from fnnet.compose.chains import serial
from fnnet.compose.children import InitApply, LayerLike, apply_child, as_layer, child_key
from fnnet.compose.copies import SharedLayer, ensemble, repeat, shared
from fnnet.compose.wrappers import inference, named, on_values, precision, remat, stop_gradient

__all__ = [
    "InitApply",
    "LayerLike",
    "SharedLayer",
    "add",
    "apply_child",
    "as_layer",
    "as_tuple",
    "bidirectional",
    "child_key",
    "collapse",
    "concat",
    "ensemble",
    "identity",
    "inference",
    "named",
    "on_values",
    "parallel",
    "precision",
    "remat",
    "repeat",
    "residual",
    "serial",
    "shared",
    "stop_gradient",
]
