"""Non-maximum suppression: of boxes that are alike, the one of the highest score stays. Of fixed shapes throughout."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from fnnet.boxes.formats import as_boxes
from fnnet.boxes.records import Detections
from fnnet.boxes.similarity import Similarity, iou, pairwise
from fnnet.dtypes import at_least_float32
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.shapes import align, check_count, check_floating
from fnnet.targets import check_value, known


def suppress(
    detections: Detections,
    *,
    overlap: float = 0.5,
    similarity: Similarity = iou,
    class_wise: bool = True,
    least_score: float = 0.0,
    count: int | None = None,
) -> Detections:
    r"""Greedy non-maximum suppression: by falling score, keep a detection unless it overlaps one that was kept.

    Two overlap if their `similarity` is above `overlap` and, if `class_wise`, they are of one class. Of equal scores,
    the lower index comes first. Detections below `least_score` are left out. A nan among boxes or scores raises where
    it is known, else stays valid, of the lowest score, so that it is noticed.
    Shapes: n detections an image give n, or the `count` best: those kept, by falling score, then padding, which is 0.
    Leading axes are batch. Laws: twice is once; the order of detections does not matter, but for equal scores; no two
    that stay overlap.
    Raises: ShapeError; DtypeError; DataError; ValueError for an option that is out of range.

    >>> boxes = jnp.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 5.0], [9.0, 9.0, 12.0, 12.0]])
    >>> found = fn.boxes.Detections(boxes, jnp.array([0.6, 0.9, 0.7]), jnp.zeros(3, jnp.int32), jnp.ones(3, bool))
    >>> kept = fn.boxes.suppress(found)
    >>> kept.scores.tolist() == found.scores[jnp.array([1, 2])].tolist() + [0.0], kept.valid.tolist()
    (True, [True, True, False])
    """
    _check_limits("suppress", overlap, least_score)
    _check_detections("suppress", detections)
    return _suppressed(detections, overlap, least_score, similarity, class_wise, _count("suppress", count, detections))


@partial(jax.jit, static_argnums=(3, 4, 5))
def _suppressed(
    detections: Detections, overlap: Any, least_score: Any, similarity: Similarity, class_wise: bool, count: int
) -> Detections:
    found = _padded(detections, count)
    found = found._replace(valid=found.valid & ~(found.scores < least_score))
    found = _taken(found, jnp.argsort(jnp.where(found.valid, -found.scores, jnp.inf), stable=True))
    boxes, classes = jax.lax.stop_gradient(found.boxes), found.classes
    alike = pairwise(similarity, boxes, boxes) > overlap
    if class_wise:
        alike &= classes[..., :, None] == classes[..., None, :]
    later = jnp.triu(jnp.ones(alike.shape[-2:], bool), 1)
    kept = _greedy(alike & jnp.broadcast_to(later, alike.shape), found.valid)
    return _first(found._replace(valid=kept), count)


def _greedy(ends: Bool[Array, "*batch n n"], valid: Bool[Array, "*batch n"]) -> Bool[Array, "*batch n"]:
    """Return which are valid and ended by none that stays; ``ends[i, j]`` says that i, if it stays, ends j after it.

    Row by row, each seen once: to put all rows in until nothing changes takes longer, and much longer for a chain of
    boxes of which each ends the next (benchmarks/suppression.py).
    """

    def turn(i: Array, kept: Array) -> Array:
        row = jax.lax.dynamic_index_in_dim(ends, i, -2, keepdims=False)
        return kept & ~(row & jax.lax.dynamic_index_in_dim(kept, i, -1))

    return jax.lax.fori_loop(0, valid.shape[-1], turn, valid)


def soft_suppress(
    detections: Detections,
    *,
    method: Literal["gaussian", "linear"] = "gaussian",
    sigma: float = 0.5,
    overlap: float = 0.3,
    similarity: Similarity = iou,
    class_wise: bool = True,
    least_score: float = 0.001,
    count: int | None = None,
) -> Detections:
    r"""Lower the scores of detections that overlap better ones, instead of leaving them out (Bodla et al. 2017).

    Time and again the one of the highest score is taken, and the scores of the others are multiplied by
    :math:`e^{-s^2/\sigma}` (``"gaussian"``), or by :math:`1 - s` where s is above `overlap` (``"linear"``): s is the
    similarity, if above 0 and, if `class_wise`, of one class. Of equal scores, the lower index comes first. Those whose
    new score is below `least_score` are left out. Scores may be differentiated; boxes are constant to them. Shapes,
    nan and errors are those of ``suppress``. Law: no score rises.

    >>> boxes = jnp.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 8.0]])
    >>> found = fn.boxes.Detections(boxes, jnp.array([0.8, 0.4]), jnp.zeros(2, jnp.int32), jnp.ones(2, bool))
    >>> [round(score, 3) for score in fn.boxes.soft_suppress(found, method="linear").scores.tolist()]
    [0.8, 0.2]
    """
    if method not in ("gaussian", "linear"):
        raise ValueError(f"soft_suppress: method must be 'gaussian' or 'linear', got {method!r}")
    _check_limits("soft_suppress", overlap, least_score)
    check_value("soft_suppress", "sigma", sigma, "a number above 0", lambda sigma: sigma > 0)
    _check_detections("soft_suppress", detections)
    count = _count("soft_suppress", count, detections)
    return _softly(detections, overlap, sigma, least_score, similarity, class_wise, method, count)


@partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _softly(
    detections: Detections,
    overlap: Any,
    sigma: Any,
    least_score: Any,
    similarity: Similarity,
    class_wise: bool,
    method: str,
    count: int,
) -> Detections:
    found = _padded(detections, count)
    boxes, places = jax.lax.stop_gradient(found.boxes), jnp.arange(found.scores.shape[-1])

    def turn(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        scores, left = carry
        best = _best(scores, left)
        best_box = jnp.take_along_axis(boxes, best[..., None], -2)
        s = jnp.maximum(similarity(jnp.broadcast_to(best_box, boxes.shape), boxes), 0).astype(scores.dtype)
        share = jnp.exp(-jnp.square(s) / sigma) if method == "gaussian" else jnp.where(s > overlap, 1 - s, 1.0)
        if class_wise:
            share = jnp.where(found.classes == jnp.take_along_axis(found.classes, best, -1), share, 1.0)
        score, is_left = jnp.take_along_axis(scores, best, -1), jnp.take_along_axis(left, best, -1)
        after = jnp.where(is_left, scores * share, scores), left & (align(places, left) != best)
        return after, (best[..., 0], score[..., 0], is_left[..., 0])

    begun = found.scores.astype(at_least_float32(found.scores.dtype)), found.valid
    taken = jax.lax.scan(turn, begun, length=count)[1]
    order, scores, valid = (jnp.moveaxis(column, 0, -1) for column in taken)
    found = _taken(found, order)._replace(
        scores=scores.astype(found.scores.dtype), valid=valid & ~(scores < least_score)
    )
    return _first(found, count)


def _best(scores: Array, left: Array) -> Array:
    """Return the place, in an axis of one, of the highest score of those left, nan the lowest; 0 if none is."""
    key = jnp.where(left & ~jnp.isnan(scores), scores, -jnp.inf)
    some = key.max(-1, keepdims=True) > -jnp.inf
    return jnp.where(some, key.argmax(-1, keepdims=True), left.argmax(-1, keepdims=True))


def _taken(found: Detections, order: Array) -> Detections:
    boxes = jnp.take_along_axis(found.boxes, order[..., None], -2)
    return Detections._make([boxes, *(jnp.take_along_axis(field, order, -1) for field in found[1:])])


def _first(found: Detections, count: int) -> Detections:
    """Return the first `count` that are valid, and zeros for the rest."""
    found = _taken(found, jnp.argsort(~found.valid, stable=True)[..., :count])
    boxes = jnp.where(found.valid[..., None], found.boxes, 0)
    scores, classes = (jnp.where(found.valid, field, 0) for field in (found.scores, found.classes))
    return Detections(boxes, scores, classes, found.valid)


def _count(where: str, count: int | None, detections: Detections) -> int:
    return jnp.shape(detections.scores)[-1] if count is None else check_count(where, "count", count, least=0)


def _padded(detections: Detections, count: int) -> Detections:
    """Return detections as arrays of JAX, padded to at least `count`, and to one."""
    boxes, scores, classes, valid = (jnp.asarray(field) for field in detections)
    more = [(0, 0)] * (scores.ndim - 1) + [(0, max(count - scores.shape[-1], scores.shape[-1] == 0))]
    fields = (jnp.pad(field, more) for field in (scores, classes.astype(jnp.int32), valid))
    return Detections(jnp.pad(boxes, [*more, (0, 0)]), *fields)


def _check_detections(where: str, detections: Any) -> None:
    """Raise unless these are detections, of shapes and dtypes that fit, without a nan where all is known."""
    if not isinstance(detections, Detections):
        problem = f"expected fn.boxes.Detections, got {type(detections).__name__}"
        raise ShapeError(where, problem, "pass Detections(boxes, scores, classes, valid).")
    boxes = as_boxes(where, detections.boxes)
    if boxes.ndim < 2:
        raise ShapeError(where, f"boxes must have shape (..., n, 4), got {boxes.shape}", "add the axis, boxes[None].")
    check_floating(where, detections.scores)
    for name, field in zip(Detections._fields[1:], detections[1:], strict=True):
        if jnp.shape(field) != boxes.shape[:-1]:
            problem = f"for boxes {boxes.shape}, {name} must have shape {boxes.shape[:-1]}, got {jnp.shape(field)}"
            raise ShapeError(where, problem, "give one for each box.")
    classes, valid = (jnp.result_type(field) for field in detections[2:])
    if not jnp.issubdtype(classes, jnp.integer) or valid != jnp.bool_:
        problem = f"classes must be integers and valid truth values, got {classes} and {valid}"
        raise DtypeError(where, problem, "cast them: classes.astype(jnp.int32), valid.astype(bool).")
    numbers, scores, mask = (known(field) for field in (boxes, detections.scores, detections.valid))
    if numbers is None or scores is None or mask is None:
        return
    nan = (np.isnan(numbers).any(-1) | np.isnan(scores)) & mask
    if nan.any():
        index = tuple(int(i) for i in np.argwhere(nan)[0])
        at = index[0] if len(index) == 1 else index
        problem = f"box {numbers[index].tolist()} of score {scores[index]} at index {at} is not a number"
        raise DataError(where, problem, "look for where the network's output became nan.")


def _check_limits(where: str, overlap: float, least_score: float) -> None:
    check_value(where, "overlap", overlap, "a number of at most 1", lambda limit: limit <= 1)
    check_value(where, "least_score", least_score, "a number", lambda least: least == least)
