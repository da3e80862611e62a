"""Initial values: their shapes, dtypes, and the moments that their names promise."""

import jax
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


@pytest.mark.row("initialization")
@pytest.mark.parametrize(("initializer", "variance"), VARIANCES.values(), ids=VARIANCES)
def test_variance_is_that_of_the_name(initializer, variance, key):
    """Over 7200 draws the sample variance of a normal is within 5 √(2/7200) of the true one."""
    sample = np.asarray(initializer(key, SHAPE, jnp.float32), np.float64)
    assert sample.shape == SHAPE
    np.testing.assert_allclose(sample.var(), variance, rtol=5 * np.sqrt(2 / sample.size))
    assert initializer(key, SHAPE, jnp.bfloat16).dtype == jnp.bfloat16


DRAWN = ["lecun_normal", "lecun_uniform", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform"]


@pytest.mark.parametrize("name", DRAWN)
def test_values_are_those_of_jax_bit_for_bit(name, key):
    ours, theirs = getattr(initializers, name)(), getattr(jax.nn.initializers, name)()
    np.testing.assert_array_equal(ours(key, SHAPE, jnp.float32), theirs(key, SHAPE, jnp.float32))


@pytest.mark.parametrize("name", ["normal", "truncated_normal", "uniform"])
def test_values_are_those_of_jax_compiled(name, key):
    ours, theirs = getattr(initializers, name)(0.5), jax.jit(getattr(jax.nn.initializers, name)(0.5), static_argnums=1)
    np.testing.assert_allclose(ours(key, SHAPE, jnp.float32), theirs(key, SHAPE), rtol=3e-7)


def test_values_are_the_same_inside_jit_and_vmap(key):
    draw = initializers.he_normal()
    expected = draw(key, (3, 2), jnp.float32)
    np.testing.assert_array_equal(jax.jit(lambda: draw(key, (3, 2), jnp.float32))(), expected)
    many = jax.vmap(lambda key: draw(key, (3, 2), jnp.float32))(jax.random.split(key, 2))
    one = draw(jax.random.split(key, 2)[1], (3, 2), jnp.float32)
    np.testing.assert_allclose(many[1], one, rtol=3e-7)


def test_equal_factories_are_one_initializer_and_a_tracer_is_not_kept(key):
    assert initializers.he_normal() is initializers.he_normal()
    assert initializers.normal(1) is not initializers.normal(1.0)
    std = jax.grad(lambda scale: initializers.normal(scale)(key, (4,), jnp.float32).sum())(0.1)
    np.testing.assert_allclose(std, initializers.normal(1.0)(key, (4,), jnp.float32).sum(), rtol=1e-5)


def test_constants_are_what_they_say(key):
    for initializer, value in ((initializers.zeros, 0), (initializers.ones, 1), (initializers.constant(0.5), 0.5)):
        np.testing.assert_array_equal(initializer(key, (2, 3), jnp.float32), np.full((2, 3), value, np.float32))


@pytest.mark.row("initialization")
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
