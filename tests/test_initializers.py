"""Initial values: their shapes, dtypes, and the moments that their names promise."""

import jax.numpy as jnp
import numpy as np
import pytest

from fnnet import initializers
from fnnet.errors import ShapeError

SHAPE = (3, 60, 40)  # a window of 3: 180 inputs and 120 outputs of each unit

VARIANCES = {
    "zeros": (initializers.zeros, 0.0),
    "ones": (initializers.ones, 0.0),
    "constant": (initializers.constant(0.5), 0.0),
    "normal": (initializers.normal(0.1), 0.01),
    "truncated_normal": (initializers.truncated_normal(0.1), 0.01 * 0.87962566**2),  # JAX's: cut at two deviations
    "uniform": (initializers.uniform(0.3), 0.09 / 12),
    "lecun_normal": (initializers.lecun_normal(), 1 / 180),
    "lecun_uniform": (initializers.lecun_uniform(), 1 / 180),
    "glorot_normal": (initializers.glorot_normal(), 2 / 300),
    "glorot_uniform": (initializers.glorot_uniform(), 2 / 300),
    "he_normal": (initializers.he_normal(), 2 / 180),
    "he_uniform": (initializers.he_uniform(), 2 / 180),
    "variance_scaling": (initializers.variance_scaling(3.0, "fan_out", "normal"), 3 / 120),
}


@pytest.mark.parametrize(("initializer", "variance"), VARIANCES.values(), ids=VARIANCES)
def test_variance_is_that_of_the_name(initializer, variance, key):
    """Over 7200 draws the sample variance of a normal is within 5 √(2/7200) of the true one."""
    sample = np.asarray(initializer(key, SHAPE, jnp.float32), np.float64)
    assert sample.shape == SHAPE
    np.testing.assert_allclose(sample.var(), variance, rtol=5 * np.sqrt(2 / sample.size))
    assert initializer(key, SHAPE, jnp.bfloat16).dtype == jnp.bfloat16


def test_constants_are_what_they_say(key):
    for initializer, value in ((initializers.zeros, 0), (initializers.ones, 1), (initializers.constant(0.5), 0.5)):
        np.testing.assert_array_equal(initializer(key, (2, 3), jnp.float32), np.full((2, 3), value, np.float32))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_orthogonal(shape, key):
    kernel = np.asarray(initializers.orthogonal(2.0)(key, shape, jnp.float32), np.float64)
    product = kernel @ kernel.T if shape[0] <= shape[1] else kernel.T @ kernel
    np.testing.assert_allclose(product, 4 * np.eye(min(shape)), atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_orthogonal_in_16_bits_is_that_of_32_rounded(dtype, key):
    for make, shape in ((initializers.orthogonal, (6, 4)), (initializers.delta_orthogonal, (3, 2, 4))):
        draw = make(2.0)
        np.testing.assert_array_equal(draw(key, shape, dtype), draw(key, shape, jnp.float32).astype(dtype))


def test_delta_orthogonal_is_orthogonal_at_the_centre(key):
    kernel = np.asarray(initializers.delta_orthogonal(2.0)(key, (3, 2, 4), jnp.float32), np.float64)
    np.testing.assert_allclose(kernel[1] @ kernel[1].T, 4 * np.eye(2), atol=1e-5)
    assert not kernel[[0, 2]].any()


@pytest.mark.parametrize(("shape", "centre"), [((3, 2), ()), ((3, 2, 4), (1,)), ((4, 5, 2, 2), (1, 2))])
def test_identity(shape, centre, key):
    expected = np.zeros(shape)
    expected[centre] = 1.5 * np.eye(*shape[-2:])
    np.testing.assert_array_equal(initializers.identity(1.5)(key, shape, jnp.float32), expected)


def test_identity_is_for_kernels(key):
    with pytest.raises(ShapeError, match=r"identity: the shape must be \(\*window, in, out\), got \(3,\)"):
        initializers.identity()(key, (3,), jnp.float32)


def test_names_are_sorted():
    assert initializers.__all__ == sorted(initializers.__all__)
