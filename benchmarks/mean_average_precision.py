"""Mean average precision of a whole data set, here and by pycocotools, on detections that are made up.

python benchmarks/mean_average_precision.py [--images 5000] [--rounds 3] [--detections 30 100]

About 7 objects an image of 80 classes, some of them far more frequent than others, 1 % crowds; detections are objects
that were moved and others, scores higher for the nearer. Each contestant is timed from what it takes, in memory, to its
twelve numbers: here padded float32 arrays in batches of 100 images, or the same one by one; for pycocotools lists of
dicts, its indices, evaluation, accumulation and summary. Reading files is in neither. The numbers are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import time

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import fnnet as fn

CLASSES, MOST, BATCH = 80, 20, 100
NAMES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
NAMES += ("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large")


def made_up(images, detections, seed=0):
    """Padded arrays: objects (images, 20), and the given number of detections an image."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, CLASSES + 1)
    # An image holds few classes: most of its objects are of one of three.
    themes = rng.choice(CLASSES, (images, 3), p=share / share.sum())
    labels = np.take_along_axis(themes, rng.integers(0, 3, (images, MOST)), 1)
    sides = np.exp(rng.normal(4, 0.9, (images, MOST, 2))).clip(4, 500)
    corner = rng.uniform(0, 1, (images, MOST, 2)) * (640 - sides).clip(1)
    boxes = np.concatenate([corner, corner + sides], -1).astype(np.float32)
    count = rng.poisson(7, images).clip(0, MOST)
    valid = np.arange(MOST) < count[:, None]
    there = fn.boxes.Objects(boxes, labels, valid, crowd=rng.random(valid.shape) < 0.01)
    chosen = rng.integers(0, np.maximum(count, 1)[:, None], (images, detections))
    rows = np.arange(images)[:, None]
    drift = rng.exponential(0.15, (images, detections, 1))
    size = np.tile(sides[rows, chosen], 2)
    found = boxes[rows, chosen] + drift * rng.normal(size=size.shape) * size
    found = np.concatenate([np.minimum(found[..., :2], found[..., 2:]), np.maximum(found[..., :2], found[..., 2:])], -1)
    right = rng.random((images, detections)) < np.exp(-drift[..., 0])
    guessed = np.where(right, labels[rows, chosen], rng.choice(CLASSES, right.shape, p=share / share.sum()))
    scores = np.exp(-3 * drift[..., 0] - rng.exponential(0.5, right.shape)).astype(np.float32)
    every = np.ones(right.shape, bool)
    return fn.boxes.Detections(found.astype(np.float32), scores, guessed.astype(np.int32), every), there


def as_json(found, there):
    """The same as pycocotools' lists of dicts."""

    def xywh(box):
        x1, y1, x2, y2 = box.astype(float).tolist()
        return [x1, y1, x2 - x1, y2 - y1]

    objects = []
    for i, j in np.argwhere(there.valid).tolist():
        entry = {"id": len(objects) + 1, "image_id": i, "category_id": int(there.classes[i, j])}
        box = xywh(there.boxes[i, j])
        objects.append(entry | {"bbox": box, "area": box[2] * box[3], "iscrowd": int(there.crowd[i, j])})
    detections = [
        {
            "image_id": i,
            "category_id": int(found.classes[i, j]),
            "bbox": xywh(found.boxes[i, j]),
            "score": float(found.scores[i, j]),
        }
        for i, j in np.argwhere(found.valid).tolist()
    ]
    return {
        "images": [{"id": i} for i in range(len(there.valid))],
        "categories": [{"id": label} for label in range(CLASSES)],
        "annotations": objects,
    }, detections


def ours(found, there, size):
    metric = fn.metrics.mean_average_precision(CLASSES)
    acc = metric.init()
    for start in range(0, len(there.valid), size):
        rows = slice(start, start + size)
        part = (type(x)(*(None if y is None else y[rows] for y in x)) for x in (found, there))
        acc = metric.update(acc, *part)
    value = metric.compute(acc)
    return np.array([value[name] for name in NAMES])


def theirs(dataset, detections):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def seconds(function, *inputs):
    start = time.perf_counter()
    value = function(*inputs)
    return time.perf_counter() - start, value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--detections", type=int, nargs="+", default=[30, 100])
    options = parser.parse_args()
    print("| detections an image | in batches of 100 | one by one | s, in batches / pycocotools | AP |")
    print("| --- | --- | --- | --- | --- |")
    for detections in options.detections:
        found, there = made_up(options.images, detections)
        listed = as_json(found, there)
        ours(found, there, BATCH)
        times = []
        for _ in range(options.rounds):
            peer, expected = seconds(theirs, *copy.deepcopy(listed))
            batched, value = seconds(ours, found, there, BATCH)
            single, _ = seconds(ours, found, there, 1)
            np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12)
            times.append((peer / batched, peer / single, batched, peer))
        times = np.array(times)
        ratios = [f"{np.median(x):.0f} ({x.min():.0f} to {x.max():.0f})" for x in times.T[:2]]
        batched, peer = np.median(times, 0)[2:]
        print(f"| {detections} | {ratios[0]} | {ratios[1]} | {batched:.2f} / {peer:.1f} | {value[0]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
