"""Averages of the parameters, against the weighted mean of the path."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves
from transform_toys import GRADS, PARAMS, path_of

from fnnet import optimizers, transforms


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_average_is_the_weighted_mean(decay):
    """The average is Σ βᵗ⁻ⁱ θᵢ / Σ βᵗ⁻ⁱ over the parameters after each update; at first it is the parameters."""
    optimizer = transforms.chain(optimizers.sgd(0.1), transforms.average(decay))
    chex.assert_trees_all_equal(transforms.averaged(optimizer.init(PARAMS)), PARAMS)
    path, state = path_of(optimizer, [GRADS, PARAMS, GRADS, GRADS])
    weights = decay ** np.arange(3.0, -1, -1)
    expected = jax.tree.map(lambda *x: np.average(np.stack(x), axis=0, weights=weights), *path)
    chex.assert_trees_all_close(transforms.averaged(state), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("start", [0, 1, 2, 9])
def test_polyak_average_is_the_mean_after_the_start(start):
    """The average is the mean of the parameters after the first `start` updates, and the latest until then."""
    optimizer = transforms.chain(optimizers.sgd(0.1), transforms.polyak_average(start))
    path, state = path_of(optimizer, [GRADS, PARAMS, GRADS, GRADS])
    kept = path[start:] or path[-1:]
    expected = jax.tree.map(lambda *x: np.mean(np.stack(x), axis=0), *kept)
    chex.assert_trees_all_close(transforms.averaged(state), expected, rtol=1e-5, atol=1e-6)


def test_averages_of_low_precision_and_their_absence():
    """bfloat16 parameters are averaged in float32, read in their own dtype on request; no average says what to add."""
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    state = transforms.average().init(low)
    assert {leaf.dtype for leaf in tree_leaves(transforms.averaged(state))} == {jnp.dtype("float32")}
    chex.assert_trees_all_equal(transforms.averaged(state, like=low), low)
    with pytest.raises(ValueError, match=r"must keep one average of the parameters, got 0; put .*average\(\) last"):
        transforms.averaged(optimizers.sgd(0.1).init(low))


def test_averages_beside_frozen_leaves():
    """An average within `freeze` is of the trained leaves; the parameters give the others, in their own dtypes."""
    params = {"body": jnp.full(2, 3.0, jnp.bfloat16), "head": jnp.ones(1)}
    grads = {"body": jnp.ones(2, jnp.bfloat16), "head": jnp.ones(1)}
    trained = transforms.chain(optimizers.sgd(1.0), transforms.polyak_average())
    path, state = path_of(transforms.freeze(trained, "body"), [grads, grads], params)
    chex.assert_trees_all_equal(
        transforms.averaged(state, path[-1]), {"body": params["body"], "head": jnp.full(1, -0.5)}
    )
    with pytest.raises(ValueError, match=r"frozen parameters have no average; pass them too: averaged\(state, params"):
        transforms.averaged(state)
    around = transforms.chain(transforms.freeze(optimizers.sgd(1.0), "body"), transforms.polyak_average())
    path, state = path_of(around, [grads, grads], params)
    chex.assert_trees_all_equal(transforms.averaged(state), {"body": jnp.full(2, 3.0), "head": jnp.full(1, -0.5)})


def test_the_first_average_is_a_copy():
    """The state shares no buffer with the parameters, so that a step may be given both to use up."""
    pointers = [x.unsafe_buffer_pointer() for x in tree_leaves((PARAMS, transforms.average().init(PARAMS)))]
    assert len(set(pointers)) == len(pointers)


@pytest.mark.parametrize("make", [transforms.average, transforms.polyak_average])
def test_an_average_is_the_last_link(make):
    """Before another link it would add up updates that are not those made; so too within a chain in a chain."""
    for links in (
        (make(), transforms.scale(-0.1)),
        (transforms.chain(optimizers.sgd(0.1), make()), transforms.scale(2.0)),
    ):
        with pytest.raises(ValueError, match="chain: an average of the parameters must be the last link"):
            transforms.chain(*links).init(PARAMS)
    transforms.chain(transforms.chain(optimizers.sgd(0.1), make())).init(PARAMS)
