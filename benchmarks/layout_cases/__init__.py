"""Networks of ours beside the same of torch, Flax and Keras."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

RNG = np.random.default_rng(0)
RELU = jax.nn.relu
UP = {"kinds": {"": "conv_transpose"}}  # of a layer without a name, whose kernel looks like that of a convolution


class Peer(NamedTuple):
    """A network of theirs: its arrays, what loads others, and its outputs."""

    flat: dict[str, Any]
    load: Callable[[dict[str, np.ndarray]], None]
    outputs: Callable[[Any], Any]


class Case(NamedTuple):
    net: fn.Layer
    peer: Peer
    x: Any
    names: dict[str, Any]
    found: bool = True  # whether the names are found too, without being given
    options: dict[str, Any] = {}  # noqa: RUF012


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def scattered(tree):
    """Return other values of the same shapes; a variance stays positive, a reset bias that nnx lacks stays zero."""

    def value(path, leaf):
        a = 0.4 * RNG.normal(size=leaf.shape)
        return jnp.asarray(np.abs(a) + 0.5 if path.endswith(("var", "variance")) else a, leaf.dtype)

    return fn.tree.map_with_path(value, tree)


def scattered_flat(flat):
    return {name: np.asarray(scattered({name: a})[name]) for name, a in flat.items()}
