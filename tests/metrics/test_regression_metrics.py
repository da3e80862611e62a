"""R² where its plain formula has no digit left, or nothing to divide by."""

from __future__ import annotations

from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics as sk
from metric_toys import N, value

from fnnet import metrics


def doubles(*arrays):
    return [array.astype(np.float64) for array in arrays]


def test_r2_is_not_spoilt_by_an_offset():
    """Targets of 1e6 ± 1, in any batches: a sum of squares in float32 would have no digit left."""
    draw = np.random.default_rng(1)
    y = (1e6 + draw.normal(size=N)).astype(np.float32)
    guess = (y + draw.normal(size=N) / 4).astype(np.float32)
    metric = metrics.r2()
    parts = [metric.update(metric.init(), guess[i : i + 12], y[i : i + 12]) for i in range(0, N, 12)]
    np.testing.assert_allclose(
        metric.compute(reduce(metric.merge, parts)), sk.r2_score(y.astype(float), guess.astype(float)), rtol=1e-6
    )


def test_r2_of_a_constant_target():
    """1 if met exactly, else 0, as scikit-learn has it; of nothing, NaN."""
    metric, flat = metrics.r2(), jnp.full(4, 0.1)
    assert metric.compute(metric.update(metric.init(), flat, flat)) == 1
    assert metric.compute(metric.update(metric.init(), flat + 1, flat)) == 0
    assert np.isnan(metric.compute(metric.init()))


def test_r2_does_not_hide_a_nan_behind_a_constant_target():
    """A prediction that is NaN makes the result NaN, whatever the targets."""
    metric = metrics.r2()
    acc = metric.update(metric.init(), jnp.array([jnp.nan, 1.0]), jnp.ones(2))
    assert jnp.isnan(metric.compute(acc))


def test_r2_of_a_constant_column_is_that_of_the_column_alone():
    """One output of three is constant, met exactly or not: it counts 1 or 0 in the mean, in any batches and weights."""
    draw = np.random.default_rng(2)
    target = draw.normal(size=(12, 3)).astype(np.float32)
    target[:, 1] = 0.1
    guess = target + draw.normal(size=(12, 3)).astype(np.float32) / 4
    guess[:, 1] = 0.1
    weight = draw.uniform(0.1, 2.0, 12).astype(np.float32)
    metric = metrics.r2(3)
    update = jax.jit(metric.update)
    for met, miss in ((1.0, 0.0), (0.0, 1e-3)):
        guess[5, 1] = np.float32(0.1) + np.float32(miss)
        parts = [update(metric.init(), guess[i::3], target[i::3], weight[i::3]) for i in range(3)]
        want = [sk.r2_score(*doubles(target[:, i], guess[:, i]), sample_weight=weight.astype(float)) for i in (0, 2)]
        np.testing.assert_allclose(metric.compute(reduce(metric.merge, parts)), (sum(want) + met) / 3, rtol=1e-6)


def test_batches_that_are_each_constant_are_not_together():
    """Two flat batches of different height vary: their R² is that of the whole."""
    metric = metrics.r2()
    low, high = np.full(4, 0.1, np.float32), np.full(4, 0.3, np.float32)
    a, b = metric.update(metric.init(), low, low), metric.update(metric.init(), high + np.float32(0.1), high)
    np.testing.assert_allclose(metric.compute(metric.merge(a, b)), 0.5, rtol=1e-5)


@pytest.mark.parametrize("level", [0.1, -0.1])
def test_what_weighs_nothing_does_not_make_a_target_vary(level):
    """Counted targets are constant and missed: 0, though another target is at 7 without a weight."""
    metric = metrics.r2()
    target, weight = np.array([level, level, 7.0, level], np.float32), np.array([1, 2, 0, 1], np.float32)
    assert value(metric, target + np.float32(0.1), target, weight) == 0
