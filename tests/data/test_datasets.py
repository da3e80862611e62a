"""The data sets that come along: what their docstrings say, held to scikit-learn and to geometry."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn import datasets as sklearn_datasets

from fnnet import data
from fnnet.errors import ExtraMissingError

REAL = {"digits": (16.0, 10), "iris": (1.0, 3), "wine": (1.0, 3), "breast_cancer": (1.0, 2)}
TOYS = {"xor": data.xor, "moons": data.moons, "circles": data.circles, "spirals": data.spirals, "blobs": data.blobs}


@pytest.mark.parametrize("name", REAL)
def test_real_sets_are_scikit_learns(name):
    divisor, classes = REAL[name]
    dataset, bunch = getattr(data, name)(), getattr(sklearn_datasets, f"load_{name}")()
    np.testing.assert_array_equal(dataset.x * np.float32(divisor), bunch.data.astype(np.float32))
    np.testing.assert_array_equal(dataset.y, bunch.target)
    assert (dataset.x.dtype, dataset.y.dtype) == (np.float32, np.int32)
    assert len(dataset.classes) == classes
    assert len(dataset.features) == dataset.x.shape[1]
    data.check(dataset, 32)


def test_digit_images_are_the_rows_folded():
    flat, images = data.digits(), data.digits(images=True)
    np.testing.assert_array_equal(images.x[:, 2, 3, 0], flat.x[:, 2 * 8 + 3])
    assert (flat.x.min(), flat.x.max()) == (0, 1)


def test_diabetes_is_regression_in_raw_units():
    dataset = data.diabetes()
    bunch = sklearn_datasets.load_diabetes(scaled=False)
    np.testing.assert_allclose(dataset.x, bunch.data, rtol=1e-6)
    np.testing.assert_array_equal(dataset.y[:, 0], bunch.target)
    assert dataset.classes is None
    assert dataset.y.dtype == np.float32


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ExtraMissingError, match=r"iris: needs the module 'sklearn'.*\n  Fix: pip install 'fnnet\[data"):
        data.iris()
    with pytest.raises(ImportError):
        data.digits()


@pytest.mark.parametrize("make", TOYS.values(), ids=TOYS)
def test_toys_are_functions_of_their_seed(make):
    """Same seed, same points; labels stay when only the noise changes, and classes are balanced."""
    first, again, other = make(48, noise=0.1), make(48, noise=0.1, seed=0), make(48, noise=0.1, seed=1)
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.y, other.y)
    assert (first.x != other.x).all()
    assert len(set(np.bincount(first.y))) == 1
    assert (first.x.shape, first.x.dtype, first.y.dtype) == ((48, 2), np.float32, np.int32)
    np.testing.assert_allclose((first.x - make(48, noise=0.0).x).std(), 0.1, rtol=0.25)
    data.check(first, 48)


def test_xor_is_no_linear_function():
    x, y = data.xor().arrays
    design = np.column_stack([x, np.ones(4)])
    np.testing.assert_allclose(design @ np.linalg.lstsq(design, 2.0 * y - 1, rcond=None)[0], 0, atol=1e-6)


def test_the_shapes_are_where_the_docstrings_say():
    moons, circles = data.moons(50, noise=0), data.circles(50, noise=0, factor=0.3)
    centre = np.array([[0, 0], [1, 0.5]])[moons.y]
    np.testing.assert_allclose(np.linalg.norm(moons.x - centre, axis=1), 1, rtol=1e-6)
    assert ((moons.x - centre)[moons.y == 0, 1] >= -1e-6).all()
    assert ((moons.x - centre)[moons.y == 1, 1] <= 1e-6).all()
    np.testing.assert_allclose(np.linalg.norm(circles.x, axis=1), np.array([1, 0.3])[circles.y], rtol=1e-6)
    spirals, blobs = data.spirals(60, classes=3, turns=1.5, noise=0), data.blobs(10, classes=5, noise=0)
    radius = np.linalg.norm(spirals.x, axis=1)
    angle = 2 * np.pi * (1.5 * radius + spirals.y / 3)
    np.testing.assert_allclose(spirals.x, radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), atol=1e-6)
    assert len(np.unique(blobs.x.round(5), axis=0)) == 5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: data.moons(0), "moons: n must be at least 1, got 0"),
        (lambda: data.blobs(9, classes=0), "blobs: classes must be at least 1, got 0"),
        (lambda: data.xor(noise=-1.0), "xor: noise must not be negative, got -1.0"),
        (lambda: data.circles(factor=1.5), "circles: factor must be between 0 and 1, got 1.5"),
    ],
)
def test_bad_arguments_of_toys(make, said):
    with pytest.raises(ValueError, match=said):
        make()
