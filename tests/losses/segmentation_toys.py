"""Images of pixels and the losses of segmentation written out in NumPy, which their tests share."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import special

from fnnet import losses

rng = np.random.default_rng(3)
IMAGES = rng.normal(size=(2, 4, 4, 3)).astype(np.float32) * 2
LABELS = rng.integers(0, 3, (2, 4, 4))
LABELS[1] = np.where(LABELS[1] == 2, 0, LABELS[1])  # class 2 is absent from the second image
WITH_VOID = np.where(rng.uniform(size=LABELS.shape) < 0.3, 255, LABELS)
MAPS = IMAGES[:, :, :3, 0].copy()  # one logit a pixel
MARKS = rng.integers(0, 2, MAPS.shape)
MARKS_WITH_VOID = np.where(rng.uniform(size=MARKS.shape) < 0.3, -1, MARKS)
CLASS_WEIGHTS = np.array([0.5, 2.0, 1.0], np.float32)


def pixels(z, y):
    """Yield (probabilities, labels) of the kept pixels of each image."""
    for logits, labels in zip(z, y, strict=True):
        kept = (labels >= 0) & (labels < 3)
        yield special.softmax(logits.astype(np.float64), -1)[kept], labels[kept]


def tversky_term(p, t, alpha, beta, smooth=1.0):
    hit, much, few = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum()
    return 1 - (hit + smooth) / (hit + alpha * much + beta * few + smooth)


def jaccard_loss(wrong, truth):
    """One less the intersection over union where the pixels of `wrong` are given the other side: a set function."""
    given = truth ^ wrong
    union = (given | truth).sum()
    return 1 - (given & truth).sum() / union if union else 0.0


def lovasz_term(p, t):
    """The Lovász extension of ``jaccard_loss``, literally: errors down the order, times what each adds to the loss."""
    truth, error = t.astype(bool), np.abs(t - p)
    total, wrong = 0.0, np.zeros(len(t), bool)
    for i in np.argsort(-error):
        before = jaccard_loss(wrong, truth)
        wrong[i] = True
        total += error[i] * (jaccard_loss(wrong, truth) - before)
    return total


def over_classes(term, z, y, classes="all", weights=(1, 1, 1)):
    values = []
    for p, labels in pixels(z, y):
        over = [c for c in range(3) if classes == "all" or (labels == c).any()]
        terms = [term(p[:, c], (labels == c).astype(float)) for c in over]
        values.append(np.average(terms, weights=[weights[c] for c in over]) if over else 0.0)
    return np.array(values)


def over_maps(term, z, t):
    return np.array([term(special.expit(z[i][t[i] >= 0]), t[i][t[i] >= 0].astype(float)) for i in range(len(z))])


def pixel_cross_entropy(z, y, weights=(1, 1, 1), smoothing=0.0):
    values, w = [], np.array(weights, np.float64)
    for p, labels in pixels(z, y):
        target = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
        values.append(-(w * target * np.log(p)).sum() / w[labels].sum())
    return np.array(values)


def binary_pixel_cross_entropy(z, t, positive_weight=1.0):
    return over_maps(
        lambda p, t: -(positive_weight * t * np.log(p) + (1 - t) * np.log1p(-p)).mean(), z.astype(np.float64), t
    )


ROWS = {  # name: (loss, oracle, prediction, target)
    "pixel_cross_entropy": (
        partial(losses.pixel_cross_entropy, smoothing=0.2, class_weights=CLASS_WEIGHTS, ignore=255),
        partial(pixel_cross_entropy, smoothing=0.2, weights=CLASS_WEIGHTS),
        IMAGES,
        WITH_VOID,
    ),
    "binary_pixel_cross_entropy": (
        partial(losses.binary_pixel_cross_entropy, positive_weight=3.0, ignore=-1),
        partial(binary_pixel_cross_entropy, positive_weight=3.0),
        MAPS,
        MARKS_WITH_VOID,
    ),
}
TERMS = {
    "tversky": partial(tversky_term, alpha=0.3, beta=0.7),
    "dice": partial(tversky_term, alpha=0.5, beta=0.5),
    "jaccard": partial(tversky_term, alpha=1.0, beta=1.0),
    "lovasz": lovasz_term,
}
for name, term in TERMS.items():
    ROWS[name] = (
        partial(getattr(losses, name), classes="present", class_weights=CLASS_WEIGHTS, ignore=255),
        partial(over_classes, term, classes="present", weights=CLASS_WEIGHTS),
        IMAGES,
        WITH_VOID,
    )
    ROWS[f"binary_{name}"] = (
        partial(getattr(losses, f"binary_{name}"), ignore=-1),
        partial(over_maps, term),
        MAPS,
        MARKS_WITH_VOID,
    )
