"""The command ``fnnet laws``: which laws someone's own layer, optimizer or table of subjects obeys."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import jax.numpy as jnp
import typer
from rich.console import Console
from rich.table import Table

from fnnet.cli.examining import app
from fnnet.core import Layer, Metric
from fnnet.errors import ReadError

__all__ = ["app"]


@app.command()
def laws(
    what: Annotated[
        str,
        typer.Argument(
            help="MODULE:OBJECT or FILE.py:OBJECT, whose code is run: a layer or pair (init, apply), with --input; an "
            "optimizer; a subject of fnnet.testing, or a dict of subjects.",
            metavar="MODULE:OBJECT",
        ),
    ],
    shape: Annotated[
        str | None, typer.Option("--input", help="The shape of a layer's input, batch first, as 2,28,28,1.")
    ] = None,
    hunt: Annotated[
        bool, typer.Option("--hunt", help="Search 500 fresh cases of each law, not a few fixed ones.")
    ] = False,
    excuse: Annotated[
        list[str] | None, typer.Option(help="A law that is not asked, and why, as 'LAW: reason'; may be repeated.")
    ] = None,
) -> None:
    """Ask every law that fits of someone's own layer or optimizer, and print what came of each.

    It exits with 1 if a law is broken: then the simplest case that was found is printed, with a line that repeats it.
    """
    from fnnet import testing

    rows = _subjects(what, _loaded(what), shape)
    excused = dict(_excuse(text) for text in excuse or ())
    broken = 0
    for name, subject in rows.items():
        table, told = Table("law", "outcome", "cases", "why"), []
        for verdict in testing.verdicts_of(subject, excused=excused, profile=testing.HUNT if hunt else testing.CI):
            if verdict.outcome == "not asked":
                continue
            table.add_row(
                verdict.law,
                verdict.outcome,
                str(verdict.cases or "–"),
                verdict.reason or ("told below" if verdict.error else "–"),
            )
            told += [] if verdict.error is None else [verdict.error]
        typer.echo(name)
        Console().print(table)
        for error in told:
            typer.echo(str(error))
        broken += len(told)
    if broken:
        raise typer.Exit(1)


def _loaded(what: str) -> Any:
    """Return the object of a module or a file."""
    source, _, name = what.rpartition(":")
    if not source or not name:
        raise typer.BadParameter(f"expected MODULE:OBJECT or FILE.py:OBJECT, got {what!r}", param_hint="MODULE:OBJECT")
    module = _of_file(Path(source)) if source.endswith(".py") else _of_name(source)
    if not hasattr(module, name):
        public = ", ".join(sorted(one for one in vars(module) if not one.startswith("_")))
        raise ReadError(source, f"has no object {name!r}", f"name one that it has: {public}.")
    return getattr(module, name)


def _of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ReadError(str(path), "is no file", "check the path.")
    spec = importlib.util.spec_from_file_location(f"fnnet laws of {path.stem}", path)  # no module is hidden by it
    assert spec is not None  # its name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ReadError(str(path), f"fails when it is run ({type(error).__name__}: {error})", "mend it.") from error
    return module


def _of_name(name: str) -> ModuleType:
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except Exception as error:
        problem = f"cannot be imported ({type(error).__name__}: {error})"
        raise ReadError(name, problem, "check its name, or name its file: FILE.py:OBJECT.") from error
    finally:
        sys.path.remove("")


def _subjects(what: str, thing: Any, shape: str | None) -> dict[str, Any]:
    """Return what laws are asked of, by name."""
    from fnnet import testing

    if isinstance(thing, Mapping):
        if not thing:
            raise ReadError(what, "is empty", "name a dict of subjects, as testing.layer_subject(layer, x).")
        for name, subject in thing.items():
            if type(subject) not in testing.KINDS:
                problem = f"has {type(subject).__name__} at {name!r}, expected subjects of fnnet.testing"
                raise ReadError(what, problem, "name each by its kind, as testing.layer_subject(layer, x).")
        return {str(name): subject for name, subject in thing.items()}
    if type(thing) in testing.KINDS:
        return {what: thing}
    if not isinstance(thing, Layer | Metric) and callable(getattr(thing, "update", None)):
        return {what: testing.optimizer_subject(thing)}
    if shape is None:
        fix = (
            "pass the shape of its input, --input 2,4; of a loss, schedule or metric, name a subject of fnnet.testing."
        )
        raise ReadError(what, f"is a {type(thing).__name__}, of which an example of its input is needed", fix)
    try:
        return {what: testing.layer_subject(thing, jnp.ones(_shape(shape)))}
    except TypeError as error:
        raise ReadError(what, str(error), "name a layer, or a pair of functions (init, apply).") from error


def _shape(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(f"expected whole numbers as 2,28,28,1, got {text!r}", param_hint="--input")
    return tuple(int(part) for part in parts)


def _excuse(text: str) -> tuple[str, str]:
    law, _, reason = text.partition(":")
    return law.strip(), reason.strip()
