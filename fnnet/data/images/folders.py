"""Folders of images, one for each class; and that a name stays within its folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from fnnet.errors import DataError, ReadError


class ImageFiles(NamedTuple):
    """Paths of images, the label of each, and the names of the labels 0, 1, ...."""

    paths: tuple[Path, ...]
    labels: Int[np.ndarray, n]
    classes: tuple[str, ...]


def image_files(folder: str | os.PathLike[str]) -> ImageFiles:
    """Return the files in the folders that lie in `folder`, each a class called by its name; nothing is decoded.

    Classes and files are in the order of their names; what begins with a dot is not seen. Whether a file is an image
    is seen when it is read.
    Raises: ReadError for a folder that is absent, has files beside its classes, folders within them, an empty class, no
    class, or links that leave it.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat/1.png", "dog/1.png", "dog/2.png"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     (folder / name).touch()
    >>> files = image_files(folder)
    >>> [path.name for path in files.paths], files.labels, files.classes
    (['1.png', '1.png', '2.png'], array([0, 1, 1], dtype=int32), ('cat', 'dog'))
    """
    folder = Path(folder)
    classes = _entries(folder, folder)
    beside = [entry.name for entry in classes if not entry.is_dir()]
    if not classes:
        raise ReadError(str(folder), "holds no folder", "expected one folder of images for each class.")
    if beside:
        problem = f"has {len(beside)} file(s) beside its classes' folders: {beside[0]!r}"
        raise ReadError(str(folder), problem, "put every image into the folder of its class, and take others out.")
    paths: list[Path] = []
    labels: list[int] = []
    for label, entry in enumerate(classes):
        files = _entries(Path(entry.path), folder)
        if not files:
            raise ReadError(entry.path, "is a class without images", "add images of it, or remove the folder.")
        for file in files:
            if not file.is_file():
                what = "a folder" if file.is_dir() else "no ordinary file"
                raise ReadError(file.path, f"is {what} within a class", "a class's folder holds its images themselves.")
        paths += [Path(file.path) for file in files]
        labels += [label] * len(files)
    return ImageFiles(tuple(paths), np.array(labels, np.int32), tuple(entry.name for entry in classes))


def holds_classes(folder: Path) -> bool:
    """Whether a folder has folders in it that can be seen."""
    return any(entry.is_dir() for entry in folder.iterdir() if not entry.name.startswith("."))


def within(where: str, folder: Path, name: str) -> Path:
    """Return the path of `name` in `folder`; DataError for a name that leaves it, by itself or over links."""
    check_name(where, name)
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise DataError(where, f"the name {name!r} leads out of {folder}", "name a file that lies in the folder.")
    return path


def check_name(where: str, name: str) -> None:
    """Raise DataError unless `name` is of a file below some folder, on whatever system."""
    windows = PureWindowsPath(name)
    leaves = windows.drive or windows.root or name.startswith("/") or ".." in windows.parts
    if leaves or "\0" in name or not PurePosixPath(name).name:
        raise DataError(where, f"expected the name of a file within its folder, got {name!r}", "correct the name.")


def _entries(folder: Path, root: Path) -> list[os.DirEntry[str]]:
    """Return what can be seen in a folder, by name; ReadError for a link that leaves `root`."""
    try:
        with os.scandir(folder) as found:
            entries = sorted((e for e in found if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise ReadError(str(folder), f"cannot be read ({error.strerror or error})", "check the path.") from error
    for entry in entries:
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root.resolve()):
            raise ReadError(entry.path, f"is a link that leads out of {root}", "put the file itself there.")
    return entries
