"""Sweeps: the runs of many hyperparameters and seeds, as few programs as their structure allows."""

from fnnet.sweeps.layouts import Timing
from fnnet.sweeps.space import choice, grid, log_uniform, sample, uniform
from fnnet.sweeps.sweeping import Report, Sweep, sweep

__all__ = ["Report", "Sweep", "Timing", "choice", "grid", "log_uniform", "sample", "sweep", "uniform"]
