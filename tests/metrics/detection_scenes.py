"""Made-up images for the metrics of detection: objects, detections near them and elsewhere, padding full of rubbish."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fnnet.boxes import Detections, Objects

SIDES = np.array([1, 4, 12, 31.875, 32, 32.125, 60, 96, 96.125, 150])  # about the bounds of the areas, and on them


class Scene(NamedTuple):
    detections: Detections
    objects: Objects


def boxes_of(rng, n):
    sides = rng.choice(SIDES, (n, 2))
    sides[rng.random(n) < 0.4] = rng.choice(SIDES, (1, 1))
    corner = rng.integers(0, 200, (n, 2)).astype(float)
    return np.concatenate([corner, corner + sides], -1)


def scene(
    seed, *, images=4, classes=3, objects=4, detections=8, crowds=0.15, ignores=0.15, areas=True, levels=5, twins=0.3
):
    """Some images: of equal scores there are many with few `levels`, none with 0."""
    rng = np.random.default_rng(seed)
    wide = objects + 2
    there = boxes_of(rng, images * wide).reshape(images, wide, 4)
    close = rng.random((images, wide)) < twins  # objects that are nearly one
    there[:, 1:][close[:, 1:]] = there[:, :-1][close[:, 1:]] + rng.choice([0, 0.5, 1, 3], (close[:, 1:].sum(), 1))
    labels = rng.integers(0, classes, (images, wide))
    valid = rng.random((images, wide)) < objects / wide
    count = detections + 3
    found = boxes_of(rng, images * count).reshape(images, count, 4)
    found_labels = rng.integers(0, classes, (images, count))
    near = rng.random((images, count)) < 0.7
    copied = rng.integers(0, wide, (images, count))
    rows = np.arange(images)[:, None]
    drift = rng.choice([0, 0, 0.25, 1, 2, 5], (images, count, 4))
    found = np.where(near[..., None], there[rows, copied] + drift, found)
    found[..., 2:] = np.maximum(found[..., 2:], found[..., :2])
    found_labels = np.where(near & (rng.random((images, count)) < 0.9), labels[rows, copied], found_labels)
    scores = rng.permutation(images * count).reshape(images, count) / (images * count)
    scores = np.floor(scores * levels) / levels if levels else scores
    found_valid = rng.random((images, count)) < detections / count
    found_valid &= rng.random((images, 1)) < 0.9  # images without detections, and without objects
    valid &= rng.random((images, 1)) < 0.9
    found[~found_valid], scores[~found_valid], found_labels[~found_valid] = np.nan, np.nan, -7
    there[~valid], labels[~valid] = np.nan, 99
    sizes = np.nan_to_num((there[..., 2] - there[..., 0]) * (there[..., 3] - there[..., 1]))
    return Scene(
        Detections(found, scores, found_labels, found_valid),
        Objects(
            there,
            labels,
            valid,
            rng.random(valid.shape) < crowds,
            rng.random(valid.shape) < ignores,
            np.floor(sizes * rng.choice([0.5, 1, 1], sizes.shape)) if areas else None,
        ),
    )


def rows_of(records, chosen):
    """Some images of a scene or a record."""
    return type(records)(
        *(None if x is None else rows_of(x, chosen) if isinstance(x, tuple) else x[chosen] for x in records)
    )


def scored(metric, records, **options):
    return metric.compute(metric.update(metric.init(), *records, **options))
