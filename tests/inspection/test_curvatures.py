"""Lanczos and Hutchinson against the whole Hessian, in float64."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import fnnet as fn
from fnnet.inspection import curvature, hessian_spectrum

KEY = jax.random.key(0)


def small():
    """A net of 27 parameters, its task with a penalty and weights, and data."""
    net = fn.serial(fn.dense(4, activation=jnp.tanh), fn.dropout(0.3), fn.dense(3))
    task = fn.Task(net, fn.losses.cross_entropy, fn.sgd(0.1), penalty=lambda p: 0.1 * fn.tree.squared_norm(p))
    x = jax.random.normal(KEY, (10, 2))
    return task, fn.init(task, KEY, x), (x, jnp.arange(10) % 3, jnp.linspace(0.5, 1.5, 10))


@functools.cache
def reference():
    """The small task in float64, with the Hessian that JAX makes whole, and the gradient, of the objective by hand."""
    task, ts, data = small()
    point, unravel = ravel_pytree(ts.params)

    def value(vector):
        losses = task.loss(task.net(unravel(vector), data[0]), data[1])
        return (losses * data[2]).sum() / data[2].sum() + task.penalty(unravel(vector))

    hessian, gradient = jax.jit(lambda v: (jax.hessian(value)(v), jax.grad(value)(v)))(point)
    return task, ts, data, np.asarray(hessian), np.asarray(gradient)


def test_all_ritz_values_are_all_eigenvalues(x64):
    task, ts, data, hessian, _ = reference()
    found = hessian_spectrum(task, ts, data, k=len(hessian), key=jax.random.key(1))
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(hessian), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.weights.sum(), 1, rtol=1e-12)
    # The moments of the density are those of the random start vector: between the extreme eigenvalues.
    mean = float(found.weights @ found.values)
    assert found.values[0] < mean < found.values[-1]


def test_eigenvalues_that_are_equal_are_all_found(x64):
    """Of a quadratic bowl with three values, each many times: the vectors run out, and others are drawn."""
    scales = jnp.repeat(jnp.array([1.0, 2.0, 5.0]), 4)
    layer = fn.Layer(
        "bowl",
        lambda key, x: ({"w": jnp.ones(12)}, {}),
        lambda params, state, x, *, key=None, train=False: (x + (scales * params["w"] ** 2).sum() / 2, state),
    )
    task = fn.Task(layer, lambda prediction, target: prediction, fn.sgd(0.1))
    data = (jnp.zeros(3), jnp.zeros(3))
    ts = fn.init(task, KEY, data[0])
    found = hessian_spectrum(task, ts, data, k=12, key=jax.random.key(1))
    np.testing.assert_allclose(found.values, np.sort(scales), rtol=1e-10)
    np.testing.assert_allclose(np.sort(found.weights)[:-3], 0, atol=1e-12)


def test_curvature_is_that_of_the_whole_hessian(x64):
    """Greatest eigenvalue, in fewer steps than parameters; quotient along the gradient; the trace within its error."""
    task, ts, data, hessian, gradient = reference()
    found = curvature(task, ts, data, jax.random.key(3), iterations=16, probes=400)
    np.testing.assert_allclose(found.sharpness, np.linalg.eigvalsh(hessian)[-1], rtol=1e-6)
    np.testing.assert_allclose(found.along_gradient, gradient @ hessian @ gradient / (gradient @ gradient), rtol=1e-8)
    assert abs(float(found.trace) - np.trace(hessian)) < 4 * float(found.trace_error)
    # Hutchinson's variance with signs: 2 (|H|² − Σ Hᵢᵢ²).
    expected = np.sqrt(2 * (np.sum(hessian**2) - np.sum(np.diag(hessian) ** 2)) / 400)
    np.testing.assert_allclose(found.trace_error, expected, rtol=0.2)


def test_what_has_no_spectrum():
    task, ts, data = small()
    with pytest.raises(ValueError, match="k must be at most the number of parameters, 27, got 28"):
        hessian_spectrum(task, ts, data, k=28, key=KEY)
    with pytest.raises(ValueError, match="k must be at least 1"):
        hessian_spectrum(task, ts, data, k=0, key=KEY)
    with pytest.raises(ValueError, match="probes must be at least 2"):
        curvature(task, ts, data, KEY, probes=1)
    whole = ts._replace(params=jax.tree.map(lambda leaf: leaf.astype(jnp.int32), ts.params))
    with pytest.raises(fn.errors.DtypeError, match="must be real floating-point, got int32 at 'dense_0/bias'"):
        curvature(task, whole, data, KEY)
