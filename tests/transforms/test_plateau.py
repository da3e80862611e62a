"""Reaction to the loss, against its rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from transform_toys import GRADS, PARAMS

from fnnet import transforms


def numpy_plateau(losses, factor, patience, rtol, cooldown, every, least):
    """Return the scale after each loss."""
    scale, best, since, wait, scales = 1.0, np.inf, 0, 0, []
    for i in range(len(losses)):
        if (i + 1) % every == 0:
            mean = np.mean(losses[i + 1 - every : i + 1])
            resting, wait = wait > 0, max(wait - 1, 0)
            if mean < best * (1 - rtol):
                best, since = mean, 0
            else:
                since = 0 if resting else since + 1
            if since >= patience:
                scale, since, wait = max(scale * factor, least), 0, cooldown
        scales.append(scale)
    return scales


@pytest.mark.row("schedules")
@pytest.mark.parametrize("options", [(0.5, 2, 1e-4, 0, 1, 0.0), (0.1, 1, 0.1, 2, 1, 0.05), (0.5, 2, 0.0, 1, 3, 0.2)])
def test_plateau_is_its_rule(options):
    """The scale follows the rule through falls, rests and means, and never goes below its least."""
    names = ("factor", "patience", "rtol", "cooldown", "every", "min_scale")
    optimizer = transforms.reduce_on_plateau(**dict(zip(names, options, strict=True)))
    losses = [5, 4, 4.2, 3, 3.1, 3, 3, 2.9, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2]

    @jax.jit
    def run(values):
        state = optimizer.init({"w": jnp.ones(())})
        step = lambda s, v: optimizer.update({"w": jnp.ones(())}, s, value=v)[::-1]  # noqa: E731
        return jax.lax.scan(step, state, values)

    state, updates = run(jnp.array(losses, jnp.float32))
    np.testing.assert_allclose(updates["w"], numpy_plateau(losses, *options), rtol=1e-6)
    np.testing.assert_allclose(transforms.hyperparams(state)["scale"], updates["w"][-1])


def test_plateau_needs_the_loss():
    """Without the loss there is nothing to judge; a nan is no improvement."""
    optimizer = transforms.reduce_on_plateau(0.5, patience=1)
    with pytest.raises(ValueError, match=r"reduce_on_plateau: update needs value; call update\(.*value=...\)"):
        optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS)
    _, state = optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS, value=jnp.nan)
    assert state.scheduled["scale"] == 0.5


@pytest.mark.parametrize(
    ("rtol", "atol", "losses"),
    [(0.1, 0.0, (-1.0, -1.05, -1.2)), (0.0, 0.5, (2.0, 1.6, 1.4)), (0.1, 0.5, (10.0, 8.9, 8.4))],
    ids=["below zero", "absolute", "both"],
)
def test_an_improvement_exceeds_both_tolerances(rtol, atol, losses):
    """The second loss is lower by too little, so the scale falls; the third by enough. |best| counts, also below 0."""
    optimizer = transforms.reduce_on_plateau(0.5, patience=1, rtol=rtol, atol=atol)
    state, scales = optimizer.init(None), []
    for loss in losses:
        updates, state = optimizer.update({"w": jnp.ones(())}, state, value=loss)
        scales.append(float(updates["w"]))
    assert scales == [1.0, 0.5, 0.5]
    np.testing.assert_allclose(state.best, losses[-1], rtol=1e-6)
