"""Batches that come one by one, from a source that need not fit into memory."""

from __future__ import annotations

import itertools
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import PyTree

from fnnet import sampling, tree
from fnnet.errors import DataError
from fnnet.shapes import check_count

_ENDLESS = 2**31  # a longer length is that of a source repeated without end

Position: TypeAlias = Mapping[str, Any]
"""Where a source stands, of what JSON has: the ``state`` that it had when the batch of ``step`` came next."""


class Reader(NamedTuple):
    """An opened stream.

    ``batches`` yields ``(x, y)`` or ``(x, y, weight)`` in NumPy arrays, all of the shapes of the first.
    ``position(step)``: where the source stands when the batch of `step` comes next; None if it cannot say.
    ``close(step, position)``: the reader is left, the batch of `step` being the next that is wanted; `position` is an
    earlier one, of that step or before it.
    """

    batches: Iterator[PyTree]
    position: Callable[[int], Position | None]
    close: Callable[[int, Position | None], None]


class Stream(NamedTuple):
    """Batches for ``fn.fit``, made by `stream`.

    ``first()``: the first batch, looked at only. ``begin(step, position)``: a reader whose first batch is that of
    `step`. `per_epoch`: the batches of an epoch; None if that is not known.
    """

    first: Callable[[], PyTree]
    begin: Callable[[int, Position | None], Reader]
    per_epoch: int | None

    def epoch(self) -> Iterator[PyTree]:
        """Return the batches of the first epoch, for ``fn.evaluate``; ValueError if its length is not known."""
        if self.per_epoch is None:
            raise ValueError("stream: the length of an epoch is not known; pass fn.data.stream(..., per_epoch)")
        return itertools.islice(self.begin(0, None).batches, self.per_epoch)


def stream(source: Any, *, per_epoch: int | None = None, last: Literal["weigh", "drop"] = "weigh") -> Stream:
    """Return the batches of a source as a stream that ``fn.fit`` trains on.

    A batch is ``(x, y)`` or ``(x, y, weight)``, of arrays or pytrees of them, with one leading axis. The source is

    - a function ``step -> batch``: any step can be read, so that a run over it is resumed to the bit;
    - an iterable, such as a Grain data set, of which each pass is an epoch. Where its iterators have ``get_state`` and
      ``set_state``, as Grain's have, a run is resumed to the bit from the state that its checkpoint holds; others are
      read again from the start, to the bit if every pass gives the same again;
    - an iterator, which is read once. It is resumed as an iterable is if it has ``get_state`` and ``set_state``, else
      with its next batch.

    `per_epoch`: the batches of an epoch, after each of which ``fit`` measures validation data; ``len(source)`` unless
    given. `last`: a batch of fewer rows than the first is filled up with its own rows at weight 0 (``"weigh"``: every
    batch then has weights), or left out (``"drop"``).

    Raises: TypeError for a source that is none of these, ValueError for a count or a `last` that is none. When it is
    read: DataError, with the number of the batch, for a batch of other contents, shapes or dtypes than the first.

    >>> x = np.arange(6, dtype=np.float32).reshape(6, 1)
    >>> batches = fn.data.stream(lambda step: (x[2 * (step % 3) :][:2], x[2 * (step % 3) :][:2]), per_epoch=3)
    >>> task = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.01))
    >>> fn.fit(task, batches, key=jax.random.key(0), epochs=2).metrics["step"]
    array([3, 6])
    """
    if last not in ("weigh", "drop"):
        raise ValueError(f"stream: last must be 'weigh' or 'drop', got {last!r}")
    if per_epoch is not None:
        check_count("stream", "per_epoch", per_epoch)
    elif hasattr(source, "__len__") and 0 < len(source) < _ENDLESS:
        per_epoch = len(source)
    if hasattr(source, "__next__"):
        return _of_iterator(source, per_epoch, last)
    if hasattr(source, "__iter__") and not isinstance(source, str | bytes | Mapping):
        return _of_iterable(source, per_epoch, last)
    if callable(source):
        return _of_function(source, per_epoch, last)
    got = type(source).__name__
    raise TypeError(f"stream: expected a function step -> batch, an iterable or an iterator of batches, got {got}")


def _of_function(batch_at: Callable[[int], Any], per_epoch: int | None, last: str) -> Stream:
    @cache
    def first() -> PyTree:
        return _prepared(batch_at(0), 0, None, last)

    def batches(step: int, like: PyTree) -> Iterator[PyTree]:
        for number in itertools.count(step):
            batch = _prepared(batch_at(number), number, like, last)
            if batch is None:
                fix = "give every step a whole batch, or pass last='weigh'."
                raise DataError(f"batch {number}", "has fewer rows than the first, and a step cannot be left out", fix)
            yield batch

    def begin(step: int, position: Position | None) -> Reader:
        return Reader(batches(step, first()), lambda step: None, lambda step, position: None)

    return Stream(first, begin, per_epoch)


def _of_iterable(source: Any, per_epoch: int | None, last: str) -> Stream:
    @cache
    def first() -> PyTree:
        for batch in source:
            return _prepared(batch, 0, None, last)
        raise _no_batch()

    def begin(step: int, position: Position | None) -> Reader:
        like, inner, at = first(), iter(source), 0
        seeking = position is not None and hasattr(inner, "set_state")
        if position is not None and seeking:
            at = _sought(inner, position)

        def passes() -> Iterator[Any]:
            nonlocal inner
            may_be_over = seeking  # its state may be that of the end of a pass
            while True:
                empty = True
                for batch in inner:
                    empty = False
                    yield batch
                if empty and not may_be_over:
                    return
                inner, may_be_over = iter(source), False

        batches = _like_the_first(passes(), like, last, at)
        _skip(batches, step - at)
        return Reader(batches, lambda step: _position(inner, step), lambda step, position: None)

    return Stream(first, begin, per_epoch)


def _of_iterator(source: Any, per_epoch: int | None, last: str) -> Stream:
    seeks = hasattr(source, "get_state") and hasattr(source, "set_state")
    looked_at: list[Any] = []  # the first batch, where it cannot be given back

    @cache
    def first() -> PyTree:
        before = source.get_state() if seeks else None
        looked_at.extend(itertools.islice(source, 1))
        if not looked_at:
            raise _no_batch()
        batch = _prepared(looked_at[0], 0, None, last)
        if seeks:
            source.set_state(before)
            looked_at.clear()
        return batch

    def begin(step: int, position: Position | None) -> Reader:
        like = first()
        at = _sought(source, position) if seeks and position is not None else step
        # Chained, since a generator that yields from the source would close it when it is left.
        batches = _like_the_first(itertools.chain(_taken(looked_at), source), like, last, at)
        _skip(batches, step - at)
        return Reader(batches, lambda step: _position(source, step), close)

    def close(step: int, position: Position | None) -> None:
        if position is not None:
            begin(step, position)  # what was read ahead is there for the next run

    return Stream(first, begin, per_epoch)


def _like_the_first(batches: Iterator[Any], like: PyTree, last: str, step: int) -> Iterator[PyTree]:
    prepared = (_prepared(batch, number, like, last) for number, batch in enumerate(batches, step))
    return (batch for batch in prepared if batch is not None)


def _taken(items: list[Any]) -> Iterator[Any]:
    while items:
        yield items.pop(0)


def _skip(batches: Iterator[PyTree], count: int) -> None:
    for _ in itertools.islice(batches, count):
        pass


def _position(source: Any, step: int) -> Position | None:
    if not hasattr(source, "get_state"):
        return None
    state = source.get_state()
    return {"step": step, "state": {"base64": b64encode(state).decode()} if isinstance(state, bytes) else state}


def _sought(source: Any, position: Position) -> int:
    """Put the source where it stood at a position, and return the step whose batch comes next."""
    state = position["state"]
    coded = isinstance(state, Mapping) and set(state) == {"base64"}
    try:
        source.set_state(b64decode(state["base64"]) if coded else state)
    except Exception as error:
        problem = f"the source does not take the position of step {position['step']}, {type(error).__name__}: {error}"
        raise DataError("data", problem, "go on with the source that the run is of.") from error
    return int(position["step"])


def _prepared(batch: Any, number: int, like: PyTree | None, last: str) -> PyTree | None:
    """Return a batch in NumPy arrays of the shapes of `like`, the first, if there is one; None if it is left out."""
    where = f"batch {number}"
    batch = getattr(batch, "arrays", batch)
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3) or hasattr(batch, "_fields"):
        got = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else type(batch).__name__
        fix = "make it so: source.map of Grain, or a generator over the source."
        raise DataError(where, f"expected (x, y) or (x, y, weight), got a {got}", fix)
    batch = jax.tree.map(np.asarray, tuple(batch))
    rows = sampling.length(batch, where=where)
    wanted = rows if like is None else sampling.length(like)
    if rows < wanted and last == "drop":
        return None
    if last == "weigh":
        batch = _filled(batch, rows, max(rows, wanted))
    if like is not None and (difference := tree.difference(batch, like)):
        fix = "batches have one shape, but for the last of a pass; cut or pad what varies."
        raise DataError(where, f"must be like the first: {difference}", fix)
    return batch


def _filled(batch: PyTree, rows: int, wanted: int) -> PyTree:
    """Return `wanted` rows, the batch's own again behind its last, with weights that are 0 there."""
    x, y, *weight = batch
    places = np.arange(wanted) % rows
    x, y = jax.tree.map(lambda leaf: leaf[places], (x, y)) if wanted > rows else (x, y)
    real = (np.arange(wanted) < rows).astype(np.float32)
    if not weight:
        return x, y, real
    given = weight[0][places]
    return x, y, given * real.astype(given.dtype).reshape(-1, *(1,) * (given.ndim - 1))


def _no_batch() -> DataError:
    return DataError("data", "the source has no batch", "check that it was not read to its end already.")
