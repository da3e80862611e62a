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
from fnnet.cli.experiments import Settings, make_net, make_task
from fnnet.cli.images import Changes, Reading
from fnnet.core import Layer, Params, State
from fnnet.data import Schema
from fnnet.errors import DataError, ReadError, check_extra
from fnnet.plotting import learning_curves
from fnnet.writing import replacing

FORMAT = 1
"""The version of the layout; a reader refuses a newer one."""


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
    """Write the run directory. The configuration comes last: a directory that has one is whole."""
    (directory / "config.toml").unlink(missing_ok=True)
    checkpoints.save_weights(directory / "weights.safetensors", run.params, run.state)
    data.write_csv(directory / "history.csv", {name: column for name, column in history.items() if column.ndim == 1})
    with replacing(directory / "curves.png") as file:
        learning_curves(history, title=run.settings.source).savefig(file, dpi=150, format="png")
    settings = {name: value for name, value in run.settings._asdict().items() if value is not None}
    settings |= {
        "hidden": list(run.settings.hidden),
        "reading": run.settings.reading._asdict() | {"size": list(run.settings.reading.size)},
        "changes": run.settings.changes._asdict(),
    }
    network = {"outputs": run.outputs, "mean": list(run.mean), "scale": list(run.scale)}
    config = {"format": FORMAT, "settings": settings, "network": network}
    config |= {"schema": data.schema_to_dict(run.schema), "test": run.test}
    with replacing(directory / "config.toml") as file:
        tomli_w.dump(config, file)


def load(directory: Path) -> Run:
    """Read a run directory.

    Raises: ReadError if it is none, is damaged, or was written in a newer format; nothing in it is executed.
    """
    path = directory / "config.toml"
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fix = "pass the directory that fnnet train wrote (its --out)."
        raise ReadError(str(directory), f"is not a run directory: {path.name} cannot be read", fix) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReadError(str(path), f"is damaged ({error})", "train again, or restore the file.") from error
    _check_format(path, config)
    try:
        settings = _settings(config["settings"])
        network = config["network"]
        schema = data.schema_from_dict(config["schema"])
        mean, scale = tuple(network["mean"]), tuple(network["scale"])
        make_task(settings, make_net(settings, network["outputs"], mean, scale), len(schema.classes or ()), scale, 1)
        if network["outputs"] != len(schema.classes or mean):
            raise ValueError(f"{network['outputs']} outputs")
    except (KeyError, TypeError, ValueError) as error:
        reason = error.problem if isinstance(error, DataError) else error
        raise ReadError(
            str(path), f"lacks or has a wrong entry ({reason})", "train again, or restore the file."
        ) from error
    params, state, _ = checkpoints.load_weights(directory / "weights.safetensors")
    run = Run(settings, schema, network["outputs"], mean, scale, params, state, config.get("test", {}))
    _check_weights(directory, run)
    return run


def _settings(saved: Mapping[str, Any]) -> Settings:
    """Return the settings as they were before they were saved; runs of before there were images lack their entries."""
    reading = saved.get("reading", {})
    reading = Reading(**(reading | {"size": tuple(reading.get("size", ()))}))
    changes = Changes(**saved.get("changes", {}))
    return Settings(**(saved | {"hidden": tuple(saved["hidden"]), "reading": reading, "changes": changes}))  # type: ignore[operator]


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


def _check_weights(directory: Path, run: Run) -> None:
    """Raise unless the weights have the shapes of the network that the configuration describes."""
    width = len(data.feature_names(run.schema))
    shape = (1, width) if run.schema.shape is None else (1, *run.schema.shape)
    expected = jax.eval_shape(run.net.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, np.float32))[0]
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree) for tree in (expected, run.params)]
    if shapes[0] != shapes[1]:
        raise ReadError(
            str(directory),
            "its weights are not of the network in config.toml",
            "restore both files from the same run, or train again.",
        )
