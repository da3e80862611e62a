"""Arithmetic between a scalar of the state and a leaf of any dtype: low precision, double, complex."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Params
from fnnet.dtypes import at_least_float32
from fnnet.errors import DtypeError


def widen(grads: Params) -> Params:
    """Return the leaves in at least float32: moments of bfloat16 and float16 parameters are kept so."""
    return tree.map(widened, grads)


def widened(leaf: Any) -> Array:
    """Return one leaf in at least float32."""
    return jnp.asarray(leaf).astype(wide_dtype(leaf))


def narrow(updates: Params, like: Params) -> Params:
    """Return the updates in the dtypes of `like`."""
    return tree.map(lambda u, g: u.astype(jnp.asarray(g).dtype), updates, like)


def wide_dtype(leaf: Any) -> Any:
    """Return the leaf's dtype, at least float32. Raises: DtypeError for integers and booleans."""
    dtype = jnp.result_type(leaf)
    if not jnp.issubdtype(dtype, jnp.inexact):
        fix = "cast the parameters, or keep what is not learnt in the network's state."
        raise DtypeError("optimizer", f"parameters and gradients must be floating-point, got {dtype}", fix)
    return at_least_float32(dtype)


def real_dtype(leaf: Any) -> Any:
    """Return the dtype of the leaf's magnitude, at least float32."""
    return jnp.finfo(wide_dtype(leaf)).dtype


def zeros_wide(params: Params) -> Params:
    """Return zeros for a first moment: like the parameters, in at least float32."""
    return tree.map(lambda p: jnp.zeros_like(p, dtype=wide_dtype(p)), params)


def zeros_real(params: Params) -> Params:
    """Return zeros for a second moment: real, like the magnitude of the parameters, in at least float32."""
    return tree.map(lambda p: jnp.zeros_like(p, dtype=real_dtype(p)), params)


def times(scalar: Array, leaf: Array) -> Array:
    """Return scalar · leaf in the leaf's dtype."""
    return scalar.astype(leaf.dtype) * leaf


def towards(start: Array, end: Array, fraction: Array) -> Array:
    """Return start + fraction · (end − start): a running mean's step, in one multiplication an element."""
    return start + times(fraction, end - start)


def over(leaf: Array, divisor: Array) -> Array:
    """Return leaf / divisor, where the divisor is real and the leaf may be complex."""
    return leaf / divisor.astype(leaf.dtype)


@jax.custom_jvp
def root(x: Array) -> Array:
    """Return √x, with derivative 0 at 0.

    A unit that never fired has second moment 0: a run's derivative by its hyperparameters stays finite there.
    """
    return jnp.sqrt(x)


@root.defjvp
def _root_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    y = root(x)
    return y, jnp.where(x > 0, dx / (2 * jnp.where(x > 0, y, 1)), 0)


def increment(count: Array) -> Array:
    """Return count + 1, staying at the largest int32 instead of wrapping round."""
    return jnp.minimum(count, jnp.iinfo(jnp.int32).max - 1) + 1


@jax.custom_jvp
def bias_correction(decay: Array, count: Array) -> Array:
    """Return 1 − decayᵗ as −expm1(t·log decay), which keeps its digits where decayᵗ is near one.

    The derivative is −t·decayᵗ⁻¹ at a decay of 0 too, where that of the logarithm is infinite.
    """
    return -jnp.expm1(count.astype(decay.dtype) * jnp.log(decay))


@bias_correction.defjvp
def _bias_correction_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Any]) -> tuple[Array, Array]:
    decay, count = primals
    t = count.astype(decay.dtype)
    return bias_correction(decay, count), -t * decay ** (t - 1) * tangents[0]
