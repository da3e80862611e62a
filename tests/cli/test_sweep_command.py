"""``fnnet sweep`` ranks, saves, goes on where it was, and names mistakes."""

from __future__ import annotations

import csv
import math
import tomllib

import pytest

from fnnet.cli import sweeping
from fnnet.sweeps import layouts


@pytest.fixture
def sweep(fnnet):
    return lambda *arguments: fnnet("sweep", *arguments)


def test_a_sweep_is_ranked_saved_and_not_run_again(sweep, tmp_path):
    options = ("iris", "--learning-rate", "1e-4,1e-2", "--hidden", "8", "--hidden", "", "--epochs", "5", "--seeds", "2")
    code, out, _ = sweep(*options, "--out", "found")
    assert code == 0, out
    directory = tmp_path / "found"
    rows = list(csv.DictReader((directory / "results.csv").read_text().splitlines()))
    assert len(rows) == 8
    assert {row["hidden"] for row in rows} == {"8", ""}
    assert all(float(row["val_loss"]) > 0 for row in rows)
    means = {}
    for row in rows:
        means.setdefault((row["hidden"], float(row["learning_rate"])), []).append(float(row["val_loss"]))
    best = min(means, key=lambda point: sum(means[point]))
    first = next(line for line in out.splitlines() if "0.01" in line or "0.0001" in line)
    assert f"{best[1]:g} " in first
    assert tomllib.loads((directory / "config.toml").read_text())["grid"]["learning_rate"] == [1e-4, 1e-2]
    for name in ("heat_map.png", "parallel_coordinates.png"):
        assert (directory / name).read_bytes().startswith(b"\x89PNG")
    before = (directory / "group_00000.npz").stat().st_mtime_ns
    assert sweep(*options, "--out", "found")[0] == 0
    assert (directory / "group_00000.npz").stat().st_mtime_ns == before
    code, _, err = sweep(*options[:-1], "3", "--out", "found", "--quiet")
    assert (code, "holds another sweep" in err) == (1, True)


def test_an_interrupted_sweep_says_how_it_goes_on(sweep, tmp_path, monkeypatch):
    """What the groups before gave is not run again, and the result is that of a sweep that was left alone."""
    options = ("iris", "--learning-rate", "1e-2", "--hidden", "8", "--hidden", "4", "--epochs", "5", "--seeds", "2")
    assert sweep(*options, "--out", "whole")[0] == 0
    run, left = layouts.run, [1]

    def broken_off(*arguments):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return run(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(layouts, "run", broken_off)
        code, _, err = sweep(*options, "--out", "part")
    assert code == 130
    assert "interrupted; the same command with --out part goes on from there" in err
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == ["group_00000.npz", "sweep.json"]
    before = (tmp_path / "part" / "group_00000.npz").stat().st_mtime_ns
    assert sweep(*options, "--out", "part")[0] == 0
    assert (tmp_path / "part" / "group_00000.npz").stat().st_mtime_ns == before
    tables = [(tmp_path / name / "results.csv").read_text() for name in ("part", "whole")]
    assert tables[0] == tables[1]


def test_the_table_is_drawn_as_networks_are_trained(sweep, monkeypatch):
    """On standard error, part after part: those on their way by their training loss, with the steps they have made."""
    drawn, ranking = [], sweeping._ranking

    def seen(table):
        drawn.append([(record["steps"], math.isfinite(record.get("val_loss", math.nan))) for record in table])
        return ranking(table)

    monkeypatch.setattr(sweeping, "_ranking", seen)
    code, out, err = sweep("iris", "--learning-rate", "1e-3,1e-2", "--hidden", "4", "--epochs", "90", "--seeds", "1")
    assert code == 0
    made, measured = zip(*(rows[0] for rows in drawn), strict=True)
    assert len(made) >= 3
    assert list(made) == sorted(made)
    assert 0 < made[0] < made[-1] == 270
    assert list(measured) == [steps == 270 for steps in made]
    assert "validation loss" in err
    assert "validation loss" in out


def test_mistakes_get_a_line(sweep, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("")
    for options, message in (
        (("--learning-rate", "fast"), "must be numbers"),
        (("--hidden", "0"), "positive whole numbers"),
        (("--out", "mine"), "holds other files"),
    ):
        code, _, err = sweep("iris", *options)
        assert code == 2
        assert message in err
