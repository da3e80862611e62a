"""Predictions, targets and weights that the tests of the metrics share."""

from __future__ import annotations

import numpy as np

N = 48
rng = np.random.default_rng(0)
Y = rng.integers(0, 4, N)
Z = (rng.normal(size=(N, 4)) + 1.5 * np.eye(4)[Y]).astype(np.float32)
T = rng.integers(0, 2, N)
S = (rng.normal(size=N) + T).astype(np.float32)
MANY_T = rng.integers(0, 2, (N, 3))
MANY_S = rng.normal(size=(N, 3)).astype(np.float32)
REAL = (1000 + rng.normal(size=(N, 2))).astype(np.float32)
GUESS = (REAL + rng.normal(size=(N, 2)) / 2).astype(np.float32)
W = rng.uniform(0.1, 2.0, N).astype(np.float32)
W[::7] = 0


def value(metric, *args):
    """Return what the metric computes after one update."""
    return metric.compute(metric.update(metric.init(), *args))
