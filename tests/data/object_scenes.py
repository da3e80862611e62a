"""Images' annotations drawn by seed, for the tests of readers and writers."""

from __future__ import annotations

import numpy as np

import fnnet as fn
from fnnet.data import annotate

CLASSES = ("cat", "dog & co", "émeu", "<x>")


def scenes(seed=0, images=6, *, outlines=True, crowd=True, dtype=np.float32, gaps=True):
    """Return annotations of images with 0 to 4 objects each; boxes of any digits, polygons, masks and none."""
    rng = np.random.default_rng(seed)
    files = [f"{name:03d}.png" for name in range(images)]
    sizes = rng.integers(5, 60, (images, 2))
    objects, shapes = [], []
    for height, width in sizes.tolist():
        count = int(rng.integers(0, 5))
        corners = rng.random((count, 2, 2)) * [width, height]
        boxes = np.concatenate([corners.min(1), corners.max(1)], 1).reshape(-1, 4)
        if seed % 2:
            boxes = np.round(boxes, 2)
        boxes = boxes.astype(dtype).astype(np.float64)
        boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
        count = len(boxes)
        objects.append(
            fn.boxes.Objects(
                boxes,
                rng.integers(0, len(CLASSES), count).astype(np.int32),
                np.ones(count, bool),
                (rng.random(count) < 0.3) & crowd,
                rng.random(count) < 0.3,
                rng.random(count) * 100 if outlines else None,
            )
        )
        shapes.append([outline(rng, height, width) if outlines else None for _ in range(count)])
    ids = {"image_ids": (rng.permutation(1000)[:images] + 7).tolist(), "category_ids": (90, 3, 17, 5)} if gaps else {}
    return annotate(files, sizes, objects, CLASSES, outlines=shapes, **ids)


def outline(rng, height, width):
    kind = rng.integers(3)
    if kind == 0:
        return None
    if kind == 1:
        return tuple(rng.random((int(rng.integers(3, 9)), 2)) * [width, height] for _ in range(rng.integers(1, 3)))
    return fn.data.encode_mask(rng.random((height, width)) < rng.random())


def assert_same(got, expected):
    """To the bit, but for what was skipped."""
    for name in ("files", "classes", "image_ids", "category_ids"):
        assert getattr(got, name) == getattr(expected, name)
    np.testing.assert_array_equal(got.sizes, expected.sizes)
    assert len(got.objects) == len(expected.objects)
    for a, b in zip(got.objects, expected.objects, strict=True):
        for field, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(field, other)
    for row, others in zip(got.outlines, expected.outlines, strict=True):
        for a, b in zip(row, others, strict=True):
            assert type(a) is type(b)
            for part, other in zip(a or (), b or (), strict=True):
                np.testing.assert_array_equal(part, other)
