"""Comparisons of pytrees that say what was got and what was expected, at the first place that differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet import tree
from fnnet.errors import needs_extra
from fnnet.testing.precision import Slopes

with needs_extra("fn.testing", "testing"):
    import chex

SHOWN = 8  # numbers of an array in a message


class DifferenceError(AssertionError):
    """What a law says is equal is not: what, at which path, what was got and what was expected."""

    def __init__(self, what: str, got: str, expected: str) -> None:
        super().__init__(what, got, expected)
        self.what, self.got, self.expected = what, got, expected

    def __str__(self) -> str:
        return f"{self.what}\n  got:      {self.got}\n  expected: {self.expected}"


def assert_alike(
    what: str,
    got: PyTree,
    expected: PyTree,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    slack: Callable[[], list[float]] | None = None,
) -> None:
    """Raise DifferenceError unless both are of one structure and shapes, and equal within rounding.

    Numbers may differ by `rtol` of their size and of the largest of their array, or by `atol` in place of the latter.
    Where they do not hold that, they may by what `slack` gives for the array too. nan is equal to nan.

    >>> assert_alike("twice", {"a": jnp.ones(2)}, {"a": jnp.array([1.0, 2.0])})
    Traceback (most recent call last):
    ...
    fnnet.testing.comparing.DifferenceError: twice, at a
      got:      [1. 1.]
      expected: [1. 2.]
    """
    assert_shapes_alike(what, got, expected, dtypes=False)
    pairs = zip(tree.flatten(got).items(), jax.tree.leaves(expected), strict=True)
    for number, ((path, a), b) in enumerate(pairs):
        a, b = _wide(a), _wide(b)
        finite = np.abs(b[np.isfinite(b)])
        most = max(atol, rtol * finite.max(initial=0.0))
        if _is_near(a, b, rtol, most) or (slack is not None and _is_near(a, b, rtol, most + slack()[number])):
            continue
        raise DifferenceError(at(what, path), shown(a), shown(b))


def assert_same(what: str, got: PyTree, expected: PyTree) -> None:
    """Raise DifferenceError unless both are of one structure, shapes and dtypes, and equal to the bit."""
    assert_shapes_alike(what, got, expected)
    for (path, a), b in zip(tree.flatten(got).items(), jax.tree.leaves(expected), strict=True):
        a, b = plain(a), plain(b)
        if not np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.inexact)):
            raise DifferenceError(at(what, path), shown(a), shown(b))


def equal(a: PyTree, b: PyTree) -> bool:
    """Whether the arrays of two pytrees of one structure are equal to the bit."""
    return all(np.array_equal(plain(x), plain(y)) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def assert_shapes_alike(what: str, got: PyTree, expected: PyTree, *, dtypes: bool = True) -> None:
    """Raise DifferenceError unless both are of one structure, of shapes and, with `dtypes`, dtypes."""
    check = chex.assert_trees_all_equal_shapes_and_dtypes if dtypes else chex.assert_trees_all_equal_shapes
    try:
        check(_abstract(got), _abstract(expected))
    except AssertionError as error:
        raise DifferenceError(what, _types(got), _types(expected)) from error


def assert_finite(what: str, got: PyTree) -> None:
    """Raise DifferenceError if any number is nan or infinite."""
    for path, leaf in tree.flatten(got).items():
        if not np.isfinite(_wide(leaf)).all():
            raise DifferenceError(at(what, path), shown(_wide(leaf)), "finite numbers")


def assert_no_nan(what: str, got: PyTree) -> None:
    """Raise DifferenceError if any number is nan; keys have none."""
    for path, leaf in tree.flatten(got).items():
        if np.isnan(_wide(leaf)).any():
            raise DifferenceError(at(what, path), shown(_wide(leaf)), "no nan")


def assert_slopes(found: Slopes, y: PyTree) -> None:
    """Raise DifferenceError unless both slopes that ``precision.slopes`` found are the difference, and it is a number.

    Where the value has a kink within the difference, one of either side is the slope. `y`: shapes and dtypes of the
    value. Where something of it is not float64 the message says so: what is rounded to less has no slope.
    """
    both_sides = found.differences[0]
    if not np.isfinite(both_sides):
        raise DifferenceError("the values at either side", f"differ by {shown(both_sides)}", "finite values")
    low = {str(leaf.dtype) for leaf in jax.tree.leaves(y) if jnp.issubdtype(leaf.dtype, jnp.floating)} - {"float64"}
    of = f", of y in {', '.join(sorted(low))} though all that it is made of is float64" if low else ""
    for way, slope in (("reverse", found.reverse), ("forward", found.forward)):
        if not np.isclose(slope, found.differences, rtol=1e-5, atol=1e-7 * max(1.0, float(found.size))).any():
            raise DifferenceError(f"the slope in {way} mode{of}", shown(slope), shown(both_sides))


def taken(function: Callable[..., Any], *given: PyTree) -> tuple[PyTree, Any]:
    """Return the arguments in NumPy's arrays, which can be changed in place, and the value of them.

    JAX's arrays, if the function fails on NumPy's: no law says that those are to be taken.
    """
    arrays = jax.tree.map(lambda leaf: leaf if is_key(leaf) else np.array(leaf), given)
    try:
        return arrays, function(*arrays)
    except Exception:
        return given, function(*given)


def shown(array: Any) -> str:
    """Return an array in words, one line: its numbers if they are few.

    >>> shown(np.arange(3.0)), shown(np.zeros((4, 5)))
    ('[0. 1. 2.]', 'shape (4, 5), from 0 to 0, first 0. 0. 0. 0. 0. 0. 0. 0.')
    """
    array = np.asarray(array)
    with np.printoptions(precision=7, suppress=False, linewidth=10_000, threshold=SHOWN):
        if array.size <= SHOWN:
            return " ".join(str(array).split())
        first = str(array.ravel()[:SHOWN])[1:-1].strip()
        return f"shape {array.shape}, from {array.min():.7g} to {array.max():.7g}, first {' '.join(first.split())}"


def is_key(leaf: Any) -> bool:
    """Whether an array is of typed random keys."""
    return hasattr(leaf, "dtype") and bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def plain(leaf: Any) -> np.ndarray:
    """Return an array as NumPy has it; keys as their numbers."""
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def at(what: str, path: str) -> str:
    """Return what is told of, with its path if it has one."""
    return f"{what}, at {path}" if path else what


def _is_near(a: np.ndarray, b: np.ndarray, rtol: float, atol: float) -> bool:
    return np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True)


def _wide(leaf: Any) -> np.ndarray:
    array = plain(leaf)
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)


def _abstract(value: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)), value)


def _types(value: PyTree) -> str:
    found = {path: tree.type_name(leaf) for path, leaf in tree.flatten(value).items()}
    return ", ".join(f"{path} {kind}".strip() for path, kind in found.items()) or "no array"
