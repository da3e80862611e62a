"""A run directory: ``config.toml``, ``weights.safetensors``, ``history.csv``, ``curves.png``. Loading runs no code."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tomli_w

from fnnet import checkpoints, data
from fnnet.cli.detection import Detector
from fnnet.cli.experiments import Settings, make_net, make_task
from fnnet.cli.images import Changes, Reading
from fnnet.core import Layer, Params, State
from fnnet.data import Schema
from fnnet.errors import DataError, ReadError, check_extra
from fnnet.plotting import learning_curves
from fnnet.writing import replacing

FORMAT = 1
"""The version of the layout; a reader refuses a newer one."""

NOT_OF_DETECTORS = ("target", "hidden", "activation", "missing")
"""Settings that mean nothing to a detector."""


class Run(NamedTuple):
    """A trained network, with all that is needed to use it on new data."""

    settings: Settings
    schema: Schema
    outputs: int
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    params: Params
    state: State
    test: dict[str, float]

    @property
    def net(self) -> Layer:
        """The network that `params` are of."""
        return make_net(self.settings, self.outputs, self.mean, self.scale)

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of an example."""
        return row_shape(self.schema)


def row_shape(schema: Schema) -> tuple[int, ...]:
    """Return the shape of an example of such data."""
    return (len(data.feature_names(schema)),) if schema.shape is None else schema.shape


@contextmanager
def place(directory: Path) -> Iterator[None]:
    """Make the directory for the training within, and raise before it what `save` would raise after it.

    A directory in which nothing was saved, since the training failed, is taken away again.

    Raises: ExtraMissingError without safetensors or matplotlib; OSError unless files can be written there.
    """
    check_extra("fnnet train", "all", "matplotlib", "safetensors")
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
        yield
    except BaseException:
        with suppress(OSError):  # not empty: it is of an earlier run
            directory.rmdir()
        raise


def save(directory: Path, run: Run, history: Mapping[str, np.ndarray]) -> None:
    """Write the run directory."""
    network = {"outputs": run.outputs, "mean": list(run.mean), "scale": list(run.scale)}
    config = {"settings": _saved(run.settings), "network": network}
    config |= {"schema": data.schema_to_dict(run.schema), "test": run.test}
    _write(directory, run, config, history)


def save_detector(directory: Path, detector: Detector, history: Mapping[str, np.ndarray]) -> None:
    """Write the run directory of a detector."""
    settings = {name: value for name, value in _saved(detector.settings).items() if name not in NOT_OF_DETECTORS}
    own = {name: list(getattr(detector, name)) for name in ("classes", "category_ids")} | {"stride": detector.stride}
    _write(directory, detector, {"settings": settings, "detector": own, "test": detector.test}, history)


def _write(directory: Path, run: Run | Detector, config: Mapping[str, Any], history: Mapping[str, np.ndarray]) -> None:
    """Write the files. The configuration comes last: a directory that has one is whole."""
    (directory / "config.toml").unlink(missing_ok=True)
    checkpoints.save_weights(directory / "weights.safetensors", run.params, run.state)
    data.write_csv(directory / "history.csv", {name: column for name, column in history.items() if column.ndim == 1})
    with replacing(directory / "curves.png") as file:
        learning_curves(history, title=run.settings.source).savefig(file, dpi=150, format="png")
    with replacing(directory / "config.toml") as file:
        tomli_w.dump({"format": FORMAT, **config}, file)


def load(directory: Path) -> Run:
    """Read a run directory.

    Raises: ReadError if it is none, is of a detector, is damaged, or was written in a newer format; nothing in it is
    executed.
    """
    path, config = _read(directory)
    if "detector" in config:
        fix = "pass another run; detectors are for fnnet evaluate, predict and summary."
        raise ReadError(str(directory), "is the run of a detector", fix)
    with _entries_of(path):
        settings = _settings(config["settings"])
        network = config["network"]
        schema = data.schema_from_dict(config["schema"])
        mean, scale = tuple(network["mean"]), tuple(network["scale"])
        make_task(settings, make_net(settings, network["outputs"], mean, scale), len(schema.classes or ()), scale, 1)
        if network["outputs"] != len(schema.classes or mean):
            raise ValueError(f"{network['outputs']} outputs")
    params, state, _ = checkpoints.load_weights(directory / "weights.safetensors")
    run = Run(settings, schema, network["outputs"], mean, scale, params, state, config.get("test", {}))
    _check_weights(directory, run, run.row)
    return run


def load_detector(directory: Path) -> Detector:
    """Read the run directory of a detector.

    Raises: ReadError as ``load``, and if it is of no detector.
    """
    path, config = _read(directory)
    if "detector" not in config:
        fix = "pass a run of fnnet train --task detection, or leave out --images."
        raise ReadError(str(directory), "is the run of no detector", fix)
    with _entries_of(path):
        settings, own = _settings(config["settings"]), config["detector"]
        classes, numbers = tuple(own["classes"]), tuple(own["category_ids"])
        detector = Detector(settings, classes, numbers, own["stride"], {}, {}, config.get("test", {}))
        row = jax.ShapeDtypeStruct((1, *detector.row), np.float32)
        maps = jax.eval_shape(lambda x: detector.net.apply(*detector.net.init(jax.random.key(0), x), x)[0], row)
        if tuple(side * detector.stride for side in maps.heat.shape[1:3]) != detector.size:
            raise ValueError(f"a stride of {detector.stride}")
        if len(numbers) != len(classes):
            raise ValueError(f"{len(numbers)} category_ids")
    params, state, _ = checkpoints.load_weights(directory / "weights.safetensors")
    detector = detector._replace(params=params, state=state)
    _check_weights(directory, detector, detector.row)
    return detector


def is_detector(directory: Path) -> bool:
    """Return whether this is the run directory of a detector; False too for what cannot be read."""
    try:
        return "detector" in _read(directory)[1]
    except ReadError:
        return False


def _read(directory: Path) -> tuple[Path, dict[str, Any]]:
    """Return the configuration of a run, with its path."""
    path = directory / "config.toml"
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fix = "pass the directory that fnnet train wrote (its --out)."
        raise ReadError(str(directory), f"is not a run directory: {path.name} cannot be read", fix) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReadError(str(path), f"is damaged ({error})", "train again, or restore the file.") from error
    _check_format(path, config)
    return path, config


@contextmanager
def _entries_of(path: Path) -> Iterator[None]:
    """Turn what a wrong entry raises within into a ReadError of the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        reason = error.problem if isinstance(error, DataError) else error
        raise ReadError(
            str(path), f"lacks or has a wrong entry ({reason})", "train again, or restore the file."
        ) from error


def _saved(settings: Settings) -> dict[str, Any]:
    """Return the settings as they are saved."""
    saved = {name: value for name, value in settings._asdict().items() if value is not None}
    return saved | {
        "hidden": list(settings.hidden),
        "reading": settings.reading._asdict() | {"size": list(settings.reading.size)},
        "changes": settings.changes._asdict(),
    }


def _settings(saved: Mapping[str, Any]) -> Settings:
    """Return the settings as they were before they were saved; what a run lacks is as by default."""
    reading = saved.get("reading", {})
    reading = Reading(**(reading | {"size": tuple(reading.get("size", ()))}))
    changes = Changes(**saved.get("changes", {}))
    hidden = tuple(saved.get("hidden", ()))
    return Settings(**(saved | {"hidden": hidden, "reading": reading, "changes": changes}))  # type: ignore[operator]


def _check_format(path: Path, config: Mapping[str, Any]) -> None:
    version = config.get("format")
    if not isinstance(version, int):
        raise ReadError(str(path), "has no format number", "pass a run directory that fnnet train wrote.")
    if version > FORMAT:
        raise ReadError(
            str(path),
            f"is of format {version}, expected at most {FORMAT}: it was written by a newer fnnet",
            "upgrade: pip install --upgrade fnnet.",
        )


def _check_weights(directory: Path, run: Run | Detector, row: tuple[int, ...]) -> None:
    """Raise unless the weights have the shapes of the network that the configuration describes, on such rows."""
    expected = jax.eval_shape(run.net.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *row), np.float32))[0]
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree) for tree in (expected, run.params)]
    if shapes[0] != shapes[1]:
        raise ReadError(
            str(directory),
            "its weights are not of the network in config.toml",
            "restore both files from the same run, or train again.",
        )
