"""Batches of images from a folder that need not fit into memory, decoded ahead of the training."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from fnnet import sampling
from fnnet.core import Key
from fnnet.data.images.decoding import CHANNELS, MOST_PIXELS, Mode, Wanted, decoded, wanted
from fnnet.data.images.folders import ImageFiles
from fnnet.data.images.placing import Resize, Size
from fnnet.data.images.reading import FilePath, as_paths, as_workers, put
from fnnet.data.streams import Position, Reader, Stream
from fnnet.errors import DataError
from fnnet.sampling import Sampler, check_batch_size, check_sampler
from fnnet.shapes import check_count


class _Source(NamedTuple):
    """What the batches are made of."""

    paths: Sequence[Path]
    y: PyTree
    want: Wanted
    key: Key
    sampler: Sampler
    batch_size: int


def image_stream(
    files: ImageFiles | tuple[Sequence[FilePath], PyTree],
    batch_size: int,
    *,
    size: Size,
    key: Key,
    mode: Mode = "RGB",
    resize: Resize = "stretch",
    background: float = 1.0,
    upright: bool = True,
    pixels: int = MOST_PIXELS,
    sampler: Sampler | None = None,
    ahead: int = 2,
    workers: int | None = None,
) -> Stream:
    """Return batches (x, y, weight) of image files as a stream for ``fn.fit``, decoded ahead in threads.

    `files`: of ``image_files``, or (paths, y) with one row of y for each path. The batch of a step is that which
    `sampler` says for `key`, by default ``fn.sampling.epochs()``: a function of the step alone, so that a run is
    resumed to the bit. Images become float32 in [0, 1], as ``read_images`` has it. `ahead`: the batches decoded before
    they are asked for; at most ``batch_size * (ahead + 1)`` images are held, and one a thread that is being decoded.
    A file that is bad is an error at its step, after which a run goes on from the last state; ``read_images(...,
    bad="skip")`` finds those that are.

    Raises: DataError if there is no file, y has other rows, or a batch would be larger than all; ValueError for an
    option that is none; ExtraMissingError without Pillow. When it is read: ReadError for a file that is bad.

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat/1.png", "dog/1.png", "dog/2.png"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     Image.new("RGB", (8, 4), "red").save(folder / name)
    >>> batches = image_stream(fn.data.image_files(folder), 2, size=(4, 4), key=jax.random.key(0))
    >>> x, y, weight = batches.first()
    >>> x.shape, batches.per_epoch
    ((2, 4, 4, 3), 1)
    """
    where = "image_stream"
    want = wanted(where, size, mode, resize, background, upright, pixels)
    if want.size is None:
        raise ValueError(f"{where}: size must be (height, width): batches have one shape")
    sampler = sampling.epochs() if sampler is None else sampler
    check_sampler(sampler)
    given, y = (files.paths, files.labels) if isinstance(files, ImageFiles) else files
    paths = as_paths(where, given)
    y = jax.tree.map(np.asarray, y)
    if (rows := sampling.length(y, where="y")) != len(paths):
        raise DataError(where, f"expected one row of y for each of {len(paths)} paths, got {rows}", "align them.")
    check_batch_size(len(paths), batch_size, where=where)
    check_count(where, "ahead", ahead, least=0)
    source = _Source(paths, y, want, key, sampler, batch_size)
    threads = as_workers(where, workers)

    @cache
    def first() -> PyTree:
        with ThreadPoolExecutor(threads) as pool:
            return _finished(_begun(source, pool, 0))

    def begin(step: int, position: Position | None) -> Reader:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="fnnet decodes")
        batches = _batches(source, pool, step, ahead)
        return Reader(batches, lambda step: None, lambda step, position: pool.shutdown(False, cancel_futures=True))

    return Stream(first, begin, sampler.per_epoch(len(paths), batch_size))


def _batches(source: _Source, pool: ThreadPoolExecutor, step: int, ahead: int) -> Iterator[PyTree]:
    # A pool that is given up without a word ends its threads itself, after the work that they have.
    begun: deque[tuple[PyTree, list[Future[None]]]] = deque()
    steps = itertools.count(step)
    while True:
        while len(begun) < max(ahead, 1):
            begun.append(_begun(source, pool, next(steps)))
        batch = _finished(begun.popleft())
        if ahead:
            begun.append(_begun(source, pool, next(steps)))
        yield batch
        del batch  # it is the training's, and is not held here


def _begun(source: _Source, pool: ThreadPoolExecutor, step: int) -> tuple[PyTree, list[Future[None]]]:
    """Return the batch of a step with the work that fills it."""
    rows, weight = _rows(source.sampler, source.key, step, len(source.paths), source.batch_size)
    assert source.want.size is not None
    x = np.empty((source.batch_size, *source.want.size, CHANNELS[source.want.mode]), np.float32)
    work = [
        pool.submit(_decode, source.paths[row], source.want, x[place : place + 1]) for place, row in enumerate(rows)
    ]
    return (x, jax.tree.map(lambda leaf: leaf[rows], source.y), weight), work


def _decode(path: Path, want: Wanted, place: np.ndarray) -> None:
    put(place[0], decoded(path, want))


def _finished(begun: tuple[PyTree, list[Future[None]]]) -> PyTree:
    batch, work = begun
    for future in work:
        future.result()
    return batch


def _rows(sampler: Sampler, key: Key, step: int, size: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a step and their weights, found on the host's own processor."""
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        rows, weight = _compiled(sampler.rows)(key, np.int32(step), size, batch_size)
    return np.asarray(rows), np.ones(batch_size, np.float32) if weight is None else np.asarray(weight, np.float32)


@cache
def _compiled(rows: Any) -> Any:
    return jax.jit(rows, static_argnums=(2, 3))
