"""The metric of a detector: mean average precision, with the recalls and the curve that go with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from fnnet.boxes import Detections, Objects
from fnnet.core import Metric
from fnnet.metrics.detection.averages import (
    COCO_RECALLS,
    VOC11_RECALLS,
    Curves,
    curves,
    interpolated,
    mean_of_known,
    recalls,
    under_the_curve,
)
from fnnet.metrics.detection.gathering import Seen, gather, joined
from fnnet.metrics.detection.matching import Matches, match
from fnnet.shapes import check_count

Style: TypeAlias = Literal["coco", "voc", "voc11"]
"""Whose definition: COCO's; PASCAL VOC's from 2010, the area under the curve; or that of 2007, eleven points of it."""

_COCO_OVERLAPS = tuple(np.linspace(0.5, 0.95, 10).tolist())
_COCO_AREAS = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, np.inf)}


class _Options(NamedTuple):
    classes: int
    style: Style
    overlaps: tuple[float, ...]
    areas: dict[str, tuple[float, float]]
    limits: tuple[int, ...]
    edge: float


def mean_average_precision(
    classes: int,
    *,
    style: Style = "coco",
    overlaps: Sequence[float] | None = None,
    areas: Mapping[str, tuple[float, float]] | None = None,
    max_detections: Sequence[int] | None = None,
    inclusive: bool = False,
) -> Metric:
    r"""Mean over classes of the average precision of detected boxes, exactly as COCO or PASCAL VOC compute it.

    ``update(acc, prediction: fn.boxes.Detections, target: fn.boxes.Objects, weight=None, *, image=None)`` takes boxes
    (..., n, 4) of one image or of a batch, in corners, with 0 or 1 as an image's weight. It is computed on the host, in
    NumPy in float64, so predict first and score afterwards. The accumulator is a tuple of what each update saw, whose
    ``merge`` lays one after the other. `image`, whole numbers of the images, is for equal scores: of these the image of
    the smaller number comes first, where none is given the one that was seen first, and within an image the detection
    of the lower index. So values depend on the order of merging only where detections of different images have one
    score and the images no numbers. Images without a number come before the others; no number may be there twice.

    The value is a dict of floats; NaN where there is no object to be found, for which COCO's own program writes -1:

    - ``AP``: over `overlaps` (intersection over union: .5, .55, … .95) and classes; ``AP50`` and ``AP75``, at one of
      several; ``AP_small`` and so on by `areas`, {name: (least, largest)}: up to 32², from there to 96², and above.
    - ``AR1``, ``AR10``, ``AR100``: the recall, over overlaps and classes, of the best `max_detections` (1, 10, 100) an
      image and class; all else is of the last number of them; ``AR_small`` and so on by area.
    - ``AP_per_class``: an array (classes,), NaN for a class without objects.

    "coco": the mean of the precision at 101 recalls, each the largest at that recall or above. A detection, from the
    highest score down, takes of the objects that are left the one of the largest overlap (the last of equals), those
    that count before those that do not: crowds, of which the overlap is intersection over the detection's area and
    which are never used up, objects to `ignore`, and those whose area is out of range. What takes such an object, and
    what takes none and is itself out of range, is not counted. The precision is :math:`TP / (TP + FP + 2^{-52})`, so
    that perfection may be one digit below 1. pycocotools differs in three points: it overwrites the mark `ignore` by
    that of crowds, its ranges of areas end at 10¹⁰, and its images must have numbers.

    "voc": at overlap .5, the area under the curve; "voc11": the mean at recalls 0, .1, … 1. A detection whose best
    object (the first of equals) has been taken by another is a false positive; what is to be ignored (`ignore`, in VOC
    "difficult"; crowds too) is neither asked for nor wrong. All detections count, and the keys are ``AP``, ``AR`` (the
    recall) and ``AP_per_class``, unless `overlaps` or `max_detections` are given.

    `inclusive`: corners are the first and the last pixel of a box, so that a side is :math:`x_2 - x_1 + 1`, as in
    VOC's own program and annotations.

    Laws: batches may be split and images permuted at will, but for equal scores; a false positive of the lowest score
    raises nothing; a common scale of all boxes changes nothing without `areas`.
    Raises: ValueError for options that make no sense; TypeError, ShapeError, DtypeError, DataError for input that is
    not what it should be, under ``jit`` too. Lin et al. 2014, arXiv:1405.0312; Everingham et al. 2010,
    doi:10.1007/s11263-009-0275-4.

    >>> metric = fn.metrics.mean_average_precision(2)
    >>> boxes, labels, there = jnp.array([[0.0, 0, 8, 8], [0, 0, 6, 8]]), jnp.array([1, 1]), jnp.array([True, True])
    >>> detected = fn.boxes.Detections(boxes, jnp.array([0.6, 0.9]), labels, there)
    >>> acc = metric.update(metric.init(), detected, fn.boxes.Objects(boxes[:1], labels[:1], there[:1]))
    >>> value = metric.compute(acc)
    >>> f"{value['AP']:.2f} {value['AP50']:.2f} {value['AR1']:.2f} {value['AP_large']:.2f}", value["AP_per_class"]
    ('0.80 1.00 0.60 nan', array([nan, 0.8]))
    """
    where = f"mean_average_precision_{style}" if style in ("voc", "voc11") else "mean_average_precision"
    options = _options(where, classes, style, overlaps, areas, max_detections, inclusive)

    def update(
        acc: tuple[Seen, ...],
        prediction: Detections,
        target: Objects,
        weight: Any = None,
        *,
        image: Any = None,
    ) -> tuple[Seen, ...]:
        return (*acc, gather(where, prediction, target, weight, image, options.classes, options.edge))

    def compute(acc: tuple[Seen, ...]) -> dict[str, Any]:
        matches = _matches(joined(where, acc), options)
        return _summary(matches, options)

    return Metric(where, tuple, update, compute, lambda a, b: (*a, *b))


def detection_curve(
    acc: tuple[Seen, ...],
    label: int,
    *,
    overlap: float = 0.5,
    style: Style = "coco",
    max_detections: int | None = None,
    inclusive: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (precision, recall, score) of one class down its detections, from the accumulator of the metric.

    One value for each detection that counts, in float64, not interpolated; of equal scores, the last value is the one
    that a threshold would give. Matched as by the metric of that style, at one overlap, over all areas; COCO's metric
    has a `max_detections` of 100. The recall is NaN without objects.
    Raises: ValueError for options that make no sense; DataError if an image is there twice.

    >>> metric = fn.metrics.mean_average_precision(1)
    >>> boxes, two = jnp.array([[0.0, 0, 8, 8], [9, 9, 12, 12]]), jnp.array([True, True])
    >>> detected = fn.boxes.Detections(boxes, jnp.array([0.6, 0.9]), jnp.array([0, 0]), two)
    >>> acc = metric.update(metric.init(), detected, fn.boxes.Objects(boxes[:1], jnp.array([0]), two[:1]))
    >>> detection_curve(acc, 0)[:2]
    (array([0. , 0.5]), array([0., 1.]))
    """
    where = "detection_curve"
    label = check_count(where, "label", label, least=0)
    most = None if max_detections is None else (max_detections,)
    options = _options(where, label + 1, style, (overlap,), {} if style == "coco" else None, most, inclusive)
    seen = joined(where, acc)
    d, o = seen.classes == label, seen.object_classes == label
    one = Seen(seen.images, *(x[d] for x in seen[1:5]), *(x[o] for x in seen[5:]))
    limits = () if max_detections is None else options.limits
    found = _matches(one, options._replace(limits=limits))
    counted = found.counted[0, 0]
    true = np.cumsum(found.true[0, 0][counted])
    positives = int(found.positives[0, label])
    recall = true / positives if positives else np.full(true.shape, np.nan)
    return true / np.arange(1, len(true) + 1), recall, found.scores[counted]


def _options(
    where: str,
    classes: int,
    style: Style,
    overlaps: Sequence[float] | None,
    areas: Mapping[str, tuple[float, float]] | None,
    max_detections: Sequence[int] | None,
    inclusive: bool,
) -> _Options:
    if style not in ("coco", "voc", "voc11"):
        raise ValueError(f"{where}: style must be 'coco', 'voc' or 'voc11', got {style!r}")
    check_count(where, "classes", classes)
    coco = style == "coco"
    overlaps = tuple(map(float, (_COCO_OVERLAPS if coco else (0.5,)) if overlaps is None else overlaps))
    if not overlaps or not all(0 < overlap <= 1 for overlap in overlaps):
        raise ValueError(f"{where}: overlaps must be numbers above 0 and at most 1, got {overlaps}")
    if areas is not None and not coco:
        raise ValueError(f"{where}: areas are for style='coco' alone, got {areas!r}")
    ranges = dict(_COCO_AREAS if coco and areas is None else areas or {})
    for name, bounds in ranges.items():
        if len(bounds) != 2 or not 0 <= bounds[0] < bounds[1]:
            expected = "(least, largest) with 0 <= least < largest"
            raise ValueError(f"{where}: areas must be {expected}, got {bounds!r} for {name!r}")
    limits = max_detections if max_detections is not None else (1, 10, 100) if coco else ()
    if max_detections is not None and not len(limits):
        raise ValueError(f"{where}: max_detections must hold at least one number, got {max_detections!r}")
    counts = sorted({check_count(where, "max_detections", limit) for limit in limits})
    return _Options(classes, style, overlaps, ranges, tuple(counts), float(inclusive))


def _matches(seen: Seen, options: _Options) -> Matches:
    ranges = np.array([(-np.inf, np.inf), *options.areas.values()], np.float64)
    most = options.limits[-1] if options.limits else None
    overlaps, coco = np.array(options.overlaps), options.style == "coco"
    return match(seen, options.classes, overlaps, ranges, most=most, coco=coco, edge=options.edge)


def _summary(matches: Matches, options: _Options) -> dict[str, Any]:
    """Return COCO's numbers by name."""
    # So that COCO's 0 / 0 is 0; where it tells, it is in the last digit.
    eps = float(np.spacing(1.0)) if options.style == "coco" else 0.0
    by_area = [curves(matches, area, eps) for area in range(1 + len(options.areas))]
    precisions = [_average_precision(curve, options.style) for curve in by_area]
    whole, overlaps = precisions[0], np.array(options.overlaps)
    values: dict[str, Any] = {"AP": mean_of_known(whole)}
    if len(overlaps) > 1:
        named = {"AP50": overlaps == 0.5, "AP75": overlaps == 0.75}
        values |= {name: mean_of_known(whole[chosen]) for name, chosen in named.items() if chosen.any()}
    values |= {f"AP_{name}": mean_of_known(part) for name, part in zip(options.areas, precisions[1:], strict=True)}
    if options.limits:
        values |= {f"AR{limit}": mean_of_known(recalls(by_area[0], limit)) for limit in options.limits}
    else:
        values["AR"] = mean_of_known(recalls(by_area[0], None))
    values |= {
        f"AR_{name}": mean_of_known(recalls(part, None)) for name, part in zip(options.areas, by_area[1:], strict=True)
    }
    return values | {"AP_per_class": whole.mean(0)}


def _average_precision(curve: Curves, style: Style) -> np.ndarray:
    if style == "voc":
        return under_the_curve(curve)
    return interpolated(curve, COCO_RECALLS if style == "coco" else VOC11_RECALLS)
