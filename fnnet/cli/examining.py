"""The command ``fnnet doctor``: what ails the training of a saved run, at its beginning and at its end."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import typer

from fnnet import data, training
from fnnet.cli import runs
from fnnet.cli.commands import RunDirectory, Source
from fnnet.cli.experiments import make_task, read_source
from fnnet.cli.learning import as_in_training, with_targets
from fnnet.cli.sweeping import app
from fnnet.inspection import health

__all__ = ["app"]


@app.command()
def doctor(
    run_directory: RunDirectory,
    source: Source,
    examples: Annotated[int, typer.Option(help="How many examples of SOURCE to look at.", min=2)] = 256,
) -> None:
    """Say what ails the training of a saved RUN: look at the network as it was begun and as it is, on SOURCE.

    Each finding has a number, its limit, the layer and the cure.
    """
    run = runs.load(run_directory)
    # The rate is examined as it was given, not as a schedule would have it.
    settings = run.settings._replace(schedule="constant")
    dataset = with_targets(source, read_source(source, settings.target, run.schema, missing=settings.missing))
    # The order of a file may be that of its classes.
    rows = np.random.default_rng(settings.seed).permutation(len(dataset.y))[:examples]
    part = as_in_training(run.schema, data.take(dataset, np.sort(rows)))
    task = make_task(settings, run.net, len(run.schema.classes or ()), run.scale, 1)
    begun = training.init(task, jax.random.key(settings.seed), jnp.asarray(part.x))
    ended = begun._replace(step=begun.step + 1, params=run.params, state=run.state)
    for title, state in (("as it was begun", begun), ("as it is", ended)):
        report = str(health(task, state, part.arrays)).splitlines()
        typer.echo("\n".join([f"{title}: {report[0].partition(' (')[0]} in {len(part.y)} examples", *report[1:]]))
