"""Snapshots of a whole run: everything that going on to the bit needs, read back and checked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fnnet import tree
from fnnet.checkpoints import manifests
from fnnet.checkpoints.directories import present, read_arrays, read_manifest, reading
from fnnet.checkpoints.manifests import Manifest, Record
from fnnet.core import TrainState
from fnnet.errors import CheckpointWarning, DamageError, DataError, ReadError


class Snapshot(NamedTuple):
    """Everything of a run at one step.

    `history` and `metrics` are nested dicts of arrays on the host, of any lengths. `position` is where a stream of data
    stands: a dict of what JSON has. `config` is the user's, of what JSON has; its tuples come back as lists. `kept` are
    states like `state`, by name. `versions`, of the libraries, are those of the process that saved it.
    """

    state: TrainState
    history: Mapping[str, Any] = {}
    metrics: Mapping[str, Any] = {}
    position: Mapping[str, Any] | None = None
    config: Mapping[str, Any] = {}
    kept: Mapping[str, TrainState] = {}
    versions: Mapping[str, str] = {}


def restore(directory: str | os.PathLike[str], like: TrainState, *, step: int | None = None) -> Snapshot | None:
    """Return the last whole snapshot in `directory`, or that of `step`; None if no checkpoint was ever written there.

    `like` is a state of the same task, or its shapes from ``jax.eval_shape``: it gives the containers, the disk every
    leaf, on the default device. Law: a snapshot comes back bit for bit. Every byte is checked; a checkpoint that is
    truncated, changed or partly gone is passed over, with a CheckpointWarning, for the one before it.

    Raises: ReadError if none is whole, or `step` is not there, for a newer format, or for 64-bit leaves in a process
    without x64; DataError, listing all paths, if the state saved is not like `like`; ExtraMissingError without Orbax.

    >>> import tempfile
    >>> task = fn.Task(fn.dense(2), fn.losses.cross_entropy, fn.adam(1e-3))
    >>> ts = fn.init(task, jax.random.key(0), jnp.ones((1, 3)))
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     with fn.checkpoints.writer(directory) as write:
    ...         write.save(fn.checkpoints.Snapshot(ts, config={"rate": 1e-3}))
    ...     back = fn.checkpoints.restore(directory, ts)
    >>> back.config, bool((back.state.params["kernel"] == ts.params["kernel"]).all())
    ({'rate': 0.001}, True)
    """
    path = Path(directory)
    known = present(path)
    if step is not None and step not in known:
        have = ", ".join(map(str, known)) or "none"
        raise ReadError(str(path), f"holds no checkpoint of step {step}", f"the steps there are: {have}.")
    with reading("restore") as ocp:
        for number in reversed(known) if step is None else (step,):
            try:
                return _restored(ocp, path / str(number), like)
            except DamageError as error:
                if step is not None:
                    raise
                said = f"{error.where} is not whole and is passed over: {error.problem}"
                warnings.warn(said, CheckpointWarning, stacklevel=2)
    if known:
        fix = "copy one from elsewhere, or remove the directory to start anew."
        raise ReadError(str(path), "holds checkpoints, but none is whole", fix)
    return None


def steps(directory: str | os.PathLike[str]) -> tuple[int, ...]:
    """Return the steps of the checkpoints that are whole, oldest first. Every byte of them is read and checked.

    Raises: ReadError for a newer format; ExtraMissingError without Orbax.

    >>> fn.checkpoints.steps("nowhere")
    ()
    """
    with reading("steps") as ocp:
        return tuple(manifest.step for manifest in _whole(ocp, Path(directory)))


def best_step(directory: str | os.PathLike[str], score: str, mode: Literal["min", "max"] = "min") -> int | None:
    """Return the step of the whole checkpoint with the best score of this name; None if no checkpoint has one.

    Of equals the first is best; NaN never is.
    Raises: as ``steps``.

    >>> fn.checkpoints.best_step("nowhere", "loss") is None
    True
    """
    with reading("best_step") as ocp:
        return best({manifest.step: manifest.scores for manifest in _whole(ocp, Path(directory))}, score, mode)


def best(scores: Mapping[int, Mapping[str, float]], score: str, mode: str) -> int | None:
    """Return the step of the best score of this name, of the scores of each step.

    >>> best({1: {"loss": 0.5}, 2: {"loss": 0.3}, 3: {"loss": 0.3}, 4: {}}, "loss", "min")
    2
    """
    sign = 1 if mode == "min" else -1
    found = [(sign * row[score], step) for step, row in scores.items() if score in row and row[score] == row[score]]
    return min(found)[1] if found else None


def encoded(where: str, snapshot: Snapshot, scores: Mapping[str, float]) -> tuple[dict[str, np.ndarray], Manifest]:
    """Return the arrays of a snapshot as they are stored, copied to the host, and the manifest.

    Raises: DataError, naming the path, for what cannot be stored.
    """
    leaves = _named(where, "state", snapshot.state)
    for number, ts in enumerate(snapshot.kept.values()):
        leaves |= _named(where, f"kept/{number}", ts)
    history, metrics = (_skeleton(where, part, getattr(snapshot, part), leaves) for part in ("history", "metrics"))
    for part, value in (("config", snapshot.config), ("position", snapshot.position)):
        manifests.check_json(where, part, value)
    for leaf in leaves.values():
        if isinstance(leaf, jax.Array) and leaf.is_fully_addressable:
            leaf.copy_to_host_async()  # all transfers are on their way before the first is waited for
    arrays: dict[str, np.ndarray] = {}
    records: dict[str, Record] = {}
    for name, leaf in leaves.items():
        array, key = manifests.to_host(where, name, leaf)
        records[name] = manifests.record(array, key)
        stored = manifests.stored(array)
        if stored is not None:
            arrays[name] = stored
    manifest = Manifest(
        step=int(snapshot.state.step),
        records=records,
        history=history,
        metrics=metrics,
        position=snapshot.position,
        config=snapshot.config,
        scores={name: float(value) for name, value in scores.items()},
        versions=manifests.versions(),
        kept=list(snapshot.kept),
    )
    return arrays, manifest


def _restored(ocp: Any, path: Path, like: TrainState) -> Snapshot:
    manifest = read_manifest(ocp, path)
    roots = ["state", *(f"kept/{number}" for number in range(len(manifest.kept)))]
    for root in roots:
        records = {name: known for name, known in manifest.records.items() if name.startswith(f"{root}/")}
        _check_width(path, records)
        _check_like(path, root, records, like)
    arrays = read_arrays(ocp, path, manifest)
    state, *kept = (_state(root, like, arrays, manifest) for root in roots)
    history, metrics = (_filled(skeleton, arrays) for skeleton in (manifest.history, manifest.metrics))
    named = dict(zip(manifest.kept, kept, strict=True))
    return Snapshot(state, history, metrics, manifest.position, manifest.config, named, manifest.versions)


def _state(root: str, like: TrainState, arrays: Mapping[str, np.ndarray], manifest: Manifest) -> TrainState:
    leaves = [_on_device(arrays[name], manifest.records[name]) for name in _named("restore", root, like)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _whole(ocp: Any, directory: Path) -> Iterator[Manifest]:
    for step in present(directory):
        try:
            manifest = read_manifest(ocp, directory / str(step))
            read_arrays(ocp, directory / str(step), manifest)
        except DamageError:
            continue
        yield manifest


def _check_width(path: Path, records: Mapping[str, Record]) -> None:
    for name, known in records.items():
        dtype = manifests.dtype_of(name, known)
        if jax.dtypes.canonicalize_dtype(dtype) != dtype:
            fix = 'jax.config.update("jax_enable_x64", True) first.'
            raise ReadError(str(path), f"{name} is {known.dtype}, which needs x64", fix)


def _check_like(path: Path, root: str, records: Mapping[str, Record], like: TrainState) -> None:
    got = {name.removeprefix(f"{root}/"): manifests.type_name(known) for name, known in records.items()}
    expected = {name: tree.type_name(leaf) for name, leaf in tree.flatten(like).items()}
    if difference := tree.unlike(got, expected, most=20):
        fix = "restore it into a state of the task that was saved, or start anew in another directory."
        raise DataError(str(path), f"the state saved is not that of this task: {difference}", fix)


def _on_device(array: np.ndarray, known: Record) -> Array:
    # Copied: JAX may otherwise share the memory of an array of NumPy's, which a run that donates its state writes to.
    value = jnp.array(array, copy=True)
    return jax.random.wrap_key_data(value, impl=known.key) if known.key else value


def _named(where: str, root: str, part: Any) -> dict[str, Any]:
    """Return the leaves by path, under `root`; two of one path cannot be told apart."""
    leaves = {f"{root}/{name}": leaf for name, leaf in tree.flatten(part).items()}
    if len(leaves) < len(jax.tree.leaves(part)):
        raise DataError(where, f"two entries of the {root} have one path", "leave '/' out of the keys of dicts.")
    return leaves


def _skeleton(where: str, name: str, part: Any, leaves: dict[str, Any]) -> dict[str, Any]:
    """Return nested dicts as they are, with the names of arrays for arrays, which are put among `leaves`."""
    if not isinstance(part, Mapping):
        raise DataError(where, f"{name} must be nested dicts of arrays, got {type(part).__name__}")
    names: dict[str, Any] = {}
    for key, value in part.items():
        inner = f"{name}/{key}"
        if not isinstance(key, str) or inner in leaves:
            raise DataError(where, f"{name}: keys must be text, and no two paths alike, got {key!r}", "rename it.")
        if isinstance(value, Mapping):
            names[key] = _skeleton(where, inner, value, leaves)
        else:
            names[key], leaves[inner] = inner, np.asarray(value)
    return names


def _filled(skeleton: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {key: _filled(v, arrays) if isinstance(v, Mapping) else arrays[v] for key, v in skeleton.items()}
