"""Digits that stand in any place of a larger field, which is harder than in its middle."""

import numpy as np

FIELD = 12  # pixels a side; a digit has 8


def placed(x, shift, seed):
    """Return each image of 8 × 8 pixels within a larger field, up to `shift` pixels from its middle."""
    places = (FIELD - 8) // 2 + np.random.default_rng(seed).integers(-shift, shift + 1, (len(x), 2))
    fields = np.zeros((len(x), FIELD, FIELD), np.float32)
    for field, image, (row, column) in zip(fields, x.reshape(-1, 8, 8), places, strict=True):
        field[row : row + 8, column : column + 8] = image
    return fields.reshape(len(x), -1)
