"""Looking at a network: what it holds and what it computes, as arrays and tables."""

from fnnet.inspection.attributions import grad_cam, saliency
from fnnet.inspection.curvatures import Curvature, Spectrum, curvature, hessian_spectrum
from fnnet.inspection.doctor import Health, health
from fnnet.inspection.intermediates import Gradients, activations, gradients
from fnnet.inspection.landscapes import (
    Grid,
    Plane,
    Surface,
    decision_grid,
    filter_normalised,
    loss_surface,
    optimizer_paths,
    plane,
    project,
)
from fnnet.inspection.probes import Probe, Representation, linear_probe, representation
from fnnet.inspection.signals import Signal, dead_units, saturation, signal, slopes
from fnnet.inspection.summaries import Summary, SummaryRow, summary
from fnnet.inspection.symptoms import Finding

__all__ = [
    "Curvature",
    "Finding",
    "Gradients",
    "Grid",
    "Health",
    "Plane",
    "Probe",
    "Representation",
    "Signal",
    "Spectrum",
    "Summary",
    "SummaryRow",
    "Surface",
    "activations",
    "curvature",
    "dead_units",
    "decision_grid",
    "filter_normalised",
    "grad_cam",
    "gradients",
    "health",
    "hessian_spectrum",
    "linear_probe",
    "loss_surface",
    "optimizer_paths",
    "plane",
    "project",
    "representation",
    "saliency",
    "saturation",
    "signal",
    "slopes",
    "summary",
]
