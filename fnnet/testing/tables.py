"""Tables of things, of which each law is a test: for pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fnnet.errors import needs_extra
from fnnet.testing.checking import check, check_excuses
from fnnet.testing.kinds import kind_of
from fnnet.testing.searching import CI, LawError, Profile


class Obligation(NamedTuple):
    """A law of a row: called, it asks it, and raises LawError if it is broken; an excused one is skipped."""

    row: str
    subject: Any
    law: str
    reason: str
    profile: Profile | None

    def __call__(self) -> None:
        """Ask the law; skip the test, with the reason, if it is excused."""
        __tracebackhide__ = True
        import pytest

        if self.reason:
            pytest.skip(f"{self.row} is excused from {self.law}: {self.reason}")
        try:
            check(self.subject, laws=self.law, profile=asked_with(self.profile))
        except LawError as error:
            error.where = self.row
            raise


_chosen: list[Profile] = []


def choose_profile(profile: Profile | None) -> None:
    """Let tables without a profile of their own be asked with this one; None: with that of CI again."""
    _chosen[:] = [] if profile is None else [profile]


def asked_with(profile: Profile | None) -> Profile:
    """Return the profile of a table: its own, that chosen, or that of CI."""
    return profile or next(iter(_chosen), CI)


def law_table(
    rows: Mapping[str, Any],
    *,
    laws: str | Sequence[str] | None = None,
    excused: Mapping[str, Mapping[str, str]] | None = None,
    profile: Profile | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the decorator of a test ``test(law)`` that makes it one test for each law of each row; it calls ``law()``.

    `rows`: subjects by name. `laws`: the names of those to ask, if not all that fit. `excused`: the laws that a row is
    excused from, and the reason, which the report of ``pytest -rs`` shows. `profile`: how long is searched; else the
    one that pytest was started with (``--laws hunt``, with ``pytest_plugins = ["fnnet.testing.plugin"]``).

    Raises: ValueError for a law that is none of any row, for an excuse of a row or a law that is none, or without a
    reason, and where nothing is asked; TypeError for a row that is no subject.

    >>> rows = {"dense": fn.testing.LayerSubject(fn.dense(3), jnp.ones((2, 4)))}
    >>> test = fn.testing.law_table(rows)(lambda law: law())
    """
    with needs_extra("fn.testing.law_table", "testing"):
        import pytest
    for name in excused or {}:
        if name not in rows:
            raise ValueError(f"law_table: excused {name!r} is no row; they are {', '.join(rows)}")
    known = {law.name for subject in rows.values() for law in kind_of(subject).laws}
    laws = [laws] if isinstance(laws, str) else laws
    for name in laws or ():
        if name not in known:
            raise ValueError(f"law_table: {name!r} is no law of these rows; they are {', '.join(sorted(known))}")
    obligations = []
    for row, subject in rows.items():
        kind = kind_of(subject)
        reasons = check_excuses(row, (excused or {}).get(row), kind.laws)
        asked = [law.name for law in kind.laws if law.fits(subject) and (laws is None or law.name in laws)]
        obligations += [Obligation(row, subject, name, reasons.get(name, ""), profile) for name in asked]
    if not obligations:
        raise ValueError("law_table: there is nothing to ask; give it rows, and laws that fit one of them")
    return pytest.mark.parametrize("law", [pytest.param(one, id=f"{one.row}-{one.law}") for one in obligations])
