"""Losses with one fault each, beside the sound loss that each is a mutant of."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy import special

from fnnet import testing

rng = np.random.default_rng(0)
Z = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
REAL = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
Y = jnp.array([0, 2, 1, 2])
T = jnp.asarray(rng.integers(0, 2, (4, 3)), jnp.float32)


def wide(array):
    return array.astype(jnp.float32) if array.dtype.itemsize < 4 else array


def cross_entropy(fault="", weights=None):
    smoothing, k = 0.1, 3

    def loss(z, y):
        z = z if fault == "sums in sixteen bits" else wide(z)
        if fault == "no largest logit is taken away":
            log_p = z - jnp.log(jnp.exp(z).sum(-1, keepdims=True))
        elif fault == "the logarithm of the softmax":
            log_p = jnp.log(jax.nn.softmax(z))
        else:
            log_p = jax.nn.log_softmax(z, 0 if fault == "softmax over the batch" and z.ndim > 1 else -1)
        others = k - 1 if fault == "smoothing over k - 1" else k
        share = smoothing if fault == "the share of the truth is the smoothing" else 1 - smoothing
        q = share * jax.nn.one_hot(y, k, dtype=z.dtype) + smoothing / others
        w = jnp.ones(y.shape, z.dtype) if weights is None else jnp.asarray(weights, z.dtype)[y]
        if fault == "weights are divided by their sum" and weights is not None:
            w = w / w.sum()
        if fault == "weights are squared":
            w = w**2
        if fault == "half of the gradient is stopped":
            log_p = (log_p + lax.stop_gradient(log_p)) / 2
        value = -(q * log_p).sum(-1) * w
        if fault == "the mean over the batch":
            value = jnp.broadcast_to(value.mean(), value.shape)
        if fault == "the sum of the batch alone":
            return value.sum()
        if fault == "the sign of the sum":
            value = -value
        return value

    return loss


def smoothed(z, y):
    q = 0.9 * np.eye(3)[y] + 0.1 / 3
    return -(q * special.log_softmax(z, -1)).sum(-1)


def of_cross_entropy(fault=""):
    return testing.LossSubject(
        cross_entropy(fault),
        Z,
        Y,
        convex=True,
        truth=lambda y: jnp.log(0.9 * jax.nn.one_hot(y, 3) + 0.1 / 3),
        least=None,
        weighted=(lambda w: cross_entropy(fault, w), 3),
        reference=smoothed,
    )


def regression(fault=""):
    """Huber's loss with δ = 1."""

    def loss(p, t):
        if fault == "the target is changed in place" and isinstance(t, np.ndarray):
            t *= 2
        p = p if fault == "sums in sixteen bits" else wide(p)
        t = t.astype(p.dtype)
        e = p - t
        size = jnp.sqrt(e**2) if fault == "the root of a square" else jnp.abs(e)
        inner = e**2 if fault == "the square is not halved" else e**2 / 2
        outer = size - (0.0 if fault == "the branches do not meet" else 0.5)
        edge = size <= (2.0 if fault == "the edge is elsewhere" else 1.0)
        value = jnp.where(edge, inner, outer)
        if fault == "the error is of the absolute values":
            value = (jnp.abs(p) - jnp.abs(t)) ** 2 / 2
        if fault == "an example sees the next":
            value = value + 0.1 * jnp.roll(value, 1, axis=0)
        return value

    return testing.LossSubject(
        loss,
        Z,
        REAL,
        truth=lambda t: t,
        convex=True,
        reference=lambda p, t: np.where(np.abs(p - t) <= 1, (p - t) ** 2 / 2, np.abs(p - t) - 0.5),
    )


def binary(fault=""):
    """Binary cross-entropy of logits."""

    def loss(z, t):
        z = wide(z)
        t = t.astype(z.dtype)
        if fault == "of probabilities":
            p = jax.nn.sigmoid(z)
            return -t * jnp.log(p) - (1 - t) * jnp.log(1 - p)
        if fault == "of probabilities that are clipped":
            p = jnp.clip(jax.nn.sigmoid(z), 1e-3, 1 - 1e-3)
            return -t * jnp.log(p) - (1 - t) * jnp.log(1 - p)
        if fault == "the negative half is left out":
            return -t * jax.nn.log_sigmoid(z)
        if fault == "positive and negative are exchanged":
            t = 1 - t
        return -t * jax.nn.log_sigmoid(z) - (1 - t) * jax.nn.log_sigmoid(-z)

    return testing.LossSubject(
        loss,
        Z,
        T,
        convex=True,
        truth=lambda t: 40 * (2 * t - 1),
        reference=lambda z, t: -t * special.log_expit(z) - (1 - t) * special.log_expit(-z),
    )


def cosine_distance(fault=""):
    def loss(a, b):
        a = wide(a)
        b = b.astype(a.dtype)
        squares = [(v**2).sum(-1) for v in (a, b)]
        if fault == "the length is not kept from zero":
            lengths = [jnp.sqrt(s) for s in squares]
        elif fault == "the root of zero is differentiated":
            lengths = [jnp.sqrt(s) + 1e-6 for s in squares]
        else:
            lengths = [jnp.sqrt(jnp.maximum(s, 1e-12)) for s in squares]
        value = (a * b).sum(-1) / lengths[0] / lengths[1]
        return value if fault == "likeness in place of distance" else 1 - value

    return testing.LossSubject(loss, Z, REAL, truth=lambda t: t)


FAULTS = {
    of_cross_entropy: (
        "sums in sixteen bits",
        "no largest logit is taken away",
        "the logarithm of the softmax",
        "softmax over the batch",
        "smoothing over k - 1",
        "the share of the truth is the smoothing",
        "weights are divided by their sum",
        "weights are squared",
        "half of the gradient is stopped",
        "the mean over the batch",
        "the sum of the batch alone",
        "the sign of the sum",
    ),
    regression: (
        "sums in sixteen bits",
        "the root of a square",
        "the square is not halved",
        "the branches do not meet",
        "the edge is elsewhere",
        "the error is of the absolute values",
        "an example sees the next",
        "the target is changed in place",
    ),
    binary: (
        "of probabilities",
        "of probabilities that are clipped",
        "the negative half is left out",
        "positive and negative are exchanged",
    ),
    cosine_distance: (
        "the length is not kept from zero",
        "the root of zero is differentiated",
        "likeness in place of distance",
    ),
}
