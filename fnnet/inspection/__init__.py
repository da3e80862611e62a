"""Looking at a network: what it holds and what it computes, as arrays and tables."""

from fnnet.inspection.health import Signal, dead_units, saturation, signal, slopes
from fnnet.inspection.intermediates import Gradients, activations, gradients
from fnnet.inspection.probes import Probe, Representation, linear_probe, representation
from fnnet.inspection.summaries import Summary, SummaryRow, summary

__all__ = [
    "Gradients",
    "Probe",
    "Representation",
    "Signal",
    "Summary",
    "SummaryRow",
    "activations",
    "dead_units",
    "gradients",
    "linear_probe",
    "representation",
    "saturation",
    "signal",
    "slopes",
    "summary",
]
