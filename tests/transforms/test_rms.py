"""Division by roots of accumulated squares: the variance of a constant, and factors of more than a matrix."""

import jax
import jax.numpy as jnp
import numpy as np

from fnnet import transforms


def test_a_variance_is_not_negative():
    """Of a gradient that has become constant it is rounding alone: below 0 it counts as 0, and ε is what is left."""
    optimizer = transforms.scale_by_rms(eps=1e-8, centered=True)
    grads = jnp.linspace(1.0, 3.0, 64)

    @jax.jit
    def run(state):
        path = jnp.ones(300).at[0].set(30.0)  # the means come down from above, and stop short of their ends
        return jax.lax.scan(lambda s, factor: optimizer.update({"w": factor * grads}, s)[::-1], state, path)

    state, updates = run(optimizer.init({"w": grads}))
    below = state.nu["w"] - state.mu["w"] ** 2 < -2e-6
    assert jnp.any(below)
    np.testing.assert_allclose(updates["w"][-1][below], 1e4 * grads[below], rtol=1e-5)


def test_factors_of_a_stack_of_matrices():
    """The last two axes are factored, each matrix by itself; a stack whose matrices are too small keeps every mean."""
    g = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype(np.float32)
    grads = [{"w": jnp.asarray(x), "flat": jnp.asarray(x[..., :2])} for x in g]
    optimizer = transforms.scale_by_factored_rms(factor_from=3)
    state = optimizer.init(grads[0])
    assert [leaf.shape for leaf in jax.tree.leaves(state.nu)] == [(2, 3, 2), (2, 3), (2, 4)]
    _, state = optimizer.update(grads[0], state)
    updates, _ = optimizer.update(grads[1], state)
    square, fraction = g.astype(np.float64) ** 2, 2**-0.8
    mean = square[0] + fraction * (square[1] - square[0])
    row, column = mean.mean(-1), mean.mean(-2)
    factored = row[:, :, None] * column[:, None, :] / row.mean(-1)[:, None, None]
    np.testing.assert_allclose(updates["w"], g[1] / np.sqrt(factored), rtol=1e-5)
    np.testing.assert_allclose(updates["flat"], (g[1] / np.sqrt(mean))[..., :2], rtol=1e-5)
