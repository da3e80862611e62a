"""Clipping: what the bounds bound, and at which gradients they still hold."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transform_toys import update

from fnnet import transforms

elements = arrays(np.float32, (2, 3), elements=st.floats(-100, 100, width=32))


CLIPS = {
    "value": transforms.clip_by_value(0.7),
    "global": transforms.clip_by_global_norm(0.7),
    "leaf": transforms.clip_by_leaf_norm(0.7),
    "adaptive": transforms.clip_adaptively(0.2, 0.1),
    "rms": transforms.clip_by_leaf_rms(0.7),
}


CLIPPED = {name: jax.jit(clip.update) for name, clip in CLIPS.items()}


def numpy_clip(name, g, w):
    """Clip a dict of float64 arrays by the formula."""
    if name == "value":
        return {k: np.clip(x, -0.7, 0.7) for k, x in g.items()}
    if name == "global":
        norm = np.sqrt(sum(np.sum(x**2) for x in g.values()))
        return {k: x * min(1, 0.7 / norm) if norm else x for k, x in g.items()}
    if name == "rms":
        return {k: x / max(1, np.sqrt(np.mean(x**2)) / 0.7) for k, x in g.items()}
    if name == "leaf":
        return {k: x * min(1, 0.7 / np.linalg.norm(x)) if x.any() else x for k, x in g.items()}
    limit = {k: 0.2 * np.maximum(np.linalg.norm(x, axis=0), 0.1) for k, x in w.items()}
    norm = {k: np.maximum(np.linalg.norm(x, axis=0), 1e-30) for k, x in g.items()}
    return {k: x * np.minimum(1, limit[k] / norm[k]) for k, x in g.items()}


@pytest.mark.row("clipping")
@pytest.mark.parametrize("name", CLIPS)
@given(elements, elements, elements, elements)
def test_clipping_is_its_formula(name, a, b, wa, wb):
    """The clipped gradient is the formula's in float64, whatever the gradient; below the bound it does not change."""
    grads, params = {"a": a, "b": b}, {"a": wa, "b": wb}
    clipped, _ = CLIPPED[name](grads, CLIPS[name].init(params), params)
    expected = numpy_clip(name, *({k: x.astype(np.float64) for k, x in t.items()} for t in (grads, params)))
    chex.assert_trees_all_close(clipped, expected, rtol=1e-5, atol=1e-6)


def test_clipping_complex_and_low_precision():
    """A complex value is clipped by parts and by magnitude; a bfloat16 norm is summed in float32."""
    z = {"w": jnp.array([3 + 4j])}
    chex.assert_trees_all_close(update(transforms.clip_by_value(2.0), z, z)[0], {"w": jnp.array([2 + 2j])})
    chex.assert_trees_all_close(update(transforms.clip_by_global_norm(1.0), z, z)[0], {"w": jnp.array([0.6 + 0.8j])})
    low = {"w": jnp.ones(4096, jnp.bfloat16)}
    clipped, _ = update(transforms.clip_by_global_norm(32.0), low, low)
    chex.assert_trees_all_equal(clipped, {"w": jnp.full(4096, 0.5, jnp.bfloat16)})


def test_clipping_to_nothing():
    """Zero parameters with eps = 0 hold their unit still; a zero gradient stays zero, not nan."""
    grads = {"w": jnp.array([[1.0, 0.0]])}
    clipped, _ = update(transforms.clip_adaptively(0.1, 0.0), grads, {"w": jnp.zeros((1, 2))})
    chex.assert_trees_all_equal(clipped, {"w": jnp.zeros((1, 2))})


@pytest.mark.parametrize(
    "clip",
    [
        transforms.clip_by_value(jnp.inf),
        transforms.clip_by_global_norm(jnp.inf),
        transforms.clip_by_leaf_norm(jnp.inf),
        transforms.clip_adaptively(jnp.inf),
        transforms.clip_by_leaf_rms(jnp.inf),
    ],
)
def test_an_infinite_bound_never_acts(clip):
    """A bound is a number of the state: set to infinity, it switches the clipping off."""
    grads = {"w": jnp.array([[3.0, -4.0]]), "zero": jnp.zeros(2)}
    chex.assert_trees_all_equal(update(clip, grads, {"w": jnp.ones((1, 2)), "zero": jnp.ones(2)})[0], grads)


def test_a_norm_that_is_not_finite_is_not_hidden():
    """Clipping a gradient with a nan gives nan, for `skip_nonfinite` to find."""
    clipped, _ = update(transforms.clip_by_global_norm(1.0), {"w": jnp.array([1.0, jnp.nan])}, {"w": jnp.ones(2)})
    assert jnp.all(jnp.isnan(clipped["w"]))


@pytest.mark.parametrize("clip", [transforms.clip_by_global_norm(1.0), transforms.clip_by_leaf_norm(1.0)])
def test_the_direction_stays_where_squares_overflow(clip):
    """A norm is known up to the largest float, though the squares in it are not."""
    grads = {"w": jnp.array([3e20, -4e20])}
    clipped, _ = clip.update(grads, clip.init(grads))
    chex.assert_trees_all_close(clipped, {"w": jnp.array([0.6, -0.8])}, rtol=1e-6)


def test_units_of_a_kernel_with_three_axes():
    """A unit is an index of the last axis, its norm over all others, of values whose squares overflow or vanish too."""
    rng = np.random.default_rng(0)
    g, w = rng.normal(size=(2, 2, 3, 4)).astype(np.float32) * np.float32([1e25, 1e-30, 1, 1e-3])
    g[..., 3] = 0
    w = w / np.float32([1e25, 1e-30, 1, 1e-3])
    clip = transforms.clip_adaptively(0.1, 1e-3)
    clipped, _ = clip.update({"w": jnp.asarray(g)}, clip.init(None), {"w": jnp.asarray(w)})
    size, weight = (np.linalg.norm(x.reshape(6, 4).astype(np.float64), axis=0) for x in (g, w))
    factor = [1 if n == 0 else min(1, 0.1 * max(m, 1e-3) / n) for n, m in zip(size, weight, strict=True)]
    np.testing.assert_allclose(clipped["w"], g * np.array(factor), rtol=1e-5)
    assert factor[0] < 1e-20
    assert factor[1] == 1
