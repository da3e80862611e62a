"""Functional neural networks on JAX: networks, optimizers and whole training runs as pure functions of pytrees."""

from fnnet import (
    activations,
    callbacks,
    checkpoints,
    compose,
    core,
    data,
    errors,
    initializers,
    inspection,
    layers,
    losses,
    metrics,
    optimizers,
    plotting,
    schedules,
    transforms,
    tree,
)
from fnnet.compose import as_layer, serial
from fnnet.core import Layer, Masked, Metric, Optimizer, Task, TrainState
from fnnet.fitting import Fit, fit
from fnnet.inspection import summary
from fnnet.layers import dense
from fnnet.optimizers import adam, sgd
from fnnet.training import evaluate, init, predict, run, step

__version__ = "0.1.0"

__all__ = [
    "Fit",
    "Layer",
    "Masked",
    "Metric",
    "Optimizer",
    "Task",
    "TrainState",
    "activations",
    "adam",
    "as_layer",
    "callbacks",
    "checkpoints",
    "compose",
    "core",
    "data",
    "dense",
    "errors",
    "evaluate",
    "fit",
    "init",
    "initializers",
    "inspection",
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "plotting",
    "predict",
    "run",
    "schedules",
    "serial",
    "sgd",
    "step",
    "summary",
    "transforms",
    "tree",
]
