"""Where in a sequence a step is: rotary, sinusoidal and learned positions."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from fnnet.core import Key, Layer, Params, Shaped, State, stateless
from fnnet.dtypes import at_least_float32, dtype_of
from fnnet.errors import ShapeError
from fnnet.initializers import Initializer, normal
from fnnet.layers.sequences import repack, unpack, values_of
from fnnet.shapes import align, check_count, check_floating, check_last_axis, check_rank, parameter


def rotary(x: Array, *, base: float = 10000.0, positions: Array | None = None, time_axis: int = -2) -> Array:
    r"""Rotate pairs of features by angles that grow with the position (Su et al. 2021, RoFormer, §3.2).

    :math:`(x_i, x_{i+d/2}) \mapsto R(p\,\theta_i)(x_i, x_{i+d/2})`, :math:`\theta_i = \text{base}^{-2i/d}`. Feature i
    is paired with feature i + d/2; the paper pairs neighbours, which is a permutation of features.
    `positions` (time,), by default 0, 1, …; angles are computed in float32 at least.

    Law: the dot product of rotated q at position s and k at position t is a function of q, k and s − t.
    Raises: ShapeError if the number of features is odd.

    >>> fn.layers.rotary(jnp.ones((2, 4))).shape
    (2, 4)
    """
    check_floating("rotary", x)
    check_rank("rotary", x, 2, "(..., time, features)")
    if x.shape[-1] % 2:
        raise ShapeError(
            "rotary", f"the last axis must be even, got shape {x.shape}", "use an even number of features."
        )
    dtype, time = at_least_float32(x.dtype), x.shape[time_axis]
    places = jnp.arange(time) if positions is None else positions
    if places.shape != (time,):
        raise ShapeError(
            "rotary", f"positions must have shape ({time},), one a step, got {places.shape}", "give each step its own."
        )
    half = x.shape[-1] // 2
    angles = align(places.astype(dtype), x, axis=time_axis) * align(_frequencies(half, base, dtype), x)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    a, b = x[..., :half].astype(dtype), x[..., half:].astype(dtype)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1).astype(dtype_of(x))


def sinusoidal_positions(*, base: float = 10000.0) -> Layer:
    r"""Add fixed sines and cosines of the position (Vaswani et al. 2017, §3.5).

    :math:`P_{p,2i} = \sin p\theta_i`, :math:`P_{p,2i+1} = \cos p\theta_i`, :math:`\theta_i = \text{base}^{-2i/d}`.
    Shapes: ``(..., time, features)``, an array or a ``Masked``, to the same.
    Raises: ShapeError if there is no time axis or the number of features is odd; ValueError unless ``base > 0``.

    >>> fn.layers.sinusoidal_positions()({}, jnp.zeros((1, 2)))
    Array([[0., 1.]], dtype=float32)
    """
    if not base > 0:
        raise ValueError(f"sinusoidal_positions: base must be positive, got {base}")

    def function(x: Any) -> Any:
        values, _ = unpack("sinusoidal_positions", x)
        time, features = values.shape[-2:]
        if features % 2:
            raise ShapeError(
                "sinusoidal_positions",
                f"the last axis must be even, got shape {values.shape}",
                "use an even number of features.",
            )
        dtype = at_least_float32(values.dtype)
        angles = jnp.arange(time).astype(dtype)[:, None] * _frequencies(features // 2, base, dtype)[None, :]
        table = jnp.stack([jnp.sin(angles), jnp.cos(angles)], -1).reshape(time, features).astype(dtype_of(values))
        return repack(values + align(table, values), x)

    return stateless("sinusoidal_positions", function)


def learned_positions(length: int, *, table_init: Initializer | None = None) -> Layer:
    """Add a learned vector to each position (Gehring et al. 2017): :math:`y_p = x_p + T_p`.

    Shapes: ``(..., time, features)``, an array or a ``Masked``, to the same; time at most `length`.
    Params: ``table (length, features)``, by default normal of standard deviation 0.02.
    Raises: ShapeError if time is more than `length` or features are not those of `init`; ValueError if ``length < 1``.

    >>> layer = fn.layers.learned_positions(16)
    >>> layer.init(jax.random.key(0), jnp.ones((5, 4)))[0]["table"].shape
    (16, 4)
    """
    check_count("learned_positions", "length", length)
    initializer = normal(0.02) if table_init is None else table_init

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        values = values_of(x)
        check_floating("learned_positions", values)
        check_rank("learned_positions", values, 2, "(..., time, features)")
        return {"table": initializer(key, (length, values.shape[-1]), dtype_of(values))}, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        values, _ = unpack("learned_positions", x)
        table = parameter("learned_positions", params, "table", (length, None))
        check_last_axis("learned_positions", values, table.shape[1])
        if values.shape[-2] > length:
            raise ShapeError(
                "learned_positions",
                f"sequences must have at most {length} steps, got shape {values.shape}",
                f"shorten them, or make learned_positions({values.shape[-2]}).",
            )
        return repack(values + align(table[: values.shape[-2]], values), x), state

    return Layer("learned_positions", init, apply)


def _frequencies(half: int, base: float, dtype: Any) -> Array:
    return base ** (-jnp.arange(half).astype(dtype) / half)
