"""Metrics of segmentation: pixels, regions, and the boundaries between them.

A prediction is (..., H, W, n) logits, or integers (..., H, W) that are classes already, or with ``n=2`` and a
`threshold` one logit (..., H, W); a target is integers (..., H, W). Pixels labelled `ignore` are left out. A weight is
one for each image, or for each pixel where pixels are what is counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from fnnet.core import Metric
from fnnet.metrics.accumulators import hit_or_nan, weighted_mean
from fnnet.metrics.classification import check_decisions, decisions, decode, from_confusion
from fnnet.shapes import check_rank
from fnnet.targets import check_value

Absent: TypeAlias = Literal["skip", "zero", "one"]
"""What a class that is neither there nor given counts in a mean over classes: it is left out, or it counts 0 or 1."""

_FAR = 2**30  # above the squared length of any image's diagonal, and with another square still an int32


def pixel_accuracy(*, threshold: float | None = None, ignore: int | None = None) -> Metric:
    """Share of pixels whose largest logit is at the label; with a `threshold`, whose one logit is on the label's side.

    >>> metric = fn.metrics.pixel_accuracy(threshold=0.0, ignore=255)
    >>> float(metric.compute(metric.update(metric.init(), jnp.array([[2.0, -1.0, 0.0]]), jnp.array([[1, 1, 255]]))))
    0.5
    """
    name = "pixel_accuracy"

    def values(prediction: Any, target: Any) -> tuple[Array, Array | None]:
        if threshold is None:
            logits, labels, kept, valid = decode(name, prediction, target, ignore)
            given = logits.argmax(-1).astype(labels.dtype)
        else:
            given, labels, kept, valid = decisions(name, prediction, target, 2, threshold, ignore)
        return hit_or_nan(given == labels, valid), None if ignore is None else kept

    return weighted_mean(name, values)


def mean_iou(
    n: int,
    *,
    average: Literal["macro"] | None = "macro",
    absent: Absent = "skip",
    threshold: float | None = None,
    ignore: int | None = None,
) -> Metric:
    r"""Mean over the `n` classes of intersection over union, :math:`TP / (TP + FP + FN)`, counted over all data.

    Pixels are added up over the images before they are divided (as in PASCAL VOC): large regions count for what they
    are, and batches may be cut anywhere. `absent` says what a class counts that no pixel is of and no pixel is given;
    with `average` None, one value for each class, it is NaN where it is to be skipped.
    Raises: ValueError if ``n < 2``, for other `average` or `absent`, or for a `threshold` with other `n`; ShapeError
    if the logits have not `n` classes; DataError for a label out of range where its value is known.

    >>> metric = fn.metrics.mean_iou(3)
    >>> acc = metric.update(metric.init(), jnp.array([[0, 1, 1, 1]]), jnp.array([[0, 0, 1, 1]]))
    >>> f"{metric.compute(acc):.4f}"
    '0.5833'
    """
    return _overlap("mean_iou", lambda hits, sizes: (hits, sizes - hits), n, average, absent, threshold, ignore)


def dice(
    n: int,
    *,
    average: Literal["macro"] | None = "macro",
    absent: Absent = "skip",
    threshold: float | None = None,
    ignore: int | None = None,
) -> Metric:
    r"""Mean over the `n` classes of the Dice coefficient, :math:`2TP / (2TP + FP + FN)`, counted over all data.

    Arguments as in ``mean_iou``. With `absent` "zero" it is ``f1`` (Dice 1945). Law: a class's D is
    :math:`2J / (1 + J)` of its intersection over union J. Raises: as ``mean_iou``.

    >>> metric = fn.metrics.dice(3)
    >>> acc = metric.update(metric.init(), jnp.array([[0, 1, 1, 1]]), jnp.array([[0, 0, 1, 1]]))
    >>> f"{metric.compute(acc):.4f}"
    '0.7333'
    """
    return _overlap("dice", lambda hits, sizes: (2 * hits, sizes), n, average, absent, threshold, ignore)


def image_dice(n: int, *, absent: Absent = "skip", threshold: float | None = None, ignore: int | None = None) -> Metric:
    """Mean over images of the image's own mean Dice coefficient: each image counts the same, however large its regions.

    Arguments as in ``mean_iou``, `absent` of each image; an image without a pixel kept is left out. Raises: as
    ``mean_iou``; ShapeError for a weight of other axes than the images'.

    >>> metric = fn.metrics.image_dice(2)
    >>> acc = metric.update(metric.init(), jnp.array([[[0, 1, 1]], [[0, 0, 0]]]), jnp.array([[[0, 0, 1]], [[0, 0, 0]]]))
    >>> f"{metric.compute(acc):.4f}"
    '0.8333'
    """
    name = "image_dice"
    check_decisions(name, n, threshold)
    _check_absent(name, absent)

    def values(prediction: Any, target: Any) -> tuple[Array, Array]:
        given, labels, kept, sound = _images(name, prediction, target, n, threshold, ignore)
        classes = jnp.arange(n, dtype=labels.dtype).reshape((1,) * labels.ndim + (n,))
        true, guessed = ((x[..., None] == classes) & kept[..., None] for x in (labels, given))
        hits, of_true, of_guessed = (_count(x, (-3, -2)) for x in (true & guessed, true, guessed))
        score = _over_classes(2 * hits, of_true + of_guessed, absent)
        return jnp.where(sound, score, jnp.nan), kept.any((-2, -1))

    return weighted_mean(name, values)


def boundary_f1(
    n: int,
    *,
    distance: float | None = None,
    share: float = 0.0075,
    threshold: float | None = None,
    ignore: int | None = None,
) -> Metric:
    r"""How well contours are drawn: the F1 of boundary pixels that lie near one of the other (Csurka et al. 2013).

    Of a class in an image, precision is the share of the pixels on its predicted boundary that have one on its true
    boundary within `distance`, recall the converse, and :math:`F = 2PR / (P + R)`. An image's score is the mean over
    the classes that are there or given in it; the metric is the mean over images. The `distance` is Euclidean, between
    centres, in pixels; if None, it is `share` of the diagonal of the arrays, the paper's 0.75 % by default.

    A pixel is on the boundary of its class if one of its four neighbours is of another: those beyond the image's edge
    or to be ignored are of none, so that an image filled up with `ignore` has the score that it had (of one
    `distance`). Where neither has a boundary, F is 1 if the class has the same pixels in both, else 0.
    Raises: ValueError for a negative `distance` or `share`; otherwise as ``image_dice``.

    >>> given, true = jnp.array([[0, 0, 1, 1, 1, 1]]), jnp.array([[0, 0, 0, 1, 1, 1]])
    >>> metrics = fn.metrics.boundary_f1(2, distance=0), fn.metrics.boundary_f1(2, distance=1)
    >>> [float(metric.compute(metric.update(metric.init(), given, true))) for metric in metrics]
    [0.0, 1.0]
    """
    name = "boundary_f1"
    check_decisions(name, n, threshold)
    for option, number in (("distance", 0.0 if distance is None else distance), ("share", share)):
        check_value(name, option, number, "a finite number of at least 0", lambda x: 0 <= x < math.inf)

    def values(prediction: Any, target: Any) -> tuple[Array, Array]:
        given, labels, kept, sound = _images(name, prediction, target, n, threshold, ignore)
        height, width = labels.shape[-2:]
        reach = float(share) * math.hypot(height, width) if distance is None else float(distance)
        # Squared distances are whole numbers: a root that is rounded down must still reach its own square.
        limit = math.floor(min(reach * reach * (1 + 1e-12), height**2 + width**2))

        return jnp.where(sound, _boundary_scores(given, labels, kept, n, limit), jnp.nan), kept.any((-2, -1))

    return weighted_mean(name, values)


def _overlap(
    name: str,
    parts: Callable[[Array, Array], tuple[Array, Array]],
    n: int,
    average: Literal["macro"] | None,
    absent: Absent,
    threshold: float | None,
    ignore: int | None,
) -> Metric:
    """Return the metric of ``parts(pixels right, pixels there + pixels given)``, what is divided and by what."""
    _check_absent(name, absent)
    if average not in ("macro", None):
        raise ValueError(f"{name}: average must be 'macro' or None, got {average!r}")

    def value(counts: Float[Array, "n n"]) -> Array:
        over, under = parts(jnp.diagonal(counts), counts.sum(1) + counts.sum(0))
        return _over_classes(over, under, absent) if average == "macro" else _ratio(over, under, absent)

    return from_confusion(name if average == "macro" else f"{name}_per_class", value, n, threshold, ignore)


def _ratio(over: Array, under: Array, absent: Absent) -> Array:
    instead = {"skip": jnp.nan, "zero": 0.0, "one": 1.0}[absent]
    return jnp.where(under == 0, instead, over / jnp.where(under == 0, 1.0, under))


def _over_classes(over: Array, under: Array, absent: Absent) -> Array:
    """Return the mean over the last axis, of the classes that count."""
    skipped = (under == 0) & (absent == "skip")
    return jnp.where(skipped, 0.0, _ratio(over, under, absent)).sum(-1) / _count(~skipped, -1)


def _check_absent(where: str, absent: Absent) -> None:
    if absent not in ("skip", "zero", "one"):
        raise ValueError(f"{where}: absent must be 'skip', 'zero' or 'one', got {absent!r}")


def _images(
    where: str, prediction: Any, target: Any, n: int, threshold: float | None, ignore: int | None
) -> tuple[Array, Array, Array, Array]:
    """Return (given class, labels, which pixels are kept, which images are sound)."""
    given, labels, kept, valid = decisions(where, prediction, target, n, threshold, ignore)
    check_rank(where, labels, 2, "(..., H, W), beside the logits' classes")
    return given, labels, kept, (valid | ~kept).all((-2, -1))


def _count(x: Array, axes: int | tuple[int, ...]) -> Array:
    return x.sum(axes, dtype=jnp.int32).astype(jnp.result_type(float))


@partial(jax.jit, static_argnums=(3, 4))  # so that it is compiled once where the metric is not
def _boundary_scores(
    given: Int[Array, "*batch h w"],
    labels: Int[Array, "*batch h w"],
    kept: Bool[Array, "*batch h w"],
    n: int,
    limit: int,
) -> Float[Array, "*batch"]:
    """Return the F1 of the boundaries in each image, the mean over classes; distances squared are at most `limit`."""

    def of_class(c: Int[Array, ""]) -> tuple[Array, Array]:
        true, guessed = (labels == c) & kept, (given == c) & kept
        edge, drawn = _boundary(true, kept), _boundary(guessed, kept)
        edges, draws = _count(edge, (-2, -1)), _count(drawn, (-2, -1))
        precision = _count(drawn & _near(edge, limit), (-2, -1)) / jnp.maximum(draws, 1)
        recall = _count(edge & _near(drawn, limit), (-2, -1)) / jnp.maximum(edges, 1)
        both = precision + recall
        f = jnp.where(both == 0, 0.0, 2 * precision * recall / jnp.where(both == 0, 1.0, both))
        same = (true == guessed).all((-2, -1)).astype(f.dtype)
        there = (true | guessed).any((-2, -1))
        return jnp.where(there, jnp.where(edges + draws == 0, same, f), 0.0), there

    scores, there = lax.map(of_class, jnp.arange(n, dtype=labels.dtype))
    return scores.sum(0) / jnp.maximum(_count(there, 0), 1)


def _boundary(mask: Bool[Array, "*batch h w"], kept: Bool[Array, "*batch h w"]) -> Bool[Array, "*batch h w"]:
    """Return the pixels of `mask` beside a kept one that is not of it."""
    other = kept & ~mask
    beside = jnp.zeros_like(mask)
    for axis in (-2, -1):
        size = mask.shape[axis]
        wide = _widened(other, 1, axis)
        for start in (0, 2):
            beside |= lax.slice_in_dim(wide, start, start + size, axis=axis % mask.ndim)
    return mask & beside


def _near(edge: Bool[Array, "*batch h w"], limit: int) -> Bool[Array, "*batch h w"]:
    """Return where the squared distance to the nearest pixel of `edge` is at most `limit`: one axis after the other."""

    def nearest(squared: Array, axis: int) -> Array:
        """Return the least of the squared distances along an axis plus those already known at each place of it."""
        size = squared.shape[axis]
        reach = min(math.isqrt(limit), size - 1)
        wide = _widened(squared, reach, axis, _FAR)

        def closer(k: Array, best: Array) -> Array:
            return jnp.minimum(best, lax.dynamic_slice_in_dim(wide, k, size, axis) + jnp.square(k - reach))

        return lax.fori_loop(0, 2 * reach + 1, closer, squared)

    squared = jnp.where(edge, 0, _FAR).astype(jnp.int32)
    return nearest(nearest(squared, squared.ndim - 2), squared.ndim - 1) <= limit


def _widened(x: Array, by: int, axis: int, filler: int | bool = False) -> Array:
    width = [(0, 0)] * x.ndim
    width[axis] = (by, by)
    return jnp.pad(x, width, constant_values=filler)
