"""What the commands print: results on standard output, warnings on standard error."""

from __future__ import annotations

import math
from collections.abc import Mapping

import typer
from rich.console import Console
from rich.table import Table

from fnnet import callbacks


def print_table(title: str, values: Mapping[str, float]) -> None:
    """Print numbers by name; one that is not known, nan, is a dash."""
    typer.echo(title)
    table = Table("metric", "value")
    for name, value in values.items():
        table.add_row(name.replace("_", " "), "–" if math.isnan(value) else callbacks.format_scalar(value))
    Console().print(table)


def warn(said: str) -> None:
    """Print a warning."""
    typer.echo(f"warning: {said}", err=True)
