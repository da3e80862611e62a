"""Where the host's loop takes its data from: arrays that stay on the device, or windows of a stream, read ahead."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet import sampling, training
from fnnet.data import Dataset, Stream, check, stream
from fnnet.data.streams import Position, Reader
from fnnet.sampling import Sampler

_BATCH_SIZE = 32
_BYTES, _STEPS, _SECONDS = 16 * 2**20, 256, 0.25  # a window is no more of any, but for one batch
_ALIGNMENT = 64  # bytes
_POLL = 0.1  # seconds between two looks whether waiting is given up
_PATIENCE = 10.0  # a source that gives nothing for so many seconds is left to itself


class Window(NamedTuple):
    """What is on the device: `data` for the steps from `start` to before `until`.

    `position`: of the source, for the batch of `start`. `error`: what it raised for the batch of `until`.
    """

    data: PyTree
    start: int
    until: int
    position: Position | None = None
    error: Exception | None = None


class Windows(NamedTuple):
    """The windows of a run.

    ``at(step, given_up)``: the window of a step, empty if the source has ended; None if waiting for it was given up.
    ``close(step)``: the source is left, so that the batch of `step` is the next it gives, if it can.
    """

    at: Callable[[int, Callable[[], bool]], Window | None]
    close: Callable[[int], None]


class Feed(NamedTuple):
    """Data as `fit` sees them. ``open(step, last, position)`` gives their windows from `step` up to before `last`."""

    example: PyTree  # what the first step's shapes and the targets' values are checked on
    shapes: PyTree  # those of a window's data
    batch_size: int
    sampler: Sampler
    per_epoch: int | None
    open: Callable[[int, int, Position | None], Windows]


def as_stream(data: Any) -> Any:
    """Return the stream of an iterator or of an iterable of batches; all else as it is."""
    return stream(data) if training.come_in_batches(data) else data


def feed(data: PyTree, batch_size: int | None, sampler: Sampler | None) -> Feed:
    """Return checked data, arrays or a stream, as a feed."""
    if isinstance(data, Stream):
        return _of_stream(data, batch_size, sampler)
    return _of_arrays(data, _BATCH_SIZE if batch_size is None else batch_size, sampler)


def on_device(data: PyTree, batch_size: int | None = None) -> PyTree:
    """Return checked data as JAX arrays: put on the device once, not at every call of a compiled program."""
    arrays = data.arrays if isinstance(data, Dataset) else data
    training.unpack(arrays)
    check(data, batch_size=batch_size)
    return jax.tree.map(jnp.asarray, arrays)


def _of_arrays(data: PyTree, batch_size: int, sampler: Sampler | None) -> Feed:
    arrays = on_device(data, batch_size)
    sampler = sampling.epochs() if sampler is None else sampler
    sampling.check_sampler(sampler)
    per_epoch = sampler.per_epoch(sampling.length(arrays), batch_size)

    def opened(step: int, last: int, position: Position | None) -> Windows:
        return Windows(lambda step, given_up: Window(arrays, 0, last), lambda step: None)

    return Feed(arrays, arrays, batch_size, sampler, per_epoch, opened)


def _of_stream(source: Stream, batch_size: int | None, sampler: Sampler | None) -> Feed:
    """Return the feed of a stream: the batch of step t lies in place t mod n of a window of n places.

    So a window is data that are sampled in order, and its program that of arrays.
    """
    if sampler is not None:
        raise ValueError("fit: a stream has its own order, and takes no sampler")
    first = source.first()
    rows = sampling.length(first)
    if batch_size not in (None, rows):
        raise ValueError(f"fit: the stream's batches have {rows} rows, got batch_size={batch_size}; leave it out")
    check(first)
    places = _places(first, source.per_epoch)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((places * rows, *leaf.shape[1:]), jax.dtypes.canonicalize_dtype(leaf.dtype)),
        first,
    )
    example = jax.tree.map(jnp.asarray, first)

    def opened(step: int, last: int, position: Position | None) -> Windows:
        ahead = _Ahead(source, partial(_read, places, last), [_buffers(shapes) for _ in range(2)], step, position)
        return Windows(ahead.at, ahead.close)

    return Feed(example, shapes, rows, sampling.in_order(), source.per_epoch, opened)


def _places(batch: PyTree, per_epoch: int | None) -> int:
    """Return how many batches a window holds: near the most that its bounds let, with few ends of epochs inside."""
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(batch))
    most = max(1, min(_STEPS, _BYTES // max(size, 1)))
    return max(range(most // 2 + 1, most + 1), key=lambda places: (math.gcd(places, per_epoch or 0), places))


class _Ahead:
    """The windows of a stream, one after another: while one is used, a thread reads the next.

    Two buffers serve in turn: when a window is asked for, no step is being made on the one before, whose memory the
    next is then read into. On CPU the device's arrays are that memory, not a copy of it.
    """

    def __init__(
        self,
        source: Stream,
        read: Callable[[Reader, PyTree, int], Window],
        buffers: list[PyTree],
        step: int,
        position: Position | None,
    ) -> None:
        self.source, self.read, self.buffers = source, read, itertools.cycle(buffers)
        self.here = Window(None, step, step)
        self.begin(step, position)

    def begin(self, step: int, position: Position | None) -> None:
        self.reader = self.source.begin(step, position)
        self.read_on(step)

    def read_on(self, step: int) -> None:
        self.coming = _in_thread(partial(self.read, self.reader, next(self.buffers), step))

    def at(self, step: int, given_up: Callable[[], bool]) -> Window | None:
        if self.here.start <= step < self.here.until or (step == self.here.until and self.here.error is not None):
            return self.here
        if step != self.here.until:  # a callback has put the state of another step in place
            if not self.arrived(given_up):
                return None
            self.begin(step, None)
        if not self.arrived(given_up):
            return None
        self.here = self.coming.result()
        self.read_on(self.here.until)
        return self.here

    def arrived(self, given_up: Callable[[], bool]) -> bool:
        while not self.coming.done():
            if given_up():
                return False
            wait([self.coming], timeout=_POLL)
        return True

    def close(self, step: int) -> None:
        wait([self.coming], timeout=_PATIENCE)  # a source that gives nothing is left to itself
        if self.coming.done() and self.coming.exception() is None and self.coming.result().until > step:
            self.reader.close(step, self.here.position)


def _in_thread(function: Callable[[], Window]) -> Future[Window]:
    future: Future[Window] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # it is raised where the result is asked for
            future.set_exception(error)

    # A daemon: a source that gives nothing does not keep the process from ending.
    threading.Thread(target=work, name="fnnet reads ahead", daemon=True).start()
    return future


def _buffers(shapes: PyTree) -> PyTree:
    """Return arrays that begin where JAX's may begin on CPU, so that they need not be copied."""

    def buffer(shape: jax.ShapeDtypeStruct) -> np.ndarray:
        size = math.prod(shape.shape) * shape.dtype.itemsize
        memory = np.zeros(size + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        return memory[start : start + size].view(shape.dtype).reshape(shape.shape)

    return jax.tree.map(buffer, shapes)


def _read(places: int, last: int, reader: Reader, buffers: PyTree, start: int) -> Window:
    """Return the window from `start`, up to before `last`; what of its places is not filled is not looked at."""
    position = reader.position(start)
    step, error, began = start, None, time.perf_counter()
    while step < min(last, start + places):
        try:
            batch = next(reader.batches)
        except StopIteration:
            break
        except Exception as raised:
            error = raised
            break
        jax.tree.map(partial(_put, step % places), buffers, batch)
        step += 1
        if time.perf_counter() - began > _SECONDS:
            break
    return Window(jax.tree.map(jnp.asarray, buffers), start, step, position, error)


def _put(place: int, buffer: np.ndarray, leaf: np.ndarray) -> None:
    buffer[place * len(leaf) : (place + 1) * len(leaf)] = leaf
