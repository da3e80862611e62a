"""Predictions, targets and weights that the tests of the losses share."""

from __future__ import annotations

import numpy as np
import pytest

rng = np.random.default_rng(0)
Z = rng.normal(size=(4, 3)).astype(np.float32) * 3
Y = np.array([0, 2, 1, 2])
SOFT = rng.dirichlet([0.5, 0.5, 0.5], 4).astype(np.float32)
T = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0]])
REAL = rng.normal(size=(4, 3)).astype(np.float32) * 2
COUNTS = rng.poisson(2.0, (4, 3))
WEIGHTS = np.array([0.5, 2.0, 1.0], np.float32)
BOXES = tuple(
    np.concatenate([corner, corner + sides], -1).astype(np.float32)
    for corner, sides in ((rng.uniform(0, 3, (4, 2)), rng.uniform(2, 6, (4, 2))) for _ in range(2))
)


def fails(error, *parts):
    return pytest.raises(error, match="(?s)" + ".*".join(parts))
