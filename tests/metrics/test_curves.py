"""Ranking metrics: the exact ones against scikit-learn, the binned ones against their stated bound."""

from __future__ import annotations

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given

from fnnet import metrics

N = 48
rng = np.random.default_rng(0)
T = rng.integers(0, 2, N)
S = (rng.normal(size=N) + T).astype(np.float32)
W = rng.uniform(0.1, 2.0, N).astype(np.float32)
W[::7] = 0
CURVES = {"roc_auc": (metrics.roc_auc, sk.roc_auc_score, metrics.roc_auc_error, metrics.exact_roc_auc)} | {
    "average_precision": (
        metrics.average_precision,
        sk.average_precision_score,
        metrics.average_precision_error,
        metrics.exact_average_precision,
    )
}


@pytest.mark.parametrize("name", CURVES)
@given(seed=st.integers(0, 10**6), bins=st.sampled_from([2, 8]), grain=st.sampled_from([0.0, 0.5]))
def test_binned_curves_are_within_their_bound(name, seed, bins, grain):
    """|binned - exact| <= the stated bound, whatever scores, ties, weights and bins; exact is scikit-learn's."""
    _, theirs, _, exact = CURVES[name]
    draw = np.random.default_rng(seed)
    t = np.append(draw.integers(0, 2, N - 2), [0, 1])
    s = (draw.normal(size=N) * draw.choice([0.1, 3.0]) + t).astype(np.float32)
    s = np.round(s / grain) * grain if grain else s
    want = theirs(t, s, sample_weight=W.astype(float) + 0.1)
    np.testing.assert_allclose(exact(s, t, W.astype(float) + 0.1), want, rtol=1e-12)
    got, error = ranked[name, bins](s.astype(np.float32), t, W + np.float32(0.1))
    assert abs(float(got) - want) <= float(error) + 1e-6


def value_and_bound(metric, bound):
    def of_scores(s, t, w=None):
        acc = metric.update(metric.init(), s, t, w)
        return metric.compute(acc), bound(acc)

    return jax.jit(of_scores)


ranked = {(name, n): value_and_bound(curve[0](n), curve[2]) for name, curve in CURVES.items() for n in (2, 8, 1024)}


@pytest.mark.parametrize("name", CURVES)
def test_binned_curves_are_near_exact_with_many_bins(name):
    """With the default bins and 5000 scores the bound is below a hundredth, and is not vacuous at 8 bins."""
    _, theirs, _, exact = CURVES[name]
    t = rng.integers(0, 2, 5000)
    s = (rng.normal(size=5000) * 2 + t).astype(np.float32)
    for bins, limit in ((1024, 0.01), (8, 0.3)):
        got, error = ranked[name, bins](s, t)
        assert abs(float(got) - theirs(t, s)) <= float(error) < limit
    assert exact(s, t) == pytest.approx(theirs(t, s), rel=1e-12)


def test_scores_at_the_ends_of_float32_are_ranked():
    """Infinite and huge scores fall in the outermost bins."""
    s = jnp.array([-jnp.inf, -3e38, 3e38, jnp.inf])
    for ours in (metrics.roc_auc(), metrics.average_precision()):
        assert float(ours.compute(ours.update(ours.init(), s, jnp.array([0, 0, 1, 1])))) == 1


def test_curves_equal_scikit_learns():
    """Points at every distinct score, without the ones that scikit-learn adds or drops."""
    fpr, tpr, at = metrics.roc_curve(S, T, W)
    for ours, theirs in zip(
        (fpr, tpr, at), sk.roc_curve(T, S, sample_weight=W.astype(float), drop_intermediate=False), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    p, r, at = metrics.precision_recall_curve(S, T, W + 1)
    theirs = sk.precision_recall_curve(T, S, sample_weight=W.astype(float) + 1)
    np.testing.assert_allclose(p[::-1], theirs[0][:-1], rtol=1e-6)
    np.testing.assert_allclose(r[::-1], theirs[1][:-1], rtol=1e-6)
    np.testing.assert_allclose(at[::-1], theirs[2], rtol=1e-12)


def test_curves_of_one_class_are_nan():
    """Without positives, or without negatives, the area is not a number."""
    for labels in (np.zeros(N, int), np.ones(N, int)):
        acc = metrics.roc_auc().update(metrics.roc_auc().init(), S, labels)
        assert np.isnan(metrics.exact_roc_auc(S, labels))
        assert np.isnan(metrics.roc_auc().compute(acc))
    assert np.isnan(metrics.exact_average_precision(S, np.zeros(N, int)))


def test_a_score_on_an_edge_is_in_the_bin_above():
    """Between two bins the edge is 0, which ties with -0 and with what is above, not with what is below."""
    area = ranked["roc_auc", 2]
    for scores, want in (([-0.1, 0.0], 1.0), ([0.0, 0.1], 0.5), ([-0.0, 0.0], 0.5), ([0.0, -0.0], 0.5)):
        assert area(np.array(scores, np.float32), np.array([0, 1]))[0] == want
    assert metrics.exact_roc_auc([-0.0, 0.0], [0, 1]) == 0.5


def test_the_bound_of_average_precision_is_met_and_needs_both_of_its_halves():
    """A bin whose positive is first errs by all of the upper distance; one whose positives are last, beyond it."""
    of_scores = ranked["average_precision", 2]
    s, t = np.array([4, 3, 2, 1], np.float32), np.array([1, 0, 0, 0])
    got, error = of_scores(s, t)
    np.testing.assert_allclose([got, error], [0.25, 0.75], rtol=1e-6)
    assert metrics.exact_average_precision(s, t) == 1

    # Ten negatives above; below them, in one bin, a negative before ten positives.
    s, t, w = np.append(1.0, -np.arange(1.0, 12)).astype(np.float32), np.append([0, 0], np.ones(10)), np.ones(12)
    w[0] = 10
    got, error = of_scores(s, t, w.astype(np.float32))
    np.testing.assert_allclose([got, error], [10 / 21, 10 / 21], rtol=1e-6)
    upper = 10 / 20 - 10 / 21
    distance = got - metrics.exact_average_precision(s, t, w)
    assert upper < distance <= error
    assert metrics.exact_average_precision(s, t, w) == pytest.approx(sk.average_precision_score(t, s, sample_weight=w))
