"""Optimizers: named chains of transforms."""

from fnnet.optimizers.adaptive import adam, adamax, adamw, amsgrad, nadam, nadamw, radam
from fnnet.optimizers.plain import adadelta, adagrad, lion, rmsprop, sgd
from fnnet.optimizers.structured import adafactor, lamb, lars, lbfgs, muon

__all__ = [
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "lamb",
    "lars",
    "lbfgs",
    "lion",
    "muon",
    "nadam",
    "nadamw",
    "radam",
    "rmsprop",
    "sgd",
]
