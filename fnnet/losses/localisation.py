"""Losses of boxes ``xyxy``: one minus how alike the predicted box and the true one are. The last axis is the box.

Values and gradients are those of ``fn.boxes``: finite for finite boxes, and 0 for the right box. A target that is not
finite or is inverted raises where it is known, else its loss is nan. One without area is allowed, as padding is such:
give it weight 0.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet import boxes
from fnnet.boxes.similarity import Similarity
from fnnet.errors import ShapeError
from fnnet.targets import as_prediction, as_target, known


def iou(prediction: Float[Array, "*batch 4"], target: Float[ArrayLike, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""One minus intersection over union, :math:`1 - \mathrm{IoU}`: from 0 to 1, with gradient 0 for boxes apart.

    Shapes: ``(..., 4), (..., 4) -> (...)``. Raises: ShapeError if the shapes differ or the last axis is not 4;
    DtypeError; DataError for a target that is not finite or is inverted, where it is known, NaN elsewhere.

    >>> fn.losses.iou(jnp.array([[0.0, 0.0, 2.0, 4.0]]), jnp.array([[0.0, 0.0, 4.0, 4.0]]))
    Array([0.5], dtype=float32)
    """
    return _loss("iou", boxes.iou, prediction, target)


def giou(prediction: Float[Array, "*batch 4"], target: Float[ArrayLike, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""One minus the generalized IoU: from 0 to 2, it draws boxes together that are apart (Rezatofighi et al. 2019).

    Shapes and errors are those of ``iou``; the formula is that of ``fn.boxes.giou``.

    >>> fn.losses.giou(jnp.array([[0.0, 0.0, 1.0, 1.0]]), jnp.array([[3.0, 0.0, 4.0, 1.0]]))
    Array([1.5], dtype=float32)
    """
    return _loss("giou", boxes.giou, prediction, target)


def diou(prediction: Float[Array, "*batch 4"], target: Float[ArrayLike, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""One minus the distance IoU: from 0 to 2, it draws the centres together (Zheng et al. 2020).

    Shapes and errors are those of ``iou``; the formula is that of ``fn.boxes.diou``.

    >>> fn.losses.diou(jnp.array([[0.0, 0.0, 1.0, 1.0]]), jnp.array([[1.0, 0.0, 2.0, 1.0]]))
    Array([1.2], dtype=float32)
    """
    return _loss("diou", boxes.diou, prediction, target)


def ciou(prediction: Float[Array, "*batch 4"], target: Float[ArrayLike, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""One minus the complete IoU: from 0 to 2.5, it minds the aspect ratio too (Zheng et al. 2020).

    Its weight α is a constant to the gradient. Shapes and errors are those of ``iou``; the formula is that of
    ``fn.boxes.ciou``.

    >>> fn.losses.ciou(jnp.array([[0.0, 0.0, 4.0, 2.0]]), jnp.array([[0.0, 0.0, 4.0, 2.0]]))
    Array([0.], dtype=float32)
    """
    return _loss("ciou", boxes.ciou, prediction, target)


def _loss(where: str, similarity: Similarity, prediction: Array, target: ArrayLike) -> Array:
    p = as_prediction(where, prediction)
    if p.shape[-1:] != (4,):
        fix = "end the network with the four coordinates of a box on the last axis."
        raise ShapeError(where, f"the prediction must have shape (..., 4), got {p.shape}", fix)
    t = as_target(where, p, target)
    if (values := known(target)) is not None:
        boxes.check_boxes(values.astype(np.float64), allow_empty=True, where=f"{where}: target")
    low, high = t[..., :2], t[..., 2:]
    right = (jnp.isfinite(t).all(-1)) & (low <= high).all(-1)
    return jnp.where(right, 1 - similarity(p, t), jnp.nan)
