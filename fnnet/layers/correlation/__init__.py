"""Correlations, the linear part of convolutions: three bilinear maps, computed in the way that measures fastest."""

from fnnet.layers.correlation.choice import FORMULATIONS, KINDS, Formulation, fits
from fnnet.layers.correlation.geometry import Geometry
from fnnet.layers.correlation.maps import correlate, transpose_correlate

__all__ = ["FORMULATIONS", "KINDS", "Formulation", "Geometry", "correlate", "fits", "transpose_correlate"]
