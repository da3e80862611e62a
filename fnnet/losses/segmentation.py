"""Losses of the regions that an image is cut into: how far each class's pixels overlap those that are given to it.

One value for each image; what is taken, and what `ignore` does, is said in ``pixels``. The order of pixels is not used.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import nn
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.errors import DataError
from fnnet.losses.classification import one_or_nan, weights_of
from fnnet.losses.pixels import Share, as_binary_pixels, as_pixels, quotient
from fnnet.shapes import align
from fnnet.targets import check_value, known

Classes: TypeAlias = Literal["all", "present"]
"""Over which classes the mean is: all of them, or those that some kept pixel of the image is labelled with."""

_NO_PIXEL = 1e-12  # a union smaller than that is taken to be empty: what is divided by it would not fit its gradient


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
    z, y, kept, mark = as_pixels(where, logits, labels, ignore)
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
    z, t, kept = as_binary_pixels(where, logits, targets, ignore)
    whole = (t == 0) | (t == 1)
    if (values := known(whole)) is not None and not values.all():
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
    z, y, kept, mark = as_pixels(where, logits, labels, ignore)
    truth = _one_hot(y, kept, z)
    p = nn.softmax(z)
    of_class = _shortfall(where, p, 1 - p, truth.astype(z.dtype), kept[..., None], (-3, -2), price)
    return mark * _mean(where, of_class, truth, classes, class_weights)


def _binary_tversky(where: str, logits: Array, targets: ArrayLike, price: _Price, ignore: int | None) -> Array:
    z, t, kept = as_binary_pixels(where, logits, targets, ignore)
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
    return quotient(wrong, hit + wrong + smooth, least=_NO_PIXEL)


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

    Floats from 0 on are ordered as their bits are, and on CPU XLA sorts whole numbers and their places in half the time
    that floats take. Equal errors may come in any order.
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
    return quotient((w * of_class).sum(-1), w.sum(-1))


def _one_hot(y: Array, kept: Array, z: Array) -> Array:
    return (jax.lax.broadcasted_iota(y.dtype, z.shape, z.ndim - 1) == y[..., None]) & kept[..., None]
