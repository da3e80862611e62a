"""A sweep on disk: a file a finished group, so that a second call skips what is there. Nothing is pickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet.errors import DataError, ReadError
from fnnet.fingerprints import stable_text
from fnnet.writing import replacing

FORMAT = 2


def open_directory(directory: str | os.PathLike[str], fingerprint: str) -> Path:
    """Return the directory, made if absent, as that of the sweep with this fingerprint; DataError if of another."""
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    card, wanted = path / "sweep.json", {"format": FORMAT, "fingerprint": fingerprint}
    if not card.exists():
        with replacing(card) as file:
            file.write(json.dumps(wanted).encode())
        return path
    try:
        found = json.loads(card.read_bytes())
    except ValueError as error:
        raise ReadError(str(card), "is no JSON", "remove the directory to begin anew.") from error
    if found != wanted:
        problem = "holds another sweep: its points, steps, seeds, key, options or data differ"
        raise DataError(str(path), problem, "choose another directory, or remove this one.")
    return path


def fingerprint(key: Any, points: Sequence[Any], settings: dict[str, Any], shared: PyTree) -> str:
    """Return the digest of all that a sweep's results depend on but the code of functions that have a name."""
    digest = hashlib.sha256(stable_text([points, sorted(settings.items())]).encode())
    for leaf in [jax.random.key_data(key), *jax.tree.leaves(shared)]:
        array = np.ascontiguousarray(leaf)
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def save(path: Path, result: PyTree, note: dict[str, Any]) -> None:
    """Write the arrays of a result and a note in JSON, whole or not at all."""
    impls = [str(jax.random.key_impl(leaf)) for leaf in jax.tree.leaves(result) if _is_key(leaf)]
    note = note | {"impl": impls[0]}
    arrays = {f"leaf_{n:05d}": _plain(leaf) for n, leaf in enumerate(jax.tree.leaves(result))}
    with replacing(path) as file:
        np.savez(file, note=np.array(json.dumps(note)), **arrays)  # type: ignore[arg-type,unused-ignore]


def load(path: Path, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Return the result and the note; ReadError unless the file is whole and its arrays are those of `like`."""
    shapes, treedef = jax.tree.flatten(like)
    try:
        with np.load(path, allow_pickle=False) as file:
            note = json.loads(str(file["note"]))
            leaves = [_typed(file[f"leaf_{n:05d}"], shape, note["impl"]) for n, shape in enumerate(shapes)]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ReadError(str(path), f"cannot be read ({error})", "remove it: its group is run again.") from error
    for leaf, shape in zip(leaves, shapes, strict=True):
        if leaf.shape != shape.shape or leaf.dtype != shape.dtype:
            problem = f"expected an array {shape.dtype}{shape.shape}, got {leaf.dtype}{leaf.shape}"
            raise DataError(str(path), problem, "the tasks have changed: choose another directory.")
    return jax.tree.unflatten(treedef, leaves), note


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _plain(leaf: Any) -> np.ndarray:
    array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    # NumPy's files know its own dtypes alone: bfloat16 and its like go as bytes.
    return array if array.dtype.isbuiltin == 1 else array.view(np.dtype(f"u{array.dtype.itemsize}"))


def _typed(array: np.ndarray, like: Any, impl: str) -> Any:
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=impl)
    known = np.dtype(like.dtype).isbuiltin == 1
    return jnp.asarray(array if known else array.view(like.dtype))
