"""What layers should give, in float64 NumPy, from their formulas."""

from __future__ import annotations

import numpy as np


def dense(kernel, bias):
    """Return the reference of x W + b."""
    return lambda params, state, x, train: (x @ params[kernel] + params[bias], state)


def equinox_linear(params, state, x, train):
    """Return W x + b."""
    return x @ params[".weight"].T + params[".bias"], state


def circular(params, state, x, train):
    """Return the convolution of 3 by 3 around the edges."""
    y = params["bias"] + np.zeros((*x.shape[:-1], 1))
    for i in range(3):
        for j in range(3):
            y = y + np.roll(x, (1 - i, 1 - j), (-3, -2)) @ params["kernel"][i, j]
    return y, state


def norm(axes, eps, scale="scale", bias="bias", centred=True):
    """Return the reference of (x - mean) / √(variance + ε) over axes of an example, by affine maps if there are any."""

    def reference(params, state, x, train):
        mean = x.mean(axes, keepdims=True) if centred else 0
        y = (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)
        return y * params.get(scale, 1) + params.get(bias, 0), state

    return reference


def linen_batch_norm(params, state, x, train):
    """Return flax's batch norm with its defaults: momentum 0.99, the running variance is the biased one."""
    kept = state["batch_stats"]
    mean, var = kept["mean"], kept["var"]
    if train:
        axes = tuple(range(x.ndim - 1))
        mean, var = x.mean(axes), x.var(axes)
        kept = {"mean": 0.99 * kept["mean"] + 0.01 * mean, "var": 0.99 * kept["var"] + 0.01 * var}
    y = (x - mean) / np.sqrt(var + 1e-5) * params["scale"] + params["bias"]
    return y, {"batch_stats": kept}
