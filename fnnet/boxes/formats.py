"""How four numbers say a box: corners or a corner or centre with sides, in pixels or in shares of the image.

x runs to the right and y downwards; a box from 0 to w has width w, so pixels are cells and not points.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.dtypes import at_least_float32
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.shapes import check_floating

Format: TypeAlias = Literal["xyxy", "xywh", "cxcywh"]
"""Two corners; the corner nearest 0 and the sides (COCO's); the centre and the sides (YOLO's)."""

Size: TypeAlias = tuple[Any, Any] | ArrayLike
"""(height, width) of an image, or an array (..., 2) of them, whose leading axes are those of the boxes."""


def convert(boxes: Float[ArrayLike, "*batch 4"], source: Format, target: Format) -> Float[Array, "*batch 4"]:
    r"""Say boxes in another format: ``"xyxy"``, ``"xywh"`` or ``"cxcywh"``.

    Shapes: ``(..., 4) -> (..., 4)``, of the dtype given. Sides are carried over unchanged between ``xywh`` and
    ``cxcywh``. Law: there and back gives the boxes, up to rounding.
    Raises: ValueError for an unknown format; DtypeError for integers, which have no half; ShapeError.

    >>> fn.boxes.convert(jnp.array([10.0, 20.0, 40.0, 60.0]), "xyxy", "cxcywh")
    Array([25., 40., 30., 40.], dtype=float32)
    """
    for name in (source, target):
        if name not in get_args(Format):
            raise ValueError(f"convert: the format must be one of {', '.join(get_args(Format))}, got {name!r}")
    x = as_boxes("convert", boxes)
    if source == target:
        return x
    place, sides = x[..., :2], x[..., 2:]
    if source == "xyxy":
        sides = sides - place
    elif source == "cxcywh":
        place = place - sides / 2
    if target == "xyxy":
        return jnp.concatenate([place, place + sides], -1)
    return jnp.concatenate([place + sides / 2 if target == "cxcywh" else place, sides], -1)


def normalize(boxes: Float[ArrayLike, "*batch 4"], size: Size) -> Float[Array, "*batch 4"]:
    """Turn pixels into shares of the image, in any format: x and width over the width, y and height over the height.

    `size` is (height, width), or an array (..., 2) of them with the leading axes of the boxes: (batch, 2) for boxes
    (batch, n, 4). Law: ``to_pixels`` undoes it, up to rounding.
    Raises: ValueError for a size that is known and not above 0; DtypeError for integer boxes; ShapeError.

    >>> fn.boxes.normalize(jnp.array([16.0, 12.0, 32.0, 48.0]), (48, 64))
    Array([0.25, 0.25, 0.5 , 1.  ], dtype=float32)
    """
    x = as_boxes("normalize", boxes)
    wide = x.astype(at_least_float32(x.dtype))
    return (wide / jnp.asarray(_scale("normalize", x.shape, size)).astype(wide.dtype)).astype(x.dtype)


def to_pixels(boxes: Float[ArrayLike, "*batch 4"], size: Size) -> Float[Array, "*batch 4"]:
    """Turn shares of the image into pixels, in any format; `size` and errors as of ``normalize``, which undoes it.

    >>> fn.boxes.to_pixels(jnp.array([0.25, 0.25, 0.5, 1.0]), (48, 64))
    Array([16., 12., 32., 48.], dtype=float32)
    """
    x = as_boxes("to_pixels", boxes)
    wide = x.astype(at_least_float32(x.dtype))
    return (wide * jnp.asarray(_scale("to_pixels", x.shape, size)).astype(wide.dtype)).astype(x.dtype)


def area(boxes: Float[ArrayLike, "*batch 4"]) -> Float[Array, "*batch"]:
    """Return the area of boxes ``xyxy``, in at least float32; that of an inverted one is 0.

    Shapes: ``(..., 4) -> (...)``. Raises: DtypeError for integers; ShapeError.

    >>> fn.boxes.area(jnp.array([[0.0, 0.0, 3.0, 2.0], [3.0, 0.0, 0.0, 2.0]]))
    Array([6., 0.], dtype=float32)
    """
    x = as_boxes("area", boxes)
    x = x.astype(at_least_float32(x.dtype))
    return jnp.maximum(x[..., 2] - x[..., 0], 0) * jnp.maximum(x[..., 3] - x[..., 1], 0)


def clip(boxes: Float[ArrayLike, "*batch 4"], size: Size) -> Float[Array, "*batch 4"]:
    """Return the part of boxes ``xyxy`` in pixels that is in the image; one quite outside has no area then.

    `size` and errors are those of ``normalize``. Law: clipping twice is clipping once.

    >>> fn.boxes.clip(jnp.array([-5.0, 2.0, 70.0, 9.0]), (48, 64))
    Array([ 0.,  2., 64.,  9.], dtype=float32)
    """
    x = as_boxes("clip", boxes)
    return jnp.clip(x, 0, jnp.asarray(_scale("clip", x.shape, size)).astype(x.dtype))


def check_boxes(
    boxes: ArrayLike,
    *,
    size: Size | None = None,
    valid: ArrayLike | None = None,
    allow_empty: bool = False,
    where: str = "boxes",
) -> None:
    """Raise unless every box ``xyxy`` is finite, not inverted, has an area and, if given a `size`, lies in the image.

    Looks at values, so it is for data in memory, outside ``jit``. Where `valid` (...) is False, nothing is asked of a
    box; `allow_empty` lets boxes without area pass. `size` is in the units of the boxes: (1, 1) for shares.
    Raises: DataError, naming the first bad box, its index and the count; DtypeError for integers; ShapeError.

    >>> fn.boxes.check_boxes(np.array([[0.0, 0.0, 4.0, 4.0], [3.0, 1.0, 2.0, 4.0]]))
    Traceback (most recent call last):
    ...
    fnnet.errors.DataError: boxes: box [3.0, 1.0, 2.0, 4.0] at index 1 is inverted (1 of 2 boxes is bad)
      Fix: boxes are (x1, y1, x2, y2) with x1 < x2 and y1 < y2: see fn.boxes.convert.
    """
    check_floating(where, boxes)
    values = np.asarray(boxes)
    _check_four(where, values.shape)
    # Every comparison with nan is False: a box that is not finite is of the first kind alone.
    low, high = values[..., :2], values[..., 2:]
    kinds = {"not finite": ~np.isfinite(values).all(-1), "inverted": (high < low).any(-1)}
    if not allow_empty:
        kinds["without area"] = (high == low).any(-1)
    if size is not None:
        limit = _scale(where, values.shape, size)[..., 2:]
        kinds[f"outside the image of {_shown_size(size)}"] = (low < 0).any(-1) | (high > limit).any(-1)
    bad = np.logical_or.reduce(list(kinds.values()))
    if valid is not None:
        if np.shape(valid) != bad.shape:
            problem = f"valid must have the shape {bad.shape} of the boxes, got {np.shape(valid)}"
            raise ShapeError(where, problem, "give one truth value for each box.")
        bad = bad & np.asarray(valid)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        kind = next(kind for kind, found in kinds.items() if found[index])
        count = int(bad.sum())
        at = f" at index {index[0] if len(index) == 1 else index}" if index else ""
        problem = (
            f"box {values[index].tolist()}{at} is {kind} "
            f"({count} of {bad.size} boxes {'is' if count == 1 else 'are'} bad)"
        )
        raise DataError(
            where, problem, _FIXES.get(kind, "fn.boxes.clip cuts boxes at the edges; size is (height, width).")
        )


_FIXES = {
    "not finite": "leave the box out, or mend it where it is read.",
    "inverted": "boxes are (x1, y1, x2, y2) with x1 < x2 and y1 < y2: see fn.boxes.convert.",
    "without area": "leave the box out; or say which boxes are meant, valid=...",
}


def as_boxes(where: str, boxes: Any) -> Float[Array, "*batch 4"]:
    """Return `boxes` as an array of JAX; DtypeError unless it is real floating-point, ShapeError unless (..., 4)."""
    check_floating(where, boxes)
    if jnp.issubdtype(boxes.dtype, jnp.complexfloating):
        raise DtypeError(where, f"boxes must be real, got {boxes.dtype}", "pass the real part.")
    _check_four(where, boxes.shape)
    return jnp.asarray(boxes)


def _check_four(where: str, shape: tuple[int, ...]) -> None:
    if not shape or shape[-1] != 4:
        problem = f"boxes must have shape (..., 4), got {tuple(shape)}"
        raise ShapeError(where, problem, "put the four numbers of a box on the last axis.")


def _scale(where: str, shape: tuple[int, ...], size: Size) -> Any:
    """Return (width, height, width, height) in the `shape` of the boxes: of NumPy where the size is known."""
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(size))
    xp: Any = jnp if traced else np
    array = xp.stack([xp.asarray(side) for side in size]) if isinstance(size, tuple) else xp.asarray(size)
    leading = array.shape[:-1]
    if array.shape[-1:] != (2,) or leading != shape[: len(leading)] or array.ndim > len(shape):
        problem = f"the size must be (height, width), or (..., 2) with leading axes of boxes {shape}"
        raise ShapeError(where, f"{problem}, got shape {array.shape}", "give one size for all, or one for each image.")
    if not traced and not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"{where}: height and width must be finite and above 0, got {array.tolist()}")
    array = array[..., np.array([1, 0, 1, 0])].reshape(*leading, *(1,) * (len(shape) - array.ndim), 4)
    return xp.broadcast_to(array, shape)


def _shown_size(size: Size) -> str:
    sides = np.asarray(size)
    return f"height {sides[0]} and width {sides[1]}" if sides.ndim == 1 else "its size"
