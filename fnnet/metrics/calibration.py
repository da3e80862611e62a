"""Metrics of predicted probabilities: how surprising, how far off, and how honest they are.

A prediction is (..., classes) logits with a target of integers (...) or rows of probabilities (..., classes). With
``binary=True`` it is one logit for each target, of one shape, and stands for the two logits (0, z).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.core import Metric
from fnnet.metrics.accumulators import Sum, by_bin, hit_or_nan, nothing, plus, read, weigh, weighted_mean
from fnnet.shapes import check_count
from fnnet.targets import are_labels, as_binary, as_labels, as_prediction, as_target


def log_loss(*, binary: bool = False) -> Metric:
    r"""Mean of :math:`-\sum_c p_c \log \mathrm{softmax}(z)_c`, in nats, from logits: nothing is clipped.

    >>> metric = fn.metrics.log_loss()
    >>> acc = metric.update(metric.init(), jnp.zeros((3, 4)), jnp.array([0, 1, 2]))
    >>> round(float(metric.compute(acc)), 3)  # log 4
    1.386
    """

    def values(prediction: Any, target: Any) -> Array:
        belief = _belief("log_loss", prediction, target, binary)
        surprise, p = -belief.log_probability, belief.target
        return (p * jnp.where((p == 0) & jnp.isinf(surprise), 0.0, surprise)).sum(-1)

    return weighted_mean("log_loss", values)


def brier(*, binary: bool = False) -> Metric:
    r"""Mean of :math:`\sum_c (\mathrm{softmax}(z)_c - p_c)^2` (Brier 1950), from 0 to 2.

    With `binary` it is :math:`(\sigma(z) - t)^2`, from 0 to 1: half of what the two classes give.

    >>> metric = fn.metrics.brier()
    >>> float(metric.compute(metric.update(metric.init(), jnp.zeros((1, 2)), jnp.array([0]))))
    0.5
    """

    def values(prediction: Any, target: Any) -> Array:
        belief = _belief("brier", prediction, target, binary)
        return jnp.square(belief.probability - belief.target).sum(-1) / (2 if binary else 1)

    return weighted_mean("brier", values)


class Reliability(NamedTuple):
    """By bin of confidence: the weight, the weight of what was right, and the sum of the confidences."""

    weight: Sum
    right: Sum
    confidence: Sum


def expected_calibration_error(bins: int = 15, *, binary: bool = False) -> Metric:
    r"""Mean gap between confidence and accuracy, :math:`\sum_b \frac{n_b}{n} |acc_b - conf_b|` (Guo et al. 2017).

    Of the predicted class: its probability is the confidence, and the `bins` are of equal width, closed above. With
    `binary` the confidence is that of the likelier side. Few examples a bin bias it upwards. The target is a class:
    of rows of probabilities, the largest. Raises: ValueError if ``bins < 1``.

    >>> metric = fn.metrics.expected_calibration_error()
    >>> float(metric.compute(metric.update(metric.init(), jnp.zeros((4, 2)), jnp.array([0, 0, 0, 1]))))
    0.25
    """
    name = "expected_calibration_error"
    check_count(name, "bins", bins)

    def init() -> Reliability:
        return Reliability(nothing(bins), nothing(bins), nothing(bins))

    def update(acc: Reliability, prediction: Any, target: Any, weight: ArrayLike | None = None) -> Reliability:
        belief = _belief(name, prediction, target, binary)
        confidence = belief.probability.max(-1)
        sound = ~(jnp.isnan(confidence) | jnp.isnan(belief.target).any(-1))
        right = hit_or_nan(belief.logits.argmax(-1) == belief.target.argmax(-1), sound)
        dtype = acc.weight.value.dtype
        right, w = weigh(name, right, weight, None, dtype)
        confidence, _ = weigh(name, confidence, weight, None, dtype)
        place = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0, bins - 1)

        return merge(acc, Reliability(*(by_bin(place, x, bins) for x in (w, w * right, w * confidence))))

    def merge(a: Reliability, b: Reliability) -> Reliability:
        return Reliability(*(plus(x, y) for x, y in zip(a, b, strict=True)))

    def compute(acc: Reliability) -> Float[Array, ""]:
        return jnp.abs(read(acc.right) - read(acc.confidence)).sum() / read(acc.weight).sum()

    return Metric(name, init, update, compute, merge)


class _Belief(NamedTuple):
    """What is predicted and what is true, each (..., classes); the target is NaN for a label out of range."""

    logits: Array
    probability: Array
    log_probability: Array
    target: Array


def _belief(where: str, prediction: Any, target: Any, binary: bool) -> _Belief:
    z = as_prediction(where, prediction)
    if binary:  # by the sigmoid of both signs: the softmax of (0, z) is NaN where z is infinite
        t = as_binary(where, z, target)
        sides = jnp.stack([-z, z], -1)
        logits = jnp.stack([jnp.zeros_like(z), z], -1)
        return _Belief(logits, jax.nn.sigmoid(sides), jax.nn.log_sigmoid(sides), jnp.stack([1 - t, t], -1))
    if are_labels(where, z, target):
        labels, _, valid = as_labels(where, target, z.shape[-1])
        p = jnp.where(valid[..., None], jax.nn.one_hot(labels, z.shape[-1], dtype=z.dtype), jnp.nan)
    else:
        p = as_target(where, z, target)
    return _Belief(z, jax.nn.softmax(z), jax.nn.log_softmax(z), p)
