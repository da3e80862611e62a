"""What ``fnnet train``, ``evaluate`` and ``predict`` do where classes or numbers are learnt."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import typer

from fnnet import callbacks, data, sampling, training
from fnnet.augmentation import Transform
from fnnet.cli import images, runs
from fnnet.cli.experiments import (
    SHARES,
    Settings,
    as_train_state,
    make_net,
    make_task,
    read_source,
    target_scale,
    trained,
)
from fnnet.cli.printing import print_table, warn
from fnnet.core import Task
from fnnet.errors import DataError, inside


def train(
    settings: Settings, dataset: data.Dataset, directory: Path, listeners: list[callbacks.Callback]
) -> tuple[dict[str, float], int, callbacks.Fit]:
    """Return the metrics of the run on its test part, the number of examples in that part, and how it went."""
    parts = data.split(dataset, SHARES, seed=settings.seed)
    changed = any(settings.changes) or settings.net != "dense"
    schema = data.fit_schema(parts[0], standardize=not changed)  # changes are of images in [0, 1]
    training_part, validation, test = (data.apply_schema(schema, part) for part in parts)
    rows = sampling.length(training_part.x)
    sampling.check_batch_size(rows, settings.batch_size, where="the training part")
    outputs = len(schema.classes) if schema.classes else training_part.y.shape[1]
    mean, scale = target_scale(training_part)
    net = make_net(settings, outputs, mean, scale)
    task = make_task(settings, net, len(schema.classes or ()), scale, settings.epochs * (rows // settings.batch_size))
    with runs.place(directory):
        transform = _transform(settings, schema)
        result = trained(settings, task, training_part.arrays, validation.arrays, listeners, transform)
        state, values = result.state, _scalars(training.evaluate(task, result.state, test.arrays))
        run = runs.Run(settings, schema, outputs, mean, scale, state.params, state.state, values)
        runs.save(directory, run, result.metrics)
    return values, len(test.y), result


def evaluate(directory: Path, source: str, part: str) -> None:
    """Print the metrics of a saved run on `source`, or on the part of it that training set aside."""
    run = runs.load(directory)
    settings = run.settings
    dataset = with_targets(source, _read_again(run, source, settings.target)[0])
    if part == "test":
        dataset = data.split(dataset, SHARES, seed=settings.seed)[2]
    dataset = as_in_training(run.schema, dataset)
    values = training.evaluate(_task(run), as_train_state(run.params, run.state), dataset.arrays)
    print_table(f"{directory} on {source}, {part} ({len(dataset.y)} examples)", _scalars(values))


def predict(directory: Path, source: str, out: Path | None) -> None:
    """Write the predictions for the rows or images of `source`, as CSV to standard output, or to a file."""
    if out is not None and out.suffix not in (".csv", ".npz"):
        raise typer.BadParameter(f"must end in .csv or .npz, got {str(out)!r}", param_hint="--out")
    if out is not None and not out.parent.is_dir():
        raise typer.BadParameter(f"{out.parent} is not a directory", param_hint="--out")
    run = runs.load(directory)
    dataset, files = _read_again(run, source, None)
    dataset = as_in_training(run.schema, dataset._replace(y=None))
    outputs = training.predict(_task(run), as_train_state(run.params, run.state), jnp.asarray(dataset.x))
    columns = {"file": np.array([str(path) for path in files])} if files else {}
    columns |= _prediction_columns(run, np.asarray(outputs, np.float64))
    if out is None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    elif out.suffix == ".npz":
        data.write_npz(out, columns)
    else:
        data.write_csv(out, columns)


def with_targets(source: str, dataset: data.Dataset) -> data.Dataset:
    """Return `dataset`, or raise DataError if it has no targets, or one that is not finite."""
    if dataset.y is not None:
        with inside(source):
            data.check({"y": dataset.y})
        return dataset
    if isinstance(dataset.x, dict):
        fix = f"pass --target with one of the columns {', '.join(map(repr, dataset.features))}."
    elif images.is_folder(source):
        fix = "put the images of each class into a folder of its own."
    elif source.endswith(".npz"):
        fix = "add an array 'y' to the archive."
    else:
        fix = "put the file of labels beside it: train-labels-idx1-ubyte for train-images-idx3-ubyte."
    raise DataError(source, "has no targets", fix)


def as_in_training(schema: data.Schema, dataset: data.Dataset) -> data.Dataset:
    """Return `dataset` as the network takes it; what training did not see gets a warning."""
    for column, categories in data.unseen_categories(schema, dataset).items():
        names = ", ".join(map(repr, categories[:5])) + (", ..." if len(categories) > 5 else "")
        warn(f"column {column!r}: {names} not seen in training, taken as no category.")
    dataset = data.apply_schema(schema, dataset)
    data.check(dataset)
    return dataset


def _read_again(run: runs.Run, source: str, target: str | None) -> tuple[data.Dataset, tuple[Path, ...]]:
    """Return the data of `source`, read as those that the run learnt from, and the files of images."""
    settings, shape = run.settings, run.schema.shape
    if not images.is_folder(source):
        return read_source(source, target, run.schema, missing=settings.missing), ()
    if shape is None or len(shape) != 3:
        raise DataError(source, "is a folder of images, and the run was trained on other data", "pass data like those.")
    folder = images.read_folder(source, settings.reading._replace(size=shape[:2]))
    if folder.skipped:
        warn(images.left_out(folder))
    return folder.dataset, folder.files


def _transform(settings: Settings, schema: data.Schema) -> Transform | None:
    """Return the random changes of the settings; DataError if what is learnt from is no images."""
    if any(settings.changes) and (schema.shape is None or len(schema.shape) != 3):
        fix = "leave out --flip, --crop, --rotate, --color, --erase and --mixup."
        raise DataError(settings.source, "has no images (height, width, channels) to change", fix)
    return images.transform(settings.changes, None if schema.classes is None else len(schema.classes))


def _task(run: runs.Run) -> Task:
    return make_task(run.settings, run.net, len(run.schema.classes or ()), run.scale, 1)


def _prediction_columns(run: runs.Run, outputs: np.ndarray) -> dict[str, np.ndarray]:
    if run.schema.classes is None:
        names = ["prediction"] if outputs.shape[1] == 1 else [f"prediction_{n}" for n in range(outputs.shape[1])]
        return dict(zip(names, outputs.T, strict=True))
    probabilities = np.asarray(jax.nn.softmax(jnp.asarray(outputs, jnp.float32)))
    best = np.array(run.schema.classes)[probabilities.argmax(1)]
    return {"class": best} | {f"p({name})": p for name, p in zip(run.schema.classes, probabilities.T, strict=True)}


def _scalars(values: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if not np.ndim(value)}
