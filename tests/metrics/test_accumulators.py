"""Sums and means that lose nothing, and the weights that belong to them."""

from __future__ import annotations

from functools import partial, reduce

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from mask_toys import MASK_LOGITS, MASKS
from metric_toys import GUESS, REAL, S, T, W

from fnnet import metrics
from fnnet.metrics.accumulators import Sum, by_bin, nothing, plus, read, single, total


def test_counts_are_exact_beyond_the_digits_of_float32():
    """2²⁴ + 1 + 1 is not representable in one float32 step by step; the metric counts it."""
    metric = metrics.confusion_matrix(2)
    one = metric.update(metric.init(), jnp.array([0]), jnp.array([0]))
    many = metric.update(metric.init(), jnp.array([0]), jnp.array([0]), jnp.array([2.0**24]))
    assert metric.compute(reduce(metric.merge, [one, one], many))[0, 0] == 2.0**24 + 2


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=100, max_size=100))
def test_compensated_sums(values):
    """The pair is the sum to 1e-12 of the sum of magnitudes, however much cancels: float32 alone manages 1e-5."""
    x = np.array(values, np.float32)
    got = summed(x)
    exact = x.astype(np.float64).sum()
    assert abs(float(got.value) + float(got.error) - exact) <= 1e-12 * np.abs(x).sum(dtype=np.float64)
    again = reduce(pair_plus, [summed(part) for part in x.reshape(10, 10)], nothing())
    assert abs(float(again.value) + float(again.error) - exact) <= 1e-12 * np.abs(x).sum(dtype=np.float64)


summed, pair_plus = jax.jit(total), jax.jit(plus)


@pytest.mark.parametrize(
    ("metric", "prediction", "target"),
    [(metrics.r2(), GUESS, REAL), (metrics.average_precision(8), S, T), (metrics.boundary_f1(3), MASK_LOGITS, MASKS)],
    ids=["r2", "average_precision", "boundary_f1"],
)
def test_a_second_batch_compiles_nothing(metric, prediction, target, programs_of):
    """Without ``jit`` too, where each operation is a program of its own: sums, scans and loops are the same ones."""
    data = jax.tree.map(jnp.asarray, (prediction, target, W))

    def value():
        return float(metric.compute(metric.update(metric.update(metric.init(), *data), *data)))

    value()
    assert programs_of(value) == 0


def test_sums_that_are_not_finite_stay_so():
    """An infinite term makes the sum infinite, not NaN."""
    assert read(plus(single(jnp.array(jnp.inf)), single(jnp.array(1.0)))) == jnp.inf
    assert isinstance(nothing(2), Sum)


def test_weights_belong_to_leading_axes():
    """A weight for each example counts for every element under it, and one for each element is one for each element."""
    metric = metrics.mean_squared_error()
    prediction, target = jnp.array([[1.0, 3.0], [5.0, 7.0]]), jnp.zeros((2, 2))
    assert metric.compute(metric.update(metric.init(), prediction, target, jnp.array([1.0, 0.0]))) == 5
    weight = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    assert metric.compute(metric.update(metric.init(), prediction, target, weight)) == 25
    assert metric.compute(metric.update(metric.init(), prediction, target, jnp.array(3.0))) == 21
    assert np.isnan(metric.compute(metric.init()))


def test_bins_of_many_weights_are_summed_without_loss():
    """2¹⁷ + 3 weights of 1025: their sum in float32, one by one, is off by a thousandth of it."""
    n = 2**17 + 3
    weight, place = np.full(n, 1025.0, np.float32), np.arange(n) % 2
    got = jax.jit(partial(by_bin, bins=3))(place, weight)
    exact = np.bincount(place, weight.astype(np.float64), minlength=3)
    assert np.add.accumulate(weight)[-1] != exact.sum()
    np.testing.assert_array_equal(np.float64(got.value) + np.float64(got.error), exact)
