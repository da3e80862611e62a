"""The host's loop: dispatches compiled chunks of a run, and between chunks reports, validates and listens."""

from fnnet.callbacks import Fit
from fnnet.fitting.finding import RateFinding, find_learning_rate
from fnnet.fitting.loop import fit

__all__ = ["Fit", "RateFinding", "find_learning_rate", "fit"]
