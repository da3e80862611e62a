"""Toy problems in the plane, made by seed: the shapes on which a decision boundary can be drawn."""

from __future__ import annotations

import numpy as np

from fnnet.data.arrays import Dataset
from fnnet.shapes import check_count


def xor(n: int = 4, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    """Return `n` points at the corners of the unit square in turn, labelled by exclusive or: no line parts them.

    `noise` is the standard deviation of Gaussian noise added to the points, here and in the other toys.

    >>> xor().x.tolist(), xor().y.tolist()
    ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0])
    """
    corner = np.arange(check_count("xor", "n", n)) % 4
    bits = np.stack([corner // 2, corner % 2], axis=1)
    return _dataset("xor", bits, bits[:, 0] ^ bits[:, 1], 2, noise, seed)


def moons(n: int = 200, *, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Return `n` points on two interleaved half circles of radius 1, the second turned over and moved by (1, 1/2).

    >>> moons(6, noise=0.0).y.tolist()
    [0, 1, 0, 1, 0, 1]
    """
    label, place = _turns("moons", n, 2)
    angle = np.pi * place
    second = label == 1
    x = np.where(second, 1 - np.cos(angle), np.cos(angle))
    y = np.where(second, 0.5 - np.sin(angle), np.sin(angle))
    return _dataset("moons", np.stack([x, y], axis=1), label, 2, noise, seed)


def circles(n: int = 200, *, factor: float = 0.5, noise: float = 0.05, seed: int = 0) -> Dataset:
    """Return `n` points on two circles about the origin, of radius 1 (class 0) and `factor` (class 1).

    >>> circles(4, noise=0.0, factor=0.5).x.round(3).tolist()
    [[1.0, 0.0], [0.5, 0.0], [-1.0, 0.0], [-0.5, 0.0]]
    """
    if not 0 < factor < 1:
        raise ValueError(f"circles: factor must be between 0 and 1, got {factor}")
    label, _ = _turns("circles", n, 2)
    angle = 2 * np.pi * (np.arange(n) // 2) / max(1, (n + 1) // 2)
    radius = np.where(label == 1, factor, 1.0)
    return _dataset(
        "circles", radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), label, 2, noise, seed
    )


def spirals(n: int = 300, *, classes: int = 2, turns: float = 1.5, noise: float = 0.02, seed: int = 0) -> Dataset:
    r"""Return `n` points on `classes` arms :math:`r = t,\ \phi = 2\pi (t \cdot turns + c / classes)`, t from 0.05 to 1.

    >>> spirals(300, classes=3).classes
    ('0', '1', '2')
    """
    label, place = _turns("spirals", n, classes)
    t = 0.05 + 0.95 * place
    angle = 2 * np.pi * (t * turns + label / classes)
    return _dataset(
        "spirals", t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), label, classes, noise, seed
    )


def blobs(n: int = 300, *, classes: int = 3, noise: float = 0.15, seed: int = 0) -> Dataset:
    """Return `n` points about `classes` centres, evenly spaced on the unit circle.

    >>> blobs(4, classes=4, noise=0.0).x.round(3).tolist()
    [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-0.0, -1.0]]
    """
    label, _ = _turns("blobs", n, classes)
    angle = 2 * np.pi * label / classes
    return _dataset("blobs", np.stack([np.cos(angle), np.sin(angle)], axis=1), label, classes, noise, seed)


def _turns(name: str, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels 0, 1, ... in turn, and each point's place from 0 to 1 among those of its class."""
    check_count(name, "classes", classes)
    order = np.arange(check_count(name, "n", n))
    return order % classes, order // classes / max(1, (n - 1) // classes)


def _dataset(name: str, points: np.ndarray, labels: np.ndarray, classes: int, noise: float, seed: int) -> Dataset:
    if noise < 0:
        raise ValueError(f"{name}: noise must not be negative, got {noise}")
    x = points + noise * np.random.default_rng(seed).standard_normal(points.shape)
    names = tuple(str(label) for label in range(classes))
    return Dataset(x.astype(np.float32), labels.astype(np.int32), names, ("x1", "x2"))
