"""The command line, called as in a terminal of its own directory."""

from __future__ import annotations

import sys

import pytest

from fnnet.cli import main


@pytest.fixture
def fnnet(monkeypatch, capsys, tmp_path):
    """Run ``fnnet ARGUMENTS`` in an empty directory, and return (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fnnet", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return call
