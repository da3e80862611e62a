"""COCO's JSON of results: what a network found, with its scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fnnet.boxes import Detections
from fnnet.data.images.annotations import Annotations
from fnnet.data.images.coco import as_bbox, check_annotations
from fnnet.data.images.reading import FilePath
from fnnet.data.images.texts import MOST_BYTES, as_kind, member, number, numbers, read_json, write_json
from fnnet.errors import DataError, ShapeError, inside
from fnnet.writing import replacing


def read_coco_results(path: FilePath, annotations: Annotations, *, limit: int = MOST_BYTES) -> list[Detections]:
    """Read what was found in the images of `annotations`, from COCO's JSON of results: one ``Detections`` an image.

    Boxes are ``xyxy`` in pixels and float64, in the order of the file; they may reach outside their image, and have no
    area. Raises: ReadError as ``read_coco``; DataError, with the place, for an image or category that `annotations` has
    not, a score or box that is not finite, and a side below 0.
    """
    path = Path(path)
    check_annotations("read_coco_results", annotations)
    place_of = {image_id: place for place, image_id in enumerate(annotations.image_ids)}
    label_of = {category: label for label, category in enumerate(annotations.category_ids)}
    found: list[list[tuple[list[float], float, int]]] = [[] for _ in annotations.files]
    text = read_json(path, limit)
    with inside(str(path)):
        for place, entry in enumerate(as_kind("", text, list)):
            where = f"[{place}]"
            image, category = member(where, entry, "image_id", int), member(where, entry, "category_id", int)
            for name, value, known in (("image_id", image, place_of), ("category_id", category, label_of)):
                if value not in known:
                    problem = f"the annotations have no {name} {value}"
                    raise DataError(f"{where}.{name}", problem, "pass those that the results are of.")
            x, y, width, height = numbers(f"{where}.bbox", member(where, entry, "bbox", list), 4).tolist()
            if width < 0 or height < 0 or not np.isfinite([x + width, y + height]).all():
                problem = f"{[x, y, width, height]} (x, y, width, height) must have sides of at least 0"
                raise DataError(f"{where}.bbox", problem, "correct or leave out the entry.")
            if "score" not in entry:
                raise DataError(where, "has no 'score'", "results have one; of true objects, use read_coco.")
            score = number(f"{where}.score", entry["score"])
            found[place_of[image]].append(([x, y, x + width, y + height], score, label_of[category]))
    return [_together(rows) for rows in found]


def write_coco_results(path: FilePath, annotations: Annotations, detections: Detections | Sequence[Detections]) -> None:
    """Write what was found in the images of `annotations` as COCO's JSON of results, for its own program and others'.

    `detections`: ``Detections`` of (n, k), padded, or those of each image, ``xyxy`` in pixels of the image as it is
    stored (``restore_boxes`` brings them there); what is not valid is left out. Law: ``read_coco_results`` gives the
    same back. Raises: DataError for a box or score that is not finite, an inverted box, and a class that is none;
    ShapeError for other images than those of `annotations`.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "results.json"
    >>> annotations = fn.data.annotate(["a.png"], (8, 8), [(np.zeros((0, 4)), np.zeros(0, int))], ["cat"])
    >>> found = fn.boxes.Detections(np.ones((1, 1, 4)), np.ones((1, 1)), np.zeros((1, 1), int), np.ones((1, 1), bool))
    >>> write_coco_results(path, annotations, found)
    >>> path.read_text()
    '[{"image_id":1,"category_id":1,"bbox":[1.0,1.0,0.0,0.0],"score":1.0}]'
    """
    where = "write_coco_results"
    check_annotations(where, annotations)
    if isinstance(detections, Detections):
        fields = [np.asarray(field) for field in detections]
        detections = [Detections._make(field[n] for field in fields) for n in range(len(fields[0]))]
    if len(detections) != len(annotations.files):
        problem = f"expected the detections of {len(annotations.files)} images, got {len(detections)}"
        raise ShapeError(where, problem, "give one for each image, in their order.")
    entries: list[dict[str, Any]] = []
    for place, row in enumerate(detections):
        boxes, scores, labels = _valid(f"{where}: image {place}", row, len(annotations.classes))
        entries += [
            {
                "image_id": annotations.image_ids[place],
                "category_id": annotations.category_ids[label],
                "bbox": as_bbox(box),
                "score": score,
            }
            for box, score, label in zip(boxes.tolist(), scores.tolist(), labels.tolist(), strict=True)
        ]
    with replacing(path) as file:
        file.write(write_json(entries))


def _valid(where: str, row: Detections, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    boxes, scores, labels, valid = (np.asarray(field) for field in row)
    count = valid.shape[:1]
    if boxes.shape != (*count, 4) or scores.shape != count or labels.shape != count or valid.shape != count:
        problem = f"expected boxes (k, 4), scores, classes and valid (k,), got {[np.shape(field) for field in row]}"
        raise ShapeError(where, problem, "pass the detections of one image, or of (n, k) for n.")
    kept = valid.astype(bool)
    boxes, scores, labels = boxes[kept].astype(np.float64), scores[kept].astype(np.float64), labels[kept]
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise DataError(where, "boxes and scores must be finite", "correct them, or make them not valid.")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise DataError(where, "a box is inverted, its sides below 0", "correct it, or make it not valid.")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        problem = f"classes must be from 0 to {classes - 1}, got {labels.min()} to {labels.max()}"
        raise DataError(where, problem, "pass the annotations that the network was trained on.")
    return boxes, scores, labels


def _together(rows: Sequence[tuple[list[float], float, int]]) -> Detections:
    boxes, scores, labels = zip(*rows, strict=True) if rows else ((),) * 3
    return Detections._make(
        [
            np.array(boxes, np.float64).reshape(-1, 4),
            np.array(scores, np.float64),
            np.array(labels, np.int32),
            np.ones(len(rows), bool),
        ]
    )
