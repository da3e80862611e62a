"""Pictures of what training and inspection return; needs matplotlib (``pip install 'fnnet[plot]'``)."""

from fnnet.plotting.curves import learning_curves
from fnnet.plotting.sweeps import heat_map, parallel_coordinates

__all__ = ["heat_map", "learning_curves", "parallel_coordinates"]
