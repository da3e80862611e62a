"""Parameters, gradients and two ways of updating that the tests of the transforms share."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fnnet import tree

PARAMS = {
    "body": {"kernel": jnp.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]]), "bias": jnp.array([0.5, -1.0, 2.0])},
    "head": {"kernel": jnp.array([[2.0, -1.0, 0.25], [1.5, 0.5, -0.5]]), "bias": jnp.array([1.0, 1.0, -3.0])},
}


GRADS = jax.tree.map(lambda x: 3 * x + 1, PARAMS)


def update(optimizer, grads=GRADS, params=PARAMS, state=None, **extra):
    """Return the updates and state of one jitted call."""
    state = optimizer.init(params) if state is None else state
    return jax.jit(lambda *args: optimizer.update(*args, **extra))(grads, state, params)


def path_of(optimizer, gradients, params=PARAMS):
    """Return the parameters after each of a list of gradients."""
    step = jax.jit(optimizer.update)
    state, path = optimizer.init(params), []
    for grads in gradients:
        updates, state = step(grads, state, params)
        params = tree.add(params, updates)
        path.append(params)
    return path, state


class Pair(NamedTuple):
    """A pair (init, update) from elsewhere, not an ``Optimizer``."""

    init: object
    update: object
