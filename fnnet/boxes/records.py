"""What is found and what is there: detections and objects of images, padded to one number an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.shapes import check_count, check_floating


class Detections(NamedTuple):
    """Boxes that a network found, n an image, ``xyxy``; what is not `valid` is padding, left out of everything."""

    boxes: Float[Array, "*batch n 4"]
    scores: Float[Array, "*batch n"]
    classes: Int[Array, "*batch n"]
    valid: Bool[Array, "*batch n"]


class Objects(NamedTuple):
    """Boxes that are there, n an image, ``xyxy``; what is not `valid` is padding, left out of everything.

    `crowd`: the box is around many. `ignore`: not to be found, and not to be minded if it is (VOC's difficult).
    `areas`: those of the objects' outlines, if not of their boxes. None stands for no such object, and for the boxes'.
    """

    boxes: Float[Array, "*batch n 4"]
    classes: Int[Array, "*batch n"]
    valid: Bool[Array, "*batch n"]
    crowd: Bool[Array, "*batch n"] | None = None
    ignore: Bool[Array, "*batch n"] | None = None
    areas: Float[Array, "*batch n"] | None = None


Image: TypeAlias = Objects | tuple[Any, Any]
"""The objects of one image: ``Objects`` of n, or (boxes (n, 4), classes (n,))."""


def pad_objects(images: Sequence[Image], count: int | None = None) -> Objects:
    """Put the objects of images of unequal numbers into arrays of NumPy, padded to `count` an image, or the most.

    Objects that are not valid are left out, and the order of the others is kept; padding is 0 and False. What one image
    has beside boxes and classes, all have: False, and the areas of the boxes, where it is not given. An image
    without objects has boxes of shape (0, 4). Shapes: ``(n_i, 4), (n_i,)`` each -> ``(images, count, 4), ...``.
    Raises: DataError if there is no image, or one has more than `count`; DtypeError unless boxes are floating-point and
    classes are integers; ShapeError.

    >>> one, none = (np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([7])), (np.zeros((0, 4)), np.zeros(0, int))
    >>> objects = fn.boxes.pad_objects([one, none], count=2)
    >>> objects.boxes.shape, objects.classes.tolist(), objects.valid.tolist()
    ((2, 2, 4), [[7, 0], [0, 0]], [[True, False], [False, False]])
    """
    if not images:
        raise DataError("pad_objects", "expected at least one image, got none", "pass a list of (boxes, classes).")
    rows = [_row(f"pad_objects: image {number}", image) for number, image in enumerate(images)]
    numbers = [len(row.boxes) for row in rows]
    most = max(numbers)
    count = most if count is None else check_count("pad_objects", "count", count, least=0)
    if most > count:
        problem = f"image {numbers.index(most)} has {most} objects, and there is room for count={count}"
        raise DataError("pad_objects", problem, f"pass count={most} or more, or leave objects out.")
    # An image without objects is often made without a thought of its dtype.
    dtype = np.result_type(*[row.boxes.dtype for row in rows if len(row.boxes)] or [rows[0].boxes.dtype])

    def padded(parts: list[Any], dtype: Any) -> Any:
        whole = np.zeros((len(rows), count, *parts[0].shape[1:]), dtype)
        for row, part in zip(whole, parts, strict=True):
            row[: len(part)] = part
        return whole

    def optional(name: str, dtype: Any) -> Any:
        parts = [getattr(row, name) for row in rows]
        if all(part is None for part in parts):
            return None
        default = _areas if name == "areas" else _false
        return padded([default(row) if part is None else part for row, part in zip(rows, parts, strict=True)], dtype)

    return Objects(
        padded([row.boxes for row in rows], dtype),
        padded([row.classes for row in rows], np.int32),
        padded([np.ones(number, bool) for number in numbers], bool),
        optional("crowd", bool),
        optional("ignore", bool),
        optional("areas", dtype),
    )


def check_objects(where: str, objects: Any, leading: tuple[int, ...] | None = None) -> None:
    """Raise unless these are objects whose fields fit together, with these `leading` axes if they are given."""
    if not isinstance(objects, Objects):
        raise TypeError(f"{where}: expected fn.boxes.Objects, got {type(objects).__name__}; see fn.boxes.pad_objects")
    shape = np.shape(objects.boxes)
    images = "..." if leading is None else ", ".join(map(str, leading))
    if len(shape) < 2 or shape[-1] != 4 or (leading is not None and shape[:-2] != leading):
        fix = "pad the objects of all images to one number: fn.boxes.pad_objects."
        expected = f"({images}, n, 4)" if images else "(n, 4)"
        raise ShapeError(where, f"the boxes must have shape {expected}, got {shape}", fix)
    if not jnp.issubdtype(objects.boxes.dtype, jnp.floating):
        problem = f"the boxes must be real floating-point, got {objects.boxes.dtype}"
        raise DtypeError(where, problem, "cast them: boxes.astype(jnp.float32).")
    for name, field in zip(Objects._fields[1:], objects[1:], strict=True):
        if field is not None and np.shape(field) != shape[:-1]:
            problem = f"{name} must have the shape {shape[:-1]} of the boxes, got {np.shape(field)}"
            raise ShapeError(where, problem, "give one for each box.")


def _row(where: str, image: Image) -> Objects:
    """Return the valid objects of one image, as arrays of NumPy."""
    if isinstance(image, Objects):
        given = image
    elif isinstance(image, tuple | list) and len(image) == 2:
        given = Objects._make([*image, np.ones(np.shape(image[1]), bool), None, None, None])
    else:
        raise ShapeError(
            where, f"expected Objects or (boxes, classes), got {type(image).__name__}", "pass one of these."
        )
    check_floating(where, given.boxes)
    arrays = Objects._make(None if field is None else np.asarray(field) for field in given)
    if arrays.boxes.ndim != 2 or arrays.boxes.shape[1] != 4:
        fix = "the boxes of one image are (n, 4), of one without objects (0, 4)."
        raise ShapeError(where, f"boxes must have shape (n, 4), got {arrays.boxes.shape}", fix)
    for name, field in zip(Objects._fields[1:], arrays[1:], strict=True):
        if field is not None and field.shape != arrays.boxes.shape[:1]:
            problem = f"for {len(arrays.boxes)} boxes, {name} must have shape ({len(arrays.boxes)},), got {field.shape}"
            raise ShapeError(where, problem, "give one for each box.")
    if arrays.classes.dtype.kind not in "iu" and len(arrays.classes):
        fix = "number the classes from 0, and cast them, classes.astype(np.int32)."
        raise DtypeError(where, f"classes must be integers, got {arrays.classes.dtype}", fix)
    kept = arrays.valid.astype(bool)
    return Objects._make(None if field is None else field[kept] for field in arrays)


def _false(row: Objects) -> np.ndarray:
    return np.zeros(len(row.boxes), bool)


def _areas(row: Objects) -> np.ndarray:
    x1, y1, x2, y2 = np.asarray(row.boxes).T
    return np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
