"""COCO's JSON of objects in images (Lin et al. 2014): read, checked entry by entry, and written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fnnet.boxes import Objects
from fnnet.data.images.annotations import Annotations, annotate, box_problem, check_once, cut_box, true_objects
from fnnet.data.images.folders import check_name, within
from fnnet.data.images.outlines import Outline, Runs, check_outline, from_text, to_text
from fnnet.data.images.placing import Size
from fnnet.data.images.reading import Bad, FilePath, check_bad, one_line
from fnnet.data.images.texts import MOST_BYTES, as_kind, member, number, numbers, read_json, write_json
from fnnet.errors import DataError, FnnetError, ReadError, ShapeError, inside
from fnnet.writing import replacing

_LONGEST_SIDE = 2**20


class _Object(NamedTuple):
    """One annotation, with the place of its image."""

    image: int
    box: tuple[float, float, float, float]
    label: int
    crowd: bool
    ignore: bool
    area: float
    outline: Outline | None


def read_coco(
    path: FilePath,
    *,
    images: FilePath | None = None,
    bad: Bad = "raise",
    outlines: bool = True,
    limit: int = MOST_BYTES,
) -> Annotations:
    """Read COCO's JSON of objects, gzipped or not.

    Labels 0, 1, ... are the categories in the order of the file, whatever the gaps in their numbers. ``bbox`` (x, y,
    width, height) becomes ``xyxy``; one that reaches outside its image by at most a pixel is cut. ``segmentation`` is
    kept, polygons and masks, with `outlines`; ``iscrowd`` is `crowd`, ``ignore`` is `ignore`; an ``area`` that is not
    given is the box's. Other entries are left out. `images`: the folder in which each file must be there.

    `bad`: an image or an object that cannot be used is an error, or left out (``"skip"``) and named in ``skipped``,
    with the objects of an image that is: a value of the wrong type, a box that is not finite, inverted, without area
    or outside its image, a mask of another size, a number that is there twice or names no image or category, a file's
    name that leaves its folder. `limit`: the bytes of JSON that are read at most.

    Raises: ReadError for what cannot be read, is not JSON, or is of more than `limit` bytes; DataError, with the place
    (``annotations[17].bbox``), for what cannot be used, and if the categories cannot.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "instances.json"
    >>> one = (np.array([[1.0, 2.0, 4.0, 6.0]]), np.array([1]))
    >>> fn.data.write_coco(path, fn.data.annotate(["a.png"], (8, 8), [one], ["cat", "dog"]))
    >>> read_coco(path).objects[0].boxes
    array([[1., 2., 4., 6.]])
    """
    check_bad("read_coco", bad)
    path = Path(path)
    text = read_json(path, limit)
    with inside(str(path)):
        return _annotations(text, None if images is None else Path(images), bad, outlines)


def _annotations(text: Any, folder: Path | None, bad: Bad, outlines: bool) -> Annotations:
    parts = {name: member("", text, name, list) for name in ("images", "annotations", "categories")}
    categories, classes = _categories(parts["categories"])
    skipped: list[str] = []

    def entries(name: str, read: Any) -> list[Any]:
        found = []
        for place, entry in enumerate(parts[name]):
            try:
                found.append(read(f"{name}[{place}]", entry))
            except FnnetError as error:
                if bad == "raise":
                    raise
                skipped.append(one_line(error))
        return found

    seen: set[Any] = set()
    described = entries("images", lambda where, entry: _image(where, entry, folder, seen))
    place_of = {image_id: place for place, (image_id, _, _) in enumerate(described)}
    sizes = [size for _, _, size in described]
    label_of = {category: label for label, category in enumerate(categories)}
    numbers_seen: set[int] = set()
    objects = entries(
        "annotations", lambda where, entry: _object(where, entry, place_of, sizes, label_of, outlines, numbers_seen)
    )
    of_image: list[list[_Object]] = [[] for _ in described]
    for found in objects:
        of_image[found.image].append(found)
    return Annotations(
        tuple(name for _, name, _ in described),
        np.array(sizes, np.int64).reshape(-1, 2),
        tuple(_together(found) for found in of_image),
        classes,
        tuple(image_id for image_id, _, _ in described),
        categories,
        tuple(tuple(one.outline for one in found) for found in of_image),
        tuple(skipped),
    )


def _categories(given: list[Any]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    ids = tuple(member(f"categories[{place}]", entry, "id", int) for place, entry in enumerate(given))
    names = tuple(member(f"categories[{place}]", entry, "name", str) for place, entry in enumerate(given))
    check_once("categories", "id", ids)
    check_once("categories", "name", names)
    return ids, names


def _image(where: str, entry: Any, folder: Path | None, seen: set[Any]) -> tuple[int, str, Size]:
    image_id, name = member(where, entry, "id", int), member(where, entry, "file_name", str)
    for what, value in (("id", image_id), ("file_name", name)):
        if value in seen:
            raise DataError(f"{where}.{what}", f"{value!r} is of an image before", "give each its own.")
    check_name(f"{where}.file_name", name)
    if folder is not None and not within(f"{where}.file_name", folder, name).is_file():
        raise ReadError(f"{where}.file_name", f"there is no file {name!r} in {folder}", "check the folder of images.")
    height, width = (member(where, entry, side, int) for side in ("height", "width"))
    if not (0 < height <= _LONGEST_SIDE and 0 < width <= _LONGEST_SIDE):
        problem = f"an image must have sides of 1 to {_LONGEST_SIDE} pixels, got {height} × {width}"
        raise DataError(where, problem, "correct its height and width.")
    seen |= {image_id, name}
    return image_id, name, (height, width)


def _object(
    where: str,
    entry: Any,
    place_of: dict[int, int],
    sizes: Sequence[Size],
    label_of: dict[int, int],
    outlines: bool,
    seen: set[int],
) -> _Object:
    image = _known(where, entry, "image_id", place_of)
    label = _known(where, entry, "category_id", label_of)
    size = sizes[image]
    x, y, width, height = numbers(f"{where}.bbox", member(where, entry, "bbox", list), 4).tolist()
    box = _within(f"{where}.bbox", (x, y, x + width, y + height), size)
    area = number(f"{where}.area", entry["area"]) if "area" in entry else (box[2] - box[0]) * (box[3] - box[1])
    if area < 0:
        raise DataError(f"{where}.area", f"must be at least 0, got {area}", "correct it, or leave it out.")
    crowd, ignore = (_flag(where, entry, name) for name in ("iscrowd", "ignore"))
    shape = entry.get("segmentation") if outlines else None
    outline = None if shape is None or shape == [] else _outline(f"{where}.segmentation", shape, size)
    if "id" in entry:
        own = member(where, entry, "id", int)
        if own in seen:
            raise DataError(f"{where}.id", f"{own} is of an object before", "give each its own.")
        seen.add(own)
    return _Object(image, box, label, crowd, ignore, area, outline)


def _known(where: str, entry: Any, name: str, known: dict[int, int]) -> int:
    value = member(where, entry, name, int)
    if value not in known:
        what = "image" if name == "image_id" else "category"
        raise DataError(
            f"{where}.{name}", f"there is no {what} of the number {value}", "add it, or correct the number."
        )
    return known[value]


def _flag(where: str, entry: Any, name: str) -> bool:
    value = entry.get(name, 0)
    if not (isinstance(value, bool | int) and value in (0, 1)):
        raise DataError(f"{where}.{name}", "must be 0 or 1", "correct the entry.")
    return bool(value)


def _within(where: str, box: tuple[float, ...], size: Size) -> tuple[float, float, float, float]:
    """Return a box cut at its image; DataError if it is none."""
    cut = cut_box(box, size)
    if (problem := box_problem(np.array([cut]), size)) is not None:
        x1, y1, x2, y2 = box
        said = f"{[x1, y1, x2 - x1, y2 - y1]} (x, y, width, height) {problem[1]}"
        raise DataError(where, said, "correct or leave out the object.")
    return cut


def _outline(where: str, given: Any, size: Size) -> Outline:
    if isinstance(given, list):
        polygons = []
        for place, points in enumerate(given):
            flat = numbers(f"{where}[{place}]", points)
            if len(flat) % 2:
                problem = f"must be x and y by turns, got {len(flat)} numbers"
                raise DataError(f"{where}[{place}]", problem, "correct the polygon.")
            polygons.append(flat.reshape(-1, 2))
        return check_outline(where, tuple(polygons), size)
    sides = member(where, given, "size", list)
    if len(sides) != 2:
        raise DataError(f"{where}.size", f"must be [height, width], got {len(sides)} entries", "correct the entry.")
    height, width = (as_kind(f"{where}.size[{place}]", side, int) for place, side in enumerate(sides))
    counts = given.get("counts")
    if isinstance(counts, str):
        runs = from_text(f"{where}.counts", counts)
    else:
        whole = as_kind(f"{where}.counts", counts, list)
        runs = np.array([as_kind(f"{where}.counts[{n}]", count, int) for n, count in enumerate(whole)], np.int64)
    return check_outline(where, Runs(runs, (height, width)), size)


def _together(found: Sequence[_Object]) -> Objects:
    boxes, labels, crowd, ignore, areas = zip(*(one[1:6] for one in found), strict=True) if found else ((),) * 5
    return true_objects(boxes, labels, crowd, ignore, areas)


def write_coco(path: FilePath, annotations: Annotations) -> None:
    """Write COCO's JSON of objects; a reader sees the old file or the whole new one.

    Masks are written compressed; objects have the numbers 1, 2, .... Law: ``read_coco`` gives the same annotations
    back, to the bit where boxes are of float32 or came from COCO's JSON; of other float64 the last bit of a right or
    lower border may differ, since there is no width that says it.
    Raises: DataError for ``Annotations`` that ``annotate`` would refuse.
    """
    check_annotations("write_coco", annotations)
    images = [
        {"id": image_id, "file_name": name, "height": height, "width": width}
        for image_id, name, (height, width) in zip(
            annotations.image_ids, annotations.files, annotations.sizes.tolist(), strict=True
        )
    ]
    objects: list[dict[str, Any]] = []
    for image_id, row, outlines in zip(annotations.image_ids, annotations.objects, annotations.outlines, strict=True):
        fields = [np.asarray(field).tolist() for field in (row.boxes, row.classes, row.crowd, row.ignore, row.areas)]
        for box, label, crowd, ignore, area, outline in zip(*fields, outlines, strict=True):
            entry = {
                "id": len(objects) + 1,
                "image_id": image_id,
                "category_id": annotations.category_ids[label],
                "bbox": as_bbox(box),
                "area": area,
                "iscrowd": int(crowd),
                "segmentation": _segmentation(outline),
            }
            objects.append(entry | ({"ignore": 1} if ignore else {}))
    categories = [
        {"id": number, "name": name} for number, name in zip(annotations.category_ids, annotations.classes, strict=True)
    ]
    text = write_json({"images": images, "annotations": objects, "categories": categories})
    with replacing(path) as file:
        file.write(text)


def as_bbox(box: Sequence[float]) -> list[float]:
    """Return a box ``xyxy`` as COCO's (x, y, width, height), of as few digits as give it back.

    >>> as_bbox([0.1, 1.0, 0.4, 3.5])
    [0.1, 1.0, 0.3, 2.5]
    """
    x1, y1, x2, y2 = box
    return [x1, y1, _side(x1, x2), _side(y1, y2)]


def _side(start: float, end: float) -> float:
    side = end - start
    for digits in range(1, 17):
        if start + (short := round(side, digits)) == end:
            return short
    near = (side, np.nextafter(side, 0.0), np.nextafter(side, np.inf))
    return float(next((value for value in near if start + value == end), side))


def _segmentation(outline: Outline | None) -> Any:
    if isinstance(outline, Runs):
        return {"size": [int(side) for side in outline.size], "counts": to_text(outline.counts)}
    return [] if outline is None else [points.reshape(-1).tolist() for points in outline]


def check_annotations(where: str, annotations: Any) -> None:
    """Raise unless ``annotate`` would take these annotations as they are."""
    if not isinstance(annotations, Annotations):
        got = type(annotations).__name__
        raise ShapeError(where, f"expected Annotations, got {got}", "make them: fn.data.annotate(...).")
    names = ("outlines", "image_ids", "category_ids")
    with inside(where):
        annotate(*annotations[:4], **{name: getattr(annotations, name) for name in names})
