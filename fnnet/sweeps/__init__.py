"""Sweeps: the runs of many hyperparameters and seeds, as few programs as their structure allows."""

from fnnet.sweeps.halving import Halving, halving, survivors
from fnnet.sweeps.layouts import Timing
from fnnet.sweeps.space import choice, grid, log_uniform, sample, uniform
from fnnet.sweeps.sweeping import Report, Sweep, sweep

__all__ = [
    "Halving",
    "Report",
    "Sweep",
    "Timing",
    "choice",
    "grid",
    "halving",
    "log_uniform",
    "sample",
    "survivors",
    "sweep",
    "uniform",
]
