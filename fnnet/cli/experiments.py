"""What the command line trains: a network, from the options of ``fnnet train`` and the schema of the data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fnnet import activations, data, fitting, losses, metrics, optimizers, schedules
from fnnet.augmentation import Transform
from fnnet.callbacks import Callback, Fit
from fnnet.cli.images import NETS, Changes, Reading, is_folder, left_out, read_folder
from fnnet.compose import serial
from fnnet.core import Layer, Optimizer, Params, State, Task, TrainState, stateless
from fnnet.data import Dataset, Schema
from fnnet.errors import DataError, ReadError, inside, near_matches
from fnnet.layers import dense

SOURCES: dict[str, Callable[[], Dataset]] = {
    "digits": data.digits,
    "iris": data.iris,
    "wine": data.wine,
    "breast_cancer": data.breast_cancer,
    "diabetes": data.diabetes,
    "xor": data.xor,
    "moons": data.moons,
    "circles": data.circles,
    "spirals": data.spirals,
    "blobs": data.blobs,
}

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    name: getattr(activations, name)
    for name in ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "sigmoid", "tanh")
}

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    name: getattr(optimizers, name)
    for name in optimizers.__all__
    if "learning_rate" in inspect.signature(getattr(optimizers, name)).parameters
}

SCHEDULES: dict[str, Callable[[float, int], Any]] = {
    "constant": lambda rate, steps: rate,
    "cosine": lambda rate, steps: schedules.cosine(rate, steps=max(1, steps)),
    "exponential": lambda rate, steps: schedules.exponential(rate, steps=max(1, steps), factor=0.01),
    "linear": lambda rate, steps: schedules.polynomial(rate, 0.0, steps=max(1, steps)),
    "one_cycle": lambda rate, steps: schedules.one_cycle(rate, steps=max(2, steps)),
}


SHARES = (0.7, 0.15, 0.15)
"""What of the data is learnt from, watched, and tested on."""


class Settings(NamedTuple):
    """The options of ``fnnet train`` that make a run what it is."""

    source: str
    target: str | None = None
    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    epochs: int = 30
    batch_size: int = 32
    seed: int = 0
    missing: str = "error"
    net: str = "dense"
    reading: Reading = Reading()
    changes: Changes = Changes()
    task: str | None = None
    images: str | None = None


def read_source(
    source: str,
    target: str | None = None,
    schema: Schema | None = None,
    *,
    missing: str = "error",
    regression: bool | None = None,
    reading: Reading = Reading(),
    warn: Callable[[str], None] = lambda line: None,
) -> Dataset:
    """Return the data set called `source`, the one in the file or folder; with a `schema`, read as in training.

    `reading` is for folders of images, and `warn` is told of those that were left out.
    Raises: ReadError with near matches if it is neither; DataError if a `target` is named in a built-in data set, or
    for an array ``x`` with a value that is not finite (a table may lack cells where `missing` says so).
    """
    pictured = source not in SOURCES and is_folder(source)
    if reading != Reading() and not pictured and (source in SOURCES or Path(source).exists()):
        fix = "leave out --size, --mode and --skip-bad: they are for folders of image files."
        raise DataError(source, "is no folder of images", fix)
    if source in SOURCES:
        if schema is None and (target is not None or regression is not None):
            fix = "leave out --target, --regression and --classes: they are for files."
            raise DataError(source, "is a built-in data set, whose target is given", fix)
        return SOURCES[source]()
    if not Path(source).exists() and not Path(source).suffix and "/" not in source:
        near = near_matches(source, SOURCES)
        end = "" if near.endswith("?") else "."
        fix = f"{near}{end} Or pass the path of a CSV, .npz or IDX file, or of a folder of images."
        raise ReadError("source", f"{source!r} is neither a built-in data set nor a file", fix)
    if pictured:
        if target is not None:
            fix = "leave out --target: labels are the folders that images lie in."
            raise DataError(source, "is a folder of images, which has no columns", fix)
        folder = read_folder(source, reading)
        if folder.skipped:
            warn(left_out(folder))
        return folder.dataset
    if source.endswith((".json", ".json.gz")):
        fix = "if it is COCO's, train with --task detection and --images, the folder of its images."
        raise DataError(source, "is JSON, which is no table of classes or numbers", fix)
    columns = None
    if schema is not None:
        regression = schema.classes is None
        columns = data.column_kinds(schema) if schema.shape is None else None
    dataset = data.read(source, target, columns=columns, missing=missing, regression=regression)
    if not isinstance(dataset.x, dict):
        with inside(source):  # here the row is the file's; after the split it would be the part's
            data.check(dataset._replace(y=None))
    return dataset


def make_net(settings: Settings, outputs: int, mean: Sequence[float] = (), scale: Sequence[float] = ()) -> Layer:
    """Return the network of the settings: for images, or a dense one on rows taken flat.

    With the `mean` and `scale` of numeric targets its outputs are in their units.
    """
    if settings.net != "dense":
        if mean:
            fix = "pass --net dense, or a source with classes."
            raise DataError("--net", f"{settings.net} tells classes, and the target is numbers", fix)
        return NETS[settings.net](outputs)
    activation = ACTIVATIONS[settings.activation]
    body = [dense(features, activation=activation) for features in settings.hidden]
    net = serial(stateless("rows", _rows), *body, head=dense(outputs))
    if not mean:
        return net
    shift, factor = np.asarray(mean, np.float32)[None], np.asarray(scale, np.float32)[None]
    return serial(body=net, units=stateless("units", lambda y: y * factor + shift))


def make_task(settings: Settings, net: Layer, classes: int, scale: Sequence[float], steps: int) -> Task:
    """Return the task of training `net`: by cross-entropy if there are classes, else by squared error over `scale`."""
    optimizer = make_optimizer(settings, steps)
    if classes == 1:
        raise DataError(
            "target", "expected at least 2 classes, got 1", "add rows of another class, or choose another target."
        )
    if classes:
        return Task(net, losses.cross_entropy, optimizer, (metrics.accuracy(), metrics.f1(classes, average="macro")))
    factor = np.asarray(scale, np.float32)[None]

    def loss(prediction: Array, target: Array) -> Array:
        return losses.squared_error(prediction / factor, target / factor)

    parts = (metrics.mean_squared_error(), metrics.mean_absolute_error(), metrics.r2())
    return Task(net, loss, optimizer, parts)


def make_optimizer(settings: Settings, steps: int) -> Optimizer:
    """Return the optimizer of the settings, with their schedule over so many steps."""
    return OPTIMIZERS[settings.optimizer](SCHEDULES[settings.schedule](settings.learning_rate, steps))


def trained(
    settings: Settings,
    task: Task,
    arrays: Any,
    validation: Any,
    listeners: Sequence[Callback],
    transform: Transform | None,
) -> Fit:
    """Train as the settings have it; what is not finite ends the training.

    Raises: DataError if that was in the first epoch; KeyboardInterrupt if Ctrl-C was.
    """
    result = fitting.fit(
        task,
        arrays,
        key=jax.random.key(settings.seed),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        validation=validation,
        callbacks=listeners,
        transform=transform,
        on_nonfinite="stop",
    )
    if result.metrics:
        return result
    if result.address is None:  # there is no epoch to show
        raise KeyboardInterrupt
    fix = "train with a lower --learning-rate."
    raise DataError("training", f"not finite in the first epoch, at {result.address}", fix)


def as_train_state(params: Params, state: State) -> TrainState:
    """Return what was learnt as `evaluate` and `predict` take it."""
    return TrainState(jnp.zeros((), jnp.int32), params, state, (), jax.random.key(0))


def target_scale(train: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the means and the standard deviations of numeric targets, ``((), ())`` for classes; 1 for a constant."""
    if train.classes is not None:
        return (), ()
    targets = np.asarray(train.y, np.float64)
    spread = targets.std(0)
    return tuple(targets.mean(0).tolist()), tuple(np.where(spread > 0, spread, 1.0).tolist())


def _rows(x: Array) -> Array:
    return x.reshape(x.shape[0], -1)
