"""Targets of a detector by centres, and its loss, cell by cell in plain Python: what the tests compare with."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from fnnet.boxes import CenterMaps, Objects

SPREAD = 0.54


def drawn_objects(seed, images, n, classes, size, *, marks=True):
    """Return objects of images of `size` pixels, some of them padding, crowds or to be ignored."""
    random = np.random.default_rng(seed)
    corner, sides = random.uniform(-2, size - 4, (images, n, 2)), random.uniform(1, size / 2, (images, n, 2))
    boxes = np.concatenate([corner, corner + sides], -1).astype(np.float32)
    flags = [random.random((images, n)) < 0.2 if marks else None for _ in range(2)]
    valid = np.arange(n) < random.integers(1, n + 1, (images, 1))
    return Objects(boxes, random.integers(0, classes, (images, n)).astype(np.int32), valid, *flags)


def drawn_maps(seed, images, grid, classes):
    random = np.random.default_rng(seed)
    heat = random.normal(size=(images, *grid, classes)).astype(np.float32) * 3
    return CenterMaps(heat, random.uniform(0.5, 3, (images, *grid, 4)).astype(np.float32))


def center_targets(there, grid, classes, stride):
    """The heat, the cells that count, and for each cell (object, weight), of one image."""
    h, w = grid
    heat, counted, told = np.zeros((h, w, classes)), np.ones((h, w), bool), {}
    marks = [mark for mark in (there.crowd, there.ignore) if mark is not None]
    spared = [any(bool(mark[i]) for mark in marks) for i in range(len(there.boxes))]
    bumps = {}
    for i, box in enumerate(np.asarray(there.boxes, np.float64) / stride):
        if not there.valid[i] or spared[i]:
            continue
        x1, y1, x2, y2 = box
        cx = min(max(math.floor((x1 + x2) / 2), 0), w - 1)
        cy = min(max(math.floor((y1 + y2) / 2), 0), h - 1)
        for row in range(h):
            for column in range(w):
                value = 1.0
                for distance, side in ((abs(column - cx), x2 - x1), (abs(row - cy), y2 - y1)):
                    if distance > SPREAD * side / 2 and distance > 0:
                        value = 0.0
                    elif distance > 0:
                        value *= math.exp(-(distance**2) / (2 * (SPREAD * side / 6) ** 2))
                bumps[i, row, column] = value
                label = there.classes[i]
                heat[row, column, label] = max(heat[row, column, label], value)
    for i, (x1, y1, x2, y2) in enumerate(np.asarray(there.boxes, np.float64) / stride):
        if there.valid[i] and spared[i]:
            for row in range(h):
                for column in range(w):
                    inside = x1 <= column + 0.5 <= x2 and y1 <= row + 0.5 <= y2
                    counted[row, column] &= not inside or heat[row, column].max() == 1
    area = [(b[2] - b[0]) * (b[3] - b[1]) for b in np.asarray(there.boxes, np.float64)]
    for row in range(h):
        for column in range(w):
            near = [i for (i, r, c), value in bumps.items() if (r, c) == (row, column) and value > 0]
            if near:
                told[row, column] = min(near, key=lambda i: (-bumps[i, row, column], area[i]))
    sums = {}
    for (row, column), i in told.items():
        sums[i] = sums.get(i, 0) + bumps[i, row, column]
    told = {(row, column): (i, bumps[i, row, column] / sums[i]) for (row, column), i in told.items()}
    return heat, counted, told, sum(bool(v) and not s for v, s in zip(there.valid, spared, strict=True))


def giou(a, b):
    inner = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return inner / union - (hull - union) / hull


def center_loss(maps, there, stride, box_weight=5.0):
    """The loss of one image."""
    h, w, classes = maps.heat.shape
    heat, counted, told, number = center_targets(there, (h, w), classes, stride)
    total = 0.0
    for row, column, label in np.ndindex(h, w, classes):
        if counted[row, column]:
            t, p = heat[row, column, label], special.expit(maps.heat[row, column, label])
            total -= (1 - p) ** 2 * np.log(p) if t == 1 else (1 - t) ** 4 * p**2 * np.log1p(-p)
    for (row, column), (i, weight) in told.items():
        left, up, right, down = maps.sides[row, column]
        found = (column + 0.5 - left, row + 0.5 - up, column + 0.5 + right, row + 0.5 + down)
        total += box_weight * weight * (1 - giou(found, np.asarray(there.boxes[i], np.float64) / stride))
    return total / max(number, 1)


def image_of(tree, number):
    return type(tree)._make(None if field is None else field[number] for field in tree)
