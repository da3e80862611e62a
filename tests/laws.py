"""What every function of the library obeys, asked of it in one call."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np


def assert_pure_and_compilable(function, *args, rtol=1e-5, atol=1e-6):
    """`function` of arrays gives the same again, and leaves its arguments as they are.

    Compiled it gives that too, in one trace for all values of a shape, and ``eval_shape`` foretells shapes and dtypes.
    Returns the value.
    """
    args = jax.tree.map(jnp.asarray, args)
    kept = jax.tree.map(np.array, args)
    value = function(*args)
    chex.assert_trees_all_equal(function(*args), value)
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, args), kept)
    traces = []

    @jax.jit
    def compiled(*args):
        traces.append(1)
        return function(*args)

    chex.assert_trees_all_close(compiled(*args), value, rtol=rtol, atol=atol)
    compiled(*jax.tree.map(jnp.zeros_like, args))
    assert len(traces) == 1
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.eval_shape(function, *args), value)
    return value
