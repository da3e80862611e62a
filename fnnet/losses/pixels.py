"""Images taken pixel by pixel: logits, labels and pixels to ignore, and the cross-entropy of an image.

Logits are (..., H, W, classes), labels integers (..., H, W); those that begin with ``binary_`` take one logit and one
0-or-1 a pixel. What the pixels' places are is not used: a volume (..., D, H, W, classes) is taken as the image
``z.reshape(*batch, D * H, W, classes)``. Pixels labelled `ignore` are as if they were not there, whatever the logits.
``cross_entropy``, ``focal`` and ``hinge`` take such logits too and give one value for each pixel.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.errors import ShapeError
from fnnet.losses.classification import (
    binary_cross_entropy,
    check_smoothing,
    cross_entropy,
    kept_logits,
    one_or_nan,
    weights_of,
)
from fnnet.shapes import check_rank
from fnnet.targets import (
    are_labels,
    as_binary,
    as_labels,
    as_prediction,
    check_ignore,
    check_same_shape,
    check_value,
    known,
)

Share: TypeAlias = float | Float[Array, ""]


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
    z, y, kept, mark = as_pixels(where, logits, labels, ignore)
    weights = None if class_weights is None else weights_of(where, "class_weights", class_weights, z)
    loss = cross_entropy(z, y, smoothing=smoothing, class_weights=weights)
    w = jnp.where(kept, 1.0 if weights is None else weights[y], 0.0).astype(z.dtype)
    return mark * quotient(jnp.where(w == 0, 0.0, loss).sum((-2, -1)), w.sum((-2, -1)))


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
    z, t, kept = as_binary_pixels(where, logits, targets, ignore)
    loss = jnp.where(kept, binary_cross_entropy(z, t, positive_weight=positive_weight), 0.0)
    return quotient(loss.sum((-2, -1)), kept.sum((-2, -1)).astype(z.dtype))


def as_pixels(where: str, logits: Any, labels: ArrayLike, ignore: int | None) -> tuple[Array, Array, Array, Array]:
    """Return (logits, labels made safe, which are kept, 1 for each image or NaN if a label of it is out of range)."""
    z = as_prediction(where, logits)
    check_rank(where, z, 3, "(..., H, W, classes)")
    shape, expected = np.shape(labels), z.shape[:-1]
    if shape == z.shape:
        raise ShapeError(where, f"needs integer labels {expected}, got {shape}", "pass labels.argmax(-1).")
    if shape != expected:
        problem = f"for logits {z.shape} the target must have shape {expected}, got {shape}"
        raise ShapeError(where, problem, "give one label for each pixel.")
    are_labels(where, z, labels)
    y, kept, valid = as_labels(where, labels, z.shape[-1], ignore)
    return kept_logits(z, kept, ignore), y, kept, one_or_nan(valid.all((-2, -1)), z)


def as_binary_pixels(where: str, logits: Any, targets: ArrayLike, ignore: int | None) -> tuple[Array, Array, Array]:
    """Return (logits, targets, which are kept); a pixel to ignore has logit and target 0."""
    z = as_prediction(where, logits)
    check_same_shape(where, z, targets)
    check_rank(where, z, 2, "(..., H, W)")
    check_ignore(where, ignore)
    kept = jnp.ones(z.shape, bool)
    if ignore is not None:
        values, t = known(targets), jnp.asarray(targets)
        kept = t.astype(z.dtype) != ignore
        targets = jnp.where(kept, t, jnp.zeros_like(t)) if values is None else np.where(values == ignore, 0, values)
    return jnp.where(kept, z, 0.0), as_binary(where, z, targets), kept


def quotient(over: Array, under: Array, least: float = 0.0) -> Array:
    """Return the quotient, 0 with no gradient where what is divided by is not above `least`; NaN stays NaN."""
    empty = under <= least
    return jnp.where(empty, 0.0, over / jnp.where(empty, 1.0, under))
