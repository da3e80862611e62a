"""Which detection is given which object, for all images, classes, overlaps and ranges of area at once.

A group is the detections and the objects of one class in one image; nothing is ever matched across groups. What is
looked at is the pairs that overlap enough to matter, a few for each object, so that no image is looped over.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from fnnet.metrics.detection.gathering import Seen

_PAIRS = 2**21  # looked at in one go: what bounds the memory

Ranges = Float[np.ndarray, "areas 2"]
"""The least and the largest area of an object that counts, both included."""


class Matches(NamedTuple):
    """Detections by class, then by score from the highest down, then by image; what each is, for each area and overlap.

    `rank` is a detection's place among those of its image and class. `counted` tells, for each range of areas, where it
    is a true or a false positive; `true` where it is a true one. `positives` are the objects to be found.
    """

    scores: Float[np.ndarray, " n"]
    classes: Int[np.ndarray, " n"]
    rank: Int[np.ndarray, " n"]
    true: Bool[np.ndarray, "areas overlaps n"]
    counted: Bool[np.ndarray, "areas overlaps n"]
    positives: Int[np.ndarray, "areas classes"]


class Pairs(NamedTuple):
    """Pairs of a detection and an object of one group, in the order of the detections."""

    detection: Int[np.ndarray, " p"]
    object: Int[np.ndarray, " p"]
    overlap: Float[np.ndarray, " p"]


def match(
    seen: Seen,
    classes: int,
    overlaps: Float[np.ndarray, " overlaps"],
    ranges: Ranges,
    *,
    most: int | None,
    coco: bool,
    edge: float,
) -> Matches:
    """Match the detections of the highest scores, at most `most` an image and class, to the objects of their groups."""
    group = seen.image * classes + seen.classes
    order = np.lexsort((-seen.scores, group))
    rank = _within(group[order])
    order, rank = (x[rank < (len(order) if most is None else most)] for x in (order, rank))
    boxes, group, of_class, scores = (x[order] for x in (seen.boxes, group, seen.classes, seen.scores))
    object_order = np.argsort(seen.object_image * classes + seen.object_classes, kind="stable")
    objects = Seen(*seen[:5], *(x[object_order] for x in seen[5:]))
    object_group = objects.object_image * classes + objects.object_classes

    low, high = ranges[:, :1], ranges[:, 1:]
    ignored = objects.crowd | objects.ignore | (objects.areas < low) | (objects.areas > high)
    # An overlap of 1 is asked for up to rounding, by COCO alone.
    limits = np.minimum(overlaps, 1 - 1e-10) if coco else overlaps
    exempt = objects.crowd & coco
    pairs = _pairs(boxes, group, objects.object_boxes, object_group, exempt, limits.min(), edge)
    found = np.zeros((len(ranges), len(overlaps), len(order)), np.int8)
    if coco:
        _greedy(found, pairs, group, exempt, ignored, limits)
    else:
        _claims(found, pairs, ignored, limits)

    by_score = np.lexsort((-scores, of_class))
    found = np.take(found, by_score, axis=-1)
    true = found == 1
    area = _area(boxes[by_score], edge)
    inside = (area >= low) & (area <= high)
    counted = true | ((found == 0) & inside[:, None])
    positives = np.stack([np.bincount(objects.object_classes[~row], minlength=classes) for row in ignored])
    return Matches(scores[by_score], of_class[by_score], rank[by_score], true, counted, positives)


def _pairs(
    boxes: Float[np.ndarray, "n 4"],
    group: Int[np.ndarray, " n"],
    object_boxes: Float[np.ndarray, "m 4"],
    object_group: Int[np.ndarray, " m"],
    crowd: Bool[np.ndarray, " m"],
    least: float,
    edge: float,
) -> Pairs:
    """Return the pairs of a group that overlap by at least `least`; of a crowd, it is the share of the detection."""
    first, last = (np.searchsorted(object_group, group, side) for side in ("left", "right"))
    ends = np.cumsum(last - first)
    # np.unique: a detection of more pairs than _PAIRS is a part of its own.
    cuts = np.unique([0, *np.searchsorted(ends, np.arange(_PAIRS, ends[-1] if len(ends) else 0, _PAIRS)), len(group)])
    area, object_area = _area(boxes, edge), _area(object_boxes, edge)
    parts = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for start, stop in pairwise(cuts):
        count = (last - first)[start:stop]
        d = np.repeat(np.arange(start, stop), count)
        o = np.arange(len(d)) + np.repeat(first[start:stop] - np.cumsum(count) + count, count)
        a, b = boxes[d], object_boxes[o]
        width, height = (
            np.minimum(a[:, axis + 2], b[:, axis + 2]) - np.maximum(a[:, axis], b[:, axis]) + edge for axis in (0, 1)
        )
        touching = (width > 0) & (height > 0)
        d, o, both = d[touching], o[touching], (width * height)[touching]
        overlap = both / np.where(crowd[o], area[d], area[d] + object_area[o] - both)
        enough = overlap >= least
        parts.append(Pairs(d[enough], o[enough], overlap[enough]))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _greedy(
    found: np.ndarray,
    pairs: Pairs,
    group: Int[np.ndarray, " n"],
    crowd: Bool[np.ndarray, " m"],
    ignored: Bool[np.ndarray, "areas m"],
    limits: Float[np.ndarray, " overlaps"],
) -> None:
    """Give each detection, from the highest score down, the best object that is left: 1 in `found`, 2 if it is ignored.

    COCO's rule: an object that counts comes before one that is ignored, then the larger overlap, then the later object;
    a crowd is never used up. Detections of one rank, each of another group, are served at once, and so are all ranges
    of areas: the only loop is over ranks.
    """
    if not len(pairs.detection):
        return
    served, slot = np.unique(pairs.detection, return_inverse=True)
    turn = _within(group[served])[slot]
    preference = np.lexsort((-pairs.object, -pairs.overlap, slot))
    area = np.repeat(np.arange(len(ignored)), len(preference))
    p = np.tile(preference, len(ignored))
    last = ignored[area, pairs.object[p]]
    lane = (turn[p] * len(ignored) + area) * len(served) + slot[p]
    order = np.argsort(lane * 2 + last, kind="stable")
    p, area, last, lane = p[order], area[order], last[order], lane[order]
    kept = area * len(crowd) + pairs.object[p]  # the object, one for each range of areas
    enough, reusable = pairs.overlap[p, None] >= limits, crowd[pairs.object[p]]
    taken = np.zeros((ignored.size, len(limits)), bool)
    bounds = np.searchsorted(turn[p], np.arange(turn.max() + 2))
    for start, stop in pairwise(bounds):
        free = enough[start:stop] & ~taken[kept[start:stop]]
        heads = np.flatnonzero(np.diff(lane[start:stop], prepend=-1))
        places = np.where(free, np.arange(start, stop)[:, None], len(p))
        best = np.minimum.reduceat(places, heads, axis=0)
        row, column = np.nonzero(best < len(p))
        best = best[row, column]
        found[area[best], column, pairs.detection[p[best]]] = 1 + last[best]
        used = ~reusable[best]
        taken[kept[best[used]], column[used]] = True


def _claims(
    found: np.ndarray, pairs: Pairs, ignored: Bool[np.ndarray, "areas m"], limits: Float[np.ndarray, " overlaps"]
) -> None:
    """Give each object to the first detection whose best object it is: 1 in `found`, 2 if the object is ignored.

    PASCAL VOC's rule: a detection looks at the object that it overlaps most, the first of equals, taken or not.
    """
    preference = np.lexsort((pairs.object, -pairs.overlap, pairs.detection))
    best = preference[np.flatnonzero(np.diff(pairs.detection[preference], prepend=-1))]
    for area, row in enumerate(ignored):
        for number, limit in enumerate(limits):
            hits = best[pairs.overlap[best] >= limit]
            _, first = np.unique(pairs.object[hits], return_index=True)
            found[area, number, pairs.detection[hits[first]]] = 1
            unasked = hits[row[pairs.object[hits]]]
            found[area, number, pairs.detection[unasked]] = 2


def _area(boxes: Float[np.ndarray, "n 4"], edge: float) -> Float[np.ndarray, " n"]:
    return (boxes[:, 2] - boxes[:, 0] + edge) * (boxes[:, 3] - boxes[:, 1] + edge)


def _within(group: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return each one's place in its run of equal numbers."""
    heads = np.flatnonzero(np.diff(group, prepend=-1))
    return np.arange(len(group)) - np.repeat(heads, np.diff(heads, append=len(group)))
