"""Orthogonal updates of matrices, against the singular value decomposition."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet import transforms
from fnnet.errors import PathError, ShapeError


def test_orthogonalize_brings_singular_values_near_one():
    """Singular values become about 1 in real and complex matrices, tall and wide; the singular vectors stay."""
    for shape in ((4, 7), (7, 4)):
        g = jax.random.normal(jax.random.key(0), (2, *shape))
        q = transforms.orthogonalize(jax.lax.complex(g[0], g[1]))
        u, _, vh = np.linalg.svd(np.asarray(jax.lax.complex(g[0], g[1])), full_matrices=False)
        assert np.all(np.abs(np.linalg.svd(np.asarray(q))[1] - 1) < 0.35)
        inner = u.conj().T @ np.asarray(q) @ vh.conj().T
        np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-4)


def numpy_muon(g):
    """Return the direction of one matrix (in, out), by its singular values, in float64."""
    u, s, vh = np.linalg.svd(g.astype(np.float64), full_matrices=False)
    s = s / np.sqrt(np.sum(s**2))
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return max(1, g.shape[1] / g.shape[0]) ** 0.5 * (u * s) @ vh


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 2, 8)])
def test_all_axes_but_the_last_are_inputs(shape):
    """A kernel with three axes is the matrix of its outputs, wide or tall."""
    g = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    muon = transforms.scale_by_muon(0.0)
    updates, _ = muon.update({"w": jnp.asarray(g)}, muon.init({"w": jnp.asarray(g)}))
    expected = numpy_muon(g.reshape(-1, shape[-1])).reshape(shape)
    np.testing.assert_allclose(updates["w"], expected, rtol=1e-4, atol=1e-4)


def test_each_of_a_stack_is_a_matrix_of_its_own():
    """The update of stacked copies is the stack of their updates; the other leaves are no stacks."""
    key = jax.random.key(0)
    params = {"one": jax.random.normal(key, (3, 4)), "many": {"a": jax.random.normal(key, (2, 3, 4))}}
    muon = transforms.scale_by_muon(stacked="many")
    updates, state = muon.update(params, muon.init(params))
    alone = transforms.scale_by_muon()
    rows = [params["many"]["a"][0], params["many"]["a"][1], params["one"]]
    expected, expected_state = alone.update(rows, alone.init(rows))
    chex.assert_trees_all_close([*updates["many"]["a"], updates["one"]], expected, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal(state.velocity["many"]["a"][1], expected_state.velocity[1])
    with pytest.raises(PathError, match="muon: no path matches 'more'"):
        transforms.scale_by_muon(stacked="more").update(params, state)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_only_a_matrix_is_orthogonalized(shape):
    with pytest.raises(ShapeError, match=re.escape(f"expected a matrix, got shape {shape}\n  Fix: vmap over leading")):
        transforms.orthogonalize(jnp.ones(shape))


@pytest.mark.parametrize("size", [1e37, 1e20, 1e-30, 0.0])
def test_orthogonalize_needs_no_epsilon(size):
    """The size of a matrix plays no part, where its square overflows or vanishes too; of nothing comes nothing."""
    matrix = jnp.array([[1.0, 2.0], [3.0, -1.0]])
    expected = transforms.orthogonalize(matrix, 0.0) if size else jnp.zeros((2, 2))
    np.testing.assert_allclose(transforms.orthogonalize(size * matrix, 0.0), expected, atol=1e-4)


def test_orthogonalize_in_16_bits():
    """The sum of squares is beyond float16; the matrix keeps its dtype."""
    q = transforms.orthogonalize(jnp.ones((300, 300), jnp.float16))
    assert q.dtype == jnp.float16
    np.testing.assert_allclose(jnp.linalg.norm(q.astype(jnp.float32)), 1, atol=0.35)
