"""Long searches for counter-examples, with fresh draws each time; ``.ci/run`` alone runs them (``pytest -m hunt``)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import log_softmax
from sklearn import metrics as sklearn_metrics

import fnnet as fn
from fnnet import sampling

pytestmark = pytest.mark.hunt

# XLA takes subnormal numbers for zero, so an argmax over them is not NumPy's.
LOGITS = arrays.arrays(np.float32, (4, 3), elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False))
LABELS = arrays.arrays(np.int32, (4,), elements=st.integers(0, 2))

_cross_entropy = jax.jit(jax.value_and_grad(lambda z, y: fn.losses.cross_entropy(z, y).sum()))
_focal = jax.jit(jax.value_and_grad(lambda z, y: fn.losses.focal(z, y).sum()))
_binary = jax.jit(jax.value_and_grad(lambda z, y: fn.losses.binary_cross_entropy(z, y).sum()))


@given(logits=LOGITS, labels=LABELS)
def test_losses_of_any_logits(logits, labels):
    """Values are those of float64; gradients are finite, and those of cross-entropy sum to zero over the classes."""
    value, gradient = _cross_entropy(logits, labels)
    expected = -log_softmax(logits.astype(np.float64), axis=1)[np.arange(4), labels].sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.sum(gradient, axis=1), 0, atol=1e-5)
    value, gradient = _focal(logits, labels)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    targets = (labels > 1).astype(np.float32)
    value, gradient = _binary(logits[:, 0], targets)
    z = logits[:, 0].astype(np.float64)
    np.testing.assert_allclose(value, (np.logaddexp(0, z) - targets * z).sum(), rtol=1e-5, atol=1e-5)
    assert (np.abs(gradient) <= 1).all()


@jax.jit
def _accumulated(logits, labels, weight):
    metrics = (fn.metrics.accuracy(), fn.metrics.f1(3, average="macro"))
    return [metric.compute(metric.update(metric.init(), logits, labels, weight)) for metric in metrics]


@given(logits=LOGITS, labels=LABELS, weight=arrays.arrays(np.float32, (4,), elements=st.integers(0, 3)))
def test_metrics_are_those_of_scikit_learn(logits, labels, weight):
    """Accuracy and macro F1 of any predictions and weights; ties go to the first class, as NumPy's argmax has it."""
    if weight.sum() == 0:
        return
    accuracy, f1 = _accumulated(logits, labels, weight)
    predicted = logits.argmax(1)
    expected = sklearn_metrics.accuracy_score(labels, predicted, sample_weight=weight)
    np.testing.assert_allclose(accuracy, expected, rtol=1e-6)
    options = {"labels": [0, 1, 2], "average": "macro", "zero_division": 0, "sample_weight": weight}
    np.testing.assert_allclose(f1, sklearn_metrics.f1_score(labels, predicted, **options), rtol=1e-6)


@given(size=st.sampled_from([2, 97, 128, 129, 1000, 4096, 4097]), seed=st.integers(0, 2**31 - 1))
def test_orders_are_bijections(size, seed):
    """Every row comes once, for any key."""
    rows = _order(jax.random.key(seed), size)
    assert np.bincount(rows, minlength=size).tolist() == [1] * size


_order = jax.jit(lambda key, size: sampling.shuffled(key, jnp.arange(size), size), static_argnums=1)

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=8
).filter(lambda text: text == text.strip())


@given(
    numbers=st.lists(st.floats(-1e30, 1e30, allow_nan=False), min_size=2, max_size=6),
    words=st.lists(TEXT, min_size=6, max_size=6),
)
def test_tables_come_back(numbers, words, tmp_path_factory):
    """A table written as CSV and read again has the same numbers and the same text."""
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    words = [f"w{word}" for word in words[: len(numbers)]]
    fn.data.write_csv(path, {"number": numbers, "word": words})
    table = fn.data.read(path, columns={"number": "number", "word": "category"}).x
    np.testing.assert_allclose(table["number"], numbers, rtol=1e-6)
    assert list(table["word"]) == words
