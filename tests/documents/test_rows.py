"""The lecture's rows have what they say, and the script that sees to it finds every fault that is planted."""

from __future__ import annotations

import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]

ROWS = """
[[part]]
title = "Neurons"
[[part.row]]
slug = "unit"
title = "A unit"
holds = "It fires."
api = ["fn.rooms.made", "fn.rooms.taken", "fn.rooms", "fn.made"]
example = "one.py"
[[part.row]]
slug = "boxes"
title = "Boxes"
holds = "They overlap."
planned = "all of it"
"""

TEST = """
import pytest


@pytest.mark.row("unit")
@pytest.mark.parametrize("x", [1])
def test_it_fires(x):
    assert x
"""

FILES = {
    "docs/rows.toml": ROWS,
    "tests/sub/test_units.py": TEST,
    "examples/one.py": '"""One."""\n',
    "fnnet/__init__.py": 'from fnnet.rooms import made\n__all__ = ["made"]\n',
    "fnnet/rooms/__init__.py": 'from fnnet.rooms.making import made\nimport jax\n__all__ = ["made", "taken"]\n',
    "fnnet/rooms/making.py": 'def made():\n    """Return it."""\n\n\ndef _private(): ...\n',
}

UNITS, TOML, ROOM = "tests/sub/test_units.py", "docs/rows.toml", "fnnet/rooms/__init__.py"
API = 'api = ["fn.rooms.made", "fn.rooms.taken", "fn.rooms", "fn.made"]'

FAULTS = {
    "no test": (UNITS, '"unit"', '"boxes"', r'unit: no test is marked @pytest\.mark\.row\("unit"\)'),
    "no such row": (UNITS, '"unit"', '"unit", "box"', r"tests/sub/test_units\.py:7: .* no row 'box'"),
    "a mark in a comment": (UNITS, "@pytest.mark.row", "# @pytest.mark.row", "unit: no test is marked"),
    "no such name": (TOML, "fn.rooms.made", "fn.rooms.mode", "unit: there is no public name fn.rooms.mode"),
    "a private name": (TOML, "fn.made", "fn.rooms._private", "there is no public name fn.rooms._private"),
    "no such room": (TOML, '"fn.rooms",', '"fn.halls",', "there is no public name fn.halls"),
    "no name at all": (TOML, API, "", "it names nothing of the library"),
    "a name gone": (ROOM, '"made", ', "", "unit: there is no public name fn.rooms.made"),
    "no example": (TOML, "one.py", "two.py", r"unit: there is no examples/two\.py"),
    "two alike": (TOML, 'slug = "boxes"', 'slug = "unit"', "unit: two rows have this slug"),
    "planned and done": (TOML, API, API + '\nplanned = "x"', "unit: it is planned, and nothing is missing"),
}


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("rows")


def written(root, change=lambda path, text: text):
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(change(path, text), encoding="utf-8")
    return root


def test_every_row_has_what_it_says(rows):
    """Of this repository: its names, its example, and a test that is marked; or it says that it is planned."""
    assert rows.faults(ROOT) == []
    assert any(rows.marked(ROOT))


def test_nothing_is_wrong_with_rows_that_are_whole(rows, tmp_path):
    """The page has each row's names, example and tests with their source, and counts what is done."""
    page = rows.page(written(tmp_path))
    assert "1 of 2 rows are done" in page
    for part in [
        "### A unit {#unit}",
        "It fires.",
        "](gallery.md#one)",
        "(tests/sub/test_units.py), line 7",
        "assert x",
    ]:
        assert part in page
    assert "[`fn.rooms.made`][fnnet.rooms.made], [`fn.rooms.taken`](reference/rooms.md), [`fn.rooms`](" in page
    assert "*Planned: all of it.*" in page


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found(rows, tmp_path, fault):
    """One change of one file is one line that names it, and no page is made."""
    where, old, new, words = FAULTS[fault]
    assert FILES[where].count(old) == 1
    root = written(tmp_path, lambda path, text: text.replace(old, new) if path == where else text)
    assert any(re.search(words, line) for line in rows.faults(root)), rows.faults(root)
    with pytest.raises(ValueError, match=words):
        rows.page(root)
