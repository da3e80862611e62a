"""Weights of examples: by class, so that rare classes count as much as common ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, PyTree

from fnnet.data.arrays import Dataset
from fnnet.errors import DataError
from fnnet.shapes import check_count
from fnnet.targets import check_labels


def balanced(labels: Any, classes: int) -> Float[np.ndarray, classes]:
    r"""Return the weight of each class with which all classes weigh the same: :math:`n / (k \, n_c)`.

    n labels, of which :math:`n_c` are of class c, in k `classes`; of a class that does not occur the weight is 0.
    The mean weight of the labels is 1 if every class occurs.
    Raises: as ``fnnet.targets.check_labels`` for labels that are none of the `classes`.

    >>> balanced(np.array([0, 0, 0, 1]), 2)
    array([0.6666667, 2.       ], dtype=float32)
    """
    check_count("balanced", "classes", classes)
    check_labels(labels, classes, where="balanced")
    counts = np.bincount(np.ravel(labels), minlength=classes)
    return np.where(counts > 0, counts.sum() / (classes * np.maximum(counts, 1)), 0).astype(np.float32)


def weigh(data: PyTree, class_weights: Sequence[float] | np.ndarray) -> tuple[PyTree, Any, np.ndarray]:
    """Return ``(x, y, weight)`` with the weight of its class for each example, times the weight that it has.

    `data` is a ``Dataset``, ``(x, y)`` or ``(x, y, weight)`` with class labels y.
    Raises: DataError for other data; as ``fnnet.targets.check_labels`` for labels without a weight.

    >>> x, y, weight = weigh((np.ones((3, 1)), np.array([0, 1, 1])), [2.0, 0.5])
    >>> weight
    array([2. , 0.5, 0.5], dtype=float32)
    """
    arrays = data.arrays if isinstance(data, Dataset) else data
    if not isinstance(arrays, tuple) or len(arrays) not in (2, 3):
        raise DataError("weigh", f"expected (x, y) or (x, y, weight), got {type(data).__name__}", "pass a Dataset.")
    x, y, *own = arrays
    table = np.asarray(class_weights, np.float32)
    check_labels(y, len(table), where="weigh")
    weight = table[np.asarray(y)]
    return x, y, weight * np.asarray(own[0], np.float32) if own else weight
