"""Outlines of objects: masks as the lengths of their runs, and polygons; as COCO has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from fnnet.data.images.decoding import MOST_PIXELS
from fnnet.data.images.placing import Size, describe
from fnnet.errors import DataError, DtypeError, ShapeError

_LONGEST = 7  # characters of a number: 35 bits
_CROSSINGS = 2**20  # of edges with rows, found at a time


class Runs(NamedTuple):
    """A mask of (height, width) `size` as lengths of runs, down its columns: by turns of what is not and what is in it.

    The first run may be 0; their sum is height × width.
    """

    counts: Int[np.ndarray, r]
    size: Size


Polygons: TypeAlias = tuple[Float[np.ndarray, "_ 2"], ...]
"""Corners (x, y) in pixels of closed outlines, of which the object is the union."""

Outline: TypeAlias = Runs | Polygons
"""Where an object lies, more closely than its box."""


def encode_mask(mask: Bool[np.ndarray, "h w"]) -> Runs:
    """Return the runs of a mask.

    Law: ``decode_mask(encode_mask(mask))`` is `mask`. Raises: DtypeError unless it is of booleans; ShapeError.

    >>> encode_mask(np.array([[False, True], [True, True]]))
    Runs(counts=array([1, 3]), size=(2, 2))
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or not mask.size:
        raise ShapeError("encode_mask", f"a mask must have shape (height, width), got {mask.shape}", "pass one mask.")
    if mask.dtype != bool:
        raise DtypeError("encode_mask", f"a mask must be of booleans, got {mask.dtype}", "compare it, e.g. mask == 1.")
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(edges, prepend=0, append=flat.size)
    return Runs(np.concatenate([[0], counts]) if flat[0] else counts, (mask.shape[0], mask.shape[1]))


def decode_mask(outline: Outline, size: Size | None = None, *, pixels: int = MOST_PIXELS) -> Bool[np.ndarray, "h w"]:
    """Return the mask of an outline: of runs exactly; of polygons those pixels whose centre is inside.

    Inside is what a ray to the left leaves by crossing the edges an odd number of times (even-odd). `size`: (height,
    width) of the image, which polygons need. Raises: DataError for runs that do not fill the size, or of another size
    than the image; ShapeError for polygons that are none; ValueError without a size, or of more than `pixels`.

    >>> decode_mask((np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]]),), (2, 3)).astype(int)
    array([[1, 1, 0],
           [0, 0, 0]])
    """
    where = "decode_mask"
    size = outline.size if size is None and isinstance(outline, Runs) else size
    if size is None:
        raise ValueError(f"{where}: polygons need the size (height, width) of their image")
    if size[0] * size[1] > pixels:
        raise ValueError(f"{where}: a mask of {describe(size)} has more than {pixels} pixels; pass pixels= if it must")
    outline = check_outline(where, outline, size)
    if isinstance(outline, Runs):
        inside = np.repeat(np.arange(len(outline.counts)) % 2 == 1, outline.counts)
        return inside.reshape(size[1], size[0]).T
    mask = np.zeros(size, bool)
    for points in outline:
        mask |= _filled(points, size)
    return mask


def check_outline(where: str, outline: Outline, size: Size) -> Outline:
    """Return an outline in arrays; DataError or ShapeError for one that is none in an image of this size."""
    if isinstance(outline, Runs):
        counts = np.asarray(outline.counts)
        if tuple(outline.size) != tuple(size):
            problem = f"is a mask of {describe(outline.size)}, and the image is {describe(size)}"
            raise DataError(where, problem, "make the mask of the image's size.")
        if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts < 0).any():
            raise DataError(where, "the runs of a mask must be whole numbers of at least 0", "write the mask again.")
        if (total := int(counts.sum())) != size[0] * size[1]:
            problem = f"the runs of a mask of {describe(size)} must fill {size[0] * size[1]} pixels, got {total}"
            raise DataError(where, problem, "write the mask again.")
        return outline._replace(counts=counts)
    polygons = tuple(np.asarray(points, np.float64) for points in outline)
    for points in polygons:
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            fix = "a polygon has at least three points (x, y)."
            raise ShapeError(where, f"a polygon must have shape (points, 2), got {points.shape}", fix)
        if not np.isfinite(points).all():
            raise DataError(where, "the points of a polygon must be finite", "correct the polygon.")
    if not polygons:
        raise DataError(where, "an outline must have at least one polygon", "pass None for an object without one.")
    return polygons


def to_text(counts: Sequence[int] | np.ndarray) -> str:
    """Return runs as COCO's compressed text: differences to the run before the last, 5 bits a character, from "0" on.

    >>> to_text([1, 3, 40, 2]), from_text("counts", to_text([1, 3, 40, 2])).tolist()
    ('13X1O', [1, 3, 40, 2])
    """
    rest = np.array(counts, np.int64)
    rest[3:] -= np.asarray(counts, np.int64)[1:-2]
    digits, used = [], []
    going = np.ones(len(rest), bool)
    while going.any():
        digit = rest & 31
        rest >>= 5
        more = going & (rest != np.where(digit & 16, -1, 0))
        digits.append(digit + np.where(more, 32, 0) + 48)
        used.append(going)
        going = more
    if not used:
        return ""
    return np.stack(digits, 1)[np.stack(used, 1)].astype(np.uint8).tobytes().decode("ascii")


def from_text(where: str, text: str) -> np.ndarray:
    """Return the runs of COCO's compressed text; DataError if it is none."""
    broken = DataError(where, "is not a compressed mask", "write it again, with pycocotools or write_coco.")
    try:
        digits = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        raise broken from None
    last = (digits & 32) == 0
    if not len(digits) or not last[-1] or (digits < 0).any() or (digits > 63).any():
        raise broken
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST:
        raise broken
    place = np.arange(len(digits)) - np.repeat(starts, lengths)
    counts = np.add.reduceat((digits & 31) << (5 * place), starts)
    counts -= np.where(digits[ends] & 16, np.int64(1) << (5 * lengths), 0)
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    if (counts < 0).any():
        raise broken
    return counts


def _filled(points: np.ndarray, size: Size) -> np.ndarray:
    """Return which pixels of an image have their centres inside a polygon, by the parity of crossings left of them."""
    height, width = size
    toggles = np.zeros((height, width + 1), bool)
    corners = np.clip(points, -1e9, 1e9)
    starts, ends = corners, np.roll(corners, -1, 0)
    lower, upper = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    # The rows whose centres an edge crosses, its upper end left out, so that a corner is crossed once.
    first = np.clip(np.ceil(lower - 0.5), 0, height).astype(np.int64)
    count = np.clip(np.ceil(upper - 0.5), 0, height).astype(np.int64) - first
    totals = np.concatenate([[0], np.cumsum(count)])
    begin = 0
    while begin < len(points):
        until = max(begin + 1, int(np.searchsorted(totals, totals[begin] + _CROSSINGS, side="right")) - 1)
        part = slice(begin, until)
        edge = np.repeat(np.arange(begin, until), count[part])
        within = np.arange(len(edge)) - np.repeat(np.cumsum(count[part]) - count[part], count[part])
        row = first[edge] + within
        (x1, y1), (x2, y2) = starts[edge].T, ends[edge].T
        crossing = x1 + (row + 0.5 - y1) * (x2 - x1) / (y2 - y1)
        column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
        np.logical_xor.at(toggles, (row, column), True)
        begin = until
    return np.logical_xor.accumulate(toggles, axis=1)[:, :width]
