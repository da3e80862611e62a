"""What the laws of layers draw and ask beforehand: parameters, ``apply`` in a mode, what a layer needs and has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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


def batch_of(subject: LayerSubject) -> tuple[int, ...]:
    """Return the batch of the example, of two at least: of one alone no law of a batch says anything."""
    return (max(2, jax.tree.leaves(subject.x)[0].shape[0]),)


def needs_key(subject: LayerSubject) -> bool:
    """Whether training without a key is an error that says so, or any error that a key is the remedy of."""
    try:
        _trained(subject, {})
    except KeyMissingError:
        return True
    except Exception:  # of jax.random, say, that is given None
        return _is_trained_with_a_key(subject)
    return False


def _is_trained_with_a_key(subject: LayerSubject) -> bool:
    try:
        _trained(subject, {"key": jax.random.key(0)})
    except Exception:  # what is wrong has nothing to do with keys: a law tells it
        return False
    return True


def _trained(subject: LayerSubject, options: dict[str, Array]) -> None:
    """Trace a call in training."""

    def made_and_applied(x: Any) -> Any:
        params, state = subject.layer.init(jax.random.key(0), x)
        return subject.layer.apply(params, state, x, train=True, **options)

    jax.eval_shape(made_and_applied, subject.x)


def has_floats(subject: LayerSubject) -> bool:
    """Whether the input has a floating-point array."""
    return any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(subject.x))


def has_state(subject: LayerSubject) -> bool:
    """Whether there is state."""
    return bool(jax.tree.leaves(jax.eval_shape(lambda: subject.layer.init(jax.random.key(0), subject.x)[1])))


def rounding(function: Callable[..., Any], *args: Any) -> Callable[[], list[float]]:
    """Return, asked late, how far each array of ``function(*args)`` moves where the floats of `args` do by rounding.

    A norm of numbers that are nearly the same makes their rounding a thousand times as large.
    """

    def found() -> list[float]:
        rng = np.random.default_rng(0)
        values = [_numbers(function(*jax.tree.map(partial(_nudged, rng), args))) for _ in range(4)]
        apart = [np.ptp(np.stack(each), 0).max(initial=0.0) for each in zip(*values, strict=True)]
        return [float(size) if np.isfinite(size) else 0.0 for size in apart]

    return found


def _nudged(rng: np.random.Generator, leaf: Any) -> Any:
    if not hasattr(leaf, "dtype") or not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    signs = rng.choice([-1.0, 1.0], leaf.shape)
    unit = float(jnp.finfo(leaf.dtype).eps) * np.maximum(1, np.abs(np.asarray(leaf, np.float64)))
    return jnp.asarray(np.asarray(leaf, np.float64) + signs * unit, leaf.dtype)


def _numbers(value: PyTree) -> list[np.ndarray]:
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(value)]
