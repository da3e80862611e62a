"""IDX, the format of MNIST: a big-endian header of dtype and shape, then the values; often gzipped."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from fnnet.data.arrays import Dataset
from fnnet.data.raw import read_bytes
from fnnet.data.targets import encode
from fnnet.errors import ReadError

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> Dataset:
    """Return images (n, H, W, 1), scaled to [0, 1] where they are bytes, and the labels from the file beside them.

    The labels' file has the images' name with ``images`` and ``idx3`` put as ``labels`` and ``idx1``
    (``train-images-idx3-ubyte.gz`` and ``train-labels-idx1-ubyte.gz``), gzipped or not. Without one ``y`` is None.

    Raises: ReadError for a file that is truncated or not IDX, and for unequal lengths.
    """
    images = read_idx_array(path)
    if images.ndim < 2:
        raise ReadError(
            str(path), "holds labels, expected images", "pass the images' file; its labels are found by name."
        )
    labels_path = next((beside for beside in _labels_paths(path) if beside.exists()), None)
    if labels_path is None:
        return Dataset(as_images(images), None)
    labels = read_idx_array(labels_path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ReadError(
            str(labels_path),
            f"expected one whole number a row, got {labels.dtype} of shape {labels.shape}",
            "pair the right files.",
        )
    if len(labels) != len(images):
        raise ReadError(
            str(labels_path), f"expected {len(images)} labels, one an image, got {len(labels)}", "pair the right files."
        )
    y, classes = encode(labels, regression=False, where=str(labels_path))
    return Dataset(as_images(images), y, classes)


def read_idx_array(path: Path) -> np.ndarray:
    """Return the array of one IDX file, gzipped or not, in the machine's byte order.

    Raises: ReadError if the file is truncated, holds more than its header says, or is not IDX.
    """
    raw = read_bytes(path)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _DTYPES:
        raise ReadError(
            str(path),
            f"is not an IDX file: it begins with {raw[:4].hex(' ') or 'nothing'}",
            "expected 00 00, a dtype, a rank.",
        )
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise ReadError(str(path), f"is truncated in its header: {len(raw)} bytes of {start}", "fetch the file again.")
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", raw[3], 4))
    if not all(shape):
        raise ReadError(str(path), f"holds no values: its shape is {shape}", "fetch or write the file again.")
    dtype = np.dtype(_DTYPES[raw[2]])
    expected = start + dtype.itemsize * math.prod(shape)
    if len(raw) != expected:
        problem = "is truncated" if len(raw) < expected else "is longer than its header says"
        raise ReadError(
            str(path), f"{problem}: shape {shape} needs {expected} bytes, got {len(raw)}", "fetch the file again."
        )
    return np.frombuffer(raw, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def as_images(x: np.ndarray) -> np.ndarray:
    """Return images as float32 with channels last: bytes are scaled to [0, 1], (n, H, W) gets one channel."""
    scaled = x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x.astype(np.float32)
    return scaled[..., None] if scaled.ndim == 3 else scaled


def _labels_paths(path: Path) -> list[Path]:
    """Return where the labels of an images' file may be: under its name, with labels for images, gzipped or not."""
    images = path.name.removesuffix(".gz")
    labels = images.replace("images", "labels").replace("idx3", "idx1")
    return [] if labels == images else [path.with_name(labels), path.with_name(labels + ".gz")]
