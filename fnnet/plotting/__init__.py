"""Pictures of what training and inspection return; needs matplotlib (``pip install 'fnnet[plot]'``)."""

from fnnet.plotting.curves import learning_curves
from fnnet.plotting.depth import activation_histograms, gradient_flow, probe_curve, saturation, signal
from fnnet.plotting.diagrams import activation_table, architecture, spectrum
from fnnet.plotting.labelled import confusion, masks, objects
from fnnet.plotting.pixels import feature_maps, filters, heat_over, images
from fnnet.plotting.planes import decision_regions, representation, surface
from fnnet.plotting.sweeps import heat_map, parallel_coordinates

__all__ = [
    "activation_histograms",
    "activation_table",
    "architecture",
    "confusion",
    "decision_regions",
    "feature_maps",
    "filters",
    "gradient_flow",
    "heat_map",
    "heat_over",
    "images",
    "learning_curves",
    "masks",
    "objects",
    "parallel_coordinates",
    "probe_curve",
    "representation",
    "saturation",
    "signal",
    "spectrum",
    "surface",
]
