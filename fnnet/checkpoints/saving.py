"""Writing snapshots while a run goes on: the disk works in the background, and a checkpoint appears whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

from fnnet.checkpoints import directories
from fnnet.checkpoints.manifests import dumped
from fnnet.checkpoints.snapshots import Snapshot, encoded
from fnnet.checkpoints.snapshots import best as best_of
from fnnet.errors import DamageError, DataError, near_matches
from fnnet.shapes import check_count


class Writer(NamedTuple):
    """What writes the checkpoints of one run.

    ``save(snapshot, scores={})`` returns as soon as the snapshot is copied to the host and its digests are taken; the
    state may be donated or changed afterwards. The file work of one save is done before that of the next begins. A step
    that is there already is left as it is. `scores` are numbers by name, of which one may choose the best.
    ``wait()`` returns when all that was saved is on disk. Both raise WriteError if an earlier save failed.
    """

    save: Callable[..., None]
    wait: Callable[[], None]


@contextmanager
def writer(
    directory: str | os.PathLike[str],
    *,
    after: int | None = None,
    keep: int = 3,
    best: str | None = None,
    mode: Literal["min", "max"] = "min",
) -> Iterator[Writer]:
    """Open a directory for the checkpoints of one run; at the end of the block all of them are on disk.

    `after` is the step from which a run goes on, that of the snapshot restored: checkpoints of later steps, and those
    whose manifest is damaged, are removed. Without it the run is a new one, and there must be no checkpoint yet.
    The last `keep` checkpoints stay, and beside them the best, of those that have the score called `best`: the one with
    the least or the greatest, by `mode`. A checkpoint is written aside and renamed, so that it is there whole or not at
    all, whenever the process ends; what a killed process left unfinished is cleared. One process at a time may write to
    a directory.

    Raises: WriteError if the directory cannot be written, or holds what is not a checkpoint; DataError if it holds
    checkpoints and `after` is None, or if what is saved is of an earlier step, has scores but not that of `best`, or
    holds what is not numbers; ValueError unless ``keep`` is at least 1 and `mode` is one of the two; ExtraMissingError
    without Orbax.

    >>> import tempfile
    >>> task = fn.Task(fn.dense(2), fn.losses.cross_entropy, fn.sgd(0.1))
    >>> ts = fn.init(task, jax.random.key(0), jnp.ones((1, 3)))
    >>> directory = tempfile.mkdtemp()
    >>> with fn.checkpoints.writer(directory, keep=2) as write:
    ...     for step in range(4):
    ...         write.save(fn.checkpoints.Snapshot(ts._replace(step=jnp.int32(step))))
    >>> fn.checkpoints.steps(directory)
    (2, 3)
    """
    check_count("writer", "keep", keep)
    if mode not in ("min", "max"):
        raise ValueError(f"writer: mode must be 'min' or 'max', got {mode!r}")
    path = Path(directory).absolute()
    with directories.orbax("writer") as ocp:
        scores_by_step = _opened(ocp, path, after)

        def kept(steps: list[int]) -> set[int | None]:
            there = {step: scores_by_step.get(step, {}) for step in steps}
            return {*steps[-keep:], best_of(there, best or "", mode)}

        options = _options(ocp, kept)
        with directories.writing(path):
            manager = ocp.CheckpointManager(path, options=options)

        def save(snapshot: Snapshot, scores: Mapping[str, float] = {}) -> None:
            if scores and best is not None and best not in scores:
                problem = f"there is no score {best!r}, by which the best is kept"
                raise DataError("save", problem, near_matches(best, scores))
            arrays, manifest = encoded("save", snapshot, scores)
            last = manager.latest_step()
            if last is not None and manifest.step < last:
                problem = f"step {manifest.step} comes after step {last}, which {path} holds"
                raise DataError("save", problem, "go on from the last snapshot, or write to another directory.")
            if manifest.step == last:
                return
            scores_by_step[manifest.step] = manifest.scores
            items = {
                directories.ARRAYS: ocp.args.PyTreeSave(arrays),
                directories.MANIFEST: ocp.args.JsonSave(dumped(manifest)),
            }
            with directories.writing(path):
                manager.save(manifest.step, args=ocp.args.Composite(**items), force=True)

        def wait() -> None:
            with directories.writing(path):
                manager.wait_until_finished()

        try:
            yield Writer(save, wait)
        except BaseException:
            with suppress(Exception):  # what went wrong first is what is told
                manager.close()
            raise
        with directories.writing(path):
            manager.close()


def _opened(ocp: Any, path: Path, after: int | None) -> dict[int, dict[str, float]]:
    """Clear the directory for a run that goes on after a step, and return the scores of what stays."""
    directories.prepare(path)
    known = directories.present(path)
    if known and after is None:
        fix = "restore from it and pass after=<its step>, or write to another directory."
        raise DataError("writer", f"{path} holds checkpoints already, the last of step {known[-1]}", fix)
    scores = {}
    for step in known:
        try:
            scores[step] = directories.read_manifest(ocp, path / str(step)).scores
        except DamageError:
            directories.remove(path, step)
            continue
        if after is not None and step > after:
            del scores[step]
            directories.remove(path, step)
    return scores


def _options(ocp: Any, kept: Callable[[list[int]], set[int | None]]) -> Any:
    """Return the options by which Orbax's manager of a directory keeps the steps that `kept` chooses."""

    def should_preserve(checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        chosen = kept([checkpoint.step for checkpoint in checkpoints])
        return [checkpoint.step in chosen for checkpoint in checkpoints]

    return ocp.CheckpointManagerOptions(
        preservation_policy=SimpleNamespace(should_preserve=should_preserve),
        lightweight_initialize=True,  # reads nothing of the checkpoints there: that is done already, with checks
        # Where a directory cannot be made, threads that await it would hold the end of the process up for 20 minutes.
        async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
        num_deletion_threads=1,  # with more of them Orbax waits a tenth of a second at each removal
    )
