"""A training process that is killed and started again, as often as one likes, ends as one that was left alone."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import kill_toys
import numpy as np
import pytest

import fnnet as fn

SCRIPT = pathlib.Path(kill_toys.__file__)
SAVES = (2, 6)  # a life lasts for so many saves: the first is on disk when the second returns, so that each gets on


def started(directory, cache, steps):
    arguments = [sys.executable, "-W", "error", str(SCRIPT), str(directory), str(cache), str(steps)]
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(fn.__file__).parent.parent)}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def killed(process, draw, *, early):
    """Kill the process: while it starts or restores, or a few milliseconds after one of its saves began."""
    if early:
        time.sleep(draw.uniform(0.0, 2.0))
    else:
        for _ in range(draw.randint(*SAVES)):
            process.stdout.readline()
        time.sleep(draw.uniform(0.0, 0.06))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def end(process):
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def kill_often(tmp_path, kills, seed):
    """Train a process to its end through so many kills, and one left alone.

    Return their directories, the steps that both made, and the number of kills that hit a write.
    """
    draw = random.Random(seed)
    run, alone, cache = (tmp_path / name for name in ("run", "alone", "cache"))
    steps = kill_toys.PIECE * SAVES[1] * (kills + 1)
    assert end(started(alone, cache, steps)) == ""
    inside = 0
    for number in range(kills):
        assert killed(started(run, cache, steps), draw, early=number % 6 == 5)
        inside += any("tmp" in entry.name for entry in run.iterdir())
    assert end(started(run, cache, steps)) == ""
    return run, alone, steps, inside


def raw(state):
    leaves = jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))
    return [np.asarray(leaf).tobytes() for leaf in leaves]


def assert_equal_to_one_run(run, alone, steps):
    """Both processes, and one call of `run` here: state and history bit for bit; nothing is left lying about."""
    statics = ("task", "steps", "batch_size")
    whole = jax.jit(fn.run, static_argnames=statics, compiler_options=fn.compiler_options())
    state, logs = whole(kill_toys.TASK, kill_toys.start(), kill_toys.DATA, steps=steps, batch_size=kill_toys.BATCH)
    expected = raw(state)
    for directory in (run, alone):
        found = kill_toys.resumed(directory)
        assert raw(found.state) == expected
        assert found.history["loss"].tobytes() == np.asarray(logs["loss"]).tobytes()
        kept = fn.checkpoints.steps(directory)
        assert kept[-2:] == (steps - kill_toys.PIECE, steps)
        assert [kill_toys.PIECE, steps] == [found.metrics["step"][0], found.metrics["step"][-1]]
        assert sorted(int(entry.name) for entry in directory.iterdir()) == list(kept)


def test_a_process_killed_thrice_ends_as_one_left_alone(tmp_path):
    run, alone, steps, _ = kill_often(tmp_path, kills=3, seed=0)
    assert_equal_to_one_run(run, alone, steps)


@pytest.mark.hunt
def test_a_process_killed_thirty_times_ends_as_one_left_alone(tmp_path):
    """Some of the kills come inside the writing of a checkpoint, some while the process starts or restores."""
    run, alone, steps, inside = kill_often(tmp_path, kills=30, seed=1)
    assert_equal_to_one_run(run, alone, steps)
    assert inside >= 5
