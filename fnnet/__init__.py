"""Functional neural networks on JAX: networks, optimizers and whole training runs as pure functions of pytrees."""

from fnnet import activations, core, errors, initializers, layers, tree
from fnnet.compose import as_layer, serial
from fnnet.core import Layer, Masked, Metric, Optimizer, Task, TrainState
from fnnet.layers import dense

__version__ = "0.1.0"

__all__ = [
    "Layer",
    "Masked",
    "Metric",
    "Optimizer",
    "Task",
    "TrainState",
    "activations",
    "as_layer",
    "core",
    "dense",
    "errors",
    "initializers",
    "layers",
    "serial",
    "tree",
]
