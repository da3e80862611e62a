"""Adam's family: where the rectified one begins to adapt."""

import jax.numpy as jnp
import numpy as np
import pytest

from fnnet import transforms


def numpy_radam(gradients, b1, b2, threshold):
    """Return the directions, and at which of them the second moment is used: never below a length of 4."""
    m = v = 0.0
    most, directions, adaptive = 2 / (1 - b2) - 1, [], []
    for t, g in enumerate(gradients, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        length, direction = most - 2 * t * b2**t / (1 - b2**t), m / (1 - b1**t)
        adaptive.append(length >= max(threshold, 4))
        if adaptive[-1]:
            r = np.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
            direction = direction * r / np.sqrt(v / (1 - b2**t))
        directions.append(direction)
    return directions, adaptive


@pytest.mark.parametrize(
    ("b2", "threshold", "first"),
    [(0.999, 5.0, 6), (0.999, 4.0, 5), (0.999, 0.0, 5), (0.9, 6.0, 7), (0.5, 5.0, None), (0.5, 0.0, None)],
)
def test_radam_adapts_from_its_threshold(b2, threshold, first, x64):
    """The momentum alone until the length reaches the threshold, or 4: below it the rectification has no root.

    With b2 = 0.5 the length never reaches 3.
    """
    gradients = np.array([1.0, -3.0, 0.5, 2.0, 4.0, -1.0, 0.1, 2.0, 1.0])
    expected, adaptive = numpy_radam(gradients, 0.9, b2, threshold)
    assert (adaptive.index(True) + 1 if any(adaptive) else None) == first
    optimizer = transforms.scale_by_radam(b2=b2, eps=0.0, threshold=threshold)
    state, directions = optimizer.init({"w": jnp.zeros(())}), []
    for g in gradients:
        updates, state = optimizer.update({"w": jnp.asarray(g)}, state)
        directions.append(float(updates["w"]))
    np.testing.assert_allclose(directions, expected, rtol=1e-7)
