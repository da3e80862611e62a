"""Certificates are verified by arithmetic alone; margins against a general optimizer."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize

import fnnet as fn
from fnnet import neurons
from fnnet.errors import DataError

pytestmark = pytest.mark.types


def verify(certificate, x, y):
    """Check what is claimed from the data and the numbers given."""
    x = np.asarray(x, np.float64)
    if certificate.separable:
        assert certificate.multipliers is None
        assert (np.where(y == 1, 1, -1) * (x @ certificate.kernel + certificate.bias)).min() >= 1 - 1e-9
    else:
        assert certificate.kernel is None
        assert certificate.bias is None
        weights = certificate.multipliers
        assert (weights >= 0).all()
        one, other = y == 1, y != 1
        np.testing.assert_allclose([weights[one].sum(), weights[other].sum()], 1, atol=1e-9)
        np.testing.assert_allclose(weights[one] @ x[one], weights[other] @ x[other], atol=1e-9 * np.abs(x).max())


@hypothesis.given(seed=st.integers(0, 2**31), rows=st.integers(4, 12))
def test_certificates(seed, rows):
    """Random points in the plane, of both kinds, at any offset and scale of the features."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2)) * [1, 10.0 ** rng.integers(-3, 4)] + rng.normal(size=2) * 100
    y = rng.permutation(np.arange(rows) % 2)
    verify(neurons.separable(x, y), x, y)
    scores = (x - x.mean(0)) @ (rng.normal(size=2) / x.std(0))
    y = (scores > np.median(scores)).astype(int)
    certificate = neurons.separable(x, y)
    assert certificate.separable
    verify(certificate, x, y)


@pytest.mark.row("xor")
def test_xor_is_impossible_for_one_unit():
    """Minsky & Papert 1969: the hulls of the classes meet at (½, ½), exactly."""
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    certificate = neurons.separable(x, y)
    assert not certificate.separable
    assert certificate.multipliers.tolist() == [0.5] * 4
    assert (certificate.multipliers[[1, 2]] @ x[[1, 2]]).tolist() == [0.5, 0.5]
    assert (certificate.multipliers[[0, 3]] @ x[[0, 3]]).tolist() == [0.5, 0.5]


def test_of_the_functions_of_two_inputs_fourteen_are_decided_by_one_unit():
    """All but XOR and its negation; constants need no certificate."""
    rows = np.asarray(neurons.boolean_inputs(2))
    tables = [(np.arange(4), (code >> np.arange(4)) & 1) for code in range(1, 15)]
    impossible = [y.tolist() for _, y in tables if not neurons.separable(rows, y).separable]
    assert impossible == [[0, 1, 1, 0], [1, 0, 0, 1]]


def test_real_data():
    """Of the irises setosa is separable, the others are not; every claim is verified."""
    iris = fn.data.iris()
    certificates = [neurons.separable(iris.x, (iris.y == label).astype(int)) for label in range(3)]
    assert [certificate.separable for certificate in certificates] == [True, False, False]
    for label, certificate in enumerate(certificates):
        verify(certificate, iris.x, (iris.y == label).astype(int))


@pytest.mark.parametrize("seed", range(5))
def test_the_margin_is_the_widest(seed):
    """That of SLSQP on min ½|w|² with ±w·(x, 1) ≥ 1; and the plane attains it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(15, 3))
    y = (x @ rng.normal(size=3) + 0.3 > 0).astype(int)
    rows = np.where(y == 1, 1, -1)[:, None] * np.concatenate([x, np.ones((15, 1))], axis=1)
    start = neurons.separable(x, y)
    solved = scipy.optimize.minimize(
        lambda w: w @ w / 2,
        np.r_[start.kernel, start.bias],
        jac=lambda w: w,
        constraints={"type": "ineq", "fun": lambda w: rows @ w - 1, "jac": lambda w: rows},
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    found = neurons.margin(x.astype(np.float32), y)
    assert found.gamma == pytest.approx(1 / np.linalg.norm(solved.x), rel=1e-4)
    plane = np.r_[found.kernel, found.bias]
    assert np.linalg.norm(plane) == pytest.approx(1)
    assert (rows @ plane).min() == pytest.approx(found.gamma, rel=1e-5)
    assert found.radius == pytest.approx(np.linalg.norm(rows, axis=1).max())
    assert found.bound == pytest.approx((found.radius / found.gamma) ** 2)


def test_no_margin_where_no_plane_separates():
    with pytest.raises(DataError, match="no plane separates"):
        neurons.margin(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0]))


def test_what_cannot_be_told_is_said():
    """One point in both classes is not separable; a gap of 1e-4 is seen, and one of 1e-10 is not called none."""
    x = np.array([[1.0], [1.0], [0.0]])
    assert not neurons.separable(x, np.array([0, 1, 1])).separable
    y = np.array([1, 1, 0, 1])
    near = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 1e-4], [0.5, -1.0]])
    assert neurons.separable(near, y).separable
    with pytest.raises(DataError, match="cannot be told"):
        neurons.separable(np.where(near == 1e-4, 1e-10, near), y)
