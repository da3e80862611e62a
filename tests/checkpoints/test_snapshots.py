"""Snapshots: what is saved comes back bit for bit, and a run that goes on from it is one that never stopped."""

from __future__ import annotations

import json
import logging
import pickle
import re
import subprocess
import sys
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet.checkpoints import Snapshot, best_step, restore, steps, writer
from fnnet.core import TrainState
from fnnet.errors import DataError, ExtraMissingError, ReadError, WriteError

pytestmark = pytest.mark.types

BITS = ["uint8", "float8_e4m3fn", "float8_e5m2", "float8_e4m3", "int8", "bfloat16", "float16", "float32", "complex64"]
NARROW = ["bool", "int4", "uint4", "uint2"]
WIDE = ["int64", "uint64", "float64", "complex128"]


class Moments(NamedTuple):
    mu: Any
    nu: Any


def patterns(dtype):
    """Return values of a dtype, of every kind of bit pattern that its bytes have."""
    dtype = jnp.dtype(dtype)
    if dtype.name in NARROW:
        return (np.arange(8) % 2 if dtype.name == "bool" else np.arange(8)).astype(dtype).reshape(2, 4)
    return np.arange(256 * dtype.itemsize, dtype=np.uint64).astype(np.uint8).view(dtype).reshape(2, -1)


def state(params=None, opt_state=(), step=3, key=None):
    params = {"w": jnp.ones(2)} if params is None else params
    return TrainState(jnp.int32(step), params, {}, opt_state, jax.random.key(7) if key is None else key)


def saved(directory, *snapshots, scores=({},) * 99, **options):
    with writer(directory, **options) as write:
        for snapshot, row in zip(snapshots, scores, strict=False):
            write.save(snapshot, row)
    return directory


def raw(leaf):
    data = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    return leaf.dtype, leaf.shape, np.asarray(data).tobytes()


def assert_same(one, other):
    """The same containers, dtypes, shapes and bytes."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert [raw(leaf) for leaf in jax.tree.leaves(one)] == [raw(leaf) for leaf in jax.tree.leaves(other)]


def test_every_bit_of_every_dtype_comes_back(tmp_path):
    """With NaN payloads and subnormals; empty arrays and scalars; on the default device, and not committed to it."""
    params = {name: jnp.asarray(patterns(name)) for name in BITS + NARROW}
    params |= {"scalar": jnp.float32(2.5), "none": jnp.zeros((0, 3), jnp.bfloat16), "µ.a b": {"%2F": jnp.ones(1)}}
    ts = state(params)
    back = restore(saved(tmp_path / "run", Snapshot(ts)), jax.eval_shape(lambda: ts)).state
    assert_same(back, ts)
    assert {device for leaf in jax.tree.leaves(back) for device in leaf.devices()} == {jax.devices()[0]}
    assert not any(leaf.committed for leaf in jax.tree.leaves(back))


def test_containers_are_those_of_the_state_given(tmp_path):
    """Tuples of any class, dicts, lists, None and empty ones: nothing of them is read from the disk."""
    opt_state = (Moments({"w": jnp.ones(2)}, [None, jnp.int32(4)]), (), {}, None, {"b": {}}, Moments(jnp.ones(1), ()))
    ts = state(opt_state=opt_state)
    back = restore(saved(tmp_path / "run", Snapshot(ts)), ts).state
    assert_same(back, ts)
    assert type(back.opt_state[0]) is Moments


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_random_keys_come_back(tmp_path, kind):
    """Typed keys of each implementation, one or many: they draw the same numbers."""
    ts = state({"keys": jax.random.split(jax.random.key(1, impl=kind), 3)}, key=jax.random.key(5, impl=kind))
    back = restore(saved(tmp_path / "run", Snapshot(ts)), ts).state
    assert_same(back, ts)
    np.testing.assert_array_equal(jax.random.bits(back.key), jax.random.bits(ts.key))


def test_64_bits_come_back_with_x64_and_are_refused_without(tmp_path, x64):
    ts = state({name: jnp.asarray(patterns(name)) for name in WIDE})
    saved(tmp_path / "run", Snapshot(ts))
    assert_same(restore(tmp_path / "run", ts).state, ts)
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(ReadError, match=r"state/params/\w+ is \w+, which needs x64\n  Fix: jax.config.update"):
        restore(tmp_path / "run", state())


def test_history_position_and_config_come_back(tmp_path):
    """Arrays on the host in their own dtypes, 64 bits too, of any length; keys with a slash; dicts without entries."""
    history = {
        "loss": np.arange(5, dtype=np.float32),
        "norms": {"dense_0/kernel": np.arange(3.0), "none": {}},
        "first": np.zeros((0,), np.int64),
        "swapped": np.arange(3, dtype=">i4"),
        "rows": np.arange(6.0).reshape(2, 3).T,
    }
    config = {"hidden": (256, 128), "rate": 1e-3, "name": "µ", "none": None, "deep": {"flag": True}, "most": np.inf}
    snapshot = Snapshot(state(), history, {"accuracy": jnp.ones(2)}, {"epoch": 3, "rows": [1, 2]}, config)
    back = restore(saved(tmp_path / "run", snapshot), state())
    assert jax.tree.structure(back.history) == jax.tree.structure(history)
    for one, other in zip(jax.tree.leaves(back.history), jax.tree.leaves(history), strict=True):
        assert isinstance(one, np.ndarray)
        assert one.dtype == other.dtype.newbyteorder("=")
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(back.metrics["accuracy"], np.ones(2, np.float32))
    assert back.position == {"epoch": 3, "rows": [1, 2]}
    assert back.config == config | {"hidden": [256, 128]}


@pytest.mark.parametrize("position", [None, {}, {"shard": "a", "row": 10**12}])
def test_positions_of_any_kind_come_back(tmp_path, position):
    back = restore(saved(tmp_path / "run", Snapshot(state(), position=position)), state())
    assert back.position == position
    assert type(back.position) is type(position)


X = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(8, 3)
DATA = (X, X[:, :2] * X[:, 1:])


@pytest.mark.parametrize("name", fn.optimizers.__all__)
def test_a_run_that_goes_on_is_one_that_never_stopped(tmp_path, name):
    """run, save, restore, run = run, run: bit for bit, for every optimizer."""
    factory = getattr(fn.optimizers, name)
    task = fn.Task(fn.dense(2), fn.losses.squared_error, factory() if name == "lbfgs" else factory(0.01))
    run = jax.jit(partial(fn.run, task, data=DATA, steps=3, batch_size=4))
    middle, _ = run(fn.init(task, jax.random.key(3), X))
    whole, _ = run(middle)
    saved(tmp_path / "run", Snapshot(middle))
    like = jax.eval_shape(lambda: fn.init(task, jax.random.key(0), X))
    back = restore(tmp_path / "run", like).state
    assert_same(back, middle)
    assert_same(run(back)[0], whole)
    assert run._cache_size() <= 2  # from init and from a run: a restored state is like the latter


def test_a_save_does_not_see_what_happens_afterwards(tmp_path):
    """The state is donated, and the history written over, while the disk is still at work."""
    ts = state({"w": jnp.arange(100_000.0)})
    history = {"loss": np.arange(1000.0)}
    change = jax.jit(lambda ts: jax.tree.map(lambda w: w + 1, ts._replace(key=ts.step)), donate_argnums=0)
    with writer(tmp_path / "run") as write:
        write.save(Snapshot(ts, history))
        expected = np.arange(100_000, dtype=np.float32)
        for _ in range(20):
            key, ts = ts.key, change(ts)
            ts = ts._replace(key=key)
        history["loss"][:] = -1
    back = restore(tmp_path / "run", ts)
    np.testing.assert_array_equal(back.state.params["w"], expected)
    np.testing.assert_array_equal(back.history["loss"], np.arange(1000.0))


def test_what_is_restored_may_be_donated(tmp_path):
    """A run writes to buffers of its own: the snapshot on disk and a second restore are as they were."""
    ts = state({"w": jnp.arange(1000.0)})
    saved(tmp_path / "run", Snapshot(ts))
    back = restore(tmp_path / "run", ts)
    moved = jax.jit(lambda w: w * 2, donate_argnums=0)(back.state.params["w"])
    np.testing.assert_array_equal(moved, np.arange(1000.0) * 2)
    assert_same(restore(tmp_path / "run", ts).state, ts)


def test_the_last_and_the_best_are_kept(tmp_path):
    """The last two, and beside them the one of the least loss, over a restart too; NaN is never best."""
    losses = [5.0, 2.0, np.nan, 3.0, 2.0, 4.0]
    with writer(tmp_path, keep=2, best="loss") as write:
        for step, loss in enumerate(losses):
            write.save(Snapshot(state(step=step)), {"loss": loss, "other": float(step)})
    assert steps(tmp_path) == (1, 4, 5)
    assert best_step(tmp_path, "loss") == 1
    assert best_step(tmp_path, "other", "max") == 5
    assert best_step(tmp_path, "none") is None
    with writer(tmp_path, after=5, keep=2, best="loss") as write:
        for step, loss in enumerate([3.0, 1.0, 6.0, 7.0], start=6):
            write.save(Snapshot(state(step=step)), {"loss": loss})
    assert steps(tmp_path) == (7, 8, 9)
    assert int(restore(tmp_path, state(), step=best_step(tmp_path, "loss")).state.step) == 7


def test_the_greatest_is_best_where_asked(tmp_path):
    snapshots = [Snapshot(state(step=step)) for step in range(5)]
    saved(tmp_path, *snapshots, scores=[{"acc": a} for a in (0.1, 0.9, 0.5, 0.9, 0.2)], keep=1, best="acc", mode="max")
    assert steps(tmp_path) == (1, 4)


def test_a_step_that_is_there_is_left_as_it_is(tmp_path):
    saved(tmp_path, Snapshot(state(step=2), config={"a": 1}), Snapshot(state(step=2), config={"a": 2}))
    assert restore(tmp_path, state()).config == {"a": 1}
    with pytest.raises(DataError, match=r"save: step 1 comes after step 2"), writer(tmp_path, after=2) as write:
        write.save(Snapshot(state(step=1)))


def test_a_run_goes_on_from_an_earlier_step(tmp_path):
    """What comes after it is removed, since it is of a run that is given up."""
    saved(tmp_path, *(Snapshot(state(step=step), config={"run": 1}) for step in (1, 2, 3)))
    saved(tmp_path, Snapshot(state(step=2), config={"run": 2}), Snapshot(state(step=4), config={"run": 2}), after=1)
    assert [restore(tmp_path, state(), step=step).config["run"] for step in steps(tmp_path)] == [1, 2, 2]
    assert steps(tmp_path) == (1, 2, 4)


def test_there_is_nothing_yet(tmp_path):
    assert restore(tmp_path / "absent", state()) is None
    assert restore(tmp_path, state()) is None
    assert steps(tmp_path) == ()


def test_a_state_of_another_task_is_refused_by_path(tmp_path):
    """One error lists what is missing, what is unexpected, and what has another shape, dtype or kind of key."""
    params = {"a": jnp.ones(2), "b": jnp.ones((3, 4)), "c": jnp.ones(1), "n": jnp.ones(3)}
    saved(tmp_path, Snapshot(state(params)))
    other = {"a": jnp.ones(2), "b": jnp.ones((3, 5)), "d": {"e": jnp.ones(1)}, "n": jnp.ones(3, jnp.bfloat16)}
    with pytest.raises(DataError) as raised:
        restore(tmp_path, state(other, opt_state=(jnp.ones(1),), key=jax.random.key(0, impl="rbg")))
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / '3'}: the state saved is not that of this task: ")
    for words in (
        "missing 'opt_state/0', 'params/d/e'",
        "unexpected 'params/c'",
        "'params/b' is float32[3,4], expected float32[3,5]",
        "'params/n' is float32[3], expected bfloat16[3]",
        "'key' is key<fry>[], expected key<rbg>[]",
    ):
        assert words in message


MISTAKES = {
    "keep": (ValueError, lambda d: saved(d, keep=0), "writer: keep must be at least 1, got 0"),
    "text": (DataError, lambda d: saved(d, Snapshot(state(), {"a": np.array(["b"])})), "history/a holds <U1, expected"),
    "objects": (DataError, lambda d: saved(d, Snapshot(state(), {"a": None})), "history/a holds object"),
    "dates": (DataError, lambda d: saved(d, Snapshot(state(), {"a": np.array(1, "M8[s]")})), "expected numbers"),
    "long": (DataError, lambda d: saved(d, Snapshot(state(), {"a": np.longdouble(1)})), "expected numbers"),
    "no dict": (DataError, lambda d: saved(d, Snapshot(state(), {"a": {1: np.ones(1)}})), "keys must be text"),
    "alike": (
        DataError,
        lambda d: saved(d, Snapshot(state(), {"a": {"b": np.ones(1)}, "a/b": np.ones(1)})),
        "no two paths alike, got 'a/b'",
    ),
    "paths": (
        DataError,
        lambda d: saved(d, Snapshot(state({"a": {"b": jnp.ones(1)}, "a/b": jnp.ones(1)}))),
        "save: two entries of the state have one path",
    ),
    "config": (
        DataError,
        lambda d: saved(d, Snapshot(state(), config={"a": [1, np.float32(1)]})),
        "save: config/a/1 must be a value of JSON, got float32",
    ),
    "position": (
        DataError,
        lambda d: saved(d, Snapshot(state(), position={"a": {1: 2}})),
        "save: position/a: a key must be text, got 1",
    ),
    "score": (
        DataError,
        lambda d: saved(d, Snapshot(state()), scores=[{"loss": 1.0}], best="los"),
        "save: there is no score 'los', by which the best is kept\n  Fix: did you mean 'loss'?",
    ),
    "no such step": (
        ReadError,
        lambda d: restore(saved(d, Snapshot(state())), state(), step=4),
        "holds no checkpoint of step 4\n  Fix: the steps there are: 3.",
    ),
    "a new run": (
        DataError,
        lambda d: saved(saved(d, Snapshot(state())), Snapshot(state(step=9))),
        "holds checkpoints already, the last of step 3\n  Fix: restore from it and pass after=<its step>",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(tmp_path, name):
    error, act, message = MISTAKES[name]
    with pytest.raises(error, match=re.escape(message)):
        act(tmp_path / "run")


@pytest.mark.untyped
def test_a_mode_must_be_one_of_two(tmp_path):
    with pytest.raises(ValueError, match="writer: mode must be 'min' or 'max', got 'least'"):
        saved(tmp_path, mode="least")


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"file.run: cannot be written .Not a directory.\n  Fix: check the path"):
        saved(tmp_path / "file" / "run")
    with pytest.raises(WriteError, match=r"file: cannot be written .File exists."):
        saved(tmp_path / "file")


def test_a_directory_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    (tmp_path / "5.orbax-checkpoint-tmp").mkdir()
    with pytest.raises(WriteError, match=r"holds what is not a checkpoint: 'thesis\.tex'"):
        saved(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture
def small_disk():
    """No file may be longer than 100 kB, as if the disk were full: writing fails in the background."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# TensorStore's answers to the writes that fail may come after Orbax has closed its event loop.
LATE = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
BIG = np.random.default_rng(0).normal(size=100_000)  # does not compress


@LATE
def test_an_error_of_the_disk_is_raised(tmp_path, small_disk):
    """By `wait`, by the next `save` or at the end of the block; what was whole stays, and the run may go on."""
    whole, big, later = Snapshot(state(step=1)), Snapshot(state(step=2), {"x": BIG}), Snapshot(state(step=3))
    with writer(tmp_path) as write:
        write.save(whole)
        write.save(big)
        with pytest.raises(WriteError, match=f"^{tmp_path}: cannot be written .*File too large"):
            write.wait()
        write.save(later)
    with writer(tmp_path, after=3) as write:
        write.save(Snapshot(state(step=4), {"x": BIG}))
        with pytest.raises(WriteError, match="File too large"):
            write.save(Snapshot(state(step=5)))
    with pytest.raises(WriteError, match="File too large"), writer(tmp_path, after=3) as write:
        write.save(Snapshot(state(step=6), {"x": BIG}))
    assert steps(tmp_path) == (1, 3)


def interrupted(write, snapshot, error):
    write.save(snapshot)
    raise error


@LATE
def test_an_error_within_the_block_is_what_is_told(tmp_path, small_disk):
    for error, snapshot in (
        (ZeroDivisionError, Snapshot(state(step=2), {"x": BIG})),
        (KeyboardInterrupt, Snapshot(state())),
    ):
        with pytest.raises(error), writer(tmp_path) as write:
            interrupted(write, snapshot, error)
    assert steps(tmp_path) == (3,)


GONE = """
import pathlib, shutil, sys
import jax, jax.numpy as jnp
from fnnet.checkpoints import Snapshot, writer
from fnnet.core import TrainState
directory = pathlib.Path(sys.argv[1])
with writer(directory) as write:
    shutil.rmtree(directory)
    directory.write_text("")
    write.save(Snapshot(TrainState(jnp.int32(1), {}, {}, (), jax.random.key(0))))
"""


def test_a_directory_that_is_gone_is_named_and_holds_nothing_up(tmp_path):
    """No thread is left waiting for it, which would keep the process from its end."""
    done = subprocess.run([sys.executable, "-c", GONE, str(tmp_path / "run")], capture_output=True, timeout=60)
    last = done.stderr.decode().splitlines()[-2]
    assert re.match(r"fnnet.errors.WriteError: .*run: cannot be written .*Not a directory", last)


def test_what_a_killed_writer_left_is_ignored_and_cleared(tmp_path):
    saved(tmp_path, Snapshot(state(step=1)))
    for name in ("2.orbax-checkpoint-tmp", "7.orbax-checkpoint-tmp-removed"):
        (tmp_path / name / "arrays").mkdir(parents=True)
        (tmp_path / name / "arrays" / "d").write_bytes(b"half")
    assert steps(tmp_path) == (1,)
    assert int(restore(tmp_path, state()).state.step) == 1
    saved(tmp_path, Snapshot(state(step=2)), after=1)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "2"]


def test_nothing_is_printed_and_the_log_of_others_stays(tmp_path, capfd, caplog):
    saved(tmp_path, Snapshot(state()))
    restore(tmp_path, state())
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    with writer(tmp_path, after=3):
        logging.getLogger("absl").error("of others")
    assert [record.message for record in caplog.records] == ["of others"]
    assert not logging.getLogger("absl").filters


def test_nothing_is_pickled(tmp_path, monkeypatch):
    """Neither module of the standard library that pickles is used, either way; the manifest is JSON."""

    def banned(*_, **__):
        raise AssertionError("pickled")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, banned)
    saved(tmp_path, Snapshot(state(), config={"a": 1}))
    assert restore(tmp_path, state()).config == {"a": 1}
    outer = json.loads((tmp_path / "3" / "manifest" / "metadata").read_text())
    manifest = json.loads(outer["manifest"])
    assert manifest["format"] == 1
    assert manifest["versions"]["fnnet"] == fn.__version__
    assert manifest["versions"]["jax"] == jax.__version__
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["records"]["state/params/w"][:2] == ["float32", [2]]


def test_without_orbax_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    for act in (lambda: restore(tmp_path, state()), lambda: saved(tmp_path), lambda: steps(tmp_path)):
        with pytest.raises(ExtraMissingError, match=r"pip install 'fnnet\[io\]'"):
            act()


def test_orbax_is_imported_at_its_first_use():
    code = "import sys, fnnet.checkpoints; print({'orbax', 'tensorstore', 'safetensors'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"set()"
