"""Boxes drawn over an image file, as a new file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from fnnet.data.images.decoding import MOST_PIXELS, decoded, wanted
from fnnet.data.images.reading import FilePath
from fnnet.errors import ShapeError
from fnnet.writing import replacing

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_LEAST_SIDE = 384  # smaller images are shown larger, so that words have room
# Okabe & Ito's colours, which the colour-blind tell apart, without black.
_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


def write_overlay(
    path: FilePath,
    image: FilePath,
    boxes: Float[np.ndarray, "k 4"],
    words: Sequence[str],
    colours: Int[np.ndarray, k],
) -> None:
    """Write the image in the file `image` as a PNG, upright, with boxes ``xyxy`` in its pixels and words at them.

    The first box is drawn last, over the others. `colours`: a number for each, such as its class; there are seven,
    taken in turn. Images with sides below 384 pixels are made larger by a whole factor.
    Raises: ReadError for a bad image; ShapeError for other numbers of words or colours than of boxes.

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> Image.new("RGB", (64, 32)).save(folder / "a.png")
    >>> write_overlay(folder / "b.png", folder / "a.png", np.array([[8.0, 8.0, 32.0, 24.0]]), ["cat"], np.array([0]))
    >>> with Image.open(folder / "b.png") as drawn:
    ...     drawn.size, drawn.getpixel((8 * 6, 20 * 6))
    ((384, 192), (230, 159, 0))
    """
    if np.shape(boxes) != (len(words), 4) or len(colours) != len(words):
        problem = f"expected boxes (k, 4), k words and k colours, got {np.shape(boxes)}, {len(words)}, {len(colours)}"
        raise ShapeError("write_overlay", problem, "give one for each box.")
    picture, factor = _enlarged(Path(os.fspath(image)))
    from PIL import ImageDraw

    pen = ImageDraw.Draw(picture)
    for number in reversed(range(len(words))):
        corners = [round(float(side) * factor) for side in boxes[number]]
        _draw(pen, corners, words[number], _COLOURS[int(colours[number]) % len(_COLOURS)], picture.size)
    with replacing(path) as file:
        picture.save(file, format="PNG")


def _enlarged(path: Path) -> tuple[Image, int]:
    """Return the image with its sides multiplied by a whole number, and that number."""
    want = wanted("write_overlay", None, "RGB", "stretch", 1.0, True, MOST_PIXELS)
    pixels = decoded(path, want)
    if pixels.dtype != np.uint8:
        pixels = np.round(pixels * 255).astype(np.uint8)
    from PIL import Image as pillow  # noqa: N813

    factor = max(1, -(-_LEAST_SIDE // max(pixels.shape[:2])))
    picture = pillow.fromarray(pixels)
    return picture.resize((picture.width * factor, picture.height * factor), pillow.Resampling.NEAREST), factor


def _draw(pen: ImageDraw, corners: list[int], word: str, colour: str, size: tuple[int, int]) -> None:
    """Draw one box with its word on a plate, above the box if there is room, else within."""
    x1, y1, x2, y2 = corners
    pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=2)
    word = " ".join(word.split()).encode("latin-1", "replace").decode("latin-1")  # the letters of Pillow's own font
    left, _, right, _ = pen.textbbox((0, 0), word)
    _, top, _, bottom = pen.textbbox((0, 0), "Ág")
    width, height = int(right - left) + 4, int(bottom - top) + 4
    x, y = min(x1, max(0, size[0] - width)), y1 - height if y1 >= height else y1
    pen.rectangle((x, y, x + width, y + height), fill=colour)
    pen.text((x + 2 - left, y + 2 - top), word, fill="black")
