"""Data in memory: pytrees of arrays with one common leading axis, checked once where they enter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from fnnet import sampling, tree
from fnnet.core import Masked
from fnnet.errors import DataError, DtypeError


class Dataset(NamedTuple):
    """Named arrays: ``x`` (n, ...) float32, ``y`` (n,) int32 labels or (n, k) float32 targets.

    `classes` are the names of the labels 0, 1, ...; None in regression. `features` are the names of the columns of
    ``x``, empty where columns have none. Training takes ``dataset.arrays``, which is ``(x, y)``.
    """

    x: PyTree
    y: Any
    classes: tuple[str, ...] | None = None
    features: tuple[str, ...] = ()

    @property
    def arrays(self) -> tuple[PyTree, Any]:
        """Return ``(x, y)``, the pytree that training takes."""
        return self.x, self.y


def length(data: PyTree) -> int:
    """Return the number of rows of a ``Dataset`` or of a pytree with a common leading axis.

    Raises: DataError if there are no arrays or no rows, a leaf has no leading axis, or two leading axes differ.

    >>> length((jnp.ones((5, 2)), jnp.zeros(5)))
    5
    """
    return sampling.length(_named(data))


def take(data: Any, rows: Any) -> Any:
    """Return the given rows of every array, as the same structure; a ``Dataset`` keeps its names.

    >>> take((jnp.arange(4), jnp.arange(4) * 10), jnp.array([2, 0]))
    (Array([2, 0], dtype=int32), Array([20,  0], dtype=int32))
    """
    if isinstance(data, Dataset):
        return data._replace(x=take(data.x, rows), y=take(data.y, rows))
    return jax.tree.map(lambda leaf: leaf[rows], data)


def check(data: PyTree, batch_size: int | None = None) -> None:
    """Raise unless `data` can be trained on: rows that agree, numbers that are finite, and enough rows for a batch.

    The padding of a ``Masked`` may hold anything.

    Raises: DataError for data that are empty, of unequal lengths, not finite (with the first place and how many), of
    negative weights, or fewer than `batch_size`; DtypeError for an array that does not hold numbers.

    >>> check((jnp.array([[1.0], [jnp.nan]]), jnp.array([0, 1])))
    Traceback (most recent call last):
    ...
    fnnet.errors.DataError: data: x must be finite, got nan at row 1, column 0; 1 such value(s) in all
      Fix: drop or fill these rows.
    """
    rows = length(data)
    if batch_size is not None:
        sampling.check_batch_size(rows, batch_size)
    features = data.features if isinstance(data, Dataset) else ()
    for name, leaf in tree.flatten(_zero_padding(_named(data))).items():
        _check_finite(name or "the array", np.asarray(leaf), features if name == "x" else ())
        if name == "weight" and (np.asarray(leaf) < 0).any():
            row = int(np.argmax((np.asarray(leaf) < 0).reshape(rows, -1).any(1)))
            raise DataError("data", f"weights must be at least 0, got a negative one at row {row}", "drop such rows.")


def split(
    dataset: Any, fractions: Sequence[float] = (0.8, 0.2), *, seed: int = 0, stratify: bool | None = None
) -> tuple[Any, ...]:
    """Return disjoint random parts of a ``Dataset`` or of ``(x, y)``, one for each fraction, together all rows.

    The parts' sizes are the exact shares rounded by largest remainder. With `stratify` (by default where ``y`` holds
    integer labels) each part has the classes in the proportions of the whole, rounded by largest remainder too: in two
    parts every class is within one row of its exact share. The same arguments give the same parts on every machine.

    Raises: ValueError if the fractions are not positive with sum 1, or y cannot be stratified; DataError if a part
    would be empty.

    >>> train, test = split((jnp.ones((10, 2)), jnp.array([0] * 5 + [1] * 5)), (0.6, 0.4))
    >>> sorted(train[1].tolist()), sorted(test[1].tolist())
    ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1])
    """
    if isinstance(fractions, int | float):
        raise ValueError(f"split: fractions must be one for each part, such as (0.8, 0.2), got {fractions}")
    fractions = tuple(float(fraction) for fraction in fractions)
    if not fractions or min(fractions) <= 0 or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        raise ValueError(f"split: fractions must be positive with sum 1, got {fractions}")
    rows = length(dataset)
    y = dataset[1] if isinstance(dataset, tuple) and len(dataset) > 1 else None
    labels = y is not None and getattr(y, "ndim", 0) == 1 and np.issubdtype(np.asarray(y).dtype, np.integer)
    if stratify and not labels:
        raise ValueError("split: stratify needs y to be integer labels of shape (n,), use stratify=False")
    groups = np.asarray(y) if labels and stratify is not False else np.zeros(rows, np.int32)
    shuffled = _permutation(rows, seed)
    parts = _stratified_parts(shuffled, groups[shuffled], fractions)
    return tuple(take(dataset, part) for part in parts)


def _named(data: PyTree) -> PyTree:
    """Return `data` with the parts of a tuple under their names, x, y and weight, for messages to use."""
    if isinstance(data, Dataset):
        data = data.arrays
    if isinstance(data, tuple) and not hasattr(data, "_fields") and len(data) <= 3:
        return dict(zip(("x", "y", "weight"), data, strict=False))
    return data


def _zero_padding(data: PyTree) -> PyTree:
    """Return `data` with zeros for the padding of every ``Masked``, which may hold anything."""

    def zeroed(node: Any) -> Any:
        if not isinstance(node, Masked):
            return node
        values, mask = np.asarray(node.values), np.asarray(node.mask)
        if mask.shape != values.shape[: mask.ndim]:
            problem = f"a mask must have the leading axes of its values, {values.shape}, got {mask.shape}"
            raise DataError("data", problem, "pass Masked(values of (n, time, features), mask of (n, time)).")
        real = mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))
        return {"values": np.where(real, values, np.zeros((), values.dtype)), "mask": mask}

    return jax.tree.map(zeroed, data, is_leaf=lambda node: isinstance(node, Masked))


def _check_finite(name: str, array: np.ndarray, features: Sequence[str]) -> None:
    """Raise unless `array` holds finite numbers; the error names the first place."""
    if array.dtype.kind in "OSUMm":
        raise DtypeError("data", f"{name} must hold numbers, got dtype {array.dtype}", "encode it as numbers first.")
    if array.dtype.kind in "biu":
        return
    if array.dtype in (np.float32, np.float64) and np.isfinite(np.vdot(array, array)):
        return  # a sum of squares that is finite has finite terms, and is the fastest way to know
    finite = np.isfinite(array)
    if finite.all():
        return
    bad = ~finite
    row, *rest = (int(i) for i in np.argwhere(bad)[0])
    column = ""
    if len(rest) == 1:
        column = f", column {rest[0]}" + (f" ({features[rest[0]]!r})" if len(features) == array.shape[1] else "")
    elif rest:
        column = f", position {tuple(rest)}"
    raise DataError(
        "data",
        f"{name} must be finite, got {array[(row, *rest)]} at row {row}{column}; {int(bad.sum())} such value(s) in all",
        "drop or fill these rows.",
    )


def _permutation(rows: int, seed: int) -> np.ndarray:
    """Return a random order of rows, from the raw stream of PCG64, which no NumPy release changes."""
    return np.argsort(np.random.PCG64(seed).random_raw(rows), kind="stable")


def _largest_remainder(shares: np.ndarray, total: int) -> np.ndarray:
    """Return integers of sum `total`, each the floor or ceiling of its share; ties go to the first."""
    counts = np.floor(shares + 1e-9).astype(int)
    extra = np.argsort(-(shares - counts), kind="stable")[: total - counts.sum()]
    counts[extra] += 1
    return counts


def _stratified_parts(rows: np.ndarray, groups: np.ndarray, fractions: Sequence[float]) -> list[np.ndarray]:
    """Return `rows` in disjoint parts with the groups in proportion: parts are cut off one after another."""
    sizes = _largest_remainder(np.array(fractions) * len(rows), len(rows))
    if not all(sizes):
        raise DataError(
            "split",
            f"every part must have a row, got parts of {tuple(sizes.tolist())} of {len(rows)} rows",
            "use larger fractions, or more data.",
        )
    parts = []
    for size in sizes[:-1]:
        _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
        wanted = _largest_remainder(counts * (size / len(rows)), size) if len(rows) else counts
        rank = np.empty(len(rows), int)  # of each row among those of its group
        rank[np.argsort(group, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
        chosen = rank < wanted[group]
        parts.append(rows[chosen])
        rows, groups = rows[~chosen], groups[~chosen]
    return [*parts, rows]
