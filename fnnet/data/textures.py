"""Backgrounds of scenes: textures made by a generator, and pieces of given images; and images of another size."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

_OCTAVES = (2, 4, 8, 16)  # cells of the noise's grids along a side, each half as strong as the one before
_CLOSEST = 4  # a piece of an image is at most so many times as wide as the scene
_MOST_CONTRAST = 0.18  # standard deviation of a background: a digit that differs by twice that can be read


@functools.lru_cache(maxsize=1024)
def weights(target: int, source: int) -> np.ndarray:
    """Return the matrix (target, source) that resamples a line: linear between pixels, and over areas where it shrinks.

    Rows sum to 1. Pixels are cells, so that both lines have the same ends.

    >>> (7 * weights(2, 4)).round().tolist()
    [[3.0, 3.0, 1.0, 0.0], [0.0, 1.0, 3.0, 3.0]]
    """
    step = source / target
    centres = (np.arange(target) + 0.5) * step - 0.5
    near = 1 - np.abs(np.arange(source)[None, :] - centres[:, None]) / max(step, 1)
    matrix = np.maximum(near, 0)
    matrix = (matrix / matrix.sum(1, keepdims=True)).astype(np.float32)
    matrix.flags.writeable = False  # all callers share it
    return matrix


def resampled(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return an image (h, w), or a stack of them (c, h, w), in another size.

    >>> resampled(np.ones((3, 5), np.float32), 2, 8).shape
    (2, 8)
    """
    return weights(height, image.shape[-2]) @ image @ weights(width, image.shape[-1]).T


def texture(rng: np.random.Generator, size: tuple[int, int], channels: int) -> np.ndarray:
    """Return a background (H, W, channels): noise of several octaves, a slope and stripes, in strengths drawn for each.

    >>> texture(np.random.default_rng(0), (32, 48), 3).shape
    (32, 48, 3)
    """
    height, width = size
    noise = np.zeros((channels, height, width), np.float32)
    common = np.zeros((1, height, width), np.float32)
    for n, cells in enumerate(_OCTAVES):
        grids = rng.random((channels + 1, cells, cells), np.float32) - np.float32(0.5)
        layers = resampled(grids, height, width) * np.float32(0.5**n)
        noise, common = noise + layers[1:], common + layers[:1]
    strengths = rng.uniform(0.1, 1.0, 4).astype(np.float32)
    down, right = np.arange(height, dtype=np.float32) / height, np.arange(width, dtype=np.float32) / width

    def across(turn: float) -> np.ndarray:
        return np.float32(np.sin(turn)) * down[:, None] + np.float32(np.cos(turn)) * right[None, :]

    slope, along = (across(turn) for turn in rng.uniform(0, 2 * np.pi, 2))
    stripes = np.sin(np.float32(rng.uniform(3, 12) * 2 * np.pi) * along + np.float32(rng.uniform(0, 2 * np.pi)))
    whole = strengths[0] * common + strengths[1] * 0.5 * noise + strengths[2] * 0.5 * (slope - slope.mean())
    if rng.random() < 0.5:
        whole = whole + strengths[3] * 0.15 * stripes
    tint = rng.uniform(-0.1, 0.1, channels) * (channels > 1)
    level = rng.uniform(0.2, 0.8) + tint
    return softened(np.moveaxis(whole, 0, -1) + level.astype(np.float32))


def piece(rng: np.random.Generator, images: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Return a random piece (H, W, channels) of one of the `images`, each at least as large: near, or seen from afar.

    >>> piece(np.random.default_rng(0), [np.zeros((50, 60, 3), np.float32)], (32, 48)).shape
    (32, 48, 3)
    """
    image = images[int(rng.integers(len(images)))]
    most = min(image.shape[0] / size[0], image.shape[1] / size[1], _CLOSEST)
    zoom = rng.uniform(1, most)
    height, width = (int(side * zoom) for side in size)
    top, left = rng.integers(image.shape[0] - height + 1), rng.integers(image.shape[1] - width + 1)
    cut = np.moveaxis(image[top : top + height, left : left + width], -1, 0)
    return softened(np.moveaxis(resampled(cut, *size), 0, -1))


def softened(image: np.ndarray) -> np.ndarray:
    """Return an image in [0, 1], with its contrast reduced about its mean where it is too great to read a digit on.

    >>> (100 * softened(np.array([[[0.0], [1.0]]], np.float32))).ravel().round().tolist()
    [32.0, 68.0]
    """
    middle, spread = image.mean((0, 1)), float(image.mean(-1).std())
    share = min(1.0, _MOST_CONTRAST / max(spread, 1e-6))
    return np.clip(middle + np.float32(share) * (image - middle), 0, 1)
