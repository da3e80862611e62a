"""Metrics of classification that depend on the predicted class alone.

A prediction is (..., classes) logits, a target integers (...) or one-hot rows (..., classes). A label out of range, or
a NaN among the logits, makes the result NaN unless it weighs nothing; where labels are known, outside ``jit``, a label
out of range raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.core import Metric
from fnnet.errors import ShapeError
from fnnet.metrics.accumulators import Sum, by_bin, hit_or_nan, nothing, plus, read, weigh, weighted_mean
from fnnet.shapes import check_count
from fnnet.targets import are_labels, as_binary, as_labels, as_prediction, check_same_shape

_CHUNK = 2**16  # counted in plain floats: an image has more pixels than a float32 counts to

Average: TypeAlias = Literal["macro", "micro"] | None
"""Over classes: their plain mean, the value of all decisions counted together, or None: one value for each class."""


def accuracy(*, ignore: int | None = None) -> Metric:
    """Share of examples whose largest logit is at the label; those labelled `ignore` are left out.

    >>> metric = fn.metrics.accuracy()
    >>> acc = metric.update(metric.init(), jnp.array([[2.0, 1.0], [0.0, 3.0]]), jnp.array([0, 0]))
    >>> float(metric.compute(acc))
    0.5
    """

    def values(prediction: Any, target: Any) -> tuple[Array, Array | None]:
        logits, labels, kept, valid = decode("accuracy", prediction, target, ignore)
        return hit_or_nan(logits.argmax(-1).astype(labels.dtype) == labels, valid), None if ignore is None else kept

    return weighted_mean("accuracy", values)


def binary_accuracy(*, threshold: float = 0.0) -> Metric:
    """Share of elements whose one logit is on the side of `threshold` where the target, 0 or 1, is.

    The default, logit 0, is probability ½. Element by element: prediction and target have one shape.
    Raises: ShapeError if they have not.

    >>> metric = fn.metrics.binary_accuracy()
    >>> float(metric.compute(metric.update(metric.init(), jnp.array([2.0, -1.0]), jnp.array([1, 1]))))
    0.5
    """

    def values(prediction: Any, target: Any) -> Array:
        z = as_prediction("binary_accuracy", prediction)
        t = as_binary("binary_accuracy", z, target)
        return hit_or_nan((z > threshold) == (t > 0.5), ~(jnp.isnan(z) | jnp.isnan(t)))

    return weighted_mean("binary_accuracy", values)


def top_k_accuracy(k: int, *, ignore: int | None = None) -> Metric:
    """Share of examples whose label is among the `k` largest logits (of equal ones, those first in order).

    Law: with `k` 1 it is the accuracy; with all classes it is 1.
    Raises: ValueError if ``k < 1``; ShapeError if there are fewer than `k` classes.

    >>> metric = fn.metrics.top_k_accuracy(2)
    >>> float(metric.compute(metric.update(metric.init(), jnp.array([[3.0, 2.0, 1.0]]), jnp.array([1]))))
    1.0
    """
    check_count("top_k_accuracy", "k", k)
    name = f"top_{k}_accuracy"

    def values(prediction: Any, target: Any) -> tuple[Array, Array | None]:
        logits, labels, kept, valid = decode(name, prediction, target, ignore)
        if logits.shape[-1] < k:
            raise ShapeError(name, f"needs at least {k} classes, got logits {logits.shape}", "choose a smaller k.")
        at_label = jnp.take_along_axis(logits, labels[..., None], axis=-1)
        before = jax.lax.broadcasted_iota(labels.dtype, logits.shape, logits.ndim - 1) < labels[..., None]
        better = (logits > at_label) | ((logits == at_label) & before)
        return hit_or_nan(better.sum(-1) < k, valid), None if ignore is None else kept

    return weighted_mean(name, values)


def confusion_matrix(n: int, *, threshold: float | None = None, ignore: int | None = None) -> Metric:
    """Count of examples, or sum of their weights, by true class (row) and predicted class (column); shape (n, n).

    A prediction is (..., n) logits, or integers (...) that are classes already; with `n` 2 and a `threshold`, it is one
    logit (...), class 1 where it exceeds the threshold. Whole weights up to 256 are exact, to 2⁴⁸ in all.
    Raises: ValueError if ``n < 2``, or for a `threshold` with other `n`; ShapeError if the logits have not `n` classes.

    >>> metric = fn.metrics.confusion_matrix(2)
    >>> metric.compute(metric.update(metric.init(), jnp.array([0, 1, 1]), jnp.array([0, 0, 1])))
    Array([[1., 1.],
           [0., 1.]], dtype=float32)
    """
    return from_confusion("confusion_matrix", lambda counts: counts, n, threshold, ignore)


def precision(
    n: int, *, average: Average = "macro", threshold: float | None = None, ignore: int | None = None
) -> Metric:
    r"""Of the examples given a class, the share that are of it: :math:`TP / (TP + FP)`; 0 for a class never given.

    Arguments as in ``confusion_matrix``. The macro average is over all `n` classes, whether or not they occur.

    >>> metric = fn.metrics.precision(2, average=None)
    >>> metric.compute(metric.update(metric.init(), jnp.array([0, 1, 1]), jnp.array([0, 0, 1])))
    Array([1. , 0.5], dtype=float32)
    """
    return _rate("precision", lambda hits, true, given: (hits, given), n, average, threshold, ignore)


def recall(n: int, *, average: Average = "macro", threshold: float | None = None, ignore: int | None = None) -> Metric:
    r"""Of the examples of a class, the share that are given it: :math:`TP / (TP + FN)`; 0 for a class that is absent.

    Arguments as in ``confusion_matrix``. The macro average is over all `n` classes, whether or not they occur.

    >>> metric = fn.metrics.recall(2, average=None)
    >>> metric.compute(metric.update(metric.init(), jnp.array([0, 1, 1]), jnp.array([0, 0, 1])))
    Array([0.5, 1. ], dtype=float32)
    """
    return _rate("recall", lambda hits, true, given: (hits, true), n, average, threshold, ignore)


def f1(n: int, *, average: Average = "macro", threshold: float | None = None, ignore: int | None = None) -> Metric:
    r"""Harmonic mean of precision and recall: :math:`2TP / (2TP + FP + FN)`; 0 for a class neither given nor there.

    The macro average is the mean of the classes' values, not the value of their mean precision and recall. Arguments as
    in ``confusion_matrix``.

    >>> metric = fn.metrics.f1(2, average="micro")
    >>> float(metric.compute(metric.update(metric.init(), jnp.array([0, 1, 1, 0]), jnp.array([0, 0, 1, 0]))))
    0.75
    """
    return _rate("f1", lambda hits, true, given: (2 * hits, true + given), n, average, threshold, ignore)


def cohens_kappa(
    n: int,
    *,
    weighting: Literal["linear", "quadratic"] | None = None,
    threshold: float | None = None,
    ignore: int | None = None,
) -> Metric:
    r"""Agreement beyond chance, :math:`1 - \sum_{ij} d_{ij} C_{ij} / \sum_{ij} d_{ij} E_{ij}` (Cohen 1960; 1968).

    C is the confusion matrix and E the one of independent marginals. Disagreements :math:`d_{ij}` count 1, or by
    `weighting` :math:`|i-j|` or :math:`(i-j)^2`, for ordered classes. NaN where all examples are of one class and given
    it. Arguments as in ``confusion_matrix``.

    >>> metric = fn.metrics.cohens_kappa(2)
    >>> float(metric.compute(metric.update(metric.init(), jnp.array([0, 1, 1, 0]), jnp.array([0, 0, 1, 0]))))
    0.5
    """
    if weighting not in (None, "linear", "quadratic"):
        raise ValueError(f"cohens_kappa: weighting must be None, 'linear' or 'quadratic', got {weighting!r}")

    def value(counts: Float[Array, "n n"]) -> Float[Array, ""]:
        shares = counts / counts.sum()
        gap = jnp.abs(jnp.arange(n)[:, None] - jnp.arange(n)[None]).astype(counts.dtype)
        distance = {None: (gap > 0).astype(counts.dtype), "linear": gap, "quadratic": gap * gap}[weighting]
        expected = shares.sum(1)[:, None] * shares.sum(0)[None]
        return 1 - (distance * shares).sum() / (distance * expected).sum()

    return from_confusion("cohens_kappa", value, n, threshold, ignore)


def from_confusion(
    name: str, value: Callable[[Array], Array], n: int, threshold: float | None, ignore: int | None
) -> Metric:
    """Return the metric ``value(counts)`` of the confusion matrix (n, n) over all data."""
    check_decisions(name, n, threshold)

    def init() -> Sum:
        return nothing(n, n)

    def update(acc: Sum, prediction: Any, target: Any, weight: ArrayLike | None = None) -> Sum:
        given, labels, kept, valid = decisions(name, prediction, target, n, threshold, ignore)
        marks = jnp.where(valid, 1.0, jnp.nan)
        marks, w = weigh(name, marks, weight, kept, acc.value.dtype)
        # Rows that weigh nothing may hold anything: their class is one that exists, and they add 0 to it.
        cell = (labels * n + given).reshape(-1)
        counts = by_bin(cell, w, n * n, chunk=_CHUNK)
        value = jnp.where(jnp.isnan(marks).any(), jnp.nan, counts.value)
        return plus(acc, Sum(value.reshape(n, n), counts.error.reshape(n, n)))

    return Metric(name, init, update, lambda acc: value(read(acc)), plus)


def check_decisions(where: str, n: int, threshold: float | None) -> None:
    """Raise ValueError unless `n` is a number of classes, and 2 if one logit decides by a `threshold`."""
    check_count(where, "n", n, least=2)
    if threshold is not None and n != 2:
        raise ValueError(f"{where}: threshold is for n=2 and one logit an example, got n={n}")


def _rate(
    name: str,
    parts: Callable[[Array, Array, Array], tuple[Array, Array]],
    n: int,
    average: Average,
    threshold: float | None,
    ignore: int | None,
) -> Metric:
    if average not in ("macro", "micro", None):
        raise ValueError(f"{name}: average must be 'macro', 'micro' or None, got {average!r}")

    def value(counts: Float[Array, "n n"]) -> Array:
        over, under = parts(jnp.diagonal(counts), counts.sum(1), counts.sum(0))
        if average == "micro":
            over, under = over.sum(), under.sum()
        rates = jnp.where(under == 0, 0.0, over / jnp.where(under == 0, 1.0, under))
        return rates.mean() if average == "macro" else rates

    return from_confusion(f"{name}_{average or 'per_class'}", value, n, threshold, ignore)


def decode(where: str, prediction: Any, target: Any, ignore: int | None) -> tuple[Array, Array, Array, Array]:
    """Return (logits, labels, kept, valid): labels within range, which examples count, and which are sound."""
    logits = as_prediction(where, prediction)
    if are_labels(where, logits, target):
        labels, kept, valid = as_labels(where, target, logits.shape[-1], ignore)
    elif ignore is not None:
        raise ValueError(f"{where}: ignore is for integer labels, got ignore={ignore} with one row for each example")
    else:
        rows = jnp.asarray(target)
        labels, valid = jnp.argmax(rows, axis=-1).astype(jnp.int32), ~jnp.isnan(rows).any(-1)
        kept = jnp.ones(labels.shape, bool)
    return logits, labels, kept, valid & ~jnp.isnan(logits).any(-1)


def decisions(
    where: str, prediction: Any, target: Any, n: int, threshold: float | None, ignore: int | None
) -> tuple[Array, Array, Array, Array]:
    """Return (given class, labels, kept, valid), all of the batch's shape."""
    if threshold is not None:
        z = as_prediction(where, prediction)
        check_same_shape(where, z, target)
        labels, kept, valid = as_labels(where, target, 2, ignore)
        return (z > threshold).astype(jnp.int32), labels, kept, valid & ~jnp.isnan(z)
    if jnp.issubdtype(jnp.result_type(prediction), jnp.integer):
        check_same_shape(where, prediction, target)
        labels, kept, valid = as_labels(where, target, n, ignore)
        given, _, known = as_labels(where, prediction, n)
        return given, labels, kept, valid & known
    logits, labels, kept, valid = decode(where, prediction, target, ignore)
    if logits.shape[-1] != n:
        problem = f"logits must have shape (..., {n}), got {logits.shape}"
        raise ShapeError(where, problem, "make the metric for the number of classes that the network has.")
    return logits.argmax(-1).astype(jnp.int32), labels.astype(jnp.int32), kept, valid
