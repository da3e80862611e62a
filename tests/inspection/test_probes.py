"""Probes are scikit-learn's ridge classifier and PCA, on the values that `activations` returns."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inspection_toys import drawn
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

import fnnet as fn
from fnnet.inspection import activations, linear_probe, representation

NET = fn.serial(
    fn.dense(12, activation=jax.nn.relu), fn.repeat(fn.serial(fn.dense(12, activation=jnp.tanh)), 2), head=fn.dense(3)
)


def blobs(seed, size):
    """Overlapping classes, so that accuracies differ and none is 1."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, size)
    return (random.normal(size=(size, 5)) + 0.8 * np.eye(3, 5)[y]).astype(np.float32), y.astype(np.int32)


@pytest.mark.row("hierarchy")
def test_the_accuracy_of_each_layer_is_that_of_a_ridge_classifier():
    """scikit-learn's, of the standardised values; a unit that never fires among them."""
    train, test = blobs(0, 200), blobs(1, 200)
    params = drawn(NET, train[0])
    params["dense_0"]["bias"] = params["dense_0"]["bias"].at[1].set(-100.0)
    found = linear_probe(NET, params, train, test, ridge=2.0)
    assert found.paths == ("input", "dense_0", "repeat_0[0]/dense_0", "repeat_0[1]/dense_0", "repeat_0", "head")
    parts = [activations(NET, params, x) for x, _ in (train, test)]
    rows = [
        [x, part["dense_0"], *part["repeat_0/dense_0"], part["repeat_0"], part["head"]]
        for part, (x, _) in zip(parts, (train, test), strict=True)
    ]
    expected = []
    for values, test_values in zip(*rows, strict=True):
        scaler = StandardScaler().fit(values)
        oracle = RidgeClassifier(alpha=2.0).fit(scaler.transform(values), train[1])
        expected.append(oracle.score(scaler.transform(test_values), test[1]))
    np.testing.assert_allclose(found.accuracy, expected, atol=1 / 200 + 1e-6)  # one example on the border
    assert np.mean(np.abs(np.asarray(found.accuracy) - expected) < 1e-6) >= 0.8


def test_chosen_paths():
    train = blobs(0, 60)
    params = drawn(NET, train[0])
    assert linear_probe(NET, params, train, train, paths=["head"]).paths == ("input", "head")
    with pytest.raises(fn.errors.PathError, match=r"no layer has the path 'dense_1'[\s\S]*did you mean 'dense_0'"):
        linear_probe(NET, params, train, train, paths=["dense_1"])


def test_images_are_flattened():
    """Their probe is that of the same values made rows by a layer."""
    x, y = jax.random.normal(jax.random.key(0), (20, 4, 4, 1)), np.arange(20) % 2
    net = fn.serial(fn.conv(2), fn.flatten(), fn.dense(2))
    found = linear_probe(net, drawn(net, x), (x, y), (x, y))
    assert found.paths[:3] == ("input", "conv_0", "flatten_0")
    assert float(found.accuracy[1]) == float(found.accuracy[2]) > 0.5


def test_what_cannot_be_probed():
    x, y = blobs(0, 30)
    params = drawn(NET, x)
    with pytest.raises(ValueError, match="ridge must be above 0, got 0"):
        linear_probe(NET, params, (x, y), (x, y), ridge=0)
    with pytest.raises(fn.errors.ShapeError, match="one integer an example, got float32"):
        linear_probe(NET, params, (x, x[:, 0]), (x, y))
    many = fn.serial(fn.ensemble(fn.dense(2), 4))
    with pytest.raises(fn.errors.ShapeError, match=r"'ensemble_0' must have a row for each of 30 examples"):
        linear_probe(many, drawn(many, x), (x, y), (x, y))
    with pytest.raises(fn.errors.DataError, match="expected"):
        linear_probe(NET, params, x, (x, y))


@pytest.mark.row("representation")
@pytest.mark.parametrize("dims", [2, 3])
def test_points_are_principal_components(dims):
    """scikit-learn's PCA up to sign, whatever the axes after the first."""
    values = np.random.default_rng(0).normal(size=(40, 2, 3)) * np.array([3.0, 2.0, 1.0])
    points, explained = representation(jnp.asarray(values, jnp.float32), dims)
    oracle = PCA(dims).fit(values.reshape(40, 6))
    np.testing.assert_allclose(np.abs(points), np.abs(oracle.transform(values.reshape(40, 6))), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(explained, oracle.explained_variance_ratio_, rtol=1e-4)


def test_the_sign_is_that_of_the_largest_loading():
    """Turning all values about turns all points about."""
    values = jax.random.normal(jax.random.key(0), (9, 5))
    np.testing.assert_allclose(representation(values).points, -representation(-values).points, atol=1e-5)


def test_narrow_values_are_shown_as_they_are():
    values = jnp.array([[1.0, 5.0], [3.0, 5.0]])
    points, explained = representation(values, 2)
    np.testing.assert_array_equal(points, values)
    np.testing.assert_allclose(explained, [1.0, 0.0])
    np.testing.assert_array_equal(representation(jnp.ones((2, 2))).explained, [0.0, 0.0])
    with pytest.raises(fn.errors.DataError, match="at least as many examples as dims=3, got 2"):
        representation(jnp.ones((2, 4)), 3)
    with pytest.raises(ValueError, match="dims must be at least 1"):
        representation(values, 0)
