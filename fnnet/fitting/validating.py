"""The measure of a state on validation data, in memory or in batches that come one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import jax
from jaxtyping import Array, PyTree

from fnnet import training
from fnnet.core import Task, TrainState
from fnnet.data import Stream
from fnnet.errors import DataError
from fnnet.fitting.feeds import on_device

Measured: TypeAlias = Callable[[TrainState], dict[str, Array]]
"""The loss and the metrics of a state."""


def measurer(task: Task, ts: TrainState, data: PyTree) -> Measured:
    """Return what measures states like `ts` on `data`, which are checked here, a stream by its first batch."""
    if isinstance(data, Stream):
        return _over_passes(task, ts, data.epoch)
    if hasattr(data, "__next__"):
        raise ValueError("fit: validation data are read after every epoch, but an iterator only once; pass an iterable")
    if training.come_in_batches(data):
        return _over_passes(task, ts, lambda: iter(data))
    arrays = on_device(data)
    training.check_targets(task, ts, arrays)
    measured = partial(training.measure, task)
    jax.eval_shape(measured, ts, arrays)
    return lambda ts: measured(ts, arrays)


def _over_passes(task: Task, ts: TrainState, begin: Callable[[], Iterator[PyTree]]) -> Measured:
    first = next(begin(), None)
    if first is None:
        raise DataError("data", "the source has no batch", "check that it was not read to its end already.")
    batch = on_device(tuple(first) if isinstance(first, list) else first)
    training.check_targets(task, ts, batch)
    jax.eval_shape(lambda ts: training.measure_batches(task, ts, [batch]), ts)
    return lambda ts: training.measure_batches(task, ts, begin())
