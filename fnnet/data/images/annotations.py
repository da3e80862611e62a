"""What is said of images: their objects, classes and outlines, with the names and numbers that files have for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from fnnet.boxes import Objects, pad_objects
from fnnet.boxes.records import Image
from fnnet.data.images.decoding import MOST_PIXELS
from fnnet.data.images.folders import check_name
from fnnet.data.images.outlines import Outline, check_outline, decode_mask, encode_mask
from fnnet.data.images.placing import Size, describe
from fnnet.errors import DataError, ShapeError, inside
from fnnet.shapes import check_count

_SLACK = 1.0  # pixels that a box in a file may reach outside its image


class Annotations(NamedTuple):
    """What is said of n images, checked by ``annotate``; one entry an image where nothing else is said.

    `files`: names within the folder of the images. `sizes`: (height, width). `objects`: the k objects of each, in
    NumPy, ``xyxy`` in pixels and float64, all valid, with `crowd`, `ignore` and `areas`. `classes`: the names of the
    labels 0, 1, .... `image_ids`, `category_ids`: the numbers that files have for images and classes. `outlines`: of
    each object, None where none is known. `skipped`: what was left out when it was read, and why, a line each.
    """

    files: tuple[str, ...]
    sizes: Int[np.ndarray, "n 2"]
    objects: tuple[Objects, ...]
    classes: tuple[str, ...]
    image_ids: tuple[int, ...]
    category_ids: tuple[int, ...]
    outlines: tuple[tuple[Outline | None, ...], ...]
    skipped: tuple[str, ...] = ()


def annotate(
    files: Sequence[str],
    sizes: Any,
    objects: Objects | Sequence[Image],
    classes: Sequence[str],
    *,
    outlines: Sequence[Sequence[Outline | None]] | None = None,
    image_ids: Sequence[int] | None = None,
    category_ids: Sequence[int] | None = None,
) -> Annotations:
    """Put together what is said of images, for ``write_coco``, ``write_voc`` and ``load_objects``.

    `sizes`: (height, width), of each or of all. `objects`: ``Objects`` of (n, k), padded, or those of each image, or
    its (boxes, classes). Numbers of images and classes are 1, 2, ... unless given; areas are the boxes' unless given.

    Raises: DataError for a name that leaves the folder, a number or name twice, a box that is not finite, is inverted,
    has no area or leaves its image, and a class that is none; ShapeError for entries that do not belong together.

    >>> boxes, classes = np.array([[0.0, 0.0, 4.0, 3.0]]), np.array([1])
    >>> annotations = annotate(["a.png"], (8, 8), [(boxes, classes)], ["cat", "dog"])
    >>> annotations.objects[0].areas, annotations.category_ids
    (array([12.]), (1, 2))
    """
    where = "annotate"
    rows = _split(objects)
    n = len(files)
    files = tuple(str(name) for name in files)
    sizes = np.asarray(sizes)
    if sizes.shape == (2,):
        sizes = np.tile(sizes, (n, 1))
    if sizes.shape != (n, 2) or sizes.dtype.kind not in "iu" or (sizes < 1).any():
        problem = f"sizes must be (height, width), whole numbers above 0, of {n} images, got shape {sizes.shape}"
        raise ShapeError(where, f"{problem} of {sizes.dtype}", "give one for each image, or one for all.")
    given = [[None] * len(row.boxes) for row in rows] if outlines is None else outlines
    for name, entries in (("objects", rows), ("outlines", given), ("image_ids", image_ids)):
        if entries is not None and len(entries) != n:
            raise ShapeError(where, f"{name} must be of {n} images, as files, got {len(entries)}", "give one an image.")
    classes = tuple(str(name) for name in classes)
    ids = tuple(range(1, n + 1)) if image_ids is None else tuple(int(i) for i in image_ids)
    categories = tuple(range(1, len(classes) + 1)) if category_ids is None else tuple(int(i) for i in category_ids)
    if len(categories) != len(classes):
        raise ShapeError(where, f"expected {len(classes)} category_ids, got {len(categories)}", "one for each class.")
    for what, values in (("image_ids", ids), ("category_ids", categories), ("classes", classes), ("files", files)):
        check_once(where, what, values)
    for name in files:
        check_name(where, name)
    checked, kept = [], []
    for number, row in enumerate(rows):
        with inside(f"image {number} ({files[number]})"):
            size = (int(sizes[number, 0]), int(sizes[number, 1]))
            checked.append(_checked(row, size, len(classes)))
            kept.append(_outlines(given[number], len(row.boxes), size))
    return Annotations(
        files, sizes.astype(np.int64), tuple(checked), classes, ids, categories, tuple(kept)
    )  # fmt: skip


def annotate_masks(files: Sequence[str], masks: Int[np.ndarray, "n h w"], classes: Sequence[str]) -> Annotations:
    """Put together what semantic masks say: for each class that an image has, one object, whose outline is its pixels.

    `masks`: 0 for the background, 1 + class elsewhere. Law: ``semantic_mask`` gives the masks back.
    Raises: DataError for a label that is no class; ShapeError; and as ``annotate``.

    >>> annotations = annotate_masks(["a.png"], np.array([[[0, 2], [0, 2]]]), ["cat", "dog"])
    >>> annotations.objects[0].boxes, semantic_mask(annotations, 0).tolist()
    (array([[1., 0., 2., 2.]]), [[0, 2], [0, 2]])
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or masks.dtype.kind not in "iu" or len(masks) != len(files):
        problem = f"masks must be integers of shape ({len(files)}, H, W), got {masks.dtype} of {masks.shape}"
        raise ShapeError("annotate_masks", problem, "give one mask for each file.")
    if masks.size and not 0 <= masks.min() <= masks.max() <= len(classes):
        problem = f"labels must be from 0 to {len(classes)}, got {masks.min()} to {masks.max()}"
        raise DataError("annotate_masks", problem, "0 is the background, 1 + class an object.")
    objects, outlines = [], []
    for mask in masks:
        labels = np.unique(mask[mask > 0])
        parts = [mask == label for label in labels]
        boxes = np.array([_hull(part) for part in parts], np.float64).reshape(-1, 4)
        areas = np.array([part.sum() for part in parts], np.float64)
        objects.append(true_objects(boxes, labels.astype(np.int32) - 1, areas=areas))
        outlines.append([encode_mask(part) for part in parts])
    return annotate(files, masks.shape[1:], objects, classes, outlines=outlines)


def object_masks(annotations: Annotations, image: int, *, pixels: int = MOST_PIXELS) -> Bool[np.ndarray, "k h w"]:
    """Return the mask of each object of an image, by number; of one without an outline, that of its box.

    Of a box, and of polygons, those pixels whose centre is inside. Raises: IndexError for an image that is not there;
    ValueError for masks that together have more than `pixels`.
    """
    size, row = _of(annotations, image)
    if size[0] * size[1] * len(row.boxes) > pixels:
        problem = f"{len(row.boxes)} masks of {describe(size)} have more than {pixels} pixels"
        raise ValueError(f"object_masks: {problem}; pass pixels= if they must")
    masks = np.zeros((len(row.boxes), *size), bool)
    for mask, outline, box in zip(masks, annotations.outlines[image], row.boxes, strict=True):
        if outline is None:
            x1, y1, x2, y2 = np.ceil(np.asarray(box) - 0.5).astype(int)
            mask[y1:y2, x1:x2] = True
        else:
            mask[...] = decode_mask(outline, size, pixels=pixels)
    return masks


def semantic_mask(
    annotations: Annotations, image: int, *, crowd: int | None = None, pixels: int = MOST_PIXELS
) -> Int[np.ndarray, "h w"]:
    """Return the label of each pixel of an image, int32: 0 for the background, 1 + class where an object lies.

    Where objects overlap, the one with the smaller area is in front. `crowd`: the label of pixels of crowds, such as
    the ``ignore`` of the losses; by default that of their class. Objects without an outline are left out.

    >>> runs = fn.data.encode_mask(np.array([[False, True], [False, True]]))
    >>> one = (np.array([[1.0, 0.0, 2.0, 2.0]]), np.array([4]))
    >>> semantic_mask(annotate(["a.png"], (2, 2), [one], list("abcde"), outlines=[[runs]]), 0)
    array([[0, 5],
           [0, 5]], dtype=int32)
    """
    size, row = _of(annotations, image)
    if size[0] * size[1] > pixels:
        raise ValueError(f"semantic_mask: {describe(size)} has more than {pixels} pixels; pass pixels= if it must")
    labels = np.zeros(size, np.int32)
    assert row.areas is not None
    assert row.crowd is not None
    for number in np.argsort(-np.asarray(row.areas), kind="stable"):
        outline = annotations.outlines[image][number]
        if outline is not None:
            label = crowd if crowd is not None and row.crowd[number] else int(row.classes[number]) + 1
            labels[decode_mask(outline, size, pixels=pixels)] = label
    return labels


def check_once(where: str, what: str, values: Sequence[Any]) -> None:
    """Raise DataError if a value is there twice, or is an empty name."""
    if len(set(values)) == len(values) and "" not in values:
        return
    if "" in values:
        raise DataError(where, f"{what} must not be empty, got '' at {values.index('')}", "give it a name.")
    seen: dict[Any, int] = {}
    for place, value in enumerate(values):
        if seen.setdefault(value, place) != place:
            problem = f"{what} must differ, got {value!r} at {seen[value]} and at {place}"
            raise DataError(where, problem, "give each its own.")


def cut_box(box: Sequence[float], size: Size) -> tuple[float, float, float, float]:
    """Return a box ``xyxy`` cut at its image, if it reaches outside by at most a pixel, which may be an accident.

    Any other is returned as it is, for ``box_problem`` to say what is wrong with it.

    >>> cut_box((-0.5, 1.0, 4.0, 8.5), (8, 8)), cut_box((-2.0, 1.0, 4.0, 8.0), (8, 8))
    ((0.0, 1.0, 4.0, 8.0), (-2.0, 1.0, 4.0, 8.0))
    """
    height, width = size
    x1, y1, x2, y2 = box
    if -_SLACK <= x1 < x2 <= width + _SLACK and -_SLACK <= y1 < y2 <= height + _SLACK:
        return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    return x1, y1, x2, y2


def box_problem(boxes: np.ndarray, size: Size) -> tuple[int, str] | None:
    """Return the first box, by number, that is none in an image of this size, with what is wrong with it; else None."""
    height, width = size
    for bad, said in (
        (lambda b: ~np.isfinite(b).all(1), "must be finite"),
        (lambda b: (b[:, 2] <= b[:, 0]) | (b[:, 3] <= b[:, 1]), "must have a width and a height above 0"),
        (
            lambda b: (b[:, :2] < 0).any(1) | (b[:, 2] > width) | (b[:, 3] > height),
            f"must lie within the image of {describe(size)}",
        ),
    ):
        if (found := _first(bad, boxes)) is not None:
            return found, said
    return None


def _first(bad: Callable[[np.ndarray], np.ndarray], boxes: np.ndarray) -> int | None:
    found = np.flatnonzero(bad(boxes))
    return int(found[0]) if len(found) else None


def _split(objects: Objects | Sequence[Image]) -> list[Objects]:
    """Return the objects of each image, in arrays of NumPy, without padding."""
    if isinstance(objects, Objects):
        if np.ndim(objects.boxes) != 3:
            problem = f"boxes of Objects must have shape (images, k, 4), got {np.shape(objects.boxes)}"
            raise ShapeError("annotate", problem, "pass those of all images, or a list of those of each.")
        fields = [None if field is None else np.asarray(field) for field in objects]
        objects = [
            Objects._make(None if field is None else field[n] for field in fields) for n in range(len(objects.boxes))
        ]
    rows = []
    for number, image in enumerate(objects):
        with inside(f"image {number}"):
            padded = pad_objects([image])
        rows.append(Objects._make(None if field is None else np.asarray(field)[0] for field in padded))
    return rows


def _checked(row: Objects, size: Size, classes: int) -> Objects:
    boxes = np.asarray(row.boxes, np.float64)
    if (found := box_problem(boxes, size)) is not None:
        number, said = found
        fix = "correct or leave out the object; fn.boxes.clip cuts boxes at the image."
        raise DataError("annotate", f"the box of object {number}, {boxes[number].tolist()}, {said}", fix)
    labels = np.asarray(row.classes).astype(np.int32)
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        problem = f"classes must be from 0 to {classes - 1}, got {labels[outside[0]]} at object {outside[0]}"
        raise DataError("annotate", problem, "correct it, or name all classes.")
    areas = None if row.areas is None else np.asarray(row.areas, np.float64)
    if areas is not None and not (np.isfinite(areas) & (areas >= 0)).all():
        raise DataError("annotate", "areas must be finite and at least 0", "correct them, or leave them out.")
    return true_objects(boxes, labels, row.crowd, row.ignore, areas)


def true_objects(boxes: Any, labels: Any, crowd: Any = None, ignore: Any = None, areas: Any = None) -> Objects:
    """Return the objects of one image in NumPy, each of them valid; ``xyxy`` in float64, (0, 4) if there is none."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    return Objects._make(
        [
            boxes,
            np.asarray(labels, np.int32),
            np.ones(len(boxes), bool),
            np.zeros(len(boxes), bool) if crowd is None else np.asarray(crowd, bool),
            np.zeros(len(boxes), bool) if ignore is None else np.asarray(ignore, bool),
            sides[:, 0] * sides[:, 1] if areas is None else np.asarray(areas, np.float64),
        ]
    )


def _outlines(given: Sequence[Outline | None], count: int, size: Size) -> tuple[Outline | None, ...]:
    if len(given) != count:
        raise ShapeError(
            "annotate", f"expected {count} outlines, one an object, got {len(given)}", "use None for none."
        )
    return tuple(
        None if outline is None else check_outline(f"outline of object {number}", outline, size)
        for number, outline in enumerate(given)
    )


def _of(annotations: Annotations, image: int) -> tuple[Size, Objects]:
    check_count("annotations", "image", image, least=0)
    if image >= len(annotations.files):
        raise IndexError(f"annotations: there are {len(annotations.files)} images, from 0 on, got image {image}")
    height, width = annotations.sizes[image].tolist()
    return (height, width), annotations.objects[image]


def _hull(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
