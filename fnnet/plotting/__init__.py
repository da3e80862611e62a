"""Pictures of what training and inspection return; needs matplotlib (``pip install 'fnnet[plot]'``)."""

from fnnet.plotting.curves import learning_curves

__all__ = ["learning_curves"]
