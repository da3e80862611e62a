"""Functional neural networks on JAX: networks, optimizers and whole training runs as pure functions of pytrees."""

import importlib
from typing import TYPE_CHECKING, Any

from fnnet import (
    activations,
    callbacks,
    compose,
    core,
    data,
    errors,
    initializers,
    layers,
    optimizers,
    sampling,
    schedules,
    sweeps,
    training,
    transforms,
    tree,
)
from fnnet.compose import (
    as_layer,
    bidirectional,
    collapse,
    ensemble,
    inference,
    named,
    parallel,
    precision,
    remat,
    repeat,
    residual,
    serial,
    shared,
    stop_gradient,
)
from fnnet.core import Layer, Masked, Metric, Optimizer, Task, Terms, TrainState
from fnnet.fitting import Fit, find_learning_rate, fit
from fnnet.layers import (
    attention,
    avg_pool,
    batch_norm,
    conv,
    conv_transpose,
    dense,
    dropout,
    embedding,
    flatten,
    global_pool,
    group_norm,
    gru,
    layer_norm,
    lstm,
    max_pool,
    rms_norm,
    rnn,
)
from fnnet.optimizers import adam, adamw, lbfgs, lion, muon, nadam, rmsprop, sgd
from fnnet.sweeps import Sweep, sweep
from fnnet.training import Record, compiler_options, evaluate, init, predict, run, step
from fnnet.transforms import hyperparams, with_hyperparams

if TYPE_CHECKING:
    from fnnet import (
        augmentation,
        boxes,
        checkpoints,
        inspection,
        layouts,
        logs,
        losses,
        metrics,
        nets,
        neurons,
        plotting,
        testing,
    )
    from fnnet.inspection import summary

__version__ = "0.1.0"

__all__ = [
    "Fit",
    "Layer",
    "Masked",
    "Metric",
    "Optimizer",
    "Record",
    "Sweep",
    "Task",
    "Terms",
    "TrainState",
    "activations",
    "adam",
    "adamw",
    "as_layer",
    "attention",
    "augmentation",
    "avg_pool",
    "batch_norm",
    "bidirectional",
    "boxes",
    "callbacks",
    "checkpoints",
    "collapse",
    "compiler_options",
    "compose",
    "conv",
    "conv_transpose",
    "core",
    "data",
    "dense",
    "dropout",
    "embedding",
    "ensemble",
    "errors",
    "evaluate",
    "find_learning_rate",
    "fit",
    "flatten",
    "global_pool",
    "group_norm",
    "gru",
    "hyperparams",
    "inference",
    "init",
    "initializers",
    "inspection",
    "layer_norm",
    "layers",
    "layouts",
    "lbfgs",
    "lion",
    "logs",
    "losses",
    "lstm",
    "max_pool",
    "metrics",
    "muon",
    "nadam",
    "named",
    "nets",
    "neurons",
    "optimizers",
    "parallel",
    "plotting",
    "precision",
    "predict",
    "remat",
    "repeat",
    "residual",
    "rms_norm",
    "rmsprop",
    "rnn",
    "run",
    "sampling",
    "schedules",
    "serial",
    "sgd",
    "shared",
    "step",
    "stop_gradient",
    "summary",
    "sweep",
    "sweeps",
    "testing",
    "training",
    "transforms",
    "tree",
    "with_hyperparams",
]

# What training itself does not need is imported at its first use, which keeps `import fnnet` quick.
_LATER = (
    "augmentation",
    "boxes",
    "checkpoints",
    "inspection",
    "layouts",
    "logs",
    "losses",
    "metrics",
    "nets",
    "neurons",
    "plotting",
    "testing",
)


def __getattr__(name: str) -> Any:
    if name == "summary":
        return importlib.import_module("fnnet.inspection").summary
    if name in _LATER:
        return importlib.import_module(f"fnnet.{name}")
    raise AttributeError(f"module 'fnnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
