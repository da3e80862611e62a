"""Which rows of the data a step sees: a function of the key and the step alone, with no table of the order."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree, UInt32

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


def rows(key: Key, step: Int[Array, ""], *, size: int, batch_size: int) -> Int[Array, batch]:
    """Return the rows of the batch of `step`: epochs without replacement, each in its own order.

    An epoch has ``size // batch_size`` steps; the rows left over differ from epoch to epoch. The answer depends on
    ``(key, step)`` only, so a run may start, stop and resume at any step.
    """
    epoch, place = jnp.divmod(step, size // batch_size)
    return shuffled(jax.random.fold_in(key, epoch), place * batch_size + jnp.arange(batch_size, dtype=step.dtype), size)


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
    bits = (size - 1).bit_length()
    keys = jax.random.bits(key, (_ROUNDS,), jnp.uint32)
    last = jnp.uint32(size - 1)

    def walk(values: UInt32[Array, m]) -> UInt32[Array, m]:
        return jnp.where(values > last, _feistel(values, keys, bits), values)

    first = _feistel(positions.astype(jnp.uint32), keys, bits)
    return jax.lax.while_loop(lambda values: jnp.any(values > last), walk, first).astype(jnp.int32)


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
