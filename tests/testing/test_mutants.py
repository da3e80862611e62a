"""Each fault is found that the page of mutants says; the sound thing that it is a mutant of obeys all laws."""

from __future__ import annotations

import pathlib
import re

import pytest
from mutants import ESCAPE, MUTANTS, SOUND, Mutant, found_by

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "mutants.md").read_text(encoding="utf-8")
TABLE = dict(re.findall(r"^\| (\w+: .+) \| (.+) \|$", PAGE, re.MULTILINE))


def test_the_table_is_of_all_mutants():
    """At least 60 faults, of which at least 95 % are found, and those that are not are named with the reason."""
    assert list(TABLE) == list(MUTANTS)
    assert len(MUTANTS) >= 60
    assert {name for name, law in TABLE.items() if law.startswith("none: ")} == set(ESCAPE)
    assert len(ESCAPE) <= 0.05 * len(MUTANTS)


@pytest.mark.parametrize("name", SOUND)
def test_the_sound_one_obeys(name):
    assert found_by(Mutant(SOUND[name], "")) is None


@pytest.mark.parametrize("name", MUTANTS)
def test_the_fault_is_found(name):
    law = found_by(MUTANTS[name])
    assert (law is None) == (name in ESCAPE), law
