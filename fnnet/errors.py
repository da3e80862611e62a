"""Errors that say where, what was got, what was expected, and what to do about it."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class FnnetError(Exception):
    """Base of the errors raised by fnnet: ``where: problem`` and, on its own line, the fix.

    `where` is the kind of thing concerned (``dense``); `path`, filled in by the compositions around it, says which one
    (``body/dense_1``).
    """

    def __init__(self, where: str, problem: str, fix: str = "") -> None:
        super().__init__(where, problem, fix)
        self.where, self.problem, self.fix = where, problem, fix
        self.path = ""

    def __str__(self) -> str:
        named_by_kind = self.path.rpartition("/")[2].startswith(self.where)
        where = self.path if named_by_kind else f"{self.path} ({self.where})" if self.path else self.where
        return f"{where}: {self.problem}" + (f"\n  Fix: {self.fix}" if self.fix else "")


class ShapeError(FnnetError, ValueError):
    """An array's shape is not the one that the layer, loss or metric needs."""


class DtypeError(FnnetError, TypeError):
    """An array's dtype is not one that the layer, loss or metric takes."""


class DataError(FnnetError, ValueError):
    """Data cannot be used as it is: empty, not finite, of unequal lengths, out of range."""


class ReadError(FnnetError, ValueError):
    """A file or a run directory cannot be read: absent, truncated, malformed, or of a newer format."""


class DamageError(ReadError):
    """What was written is not whole: truncated, changed since, or partly gone."""


class WriteError(FnnetError, OSError):
    """A file or a run directory cannot be written: no permission, no space, not a directory, or another's."""


class KeyMissingError(FnnetError, TypeError):
    """A layer needs a random key in training and was given none."""


class PathError(FnnetError, LookupError):
    """A path names nothing in a pytree of parameters or of optimizer state."""


class NonFiniteError(FnnetError, FloatingPointError):
    """A value in training is nan or infinite: `address` tells where it arose, `run` is the run up to the step before.

    Nothing is lost: ``error.run.state`` is the last good state, ``error.run.history`` its history.
    """

    def __init__(self, where: str, address: Any, run: Any) -> None:
        fix = "start again from error.run.state with a lower rate, or clip the gradient; or pass on_nonfinite='skip'."
        super().__init__(where, f"the first value that is not finite is at {address}", fix)
        self.address, self.run = address, run


class StreamError(FnnetError, RuntimeError):
    """The source of a stream raised an error, the cause of this one; `run` is the run up to the step before.

    Nothing is lost: ``error.run.state`` is the last state, ``error.run.history`` its history.
    """

    def __init__(self, where: str, cause: Exception, run: Any) -> None:
        problem = f"the batch of step {int(run.state.step)} could not be read, {type(cause).__name__}: {cause}"
        super().__init__(where, problem, "mend the source, and go on from error.run.state.")
        self.run = run


class ExtraMissingError(FnnetError, ImportError):  # type: ignore[misc]  # `path` is the layer's, here always ""
    """An optional library is needed and is not installed."""


class CheckpointWarning(UserWarning):
    """A checkpoint is not whole and is passed over."""


@contextmanager
def needs_extra(where: str, extra: str) -> Iterator[None]:
    """Raise ExtraMissingError, naming the extra to install, if an import within fails.

    >>> with needs_extra("demo", "data"):
    ...     import not_installed
    Traceback (most recent call last):
    ...
    fnnet.errors.ExtraMissingError: demo: needs the module 'not_installed', which is not installed
      Fix: pip install 'fnnet[data]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise _missing(where, extra, error.name) from error


def check_extra(where: str, extra: str, *modules: str) -> None:
    """Raise ExtraMissingError, naming the extra to install, unless all `modules` are there; none is imported."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise _missing(where, extra, name)


def _missing(where: str, extra: str, module: str | None) -> ExtraMissingError:
    problem = f"needs the module {module!r}, which is not installed"
    return ExtraMissingError(where, problem, f"pip install 'fnnet[{extra}]'")


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Put `name` in front of the path of any fnnet error raised within."""
    try:
        yield
    except FnnetError as error:
        error.path = f"{name}/{error.path}" if error.path else name
        raise


def near_matches(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the known names nearest to `name`, or the list of known names.

    >>> near_matches("dense_0/kernal", ["dense_0/kernel", "dense_0/bias"])
    "did you mean 'dense_0/kernel'?"
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.7)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    if not known:
        return "there is none"
    return "use one of " + ", ".join(repr(match) for match in known[:12]) + (", …" if len(known) > 12 else "")
