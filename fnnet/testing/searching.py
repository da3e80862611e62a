"""A law is asked of a subject: over many cases, of which the simplest that breaks it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fnnet.errors import FnnetError, needs_extra
from fnnet.testing.drawing import SEEDS, Case, CaseError, Draw, Repeated

with needs_extra("fn.testing", "testing"):
    import hypothesis
    import hypothesis.strategies as st


Holds: TypeAlias = Callable[[Draw], None]
"""Asks one case of a law, and raises if it is broken."""


class Law(NamedTuple):
    """What every subject of a kind obeys.

    `prepare(subject)` returns the function that asks one case: it takes a ``Draw``, and raises if the law is broken.
    `statement` is the law in a line. `fits(subject)`: whether it is asked of this subject.
    """

    name: str
    statement: str
    prepare: Callable[[Any], Holds]
    fits: Callable[[Any], bool]


class Profile(NamedTuple):
    """How long a law is searched: the number of `cases`, from a `seed`, or from a fresh one if that is None."""

    cases: int
    seed: int | None


CI = Profile(cases=8, seed=0)
"""A few cases: the same at every run beside the same modules, of whose numbers hypothesis takes some."""

HUNT = Profile(cases=500, seed=None)
"""Many cases, others at every run."""


class LawError(FnnetError, AssertionError):
    """A law is broken: `law` is its name, `case` the simplest case that was found, the cause what was got."""

    def __init__(self, where: str, law: Law, case: Case, cause: Exception, again: str) -> None:
        said = str(cause) if isinstance(cause, AssertionError) else f"{type(cause).__name__}: {cause}"
        parts = ", ".join(f"{name} = {value!r}" for name, value in case.items()) or "there is one case alone"
        indented = said.replace("\n", "\n  ")
        super().__init__(where, f"breaks the law {law.name}: {law.statement}\n  case: {parts}\n  {indented}", again)
        self.law, self.case = law.name, case

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}\n  Again: {self.fix}"


def law(fits: Callable[[Any], bool] = lambda subject: True) -> Callable[[Callable[..., Any]], Law]:
    """Return the decorator that makes a law of its preparing function: named as that is, stated as its docstring."""

    def made(prepare: Callable[[Any], Holds]) -> Law:
        statement = " ".join((prepare.__doc__ or "").split())
        return Law(prepare.__name__, statement, prepare, fits)

    return made


def ask(where: str, law: Law, subject: Any, profile: Profile, again: str) -> int:
    """Ask a law of a subject, and return of how many cases; LawError, with the simplest, if one breaks it.

    Within a test of hypothesis, which makes the subject itself simpler, cases are drawn but not made simpler.
    """
    __tracebackhide__ = True
    if hypothesis.currently_in_test_context():
        return _ask_at_random(where, law, subject, profile, again)
    holds = _prepared(where, law, subject, again)
    counted = 0
    broken: list[tuple[Case, Exception]] = []

    def once(data: Any) -> None:
        nonlocal counted
        counted += 1
        draw = Draw(_Searched(data))
        try:
            with np.errstate(all="ignore"):  # of what is handed NumPy's arrays
                holds(draw)
        except hypothesis.errors.HypothesisException:
            raise
        except Exception as error:
            broken.append((draw.case, error))
            raise

    settings = hypothesis.settings(
        max_examples=profile.cases,
        deadline=None,
        database=None,
        derandomize=False,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
        verbosity=hypothesis.Verbosity.quiet,
        print_blob=False,
    )
    search = settings(hypothesis.given(st.data())(once))
    if profile.seed is not None:
        search = hypothesis.seed(profile.seed)(search)
    try:
        search()
    except Exception as error:
        if not broken:
            raise
        case, cause = broken[-1]
        raise LawError(where, law, case, cause, f"{again}, laws={law.name!r}, case={case!r})") from (
            cause if isinstance(error, type(cause)) else error
        )
    return counted


def _ask_at_random(where: str, law: Law, subject: Any, profile: Profile, again: str) -> int:
    """Ask a law in the simplest case, then in others at random."""
    rng, holds = np.random.default_rng(profile.seed), _prepared(where, law, subject, again)
    for number in range(profile.cases):
        _ask_once(where, law, holds, Draw(_Drawn(rng, simplest=number == 0)), again)
    return profile.cases


def repeat(where: str, law: Law, subject: Any, case: Mapping[str, Any], again: str) -> None:
    """Ask a law of one case."""
    _ask_once(where, law, _prepared(where, law, subject, again), Draw(Repeated(case)), again)


def _prepared(where: str, law: Law, subject: Any, again: str) -> Holds:
    """Return the function that asks one case; LawError if what is asked fails before there is one."""
    try:
        return law.prepare(subject)
    except Exception as error:
        raise LawError(where, law, {}, error, f"{again}, laws={law.name!r})") from error


def _ask_once(where: str, law: Law, holds: Holds, draw: Draw, again: str) -> None:
    try:
        with np.errstate(all="ignore"):
            holds(draw)
    except (CaseError, hypothesis.errors.HypothesisException):
        raise
    except Exception as error:
        raise LawError(where, law, draw.case, error, f"{again}, laws={law.name!r}, case={draw.case!r})") from error


class _Drawn:
    """The parts of a case at random; of the simplest, the first option each, and seed 0."""

    def __init__(self, rng: np.random.Generator, *, simplest: bool) -> None:
        self.rng, self.simplest = rng, simplest

    def choose(self, name: str, options: Sequence[Any]) -> Any:
        return options[0 if self.simplest else int(self.rng.integers(len(options)))]

    def seed(self, name: str) -> int:
        return 0 if self.simplest else int(self.rng.integers(SEEDS))


class _Searched:
    """The parts of a case that hypothesis draws, and makes simpler once a law is broken."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def choose(self, name: str, options: Sequence[Any]) -> Any:
        return self.data.draw(st.sampled_from(list(options)))

    def seed(self, name: str) -> int:
        return self.data.draw(st.integers(0, SEEDS - 1))
