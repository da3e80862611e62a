"""Images of blobs and the metrics of segmentation by scikit-learn and SciPy, which their tests share."""

from __future__ import annotations

import numpy as np
import sklearn.metrics as sk
from metric_toys import N
from scipy import ndimage

from fnnet import metrics


def blobs(images, height, width, n, seed=5):
    """Labels in regions, and logits of a network that is right about most of them."""
    rng = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(rng.normal(size=(images, height, width, n)), (0, 1.5, 1.5, 0))
    guess = fields + ndimage.gaussian_filter(rng.normal(size=fields.shape), (0, 1, 1, 0)) / 2
    return (10 * guess).astype(np.float32), fields.argmax(-1)


MASK_LOGITS, MASKS = blobs(N, 6, 8, 3)


def flat(score, **options):
    """A score of scikit-learn over all pixels, each with the weight of its image."""

    def of(z, y, sample_weight=None):
        given = z.argmax(-1) if z.ndim > y.ndim else z
        w = None if sample_weight is None else np.broadcast_to(sample_weight[:, None, None], y.shape).ravel()
        return score(y.ravel(), given.ravel(), sample_weight=w, **options)

    return of


def image_dice(z, y, sample_weight=None):
    scores = []
    for given, true in zip(z.argmax(-1), y, strict=True):
        there = np.union1d(given, true)
        scores.append(sk.f1_score(true.ravel(), given.ravel(), labels=there, average="macro"))
    return np.average(scores, weights=sample_weight)


def boundary(mask, kept):
    return mask & ~ndimage.binary_erosion(mask | ~kept, border_value=1)


def boundary_score(given, true, distance, n=3, ignore=None):
    """The boundary F1 of one image, by erosion and by Euclidean distance transforms."""
    kept = true != ignore
    scores = []
    for c in range(n):
        a, b = (true == c) & kept, (given == c) & kept
        if not (a | b).any():
            continue
        edge, drawn = boundary(a, kept), boundary(b, kept)
        if not (edge.any() or drawn.any()):
            scores.append(float((a == b).all()))
        elif not (edge.any() and drawn.any()):
            scores.append(0.0)
        else:
            precision = (ndimage.distance_transform_edt(~edge)[drawn] <= distance).mean()
            recall = (ndimage.distance_transform_edt(~drawn)[edge] <= distance).mean()
            scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return np.mean(scores) if scores else np.nan


def boundary_f1(z, y, sample_weight=None):
    scores = [boundary_score(given, true, 1.0) for given, true in zip(z.argmax(-1), y, strict=True)]
    return np.average(scores, weights=sample_weight)


ROWS = {  # name: (metric, oracle, prediction, target)
    "pixel_accuracy": (metrics.pixel_accuracy(), flat(sk.accuracy_score), MASK_LOGITS, MASKS),
    "mean_iou": (metrics.mean_iou(3), flat(sk.jaccard_score, average="macro"), MASK_LOGITS, MASKS),
    "mean_iou, None": (
        metrics.mean_iou(3, average=None),
        flat(sk.jaccard_score, average=None),
        MASK_LOGITS.argmax(-1),
        MASKS,
    ),
    "dice": (metrics.dice(3), flat(sk.f1_score, average="macro"), MASK_LOGITS, MASKS),
    "image_dice": (metrics.image_dice(3), image_dice, MASK_LOGITS, MASKS),
    "boundary_f1": (metrics.boundary_f1(3, distance=1), boundary_f1, MASK_LOGITS, MASKS),
}
