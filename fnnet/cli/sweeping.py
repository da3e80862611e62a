"""The command ``fnnet sweep``: networks of several rates and sizes on one data set, with a live table of the best."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tomli_w
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from fnnet import callbacks, data, plotting, sampling, sweeps
from fnnet.cli import Interrupted, experiments
from fnnet.cli.commands import (
    Act,
    Activation,
    BatchSize,
    Cache,
    Course,
    Epochs,
    Missing,
    MissingCells,
    OptimizerName,
    Regression,
    Rule,
    ScheduleName,
    Seed,
    Source,
    Target,
    app,
    keep_programs,
    parse_hidden,
)
from fnnet.cli.learning import with_targets
from fnnet.core import Task
from fnnet.sweeps.table import TableRecord, ranked
from fnnet.writing import replacing

__all__ = ["app"]

NAMES = ("learning_rate", "hidden")
SHOWN = 15


@app.command()
def sweep(
    source: Source,
    target: Target = None,
    regression: Regression = None,
    missing: Missing = MissingCells("error"),
    learning_rate: Annotated[str, typer.Option(help="The rates, with commas between them.")] = "1e-4,1e-3,1e-2",
    hidden: Annotated[
        list[str] | None, typer.Option(help="Units of the hidden layers; give it once a network (default: 128).")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each point.", min=1)] = 3,
    activation: Act = Activation("relu"),
    optimizer: Rule = OptimizerName("adam"),
    schedule: Course = ScheduleName("constant"),
    epochs: Epochs = 30,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Directory of the sweep; if it holds this sweep in part, the rest is run.")
    ] = None,
    cache: Cache = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No tables.")] = False,
) -> None:
    """Train a network for each rate, size and seed on 70 % of SOURCE, and rank them by the loss on 15 %."""
    settings = experiments.Settings(
        source=source,
        target=target,
        activation=activation.value,
        optimizer=optimizer.value,
        schedule=schedule.value,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        missing=missing.value,
    )
    grid: dict[str, list[Any]] = {
        "hidden": [_written(text) for text in hidden or ["128"]],
        "learning_rate": _rates(learning_rate),
    }
    directory = _directory(source, out)
    if cache is not None:
        keep_programs(cache)
    dataset = with_targets(
        source, experiments.read_source(source, target, missing=missing.value, regression=regression)
    )
    make_task, training_part, validation, steps = _experiment(settings, dataset)
    console = Console(stderr=True)
    shown = contextlib.nullcontext() if quiet else Live(console=console)
    directory.mkdir(parents=True, exist_ok=True)
    with _going_on(directory), shown as live:
        result = sweeps.sweep(
            make_task,
            grid,
            training_part,
            key=jax.random.key(seed),
            steps=steps,
            batch_size=batch_size,
            seeds=seeds,
            validation=validation,
            directory=directory,
            on_progress=None if live is None else lambda table: live.update(_ranking(table)),
        )
    _save(directory, settings, grid, seeds, result)
    if not quiet:
        Console().print(_ranking(result.table))
        layouts = ", ".join(f"{report.members} networks by {report.layout}" for report in result.layout)
        typer.echo(f"{layouts}; saved to {directory}")


@contextlib.contextmanager
def _going_on(directory: Path) -> Iterator[None]:
    """Say how the sweep goes on if Ctrl-C ends what is within."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(err=True)  # after the table, whose last line is open where there is no terminal
        raise Interrupted(f"interrupted; the same command with --out {directory} goes on from there") from None


def _experiment(settings: experiments.Settings, dataset: data.Dataset) -> tuple[Callable[..., Task], Any, Any, int]:
    """Return the task as a function of a point, the parts for training and validation, and the steps."""
    parts = data.split(dataset, experiments.SHARES, seed=settings.seed)
    schema = data.fit_schema(parts[0])
    training_part, validation = (data.apply_schema(schema, part) for part in parts[:2])
    rows = sampling.length(training_part.x)
    sampling.check_batch_size(rows, settings.batch_size, where="the training part")
    outputs = len(schema.classes) if schema.classes else training_part.y.shape[1]
    mean, scale = experiments.target_scale(training_part)
    steps = settings.epochs * (rows // settings.batch_size)

    def make_task(learning_rate: float, hidden: str) -> Task:
        chosen = settings._replace(learning_rate=learning_rate, hidden=parse_hidden(hidden))
        net = experiments.make_net(chosen, outputs, mean, scale)
        return experiments.make_task(chosen, net, len(schema.classes or ()), scale, steps)

    return make_task, training_part.arrays, validation.arrays, steps


def _rates(text: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = [math.nan]
    if not all(math.isfinite(rate) and rate >= 0 for rate in rates):
        problem = f"must be numbers of at least 0 such as 1e-3,1e-2, got {text!r}"
        raise typer.BadParameter(problem, param_hint="--learning-rate")
    return rates


def _written(text: str) -> str:
    return ",".join(map(str, parse_hidden(text)))


def _directory(source: str, out: Path | None) -> Path:
    if out is None:
        names = (f"{Path(source).stem}-sweep{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
        return next(path for path in map(Path("runs").joinpath, names) if not path.exists())
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file", param_hint="--out")
    if out.is_dir() and any(out.iterdir()) and not (out / "sweep.json").exists():
        raise typer.BadParameter(f"{out} holds other files; choose a new directory", param_hint="--out")
    return out


def _ranking(table: Sequence[TableRecord]) -> Table:
    """Return the points as a table: the best by validation first, then those on their way by their training loss."""
    trained = {_point(row): row for row in ranked(table, NAMES, "loss", "min")}
    measured = {}
    if "val_loss" in table[0]:
        measured = {_point(row): row for row in ranked(table, NAMES, "val_loss", "min")}
    done = [point for point, row in measured.items() if row["finite"]]
    steps = {_point(record): record["steps"] for record in table}
    rows = Table("learning rate", "hidden", "steps", "training loss", "validation loss", "± over seeds", "seeds")
    for point in [*done, *(point for point in trained if point not in done)][:SHOWN]:
        rate, hidden = point
        row = measured.get(point, {"mean": math.nan, "std": math.nan, "finite": 0})
        numbers = [trained[point]["mean"], row["mean"], row["std"]]
        cells = [callbacks.format_scalar(number) if math.isfinite(number) else "–" for number in numbers]
        rows.add_row(f"{rate:g}", hidden, str(steps[point]), *cells, f"{row['finite']}/{trained[point]['seeds']}")
    return rows


def _point(record: TableRecord) -> tuple[float, str]:
    return record["learning_rate"], record["hidden"]


def _save(
    directory: Path, settings: experiments.Settings, grid: dict[str, list[Any]], seeds: int, result: sweeps.Sweep
) -> None:
    """Write the table, the settings and the pictures beside the groups."""
    columns = {name: np.array([record[name] for record in result.table]) for name in result.table[0]}
    data.write_csv(directory / "results.csv", columns)
    fixed = {name: value for name, value in settings._asdict().items() if name not in NAMES and value is not None}
    with replacing(directory / "config.toml") as file:
        file.write(tomli_w.dumps({"sweep": fixed | {"seeds": seeds}, "grid": grid}).encode())
    for name, figure in (
        ("parallel_coordinates", plotting.parallel_coordinates(result.table, NAMES, "val_loss", title=settings.source)),
        ("heat_map", plotting.heat_map(result.table, *NAMES, "val_loss", title=settings.source)),
    ):
        with replacing(directory / f"{name}.png") as file:
            figure.savefig(file, format="png", dpi=150)
