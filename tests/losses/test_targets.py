"""Targets, weights and options that are wrong, and what the errors say."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_toys import REAL, SOFT, T, Y, Z, fails

from fnnet import losses, targets
from fnnet.errors import DataError, DtypeError, ShapeError


def test_bad_labels_raise_where_their_values_are_known():
    """The message names the label, its index and the number of classes."""
    with fails(
        DataError, "cross_entropy: label 3 at index 1 is not one of the 3 classes 0 … 2", "1 of 4", "Fix: number"
    ):
        losses.cross_entropy(jnp.asarray(Z), jnp.array([0, 3, 1, 2]))
    with fails(DataError, r"label -1 at index \(1, 0\) is not", "2 of 4 labels are out of range"):
        losses.cross_entropy(np.zeros((2, 2, 3), np.float32), np.array([[0, 1], [-1, 9]]))
    with fails(DataError, "label 3 at index 1"):
        jax.grad(lambda z: losses.cross_entropy(z, np.array([0, 3, 1, 2])).sum())(jnp.asarray(Z))
    with fails(DataError, "labels: label 7 at index 2 is not one of the 3 classes"):
        targets.check_labels([0, -1, 7], 3, ignore=-1)
    with fails(DtypeError, "labels: labels must be integers, got float64", "astype"):
        targets.check_labels([0.0, 1.0], 3)
    targets.check_labels([0, 2, -1], 3, ignore=-1)
    targets.check_labels(np.zeros(0, int), 3)


def test_bad_targets_raise():
    """Wrong dtype and wrong shape say what was expected, what was got, and the fix."""
    with fails(DtypeError, r"cross_entropy: labels of shape \(4,\) must be integers, got float32", "Fix: cast them"):
        losses.cross_entropy(Z, Y.astype(np.float32))
    with fails(ShapeError, r"for logits \(4, 3\)", r"\(4,\) \(labels\)", r"got \(4, 1\)", r"labels\[..., 0\]"):
        losses.cross_entropy(Z, Y[:, None])
    with fails(ShapeError, r"\(4, 3\)", r"got \(5,\)", "align the axes"):
        losses.cross_entropy(Z, np.zeros(5, int))
    with fails(ShapeError, r"at least 2 classes, got \(4, 1\)", "one unit a class; binary_"):
        losses.cross_entropy(Z[:, :1], Y)
    with fails(ShapeError, r"class_weights must have shape \(3,\), got \(2,\)"):
        losses.cross_entropy(Z, Y, class_weights=np.ones(2))
    with fails(ShapeError, r"positive_weight must have shape \(3,\), got \(4,\)"):
        losses.binary_cross_entropy(Z, T, positive_weight=np.ones(4))
    for bad in (-1.0, np.inf, np.nan):
        with fails(ValueError, f"binary_cross_entropy: positive_weight must be finite and at least 0, got {bad}"):
            losses.binary_cross_entropy(Z, T, positive_weight=bad)
        with fails(ValueError, "focal: class_weights must be finite and at least 0, got "):
            losses.focal(Z, Y, class_weights=np.array([1.0, bad, 1.0]))
    for loss in (losses.focal, losses.hinge):
        with fails(ShapeError, r"needs integer labels \(4,\), got \(4, 3\)", "argmax"):
            loss(Z, SOFT)
    with fails(DataError, "targets must lie between 0 and 1, got -1 at index 0", "encode the two classes as 0 and 1"):
        losses.binary_hinge(Z[0], np.array([-1, 1, 1]))
    with fails(DtypeError, "squared_error: the input must be floating-point, got int32"):
        losses.squared_error(jnp.array([1]), jnp.array([1.0]))
    with fails(DtypeError, "the prediction must be real, got complex64"):
        losses.squared_error(jnp.array([1j]), jnp.array([1.0]))
    with fails(ShapeError, "contrastive: the prediction must be a tuple", "got ndarray"):
        losses.contrastive(Z, Y)
    with fails(ShapeError, "triplet", r"\(anchor, positive, negative\), got 2 arrays"):
        losses.triplet((Z, Z))
    with fails(ShapeError, r"cosine: vectors must have shape \(..., n\)", r"got \(\)"):
        losses.cosine(jnp.ones(()), jnp.ones(()))


BAD_OPTIONS = {
    "cross_entropy: smoothing must be a number in": lambda: losses.cross_entropy(Z, Y, smoothing=1.5),
    "binary_cross_entropy: smoothing must be a number in": lambda: losses.binary_cross_entropy(Z, T, smoothing=-0.1),
    "focal: gamma must be a number of at least 0, got -1": lambda: losses.focal(Z, Y, gamma=-1),
    "binary_focal: alpha must be a number in": lambda: losses.binary_focal(Z, T, alpha=2.0),
    "huber: delta must be a number above 0, got 0": lambda: losses.huber(Z, REAL, delta=0),
    "quantile: q must be a number between 0 and 1, got 1": lambda: losses.quantile(Z, REAL, q=1.0),
    "smoothing must be a number in [0, 1], got np.float32(1.5)": lambda: losses.cross_entropy(
        Z, Y, smoothing=np.float32(1.5)
    ),
    "delta must be a number above 0, got np.float32(-1.0)": lambda: losses.huber(Z, REAL, delta=np.float32(-1)),
    "gamma must be a number of at least 0, got nan": lambda: losses.focal(Z, Y, gamma=float("nan")),
    "huber: delta must be a number above 0, got array([1., 2.])": lambda: losses.huber(
        Z, REAL, delta=np.array([1.0, 2.0])
    ),
    "huber: delta must be a number above 0, got '1'": lambda: losses.huber(Z, REAL, delta="1"),
    "quantile: q must be a number between 0 and 1, got None": lambda: losses.quantile(Z, REAL, q=None),
    "binary_focal: alpha must be a number in [0, 1], got True": lambda: losses.binary_focal(Z, T, alpha=True),
    "cross_entropy: smoothing must be a number in [0, 1], got Array([0. , 0.1]": lambda: losses.cross_entropy(
        Z, Y, smoothing=jnp.array([0.0, 0.1])
    ),
}


@pytest.mark.parametrize("message", BAD_OPTIONS)
def test_bad_options_raise(message):
    """A number out of range is a ValueError that names it."""
    with pytest.raises(ValueError, match=re.escape(message)):
        BAD_OPTIONS[message]()


@pytest.mark.parametrize("logits", [np.float32(1.0), np.zeros((2, 1), np.float32), np.zeros((2, 0), np.float32)])
@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.focal, losses.hinge, losses.kl_divergence])
def test_logits_without_classes_raise(loss, logits):
    """A last axis that does not hold classes is named, whichever loss meets it."""
    target = logits if loss is losses.kl_divergence else np.zeros(logits.shape[:-1], np.int32)
    with pytest.raises(ShapeError, match="of at least 2 classes, got"):
        loss(jnp.asarray(logits), target)


def test_values_on_other_hosts_are_not_looked_at():
    """Labels that are traced, or lie elsewhere, are unknown: nothing is copied to look at them."""

    class Elsewhere:
        is_fully_addressable = False

    assert targets.known(Elsewhere()) is None


def test_options_may_be_scalars_of_numpy():
    """A float64 of NumPy gives what the number gives, in float32."""
    for number in (np.float64, np.float32):
        for got, want in (
            (losses.huber(Z, REAL, delta=number(0.5)), losses.huber(Z, REAL, delta=0.5)),
            (losses.quantile(Z, REAL, q=number(0.25)), losses.quantile(Z, REAL, q=0.25)),
            (losses.focal(Z, Y, gamma=number(0.5)), losses.focal(Z, Y, gamma=0.5)),
        ):
            assert got.dtype == jnp.float32
            np.testing.assert_array_equal(got, want)


BINARY = "Fix: for yes-or-no targets of one logit each use binary_cross_entropy"
NUMBERS = "Fix: number the classes from 0, and pass an array of integers"
NOT_LABELS = {
    "rows of several ones": (DataError, Z, T, r"must be one-hot, got \[0, 1, 1\] at row 0", BINARY),
    "rows of several trues": (DataError, Z, T == 1, r"must be one-hot, got \[False, True, True\] at row 0", BINARY),
    "a row of zeros": (DataError, Z[:2], [[0, 0, 1], [0, 0, 0]], r"must be one-hot, got \[0, 0, 0\] at row 1", BINARY),
    "a row within a batch": (
        DataError,
        np.stack([Z, Z]),
        np.stack([np.eye(3, dtype=int)[Y], T]),
        r"must be one-hot, got \[0, 1, 1\] at row \(1, 0\)",
        BINARY,
    ),
    "a row that sums to one": (DataError, Z[:1], [[2, -1, 0]], r"must be one-hot, got \[2, -1, 0\] at row 0", BINARY),
    "logits without their last axis": (DataError, Z[:, 0], T[:, 0], r"one-hot, got \[0, 1, 0, 1\] at row 0", BINARY),
    "text": (DtypeError, Z, list("abca"), "must be an array of numbers, got dtype <U1", NUMBERS),
    "nothing": (DtypeError, Z, None, "must be an array of numbers, got dtype object", NUMBERS),
    "a list of floats": (DtypeError, Z, [0.0, 1.0, 2.0, 0.0], r"labels of shape \(4,\) must be integers, got float"),
}


@pytest.mark.parametrize("name", NOT_LABELS)
def test_what_is_no_label_is_refused_by_every_loss_of_classes(name):
    """Whole numbers of the logits' shape are one-hot, labels are integers: the message says which loss asked."""
    error, logits, labels, *parts = NOT_LABELS[name]
    for loss in (losses.cross_entropy, losses.focal, losses.hinge):
        with fails(error, f"^{loss.__name__}: ", *parts):
            loss(logits, labels)


def test_labels_may_be_lists():
    """Of integers, or of one-hot rows."""
    want = losses.cross_entropy(Z, Y)
    for labels in (Y.tolist(), np.eye(3, dtype=int)[Y].tolist()):
        np.testing.assert_allclose(losses.cross_entropy(Z, labels), want, rtol=1e-6)


def test_whole_numbers_as_a_distribution_are_one_hot_for_the_divergence_too():
    with fails(DataError, r"kl_divergence: rows of whole numbers must be one-hot, got \[1, 1, 0\] at row 0"):
        losses.kl_divergence(Z[:1], np.array([[1, 1, 0]]))
    np.testing.assert_allclose(losses.kl_divergence(Z, np.eye(3, dtype=int)[Y]), losses.cross_entropy(Z, Y), rtol=1e-6)


def test_an_option_may_be_a_number_of_16_bits():
    """bfloat16 is a number, though NumPy does not know its kind."""
    with jax.numpy_dtype_promotion("standard"):
        np.testing.assert_array_equal(losses.huber(Z, Z + 3, delta=jnp.bfloat16(1)), losses.huber(Z, Z + 3))
