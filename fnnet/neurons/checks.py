"""What examples and labels must be, checked where they enter."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fnnet.dtypes import at_least_float32
from fnnet.errors import DataError, DtypeError, ShapeError


def check_examples(where: str, x: Any, y: Any) -> tuple[Float[Array, "rows n"], Array]:
    """Return `x` as floating-point rows and `y` as an array; raise unless they are finite and of one length."""
    x, y = check_rows(where, x, y)
    x = jnp.asarray(x)
    x = x.astype(at_least_float32(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32)
    check_finite(where, x)
    return x, jnp.asarray(y)


def check_rows(where: str, x: Any, y: Any) -> tuple[Any, Any]:
    """Return `x` and `y` as arrays of what they hold; raise unless that is real numbers, one row for each label."""
    x, y = (_as_array(value) for value in (x, y))
    for name, array in (("x", x), ("y", y)):
        if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool):
            raise DtypeError(
                where, f"{name} must hold numbers, got {array.dtype}", "encode them, e.g. labels as 0 and 1."
            )
    if x.ndim != 2 or y.shape != x.shape[:1]:
        problem = f"expected x of shape (rows, n) and y of shape (rows,), got {x.shape} and {y.shape}"
        raise ShapeError(where, problem, "give each example a row of x and one label in y.")
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise DtypeError(where, f"x must hold real numbers, got {x.dtype}", "pass real features.")
    if not x.size:
        raise DataError(where, f"x is empty, of shape {x.shape}", "pass at least one example of each class.")
    return x, y


def _as_array(value: Any) -> Any:
    """Return `value` as an array: of NumPy, which rounds no float64, unless it is one or holds traced ones."""
    if hasattr(value, "dtype"):
        return value
    return (jnp if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)) else np).asarray(value)


def check_finite(where: str, x: Any) -> None:
    """Raise DataError, naming the row, unless all values are finite; traced ones are not looked at."""
    if not isinstance(x, jax.core.Tracer) and not (finite := np.isfinite(x)).all():
        row = int(np.argmin(finite.all(1)))
        raise DataError(where, f"x must be finite, got {np.asarray(x)[row].tolist()} in row {row}", "drop such rows.")


def check_rate(where: str, rate: Any) -> None:
    """Raise ValueError unless the rate is one number, finite and above 0; a traced one is not looked at."""
    if isinstance(rate, jax.core.Tracer):
        return
    known = np.asarray(rate)
    if known.dtype.kind not in "iuf" or known.ndim or not (np.isfinite(known) and known > 0):
        raise ValueError(f"{where}: learning_rate must be a finite number above 0, got {rate!r}")


def check_two_classes(where: str, y: Any) -> None:
    """Raise DataError unless the labels are 0 and 1, or -1 and 1, and both are there; traced ones are not looked at."""
    if isinstance(y, jax.core.Tracer):
        return
    found = np.unique(np.asarray(y)).tolist()
    if found in ([0, 1], [-1, 1]):
        return
    if len(found) == 1:
        raise DataError(where, f"the labels must be of two classes, got {found[0]} alone", "add the other class.")
    got = ", ".join(map(str, found[:5])) + (", …" if len(found) > 5 else "")
    fix = "encode two classes so; for more classes use multiclass_perceptron."
    raise DataError(where, f"the labels must be 0 and 1, or -1 and 1, got {got}", fix)


def check_labels(where: str, y: Array, classes: int) -> Int[Array, rows]:
    """Return the labels as int32; raise unless they are whole numbers below `classes`, at least two of them there."""
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise DtypeError(where, f"the labels must be whole numbers, got {y.dtype}", "pass y.astype(int).")
    if not isinstance(y, jax.core.Tracer):
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= classes:
            problem = f"the labels must be 0 to {classes - 1}, got {low if low < 0 else high}"
            raise DataError(where, problem, "encode the classes so, or give their number as classes.")
        if low == high:
            raise DataError(where, f"the labels must be of two classes or more, got {low} alone", "add the others.")
    return y.astype(jnp.int32)
