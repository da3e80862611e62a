"""Detectors on the command line: the networks, annotated images as they take them, what they find, and its scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from fnnet import boxes, data, losses, metrics, nets, training
from fnnet.boxes import Detections, Objects
from fnnet.cli.experiments import SHARES, Settings, as_train_state, make_optimizer
from fnnet.cli.images import Reading, omission
from fnnet.compose import residual, serial
from fnnet.core import Layer, Params, State, Task
from fnnet.data import Annotations
from fnnet.data.images.decoding import CHANNELS
from fnnet.errors import DataError
from fnnet.layers import batch_norm, conv, max_pool

_MOST_FOUND = 100  # boxes of an image, before those that are alike are suppressed
_AT_ONCE = 32  # images of a batch when boxes are looked for
_MAIN = ("AP", "AP50", "AP75", "AR100")


class Detector(NamedTuple):
    """A trained detector, with all that is needed to use it on new images, whose size is ``settings.reading.size``.

    `stride`: the side of a cell of its grid, in pixels. `category_ids`: the numbers of the classes in COCO's JSON.
    """

    settings: Settings
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    stride: int
    params: Params
    state: State
    test: dict[str, float]

    @property
    def net(self) -> Layer:
        """The network that `params` are of."""
        return make_detector(BODIES[self.settings.net], len(self.classes))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images that the network takes."""
        height, width = self.settings.reading.size
        return height, width

    @property
    def row(self) -> tuple[int, int, int]:
        """The shape of an image."""
        return *self.size, CHANNELS[self.settings.reading.mode]


class AnnotatedImages(NamedTuple):
    """Images of one size as the network takes them, their objects there, and what their annotations say."""

    annotations: Annotations
    x: np.ndarray
    objects: Objects


class Body(NamedTuple):
    """A network without a classifier, and how many pixels of the image are a side of a cell of its output."""

    make: Callable[[], Layer]
    stride: int


def _cnn() -> Layer:
    """Return a body of stride 4 with two residual blocks."""

    def block(features: int) -> tuple[Any, ...]:
        return conv(features, bias_init=None), batch_norm(momentum=0.9), jax.nn.relu

    def residual_block(features: int) -> Layer:
        return residual(serial(*block(features), *block(features)))

    narrow = (*block(16), max_pool(2), *block(32), max_pool(2))
    return serial(*narrow, *block(64), residual_block(64), residual_block(64))


BODIES: dict[str, Body] = {
    "cnn": Body(_cnn, 4),
    "resnet20": Body(partial(nets.resnet_cifar, 20, None), 4),
    "resnet18": Body(partial(nets.resnet, 18, None, small_images=True), 8),
}
"""Bodies of detectors, by the names that `--net` takes."""


def make_detector(body: Body, classes: int) -> Layer:
    """Return the detector by centres with such a body."""
    return serial(body=body.make(), head=nets.center_head(classes, 64, norm=True, momentum=0.9))


def make_task(settings: Settings, net: Layer, stride: int, steps: int) -> Task:
    """Return the task of training a detector."""
    return Task(net, partial(losses.centers, stride=stride), make_optimizer(settings, steps))


def read(source: str, folder: Path, reading: Reading, stride: int, warn: Callable[[str], None]) -> AnnotatedImages:
    """Read COCO's JSON and the images in `folder`, at the size of `reading`, by default their own.

    Raises: ReadError and DataError as ``fn.data.read_coco`` and ``fn.data.load_objects``; DataError if there is no
    image or category, if images differ in their size and none is asked for, or a side is no multiple of `stride`.
    """
    bad: Any = "skip" if reading.skip_bad else "raise"
    mode: Any = reading.mode
    annotations = data.read_coco(source, images=folder, bad=bad, outlines=False)
    for name in ("files", "classes"):
        if not getattr(annotations, name):
            what = "images" if name == "files" else "categories"
            raise DataError(source, f"has no {what}", "pass COCO's JSON of objects, with images and categories.")
    size = _size(source, annotations.sizes, reading.size, stride)
    loaded = data.load_objects(annotations, images=folder, size=size, mode=mode, bad=bad)
    if skipped := (*annotations.skipped, *loaded.skipped):
        warn(omission(skipped, "images and objects"))
    return AnnotatedImages(chosen(annotations, loaded.kept), loaded.x, loaded.objects)


def _size(source: str, sizes: np.ndarray, asked: tuple[int, ...], stride: int) -> tuple[int, int]:
    """Return (height, width) of what the network sees; DataError if it must be asked for, or is no whole grid."""
    if not asked and (sizes != sizes[0]).any():
        other = sizes[(sizes != sizes[0]).any(1)][0]
        problem = f"has images of several sizes, {sizes[0, 0]}x{sizes[0, 1]} and {other[0]}x{other[1]} (height x width)"
        raise DataError(source, problem, "pass --size.")
    height, width = asked or (int(sizes[0, 0]), int(sizes[0, 1]))
    if height % stride or width % stride:
        problem = f"the detector takes images whose sides are multiples of {stride}, got {height}x{width}"
        near = "x".join(str(-(-side // stride) * stride) for side in (height, width))
        raise DataError("--size", problem, f"pass --size {near}, for example.")
    return height, width


def chosen(annotations: Annotations, rows: np.ndarray) -> Annotations:
    """Return what is said of some of the images, by number."""
    of_each = {
        name: tuple(getattr(annotations, name)[row] for row in rows)
        for name in ("files", "objects", "image_ids", "outlines")
    }
    return annotations._replace(sizes=annotations.sizes[rows], **of_each)


def take(annotated: AnnotatedImages, rows: np.ndarray) -> AnnotatedImages:
    """Return some of the images, by number."""
    x, objects = data.take((annotated.x, annotated.objects), rows)
    return AnnotatedImages(chosen(annotated.annotations, rows), x, objects)


def split(annotated: AnnotatedImages, seed: int) -> tuple[AnnotatedImages, ...]:
    """Return 70 % of the images to learn from, 15 % to watch and 15 % to test on."""
    rows = (np.arange(len(annotated.x)), None)
    return tuple(take(annotated, part) for part, _ in data.split(rows, SHARES, seed=seed))


def check_boxes(source: str, annotations: Annotations) -> None:
    """Raise DataError if no image has an object."""
    if not any(len(row.boxes) for row in annotations.objects):
        fix = "pass the file that has the objects' boxes: annotations with a bbox each."
        raise DataError(source, f"has no boxes in its {len(annotations.files)} images", fix)


def with_classes(source: str, annotated: AnnotatedImages, classes: Sequence[str]) -> AnnotatedImages:
    """Return images with labels in the order of `classes`; DataError unless those are the names of its categories."""
    annotations = annotated.annotations
    lacking = [name for name in classes if name not in annotations.classes]
    new = [name for name in annotations.classes if name not in classes]
    if lacking or new:
        said = [
            f"{what} {', '.join(map(repr, names[:5]))}" for what, names in (("no", lacking), ("also", new)) if names
        ]
        problem = f"has other categories than the run was trained on: {' and '.join(said)}"
        raise DataError(source, problem, "give it those categories, or train on such a file.")
    order = [annotations.classes.index(name) for name in classes]
    label_of = np.argsort(order).astype(np.int32)

    def relabelled(objects: Objects) -> Objects:
        return objects._replace(classes=label_of[np.asarray(objects.classes)])

    arranged = annotations._replace(
        classes=tuple(classes),
        category_ids=tuple(annotations.category_ids[label] for label in order),
        objects=tuple(relabelled(row) for row in annotations.objects),
    )
    return AnnotatedImages(arranged, annotated.x, relabelled(annotated.objects))


def find(detector: Detector, x: np.ndarray, sizes: np.ndarray) -> list[Detections]:
    """Return what the detector finds in images of its size, in pixels of the images of `sizes` that they are made of.

    Sorted by falling score, without padding, in NumPy and float64; boxes are cut at the image.
    """
    task = _finding(BODIES[detector.settings.net], len(detector.classes), detector.size)
    state = as_train_state(detector.params, detector.state)
    found: list[Detections] = []
    for start in range(0, len(x), _AT_ONCE):
        # All batches have one size, for which the program is compiled; the last is filled up.
        rows = np.minimum(np.arange(start, start + _AT_ONCE), len(x) - 1)
        batch = jax.tree.map(np.asarray, training.predict(task, state, x[rows]))
        for row, (height, width) in enumerate(sizes[start : start + _AT_ONCE].tolist()):
            one = Detections._make(field[row] for field in batch)
            found.append(_restored(one, (height, width), detector.size))
    return found


@cache
def _finding(body: Body, classes: int, size: tuple[int, int]) -> Task:
    """Return the task whose predictions are detections in images of `size`; one task, so that it is compiled once."""
    detector = make_detector(body, classes)

    def finds(params: Any, state: Any, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Any]:
        maps, state = detector.apply(params, state, x)
        return boxes.suppress(boxes.center_detections(maps, stride=body.stride, count=_MOST_FOUND, size=size)), state

    return make_task(Settings(""), Layer("finder", detector.init, finds), body.stride, 1)


def _restored(found: Detections, source: tuple[int, int], size: tuple[int, int]) -> Detections:
    """Return the detections as they lie in the image of `source`; those outside of it are left out."""
    placed = data.restore_boxes(np.asarray(found.boxes, np.float64), source, size, "pad")
    height, width = source
    cut = np.clip(placed, 0, np.array([[width, height, width, height]], np.float64))
    kept = np.asarray(found.valid) & (cut[:, 2:] > cut[:, :2]).all(1)
    scores = np.asarray(found.scores, np.float64)
    return Detections._make([cut[kept], scores[kept], np.asarray(found.classes)[kept], kept[kept]])


def score(found: Sequence[Detections], annotations: Annotations) -> dict[str, float]:
    """Return COCO's twelve numbers, in its order; nan where there is nothing to be found."""
    metric = metrics.mean_average_precision(len(annotations.classes))
    seen = metric.init()
    for detections, objects, number in zip(found, annotations.objects, annotations.image_ids, strict=True):
        seen = metric.update(seen, detections, objects, image=number)
    return {name: float(value) for name, value in metric.compute(seen).items() if np.ndim(value) == 0}


def main_numbers(scores: dict[str, float]) -> dict[str, float]:
    """Return the four that are looked at first, those that are known."""
    return {name: scores[name] for name in _MAIN if np.isfinite(scores[name])}
