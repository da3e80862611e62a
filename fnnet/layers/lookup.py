"""Embedding: a learned vector for each of a finite number of things."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from fnnet.core import Key, Layer, Masked, Params, Shaped, State
from fnnet.errors import DtypeError
from fnnet.initializers import Initializer, variance_scaling
from fnnet.shapes import check_count, parameter


def embedding(
    vocabulary: int, features: int, *, table_init: Initializer | None = None, dtype: Any = jnp.float32
) -> Layer:
    r"""Look up a vector for each index, :math:`y = T_x`.

    Shapes: integers (...) -> (..., features); ``Masked`` indices (..., time), with a mask of that shape, give a
    ``Masked``. Params: ``table (vocabulary, features)`` of `dtype`, normal with variance 1 / features unless
    `table_init` is given (as flax's).

    An index outside 0 … vocabulary − 1 gives zeros, and no gradient: −1 may stand for padding or for the unknown.
    (jax.numpy would give NaN, or count from the end; torch fails.)
    Raises: ValueError if `vocabulary` or `features` is less than 1; DtypeError for indices that are not integers.

    >>> layer = fn.layers.embedding(10, 4)
    >>> params, _ = layer.init(jax.random.key(0), jnp.array([[1, 2, 3]]))
    >>> layer(params, jnp.array([3, -1])).shape
    (2, 4)
    """
    check_count("embedding", "vocabulary", vocabulary)
    check_count("embedding", "features", features)
    initializer = variance_scaling(1.0, "fan_out", "normal") if table_init is None else table_init

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        _check_integers(x.values if isinstance(x, Masked) else x)
        return {"table": initializer(key, (vocabulary, features), dtype)}, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        indices = x.values if isinstance(x, Masked) else x
        _check_integers(indices)
        indices = jnp.asarray(indices)
        table = parameter("embedding", params, "table", (vocabulary, features))
        # A bound that the indices' own type cannot hold would wrap round.
        indices = indices if indices.dtype.itemsize >= 4 else indices.astype(jnp.int32)
        known = (indices >= 0) & (indices < vocabulary)
        rows = jnp.take(table, jnp.where(known, indices, jnp.zeros((), indices.dtype)), axis=0, mode="clip")
        y = jnp.where(known[..., None], rows, jnp.zeros((), table.dtype))
        return (Masked(y, x.mask) if isinstance(x, Masked) else y), state

    return Layer("embedding", init, apply)


def _check_integers(x: Shaped) -> None:
    dtype = getattr(x, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.integer):
        got = type(x).__name__ if dtype is None else str(dtype)
        raise DtypeError("embedding", f"the input must be an array of integers, got {got}", "cast it to jnp.int32.")
