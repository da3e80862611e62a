"""Weights by class make rare classes count as much as common ones."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import fnnet as fn


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.random.default_rng(0).choice(4, 200, p=[0.6, 0.2, 0.15, 0.05])
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    np.testing.assert_allclose(fn.data.balanced(labels, 4), expected, rtol=1e-6)
    assert fn.data.balanced(labels, 5)[4] == 0


def test_weighed_classes_count_alike():
    """The loss over weighed data is the mean over classes of their mean losses."""
    x = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    y = (np.arange(60) % 10 == 0).astype(np.int32)
    task = fn.Task(fn.dense(2), fn.losses.cross_entropy, fn.sgd(0.1))
    ts = fn.init(task, jax.random.key(0), x)
    weighed = fn.data.weigh(fn.data.Dataset(x, y, ("a", "b")), fn.data.balanced(y, 2))
    by_class = [fn.evaluate(task, ts, (x[y == c], y[y == c]))["loss"] for c in (0, 1)]
    np.testing.assert_allclose(fn.evaluate(task, ts, weighed)["loss"], np.mean(by_class), rtol=1e-5)
    twice = fn.data.weigh(weighed, [1.0, 3.0])[2]
    np.testing.assert_allclose(twice, weighed[2] * np.where(y == 1, 3, 1), rtol=1e-6)


def test_wrong_labels_are_named():
    with pytest.raises(fn.errors.DataError, match="weigh: label 2 at index 1 is not one of the 2 classes"):
        fn.data.weigh((np.ones((2, 1)), np.array([0, 2])), [1.0, 1.0])
    with pytest.raises(fn.errors.DataError, match="weigh: expected"):
        fn.data.weigh(np.ones((2, 1)), [1.0])
