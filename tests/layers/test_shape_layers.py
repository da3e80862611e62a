"""flatten, reshape, and the activation that has parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.errors import DtypeError, ShapeError
from fnnet.layers import flatten, prelu, reshape

X = np.arange(120.0, dtype=np.float32).reshape(5, 2, 4, 3)


@pytest.mark.parametrize(("axes", "shape"), [(3, (5, 24)), (2, (5, 2, 12)), (4, (120,)), (1, X.shape)])
def test_flatten_keeps_the_order(axes, shape):
    np.testing.assert_array_equal(flatten(axes)({}, X), X.reshape(shape))


def test_reshape_there_and_back():
    there, back = reshape((3, -1, 2), axes=3), reshape((2, 4, 3), axes=3)
    np.testing.assert_array_equal(there({}, X), X.reshape(5, 3, 4, 2))
    np.testing.assert_array_equal(back({}, there({}, X)), X)


def test_an_empty_batch_has_a_shape_too():
    assert flatten()({}, X[:0]).shape == (0, 24)
    assert reshape((3, -1))({}, jnp.ones((0, 12))).shape == (0, 3, 4)


def test_shape_errors():
    with pytest.raises(ValueError, match="flatten: axes must be at least 1, got 0"):
        flatten(0)
    for shape in ((), (-1, -1), 10):
        with pytest.raises(ValueError, match=r"^reshape: shape must be sizes, of which one may be -1, .*, got "):
            reshape(shape)
    for shape in ((0, 2), (-2,), (2.5, 2)):
        with pytest.raises(ValueError, match=rf"^reshape: a size \(but one of -1\) must be .*, got {shape[0]}$"):
            reshape(shape)
    with pytest.raises(ShapeError, match=r"flatten: the input must have at least 3 axes, got shape \(4, 3\)"):
        flatten()({}, X[0, 0])
    message = r"reshape: the last 1 axes of the input, \(3,\), must have as many elements as \(2, -1\), got 3"
    with pytest.raises(ShapeError, match=message):
        reshape((2, -1))({}, X)
    with pytest.raises(ShapeError, match=r"must have as many elements as \(6,\), got 12"):
        reshape((6,), axes=2)({}, X)


@pytest.mark.parametrize("shared", [False, True])
def test_prelu_is_its_formula(shared, key):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)), jnp.float32)
    layer = prelu(shared=shared)
    params, _ = layer.init(key, x)
    assert params["slope"].shape == (() if shared else (3,))
    np.testing.assert_allclose(layer(params, x), np.maximum(x, 0) + 0.25 * np.minimum(x, 0), rtol=1e-6)
    slope = jnp.float32(0.5) if shared else jnp.array([0.0, 1.0, -2.0])
    np.testing.assert_allclose(
        layer({"slope": slope}, x), np.maximum(x, 0) + np.asarray(slope) * np.minimum(x, 0), rtol=1e-6
    )
    grad = jax.grad(lambda p: layer(p, x).sum())({"slope": slope})["slope"]
    np.testing.assert_allclose(grad, np.minimum(x, 0).sum(None if shared else 0), rtol=1e-5)


def test_prelu_errors(key):
    params, _ = prelu().init(key, jnp.ones(3))
    with pytest.raises(
        ShapeError, match=r"prelu: the last axis of the input must be 3 \(as at init\), got shape \(2,\)"
    ):
        prelu()(params, jnp.ones(2))
    with pytest.raises(DtypeError, match="prelu: the input must be floating-point, got int32"):
        prelu(shared=True)({"slope": jnp.ones(())}, jnp.ones(3, int))
