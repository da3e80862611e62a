"""Metrics of a ranking: how well one score for each example separates those of class 1 from those of class 0.

Two of each: binned, a mergeable metric of fixed size for streams and devices; exact, a function of arrays in memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.core import Metric
from fnnet.errors import DataError, ShapeError
from fnnet.metrics.accumulators import Sum, by_bin, nothing, plus, read, total, weigh
from fnnet.shapes import check_count
from fnnet.targets import as_binary, as_prediction, check_same_shape


class Histogram(NamedTuple):
    """The weight of the positives and of the negatives, by bin of the score, lowest first."""

    positive: Sum
    negative: Sum


def roc_auc(bins: int = 1024) -> Metric:
    r"""Area under the receiver operating characteristic, binned: :math:`P(s^+ > s^-) + \frac12 P(s^+ = s^-)`.

    Prediction and target (0 or 1) have one shape. Scores, best logits, fall in `bins` of equal width on the scale of
    :math:`s / (1 + |s|)`; within a bin all count as equal. So it is off by at most
    :math:`\frac12 \sum_b p_b n_b`, with p and n the shares of the positives and of the negatives in bin b: what
    ``roc_auc_error`` returns of the accumulator; about 1/2B where the scores are spread over B bins. NaN without both
    classes. Raises: ValueError if ``bins < 2``; ShapeError if shapes differ.

    >>> metric = fn.metrics.roc_auc()
    >>> acc = metric.update(metric.init(), jnp.array([-1.0, 0.5, 0.2, 2.0]), jnp.array([0, 0, 1, 1]))
    >>> float(metric.compute(acc)), float(fn.metrics.roc_auc_error(acc))
    (0.75, 0.0)
    """

    def compute(acc: Histogram) -> Float[Array, ""]:
        positive, negative = _shares(acc)
        below = read(_cumulated(acc.negative)) / read(total(read(acc.negative))) - negative / 2
        return read(total(positive * below))

    return _binned("roc_auc", bins, compute)


def roc_auc_error(acc: Histogram) -> Float[Array, ""]:
    """Return a bound on the difference of the binned area from the exact one, from the metric's accumulator.

    >>> metric = fn.metrics.roc_auc(bins=2)
    >>> acc = metric.update(metric.init(), jnp.array([-1.0, 0.5, 0.2, 2.0]), jnp.array([0, 0, 1, 1]))
    >>> float(metric.compute(acc)), float(roc_auc_error(acc))
    (0.75, 0.25)
    """
    positive, negative = _shares(acc)
    return (positive * negative).sum() / 2


def average_precision(bins: int = 1024) -> Metric:
    r"""Mean precision over the positives, :math:`\sum_k (R_k - R_{k-1}) P_k` down the scores; binned.

    Not interpolated. Binned as in ``roc_auc``. With T and F the positives and negatives above a bin, and p and n those
    inside, the precision at its positives lies between :math:`T/(T+F+n)` and :math:`(T+p)/(T+p+F)`:
    ``average_precision_error`` sums, over the positives, the larger distance of the two from the value used,
    :math:`(T+p)/(T+p+F+n)`. NaN without positives. Raises: ValueError if ``bins < 2``; ShapeError if shapes differ.

    >>> metric = fn.metrics.average_precision()
    >>> acc = metric.update(metric.init(), jnp.array([-1.0, 0.5, 0.2, 2.0]), jnp.array([0, 0, 1, 1]))
    >>> f"{float(metric.compute(acc)):.4f}"
    '0.8333'
    """

    def compute(acc: Histogram) -> Float[Array, ""]:
        return read(total(_shares(acc)[0] * _precisions(acc)[1]))

    return _binned("average_precision", bins, compute)


def average_precision_error(acc: Histogram) -> Float[Array, ""]:
    """Return a bound on the difference of the binned average precision from the exact one, from its accumulator.

    >>> metric = fn.metrics.average_precision(bins=2)
    >>> acc = metric.update(metric.init(), jnp.array([-1.0, 0.5, 2.0]), jnp.array([0, 0, 1]))
    >>> float(metric.compute(acc)), float(average_precision_error(acc))
    (0.5, 0.5)
    """
    least, used, most = _precisions(acc)
    return (_shares(acc)[0] * jnp.maximum(used - least, most - used)).sum()


def exact_roc_auc(scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the exact area under the receiver operating characteristic of arrays in memory.

    In float64, outside ``jit``; equal scores count half; NaN without both classes. Raises: as ``roc_curve``.

    >>> exact_roc_auc(jnp.array([-1.0, 0.5, 0.2, 2.0]), jnp.array([0, 0, 1, 1]))
    0.75
    """
    false_positives, true_positives, _ = roc_curve(scores, labels, weight)
    return float((np.diff(false_positives) * (true_positives[1:] + true_positives[:-1]) / 2).sum())


def exact_average_precision(scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the exact average precision of arrays in memory, without interpolation; NaN without positives.

    In float64, outside ``jit``. Raises: as ``roc_curve``.

    >>> round(exact_average_precision(jnp.array([-1.0, 0.5, 0.2, 2.0]), jnp.array([0, 0, 1, 1])), 4)
    0.8333
    """
    precisions, recalls, _ = precision_recall_curve(scores, labels, weight)
    return float((np.diff(recalls, prepend=0.0) * precisions).sum())


def roc_curve(
    scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (false positive rate, true positive rate, threshold), from (0, 0, inf) down the distinct scores.

    In float64; what weighs nothing is left out. Raises: ShapeError if shapes differ; DataError if no score is left, one
    is NaN, or a label is not 0 or 1.

    >>> roc_curve(jnp.array([0.5, 2.0]), jnp.array([0, 1]))[1]
    array([0., 1., 1.])
    """
    true, false, thresholds = _curve("roc_curve", scores, labels, weight)
    true, false = (np.concatenate([[0.0], counts]) for counts in (true, false))
    return _over(false, false[-1]), _over(true, true[-1]), np.concatenate([[np.inf], thresholds])


def precision_recall_curve(
    scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (precision, recall, threshold) down the distinct scores, in float64; raises as ``roc_curve``.

    >>> precision_recall_curve(jnp.array([0.5, 2.0]), jnp.array([0, 1]))[0]
    array([1. , 0.5])
    """
    true, false, thresholds = _curve("precision_recall_curve", scores, labels, weight)
    return true / (true + false), _over(true, true[-1]), thresholds


def _binned(name: str, bins: int, compute: Any) -> Metric:
    check_count(name, "bins", bins, least=2)
    ends = np.linspace(-1, 1, bins + 1)[1:-1]
    edges = ends / (1 - np.abs(ends))  # of the scores: comparing with them keeps the order, as computing a bin may not

    def init() -> Histogram:
        return Histogram(nothing(bins), nothing(bins))

    def update(acc: Histogram, prediction: Any, target: Any, weight: ArrayLike | None = None) -> Histogram:
        z = as_prediction(name, prediction)
        t = as_binary(name, z, target)
        dtype = acc.positive.value.dtype
        t, w = weigh(name, jnp.where(jnp.isnan(z), jnp.nan, t), weight, None, dtype)
        place = jnp.searchsorted(jnp.asarray(edges, z.dtype), z.reshape(-1), side="right")

        return merge(acc, Histogram(by_bin(place, w * t, bins), by_bin(place, w * (1 - t), bins)))

    def merge(a: Histogram, b: Histogram) -> Histogram:
        return Histogram(plus(a.positive, b.positive), plus(a.negative, b.negative))

    return Metric(name, init, update, compute, merge)


def _shares(acc: Histogram) -> tuple[Float[Array, "*bins"], Float[Array, "*bins"]]:
    positive, negative = read(acc.positive), read(acc.negative)
    return positive / read(total(positive)), negative / read(total(negative))


def _cumulated(x: Sum, *, from_top: bool = False) -> Sum:
    return lax.scan(_step, Sum(*(jnp.zeros_like(part[0]) for part in x)), x, reverse=from_top)[1]


def _step(so_far: Sum, bin_: Sum) -> tuple[Sum, Sum]:
    so_far = plus(so_far, bin_)
    return so_far, so_far


def _precisions(acc: Histogram) -> tuple[Array, Array, Array]:
    """Return, by bin, the least precision its positives may have, the one used, and the most."""
    p, n = read(acc.positive), read(acc.negative)
    true, false = (read(_cumulated(x, from_top=True)) for x in acc)

    def share(over: Array, rest: Array) -> Array:
        under = over + rest
        return over / jnp.where(under == 0, 1.0, under)

    return share(true - p, false), share(true, false), share(true, false - n)


def _curve(
    where: str, scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights of positives and of negatives at or above each distinct score, from the highest down."""
    check_same_shape(where, scores, labels)
    s, y = np.asarray(scores, np.float64).ravel(), np.asarray(labels).ravel()
    if weight is not None and np.shape(weight) != np.shape(scores):
        problem = f"the weight must have the scores' shape {np.shape(scores)}, got {np.shape(weight)}"
        raise ShapeError(where, problem, "give one weight for each score.")
    w = np.ones(s.shape) if weight is None else np.asarray(weight, np.float64).ravel()
    s, y, w = s[w != 0], y[w != 0], w[w != 0]
    if s.size == 0:
        raise DataError(where, "needs at least one score, got none", "pass the scores of some examples.")
    if np.isnan(s).any():
        index = int(np.argmax(np.isnan(s)))
        raise DataError(where, f"scores must be numbers, got nan at index {index}", "drop or repair those examples.")
    if not np.isin(y, (0, 1)).all():
        index = int(np.argmin(np.isin(y, (0, 1))))
        raise DataError(where, f"labels must be 0 or 1, got {y[index]} at index {index}", "pass labels == positive.")
    order = np.argsort(-s, kind="stable")
    s, y, w = s[order], y[order].astype(np.float64), w[order]
    last_of_equals = np.append(s[1:] != s[:-1], True)
    return np.cumsum(w * y)[last_of_equals], np.cumsum(w * (1 - y))[last_of_equals], s[last_of_equals]


def _over(counts: np.ndarray, whole: float) -> np.ndarray:
    return counts / whole if whole else np.full(counts.shape, np.nan)
