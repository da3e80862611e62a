"""Every example runs, prints, draws, and stays short; the numbered ones, of the lecture, in tests of their own."""

from __future__ import annotations

import pathlib
import runpy
import sys

import pytest

LONG = ("detection", "localisation", "segmentation")  # to run their few steps takes longer than to compile them
EXAMPLES = sorted((pathlib.Path(__file__).parent.parent / "examples").glob("[a-z]*.py"))


@pytest.mark.usefixtures("few_programs", "columns_chosen")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, monkeypatch, capsys, request):
    if path.stem not in LONG:
        request.getfixturevalue("quickly_compiled")
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    arguments = [str(path), "--plot", str(tmp_path / "picture.png")]
    arguments += ["--seeds", "1"] if '"--seeds"' in text else []
    arguments += ["--steps", "20"] if '"--steps"' in text else ["--epochs", "2"] if '"--epochs"' in text else []
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
    assert (tmp_path / "picture.png").stat().st_size > 5000
