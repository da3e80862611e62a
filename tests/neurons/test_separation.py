"""Certificates are verified by arithmetic alone; margins against a general optimizer."""

from __future__ import annotations

from fractions import Fraction

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize

import fnnet as fn
from fnnet import neurons
from fnnet.errors import DataError
from fnnet.neurons.exact import shortest_plane

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


BITS = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])
OR, XOR = np.array([0, 1, 1, 1]), np.array([0, 1, 1, 0])


def exactly(values):
    """Fractions, whose sums and products are not rounded."""
    return np.vectorize(Fraction, otypes=[object])(values)


SEPARATED = {
    "one far away": ([[0], [1], [2], [1e12]], [0, 1, 1, 1]),
    "one less far away": ([[0], [1], [2], [1e10]], [0, 1, 1, 1]),
    "near": ([[0], [1], [1 + 1e-12], [2]], [0, 0, 1, 1]),
    "next to each other": ([[0], [1], [np.nextafter(1, 2)], [2]], [0, 0, 1, 1]),
    "nearly met": ([[0, 0], [1, 0], [0.5, 1e-10], [0.5, -1]], [1, 1, 0, 1]),
    "beyond float32": (BITS * 1e300, OR),
    "the greatest": ((2 * BITS - 1) * 1.7e308, OR),
    "small": (BITS * 1e-300, OR),
    "off": (BITS + 1e8, OR),
}


@pytest.mark.parametrize("case", SEPARATED)
def test_a_plane_is_found_where_float64_is_too_coarse(case):
    """It separates by 1 without any rounding."""
    x, y = (np.array(values, float) for values in SEPARATED[case])
    certificate = neurons.separable(x, y)
    assert certificate.separable
    products = exactly(x) @ exactly(certificate.kernel) + Fraction(certificate.bias)
    assert min(np.where(y == 1, products, -products)) >= 1


@pytest.mark.parametrize("far", [1e8, 1e12, 1e100])
def test_an_outlier_does_not_hide_that_classes_meet(far):
    """XOR is still seen; the multipliers, put right in their last digits, are exact."""
    x, y = np.r_[BITS, [[far, far]]], np.r_[XOR, 0]
    certificate = neurons.separable(x, y)
    assert not certificate.separable
    verify(certificate, x, y)
    np.testing.assert_allclose(certificate.multipliers[1:3], 0.5, rtol=1e-12)


@hypothesis.given(seed=st.integers(0, 2**31), rows=st.integers(4, 9), n=st.integers(1, 3))
def test_whole_numbers_decide_degenerate_data(seed, rows, n):
    """On small grids, where hulls often touch, the answer is that of whole numbers, and the plane the shortest."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-1, 2, (rows, n)), rng.permutation(np.arange(rows) % 2)
    signed = exactly(np.where(y == 1, 1, -1)[:, None] * np.concatenate([x, np.ones((rows, 1), int)], axis=1))
    plane, multipliers = shortest_plane(signed)
    certificate = neurons.separable(x, y)
    assert certificate.separable == (plane is not None)
    verify(certificate, x, y)
    if plane is None:
        np.testing.assert_allclose(multipliers @ signed.astype(float), 0, atol=1e-12)
    else:
        assert min(signed @ plane) == 1
        assert neurons.margin(x, y).gamma == pytest.approx(1 / np.linalg.norm(plane.astype(float)), rel=1e-6)


def test_one_example_in_both_classes_is_seen_among_many_features():
    """More than whole numbers are tried for: those of the two rows suffice."""
    x = np.random.default_rng(0).normal(size=(20, 100))
    x[1] = x[0]
    certificate = neurons.separable(x, np.arange(20) % 2)
    assert not certificate.separable
    assert certificate.multipliers.tolist() == [1, 1] + [0] * 18


@pytest.mark.parametrize("scale", [1, 1e7, 1.7e9, 1e300])
def test_the_margin_of_long_rows(scale):
    """By hand: of OR the plane w = (2, 2)/s, b = -1 has products of 1 with 0 and both units: gamma = 1/|w, b|."""
    found = neurons.margin(BITS * scale, OR)
    assert found.gamma == pytest.approx(1 / np.sqrt(1 + 2 * (2 / scale) ** 2), rel=1e-6)
    assert found.radius == pytest.approx(np.hypot(1, scale * np.sqrt(2)))
    np.testing.assert_allclose(np.r_[found.kernel, found.bias] / found.gamma, [2 / scale, 2 / scale, -1], rtol=1e-6)


@pytest.mark.parametrize("shift", [1e4, 1e8])
def test_the_margin_far_from_the_origin(shift):
    """By hand: w = (2, 2) and b = -(1 + 4t) decide by 1, and no shorter plane does."""
    found = neurons.margin(BITS + shift, OR)
    assert found.gamma == pytest.approx(1 / np.sqrt(8 + (1 + 4 * shift) ** 2), rel=1e-6)


def test_what_cannot_be_told_is_said():
    """One point in both classes is not separable; a plane that float64 does not hold is not told."""
    x = np.array([[1.0], [1.0], [0.0]])
    assert not neurons.separable(x, np.array([0, 1, 1])).separable
    with pytest.raises(DataError, match="cannot be told"):
        neurons.separable(BITS * 1e-310, OR)
    many = np.concatenate([BITS + 1e8, np.zeros((4, 100))], axis=1)
    assert neurons.separable(many, OR).separable
    with pytest.raises(DataError, match=r"by a margin within rounding\n.*centre the features"):
        neurons.margin(many, OR)
    assert neurons.margin(many - many.mean(0), OR).gamma > 0.3
