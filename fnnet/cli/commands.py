"""The commands: they parse, call the library, and print. Results go to standard output, progress to standard error."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from fnnet import __version__, callbacks, data
from fnnet.cli import Interrupted, detecting, images, learning, runs
from fnnet.cli.detection import BODIES, Detector
from fnnet.cli.experiments import (
    ACTIVATIONS,
    OPTIMIZERS,
    SCHEDULES,
    SOURCES,
    Settings,
    make_net,
    read_source,
    target_scale,
)
from fnnet.cli.printing import print_table, warn
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
LearningTask = Enum("LearningTask", {"detection": "detection"}, type=str)
Mode = Enum("Mode", {"RGB": "RGB", "L": "L", "RGBA": "RGBA"}, type=str)
MissingCells = Enum("MissingCells", {"error": "error", "mean": "mean"}, type=str)

Source = Annotated[
    str,
    typer.Argument(
        help="A CSV, .npz or IDX file, a folder with a folder of images for each class, COCO's JSON of objects (with "
        f"--images), or a built-in data set: {', '.join(SOURCES)}.",
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
    Network,
    typer.Option(
        help=f"The network: dense, or for images {', '.join(images.NETS)}; of a detector {', '.join(BODIES)} (cnn).",
        metavar="NAME",
    ),
]
TaskName = Annotated[
    LearningTask | None,
    typer.Option(help="detection: learn the boxes of COCO's JSON (default: classes or numbers).", metavar="detection"),
]
ImageFolder = Annotated[
    Path | None,
    typer.Option("--images", help="Detectors: the folder of the images of COCO's JSON.", exists=True, file_okay=False),
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
    context: typer.Context,
    source: Source,
    task: TaskName = None,
    folder: ImageFolder = None,
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
    _refuse_units(context, settings)
    if task is not None:
        settings = _of_detection(context, settings, folder)
    elif folder is not None:
        raise typer.BadParameter("has no effect without --task detection", param_hint="--images")
    directory = _free_directory(source, out, overwrite)
    if cache is not None:
        keep_programs(cache)
    listeners = [] if quiet else [callbacks.progress(Path(source).stem)]
    if folder is not None:
        values, examples, result = detecting.train(settings, folder, directory, listeners)
    else:
        dataset = read_source(
            source, target, missing=missing.value, regression=regression, reading=settings.reading, warn=warn
        )
        dataset = learning.with_targets(source, dataset)
        values, examples, result = learning.train(settings, dataset, directory, listeners)
    _report(values, examples, result, directory, quiet)


def _of_detection(context: typer.Context, settings: Settings, folder: Path | None) -> Settings:
    """Return the settings of a detector; a usage error for options that have no effect on one."""
    unused = dict.fromkeys((*runs.NOT_OF_DETECTORS, "regression"), "has no effect with --task detection")
    _refuse(context, unused | {"mixup": "mixes classes, and objects cannot be mixed: leave it out to learn boxes"})
    if folder is None:
        raise typer.BadParameter("--task detection needs the folder of the images", param_hint="--images")
    net = settings.net if _is_given(context, "net") else "cnn"
    return settings._replace(task="detection", images=str(folder), net=net)


def _refuse_units(context: typer.Context, settings: Settings) -> None:
    """Raise a usage error for what makes a dense network, where another is asked for."""
    if settings.net != "dense":
        _refuse(context, dict.fromkeys(("hidden", "activation"), f"has no effect on --net {settings.net}"))


def _refuse(context: typer.Context, unused: dict[str, str]) -> None:
    """Raise a usage error for an option that was given and whose name is among `unused`, with the reason there."""
    for name, reason in unused.items():
        if _is_given(context, name):
            raise typer.BadParameter(reason, param_hint=f"--{name}")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _report(values: dict[str, float], examples: int, result: callbacks.Fit, directory: Path, quiet: bool) -> None:
    """Print the test metrics of a run that was saved, and how it ended if it was not by its last epoch."""
    if not np.isfinite(list(values.values())).all():
        warn("the test metrics are not finite: train with a lower --learning-rate.")
    if result.address is not None:
        place = f"not finite at {result.address}; what is saved is the state before"
        warn(f"{place}: train with a lower --learning-rate.")
    if not quiet:
        print_table(f"test metrics ({examples} examples)", values)
        typer.echo(f"saved to {directory}: {', '.join(sorted(path.name for path in directory.iterdir()))}")
    if result.ended == "interrupt":
        raise Interrupted(f"interrupted after step {int(result.state.step)}; what was learnt until then is saved")


def keep_programs(directory: Path) -> None:
    """Have JAX keep compiled programs in `directory`, and take them from there."""
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@app.command()
def evaluate(
    run_directory: RunDirectory,
    source: Source,
    part: Annotated[
        str, typer.Option(help="'all' of SOURCE, or the 'test' part that training set aside of it.")
    ] = "all",
    folder: ImageFolder = None,
) -> None:
    """Print the metrics of a saved RUN on SOURCE: of a detector, COCO's table on its JSON of objects."""
    if part not in ("all", "test"):
        raise typer.BadParameter(f"must be 'all' or 'test', got {part!r}", param_hint="--part")
    if folder is not None:
        detecting.evaluate(run_directory, source, folder, part)
        return
    if runs.is_detector(run_directory):
        raise typer.BadParameter(f"{run_directory} is a detector, which needs the folder", param_hint="--images")
    learning.evaluate(run_directory, source, part)


@app.command()
def predict(
    context: typer.Context,
    run_directory: RunDirectory,
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Data as of `fnnet train`, without targets; for a detector image files, a folder of them, or COCO's "
            "JSON (with --images).",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="A .csv or .npz file (default: CSV to standard output); for a detector a new directory.",
        ),
    ] = None,
    folder: ImageFolder = None,
    score: Annotated[
        float, typer.Option(help="Detectors: boxes of at least that score are drawn.", min=0, max=1)
    ] = 0.3,
) -> None:
    """Write what a saved RUN predicts for each row or image of SOURCE: the class and its probabilities, or numbers.

    A detector writes COCO's JSON of results, and the images with their boxes.
    """
    if folder is not None or runs.is_detector(run_directory):
        if folder is not None and len(sources) > 1:
            raise typer.BadParameter(f"is of one JSON file, got {len(sources)}", param_hint="--images")
        detecting.predict(run_directory, sources, folder, _new_directory(out), score)
        return
    _refuse(context, {"score": f"is for detectors, and {run_directory} is none"})
    if len(sources) > 1:
        raise typer.BadParameter(f"expected one, got {len(sources)}: several are for detectors", param_hint="SOURCE")
    learning.predict(run_directory, sources[0], out)


def _new_directory(out: Path | None) -> Path:
    """Return where the results of a detector go; a usage error if something is there."""
    if out is None:
        raise typer.BadParameter("a detector needs a new directory for its results", param_hint="--out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "holds other files" if out.is_dir() else "is a file"
        raise typer.BadParameter(f"{out} {what}; choose a new directory", param_hint="--out")
    return out


@app.command()
def summary(
    context: typer.Context,
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
    if runs.is_detector(Path(what)):
        saved: runs.Run | Detector = runs.load_detector(Path(what))
        network, row = saved.net, saved.row
    elif (Path(what) / "config.toml").exists():
        saved = runs.load(Path(what))
        network, row = saved.net, saved.row
    else:
        reading = images.Reading(parse_size(size), mode.value)
        source = read_source(what, target, missing=missing.value, regression=regression, reading=reading, warn=warn)
        dataset = learning.with_targets(what, source)
        schema = data.fit_schema(dataset)
        outputs = len(schema.classes) if schema.classes else dataset.y.shape[1]
        settings = Settings(what, hidden=parse_hidden(hidden), activation=activation.value, net=net.value)
        _refuse_units(context, settings)
        network, row = make_net(settings, outputs, *target_scale(dataset)), runs.row_shape(schema)
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
