"""What has been seen: the detections and the objects of batches of images, checked, without their padding."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from fnnet.boxes import Detections, Objects
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.targets import known

_KINDS = {"classes": "integers", "valid": "bool", "crowd": "bool", "ignore": "bool"}
_DTYPES = {"integers": (jnp.integer,), "bool": (jnp.bool_,), "real numbers": (jnp.integer, jnp.floating)}


class Seen(NamedTuple):
    """Detections and objects of some images, side by side; `image` and `object_image` are places in `images`.

    `images` holds the number that was given for each image, -1 where none was.
    """

    images: Int[np.ndarray, " images"]
    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, " n"]
    classes: Int[np.ndarray, " n"]
    image: Int[np.ndarray, " n"]
    object_boxes: Float[np.ndarray, "m 4"]
    object_classes: Int[np.ndarray, " m"]
    object_image: Int[np.ndarray, " m"]
    crowd: Bool[np.ndarray, " m"]
    ignore: Bool[np.ndarray, " m"]
    areas: Float[np.ndarray, " m"]


_WHOLE, _REAL, _BOXES, _FLAGS = np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 4)), np.zeros(0, bool)
_NOTHING = Seen(_WHOLE, _BOXES, _REAL, _WHOLE, _WHOLE, _BOXES, _WHOLE, _WHOLE, _FLAGS, _FLAGS, _REAL)


def gather(
    where: str, prediction: Detections, target: Objects, weight: Any, image: Any, classes: int, edge: float
) -> Seen:
    """Return what is valid in the images that weigh 1; `edge` is added to the sides of a box for its area.

    Raises: TypeError, ShapeError, DtypeError, DataError, each naming the field and the first wrong value.
    """
    said = _fields(where, "prediction", prediction, Detections)
    there = _fields(where, "target", target, Objects)
    leading = there["boxes"].shape[:-2]
    if said["boxes"].shape[:-2] != leading:
        problem = f"prediction and target must have the same images, got leading axes {said['boxes'].shape[:-2]}"
        raise ShapeError(where, f"{problem} and {leading}", "pass the detections and the objects of the same images.")
    kept = _kept(where, weight, leading)
    images = _numbers(where, image, leading)[kept]
    found, owner = _valid(where, "prediction", said, kept, classes)
    objects, object_owner = _valid(where, "target", there, kept, classes)
    width, height = (objects["boxes"][:, axis + 2] - objects["boxes"][:, axis] + edge for axis in (0, 1))
    none = np.zeros(len(object_owner), bool)
    crowd, ignore = objects.get("crowd", none), objects.get("ignore", none)
    of_objects = objects["boxes"], objects["classes"], object_owner, crowd, ignore, objects.get("areas", width * height)
    return Seen(images, found["boxes"], found["scores"], found["classes"], owner, *of_objects)


def joined(where: str, parts: tuple[Seen, ...]) -> Seen:
    """Return all parts as one, the images in the order of their numbers; those without a number as they came, first.

    Raises: DataError if an image is there twice.
    """
    before = np.cumsum([0, *(len(part.images) for part in parts)])
    shifted = [
        part._replace(image=part.image + start, object_image=part.object_image + start)
        for part, start in zip(parts, before[:-1], strict=True)
    ]
    seen = Seen(*(np.concatenate(columns) for columns in zip(_NOTHING, *shifted, strict=True)))
    order = np.argsort(seen.images, kind="stable")
    images = seen.images[order]
    if (twice := (images[1:] == images[:-1]) & (images[1:] >= 0)).any():
        problem = f"image {images[1:][twice][0]} is there twice"
        raise DataError(where, problem, "give each image once, and weight 0 to those that fill up a batch.")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return seen._replace(images=images, image=place[seen.image], object_image=place[seen.object_image])


def _fields(where: str, name: str, record: Any, kind: type[Detections | Objects]) -> dict[str, np.ndarray]:
    """Return the arrays of a record, those that are there, after a look at their shapes and dtypes."""
    if not isinstance(record, kind):
        raise TypeError(f"{where}: the {name} must be fn.boxes.{kind.__name__}, got {type(record).__name__}")
    values = {field: known(x) for field, x in record._asdict().items() if x is not None}
    fields = {field: x for field, x in values.items() if x is not None}
    if len(fields) < len(values):
        problem = f"is computed on the host, from arrays whose values are known; the {name}'s are not (jit, vmap)"
        raise DataError(where, problem, "predict first (fn.predict), and update outside of transformations.")
    for field in kind._fields:
        if field not in fields and field not in kind._field_defaults:
            raise TypeError(f"{where}: the {name} must have {field}, got None")
    shape = fields["boxes"].shape
    if len(shape) < 2 or shape[-1] != 4:
        problem = f"the {name}'s boxes must have shape (..., n, 4), got {shape}"
        raise ShapeError(where, problem, "pass boxes of one image (n, 4), or of a batch, padded to (B, n, 4).")
    for field, x in fields.items():
        if field != "boxes" and x.shape != shape[:-1]:
            problem = f"the {name}'s {field} must have shape {shape[:-1]}, as its boxes {shape} have, got {x.shape}"
            raise ShapeError(where, problem, "pass one value for each box.")
        expected = _KINDS.get(field, "real numbers")
        if not any(jnp.issubdtype(x.dtype, kind) for kind in _DTYPES[expected]):
            raise DtypeError(where, f"the {name}'s {field} must be {expected}, got {x.dtype}", "cast them.")
    return fields


def _kept(where: str, weight: Any, leading: tuple[int, ...]) -> Bool[np.ndarray, " images"]:
    w = np.ones(leading) if weight is None else known(weight)
    if w is None:
        raise DataError(where, "the weight must be known, got a traced one", "update outside of transformations.")
    if w.shape != leading:
        problem = f"the weight must have one value an image, shape {leading}, got {w.shape}"
        raise ShapeError(where, problem, "pass 1 for an image that counts and 0 for one that does not.")
    if not (sound := (w == 0) | (w == 1)).all():
        problem = f"a weight must be 0 or 1, got {w[~sound][0]}"
        raise DataError(where, problem, "an image counts or it does not: pass weight != 0.")
    return np.asarray(w != 0).reshape(-1)


def _numbers(where: str, image: Any, leading: tuple[int, ...]) -> Int[np.ndarray, " images"]:
    if image is None:
        return np.full(leading, -1, np.int64).reshape(-1)
    numbers = np.asarray(image)
    if numbers.shape != leading or numbers.dtype.kind not in "iu":
        problem = f"image must be integers of shape {leading}, got {numbers.dtype} of shape {numbers.shape}"
        raise ShapeError(where, problem, "pass one number for each image.")
    if (numbers < 0).any():
        raise DataError(where, f"the number of an image must be at least 0, got {numbers.min()}", "number them from 0.")
    return numbers.astype(np.int64).reshape(-1)


def _valid(
    where: str, name: str, fields: dict[str, np.ndarray], kept: Bool[np.ndarray, " images"], classes: int
) -> tuple[dict[str, np.ndarray], Int[np.ndarray, " n"]]:
    """Return the valid entries of the images kept, checked, and the place of each one's image."""
    shape = (len(kept), fields["valid"].shape[-1])
    valid = fields["valid"].reshape(shape)[kept]
    owner = np.nonzero(valid)[0]
    rows = {
        field: x.reshape(*shape, *x.shape[fields["valid"].ndim :])[kept][valid]
        for field, x in fields.items()
        if field != "valid"
    }
    rows |= {field: rows[field].astype(np.float64) for field in {"boxes", "scores", "areas"} & set(rows)}
    rows["classes"] = rows["classes"].astype(np.int64)

    def refuse(wrong: np.ndarray, field: str, must: str, fix: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            got = f"{rows[field][row].tolist()} in image {np.flatnonzero(kept)[owner[row]]} of the batch"
            raise DataError(where, f"the {name}'s {field} must be {must}, got {got} ({wrong.sum()} such)", fix)

    boxes, drop = rows["boxes"], "drop them, or mark them as not valid."
    refuse(~np.isfinite(boxes).all(-1), "boxes", "finite", drop)
    refuse((boxes[:, 2:] < boxes[:, :2]).any(-1), "boxes", "corners (x1, y1, x2, y2), x1 <= x2 and y1 <= y2", drop)
    if "scores" in rows:
        refuse(np.isnan(rows["scores"]), "scores", "numbers", drop)
    if "areas" in rows:
        areas = rows["areas"]
        sound = np.isfinite(areas) & (areas >= 0)
        refuse(~sound, "areas", "finite and at least 0", "mend them, or leave `areas` out.")
    outside = (rows["classes"] < 0) | (rows["classes"] >= classes)
    refuse(outside, "classes", f"in 0 … {classes - 1}", "number the classes from 0, and leave the background out.")
    return rows, owner
