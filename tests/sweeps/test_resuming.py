"""A sweep in a directory runs what is missing, and refuses what is another's."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import fnnet as fn
from fnnet.errors import DataError, ReadError
from fnnet.sweeps import halving, layouts

KEY = jax.random.key(7)
DATA = (np.ones((4, 3), np.float32), np.ones((4, 1), np.float32))
GRID = {"learning_rate": [0.01, 0.1, 0.2]}


def make_task(learning_rate):
    return fn.Task(fn.dense(1), fn.losses.squared_error, fn.adam(learning_rate))


def sweep(directory, **options):
    settings = {"key": KEY, "steps": 3, "batch_size": 2, "layout": "vmap", "points_per_program": 1} | options
    return fn.sweep(make_task, GRID, settings.pop("data", DATA), directory=directory, **settings)


@pytest.fixture
def calls(monkeypatch):
    """The numbers of members of the groups that were run, of which no more than `most` may be."""
    made, run = SimpleNamespace(members=[], most=100), layouts.run

    def counted(moves, make, *rest):
        if len(made.members) == made.most:
            raise KeyboardInterrupt
        made.members.append(layouts.size(make.out_info))
        return run(moves, make, *rest)

    monkeypatch.setattr(layouts, "run", counted)
    return made


def same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(*(jax.random.key_data(c) if c.dtype == KEY.dtype else c for c in (x, y)))


def test_what_is_there_is_not_run_again(tmp_path, calls):
    tables = []
    first = sweep(tmp_path / "sweep", on_progress=tables.append)
    assert calls.members == [1, 1, 1]
    assert [sum(np.isnan(r["loss"]) for r in table) for table in tables] == [2, 1, 0]
    assert tables[-1] == first.table
    (tmp_path / "sweep" / "group_00001.npz").unlink()
    calls.members.clear()
    again = sweep(tmp_path / "sweep")
    assert calls.members == [1]
    assert again.table == first.table
    assert again.layout == first.layout
    same(first.results, again.results)


def test_another_sweep_and_a_broken_file_are_named(tmp_path):
    sweep(tmp_path, points_per_program=None)
    changed = (DATA[0] + 1, DATA[1])
    for options in ({"steps": 4}, {"key": jax.random.key(8)}, {"data": changed}, {"micro_batches": 2}):
        with pytest.raises(DataError, match="holds another sweep"):
            sweep(tmp_path, points_per_program=None, **options)
    (tmp_path / "group_00000.npz").write_bytes(b"PK half")
    with pytest.raises(ReadError, match="run again"):
        sweep(tmp_path, points_per_program=None)


def test_halving_goes_on_between_rungs(tmp_path, calls):
    def halve(directory, **options):
        options = {"key": KEY, "steps": 2, "batch_size": 2, "eta": 2, "layout": "vmap"} | options
        return halving(make_task, GRID, DATA, directory=directory, **options)

    calls.most = 1
    with pytest.raises(KeyboardInterrupt):
        halve(tmp_path)
    assert [path.name for path in tmp_path.glob("*.npz")] == ["rung_00_group_00000.npz"]
    calls.most = 100
    interrupted = halve(tmp_path)
    assert calls.members == [3, 2, 1]
    calls.members.clear()
    again = halve(tmp_path)
    assert calls.members == []
    assert (again.points, again.table()) == (interrupted.points, interrupted.table())
    same([rung.results for rung in again.rungs], [rung.results for rung in interrupted.rungs])
    assert interrupted.table() == halve(None).table()
    with pytest.raises(DataError, match="holds another sweep"):
        halve(tmp_path, eta=3)


FINGERPRINT = """
import jax, fnnet as fn
from functools import partial
from fnnet.sweeps import saving
points = [{"activation": jax.nn.relu, "net": fn.dense(2), "bend": lambda x: x * SLOPE, "draw": partial(pow, 2)}]
settings = {"sampler": fn.sampling.epochs("LAST"), "transform": None, "seeds": 3}
print(saving.fingerprint(jax.random.key(0), points, settings, ()))
"""


def test_a_directory_is_known_in_another_process():
    """Functions among the points and the options are told by name and by what they hold, not by their address."""

    def printed(slope, last):
        script = FINGERPRINT.replace("SLOPE", slope).replace("LAST", last)
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    known = [printed("2", "drop"), printed("2", "drop"), printed("3", "drop"), printed("2", "weigh")]
    assert known[0] == known[1]
    assert len(set(known)) == 3
