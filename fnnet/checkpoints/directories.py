"""A directory of checkpoints as Orbax lays it out: one folder a step, which is there whole or not at all."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fnnet.checkpoints.manifests import Manifest, loaded, rebuilt
from fnnet.errors import DamageError, ReadError, WriteError, needs_extra

ARRAYS, MANIFEST = "arrays", "manifest"
"""The two items of a checkpoint: all arrays in one flat dict, and the manifest as JSON."""

_UNFINISHED = ".orbax-checkpoint-tmp"  # in the name of what is being written; given to what is being removed, too


@contextmanager
def orbax(where: str) -> Iterator[Any]:
    """Import Orbax, and keep its log to itself within: what goes wrong is raised.

    Raises: ExtraMissingError, naming the extra to install.
    """
    with needs_extra(where, "io"):
        import orbax.checkpoint as ocp

    def of_others(record: logging.LogRecord) -> bool:
        return f"{os.sep}orbax{os.sep}" not in record.pathname

    log = logging.getLogger("absl")
    log.addFilter(of_others)
    try:
        yield ocp
    finally:
        log.removeFilter(of_others)


@contextmanager
def reading(where: str) -> Iterator[Any]:
    """Import Orbax as `orbax` does, and drop within what TensorStore still answers after a failed read was given up.

    Python would print that as errors without an owner, beside the one that is raised.
    """
    hook = sys.unraisablehook

    def of_others(late: Any) -> None:
        if str(late.exc_value) != "Event loop is closed":
            hook(late)

    with orbax(where) as ocp:
        sys.unraisablehook = of_others
        try:
            yield ocp
        finally:
            sys.unraisablehook = hook


def present(directory: Path) -> list[int]:
    """Return the steps that have a folder, oldest first; one that is being written or removed has another name."""
    if not directory.is_dir():
        return []
    return sorted(int(entry.name) for entry in directory.iterdir() if _is_step(entry))


def read_manifest(ocp: Any, path: Path) -> Manifest:
    """Return the manifest of one checkpoint.

    Raises: DamageError for one that is not whole; ReadError for a newer format.
    """
    where = str(path)
    try:
        outer = ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(path / MANIFEST)
        manifest = loaded(where, outer)
    except ReadError:
        raise
    except Exception as error:  # a reader of damaged bytes fails in any way
        raise DamageError(where, f"its manifest cannot be read ({_reason(error)})") from error
    if str(manifest.step) != path.name:
        raise DamageError(where, f"its manifest is that of step {manifest.step}")
    return manifest


def read_arrays(ocp: Any, path: Path, manifest: Manifest) -> dict[str, np.ndarray]:
    """Return all arrays of one checkpoint by name, every byte of them checked.

    Raises: DamageError for one that is not whole.
    """
    try:
        found = ocp.Checkpointer(ocp.PyTreeCheckpointHandler()).restore(path / ARRAYS)
        values = {name: np.asarray(value) for name, value in found.items()}
    except Exception as error:  # as above
        raise DamageError(str(path), f"its arrays cannot be read ({_reason(error)})") from error
    try:
        return {name: rebuilt(name, known, values.get(name)) for name, known in manifest.records.items()}
    except ReadError as error:
        error.where = str(path)
        raise


def prepare(directory: Path) -> None:
    """Make the directory, or clear it of what a killed writer left unfinished.

    Raises: WriteError if it cannot be made or written, or holds what is not a checkpoint.
    """
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        entries = sorted(entry for entry in directory.iterdir() if not entry.name.startswith("."))
        unfinished = [entry for entry in entries if _UNFINISHED in entry.name]
        others = [entry.name for entry in entries if entry not in unfinished and not _is_step(entry)]
        if others:
            fix = "give checkpoints a directory of their own."
            raise WriteError(str(directory), f"holds what is not a checkpoint: {others[0]!r}", fix)
        for entry in unfinished:
            shutil.rmtree(entry, ignore_errors=True)  # what cannot go now goes next time: nobody reads it


def remove(directory: Path, step: int) -> None:
    """Remove one checkpoint: renamed first, so that no half of it bears the name of a whole one."""
    with writing(directory):
        aside = directory / f"{step}{_UNFINISHED}-removed"
        (directory / str(step)).rename(aside)
        shutil.rmtree(aside)


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Raise WriteError, naming the directory, for whatever goes wrong within."""
    try:
        yield
    except WriteError:
        raise
    except Exception as error:  # Orbax passes on errors of the system in any dress
        fix = "check the path, the permissions and the space on the disk."
        raise WriteError(str(directory), f"cannot be written ({_reason(error)})", fix) from error


def _is_step(entry: Path) -> bool:
    name = entry.name
    return name.isascii() and name.isdecimal() and str(int(name)) == name and entry.is_dir()


def _reason(error: Exception) -> str:
    """Return what an error says on one line, without the middle of a long text: the cause is at the end."""
    text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    text = text.partition(" [")[0]  # after it TensorStore says where in its own sources
    return text if len(text) <= 240 else f"{text[:60]} … {text[-160:]}"
