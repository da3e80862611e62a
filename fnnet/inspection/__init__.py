"""Looking at a network: what it holds and what it computes, as arrays and tables."""

from fnnet.inspection.intermediates import Gradients, activations, gradients
from fnnet.inspection.summaries import Summary, SummaryRow, summary

__all__ = ["Gradients", "Summary", "SummaryRow", "activations", "gradients", "summary"]
