"""Each study runs at small size, draws its picture, and what it returns bears out the fact that it is about."""

from __future__ import annotations

import pathlib
import runpy

import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


@pytest.fixture
def study(tmp_path, capsys):
    """Return a function that runs a study with arguments and returns what its main does."""

    def run(name, *arguments):
        picture = tmp_path / "picture.png"
        text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        assert len(text.splitlines()) < 120
        result = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]([*arguments, "--plot", str(picture)])
        assert capsys.readouterr().out
        assert picture.stat().st_size > 5000
        return result

    return run


def test_collapse(study):
    """The linear layers are one layer to rounding and cannot do XOR; with ReLU the same net does."""
    result = study("05_collapse", "--seeds", "2", "--steps", "200")
    assert max(result["difference"].values()) < 1e-4
    assert result["accuracy"]["XOR", "four layers, linear"].max() < 0.8
    assert result["accuracy"]["XOR", "four layers, ReLU"].min() > 0.9
