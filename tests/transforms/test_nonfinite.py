"""Skipping of updates that are not finite."""

import chex
import jax
import jax.numpy as jnp
import pytest
from transform_toys import GRADS, Pair, path_of

from fnnet import optimizers, transforms


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_updates_that_are_not_finite_are_skipped(bad):
    """A bad gradient changes neither parameters nor moments; the next good one goes on as if it had not been."""
    optimizer = transforms.skip_nonfinite(optimizers.adam(0.1))
    wrong = GRADS | {"head": jax.tree.map(lambda g: g.at[0].set(bad), GRADS["head"])}
    path, state = path_of(optimizer, [GRADS, wrong, wrong, GRADS])
    clean, clean_state = path_of(optimizers.adam(0.1), [GRADS, GRADS])
    chex.assert_trees_all_equal(path[2], path[0])
    chex.assert_trees_all_close((path[-1], state.inner), (clean[-1], clean_state))
    assert (int(state.skipped), int(state.in_a_row)) == (2, 0)


def test_a_gradient_whose_square_overflows_is_skipped():
    """Adam's update by such a gradient is finite, but its second moment would be infinite from then on."""
    huge = GRADS | {"head": jax.tree.map(lambda g: g.at[0].set(2e19), GRADS["head"])}
    path, state = path_of(transforms.skip_nonfinite(optimizers.adam(0.1)), [GRADS, huge, GRADS])
    clean, clean_state = path_of(optimizers.adam(0.1), [GRADS, GRADS])
    chex.assert_trees_all_equal(path[1], path[0])
    chex.assert_trees_all_close((path[-1], state.inner), (clean[-1], clean_state))
    assert int(state.skipped) == 1


def test_updates_are_looked_at_beside_gradients():
    """A finite gradient of which the inner pair makes nan is skipped; the pair's own memory, of integers, stays too."""
    roots = Pair(lambda params: jnp.zeros((), jnp.int32), lambda g, s, params=None: (jax.tree.map(jnp.sqrt, g), s + 1))
    optimizer = transforms.skip_nonfinite(roots)
    updates, state = optimizer.update({"w": jnp.array([4.0, -1.0])}, optimizer.init({"w": jnp.ones(2)}))
    chex.assert_trees_all_equal(updates, {"w": jnp.zeros(2)})
    assert [int(x) for x in state] == [1, 1, 0]
    updates, state = optimizer.update({"w": jnp.array([4.0, 1.0])}, state)
    chex.assert_trees_all_equal(updates, {"w": jnp.array([2.0, 1.0])})
    assert [int(x) for x in state] == [1, 0, 1]
