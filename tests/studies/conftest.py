"""Running a study of the lecture at small size, with its picture."""

from __future__ import annotations

import pathlib
import runpy

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture
def study(tmp_path, capsys, monkeypatch):
    """Give a function that runs a study with arguments, checks length, text and picture, and returns its numbers."""
    monkeypatch.syspath_prepend(str(EXAMPLES))  # as `python examples/NAME.py` does: some have modules beside them

    def run(name, *arguments):
        path, picture = EXAMPLES / f"{name}.py", tmp_path / "picture.png"
        assert len(path.read_text(encoding="utf-8").splitlines()) < 120
        result = runpy.run_path(str(path))["main"]([*arguments, "--plot", str(picture)])
        assert capsys.readouterr().out
        assert picture.stat().st_size > 5000
        return result

    return run
