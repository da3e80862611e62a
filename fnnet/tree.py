"""Arithmetic and paths of pytrees: parameters, gradients and moments are added and scaled as vectors are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import reduce
from operator import add as _plus
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from fnnet.dtypes import at_least_float32, magnitude_squared
from fnnet.errors import DtypeError, PathError, near_matches

map = jax.tree.map  # noqa: A001 - read as tree.map


def zeros_like(tree: PyTree, dtype: Any = None) -> PyTree:
    """Return zeros of the shapes of `tree`, of its dtypes or of `dtype`.

    >>> zeros_like({"w": jnp.ones(2)})
    {'w': Array([0., 0.], dtype=float32)}
    """
    return map(lambda leaf: jnp.zeros_like(leaf, dtype=dtype), tree)


def add(a: PyTree, b: PyTree) -> PyTree:
    """Return a + b, leaf by leaf, in the dtype of `a`.

    >>> add({"w": jnp.ones(2)}, {"w": jnp.ones(2)})["w"]
    Array([2., 2.], dtype=float32)
    """
    return map(lambda x, y: x + jnp.asarray(y).astype(jnp.asarray(x).dtype), a, b)


def scale(factor: Array | float, tree: PyTree) -> PyTree:
    """Return factor · tree, each leaf in its own dtype. Raises: DtypeError for leaves of integers.

    >>> scale(2.0, {"w": jnp.ones(2)})
    {'w': Array([2., 2.], dtype=float32)}
    """

    def scaled(leaf: Array) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            raise DtypeError("tree.scale", f"leaves must be floating-point, got {leaf.dtype}", "cast them first.")
        return leaf * jnp.asarray(factor).astype(leaf.dtype)

    return map(scaled, tree)


def squared_norm(tree: PyTree) -> Array:
    """Return the sum of squared magnitudes over all leaves, accumulated in at least float32; a scalar.

    >>> squared_norm({"a": jnp.array([3.0]), "b": jnp.array([4.0])})
    Array(25., dtype=float32)
    """
    squares = [_sum_of_squares(leaf) for leaf in jax.tree.leaves(tree)]
    return reduce(_plus, squares) if squares else jnp.zeros(())


@jax.custom_jvp
def norm(tree: PyTree) -> Array:
    r"""Return the Euclidean norm of all leaves taken as one vector; a scalar, in at least float32.

    Where squares would overflow or vanish, those of scaled values are taken. Its derivative,
    :math:`x / \lVert x \rVert`, is 0 at 0.

    >>> float(norm({"a": jnp.array([3.0]), "b": jnp.array([4.0])}))
    5.0
    >>> bool(norm(jnp.array([3e30, 4e30])) == 5e30)
    True
    """
    size = jnp.sqrt(squared_norm(tree))
    exact = jnp.isfinite(size) & (size > jnp.finfo(size.dtype).tiny ** 0.5 * 1e6)
    return jax.lax.cond(exact, _as_it_is, _scaled_norm, size, tree) if jax.tree.leaves(tree) else size


def _as_it_is(size: Array, tree: PyTree) -> Array:
    return size


def _scaled_norm(size: Array, tree: PyTree) -> Array:
    unit = _unit(_largest_of_all(tree, size.dtype))
    return unit * jnp.sqrt(squared_norm(map(lambda leaf: _over(_wide(leaf), unit), tree)))


@norm.defjvp
def _norm_jvp(primals: tuple[PyTree], tangents: tuple[PyTree]) -> tuple[Array, Array]:
    (tree,), (change,) = primals, tangents
    size = norm(tree)
    unit = _unit(_largest_of_all(tree, size.dtype))
    ratio = jnp.where(size > 0, size / unit, 1)

    def along(x: Array, dx: Array) -> Array:
        direction = _over(_over(_wide(x), unit), ratio)
        return jnp.sum(jnp.real(jnp.conj(direction) * _wide(dx))).astype(size.dtype)

    return size, sum(jax.tree.leaves(map(along, tree, change)), jnp.zeros_like(size))


def leaf_norm(leaf: Array, axes: tuple[int, ...] | None = None) -> Array:
    """Return the norm of one array, as `norm` does; over `axes`, which are kept with size 1, if they are given.

    >>> leaf_norm(jnp.array([[3.0, 1.0], [4.0, 0.0]]), axes=(0,))
    Array([[5., 1.]], dtype=float32)
    """
    x = _wide(leaf)
    unit = _unit(_largest(x, axes))
    squares = jnp.sum(magnitude_squared(_over(x, unit)), axis=axes, keepdims=axes is not None)
    zero = squares == 0
    return unit * jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares)))  # with derivative 0 there


def size(tree: PyTree) -> int:
    """Return the number of elements in all leaves; leaves may be ``jax.ShapeDtypeStruct``.

    >>> size({"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)})
    8
    """
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def nbytes(tree: PyTree) -> int:
    """Return the bytes that all leaves take; leaves may be ``jax.ShapeDtypeStruct``.

    >>> nbytes({"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)})
    32
    """
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def path_name(path: tuple[Any, ...]) -> str:
    """Return a key path of ``jax.tree_util`` as ``dense_0/kernel``.

    >>> path_name((jax.tree_util.DictKey("dense_0"), jax.tree_util.DictKey("kernel")))
    'dense_0/kernel'
    """
    return jax.tree_util.keystr(path, simple=True, separator="/")


def flatten(tree: PyTree) -> dict[str, Any]:
    """Return the leaves by path, in the order of ``jax.tree.leaves``.

    >>> list(flatten({"dense_0": {"kernel": 1, "bias": 2}}))
    ['dense_0/bias', 'dense_0/kernel']
    """
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def map_with_path(function: Callable[..., Any], tree: PyTree, *rest: PyTree) -> PyTree:
    """Return ``function(path, leaf, ...)`` of every leaf, with the path as ``dense_0/kernel``.

    >>> map_with_path(lambda path, leaf: (path, leaf), {"a": {"b": 1}})
    {'a': {'b': ('a/b', 1)}}
    """
    return jax.tree_util.tree_map_with_path(lambda path, *leaves: function(path_name(path), *leaves), tree, *rest)


def difference(got: PyTree, expected: PyTree) -> str:
    """Return in words how the paths, shapes and dtypes of `got` differ from those of `expected`; "" if they do not.

    >>> difference({"a": jnp.ones(2), "b": jnp.ones(3)}, {"a": jnp.ones(4), "c": jnp.ones(3)})
    "missing 'c'; unexpected 'b'; 'a' is float32[2], expected float32[4]"
    """
    a, b = ({name: type_name(leaf) for name, leaf in flatten(tree).items()} for tree in (got, expected))
    words = unlike(a, b)
    if not words and len({jax.tree.structure(got), jax.tree.structure(expected)}) > 1:
        words = "its containers differ"
    return words


def unlike(got: Mapping[str, str], expected: Mapping[str, str], most: int = 3) -> str:
    """Return in words how the types by path differ, naming at most `most` paths of each kind; "" if they do not.

    >>> unlike({"a": "float32[2]", "b": "float32[]"}, {"a": "float32[4]"})
    "unexpected 'b'; 'a' is float32[2], expected float32[4]"
    """
    missing, unexpected = expected.keys() - got.keys(), got.keys() - expected.keys()
    words = [f"missing {_listed(missing, most)}"] if missing else []
    words += [f"unexpected {_listed(unexpected, most)}"] if unexpected else []
    others = [name for name in got if name in expected and got[name] != expected[name]]
    words += [f"{name!r} is {got[name]}, expected {expected[name]}" for name in others[:most]]
    words += [f"and {len(others) - most} more differ"] if len(others) > most else []
    return "; ".join(words)


def type_name(leaf: Any) -> str:
    """Return the dtype and shape of an array, a number or a ``jax.ShapeDtypeStruct``.

    >>> type_name(jnp.ones((2, 3)))
    'float32[2,3]'
    """
    return f"{jnp.result_type(leaf)}[{','.join(str(n) for n in jnp.shape(leaf))}]"


def matches(pattern: str, path: str) -> bool:
    """Return whether `pattern` is the path, one of its parents, or a glob that fits either.

    >>> matches("dense_0", "dense_0/kernel"), matches("*/bias", "dense_0/bias"), matches("dense", "dense_0/bias")
    (True, True, False)
    """
    parts = path.split("/")
    return any(fnmatchcase("/".join(parts[: n + 1]), pattern) for n in range(len(parts)))


def mask(tree: PyTree, patterns: str | Iterable[str], *, where: str = "tree") -> PyTree:
    """Return a tree of booleans, True at the leaves that any pattern matches.

    Raises: PathError, with the nearest paths, if a pattern matches no leaf.

    >>> mask({"a": {"kernel": 0.0, "bias": 0.0}}, "*/bias")
    {'a': {'bias': True, 'kernel': False}}
    """
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    paths = list(flatten(tree))
    for pattern in patterns:
        if not any(matches(pattern, path) for path in paths):
            fix = near_matches(
                pattern, {"/".join(p.split("/")[: n + 1]) for p in paths for n in range(p.count("/") + 1)}
            )
            raise PathError(where, f"no path matches {pattern!r}", fix)
    return map_with_path(lambda path, _: any(matches(pattern, path) for pattern in patterns), tree)


def _listed(names: Iterable[str], most: int) -> str:
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def _sum_of_squares(leaf: Any) -> Array:
    return jnp.sum(magnitude_squared(_wide(leaf)))


def _wide(leaf: Any) -> Array:
    """Return a leaf in at least float32, one of integers too."""
    leaf = jnp.asarray(leaf)
    inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
    return leaf.astype(at_least_float32(leaf.dtype) if inexact else jnp.float32)


def _over(leaf: Array, divisor: Array) -> Array:
    return leaf / divisor.astype(leaf.dtype)


def _largest(x: Array, axes: tuple[int, ...] | None = None) -> Array:
    """Return the largest magnitude of a part, real or imaginary: that of a whole complex number may overflow."""
    parts = (jnp.real(x), jnp.imag(x)) if jnp.iscomplexobj(x) else (x,)
    kept = axes is not None
    return reduce(jnp.maximum, [jnp.max(jnp.abs(part), axis=axes, keepdims=kept, initial=0) for part in parts])


def _largest_of_all(tree: PyTree, dtype: Any) -> Array:
    sizes = [_largest(_wide(leaf)).astype(dtype) for leaf in jax.tree.leaves(tree)]
    return reduce(jnp.maximum, sizes, jnp.zeros((), dtype))


def _unit(largest: Array) -> Array:
    """Return what values up to `largest` are divided by, so that neither a square nor the inverse of this leaves range.

    1 for zero, and for what is not finite. A norm's derivative by its unit is 0.
    """
    most = 1 / jnp.finfo(largest.dtype).tiny
    fine = (largest > 0) & jnp.isfinite(largest)
    return jax.lax.stop_gradient(jnp.where(fine, jnp.minimum(largest, most), 1))
