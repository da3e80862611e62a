"""What the laws of layers draw and ask beforehand: parameters, ``apply`` in a mode, what a layer needs and has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from fnnet.errors import KeyMissingError
from fnnet.testing.drawing import Draw
from fnnet.testing.subjects import LayerSubject

MODES = (False, True)


def drawn(draw: Draw, subject: LayerSubject) -> tuple[PyTree, PyTree]:
    """Return parameters and state: those of init, the parameters moved, so that no bias stays zero."""
    params, state = subject.layer.init(draw.key("init key"), subject.x)
    return draw.moved("move", params), state


def applied(subject: LayerSubject, train: bool) -> Callable[..., Any]:
    """Return ``apply`` as a function of (params, state, x, key), the last of which inference is not given."""

    def apply(params: PyTree, state: PyTree, x: Any, key: Array) -> Any:
        return subject.layer.apply(params, state, x, **({"key": key, "train": True} if train else {}))

    return apply


def needs_key(subject: LayerSubject) -> bool:
    """Whether training without a key is an error that says so."""
    params, state = jax.eval_shape(lambda: subject.layer.init(jax.random.key(0), subject.x))
    try:
        jax.eval_shape(lambda p, s, x: subject.layer.apply(p, s, x, train=True), params, state, subject.x)
    except KeyMissingError:
        return True
    return False


def has_floats(subject: LayerSubject) -> bool:
    """Whether the input has a floating-point array."""
    return any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(subject.x))


def has_state(subject: LayerSubject) -> bool:
    """Whether there is state."""
    return bool(jax.tree.leaves(jax.eval_shape(lambda: subject.layer.init(jax.random.key(0), subject.x)[1])))
