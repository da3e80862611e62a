"""Looking at a network: what it holds and what it computes, as arrays and tables."""

from fnnet.inspection.doctor import Health, health
from fnnet.inspection.intermediates import Gradients, activations, gradients
from fnnet.inspection.probes import Probe, Representation, linear_probe, representation
from fnnet.inspection.signals import Signal, dead_units, saturation, signal, slopes
from fnnet.inspection.summaries import Summary, SummaryRow, summary
from fnnet.inspection.symptoms import Finding

__all__ = [
    "Finding",
    "Gradients",
    "Health",
    "Probe",
    "Representation",
    "Signal",
    "Summary",
    "SummaryRow",
    "activations",
    "dead_units",
    "gradients",
    "health",
    "linear_probe",
    "representation",
    "saturation",
    "signal",
    "slopes",
    "summary",
]
