"""Metrics: mergeable accumulators, exact over ragged batches, over any split of the data, and over devices."""

from fnnet.metrics.classification import accuracy

__all__ = ["accuracy"]
