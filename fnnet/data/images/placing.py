"""Where an image of one size lies in one of another: the same for its pixels and for the boxes in it."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from jaxtyping import Float

from fnnet.errors import ReadError, ShapeError
from fnnet.shapes import check_count, check_floating

Resize: TypeAlias = Literal["stretch", "crop", "pad"]
"""Both sides to the size asked for; the middle of it, in its proportions; the whole of it, in its proportions."""

Size: TypeAlias = tuple[int, int]
"""(height, width), in pixels."""


class Placement(NamedTuple):
    """What of the image is taken, ``xyxy`` in its own pixels, and where that is put, ``xyxy`` in pixels of the new."""

    source: tuple[float, float, float, float]
    target: tuple[int, int, int, int]


def check_size(where: str, size: Size) -> Size:
    """Return (height, width) as ints; ValueError unless it is two whole numbers above 0."""
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise ValueError(f"{where}: size must be (height, width), got {size!r}")
    return check_count(where, "the height", size[0]), check_count(where, "the width", size[1])


def check_resize(where: str, resize: str, known: tuple[str, ...] = get_args(Resize)) -> None:
    """Raise ValueError unless `resize` is one of those known."""
    if resize not in known:
        raise ValueError(f"{where}: resize must be one of {', '.join(map(repr, known))}, got {resize!r}")


def placement(source: Size, size: Size, resize: Resize) -> Placement:
    """Return where an image of (height, width) `source` lies in one of `size`.

    ``"stretch"``: all of it in all of the new. ``"crop"``: the largest middle part that has the proportions of the new,
    in all of it. ``"pad"``: all of it, in the middle of the new, its sides rounded to whole pixels.

    >>> placement((50, 100), (20, 20), "pad")
    Placement(source=(0, 0, 100, 50), target=(0, 5, 20, 15))
    """
    (h, w), (height, width) = source, size
    if resize == "stretch":
        return Placement((0, 0, w, h), (0, 0, width, height))
    if resize == "crop":
        scale = min(h / height, w / width)
        taken_h, taken_w = min(h, height * scale), min(w, width * scale)
        left, top = (w - taken_w) / 2, (h - taken_h) / 2
        return Placement((left, top, left + taken_w, top + taken_h), (0, 0, width, height))
    scale = min(height / h, width / w)
    put_h, put_w = (min(most, max(1, round(side * scale))) for side, most in ((h, height), (w, width)))
    left, top = (width - put_w) // 2, (height - put_h) // 2
    return Placement((0, 0, w, h), (left, top, left + put_w, top + put_h))


def place_boxes(
    boxes: Float[np.ndarray, "n 4"], source: Size, size: Size, resize: Resize = "stretch"
) -> Float[np.ndarray, "n 4"]:
    """Return boxes of an image of (height, width) `source`, ``xyxy`` in pixels, as they lie in that of `size`.

    The image is resized as by ``read_images``. Law: ``restore_boxes`` undoes it, up to rounding.
    Raises: ValueError for a size or a `resize` that is none; DtypeError for integers; ShapeError.

    >>> place_boxes(np.array([[0.0, 0.0, 100.0, 50.0]]), (50, 100), (20, 20), "pad")
    array([[ 0.,  5., 20., 15.]])
    """
    start, scale, put = _affine("place_boxes", boxes, source, size, resize)
    return ((boxes - start) * scale + put).astype(boxes.dtype)


def restore_boxes(
    boxes: Float[np.ndarray, "n 4"], source: Size, size: Size, resize: Resize = "stretch"
) -> Float[np.ndarray, "n 4"]:
    """Return boxes found in an image of `size` as they lie in the one that it was made of, as ``place_boxes`` has it.

    >>> restore_boxes(np.array([[0.0, 5.0, 20.0, 15.0]]), (50, 100), (20, 20), "pad")
    array([[  0.,   0., 100.,  50.]])
    """
    start, scale, put = _affine("restore_boxes", boxes, source, size, resize)
    return ((boxes - put) / scale + start).astype(boxes.dtype)


def _affine(
    where: str, boxes: np.ndarray, source: Size, size: Size, resize: Resize
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    check_resize(where, resize)
    check_floating(where, boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(where, f"boxes must have shape (n, 4), got {boxes.shape}", "pass those of one image.")
    at = placement(check_size(where, source), check_size(where, size), resize)
    taken, put = (np.array(box, np.float64).reshape(2, 2) for box in at)
    scale = (put[1] - put[0]) / (taken[1] - taken[0])
    return tuple(np.tile(pair, 2)[None] for pair in (taken[0], scale, put[0]))  # type: ignore[return-value]


def describe(size: tuple[int, ...]) -> str:
    """Return a size as messages say it: ``20 × 30 (height × width)``."""
    return f"{size[0]} × {size[1]} (height × width)"


def check_same_size(where: str, got: Size, expected: Size, of: str) -> None:
    """Raise ReadError unless an image has the size that `of` says."""
    if tuple(got) != tuple(expected):
        problem = f"is {describe(got)}, and {of} {describe(expected)}"
        raise ReadError(where, problem, "pair the right files, or correct the sizes.")
