"""Which rows of the data a step sees: a function of the key and the step alone, with no table of the order."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt32

from fnnet.core import Key
from fnnet.errors import DataError
from fnnet.shapes import check_count

_ROUNDS = 6
# So few rows are sorted by random numbers: over few bits, six rounds are not uniform (tests/test_sampling.py).
_FEW = 128


def length(data: PyTree, *, where: str = "data") -> int:
    """Return the number of examples: the leading axis that all arrays of `data` share.

    Raises: DataError if there is no array, an array has no axis, the lengths differ, or there is no example.

    >>> from fnnet import sampling
    >>> sampling.length((jnp.ones((5, 2)), jnp.ones(5)))
    5
    """
    leaves = jax.tree_util.tree_leaves_with_path(data)
    if not leaves:
        raise DataError(where, "expected at least one array, got none", "pass data as (x, y).")
    sizes = {f"{where}{jax.tree_util.keystr(path)}": jnp.shape(leaf) for path, leaf in leaves}
    for name, shape in sizes.items():
        if not shape:
            fix = "pass arrays of shape (n, ...); a list is taken for several arrays, so make it one: np.asarray(x)."
            raise DataError(name, "expected a leading axis of examples, got a scalar", fix)
    if len({shape[0] for shape in sizes.values()}) > 1:
        got = ", ".join(f"{name} has {shape[0]}" for name, shape in sizes.items())
        raise DataError(
            where, f"expected one number of examples in all arrays, got {got}", "give each example one row."
        )
    size = next(iter(sizes.values()))[0]
    if size == 0:
        raise DataError(
            where, "expected at least one example, got 0", "check the filter or the file that it came from."
        )
    return size


def check_batch_size(size: int, batch_size: int, *, where: str = "data") -> None:
    """Raise DataError if `batch_size` exceeds the `size` examples, ValueError unless it is a whole number above 0."""
    check_count(where, "batch_size", batch_size)
    if batch_size > size:
        raise DataError(
            where,
            f"expected batch_size of at most the {size} examples, got {batch_size}",
            f"pass batch_size={size} or less, or more data.",
        )


class Sampler(NamedTuple):
    """Which rows of the data a step sees: pure functions, so that a run may start, stop and go on at any step.

    ``per_epoch(size, batch_size) -> int``: the steps of an epoch of `size` examples.
    ``rows(key, step, size, batch_size) -> (rows, weight)``: the rows of the batch of `step`, in bounds, of shape
    (batch_size,), and a weight for each, or None where each weighs 1. `key` is the same throughout a run.
    """

    per_epoch: Callable[[int, int], int]
    rows: Callable[[Key, Int[Array, ""], int, int], tuple[Int[Array, batch], Float[Array, batch] | None]]


def check_sampler(sampler: Any) -> None:
    """Raise TypeError unless `sampler` is a ``Sampler``."""
    if not all(callable(getattr(sampler, name, None)) for name in Sampler._fields):
        raise TypeError(f"run: sampler must be one of fn.sampling, such as fn.sampling.epochs(), got {sampler!r}")


Last = Literal["drop", "weigh"]


@cache
def epochs(last: Last = "drop") -> Sampler:
    """Return the sampler of epochs without replacement, each in its own order; what `fit` and `run` use by default.

    The last, ragged batch of an epoch is left out (``"drop"``; the rows left out differ from epoch to epoch), or filled
    up with rows of weight 0 (``"weigh"``), so that an epoch sees every row once. Statistics over the batch, as batch
    normalisation takes them, see the filling too.

    >>> per_epoch, rows = epochs(last="weigh")
    >>> per_epoch(5, 2), rows(jax.random.key(0), jnp.array(2), 5, 2)[1]
    (3, Array([1., 0.], dtype=float32))
    """
    return _passes(last, lambda key, epoch, places, size: shuffled(jax.random.fold_in(key, epoch), places, size))


@cache
def in_order(last: Last = "drop") -> Sampler:
    """Return the sampler of epochs in the order of the data, with the last batch as `epochs` has it.

    >>> in_order().rows(jax.random.key(0), jnp.array(1), 5, 2)[0]
    Array([2, 3], dtype=int32)
    """
    return _passes(last, lambda key, epoch, places, size: places)


@cache
def with_replacement() -> Sampler:
    """Return the sampler that draws every row of every batch anew, uniformly; an epoch is ``size // batch_size`` steps.

    >>> with_replacement().rows(jax.random.key(0), jnp.array(0), 5, 3)[0].shape
    (3,)
    """

    def rows(key: Key, step: Int[Array, ""], size: int, batch_size: int) -> tuple[Int[Array, batch], None]:
        return jax.random.randint(jax.random.fold_in(key, step), (batch_size,), 0, size, step.dtype), None

    return Sampler(lambda size, batch_size: size // batch_size, rows)


def _passes(last: Last, order: Callable[[Key, Int[Array, ""], Int[Array, batch], int], Int[Array, batch]]) -> Sampler:
    """Return the sampler of passes over the data, where `order` maps places in an epoch to rows."""
    if last not in ("drop", "weigh"):
        raise ValueError(f"sampling: last must be 'drop' or 'weigh', got {last!r}")

    def per_epoch(size: int, batch_size: int) -> int:
        return size // batch_size if last == "drop" else -(-size // batch_size)

    def rows(
        key: Key, step: Int[Array, ""], size: int, batch_size: int
    ) -> tuple[Int[Array, batch], Float[Array, batch] | None]:
        epoch, place = jnp.divmod(step, per_epoch(size, batch_size))
        places = place * batch_size + jnp.arange(batch_size, dtype=step.dtype)
        if size % batch_size == 0 or last == "drop":
            return order(key, epoch, places, size), None
        return order(key, epoch, places % size, size), (places < size).astype(jnp.result_type(float))

    return Sampler(per_epoch, rows)


def shuffled(key: Key, positions: Int[Array, m], size: int) -> Int[Array, m]:
    """Return the rows at `positions` of a random order of ``range(size)``.

    A keyed bijection: six rounds of a Feistel network permute the next power of two, and a value outside the range is
    permuted again until it falls inside, which keeps it a bijection (Black & Rogaway 2002, cycle walking). Any position
    is evaluated on its own, so there is no table, but for at most 128 rows, which are sorted by random numbers.

    >>> from fnnet import sampling
    >>> sorted(sampling.shuffled(jax.random.key(0), jnp.arange(5), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    if size <= _FEW:
        return jnp.argsort(jax.random.bits(key, (size,), jnp.uint32))[positions].astype(jnp.int32)
    return _walked(key, positions, size)


@partial(jax.jit, static_argnums=2)  # so that it is compiled once where the caller is not
def _walked(key: Key, positions: Int[Array, m], size: int) -> Int[Array, m]:
    bits = (size - 1).bit_length()
    keys = jax.random.bits(key, (_ROUNDS,), jnp.uint32)
    last = jnp.uint32(size - 1)

    def walk(walked: tuple[UInt32[Array, m], Bool[Array, m], Bool[Array, ""]]) -> tuple[Array, Array, Array]:
        values, outside, _ = walked
        values = jnp.where(outside, _feistel(values, keys, bits), values)
        outside = values > last
        return values, outside, jnp.any(outside)

    # The first round is one of the loop, so that the network is compiled once.
    start = (positions.astype(jnp.uint32), jnp.ones(positions.shape, bool), jnp.array(True))
    return jax.lax.while_loop(lambda walked: walked[-1], walk, start)[0].astype(jnp.int32)


def _feistel(values: UInt32[Array, m], keys: UInt32[Array, rounds], bits: int) -> UInt32[Array, m]:
    """Permute ``range(2**bits)``; the halves swap widths each round, and are back in place after an even number."""
    low, high = bits // 2, bits - bits // 2
    left, right = values >> low, values & jnp.uint32(2**low - 1)
    for n in range(_ROUNDS):
        width = high if n % 2 == 0 else low
        left, right = right, left ^ (_mix(right ^ keys[n]) & jnp.uint32(2**width - 1))
    return (left << low) | right


def _mix(x: UInt32[Array, m]) -> UInt32[Array, m]:
    """Return a well-mixed function of 32 bits (the finalizer of MurmurHash3, Appleby 2011)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
