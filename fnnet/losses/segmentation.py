"""Losses of segmentation: one value for each image, from logits of each pixel.

Logits are (..., H, W, classes), labels integers (..., H, W); those that begin with ``binary_`` take one logit and one
0-or-1 a pixel. What the pixels' places are is not used: a volume (..., D, H, W, classes) is taken as the image
``z.reshape(*batch, D * H, W, classes)``. Pixels labelled `ignore` are as if they were not there, whatever the logits.
``cross_entropy``, ``focal`` and ``hinge`` take such logits too and give one value for each pixel.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import nn
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.errors import DataError, ShapeError
from fnnet.losses.classification import (
    binary_cross_entropy,
    check_smoothing,
    cross_entropy,
    kept_logits,
    one_or_nan,
    weights_of,
)
from fnnet.shapes import align, check_rank
from fnnet.targets import are_labels, as_binary, as_labels, as_prediction, check_ignore, check_same_shape, check_value
from fnnet.targets import known as known_values

Classes: TypeAlias = Literal["all", "present"]
"""Over which classes the mean is: all of them, or those that some kept pixel of the image is labelled with."""

Share: TypeAlias = float | Float[Array, ""]

_NO_PIXEL = 1e-12  # a union smaller than that is taken to be empty: what is divided by it would not fit its gradient


def pixel_cross_entropy(
    logits: Float[Array, "*batch height width classes"],
    labels: ArrayLike,
    *,
    smoothing: Share = 0.0,
    class_weights: ArrayLike | None = None,
    ignore: int | None = None,
) -> Float[Array, "*batch"]:
    r"""Mean over an image's pixels of the cross-entropy, :math:`\sum_i w_{y_i} \ell_i / \sum_i w_{y_i}`.

    The sums are over the pixels kept; :math:`w` are the `class_weights`, 1 if None; :math:`\ell_i` is
    ``cross_entropy`` with this `smoothing`. An image without a pixel that weighs has loss 0 and no gradient.
    Of one image it is what torch calls ``CrossEntropyLoss(weight, ignore_index, reduction="mean")``. Of a batch, torch
    divides all sums by the weight of the whole batch: that is the mean of these values weighted with
    :math:`\sum_i w_{y_i}` of each image, while their plain mean lets each image count the same.
    Raises: as ``cross_entropy``; ShapeError unless labels are integers (..., H, W).

    >>> z = jnp.array([[[0.0, 0.0], [-1e4, 1e4], [3.0, 1.0]]])
    >>> f"{fn.losses.pixel_cross_entropy(z, jnp.array([[0, 1, 255]]), ignore=255):.3f}"
    '0.347'
    """
    where = "pixel_cross_entropy"
    check_smoothing(where, smoothing)
    z, y, kept, mark = _pixels(where, logits, labels, ignore)
    weights = None if class_weights is None else weights_of(where, "class_weights", class_weights, z)
    loss = cross_entropy(z, y, smoothing=smoothing, class_weights=weights)
    w = jnp.where(kept, 1.0 if weights is None else weights[y], 0.0).astype(z.dtype)
    return mark * _over(jnp.where(w == 0, 0.0, loss).sum((-2, -1)), w.sum((-2, -1)))


def binary_pixel_cross_entropy(
    logits: Float[Array, "*batch height width"],
    targets: ArrayLike,
    *,
    positive_weight: Share = 1.0,
    ignore: int | None = None,
) -> Float[Array, "*batch"]:
    """Mean over an image's pixels of ``binary_cross_entropy``, divided by the number of pixels kept, weight or not.

    Without `ignore` its mean is that of ``binary_cross_entropy``; an image without a pixel kept has loss 0 and no
    gradient. Raises: as ``binary_cross_entropy``; ShapeError unless both are (..., H, W).

    >>> f"{fn.losses.binary_pixel_cross_entropy(jnp.zeros((2, 2)), jnp.array([[0, 1], [1, 255]]), ignore=255):.3f}"
    '0.693'
    """
    where = "binary_pixel_cross_entropy"
    check_value(where, "positive_weight", positive_weight, "a finite number of at least 0", lambda w: 0 <= w < np.inf)
    z, t, kept = _binary_pixels(where, logits, targets, ignore)
    loss = jnp.where(kept, binary_cross_entropy(z, t, positive_weight=positive_weight), 0.0)
    return _over(loss.sum((-2, -1)), kept.sum((-2, -1)).astype(z.dtype))


def tversky(
    logits: Float[Array, "*batch height width classes"],
    labels: ArrayLike,
    *,
    alpha: Share = 0.3,
    beta: Share = 0.7,
    smooth: Share = 1.0,
    classes: Classes = "all",
    class_weights: ArrayLike | None = None,
    ignore: int | None = None,
) -> Float[Array, "*batch"]:
    r"""Mean over classes of one less the Tversky index, :math:`1 - \frac{TP + s}{TP + \alpha FP + \beta FN + s}`.

    With p the softmax and t the one-hot label, :math:`TP = \sum p t`, :math:`FP = \sum p (1 - t)` and
    :math:`FN = \sum (1 - p) t`, over the pixels kept of one image (Salehi et al. 2017, eq. 3, at `smooth` 0). `alpha`
    is the price of what is given too much, `beta` that of what is missed. `smooth` s counts as that many pixels
    that are right, in every class; at 0, a class that is neither there nor given (less than 1e-12 pixels) has loss 0.
    The mean is weighted with `class_weights`, and over `classes` "all" or those "present" among the labels of the
    image; over none, it is 0.

    Laws: ½ and ½ make it ``dice``, 1 and 1 ``jaccard``. The order of the pixels does not matter.
    Raises: ValueError for a negative `alpha`, `beta` or `smooth`, or other `classes`; otherwise as ``cross_entropy``.

    >>> z, y = jnp.array([[[9.0, -9.0], [9.0, -9.0]]]), jnp.array([[0, 1]])
    >>> f"{fn.losses.tversky(z, y):.3f} {fn.losses.tversky(z, y, alpha=1.0, beta=1.0):.3f}"
    '0.271 0.417'
    """
    return _tversky("tversky", logits, labels, _Price(alpha, beta, smooth), classes, class_weights, ignore)


def dice(
    logits: Float[Array, "*batch height width classes"],
    labels: ArrayLike,
    *,
    smooth: Share = 1.0,
    classes: Classes = "all",
    class_weights: ArrayLike | None = None,
    ignore: int | None = None,
) -> Float[Array, "*batch"]:
    r"""Mean over classes of one less the soft Dice coefficient, :math:`1 - \frac{2TP + 2s}{2TP + FP + FN + 2s}`.

    The denominator is :math:`\sum p + \sum t + 2s`: no squares (Milletari et al. 2016 have them). TP, FP, FN and the
    other arguments are those of ``tversky``; `smooth` s is pixels there too, so other libraries' smooth term is 2s.
    Laws: of right logits without limits it is 0. Raises: as ``tversky``.

    >>> f"{fn.losses.dice(jnp.array([[[9.0, -9.0], [9.0, -9.0]]]), jnp.array([[0, 1]])):.3f}"
    '0.267'
    """
    return _tversky("dice", logits, labels, _Price(0.5, 0.5, smooth), classes, class_weights, ignore)


def jaccard(
    logits: Float[Array, "*batch height width classes"],
    labels: ArrayLike,
    *,
    smooth: Share = 1.0,
    classes: Classes = "all",
    class_weights: ArrayLike | None = None,
    ignore: int | None = None,
) -> Float[Array, "*batch"]:
    r"""Mean over classes of one less the soft intersection over union, :math:`1 - \frac{TP + s}{TP + FP + FN + s}`.

    TP, FP, FN and the arguments are those of ``tversky`` (Rahman & Wang 2016). Raises: as ``tversky``.

    >>> f"{fn.losses.jaccard(jnp.array([[[9.0, -9.0], [9.0, -9.0]]]), jnp.array([[0, 1]])):.3f}"
    '0.417'
    """
    return _tversky("jaccard", logits, labels, _Price(1.0, 1.0, smooth), classes, class_weights, ignore)


def lovasz(
    logits: Float[Array, "*batch height width classes"],
    labels: ArrayLike,
    *,
    classes: Classes = "present",
    class_weights: ArrayLike | None = None,
    ignore: int | None = None,
) -> Float[Array, "*batch"]:
    r"""Lovász-softmax: the mean over classes of the convex extension of the Jaccard loss, per image.

    With :math:`m_1 \ge m_2 \ge …` the errors :math:`|t - p|` of a class, sorted, it is :math:`\sum_i m_i\,
    (\Delta(\{1…i\}) - \Delta(\{1…i-1\}))`, where :math:`\Delta(M)` is one less the intersection over union if the
    pixels of M are wrong and the others right (Berman et al. 2018, eq. 8 and 11). Arguments as in ``tversky``; of a
    class that is absent the largest error is what counts.
    Laws: convex in the errors; where they are 0 or 1 it is the Jaccard loss itself. Raises: as ``tversky``.

    >>> f"{fn.losses.lovasz(jnp.array([[[9.0, -9.0], [9.0, -9.0]]]), jnp.array([[0, 1]])):.3f}"
    '0.750'
    """
    where = "lovasz"
    z, y, kept, mark = _pixels(where, logits, labels, ignore)
    truth = _one_hot(y, kept, z)
    p = nn.softmax(z)
    error = jnp.where(kept[..., None], jnp.where(truth, 1 - p, p), 0.0)
    of_class = _lovasz(jnp.moveaxis(error, -1, -3), jnp.moveaxis(truth, -1, -3), kept[..., None, :, :])
    return mark * _mean(where, of_class, truth, classes, class_weights)


def binary_tversky(
    logits: Float[Array, "*batch height width"],
    targets: ArrayLike,
    *,
    alpha: Share = 0.3,
    beta: Share = 0.7,
    smooth: Share = 1.0,
    ignore: int | None = None,
) -> Float[Array, "*batch"]:
    r"""One less the Tversky index of what is marked 1; arguments as in ``tversky``, p is :math:`\sigma(z)`.

    `targets` in [0, 1] of the logits' shape. Law: it is the term of class 1 in ``tversky`` of the logits (0, z).
    Raises: as ``tversky``; DataError for a target outside [0, 1] where its value is known, NaN elsewhere.

    >>> f"{fn.losses.binary_tversky(jnp.array([[-9.0, -9.0]]), jnp.array([[0, 1]])):.3f}"
    '0.412'
    """
    return _binary_tversky("binary_tversky", logits, targets, _Price(alpha, beta, smooth), ignore)


def binary_dice(
    logits: Float[Array, "*batch height width"], targets: ArrayLike, *, smooth: Share = 1.0, ignore: int | None = None
) -> Float[Array, "*batch"]:
    """One less the soft Dice coefficient of what is marked 1: ``binary_tversky`` with ½ and ½.

    >>> f"{fn.losses.binary_dice(jnp.array([[-9.0, -9.0]]), jnp.array([[0, 1]])):.3f}"
    '0.333'
    """
    return _binary_tversky("binary_dice", logits, targets, _Price(0.5, 0.5, smooth), ignore)


def binary_jaccard(
    logits: Float[Array, "*batch height width"], targets: ArrayLike, *, smooth: Share = 1.0, ignore: int | None = None
) -> Float[Array, "*batch"]:
    """One less the soft intersection over union of what is marked 1: ``binary_tversky`` with 1 and 1.

    >>> f"{fn.losses.binary_jaccard(jnp.array([[-9.0, -9.0]]), jnp.array([[0, 1]])):.3f}"
    '0.500'
    """
    return _binary_tversky("binary_jaccard", logits, targets, _Price(1.0, 1.0, smooth), ignore)


def binary_lovasz(
    logits: Float[Array, "*batch height width"], targets: ArrayLike, *, ignore: int | None = None
) -> Float[Array, "*batch"]:
    r"""Lovász extension of the Jaccard loss of what is marked 1, with the errors :math:`|t - \sigma(z)|`; per image.

    `targets` are 0 or 1, nothing between. Without a 1 the largest error is what counts. Law: it is the term of class 1
    in ``lovasz`` of the logits (0, z). Not the Lovász hinge, whose errors are :math:`\max(0, 1 - (2t - 1) z)`.
    Raises: as ``binary_tversky``; DataError for a target between 0 and 1 where known, NaN elsewhere.

    >>> f"{fn.losses.binary_lovasz(jnp.array([[-9.0, -9.0]]), jnp.array([[0, 1]])):.3f}"
    '1.000'
    """
    where = "binary_lovasz"
    z, t, kept = _binary_pixels(where, logits, targets, ignore)
    whole = (t == 0) | (t == 1)
    if (values := known_values(whole)) is not None and not values.all():
        raise DataError(where, "targets must be 0 or 1, got values between them", "round them, or use binary_jaccard.")
    truth = (t > 0) & kept
    error = jnp.where(kept, jnp.where(truth, nn.sigmoid(-z), nn.sigmoid(z)), 0.0)
    return _lovasz(error, truth, kept) * one_or_nan(whole.all((-2, -1)), z)


class _Price(NamedTuple):
    """What a pixel too much and a pixel too few cost, and how many count as right from the start."""

    alpha: Share
    beta: Share
    smooth: Share


def _tversky(
    where: str,
    logits: Array,
    labels: ArrayLike,
    price: _Price,
    classes: Classes,
    class_weights: ArrayLike | None,
    ignore: int | None,
) -> Array:
    z, y, kept, mark = _pixels(where, logits, labels, ignore)
    truth = _one_hot(y, kept, z)
    p = nn.softmax(z)
    of_class = _shortfall(where, p, 1 - p, truth.astype(z.dtype), kept[..., None], (-3, -2), price)
    return mark * _mean(where, of_class, truth, classes, class_weights)


def _binary_tversky(where: str, logits: Array, targets: ArrayLike, price: _Price, ignore: int | None) -> Array:
    z, t, kept = _binary_pixels(where, logits, targets, ignore)
    return _shortfall(where, nn.sigmoid(z), nn.sigmoid(-z), t, kept, (-2, -1), price)


def _shortfall(
    where: str, p: Array, rest: Array, t: Array, kept: Array, pixels: tuple[int, int], price: _Price
) -> Array:
    """Return what lacks to an index of 1; not as one less the index, of which float32 would keep no digits near 0."""
    for name, value in price._asdict().items():
        check_value(where, name, value, "a finite number of at least 0", lambda v: 0 <= v < np.inf)
    alpha, beta, smooth = (jnp.asarray(value, p.dtype) for value in price)
    hit, much, few = (jnp.where(kept, x, 0.0).sum(pixels) for x in (p * t, p * (1 - t), rest * t))
    wrong = alpha * much + beta * few
    return _over(wrong, hit + wrong + smooth, least=_NO_PIXEL)


def _lovasz(error: Array, truth: Array, kept: Array) -> Array:
    """Return the extension, over the last two axes, of the Jaccard loss as a function of the set of wrong pixels.

    The differences are written out: one pixel of the class more that is wrong takes 1 from the intersection, another
    adds 1 to the union. Subtracting two losses of large images would leave no digits.
    """
    error, truth, kept = (x.reshape(*x.shape[:-2], -1) for x in (error, truth, jnp.broadcast_to(kept, error.shape)))
    order = _largest_first(jax.lax.stop_gradient(error), kept)
    error, truth, kept = (jnp.take_along_axis(x, order, axis=-1) for x in (error, truth, kept))
    size = truth.sum(-1, keepdims=True)
    intersection = (size - jnp.cumsum(truth, axis=-1)).astype(error.dtype)
    union = (size + jnp.cumsum(kept & ~truth, axis=-1)).astype(error.dtype)
    first = (size == 0) & (union == 1)  # from nothing wrong in an absent class, loss 0, to something: loss 1
    outside = jnp.where(first, 1.0, intersection / (jnp.maximum(union, 1.0) * jnp.maximum(union - 1, 1.0)))
    return (error * jnp.where(truth, 1 / jnp.maximum(union, 1.0), outside)).sum(-1)


def _largest_first(error: Array, kept: Array) -> Array:
    """Return the order of the last axis by falling error, what is not kept at the end.

    Floats from 0 on are ordered as their bits are, and on CPU XLA sorts whole numbers with their places in half the time
    of floats. Equal errors may come in any order.
    """
    whole: Any = jnp.uint64 if error.dtype == jnp.float64 else jnp.uint32
    top = jnp.asarray(1, whole) << (8 * jnp.dtype(whole).itemsize - 1)
    key = jnp.where(kept, top - jax.lax.bitcast_convert_type(error, whole), jnp.asarray(jnp.iinfo(whole).max, whole))
    places = jax.lax.broadcasted_iota(jnp.int32, key.shape, key.ndim - 1)
    return jax.lax.sort((key, places), num_keys=1, is_stable=False)[1]


def _mean(where: str, of_class: Array, truth: Array, classes: Classes, class_weights: ArrayLike | None) -> Array:
    """Return the mean over the last axis, weighted, of all classes or of those present."""
    if classes not in ("all", "present"):
        raise ValueError(f"{where}: classes must be 'all' or 'present', got {classes!r}")
    w = jnp.ones(of_class.shape[-1], of_class.dtype)
    w = w if class_weights is None else weights_of(where, "class_weights", class_weights, of_class)
    w = jnp.broadcast_to(align(w, of_class), of_class.shape)
    w = w if classes == "all" else jnp.where(truth.any((-3, -2)), w, 0.0)
    return _over((w * of_class).sum(-1), w.sum(-1))


def _over(over: Array, under: Array, least: float = 0.0) -> Array:
    """Return the quotient, 0 with no gradient where what is divided by is not above `least`; NaN stays NaN."""
    empty = under <= least
    return jnp.where(empty, 0.0, over / jnp.where(empty, 1.0, under))


def _one_hot(y: Array, kept: Array, z: Array) -> Array:
    return (jax.lax.broadcasted_iota(y.dtype, z.shape, z.ndim - 1) == y[..., None]) & kept[..., None]


def _pixels(where: str, logits: Any, labels: ArrayLike, ignore: int | None) -> tuple[Array, Array, Array, Array]:
    """Return (logits, labels made safe, which are kept, 1 for each image or NaN if a label of it is out of range)."""
    z = as_prediction(where, logits)
    check_rank(where, z, 3, "(..., H, W, classes)")
    if not are_labels(where, z, labels):
        raise ShapeError(where, f"needs integer labels {z.shape[:-1]}, got {z.shape}", "pass labels.argmax(-1).")
    y, kept, valid = as_labels(where, labels, z.shape[-1], ignore)
    return kept_logits(z, kept, ignore), y, kept, one_or_nan(valid.all((-2, -1)), z)


def _binary_pixels(where: str, logits: Any, targets: ArrayLike, ignore: int | None) -> tuple[Array, Array, Array]:
    """Return (logits, targets, which are kept); a pixel to ignore has logit and target 0."""
    z = as_prediction(where, logits)
    check_same_shape(where, z, targets)
    check_rank(where, z, 2, "(..., H, W)")
    check_ignore(where, ignore)
    kept = jnp.ones(z.shape, bool)
    if ignore is not None:
        values = known_values(targets)
        kept = jnp.asarray(targets).astype(z.dtype) != ignore
        targets = jnp.where(kept, targets, 0) if values is None else np.where(values == ignore, 0, values)
    return jnp.where(kept, z, 0.0), as_binary(where, z, targets), kept
