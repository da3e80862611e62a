"""Scenes to find objects in: images of single things, such as digits, in many sizes, with exact boxes and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from fnnet.boxes import Objects
from fnnet.data.textures import piece, resampled, texture
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.shapes import check_count
from fnnet.targets import check_labels

INK = 0.3  # a pixel is of a digit, in masks and boxes, where its ink covers it by that share or more
_TRIES = 50  # places that are drawn for a digit, before it is left out
_CONTRAST = (0.35, 0.75)


class Scenes(NamedTuple):
    """Images (n, H, W, C) float32 in [0, 1], the objects in each, and the class of each pixel: 0 background, 1 + class.

    `objects` are padded to the most that a scene may have, and in order from the back to the front.
    """

    x: Float[np.ndarray, "n h w c"]
    objects: Objects
    masks: Int[np.ndarray, "n h w"]


class _Placed(NamedTuple):
    label: int
    top: int
    left: int
    ink: np.ndarray  # (h, w), the share of each pixel that is covered


def scenes(
    images: ArrayLike,
    labels: ArrayLike,
    count: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (64, 64),
    objects: tuple[int, int] = (1, 4),
    scale: tuple[float, float] = (0.25, 0.5),
    overlap: float = 0.25,
    background: Any = "texture",
    channels: int = 3,
) -> Scenes:
    """Compose `count` scenes of `size` (H, W) of the ink of `images`, with exact boxes and masks.

    `images` (n, h, w) or (n, h, w, 1) hold ink in [0, 1] on nothing, as ``mnist_digits().x`` does. Each scene has a
    number of them from `objects`, both ends included. The ink's longer side is a share of the scene's shorter side,
    drawn from `scale`. Ink is of any colour, lighter or darker than what is behind it by chance and by more than a
    background varies, and the scene has noise: no threshold finds it.

    A pixel is of the digit where its ink covers at least 0.3 of it. A box (x1, y1, x2, y2), in pixels, is exactly
    around all those of its digit, hidden ones too; a mask shows who is in front. Of no digit more than the share
    `overlap` is hidden by those in front of it: one that would hide more is drawn in another size elsewhere, and left
    out after fifty tries, so that crowded scenes may have fewer.

    `background` is ``"texture"``, or images with values in [0, 1], (h, w, channels) or a sequence or dict of such, at
    least as large as a scene, of which random pieces are taken: ``fn.data.photographs()``. A contrast that is too great
    to read on is reduced.

    Laws: the result is a function of the arguments; scene i is one of `seed` and i, whatever `count` is, and has the
    same objects on whatever background. For localisation ``objects=(1, 1)``: the boxes are ``objects.boxes[:, 0]``.
    Raises: ShapeError, DtypeError, DataError for images without ink or of values outside [0, 1], or bad labels;
    ValueError for options that are out of range.

    >>> digits = fn.data.mnist_digits()
    >>> found = scenes(digits.x, digits.y, 5, size=(48, 64), objects=(1, 3))
    >>> found.x.shape, found.objects.boxes.shape, found.masks.shape
    ((5, 48, 64, 3), (5, 3, 4), (5, 48, 64))
    """
    count = check_count("scenes", "count", count)
    seed = check_count("scenes", "seed", seed, least=0)
    channels = check_count("scenes", "channels", channels)
    size, objects = _pair("size", size), _pair("objects", objects, least=0)
    if not 0 <= overlap <= 1:
        raise ValueError(f"scenes: overlap must be from 0 to 1, got {overlap}")
    if np.shape(scale) != (2,) or not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"scenes: scale must be (least, most) above 0, up to 1, got {scale}")
    if not 1 <= objects[1] >= objects[0]:
        raise ValueError(f"scenes: objects must be (least, most) with most at least 1, got {objects}")
    inks, classes = _inks(images), np.asarray(labels)
    if classes.shape != (len(inks),):
        problem = f"for {len(inks)} images the labels must have shape ({len(inks)},), got {classes.shape}"
        raise ShapeError("scenes", problem, "pass one class for each image.")
    check_labels(classes, 2**31 - 2, where="scenes")
    backdrop = _backdrop(background, size, channels)

    x = np.empty((count, *size, channels), np.float32)
    masks = np.zeros((count, *size), np.int32)
    boxes: Any = np.zeros((count, objects[1], 4), np.float32)
    kinds: Any = np.zeros((count, objects[1]), np.int32)
    valid: Any = np.zeros((count, objects[1]), bool)
    for n in range(count):
        rng = np.random.default_rng((seed, n))
        placed = _placed(rng, inks, classes, size, objects, scale, overlap)
        x[n] = _painted(rng, backdrop(rng), placed)
        for k, one in enumerate(placed):
            height, width = one.ink.shape
            boxes[n, k] = one.left, one.top, one.left + width, one.top + height
            kinds[n, k], valid[n, k] = one.label, True
            masks[n, one.top : one.top + height, one.left : one.left + width][one.ink >= INK] = 1 + one.label
    return Scenes(x, Objects(boxes, kinds, valid), masks)


def _placed(
    rng: np.random.Generator,
    inks: list[np.ndarray],
    classes: np.ndarray,
    size: tuple[int, int],
    objects: tuple[int, int],
    scale: tuple[float, float],
    overlap: float,
) -> list[_Placed]:
    """Draw the digits of a scene one after the other, each in front of those before."""
    front = np.zeros(size, np.int32)  # which digit is seen in a pixel, from 1; 0 for none
    found: list[_Placed] = []
    seen, needed = [0], [0.0]  # pixels by digit: those that are seen, and those that have to be
    for _ in range(rng.integers(objects[0], objects[1] + 1)):
        digit = rng.integers(len(inks))
        for _ in range(_TRIES):
            ink = _scaled(inks[digit], rng.uniform(*scale) * min(size))
            height, width = ink.shape
            top, left = int(rng.integers(size[0] - height + 1)), int(rng.integers(size[1] - width + 1))
            under, solid = front[top : top + height, left : left + width], ink >= INK
            left_over = seen - np.bincount(under[solid], minlength=len(seen))
            if (left_over[1:] >= needed[1:]).all():
                found.append(_Placed(int(classes[digit]), top, left, ink))
                under[solid] = len(found)
                pixels = int(solid.sum())
                seen, needed = [*left_over.tolist(), pixels], [*needed, (1 - overlap) * pixels - 1e-6]
                break
    return found


def _scaled(ink: np.ndarray, longer: float) -> np.ndarray:
    """Return the ink with a longer side of about that many pixels, cut to those that are of the digit."""
    share = longer / max(ink.shape)
    resized = resampled(ink, *(max(1, round(side * share)) for side in ink.shape))
    resized = resized / resized.max()
    return _cut(resized, resized >= INK)


def _cut(ink: np.ndarray, solid: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _painted(rng: np.random.Generator, canvas: np.ndarray, placed: list[_Placed]) -> np.ndarray:
    for one in placed:
        height, width = one.ink.shape
        under = canvas[one.top : one.top + height, one.left : one.left + width]
        behind = float(under[one.ink >= INK].mean())
        contrast, coin = rng.uniform(*_CONTRAST), rng.random() < 0.5
        lighter, darker = behind + contrast <= 1, behind - contrast >= 0
        lighter = lighter if lighter != darker else coin if lighter else behind < 0.5
        level = behind + (contrast if lighter else -contrast)
        tint = rng.uniform(-0.2, 0.2, (canvas.shape[-1],))
        colour = np.clip(level + tint - np.mean(tint), 0, 1).astype(np.float32)
        under += one.ink[..., None] * (colour - under)
    noise = rng.standard_normal(canvas.shape, np.float32) * np.float32(rng.uniform(0, 0.04))
    return np.clip(canvas + noise, 0, 1)


def _inks(images: ArrayLike) -> list[np.ndarray]:
    """Return the images as (h, w), cut to where there is ink."""
    whole = np.asarray(images)
    if whole.ndim == 4 and whole.shape[-1] == 1:
        whole = whole[..., 0]
    if whole.ndim != 3 or whole.size == 0:
        fix = "pass grey images with values in [0, 1], such as fn.data.mnist_digits().x."
        raise ShapeError("scenes", f"images must have shape (n, h, w) or (n, h, w, 1), got {np.shape(images)}", fix)
    whole = _in_range("images", whole)
    if not (inked := whole.any((1, 2))).all():
        raise DataError("scenes", f"image {int(np.argmin(inked))} has no ink, all are 0", "leave such images out.")
    return [_cut(image, image > 0) for image in whole]


def _backdrop(background: Any, size: tuple[int, int], channels: int) -> Callable[[np.random.Generator], np.ndarray]:
    if isinstance(background, str) and background == "texture":
        return lambda rng: texture(rng, size, channels)
    if isinstance(background, str) or not isinstance(background, Iterable):
        raise ValueError(f"scenes: background must be 'texture' or images, got {background!r}")
    several = list(background.values() if isinstance(background, Mapping) else background)
    several = [background] if getattr(background, "ndim", 4) == 3 else several
    if not several:
        raise DataError("scenes", "there is no background", "pass at least one image.")
    for image in several:
        if np.ndim(image) != 3 or np.shape(image)[2] != channels or min(np.subtract(np.shape(image)[:2], size)) < 0:
            problem = f"a background must have shape ({size[0]} or more, {size[1]} or more, {channels})"
            raise ShapeError("scenes", f"{problem}, got {np.shape(image)}", "pass larger ones, or other channels=.")
    pictures = [_in_range("backgrounds", np.asarray(image)) for image in several]
    return lambda rng: piece(rng, pictures, size)


def _in_range(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "f":
        fix = "divide bytes by 255: values.astype(np.float32) / 255."
        raise DtypeError("scenes", f"{name} must be floating-point, got {values.dtype}", fix)
    if not ((values >= 0) & (values <= 1)).all():
        problem = f"{name} must lie between 0 and 1, got {values.min()} to {values.max()}"
        raise DataError("scenes", problem, "scale them, or subtract the paper and turn ink to 1.")
    return values.astype(np.float32)


def _pair(name: str, values: Any, least: int = 1) -> tuple[int, int]:
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise ValueError(f"scenes: {name} must be two whole numbers, got {values!r}")
    first, second = (check_count("scenes", name, value, least=least) for value in values)
    return first, second
