"""What losses and metrics are told is true: class labels, distributions, binary and real targets, and their checks.

A check of values looks only at arrays whose values are known: under ``jit``, where they are not, a bad label or a
binary target outside [0, 1] turns what is computed from it into NaN, so that it is noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from fnnet.dtypes import at_least_float32
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.shapes import check_count, check_floating


def as_prediction(where: str, x: Any) -> Float[Array, "*shape"]:
    """Return a network's output in at least float32: a sum of squares or an exponential needs the range and the digits.

    Raises: DtypeError unless `x` is a real floating-point array.
    """
    check_floating(where, x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise DtypeError(where, f"the prediction must be real, got {x.dtype}", "pass its real part or magnitude.")
    return jnp.asarray(x).astype(at_least_float32(x.dtype))


def check_same_shape(where: str, prediction: Any, target: Any) -> None:
    """Raise ShapeError unless both have one shape: (n,) against (n, 1) would broadcast to (n, n), which is nonsense."""
    shape, expected = np.shape(target), np.shape(prediction)
    if shape == expected:
        return
    if expected == (*shape, 1):
        fix = "add the axis, target[..., None], or drop the prediction's, prediction[..., 0]."
    elif shape == (*expected, 1):
        fix = "drop the target's last axis, target[..., 0]."
    else:
        fix = "pass arrays of one shape: nothing is broadcast."
    raise ShapeError(where, f"the target must have the prediction's shape {expected}, got {shape}", fix)


def as_target(where: str, prediction: Float[Array, "*shape"], target: ArrayLike) -> Float[Array, "*shape"]:
    """Return `target` in the dtype of `prediction`, after a check that the shapes are equal."""
    check_same_shape(where, prediction, target)
    return jnp.asarray(target).astype(prediction.dtype)


def error_of(where: str, prediction: Any, target: ArrayLike) -> Float[Array, "*shape"]:
    """Return prediction - target, of one shape, in at least float32."""
    prediction = as_prediction(where, prediction)
    return prediction - as_target(where, prediction, target)


def as_binary(where: str, prediction: Float[Array, "*shape"], target: ArrayLike) -> Float[Array, "*shape"]:
    """Return a target in [0, 1] in the dtype of `prediction`; a value outside raises where it is known, else is NaN.

    Raises: ShapeError if the shapes differ; DataError, naming the first value outside and its index.
    """
    check_same_shape(where, prediction, target)
    if (values := known(target)) is not None:
        outside = ~((values >= 0) & (values <= 1))
        if outside.any():
            index = _first(outside)
            problem = f"targets must lie between 0 and 1, got {values[index]} at index {_shown(index)}"
            raise DataError(where, problem, "encode the two classes as 0 and 1, e.g. (target + 1) / 2 for -1 and 1.")
    t = jnp.asarray(target).astype(prediction.dtype)
    return jnp.where((t >= 0) & (t <= 1), t, jnp.nan)


def are_labels(where: str, logits: Any, target: Any) -> bool:
    """Return whether `target` holds class labels, integers (...), rather than distributions (..., classes).

    Raises: DtypeError for floating-point labels; ShapeError for any other shape, or where there is only one class;
    DataError for whole numbers as distributions, unless each row is one-hot, as far as values are known.
    """
    if target is None or not hasattr(target, "dtype"):
        target = np.asarray(target)
        if target.dtype.kind not in "biuf":
            fix = "number the classes from 0, and pass an array of integers."
            raise DtypeError(where, f"the target must be an array of numbers, got dtype {target.dtype}", fix)
    shape, target_shape = np.shape(logits), np.shape(target)
    if len(shape) < 1 or shape[-1] < 2:
        fix = "end the network with one unit a class; binary_* losses and metrics take one logit."
        raise ShapeError(where, f"logits must have shape (..., classes) of at least 2 classes, got {shape}", fix)
    if target_shape == shape:
        _check_one_hot(where, target)
        return False
    if target_shape != shape[:-1]:
        fix = "drop the labels' last axis, labels[..., 0]." if target_shape == (*shape[:-1], 1) else "align the axes."
        expected = f"{shape[:-1]} (labels) or {shape} (one row of probabilities each)"
        raise ShapeError(where, f"for logits {shape} the target must have shape {expected}, got {target_shape}", fix)
    dtype = jnp.result_type(target)
    if not (jnp.issubdtype(dtype, jnp.integer) or dtype == jnp.bool_):
        fix = "cast them, labels.astype(jnp.int32)."
        raise DtypeError(where, f"labels of shape {target_shape} must be integers, got {dtype}", fix)
    return True


def _check_one_hot(where: str, target: Any) -> None:
    """Raise DataError if the target holds whole numbers, known ones, of which a row is not one 1 among zeros."""
    if jnp.issubdtype(jnp.result_type(target), jnp.inexact) or (values := known(target)) is None:
        return
    wrong = (values.sum(-1) != 1) | (values.min(-1) < 0)
    if wrong.any():
        index = _first(np.atleast_1d(wrong))
        row = np.atleast_2d(values)[index].tolist()
        problem = f"rows of whole numbers must be one-hot, got {row} at row {_shown(index)}"
        fix = "for yes-or-no targets of one logit each use binary_cross_entropy, binary_accuracy, binary=True."
        raise DataError(where, problem, fix)


def as_labels(
    where: str, target: ArrayLike, classes: int, ignore: int | None = None
) -> tuple[Int[Array, "*shape"], Bool[Array, "*shape"], Bool[Array, "*shape"]]:
    """Return (labels, kept, valid): labels made safe to gather with, those not ignored, those ignored or in range.

    Raises: ValueError if `ignore` is not a whole number; DataError for a label out of range whose value is known.
    """
    check_ignore(where, ignore)
    if known(target) is not None:
        check_labels(target, classes, ignore=ignore, where=where)
    labels = jnp.asarray(target).astype(jnp.int32)
    kept = jnp.ones(labels.shape, bool) if ignore is None else labels != ignore
    inside = (labels >= 0) & (labels < classes)
    return jnp.where(inside & kept, labels, 0), kept, inside | ~kept


def check_labels(labels: ArrayLike, classes: int, *, ignore: int | None = None, where: str = "labels") -> None:
    """Raise unless every label is an integer in 0 … `classes` - 1, or `ignore`.

    Looks at values, so it is for data in memory, outside ``jit``.
    Raises: DtypeError for labels that are not integers; DataError, naming the first bad label, its index and the count.

    >>> check_labels(jnp.array([0, 2, 3]), 3)
    Traceback (most recent call last):
    ...
    fnnet.errors.DataError: labels: label 3 at index 2 is not one of the 3 classes 0 … 2 (1 of 3 labels is out of range)
      Fix: number the classes from 0, or give the network one output for each class.
    """
    values = np.asarray(labels)
    if not (np.issubdtype(values.dtype, np.integer) or values.dtype == np.bool_):
        fix = "cast them, labels.astype(jnp.int32)."
        raise DtypeError(where, f"labels must be integers, got {values.dtype}", fix)
    # The smallest and the largest settle the usual case in one pass each, without a mask.
    if values.size == 0 or (values.min() >= 0 and values.max() < classes):
        return
    outside = (values < 0) | (values >= classes)
    if ignore is not None:
        outside &= values != ignore
    if outside.any():
        index, count = _first(outside), int(outside.sum())
        problem = (
            f"label {values[index]} at index {_shown(index)} is not one of the {classes} classes 0 … {classes - 1} "
            f"({count} of {values.size} labels {'is' if count == 1 else 'are'} out of range)"
        )
        raise DataError(where, problem, "number the classes from 0, or give the network one output for each class.")


def check_ignore(where: str, ignore: int | None) -> None:
    """Raise ValueError unless the label to leave out is None or a whole number.

    >>> check_ignore("accuracy", 1.5)
    Traceback (most recent call last):
    ...
    ValueError: accuracy: ignore must be a whole number, got 1.5
    """
    if ignore is not None:
        check_count(where, "ignore", ignore, least=-(2**31))


def check_value(where: str, name: str, value: Any, expected: str, holds: Callable[[Any], bool]) -> None:
    """Raise ValueError unless an option is one number for which `holds` is true, as far as it is known (not traced).

    >>> check_value("huber", "delta", -1.0, "a number above 0", lambda d: d > 0)
    Traceback (most recent call last):
    ...
    ValueError: huber: delta must be a number above 0, got -1.0
    """
    number = known(value)
    real = number is None or any(jnp.issubdtype(number.dtype, kind) for kind in (jnp.integer, jnp.floating))
    if np.ndim(value) or not real or (number is not None and not holds(number)):
        raise ValueError(f"{where}: {name} must be {expected}, got {value!r}")


def known(x: Any) -> np.ndarray | None:
    """Return the values of `x`, or None where they are traced or lie on other hosts."""
    if isinstance(x, jax.core.Tracer) or not getattr(x, "is_fully_addressable", True):
        return None
    return np.asarray(x)


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))


def _shown(index: tuple[int, ...]) -> str:
    return str(index[0]) if len(index) == 1 else str(index)
