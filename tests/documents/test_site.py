"""What the pages of the site are made of: docstrings as Markdown, public names, the gallery."""

from __future__ import annotations

import importlib
import pathlib

import pytest

import fnnet as fn

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def site(monkeypatch):
    """Give a function that imports a module of docs/."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module


def test_names_read_from_the_source_are_those_of_the_package(site):
    """Every room exports what `__all__` says at run time, and each name's docstring is that of the object."""
    names = site("names")
    for room, found in names.rooms(ROOT).items():
        module = importlib.import_module(f"fnnet.{room}")
        assert list(found) == list(getattr(module, "__all__", found))
        for name in found.values():
            thing = getattr(module, name.public)
            if callable(thing) and (thing.__doc__ or "").strip() and getattr(thing, "__module__", "") == name.home:
                assert name.docstring.split() == thing.__doc__.split()
    for name in fn.__all__:
        thing = getattr(fn, name)
        assert hasattr(thing, "__path__") or hasattr(thing, "__spec__") or names.look_up(ROOT, f"fn.{name}"), name


def test_a_docstring_becomes_markdown(site):
    """Formulas, examples and named paragraphs; what is in code stays."""
    text = """Add.

    With :math:`x
    + y`. Shapes: (n,). Raises: ValueError if ``Law: x`` is none.

    >>> 1 + 1
    2

    >>> 3
    3
    """
    expected = r"""Add.

With \(x + y\).

**Shapes:** (n,).

**Raises:** ValueError if ``Law: x`` is none.

```pycon
>>> 1 + 1
2

>>> 3
3
```"""
    assert site("docstrings").markdown(text) == expected


def test_laws_are_the_named_paragraphs(site):
    laws = site("docstrings").laws
    assert laws("Do.\n\nLaw: f(g) = g(f),\nalways. Raises: never.\n\nMore.") == ["f(g) = g(f), always."]
    assert laws("Do.\n\nLaws: a = b; b = a.") == ["a = b; b = a."]
    assert laws("Do. A lawless sentence.") == []


def test_every_example_has_its_picture_and_its_text(site):
    """Pictures are small, and the page has each example once."""
    gallery = site("gallery")
    page, files = gallery.page(ROOT), set()
    for example in gallery.examples(ROOT):
        pictures, (picture, printed) = gallery.pictures(ROOT, example), gallery.kept(ROOT, example)
        assert pictures[0] == picture
        assert all(one.stat().st_size <= 60 * 1024 for one in pictures)
        assert all(page.count(f"(gallery/{one.name})") == 1 for one in pictures)
        assert printed.read_text(encoding="utf-8").strip()
        assert page.count(f"(examples/{example.name})") == 1
        files |= {printed, *pictures}
    assert set((ROOT / "docs" / "gallery").iterdir()) == files
