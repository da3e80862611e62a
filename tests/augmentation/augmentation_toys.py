"""Painted rectangles, and what is asked of every transform."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fnnet import augmentation, boxes, testing

KEY = jax.random.key(7)
N, H, W = 6, 24, 32
SIZE = (N, H, W)

# One row buys the laws of transforms: (a factory of it, one that changes nothing).
TRANSFORMS = {
    "flip": (augmentation.flip, lambda: augmentation.flip(probability=0)),
    "flip vertical": (
        lambda: augmentation.flip("vertical"),
        lambda: augmentation.flip("vertical", probability=0.0),
    ),
    "crop": (lambda: augmentation.crop(padding=4), augmentation.crop),
    "resized_crop": (
        lambda: augmentation.resized_crop(SIZE[1:]),
        lambda: augmentation.resized_crop(SIZE[1:], area=(1, 1), ratio=(W / H, W / H)),
    ),
    "rotation": (lambda: augmentation.rotation(30), lambda: augmentation.rotation(0)),
    "affine": (
        lambda: augmentation.affine(20, translate=0.2, scale=0.3, shear=15.0, fill=0.5),
        lambda: augmentation.affine(),
    ),
    "color": (
        lambda: augmentation.color(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
        augmentation.color,
    ),
    "erasing": (augmentation.erasing, lambda: augmentation.erasing(probability=0)),
}
MIXING = {
    "mixup": lambda: augmentation.mixup(1.0, classes=5),
    "cutmix": lambda: augmentation.cutmix(classes=5),
}


def photographs(n=N, seed=0, channels=3):
    return np.random.default_rng(seed).random((n, H, W, channels), np.float32)


def painted(seed=0, count=3):
    """Return images (n, H, W, count) with one rectangle of 1 a channel, and the objects that they are of."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, (W - 6, H - 6), (N, count, 2))
    high = np.minimum(low + rng.integers(4, 14, (N, count, 2)), (W, H))
    corners = np.concatenate([low, high], -1)
    x = np.zeros((N, H, W, count), np.float32)
    for row, channel in np.ndindex(N, count):
        x1, y1, x2, y2 = corners[row, channel]
        x[row, y1:y2, x1:x2, channel] = 1
    valid = np.ones((N, count), bool)
    valid[0, 0] = False
    objects = boxes.Objects(corners.astype(np.float32), np.tile(np.arange(count), (N, 1)), valid)
    return x, objects


def bounds(plane):
    """Return the box xyxy around what is not 0, or None."""
    rows, columns = np.nonzero(np.asarray(plane))
    return None if not len(rows) else np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def targets():
    """Return a target of every kind, by name."""
    _, objects = painted()
    return {
        "label": jnp.arange(N) % 5,
        "mask": jnp.asarray(np.random.default_rng(3).integers(0, 5, SIZE), jnp.int32),
        "objects": jax.tree.map(jnp.asarray, objects._replace(areas=boxes.area(objects.boxes))),
    }


ALL = {name: factory for name, (factory, _) in TRANSFORMS.items()} | MIXING


def batch(name):
    x, y = photographs(), targets()
    y = y["label"] if name in MIXING else y
    return jax.tree.map(jnp.asarray, (x, y, np.linspace(0.5, 1, N, dtype=np.float32)))


def subject(name):
    """Return what the laws of transforms are asked of."""
    mixes = name in MIXING
    return testing.TransformSubject(ALL[name](), batch(name), mixes=mixes, keeps=not mixes, least=0.0, most=1.0)


SUBJECTS = {name: subject(name) for name in ALL}
