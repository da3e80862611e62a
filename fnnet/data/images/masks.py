"""Images whose pixels are classes: the masks of segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Int

from fnnet.data.images.decoding import MOST_PIXELS, Wanted, loaded, wanted
from fnnet.data.images.placing import Resize, Size, check_same_size, describe, placement
from fnnet.data.images.reading import FilePath, as_paths, as_workers, in_threads
from fnnet.errors import DataError, ReadError, ShapeError
from fnnet.shapes import check_count

_NUMBERS = ("1", "L", "P", "I;16", "I;16B", "I;16L", "I;16N", "I")  # Pillow's modes whose pixels are one whole number
_MOST = 2**31


def read_masks(
    paths: Sequence[FilePath],
    *,
    sizes: ArrayLike | None = None,
    classes: int | None = None,
    ignore: int | None = None,
    size: Size | None = None,
    resize: Resize = "stretch",
    fill: int = 0,
    upright: bool = True,
    pixels: int = MOST_PIXELS,
    workers: int | None = None,
) -> Int[np.ndarray, "n h w"]:
    """Read image files whose pixels are classes into one array (n, H, W) of int32, decoded in threads.

    A pixel's number is its class: the index into a palette, not its colour; the grey of 8 or 16 bits; 0 and 1 of one
    bit. Colours are refused. Resized as ``read_images`` does with the same `size`, `resize` and `upright`, but to the
    nearest pixel, so that no class comes in that is not there; `fill` is put around, with ``"pad"``.

    `sizes` (n, 2): the heights and widths that the masks must have in their files, as those of the images,
    ``read_images(...).sizes``. `classes`: numbers must be below it, or be `ignore`.

    Raises: ReadError for a file that is bad, has colours, another size than `sizes`, or other numbers; DataError if
    there is none, or sizes differ and `size` is None; ShapeError for `sizes` of another shape; ValueError for an option
    that is none; ExtraMissingError without Pillow.

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "mask.png"
    >>> Image.fromarray(np.array([[0, 0, 2, 2], [0, 0, 2, 1]], np.uint8)).save(path)
    >>> read_masks([path], classes=3).tolist(), read_masks([path], size=(1, 2)).tolist()
    ([[[0, 0, 2, 2], [0, 0, 2, 1]]], [[[0, 1]]])
    """
    where = "read_masks"
    want, found = wanted(where, size, "L", resize, 1.0, upright, pixels), as_paths(where, paths)
    fill = check_count(where, "fill", fill, least=0)
    if classes is not None:
        check_count(where, "classes", classes)
    if ignore is not None:
        check_count(where, "ignore", ignore, least=0)
    expected = None if sizes is None else np.asarray(sizes)
    if expected is not None and expected.shape != (len(found), 2):
        problem = f"sizes must have shape ({len(found)}, 2), got {expected.shape}"
        raise ShapeError(where, problem, "give (height, width) for each path.")

    def read(number: int) -> np.ndarray:
        mask = _numbers(found[number], want, None if expected is None else tuple(expected[number].tolist()))
        _check_classes(found[number], mask, classes, ignore)
        return _resized(mask, want, fill)

    first = read(0)  # tells the size of all
    masks = np.empty((len(found), *first.shape), np.int32)
    masks[0] = first

    def put(number: int) -> None:
        mask = read(number)
        if mask.shape != first.shape:
            sizes = f"{found[0]} is {describe(first.shape)}, {found[number]} is {describe(mask.shape)}"
            raise DataError(where, f"masks must be of one size: {sizes}", "pass size=(height, width).")
        masks[number] = mask

    with closing(in_threads(put, range(1, len(found)), as_workers(where, workers))) as done:
        for _ in done:
            pass
    return masks


def _numbers(path: Path, want: Wanted, size: Size | None) -> np.ndarray:
    """Return the numbers of a file's pixels (h, w), upright; of the size that it must have."""
    image = loaded(path, want)
    if size is not None:
        check_same_size(str(path), (image.height, image.width), size, "its image is")
    if image.mode not in _NUMBERS:
        problem = f"has mode {image.mode!r}, whose pixels are colours, expected numbers of classes"
        raise ReadError(str(path), problem, "save it with a palette, or in grey, of which each value is a class.")
    return np.asarray(image).astype(np.int32)


def _check_classes(path: Path, mask: np.ndarray, classes: int | None, ignore: int | None) -> None:
    bad = (mask < 0) | (mask >= (_MOST if classes is None else classes))
    if ignore is not None:
        bad &= mask != ignore
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        number = int(mask[row, column])
        known = "0 or more" if classes is None else f"0 to {classes - 1}"
        problem = f"has the number {number} in row {row}, column {column}, expected {known}"
        raise ReadError(str(path), problem, "raise classes; or pass ignore= for pixels that have none.")


def _resized(mask: np.ndarray, want: Wanted, fill: int) -> np.ndarray:
    """Return the mask in the size asked for: of each new pixel's centre, the old pixel that it is in."""
    if want.size is None or want.size == mask.shape:
        return mask
    (x1, y1, x2, y2), (left, top, right, bottom) = placement(mask.shape, want.size, want.resize)
    rows, columns = _nearest(y1, y2, bottom - top), _nearest(x1, x2, right - left)
    whole = np.full(want.size, fill, np.int32)
    whole[top:bottom, left:right] = mask[rows[:, None], columns]
    return whole


def _nearest(start: float, stop: float, count: int) -> np.ndarray:
    return np.floor(start + (np.arange(count) + 0.5) * (stop - start) / count).astype(np.int64)
