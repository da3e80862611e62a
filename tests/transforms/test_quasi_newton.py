"""L-BFGS: what a search does that finds no step, or no end, and how the memory begins again."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet import optimizers, transforms, tree

W = {"w": jnp.array([2.0, -1.0])}


def search(value_fn, grads=W, params=W, **extra):
    """Return the updates and the state of one search from `params` along −`grads`."""
    optimizer = transforms.scale_by_line_search(max_trials=3)
    return optimizer.update(grads, optimizer.init(params), params, value_fn=value_fn, **extra)


@pytest.mark.parametrize("value", [1.5, np.float32(1.5)], ids=["Python", "NumPy"])
def test_a_loss_may_be_a_plain_number(value):
    """A constant is a loss of slope 0: nowhere to go, and nothing to try."""
    updates, state = search(lambda params: value)
    chex.assert_trees_all_equal(updates, tree.zeros_like(W))
    assert (float(state.step_size), int(state.trials), float(state.value)) == (0.0, 0, 1.5)


def test_a_search_without_end_takes_the_longest_step():
    """A loss that falls for ever is followed to the last trial: 1, 2, 4."""
    grads = {"w": jnp.ones(2)}
    updates, state = search(lambda params: jnp.sum(params["w"]), grads, value=1.0, grad=grads)
    chex.assert_trees_all_equal(updates, tree.scale(-4.0, grads))
    assert (float(state.step_size), int(state.trials), float(state.value)) == (4.0, 3, -7.0)


def test_a_search_that_finds_nothing_takes_no_step():
    """Where every trial is nan, or no lower, the parameters stay and the state tells the loss they have."""
    for bad in (jnp.nan, 5.0):
        updates, state = search(lambda params, bad=bad: jnp.sum(params["w"]) * 0 + bad, value=5.0, grad=W)
        chex.assert_trees_all_equal(updates, tree.zeros_like(W))
        assert (float(state.step_size), int(state.trials), float(state.value)) == (0.0, 3, 5.0)


def test_the_memory_begins_again_after_no_step():
    """The direction that led nowhere would be taken again for ever: the next is the gradient's, as at the start."""
    optimizer = transforms.scale_by_lbfgs(3)
    curvature = jnp.array([1.0, 4.0])
    state = optimizer.init(W)
    for w in (jnp.array([2.0, -1.0]), jnp.array([1.5, 0.5]), jnp.array([1.0, 0.25])):
        updates, state = optimizer.update({"w": curvature * w}, state, {"w": w})
    unit = curvature * w / jnp.linalg.norm(curvature * w)
    assert not jnp.allclose(updates["w"], unit, rtol=0.1)
    updates, state = optimizer.update({"w": curvature * w}, state, {"w": w})
    chex.assert_trees_all_close(updates, {"w": unit}, rtol=1e-6)
    again = transforms.scale_by_lbfgs(3)
    _, fresh = again.update({"w": curvature * w}, again.init(W), {"w": w})
    following = jnp.array([0.5, -0.25])
    chex.assert_trees_all_close(
        optimizer.update({"w": curvature * following}, state, {"w": following})[0],
        again.update({"w": curvature * following}, fresh, {"w": following})[0],
        rtol=1e-5,
    )


def test_gradients_too_small_to_square_lead_on():
    """Down exp(-w), step by step, until float32 has no smaller number: then it stays, finite."""

    def value_fn(params):
        return jnp.exp(-params["w"]).sum()

    optimizer = optimizers.lbfgs()
    params = {"w": jnp.zeros(1)}

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(value_fn)(params), state, params, value_fn=value_fn)
        return (tree.add(params, updates), state), params["w"]

    (params, _), path = jax.lax.scan(step, (params, optimizer.init(params)), None, length=150)
    assert jnp.all(jnp.diff(path[:, 0]) >= 0)
    assert 86 < params["w"] < 89  # -log of the smallest normal number is 87.3
