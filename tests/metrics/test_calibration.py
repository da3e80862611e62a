"""Which bin a probability on an edge falls in, and probabilities of 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest
from metric_toys import value

from fnnet import metrics


def test_bins_of_confidence_are_closed_above():
    """A confidence of exactly ½ is in the lower of two bins, one of exactly 1 in the upper: gaps do not cancel."""
    z, y = np.array([[0.0, 0.0], [200.0, 0.0]], np.float32), np.array([0, 1])
    assert value(metrics.expected_calibration_error(2), z, y) == (0.5 + 1) / 2
    assert value(metrics.expected_calibration_error(1), z, y) == 0.5 / 2


def test_binary_confidence_on_an_edge_is_in_the_bin_below():
    """Logit 0 stands for ½ and logit -200 for certainty of the other side."""
    z, t = np.array([0.0, -200.0], np.float32), np.array([0, 1])
    assert value(metrics.expected_calibration_error(2, binary=True), z, t) == (0.5 + 1) / 2


def test_the_side_of_a_logit_is_its_sign_however_small():
    z, t = np.array([1e-8, -1e-8], np.float32), np.array([1, 0])
    assert value(metrics.expected_calibration_error(1, binary=True), z, t) == pytest.approx(0.5)


def test_a_class_that_is_ruled_out_has_probability_zero():
    """A logit of -inf is no surprise and no error where the class is not the label, and the utmost where it is."""
    z, right, wrong = np.array([[0.0, -np.inf]], np.float32), np.array([0]), np.array([1])
    for metric, utmost in ((metrics.log_loss(), np.inf), (metrics.brier(), 2.0)):
        assert value(metric, z, right) == 0
        assert value(metric, z, wrong) == utmost


def test_a_certain_yes_or_no_has_probability_zero_or_one():
    """An infinite logit, of either sign, is no surprise on the target's side and the utmost on the other."""
    z, t = np.array([np.inf, -np.inf], np.float32), np.array([1, 0])
    for make, utmost in ((metrics.log_loss, np.inf), (metrics.brier, 1.0), (metrics.expected_calibration_error, 1.0)):
        assert value(make(binary=True), z, t) == 0
        assert value(make(binary=True), z, 1 - t) == utmost


def test_rows_of_probabilities_are_of_the_class_that_is_largest():
    """The calibration error of soft targets is that of their largest; the log loss and Brier's are of all of them."""
    z, p = np.array([[0.0, 0.0], [0.0, 0.0]], np.float32), np.array([[0.75, 0.25], [0.25, 0.75]], np.float32)
    assert value(metrics.expected_calibration_error(), z, p) == 0
    assert value(metrics.brier(), z, p) == pytest.approx(2 * 0.25**2)
    assert value(metrics.log_loss(), z, p) == pytest.approx(np.log(2))
