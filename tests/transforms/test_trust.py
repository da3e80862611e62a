"""Steps in proportion to the parameters: the norms of a leaf, and where there is none."""

import jax.numpy as jnp
import numpy as np

from fnnet import optimizers, transforms


def test_the_trust_ratio_is_of_whole_leaves():
    """A leaf with three axes has one norm; where a norm is 0 there is no ratio and no coefficient."""
    u, w = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype(np.float32)
    zero = np.zeros_like(u)
    trust = transforms.scale_by_trust_ratio(0.5, 0.1)
    grads, params = {"all": u, "new": u, "still": zero}, {"all": w, "new": zero, "still": w}
    updates, _ = trust.update(grads, trust.init(params), params)
    size, weight = (np.sqrt(np.sum(x.astype(np.float64) ** 2)) for x in (u, w))
    np.testing.assert_allclose(updates["all"], 0.5 * weight / (size + 0.1) * u, rtol=1e-5)
    np.testing.assert_array_equal(updates["new"], u)
    np.testing.assert_array_equal(updates["still"], zero)


def test_lamb_and_lars_move_new_weights():
    """From weights of 0 LAMB makes Adam's first step and LARS that of plain descent: no norm, no ratio."""
    params, grads = {"w": jnp.zeros(2)}, {"w": jnp.array([2.0, -0.5])}
    for optimizer, step in ((optimizers.lamb(0.1), [-0.1, 0.1]), (optimizers.lars(0.1), [-0.2, 0.05])):
        updates, _ = optimizer.update(grads, optimizer.init(params), params)
        np.testing.assert_allclose(updates["w"], step, rtol=1e-5)
