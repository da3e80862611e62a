"""Pytrees through a file of arrays and back."""

from __future__ import annotations

import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from fnnet.testing.comparing import is_key, plain


def written_and_read(value: PyTree) -> PyTree:
    """Return the arrays of a pytree as they are read from a file, without pickle, that they were written to."""
    leaves, treedef = jax.tree.flatten(value)
    arrays: dict[str, Any] = {str(number): plain(leaf) for number, leaf in enumerate(leaves)}
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as read:
        again = [_like(leaf, jnp.asarray(read[name])) for name, leaf in zip(arrays, leaves, strict=True)]
    return jax.tree.unflatten(treedef, again)


def _like(leaf: Any, array: Array) -> Array:
    """Return the array as it was written: keys are made of their numbers again."""
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if is_key(leaf) else array
