"""Every example in a docstring and every Python block in the documents runs, and their links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import pathlib
import pkgutil
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn

ROOT = pathlib.Path(__file__).parent.parent
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(fn.__path__, "fnnet.") if "__main__" not in module.name
)
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SCRIPTS = ("docstrings", "gallery", "lawbook", "names", "reference", "rows")


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.usefixtures("quickly_compiled")
def test_docstrings(name):
    """The examples in the docstrings of each module give what they print."""
    module = importlib.import_module(name)
    names = {"jax": jax, "jnp": jnp, "np": np, "fn": fn} | vars(module)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testmod(module, extraglobs=names, optionflags=options)
    assert result.failed == 0


@pytest.mark.parametrize("name", SCRIPTS)
def test_docstrings_of_scripts(name, monkeypatch):
    """So do those of the scripts that make the site."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.usefixtures("quickly_compiled", "columns_chosen")
def test_documents(path, tmp_path, monkeypatch):
    """The Python blocks of a document run one after the other, in one namespace."""
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{path.name}, block {number}", "exec"), names)
    assert text.count("```python") == len(blocks)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path):
    """A relative link is to a file that is there, as on GitHub."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert "://" in target or (path.parent / target).exists(), target
