"""Parameters for networks that are looked at, drawn without a program."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def drawn(net, x, seed=0):
    """Parameters of the shapes that init makes: normal, of variance 1/n for kernels of n inputs, biases too."""
    random = np.random.default_rng(seed)
    shapes, _ = jax.eval_shape(net.init, jax.random.key(0), x)

    def draw(leaf):
        scale = np.sqrt(1 / np.prod(leaf.shape[:-1][-3:])) if len(leaf.shape) > 1 else 0.3
        return jnp.asarray(scale * random.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(draw, shapes)
