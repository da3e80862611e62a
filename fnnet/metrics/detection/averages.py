"""From matches to precisions, recalls and their averages, for all classes at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fnnet.metrics.detection.matching import Matches

COCO_RECALLS = np.linspace(0, 1, 101)
"""Where COCO reads a precision off."""

VOC11_RECALLS = np.arange(11) / 10
"""Where PASCAL VOC did until 2009."""


class Curves(NamedTuple):
    """The precisions at the true positives, overlap by overlap, class by class, down the scores.

    Each is the largest from there on, as all three averages have it. `hits` counts the true positives of an overlap and
    class, a cell, and `start` is the place of the first; `cell` and `rank` (that of ``Matches``) are of each of them.
    """

    precision: Float[np.ndarray, " hits"]
    cell: Int[np.ndarray, " hits"]
    rank: Int[np.ndarray, " hits"]
    start: Int[np.ndarray, "overlaps classes"]
    hits: Int[np.ndarray, "overlaps classes"]
    positives: Int[np.ndarray, " classes"]


def curves(matches: Matches, area: int, eps: float) -> Curves:
    r"""Return the curves of one range of areas; the precision is :math:`TP / (TP + FP + \epsilon)`."""
    true, counted, positives = matches.true[area], matches.counted[area], matches.positives[area]
    shape = len(true), len(positives)
    overlap, place = np.nonzero(true)
    label = matches.classes[place]
    cell = overlap * shape[1] + label
    hits = np.bincount(cell, minlength=shape[0] * shape[1])
    start = np.cumsum(hits) - hits
    so_far = np.zeros((shape[0], true.shape[1] + 1), np.int64)
    np.cumsum(counted, axis=1, out=so_far[:, 1:])
    begun = np.searchsorted(matches.classes, np.arange(shape[1]))
    all_counted = so_far[overlap, place + 1] - so_far[overlap, begun[label]]
    precision = (np.arange(len(cell)) - start[cell] + 1) / (all_counted + eps)
    best = _largest_from_here(precision, cell)
    return Curves(best, cell, matches.rank[place], start.reshape(shape), hits.reshape(shape), positives)


def interpolated(curve: Curves, recalls: Float[np.ndarray, " points"]) -> Float[np.ndarray, "overlaps classes"]:
    """Return the mean, over some recalls, of the largest precision at that recall or above; NaN without objects."""
    n = np.maximum(curve.positives, 1)[:, None]
    # The least number of hits whose recall, as a float, reaches the point: rounding decides at most by one.
    needed = np.ceil(recalls * n).astype(np.int64)
    needed -= (needed - 1) / n >= recalls
    needed += needed / n < recalls
    place = np.maximum(needed, 1) - 1
    reached = place < curve.hits[..., None]
    precision = np.append(curve.precision, 0.0)[np.where(reached, curve.start[..., None] + place, -1)]
    return np.where(curve.positives > 0, precision.mean(-1), np.nan)


def under_the_curve(curve: Curves) -> Float[np.ndarray, "overlaps classes"]:
    """Return the area under the curve, a step for each true positive; NaN without objects."""
    total = np.bincount(curve.cell, curve.precision, curve.hits.size).reshape(curve.hits.shape)
    return np.where(curve.positives > 0, total / np.maximum(curve.positives, 1), np.nan)


def recalls(curve: Curves, most: int | None) -> Float[np.ndarray, "overlaps classes"]:
    """Return the share of objects found by the first `most` detections of each image and class; NaN without objects."""
    cell = curve.cell if most is None else curve.cell[curve.rank < most]
    hits = np.bincount(cell, minlength=curve.hits.size).reshape(curve.hits.shape)
    return np.where(curve.positives > 0, hits / np.maximum(curve.positives, 1), np.nan)


def mean_of_known(values: Float[np.ndarray, "*shape"]) -> float:
    """Return the mean of what is not NaN, NaN if there is nothing else."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else float("nan")


def _largest_from_here(values: Float[np.ndarray, " n"], cell: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the largest value from each place to the end of its cell."""
    # A running maximum whose reach is doubled each time, for all cells at once.
    reach, longest = 1, int(np.bincount(cell).max(initial=0))
    while reach < longest:
        ahead = np.where(cell[reach:] == cell[:-reach], values[reach:], 0.0)
        values = np.concatenate([np.maximum(values[:-reach], ahead), values[-reach:]])
        reach *= 2
    return values
