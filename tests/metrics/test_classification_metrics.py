"""Metrics of the predicted class at ties, thresholds and NaN, and of labels to be left out."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest
from metric_toys import N, Y, Z, value

from fnnet import metrics


def test_ignored_labels_are_left_out():
    """`ignore` gives what the other rows alone give."""
    y = np.where(np.arange(N) % 3 == 0, -1, Y)
    rows = y >= 0
    for make in (
        metrics.accuracy,
        partial(metrics.top_k_accuracy, 2),
        partial(metrics.confusion_matrix, 4),
        partial(metrics.f1, 4),
    ):
        metric, ignoring = make(), make(ignore=-1)
        got = jax.jit(lambda *args, m=ignoring: m.compute(m.update(m.init(), *args)))(Z, y)
        want = jax.jit(lambda *args, m=metric: m.compute(m.update(m.init(), *args)))(Z[rows], y[rows])
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_top_k_agrees_with_accuracy():
    """k = 1 is the accuracy, ties included; k of all classes is 1."""
    tied = np.round(Z)
    one, first, all_four = metrics.accuracy(), metrics.top_k_accuracy(1), metrics.top_k_accuracy(4)
    assert first.compute(first.update(first.init(), tied, Y)) == one.compute(one.update(one.init(), tied, Y))
    assert all_four.compute(all_four.update(all_four.init(), Z, Y)) == 1


def test_the_largest_logit_is_the_first_of_equals():
    """Of 0 and -0 too: accuracy, top 1 and the confusion matrix agree on every tie."""
    z = np.array([[0.0, -0.0, -1.0], [-0.0, 0.0, -1.0], [2.0, 2.0, 2.0], [-np.inf, -np.inf, -np.inf]], np.float32)
    for label, share in ((0, 1), (1, 0), (2, 0)):
        y = np.full(4, label)
        assert value(metrics.accuracy(), z, y) == value(metrics.top_k_accuracy(1), z, y) == share
        assert value(metrics.confusion_matrix(3), z, y)[label, 0] == 4


def test_one_nan_among_the_logits_spoils_its_example():
    """Wherever it stands, and though the label's logit be the largest: NaN, unless the example weighs nothing."""
    z, y = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], np.float32), np.array([0, 0])
    for metric in (metrics.accuracy(), metrics.top_k_accuracy(3), metrics.confusion_matrix(3)):
        compute = jax.jit(partial(value, metric))
        for place in range(3):
            spoilt = z.copy()
            spoilt[1, place] = np.nan
            assert np.isnan(compute(spoilt, y, np.ones(2, np.float32))).all()
            np.testing.assert_array_equal(
                compute(spoilt, y, np.array([1, 0], np.float32)), compute(z, y, np.array([1, 0], np.float32))
            )


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_a_score_at_the_threshold_does_not_exceed_it(threshold):
    """It is class 0; at a threshold of 0, so is a score of -0."""
    scores = np.array([-0.0 if threshold == 0 else threshold, threshold, threshold + 2**-20], np.float32)
    target = np.array([0, 0, 1])
    assert value(metrics.binary_accuracy(threshold=threshold), scores, target) == 1
    counts = value(metrics.confusion_matrix(2, threshold=threshold), scores, target)
    np.testing.assert_array_equal(counts, [[2, 0], [0, 1]])


def test_ignore_is_for_labels_not_for_rows():
    """One-hot rows have no label that could be the one to ignore."""
    for metric in (
        metrics.accuracy(ignore=-1),
        metrics.top_k_accuracy(2, ignore=-1),
        metrics.confusion_matrix(4, ignore=-1),
    ):
        with pytest.raises(ValueError, match=f"^{metric.name}: ignore is for integer labels, got ignore=-1 with one"):
            metric.update(metric.init(), Z, np.eye(4, dtype=np.int32)[Y])
