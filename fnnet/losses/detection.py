"""Losses of detectors that find objects at their centres: one value for each image."""

from __future__ import annotations

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet import boxes
from fnnet.boxes import CenterMaps, Objects
from fnnet.boxes.centers import check_maps
from fnnet.boxes.records import check_objects
from fnnet.boxes.similarity import Similarity
from fnnet.losses.classification import binary_focal
from fnnet.targets import as_binary, as_prediction, check_value


def gaussian_focal(
    logits: Float[Array, "*shape"], heat: ArrayLike, *, alpha: float = 2.0, beta: float = 4.0
) -> Float[Array, "*shape"]:
    r"""Focal loss of a heat map whose peaks are 1 and which falls around them (Law & Deng 2018, CornerNet, eq. 1).

    With :math:`p = \sigma(z)` and heat t: :math:`-(1 - p)^\alpha \log p` where t = 1, and elsewhere
    :math:`-(1 - t)^\beta\, p^\alpha \log(1 - p)`, so that an answer beside a peak costs less, the nearer it is.

    Element by element. Law: of heat that is 0 or 1 it is ``binary_focal`` with ``gamma=alpha``.
    Raises: as ``binary_focal``; ValueError for a negative `alpha` or `beta`.

    >>> loss = fn.losses.gaussian_focal(jnp.zeros(3), jnp.array([1.0, 0.5, 0.0]))
    >>> [f"{value:.3f}" for value in loss]
    ['0.173', '0.011', '0.173']
    """
    where = "gaussian_focal"
    for name, value in (("alpha", alpha), ("beta", beta)):
        check_value(where, name, value, "a number of at least 0", lambda number: number >= 0)
    z = as_prediction(where, logits)
    t = as_binary(where, z, heat)
    peak = t == 1
    return jnp.where(peak, 1, (1 - t) ** beta) * binary_focal(z, peak, gamma=alpha)


def centers(
    prediction: CenterMaps,
    target: Objects,
    *,
    stride: float,
    similarity: Similarity = boxes.giou,
    box_weight: float = 5.0,
    spread: float = 0.54,
) -> Float[Array, "*batch"]:
    r"""Loss of a detector by centres: of its heat, and of the boxes that cells near centres tell.

    :math:`L = \frac{1}{\max(N, 1)} \left( \sum_{ijk} f(z_{ijk}, t_{ijk})
    + \lambda \sum_{ij} w_{ij} (1 - s(\hat b_{ij}, b_{ij})) \right)` for the N objects of an image, with
    ``gaussian_focal`` for f, the heat t, boxes b and weights w of ``fn.boxes.center_targets``, which `stride` and
    `spread` go to, `similarity` s and `box_weight` λ (Liu et al. 2020, §3.3).

    Shapes: maps (..., h, w, ...), objects (..., n) in pixels -> (...). Padding costs nothing, nor do crowds and what is
    to be ignored. Bind the options once: ``functools.partial(fn.losses.centers, stride=4)``.
    Raises: TypeError, ShapeError, DtypeError; DataError for objects that cannot be, where they are known, else its
    value is nan; ValueError for options.

    >>> there = fn.boxes.Objects(jnp.array([[4.0, 8.0, 12.0, 16.0]]), jnp.array([1]), jnp.array([True]))
    >>> right = fn.boxes.center_targets(there, (4, 4), 2, stride=4)
    >>> maps = fn.boxes.CenterMaps(jnp.where(right.heat == 1, 9.0, -9.0), jnp.ones((4, 4, 4)))
    >>> float(fn.losses.centers(maps, there, stride=4)) < float(fn.losses.centers(maps, there, stride=8))
    True
    """
    where = "centers"
    check_maps(where, prediction)
    heat, sides = (as_prediction(where, field) for field in prediction)
    check_objects(where, target, heat.shape[:-3])
    check_value(where, "box_weight", box_weight, "a number of at least 0", lambda number: number >= 0)
    h, w, classes = heat.shape[-3:]
    target = target._replace(boxes=jnp.asarray(target.boxes).astype(heat.dtype))
    right = boxes.center_targets(target, (h, w), classes, stride=stride, spread=spread)
    of_heat = jnp.where(right.counted[..., None], gaussian_focal(heat, right.heat), 0).sum((-3, -2, -1))
    # A cell that tells no box is compared with its own, whose gradient is 0.
    told = boxes.center_boxes(sides)
    true = jnp.where(right.weights[..., None] == 0, told, right.boxes)
    of_boxes = (right.weights * (1 - similarity(told, true))).sum((-2, -1))
    return (of_heat + box_weight * of_boxes) / jnp.maximum(right.number, 1).astype(heat.dtype)
