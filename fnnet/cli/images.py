"""Images on the command line: folders of them read, networks for them, and how they are changed in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from fnnet import augmentation, data, nets
from fnnet.augmentation import Transform
from fnnet.compose import serial
from fnnet.core import Layer
from fnnet.data import Dataset
from fnnet.errors import DataError
from fnnet.layers import batch_norm, conv, dense, global_pool, max_pool

_NAMED = 5  # files that were left out are named up to so many


class Reading(NamedTuple):
    """How image files become arrays: `size` (height, width), of the images themselves where it is empty."""

    size: tuple[int, ...] = ()
    mode: str = "RGB"
    skip_bad: bool = False


class Changes(NamedTuple):
    """How the images of a batch are changed at random: nothing where a number is 0."""

    flip: bool = False
    crop: int = 0
    rotate: float = 0.0
    color: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0


class Folder(NamedTuple):
    """The images of a folder that could be read, their files, and a line for each that was left out."""

    dataset: Dataset
    files: tuple[Path, ...]
    skipped: tuple[str, ...]


def _cnn(classes: int) -> Layer:
    """Return three pairs of convolutions, the image halved after each, and the mean of what they see."""

    def pair(features: int) -> tuple[Any, ...]:
        return (conv(features, bias_init=None), batch_norm(momentum=0.9), jax.nn.relu) * 2

    return serial(*pair(32), max_pool(2), *pair(64), max_pool(2), *pair(128), global_pool(), dense(classes))


NETS: dict[str, Callable[[int], Layer]] = {
    "cnn": _cnn,
    "lenet": nets.lenet,
    "resnet20": partial(nets.resnet_cifar, 20),
    "resnet18": partial(nets.resnet, 18, small_images=True),
    "resnet50": partial(nets.resnet, 50),
}
"""Networks for images, by the names that `--net` takes beside dense."""


def is_folder(source: str) -> bool:
    """Return whether this is a directory of image files, not of IDX files."""
    path = Path(source)
    return path.is_dir() and not any("idx3" in inner.name for inner in path.iterdir())


def read_folder(source: str, reading: Reading) -> Folder:
    """Return the images in the folders of `source`, each a class; or those in `source` itself, which then have none.

    Raises: ReadError for a folder without images, or a bad image unless those are to be skipped; DataError if images
    differ in their size and none is asked for.
    """
    folder = Path(source)
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if inside and not any(path.is_dir() for path in inside):
        paths, labels, classes = tuple(inside), None, None
    else:
        paths, labels, classes = data.image_files(folder)
    size = None if not reading.size else (reading.size[0], reading.size[1])
    mode: Any = reading.mode
    read = data.read_images(paths, size=size, mode=mode, bad="skip" if reading.skip_bad else "raise")
    kept = np.asarray(read.kept)
    y = None if labels is None else labels[kept]
    if classes is not None and y is not None and (missing := set(range(len(classes))) - set(y.tolist())):
        name = classes[min(missing)]
        raise DataError(source, f"no image of class {name!r} can be read", "mend its files, or take its folder away.")
    return Folder(Dataset(read.x, y, classes), tuple(paths[n] for n in kept), tuple(read.skipped))


def left_out(folder: Folder) -> str:
    """Return what is to be said of the files of a folder that were left out; '' if none was."""
    return omission(folder.skipped, f"of {len(folder.skipped) + len(folder.files)} images")


def omission(skipped: Sequence[str], what: str) -> str:
    """Return what is to be said of what was left out: how many of `what`, and the first; '' if nothing was."""
    if not skipped:
        return ""
    more = [f"and {len(skipped) - _NAMED} more"] if len(skipped) > _NAMED else []
    return "\n  ".join([f"left out {len(skipped)} {what}:", *skipped[:_NAMED], *more])


def transform(changes: Changes, classes: int | None) -> Transform | None:
    """Return the random change of a batch of images in [0, 1], None if there is none.

    `classes`: how many there are, of whose labels mixup makes shares; None where targets are numbers.
    """
    parts: list[Transform] = []
    if changes.flip:
        parts.append(augmentation.flip())
    if changes.rotate:
        parts.append(augmentation.rotation(changes.rotate))
    if changes.crop:
        parts.append(augmentation.crop(padding=changes.crop))
    if changes.color:
        parts.append(augmentation.color(brightness=changes.color, contrast=changes.color))
    if changes.erase:
        parts.append(augmentation.erasing(probability=changes.erase))
    if changes.mixup:
        parts.append(augmentation.mixup(changes.mixup, classes=classes))
    return augmentation.chain(*parts) if parts else None
