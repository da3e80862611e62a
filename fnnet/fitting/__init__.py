"""The host's loop: dispatches compiled chunks of a run, and between chunks reports, validates and listens."""

from fnnet.callbacks import Fit
from fnnet.fitting.loop import fit

__all__ = ["Fit", "fit"]
