"""NumPy archives (``.npz``): arrays by name; pickled objects are refused."""

from __future__ import annotations

import io
import math
import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fnnet.data.arrays import Dataset, length
from fnnet.data.idx import as_images
from fnnet.data.raw import read_bytes
from fnnet.data.targets import as_float32, encode
from fnnet.errors import DataError, ReadError, inside
from fnnet.writing import replacing

_INFLATED = 1100  # bytes that one of a deflated file becomes, at most
_PAIRS = (("x", "y"), ("X", "y"), ("X", "Y"), ("data", "target"), ("features", "labels"), ("images", "labels"))


def read_npz(path: Path, *, part: str = "train", regression: bool | None = None) -> Dataset:
    """Return the arrays under ``x_<part>`` and ``y_<part>``, or ``x`` and ``y``, or another usual pair of names.

    ``x`` becomes float32; bytes of shape (n, H, W) or (n, H, W, C) are images, scaled to [0, 1]. ``y`` may be absent.
    Integers and text in ``y`` are classes, floats are regression. ``classes``, names of the labels 0, 1, ..., and
    ``features``, names of the columns, are used where the archive has them.

    Raises: ReadError for what is no archive, is truncated, holds pickled objects, or has no such names; DataError for
    rows that differ.
    """
    arrays = read_npz_arrays(path)
    x_name, y_name = _names(path, arrays, part)
    x, y = arrays[x_name], arrays.get(y_name)
    if x.dtype.kind not in "biuf":
        raise ReadError(str(path), f"{x_name!r} must hold numbers, got dtype {x.dtype}", "encode it first, or use CSV.")
    classes: tuple[str, ...] | None = None
    if y is not None:
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
            raise DataError(
                str(path), f"{x_name!r} of shape {x.shape} and {y_name!r} of shape {y.shape} differ in their rows",
                "give each row one target.",
            )  # fmt: skip
        if "classes" in arrays and y.dtype.kind in "iu":
            classes = tuple(str(name) for name in arrays["classes"].reshape(-1))
            y = _in_range(path, y.reshape(-1).astype(np.int32), classes)
        else:
            y, classes = encode(y, regression, where=f"{path}, {y_name!r}")
    image = x.dtype == np.uint8 and x.ndim in (3, 4)
    named = "features" in arrays and x_name != "features"
    features = tuple(str(name) for name in arrays["features"].reshape(-1)) if named else ()
    dataset = Dataset(as_images(x) if image else as_float32(x, f"{path}, {x_name!r}"), y, classes, features)
    with inside(str(path)):
        length(dataset)
    return dataset


def read_npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an archive by name; ReadError for what is none, is truncated, or holds pickled objects."""
    raw = read_bytes(path)
    if raw[:2] != b"PK":  # NumPy would take it for a pickle
        problem = f"is not a whole .npz archive: it begins with {raw[:4].hex(' ')}"
        raise ReadError(str(path), problem, "write it again with np.savez.")
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            foreign = [name for name in archive.files if not _holds_array(archive.zip, name, len(raw))]
            arrays = {} if foreign else {name: archive[name] for name in archive.files}
            for array in arrays.values():
                _check_text(array)
    except Exception as error:  # damaged archives raise errors of many kinds
        if isinstance(error, ValueError) and "pickle" in str(error):
            problem = "holds Python objects, which would run code when read"
            raise ReadError(str(path), problem, "save plain arrays of numbers or of text.") from error
        raise ReadError(str(path), f"is not a whole .npz archive ({error})", "write it again with np.savez.") from error
    if "xl/workbook.xml" in foreign:
        raise ReadError(str(path), "is an Excel workbook, expected CSV, .npz or IDX", "save the sheet as CSV (UTF-8).")
    if foreign:
        problem = f"is a zip file but no .npz archive: {foreign[0]!r} is not an array"
        raise ReadError(str(path), problem, "write it with np.savez.")
    return arrays


def _holds_array(archive: zipfile.ZipFile, name: str, size: int) -> bool:
    """Whether a member is an array; ValueError for one that claims more memory than it, or `size` bytes, can fill."""
    about = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
    with archive.open(about) as member:
        if member.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            return False
        version = member.read(2)
        header = np.lib.format.read_array_header_1_0 if version == b"\1\0" else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(member)
    most = min(about.file_size, _INFLATED * size)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > most:
        raise ValueError(f"the array {name!r} claims shape {shape} of {dtype}, and has {about.file_size} bytes")
    return True


def _check_text(array: Any) -> None:
    """Raise ValueError for text of what are no characters, of which NumPy's strings cannot be made."""
    if isinstance(array, np.ndarray) and array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        codes = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if codes.max() > sys.maxunicode:
            raise ValueError("text holds what is no character")


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name; a reader sees the old file or the whole new one.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.npz"
    >>> write_npz(path, {"x": jnp.ones((2, 3)), "y": jnp.zeros(2, int)})
    >>> fn.data.read(path).x.shape
    (2, 3)
    """
    with replacing(path) as file:
        np.savez(file, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]


def _in_range(path: Path, y: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    outside = (y < 0) | (y >= len(classes))
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise DataError(
            str(path),
            f"labels must be from 0 to {len(classes) - 1}, the last class, got {y[row]} at row {row}",
            "correct the labels, or the array 'classes'.",
        )
    return y


def _names(path: Path, arrays: Mapping[str, np.ndarray], part: str) -> tuple[str, str]:
    for x, y in ((f"x_{part}", f"y_{part}"), (f"X_{part}", f"y_{part}"), *_PAIRS):
        if x in arrays:
            return x, y if y in arrays else next((b for a, b in _PAIRS if a == x and b in arrays), y)
    held = ", ".join(repr(name) for name in arrays) or "nothing"
    raise ReadError(str(path), f"expected arrays 'x' and 'y' or 'x_{part}' and 'y_{part}', got {held}", "rename them.")
