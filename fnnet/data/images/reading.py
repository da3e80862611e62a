"""Many images into one array, decoded in threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
from jaxtyping import Float, Int

from fnnet.data.images.decoding import CHANNELS, MOST_PIXELS, Mode, Wanted, decoded, wanted
from fnnet.data.images.placing import Resize, Size, describe
from fnnet.errors import DataError, ReadError
from fnnet.shapes import check_count

Bad: TypeAlias = Literal["raise", "skip"]
"""What is done with what cannot be used: an error, or it is left out and told of."""

FilePath: TypeAlias = str | os.PathLike[str]
T = TypeVar("T")


class Images(NamedTuple):
    """Images that were read. `kept`: the numbers of their paths. `skipped`: what was left out, and why, a line each.

    `sizes`: (height, width) of each of `x` in its file, upright, before it was resized.
    """

    x: Float[np.ndarray, "n h w c"]
    kept: Int[np.ndarray, n]
    skipped: tuple[str, ...]
    sizes: Int[np.ndarray, "n 2"]


def read_images(
    paths: Sequence[FilePath],
    *,
    size: Size | None = None,
    mode: Mode = "RGB",
    resize: Resize = "stretch",
    bad: Bad = "raise",
    background: float = 1.0,
    upright: bool = True,
    pixels: int = MOST_PIXELS,
    workers: int | None = None,
) -> Images:
    """Read image files into one array (n, H, W, channels) of float32 in [0, 1], decoded in threads.

    BMP, GIF, JPEG, PNG, PPM, TIFF and WebP, told by their content; of several frames the first. Without `size`,
    (height, width), all must have one; else `resize` is ``"stretch"``, ``"crop"`` (the middle) or ``"pad"`` (with 0, of
    which RGBA's are transparent), bilinear, averaging where it makes smaller.

    `mode`: ``"L"``, ``"RGB"`` or ``"RGBA"``. Palettes are looked up; to grey go 0.299 R + 0.587 G + 0.114 B. What is
    transparent is laid over a grey of `background`, unless the mode is RGBA. 16 bits of grey are kept (65535 is 1);
    of 16-bit colours Pillow keeps the upper 8. Images are turned as their EXIF orientation says, if `upright`.

    `bad`: a file that is absent, no image, truncated, or of more than `pixels`, is an error, or left out (``"skip"``)
    and named in ``skipped``. `workers`: threads; as many as processors, at most 8. Beside the array, each holds one
    image.

    Raises: ReadError for a file that is bad; DataError if there is none, all are bad, or sizes differ; ValueError for
    an option that is none; ExtraMissingError without Pillow.

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "red.png"
    >>> Image.new("RGB", (8, 4), "red").save(path)
    >>> read_images([path], size=(2, 2)).x[0, 0].tolist()
    [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """
    where = "read_images"
    want = wanted(where, size, mode, resize, background, upright, pixels)
    return read_all(where, as_paths(where, paths), want, bad, as_workers(where, workers))


def read_all(
    where: str,
    paths: Sequence[Path],
    want: Wanted,
    bad: Bad,
    workers: int,
    check: Callable[[int, Size], None] | None = None,
) -> Images:
    """Read all images; `check` is given each one's number and size, as it was before it was resized."""
    check_bad(where, bad)
    sizes = np.zeros((len(paths), 2), np.int64)

    def seen(number: int, size: Size) -> None:
        sizes[number] = size
        if check is not None:
            check(number, size)

    first, x, skipped = 0, None, []
    while x is None:  # the first image that can be read tells the size of all
        try:
            example = decoded(paths[first], want, partial(seen, first))
            x = np.empty((len(paths), *example.shape[:2], CHANNELS[want.mode]), np.float32)
            put(x[first], example)
        except ReadError as error:
            if bad == "raise":
                raise
            skipped.append(one_line(error))
            first += 1
            if first == len(paths):
                said = f"none of {first} image(s) can be read; the first: {skipped[0]}"
                raise DataError(where, said, "check the paths.") from error

    def read(number: int) -> ReadError | None:
        try:
            image = decoded(paths[number], want, partial(seen, number))
        except ReadError as error:
            return error
        if image.shape[:2] != x.shape[1:3]:
            said = (
                f"images must be of one size: {paths[first]} is {describe(x.shape[1:3])}, "
                f"{paths[number]} is {describe(image.shape[:2])}"
            )
            raise DataError(where, said, "pass size=(height, width).")
        put(x[number], image)
        return None

    kept = [first]
    with closing(in_threads(read, range(first + 1, len(paths)), workers)) as errors:
        for number, problem in enumerate(errors, first + 1):
            if problem is None:
                kept.append(number)
            elif bad == "raise":
                raise problem
            else:
                skipped.append(one_line(problem))
    if skipped:
        for place, number in enumerate(kept):
            x[place] = x[number]
    return Images(x[: len(kept)], np.array(kept, np.int64), tuple(skipped), sizes[kept])


def put(place: np.ndarray, image: np.ndarray) -> None:
    """Write an image that was decoded into its place, in [0, 1]."""
    if image.dtype == np.uint8:
        np.divide(image, np.float32(255), out=place)
    else:
        place[...] = image


def in_threads(function: Callable[[int], T], numbers: Sequence[int], workers: int) -> Generator[T, None, None]:
    """Yield ``function(number)`` for each number, in order; the first error leaves out what has not begun."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fnnet decodes")
    try:
        yield from pool.map(function, numbers)
    finally:
        pool.shutdown(cancel_futures=True)


def as_paths(where: str, paths: Sequence[FilePath]) -> list[Path]:
    """Return paths; DataError if there is none, TypeError for one path in place of many."""
    if isinstance(paths, str | bytes | os.PathLike):
        raise TypeError(f"{where}: expected a list of paths, got one, {paths!r}; pass [{str(paths)!r}]")
    found = [Path(path) for path in paths]
    if not found:
        raise DataError(where, "expected at least one path of an image, got none", "check where they come from.")
    return found


def as_workers(where: str, workers: int | None) -> int:
    """Return how many threads decode: as many as asked for, or as processors, at most 8."""
    if workers is not None:
        return check_count(where, "workers", workers)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, usable)


def check_bad(where: str, bad: str) -> None:
    """Raise ValueError unless `bad` says what to do with what cannot be used."""
    if bad not in get_args(Bad):
        raise ValueError(f"{where}: bad must be 'raise' or 'skip', got {bad!r}")


def one_line(error: Exception) -> str:
    """Return what an error says, without its fix."""
    return str(error).split("\n", 1)[0]
