"""Images with their objects as arrays to train on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fnnet.boxes import Objects, pad_objects
from fnnet.data.images.annotations import Annotations
from fnnet.data.images.coco import check_annotations
from fnnet.data.images.decoding import MOST_PIXELS, Mode, wanted
from fnnet.data.images.folders import within
from fnnet.data.images.placing import Resize, Size, check_resize, check_same_size, place_boxes
from fnnet.data.images.reading import Bad, FilePath, as_workers, read_all
from fnnet.errors import DataError


class ObjectImages(NamedTuple):
    """Images with their objects, padded. `kept`: the numbers of the images; `skipped`: what was left out, and why."""

    x: Float[np.ndarray, "n h w c"]
    objects: Objects
    kept: Int[np.ndarray, n]
    skipped: tuple[str, ...] = ()


def load_objects(
    annotations: Annotations,
    *,
    images: FilePath,
    size: Size,
    count: int | None = None,
    mode: Mode = "RGB",
    resize: Resize = "pad",
    bad: Bad = "raise",
    background: float = 1.0,
    upright: bool = True,
    pixels: int = MOST_PIXELS,
    workers: int | None = None,
) -> ObjectImages:
    """Read the images of `annotations` from the folder `images`, with their objects moved as the images are resized.

    ``x`` is (n, H, W, channels) as of ``read_images``, with `resize` ``"pad"`` or ``"stretch"``; ``objects`` are padded
    to `count` an image, or the most, by ``fn.boxes.pad_objects``, float32, ``xyxy`` in pixels of `size`. Areas grow
    with the image. `bad`: as of ``read_images``, for images that are not of the size that `annotations` says too.

    Raises: ReadError for an image that is bad; DataError for a name that leaves the folder, if there is no image, or
    one has more than `count` objects; ValueError for an option that is none; ExtraMissingError without Pillow.

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> Image.new("RGB", (8, 4), "red").save(folder / "a.png")
    >>> annotations = fn.data.annotate(["a.png"], (4, 8), [(np.array([[2.0, 0.0, 4.0, 4.0]]), np.array([0]))], ["cat"])
    >>> load_objects(annotations, images=folder, size=(16, 16)).objects.boxes
    array([[[ 4., 4., 8., 12.]]], dtype=float32)
    """
    where = "load_objects"
    check_annotations(where, annotations)
    check_resize(where, resize, ("stretch", "pad"))
    want = wanted(where, size, mode, resize, background, upright, pixels)
    assert want.size is not None
    if not annotations.files:
        raise DataError(where, "expected at least one image, got none", "check what was read.")
    folder = Path(images)
    paths = [within(f"{where}: {name}", folder, name) for name in annotations.files]
    sizes = [(height, width) for height, width in annotations.sizes.tolist()]

    def check(number: int, got: Size) -> None:
        check_same_size(str(paths[number]), got, sizes[number], "its annotations say")

    read = read_all(where, paths, want, bad, as_workers(where, workers), check)
    rows = [_moved(annotations.objects[number], sizes[number], want.size, resize) for number in read.kept.tolist()]
    return ObjectImages(read.x, pad_objects(rows, count), read.kept, read.skipped)


def _moved(row: Objects, source: Size, size: Size, resize: Resize) -> Objects:
    boxes = np.asarray(row.boxes, np.float64)
    moved = place_boxes(boxes, source, size, resize)
    unit = place_boxes(np.array([[0.0, 0.0, source[1], source[0]]]), source, size, resize)[0]
    grown = (unit[2] - unit[0]) * (unit[3] - unit[1]) / (source[0] * source[1])
    areas = None if row.areas is None else np.asarray(np.asarray(row.areas) * grown, np.float32)
    return Objects._make([moved.astype(np.float32), row.classes, row.valid, row.crowd, row.ignore, areas])
