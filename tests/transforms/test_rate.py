"""Learning rates and other numbers on schedules."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from transform_toys import GRADS, PARAMS, path_of, update

from fnnet import optimizers, schedules, transforms


def test_numbers_follow_schedules():
    """A momentum on a schedule acts and is read in the state; the structure of the state does not change."""
    optimizer = transforms.follow_schedules(
        optimizers.sgd(1.0, 0.9), {"momentum": schedules.piecewise([0.0, 0.5], [1])}
    )
    state = optimizer.init({"w": jnp.ones(1)})
    seen = []
    for _ in range(3):
        updates, new_state = update(optimizer, {"w": jnp.ones(1)}, {"w": jnp.ones(1)}, state)
        chex.assert_trees_all_equal_shapes_and_dtypes(state, new_state)
        state = new_state
        seen.append((float(updates["w"][0]), float(transforms.hyperparams(state)["inner/0/momentum"])))
    assert seen == [(-1.0, 0.0), (-1.5, 0.5), (-1.75, 0.5)]


def test_a_scheduled_rate_is_read_in_the_state_and_not_set():
    """The state tells the rate that the last update used; setting it is refused: the next update would undo it."""
    optimizer = optimizers.sgd(schedules.piecewise([0.5, 0.25], [1]))
    path, state = path_of(optimizer, [GRADS, GRADS])
    assert transforms.hyperparams(state) == {"0/learning_rate": 0.25}
    chex.assert_trees_all_close(path[1], jax.tree.map(lambda p, g: p - 0.75 * g, PARAMS, GRADS), rtol=1e-6)
    with pytest.raises(ValueError, match="'0/learning_rate' follows a schedule, so a value set here would be lost"):
        transforms.with_hyperparams(state, {"learning_rate": 0.1})


def test_what_no_number_can_follow():
    """A schedule gives one number, and numbers follow functions, not numbers."""
    optimizer = optimizers.sgd(lambda count: jnp.ones(2))
    with pytest.raises(ValueError, match=re.escape("the schedule must give one number, got shape (2,)")):
        optimizer.init(PARAMS)
    with pytest.raises(ValueError, match="the schedule must give real numbers, got complex64"):
        optimizers.sgd(lambda count: jnp.ones((), jnp.complex64)).init(PARAMS)
    with pytest.raises(TypeError, match=r"follow_schedules: 'momentum' must follow a function of the count, got 0\.5"):
        transforms.follow_schedules(optimizers.sgd(1.0, 0.9), {"momentum": 0.5})


@pytest.mark.parametrize("link", [transforms.scale(-1e-8), transforms.scale_by_learning_rate(1e-8)])
def test_a_small_factor_is_some_in_sixteen_bits(link):
    """The product is made in float32: the factor alone is below the smallest float16."""
    grads = {"w": jnp.full(1, 1e4, jnp.float16)}
    updates, _ = link.update(grads, link.init(grads))
    assert updates["w"].dtype == jnp.float16
    np.testing.assert_allclose(updates["w"].astype(jnp.float32), [-1e-4], rtol=1e-3)
