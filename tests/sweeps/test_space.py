"""The points of a space are functions of its lists or of a key."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from fnnet import sweeps

pytestmark = pytest.mark.types
KEY = jax.random.key(3)


def test_a_grid_has_every_combination_once():
    points = sweeps.grid({"a": [1, 2], "b": ("x", "y", "z")})
    assert [(p["a"], p["b"]) for p in points] == [(a, b) for a in (1, 2) for b in "xyz"]
    assert sweeps.grid({"a": np.array([0.5])}) == [{"a": 0.5}]


def test_a_sample_is_a_function_of_the_key_and_grows_at_its_end():
    draws = {"rate": sweeps.log_uniform(1e-4, 1e-1), "width": sweeps.choice(8, 16), "drop": sweeps.uniform(0, 0.5)}
    points = sweeps.sample(KEY, 200, draws)
    assert points[:20] == sweeps.sample(KEY, 20, draws)
    assert points != sweeps.sample(jax.random.key(4), 200, draws)
    logs = np.log10([p["rate"] for p in points])
    assert -4 <= logs.min() < -3.8
    assert -1.2 < logs.max() <= -1
    # Uniform: mean -2.5, standard deviation 3/√12, so that of the mean of 200 is 0.061.
    assert abs(logs.mean() + 2.5) < 0.25
    assert 60 < sum(p["width"] == 8 for p in points) < 140
    assert abs(np.corrcoef(logs, [p["drop"] for p in points])[0, 1]) < 0.25


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sweeps.uniform(1, 1), "low below high"),
        (lambda: sweeps.log_uniform(0, 1), "above 0"),
        (lambda: sweeps.choice(), "at least one"),
        (lambda: sweeps.sample(KEY, 0, {}), "at least 1"),
    ],
)
def test_what_is_no_distribution_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
