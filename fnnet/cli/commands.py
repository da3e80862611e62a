"""The commands: they parse, call the library, and print. Results go to standard output, progress to standard error."""

from __future__ import annotations

import csv
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from fnnet import __version__, callbacks, data, fitting, sampling, training
from fnnet.augmentation import Transform
from fnnet.cli import Interrupted, images, runs
from fnnet.cli.experiments import (
    ACTIVATIONS,
    OPTIMIZERS,
    SCHEDULES,
    SOURCES,
    Settings,
    make_net,
    make_task,
    read_source,
    target_scale,
)
from fnnet.core import Task, TrainState
from fnnet.errors import DataError, inside
from fnnet.inspection import summary as summarise

app = typer.Typer(
    help="Train, evaluate and use neural networks on tables, arrays and images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Activation = Enum("Activation", {name: name for name in ACTIVATIONS}, type=str)  # type: ignore[misc]
OptimizerName = Enum("OptimizerName", {name: name for name in OPTIMIZERS}, type=str)  # type: ignore[misc]
ScheduleName = Enum("ScheduleName", {name: name for name in SCHEDULES}, type=str)  # type: ignore[misc]

Network = Enum("Network", {name: name for name in ("dense", *images.NETS)}, type=str)  # type: ignore[misc]
Mode = Enum("Mode", {"RGB": "RGB", "L": "L", "RGBA": "RGBA"}, type=str)
MissingCells = Enum("MissingCells", {"error": "error", "mean": "mean"}, type=str)

Source = Annotated[
    str,
    typer.Argument(
        help="A CSV, .npz or IDX file, a folder with a folder of images for each class, or a built-in data set: "
        f"{', '.join(SOURCES)}.",
        metavar="SOURCE",
    ),
]
RunDirectory = Annotated[Path, typer.Argument(help="A directory that `fnnet train` wrote.", metavar="RUN")]
Target = Annotated[str | None, typer.Option(help="The column of a CSV file that is to be learnt.")]
Hidden = Annotated[str, typer.Option(help="Units of the hidden layers, first to last; '' for none.")]
Act = Annotated[
    Activation, typer.Option(help=f"Activation of the hidden layers: {', '.join(ACTIVATIONS)}.", metavar="NAME")
]
Rule = Annotated[OptimizerName, typer.Option(help=f"Rule of the updates: {', '.join(OPTIMIZERS)}.", metavar="NAME")]
Course = Annotated[ScheduleName, typer.Option(help=f"Course of the rate: {', '.join(SCHEDULES)}.", metavar="NAME")]
Missing = Annotated[
    MissingCells,
    typer.Option(
        help="Missing cells of a CSV file are an error, or filled with the training mean.", metavar="error|mean"
    ),
]
Regression = Annotated[
    bool | None,
    typer.Option(
        "--regression/--classes", help="What the target of a file is (default: whole numbers and text are classes)."
    ),
]
Net = Annotated[
    Network, typer.Option(help=f"The network: dense, or for images {', '.join(images.NETS)}.", metavar="NAME")
]
ImageSize = Annotated[
    str | None, typer.Option(help="Height and width to which images are resized, such as 32 or 32x48.", metavar="HxW")
]
ImageMode = Annotated[Mode, typer.Option(help="Channels of images: RGB, L (grey) or RGBA.", metavar="RGB|L|RGBA")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out image files that cannot be read, and name them.")]
Epochs = Annotated[int, typer.Option(help="Passes over the training data.", min=1)]
BatchSize = Annotated[int, typer.Option(help="Examples in an update.", min=1)]
Cache = Annotated[
    Path | None,
    typer.Option(help="A directory for compiled programs: a second run with it starts sooner.", file_okay=False),
]
Seed = Annotated[int, typer.Option(help="Decides the split, the initial weights and the order.", min=0, max=2**31 - 1)]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fnnet {__version__} (jax {jax.__version__})")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Train, evaluate and use neural networks on tables, arrays and images."""


@app.command()
def train(
    source: Source,
    target: Target = None,
    regression: Regression = None,
    missing: Missing = MissingCells("error"),
    net: Net = Network("dense"),
    hidden: Hidden = "128",
    activation: Act = Activation("relu"),
    size: ImageSize = None,
    mode: ImageMode = Mode("RGB"),
    skip_bad: SkipBad = False,
    flip: Annotated[bool, typer.Option("--flip", help="Images: mirror half of them.")] = False,
    crop: Annotated[int, typer.Option(help="Images: shift by up to so many pixels.", min=0)] = 0,
    rotate: Annotated[float, typer.Option(help="Images: turn by up to so many degrees.", min=0, max=180)] = 0.0,
    color: Annotated[float, typer.Option(help="Images: change brightness and contrast by that share.", min=0)] = 0.0,
    erase: Annotated[
        float, typer.Option(help="Images: cover a random piece of so many of them, a share.", min=0, max=1)
    ] = 0.0,
    mixup: Annotated[float, typer.Option(help="Images: mix two by shares of Beta(a, a).", min=0)] = 0.0,
    optimizer: Rule = OptimizerName("adam"),
    learning_rate: Annotated[float, typer.Option(help="The rate, or the schedule's highest.", min=0)] = 1e-3,
    schedule: Course = ScheduleName("constant"),
    epochs: Epochs = 30,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Run directory (default: the next free one of runs/SOURCE, runs/SOURCE-2, ...).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that --out holds.")] = False,
    cache: Cache = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no tables.")] = False,
) -> None:
    """Train a network on 70 % of SOURCE, watch 15 %, test on 15 %, and save the run."""
    units = parse_hidden(hidden)
    settings = Settings(
        source=source,
        target=target,
        hidden=units,
        activation=activation.value,
        optimizer=optimizer.value,
        learning_rate=learning_rate,
        schedule=schedule.value,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        missing=missing.value,
        net=net.value,
        reading=images.Reading(parse_size(size), mode.value, skip_bad),
        changes=images.Changes(flip, crop, rotate, color, erase, mixup),
    )
    directory = _free_directory(source, out, overwrite)
    if cache is not None:
        keep_programs(cache)
    dataset = read_source(
        source, target, missing=missing.value, regression=regression, reading=settings.reading, warn=_warn
    )
    listeners = [] if quiet else [callbacks.progress(Path(source).stem)]
    run, examples, result = _train_and_save(settings, with_targets(source, dataset), directory, listeners)
    if not np.isfinite(list(run.test.values())).all():
        typer.echo("warning: the test metrics are not finite: train with a lower --learning-rate.", err=True)
    if result.address is not None:
        typer.echo(
            f"warning: not finite at {result.address}; what is saved is the state before: train with a lower"
            " --learning-rate.",
            err=True,
        )
    if not quiet:
        _print_table(f"test metrics ({examples} examples)", run.test)
        typer.echo(f"saved to {directory}: {', '.join(sorted(path.name for path in directory.iterdir()))}")
    if result.ended == "interrupt":
        raise Interrupted(f"interrupted after step {int(result.state.step)}; what was learnt until then is saved")


def keep_programs(directory: Path) -> None:
    """Have JAX keep compiled programs in `directory`, and take them from there."""
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _train_and_save(
    settings: Settings, dataset: data.Dataset, directory: Path, listeners: list[callbacks.Callback]
) -> tuple[runs.Run, int, callbacks.Fit]:
    """Return the run, with the metrics of its test part, the number of examples in that part, and how it went."""
    parts = data.split(dataset, (0.7, 0.15, 0.15), seed=settings.seed)
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
        result = fitting.fit(
            task,
            training_part.arrays,
            key=jax.random.key(settings.seed),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            validation=validation.arrays,
            callbacks=listeners,
            transform=_transform(settings, schema),
            on_nonfinite="stop",
        )
        if not result.metrics:  # there is no epoch to show
            if result.address is None:
                raise KeyboardInterrupt
            fix = "train with a lower --learning-rate."
            raise DataError("training", f"not finite in the first epoch, at {result.address}", fix)
        state, values = result.state, _scalars(training.evaluate(task, result.state, test.arrays))
        run = runs.Run(settings, schema, outputs, mean, scale, state.params, state.state, values)
        runs.save(directory, run, result.metrics)
    return run, len(test.y), result


@app.command()
def evaluate(
    run_directory: RunDirectory,
    source: Source,
    part: Annotated[
        str, typer.Option(help="'all' of SOURCE, or the 'test' part that training set aside of it.")
    ] = "all",
) -> None:
    """Print the metrics of a saved RUN on SOURCE."""
    if part not in ("all", "test"):
        raise typer.BadParameter(f"must be 'all' or 'test', got {part!r}", param_hint="--part")
    run = runs.load(run_directory)
    settings = run.settings
    dataset = with_targets(source, _read_again(run, source, settings.target)[0])
    if part == "test":
        dataset = data.split(dataset, (0.7, 0.15, 0.15), seed=settings.seed)[2]
    dataset = as_in_training(run.schema, dataset)
    values = training.evaluate(_task(run), _train_state(run), dataset.arrays)
    _print_table(f"{run_directory} on {source}, {part} ({len(dataset.y)} examples)", _scalars(values))


@app.command()
def predict(
    run_directory: RunDirectory,
    source: Source,
    out: Annotated[Path | None, typer.Option(help="A .csv or .npz file (default: CSV to standard output).")] = None,
) -> None:
    """Write what a saved RUN predicts for each row or image of SOURCE: the class and its probabilities, or numbers."""
    if out is not None and out.suffix not in (".csv", ".npz"):
        raise typer.BadParameter(f"must end in .csv or .npz, got {str(out)!r}", param_hint="--out")
    if out is not None and not out.parent.is_dir():
        raise typer.BadParameter(f"{out.parent} is not a directory", param_hint="--out")
    run = runs.load(run_directory)
    dataset, files = _read_again(run, source, None)
    dataset = as_in_training(run.schema, dataset._replace(y=None))
    outputs = training.predict(_task(run), _train_state(run), jnp.asarray(dataset.x))
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


@app.command()
def summary(
    what: Annotated[
        str, typer.Argument(help="A run directory, or a SOURCE as of `fnnet train`.", metavar="RUN|SOURCE")
    ],
    target: Target = None,
    regression: Regression = None,
    missing: Missing = MissingCells("error"),
    hidden: Hidden = "128",
    activation: Act = Activation("relu"),
    net: Net = Network("dense"),
    size: ImageSize = None,
    mode: ImageMode = Mode("RGB"),
    batch_size: BatchSize = 32,
) -> None:
    """Print the layers, shapes, parameters, FLOPs and memory of a network on a batch."""
    if (Path(what) / "config.toml").exists():
        run = runs.load(Path(what))
        network, schema = run.net, run.schema
    else:
        reading = images.Reading(parse_size(size), mode.value)
        source = read_source(what, target, missing=missing.value, regression=regression, reading=reading, warn=_warn)
        dataset = with_targets(what, source)
        schema = data.fit_schema(dataset)
        outputs = len(schema.classes) if schema.classes else dataset.y.shape[1]
        settings = Settings(what, hidden=parse_hidden(hidden), activation=activation.value, net=net.value)
        network = make_net(settings, outputs, *target_scale(dataset))
    row = (len(data.feature_names(schema)),) if schema.shape is None else schema.shape
    result = summarise(network, jax.ShapeDtypeStruct((batch_size, *row), jnp.float32))
    typer.echo(f"{what}, a batch of {batch_size}")
    table = Table("layer", "output", "dtype", "parameters")
    for line in result.rows:
        table.add_row(line.path, "" if line.shape is None else str(line.shape), line.dtype, f"{line.parameters:,}")
    Console().print(table)
    flops = "unknown" if result.flops is None else f"{result.flops:,.0f}"
    temporary = "unknown" if result.temporary_bytes is None else f"{result.temporary_bytes:,}"
    typer.echo(f"parameters   {result.parameters:,} ({result.parameter_bytes:,} bytes)")
    typer.echo(f"FLOPs        {flops} (XLA's cost analysis, one forward pass)")
    typer.echo(f"memory       {temporary} bytes of temporaries")


def parse_hidden(text: str) -> tuple[int, ...]:
    """Return the units in ``128,64``; a usage error for anything but positive whole numbers."""
    try:
        units = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        units = (0,)
    if min(units, default=1) < 1 or max(units, default=1) >= 2**31:
        raise typer.BadParameter(f"must be positive whole numbers such as 128,64, got {text!r}", param_hint="--hidden")
    return units


def parse_size(text: str | None) -> tuple[int, ...]:
    """Return (height, width) of ``32`` or ``32x48``, () of None; a usage error for anything else."""
    if text is None:
        return ()
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 0 < int(side) <= 10_000 for side in sides):
        raise typer.BadParameter(f"must be one or two sides such as 32 or 32x48, got {text!r}", param_hint="--size")
    return int(sides[0]), int(sides[-1])


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
        typer.echo(f"warning: column {column!r}: {names} not seen in training, taken as no category.", err=True)
    dataset = data.apply_schema(schema, dataset)
    data.check(dataset)
    return dataset


def _free_directory(source: str, out: Path | None, overwrite: bool) -> Path:
    """Return where the run goes; an error before training if something else is there."""
    if out is None:
        names = (f"{Path(source).stem}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
        return next(path for path in map(Path("runs").joinpath, names) if not path.exists())
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file", param_hint="--out")
    if out.is_dir() and any(out.iterdir()):
        if not (out / "config.toml").exists():
            raise typer.BadParameter(f"{out} holds other files; choose a new directory", param_hint="--out")
        if not overwrite:
            raise typer.BadParameter(f"{out} holds a run; choose another, or add --overwrite", param_hint="--out")
    return out


def _read_again(run: runs.Run, source: str, target: str | None) -> tuple[data.Dataset, tuple[Path, ...]]:
    """Return the data of `source`, read as those that the run learnt from, and the files of images."""
    settings, shape = run.settings, run.schema.shape
    if not images.is_folder(source):
        return read_source(source, target, run.schema, missing=settings.missing), ()
    if shape is None or len(shape) != 3:
        raise DataError(source, "is a folder of images, and the run was trained on other data", "pass data like those.")
    folder = images.read_folder(source, settings.reading._replace(size=shape[:2]))
    if folder.skipped:
        _warn(images.left_out(folder))
    return folder.dataset, folder.files


def _transform(settings: Settings, schema: data.Schema) -> Transform | None:
    """Return the random changes of the settings; DataError if what is learnt from is no images."""
    if any(settings.changes) and (schema.shape is None or len(schema.shape) != 3):
        fix = "leave out --flip, --crop, --rotate, --color, --erase and --mixup."
        raise DataError(settings.source, "has no images (height, width, channels) to change", fix)
    return images.transform(settings.changes, None if schema.classes is None else len(schema.classes))


def _warn(said: str) -> None:
    typer.echo(f"warning: {said}", err=True)


def _task(run: runs.Run) -> Task:
    return make_task(run.settings, run.net, len(run.schema.classes or ()), run.scale, 1)


def _train_state(run: runs.Run) -> TrainState:
    return TrainState(jnp.zeros((), jnp.int32), run.params, run.state, (), jax.random.key(0))


def _prediction_columns(run: runs.Run, outputs: np.ndarray) -> dict[str, np.ndarray]:
    if run.schema.classes is None:
        names = ["prediction"] if outputs.shape[1] == 1 else [f"prediction_{n}" for n in range(outputs.shape[1])]
        return dict(zip(names, outputs.T, strict=True))
    probabilities = np.asarray(jax.nn.softmax(jnp.asarray(outputs, jnp.float32)))
    best = np.array(run.schema.classes)[probabilities.argmax(1)]
    return {"class": best} | {f"p({name})": p for name, p in zip(run.schema.classes, probabilities.T, strict=True)}


def _scalars(values: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if not np.ndim(value)}


def _print_table(title: str, values: dict[str, float]) -> None:
    typer.echo(title)
    table = Table("metric", "value")
    for name, value in values.items():
        table.add_row(name.replace("_", " "), callbacks.format_scalar(value))
    Console().print(table)
