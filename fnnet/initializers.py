"""Initial values of parameters: ``initializer(key, shape, dtype) -> array``, those of ``jax.nn.initializers``.

Kernels have the layout (window, in, out): fans are counted over the last two axes, times the window.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeAlias

import jax
import jax.numpy as jnp
from jax.nn.initializers import constant, ones, zeros
from jaxtyping import Array

from fnnet.core import Key
from fnnet.dtypes import at_least_float32
from fnnet.errors import ShapeError

Initializer: TypeAlias = Callable[..., Array]
"""``initializer(key, shape, dtype) -> array``."""

_P = ParamSpec("_P")

__all__ = [
    "Initializer",
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "zeros",
]


def _compiled_cheaply(make: Callable[_P, Initializer]) -> Callable[_P, Initializer]:
    """Return `make` so that the initializers it makes are drawn by programs that compile fast.

    Random numbers are the largest programs of a start: at a low optimisation level they compile several times as fast,
    and give the same bits. One initializer serves all equal arguments, and so does each of its programs.
    """

    @lru_cache(maxsize=64, typed=True)
    def remembered(*args: Any, **options: Any) -> Initializer:
        return _drawn_cheaply(make(*args, **options))

    @wraps(make)
    def factory(*args: _P.args, **options: _P.kwargs) -> Initializer:
        plain = all(isinstance(value, str | int | float | tuple | type | None) for value in (*args, *options.values()))
        chosen: Callable[..., Initializer] = remembered if plain else make  # an array may be a tracer
        return chosen(*args, **options)

    return factory


def _drawn_cheaply(draw: Initializer) -> Initializer:
    def initializer(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32, **options: Any) -> Array:
        if options or isinstance(key, jax.core.Tracer) or isinstance(jnp.zeros(()), jax.core.Tracer):
            return draw(key, shape, dtype, **options)  # as part of a program
        return _program(draw)(key, tuple(shape), dtype)

    return initializer


@lru_cache(maxsize=256)
def _program(draw: Initializer) -> Any:
    level = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else {}
    return jax.jit(draw, static_argnums=(1, 2), compiler_options=level)


glorot_normal = _compiled_cheaply(jax.nn.initializers.glorot_normal)
glorot_uniform = _compiled_cheaply(jax.nn.initializers.glorot_uniform)
he_normal = _compiled_cheaply(jax.nn.initializers.he_normal)
he_uniform = _compiled_cheaply(jax.nn.initializers.he_uniform)
lecun_normal = _compiled_cheaply(jax.nn.initializers.lecun_normal)
lecun_uniform = _compiled_cheaply(jax.nn.initializers.lecun_uniform)
normal = _compiled_cheaply(jax.nn.initializers.normal)
truncated_normal = _compiled_cheaply(jax.nn.initializers.truncated_normal)
uniform = _compiled_cheaply(jax.nn.initializers.uniform)
variance_scaling = _compiled_cheaply(jax.nn.initializers.variance_scaling)


def orthogonal(scale: float = 1.0, column_axis: int = -1) -> Initializer:
    r"""Kernels whose columns, or rows where they are fewer, are orthogonal and of length `scale` (Saxe et al. 2014).

    That of JAX; 16-bit floats, for which its QR decomposition is not made, are drawn in float32 and rounded.

    Law: :math:`K^\top K = \text{scale}^2 I`, or :math:`K K^\top` where rows are fewer.

    >>> fn.initializers.orthogonal()(jax.random.key(0), (2, 2), jnp.bfloat16).dtype.name
    'bfloat16'
    """
    return _in_float32(jax.nn.initializers.orthogonal(scale, column_axis))


def delta_orthogonal(scale: float = 1.0, column_axis: int = -1) -> Initializer:
    r"""Kernels (\*window, in, out) that are ``orthogonal`` at the centre of the window, else zero (Xiao et al. 2018).

    >>> fn.initializers.delta_orthogonal()(jax.random.key(0), (3, 2, 2), jnp.float32)[0].sum()
    Array(0., dtype=float32)
    """
    return _in_float32(jax.nn.initializers.delta_orthogonal(scale, column_axis))


def _in_float32(draw: Initializer) -> Initializer:
    def initializer(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return draw(key, shape, at_least_float32(dtype)).astype(dtype)

    return initializer


def identity(scale: float = 1.0) -> Initializer:
    r"""Kernels that pass their input on, :math:`K_{c,i,j} = \text{scale}\,\delta_{ij}` at the centre c of the window.

    For shapes (\*window, in, out); a dense kernel has no window. Where out ≠ in, features are dropped, or zeros added.

    Law: a dense layer, and a convolution of stride 1 padded ``"SAME"``, drawn so is `scale` times the identity (of an
    even window, without dilation).
    Raises: ShapeError for shapes of fewer than two axes.

    >>> fn.initializers.identity()(jax.random.key(0), (2, 3), jnp.float32)
    Array([[1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """

    def initializer(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        if len(shape) < 2:
            raise ShapeError(
                "identity", f"the shape must be (*window, in, out), got {tuple(shape)}", "use it for kernels alone."
            )
        centre = tuple((size - 1) // 2 for size in shape[:-2])
        eye = jnp.eye(shape[-2], shape[-1], dtype=dtype)
        return jnp.zeros(shape, dtype).at[centre].set(scale * eye)

    return initializer
