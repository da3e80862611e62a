"""A sweep in a directory runs what is missing, and refuses what is another's."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import fnnet as fn
from fnnet.errors import DataError, ReadError
from fnnet.sweeps import sweeping

KEY = jax.random.key(7)
DATA = (np.ones((4, 3), np.float32), np.ones((4, 1), np.float32))
GRID = {"learning_rate": [0.01, 0.1, 0.2]}


def make_task(learning_rate):
    return fn.Task(fn.dense(1), fn.losses.squared_error, fn.adam(learning_rate))


def sweep(directory, **options):
    settings = {"key": KEY, "steps": 3, "batch_size": 2, "layout": "vmap", "points_per_program": 1} | options
    return fn.sweep(make_task, GRID, settings.pop("data", DATA), directory=directory, **settings)


def test_what_is_there_is_not_run_again(tmp_path, monkeypatch):
    calls, advance = [], sweeping.advance
    monkeypatch.setattr(sweeping, "advance", lambda *a: calls.append(a[1].points) or advance(*a))
    tables = []
    first = sweep(tmp_path / "sweep", on_group=tables.append)
    assert calls == [(0,), (1,), (2,)]
    assert [sum(np.isnan(r["loss"]) for r in table) for table in tables] == [2, 1, 0]
    (tmp_path / "sweep" / "group_00001.npz").unlink()
    calls.clear()
    again = sweep(tmp_path / "sweep")
    assert calls == [(1,)]
    assert again.table == first.table
    assert again.layout == first.layout
    for member in range(3):
        for a, b in zip(jax.tree.leaves(first.state(member)), jax.tree.leaves(again.state(member)), strict=True):
            np.testing.assert_array_equal(*(jax.random.key_data(c) if c.dtype == KEY.dtype else c for c in (a, b)))


def test_another_sweep_and_a_broken_file_are_named(tmp_path):
    sweep(tmp_path)
    changed = (DATA[0] + 1, DATA[1])
    for options in ({"steps": 4}, {"key": jax.random.key(8)}, {"data": changed}, {"micro_batches": 2}):
        with pytest.raises(DataError, match="holds another sweep"):
            sweep(tmp_path, **options)
    (tmp_path / "group_00000.npz").write_bytes(b"PK half")
    with pytest.raises(ReadError, match="run again"):
        sweep(tmp_path)
