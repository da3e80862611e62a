"""What may be looked at: a network, some examples, parameters of one kind, values that are finite."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet import tree
from fnnet.core import Params
from fnnet.errors import DataError, PathError


def check_net(where: str, net: Any) -> None:
    """Raise TypeError unless `net` is a network: a Task has one."""
    if not (hasattr(net, "apply") and hasattr(net, "init")):
        fix = ": pass task.net" if hasattr(net, "net") else ""
        raise TypeError(f"{where}: the net must have the functions init and apply, got {type(net).__name__}{fix}")


def check_some(where: str, x: PyTree) -> None:
    """Raise DataError if an array has no values: what is a mean of them, or their least, is not there."""
    for path, leaf in tree.flatten(x).items():
        if jnp.size(leaf) == 0:
            raise DataError(
                where, f"{path or 'x'} has no values, its shape is {jnp.shape(leaf)}", "pass some examples."
            )


def check_finite(where: str, x: PyTree) -> None:
    """Raise DataError if there are values that are nan or infinite; what is traced is not looked at."""
    for path, leaf in tree.flatten(x).items():
        if isinstance(leaf, jax.core.Tracer) or not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        if not (finite := np.asarray(jnp.isfinite(leaf))).all():
            problem = f"{1 - finite.mean():.2g} of the values of {path or 'x'} are nan or infinite"
            raise DataError(where, problem, "drop or fill them, or take parameters from before training broke.")


def check_alike(where: str, name: str, got: Params, expected: Params) -> None:
    """Raise PathError unless two trees of parameters have the same entries, but for axes in front."""
    unlike = jax.tree.structure(got) != jax.tree.structure(expected)  # type: ignore[operator]
    if unlike or not all(map(_ends_alike, jax.tree.leaves(got), jax.tree.leaves(expected))):
        problem = f"{name} must have the entries of the other parameters: {tree.difference(got, expected)}"
        raise PathError(where, problem, "pass parameters of one and the same network.")


def _ends_alike(got: Any, expected: Any) -> bool:
    in_front = jnp.ndim(got) - jnp.ndim(expected)
    return in_front >= 0 and jnp.shape(got)[in_front:] == jnp.shape(expected)
