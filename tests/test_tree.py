"""Trees of arrays add, scale and measure as vectors do; paths name their leaves."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet import tree
from fnnet.errors import DtypeError, PathError

PARAMS = {"dense_0": {"bias": jnp.ones(2), "kernel": jnp.full((3, 2), 2.0)}, "head": {"bias": jnp.zeros(1)}}


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def test_arithmetic_is_that_of_the_flat_vector():
    np.testing.assert_allclose(flat(tree.add(PARAMS, tree.scale(0.5, PARAMS))), 1.5 * flat(PARAMS))
    np.testing.assert_allclose(tree.norm(PARAMS), np.linalg.norm(flat(PARAMS)), rtol=1e-6)
    assert tree.size(PARAMS) == flat(PARAMS).size
    assert tree.nbytes(PARAMS) == 4 * flat(PARAMS).size
    assert not flat(tree.zeros_like(PARAMS)).any()


def test_dtypes_are_those_of_the_first():
    """add and scale keep the dtype of the tree that they change, so that parameters stay what they were."""
    low = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), PARAMS)
    chex.assert_trees_all_equal_dtypes(tree.add(low, PARAMS), low)
    chex.assert_trees_all_equal_dtypes(tree.scale(jnp.float32(0.3), low), low)
    assert tree.zeros_like(low, jnp.float32)["head"]["bias"].dtype == jnp.float32


def test_difference_is_empty_for_trees_alike():
    """And else says what is missing, unexpected, of another shape, or held otherwise: three of each at most."""
    a = {"x": jnp.ones(2), "y": [jnp.ones(1)] * 5}
    assert tree.difference(a, jax.eval_shape(lambda: a)) == ""
    assert tree.difference({"y": (1.0,)}, {"y": [1.0]}) == "its containers differ"
    many = tree.difference(a, {"x": jnp.ones(2), "y": [jnp.ones(3)] * 5})
    assert many.startswith("'y/0' is float32[1], expected float32[3]; 'y/1'")
    assert many.endswith("and 2 more differ")
    assert tree.difference({}, dict.fromkeys("abcde", 1)) == "missing 'a', 'b', 'c' and 2 more"


def test_scale_refuses_integers():
    """Half of 4 in integers would be 0 · 4."""
    with pytest.raises(DtypeError, match=r"tree\.scale: leaves must be floating-point, got int32"):
        tree.scale(0.5, {"n": jnp.array(4)})


def test_a_second_norm_compiles_nothing(programs_of):
    """Without ``jit`` too, where each operation is a program of its own."""
    tree.norm(PARAMS)
    assert programs_of(lambda: tree.norm(PARAMS)) == 0


def test_norm_accumulates_in_float32_and_takes_magnitudes():
    """A bfloat16 sum of 4096 squares would stop at 256; a complex number counts with its magnitude."""
    np.testing.assert_allclose(tree.norm(jnp.ones(4096, jnp.bfloat16)), 64)
    np.testing.assert_allclose(tree.norm(jnp.asarray([3 + 4j])), 5, rtol=1e-6)
    assert tree.norm({}) == 0


def test_paths():
    assert list(tree.flatten(PARAMS)) == ["dense_0/bias", "dense_0/kernel", "head/bias"]
    shapes = tree.map_with_path(lambda path, leaf: f"{path}{leaf.shape}", PARAMS)
    assert shapes["dense_0"]["kernel"] == "dense_0/kernel(3, 2)"


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ("dense_0", ["dense_0/bias", "dense_0/kernel"]),
        ("*/bias", ["dense_0/bias", "head/bias"]),
        (["head/bias", "*/kernel"], ["dense_0/kernel", "head/bias"]),
        ((), []),
    ],
)
def test_mask(patterns, chosen):
    """A pattern is a path, a parent, or a glob."""
    assert [path for path, on in tree.flatten(tree.mask(PARAMS, patterns)).items() if on] == chosen


def test_a_pattern_that_matches_nothing_names_the_nearest_path():
    with pytest.raises(PathError, match=r"(?s)freeze: no path matches 'dense_0/kernl'.*did you mean 'dense_0/kernel'"):
        tree.mask(PARAMS, ["head", "dense_0/kernl"], where="freeze")


SIZES = [1.0, 1e20, 1e25, 6e37, 1e-20, 1e-37]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("function", [tree.norm, tree.leaf_norm])
def test_norms_and_their_derivatives_over_the_range_of_float32(function, size):
    """Where a square is infinite or 0 too: the norm of (3, 4), and its gradient (3, 4)/5, in a vmap as well."""
    x = size * jnp.array([3.0, 4.0])
    value, slope = jax.jit(jax.value_and_grad(function))(x)
    np.testing.assert_allclose(np.float64(value) / size, 5, rtol=1e-6)
    np.testing.assert_allclose(slope, [0.6, 0.8], rtol=1e-6)
    values, slopes = jax.vmap(jax.value_and_grad(function))(jnp.stack([x, jnp.ones(2), jnp.zeros(2)]))
    np.testing.assert_allclose(np.float64(values) / [size, 1, 1], [5, 2**0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(slopes, [[0.6, 0.8], [0.5**0.5, 0.5**0.5], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("function", [tree.norm, tree.leaf_norm])
def test_norms_of_other_dtypes(function):
    """16 bits are summed in float32; a complex number's magnitude may overflow where its parts do not."""
    assert function(jnp.ones((300, 300), jnp.float16)) == 300
    np.testing.assert_allclose(function(1e38 * jnp.array([3.0 + 0.0j, 1j])), 1e38 * 10**0.5, rtol=1e-6)
    assert function(jnp.zeros((0, 3))) == 0
    assert function(jnp.array([1.0, jnp.inf])) == jnp.inf
    assert jnp.isnan(function(jnp.array([1.0, jnp.nan])))
