"""Targets: what a column of labels or of numbers means, and how to read it with the classes of an earlier file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fnnet.data.arrays import Dataset
from fnnet.errors import DataError, near_matches

MOST_CLASSES = 100
"""Whole numbers in a text file are classes if there are at most so many different ones."""


def encode(
    values: np.ndarray, regression: bool | None = None, *, where: str = "target"
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return ``(y, classes)``: int32 labels with their names, or float32 targets of shape (n, k) and None.

    Text is classes, in alphabetical order. Integers are classes in increasing order; in text, if at most 100 differ.
    Anything else is regression. `regression` decides otherwise: True asks for numbers, False for classes.

    >>> import numpy as np
    >>> encode(np.array(["cat", "dog", "cat"]))
    (array([0, 1, 0], dtype=int32), ('cat', 'dog'))
    """
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind not in "biufUO":
        raise DataError(where, f"must be numbers or text, got dtype {values.dtype}", "convert it first.")
    if values.ndim == 2 and values.shape[1] == 1 and values.dtype.kind != "f":
        values = values[:, 0]
    from_text = values.dtype.kind in "UO"
    if from_text:
        values = _numbers(values)
    whole = values.dtype.kind in "biu" and values.ndim == 1
    if regression is None:
        few = not from_text or len(np.unique(values)) <= MOST_CLASSES
        regression = not (values.dtype.kind in "UO" or (whole and few))
    if regression:
        if values.dtype.kind in "UO":
            raise DataError(
                where,
                f"must be numbers for regression, got text such as {str(values[0])!r}",
                "choose another target, or regression=False.",
            )
        return as_float32(values, where).reshape(len(values), -1), None
    if values.ndim > 1 and values.shape[1:] != (1,):
        raise DataError(
            where, f"must be one label for each row, got shape {values.shape}", "pass labels of shape (n,)."
        )
    if values.dtype.kind == "f" and (np.isfinite(values) & (values == np.round(values))).all():
        values = values.astype(np.int64)  # a class is called "1", whether its file says 1 or 1.0
    names, labels = np.unique(values, return_inverse=True)
    return labels.reshape(-1).astype(np.int32), tuple(str(name) for name in names)


def relabel(dataset: Dataset, classes: Sequence[str] | None) -> Dataset:
    """Return `dataset` with its labels numbered by `classes`, those of the training data; None asks for numbers.

    Raises: DataError if a label is not one of `classes`, or must be a number and is none.

    >>> import numpy as np
    >>> relabel(Dataset(None, np.array([0, 0]), ("dog",)), ("cat", "dog")).y
    array([1, 1], dtype=int32)
    """
    if dataset.y is None or dataset.classes == (None if classes is None else tuple(classes)):
        return dataset._replace(classes=None if classes is None else tuple(classes))
    if classes is None:
        assert dataset.classes is not None
        y, _ = encode(np.array(dataset.classes), regression=True)
        return dataset._replace(y=y[np.asarray(dataset.y)], classes=None)
    if dataset.classes is None:
        y, names = encode(np.asarray(dataset.y), regression=False)
        dataset = dataset._replace(y=y, classes=names)
    assert dataset.classes is not None
    place = {name: n for n, name in enumerate(classes)}
    used = {dataset.classes[n] for n in np.unique(dataset.y)}
    for name in sorted(used - place.keys()):
        raise DataError("target", f"the label {name!r} is not a class of the training data", near_matches(name, place))
    table = np.array([place.get(name, -1) for name in dataset.classes], np.int32)
    return dataset._replace(y=table[np.asarray(dataset.y)], classes=tuple(classes))


def as_float32(values: np.ndarray, where: str) -> np.ndarray:
    """Return numbers as float32; DataError if a finite one is beyond its range (3.4e38). NaN and infinity pass."""
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    lost = np.isinf(result) & np.isfinite(values)
    if lost.any():
        place = tuple(int(i) for i in np.argwhere(lost)[0])
        problem = f"must be within the range of float32 (3.4e38), got {values[place]} at row {place[0]}"
        raise DataError(where, problem, "choose another unit.")
    return result


def _numbers(cells: np.ndarray) -> np.ndarray:
    """Return text as integers or else as floats, or unchanged where any cell is neither."""
    for kind in (np.int64, np.float64):
        try:
            return cells.astype(kind)
        except (ValueError, OverflowError):
            continue
    return cells.astype(str)
