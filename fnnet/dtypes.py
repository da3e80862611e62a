"""In which dtype a thing is held, and in which it is computed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

SAFETENSORS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
"""The dtypes that a safetensors file can hold, by its names for them."""


def dtype_of(x: Any) -> Any:
    """Return the dtype in which JAX holds `x`: float32 for NumPy's float64, unless x64 is on.

    >>> import numpy as np
    >>> dtype_of(np.ones(2))
    dtype('float32')
    """
    return jax.dtypes.canonicalize_dtype(x.dtype)


def at_least_float32(dtype: Any) -> Any:
    """Return the dtype to compute in where 16 bits are too few: float32 for narrower floats and for integers.

    >>> at_least_float32(jnp.bfloat16), at_least_float32(jnp.dtype("complex64")), at_least_float32(jnp.int32)
    (dtype('float32'), dtype('complex64'), dtype('float32'))
    """
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    wide = jnp.issubdtype(dtype, jnp.inexact) and jnp.finfo(dtype).bits >= 32
    return dtype if wide else jnp.dtype(jnp.float32)


def magnitude_squared(x: Array) -> Array:
    """Return |x|² of each element: of a complex element one real number, so that its phase is left alone.

    >>> magnitude_squared(jnp.array([3 + 4j]))
    Array([25.], dtype=float32)
    """
    return jnp.square(jnp.real(x)) + jnp.square(jnp.imag(x)) if jnp.iscomplexobj(x) else jnp.square(x)
