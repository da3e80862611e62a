"""Reading a data set from a file of any of the formats, told apart by what is in it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from fnnet.data.archives import read_npz
from fnnet.data.arrays import Dataset
from fnnet.data.delimited import read_csv
from fnnet.data.idx import read_idx
from fnnet.data.images.decoding import Mode
from fnnet.data.images.folders import holds_classes, image_files
from fnnet.data.images.placing import Resize, Size
from fnnet.data.images.reading import Bad, read_images
from fnnet.data.raw import read_bytes
from fnnet.errors import DataError, ReadError

_FOREIGN = {b"\x89HDF": "HDF5", b"PAR1": "Parquet", b"\x93NUM": "one .npy array", b"\x80\x04\x95": "a Python pickle"}


def read(
    path: str | os.PathLike[str],
    target: str | None = None,
    *,
    part: str = "train",
    columns: Mapping[str, str] | None = None,
    categorical: Collection[str] = (),
    missing: str = "error",
    regression: bool | None = None,
    size: Size | None = None,
    mode: Mode = "RGB",
    resize: Resize = "stretch",
    bad: Bad = "raise",
) -> Dataset:
    """Return the data set in a CSV, ``.npz`` or IDX file, gzipped or not, or in a directory of IDX files or of images.

    `part` (``train`` or ``test``) chooses among the arrays or files of a format that holds both. `target` names the
    target's column of a CSV file; `columns`, `categorical` and `missing` are read_csv's. `regression` says whether the
    target is numbers (True) or classes (False); by default its values tell.

    Images lie in one folder for each class (``image_files``), in the directory or in its folder called `part`; `size`,
    `mode`, `resize` and `bad` are those of ``read_images``.

    Raises: ReadError for what is absent, empty, truncated, malformed or of no known format; DataError for its content.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "animals.csv"
    >>> fn.data.write_csv(path, {"size": [1.0, 9.0], "kind": ["cat", "dog"]})
    >>> dataset = read(path, "kind")
    >>> dataset.y, dataset.classes
    (array([0, 1], dtype=int32), ('cat', 'dog'))
    """
    path = Path(path)
    if path.is_dir():
        images = _idx_in(path, part)
        if images is None and (folder := _classes_in(path, part)) is not None:
            _check_no_target(path, "images", target)
            files = image_files(folder)
            read_in = read_images(files.paths, size=size, mode=mode, resize=resize, bad=bad)
            return Dataset(read_in.x, files.labels[read_in.kept], files.classes)
        _check_no_target(path, "IDX", target)
        if images is None:
            fix = (
                f"expected e.g. {part if part == 'train' else 't10k'}-images-idx3-ubyte.gz, or a folder for each class."
            )
            raise ReadError(str(path), f"holds no IDX images of the {part} part, and no folder of images", fix)
        return read_idx(images)
    if not path.exists():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*")], n=1)
        raise ReadError(str(path), "no such file", f"did you mean {near[0]!r}?" if near else "check the path.")
    head = read_bytes(path, 4)
    for magic, kind in _FOREIGN.items():
        if head.startswith(magic[:4]):
            raise ReadError(str(path), f"is {kind}, expected CSV, .npz or IDX", "convert it, e.g. with np.savez.")
    if head[:2] == b"PK" or path.suffix == ".npz":
        _check_no_target(path, ".npz", target)
        return read_npz(path, part=part, regression=regression)
    if head[:2] == b"\0\0" or "ubyte" in path.name or ".idx" in path.name:
        _check_no_target(path, "IDX", target)
        return read_idx(path)
    return read_csv(path, target, columns=columns, categorical=categorical, missing=missing, regression=regression)


def _check_no_target(path: Path, kind: str, target: str | None) -> None:
    """Raise DataError if a target is named in a format that has no columns."""
    if target is not None:
        what, fix = {
            "IDX": ("an IDX file has", "name no target: labels are the file beside the images."),
            "images": ("a folder of images has", "name no target: labels are the folders that images lie in."),
            ".npz": ("an .npz archive has", "name the array 'y'."),
        }[kind]
        raise DataError(str(path), f"{what} no columns to choose {target!r} from", fix)


def _idx_in(directory: Path, part: str) -> Path | None:
    starts = ("train",) if part == "train" else (part, "t10k")
    for path in sorted(directory.iterdir()):
        if path.name.startswith(starts) and "images" in path.name and "idx3" in path.name:
            return path
    return None


def _classes_in(directory: Path, part: str) -> Path | None:
    """Return the folder whose folders are the classes: that called `part`, if it has any, else `directory`."""
    inner = directory / part
    if inner.is_dir() and holds_classes(inner):
        return inner
    return directory if holds_classes(directory) else None
