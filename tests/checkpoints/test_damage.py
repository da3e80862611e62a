"""A checkpoint that is damaged in any way gives the values saved or is passed over; never other values."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.checkpoints import Snapshot, restore, steps, writer
from fnnet.core import TrainState
from fnnet.errors import CheckpointWarning, DamageError, ReadError

PARAMS = {"a": jnp.arange(300.0), "b": {"c": jnp.full((3, 5), 1.5, jnp.bfloat16), "none": jnp.zeros((0, 2))}}


def snapshot(step):
    params = jax.tree.map(lambda leaf: leaf + jnp.asarray(step, leaf.dtype), PARAMS)
    ts = TrainState(jnp.int32(step), params, {"mean": jnp.ones(3)}, (), jax.random.key(step))
    return Snapshot(ts, {"loss": np.arange(40.0)}, {}, {"step": 1}, {"step": step})


def facts(found):
    """Return everything of a snapshot in a form that compares."""
    state = found.state._replace(key=jax.random.key_data(found.state.key))
    arrays = jax.tree.leaves((state, found.history, found.metrics))
    return [(leaf.dtype.name, leaf.shape, np.asarray(leaf).tobytes()) for leaf in arrays], found.position, found.config


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A directory with two checkpoints, of steps 1 and 2."""
    directory = tmp_path_factory.mktemp("whole")
    with writer(directory) as write:
        write.save(snapshot(1))
        write.save(snapshot(2))
    return directory


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def assert_exact_or_passed_over(run):
    """The last snapshot bit for bit, or the one before it, with a warning that names the directory. Returns which."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = restore(run, snapshot(0).state)
    step = int(found.state.step)
    assert facts(found) == facts(snapshot(step))
    said = [str(warning.message) for warning in caught if warning.category is CheckpointWarning]
    assert len(said) == len(caught) == (0 if step == 2 else 1)
    assert all(re.match(re.escape(f"{run / '2'} is not whole and is passed over: ") + ".", text) for text in said)
    return step


def damages(size, draw, count):
    """Return changes of the bytes of a file: cut short at many places, a bit turned, noise, nothing left, gone."""
    places = sorted({0, 1, size // 2, size - 1} | {draw.randrange(size) for _ in range(count)}) if size else []
    yield "gone", lambda raw: None
    for place in places:
        bit = 1 << draw.randrange(8)
        yield f"cut at {place}", lambda raw, place=place: raw[:place]
        yield f"bit {bit} of byte {place}", lambda raw, p=place, b=bit: raw[:p] + bytes([raw[p] ^ b]) + raw[p + 1 :]
    if size > 20:
        start, noise = draw.randrange(size - 8), draw.randbytes(8)
        yield "noise", lambda raw: raw[:start] + noise + raw[start + 8 :]
        yield "zeros", lambda raw: raw[: size // 2] + bytes(size - size // 2)
        yield "longer", lambda raw: raw + b"\0"


def damage_all(run, count, seed):
    """Damage every file of the last checkpoint in many ways, one at a time; return the steps that were restored."""
    draw, restored = random.Random(seed), {}
    for path in sorted(path for path in (run / "2").rglob("*") if path.is_file()):
        raw = path.read_bytes()
        for words, change in damages(len(raw), draw, count):
            changed = change(raw)
            if changed is None:
                path.unlink()
            else:
                path.write_bytes(changed)
            restored[path.relative_to(run).as_posix(), words] = assert_exact_or_passed_over(run)
        path.write_bytes(raw)
    assert assert_exact_or_passed_over(run) == 2
    return restored


def test_no_damage_of_a_file_gives_other_values(run):
    """Of each file, at a few places; what holds the values and the manifest is always found out when cut short."""
    restored = damage_all(run, count=1, seed=0)
    assert len(restored) > 60
    assert restored["2/manifest/metadata", "gone"] == 1
    cut = [step for (name, words), step in restored.items() if name == "2/manifest/metadata" and "cut" in words]
    assert set(cut) == {1}
    assert list(restored.values()).count(1) > 20


@pytest.mark.hunt
def test_no_damage_of_a_file_gives_other_values_at_many_places(run):
    assert len(damage_all(run, count=60, seed=1)) > 1000


@pytest.mark.parametrize("part", ["arrays", "manifest", "arrays/d", "arrays/ocdbt.process_0", ""])
def test_a_folder_half_removed_is_passed_over(run, part):
    shutil.rmtree(run / "2" / part)
    if not part:
        (run / "2").mkdir()
    assert assert_exact_or_passed_over(run) == 1 or part in ("arrays/d", "arrays/ocdbt.process_0")  # not all is needed


def test_arrays_of_another_checkpoint_are_found_out(run):
    """Each file is whole, but they do not belong together."""
    for part in ("arrays", "manifest"):
        shutil.rmtree(run / "2" / part)
        shutil.copytree(run / "1" / part, run / "2" / part)
        assert assert_exact_or_passed_over(run) == 1


def test_damaged_ones_are_no_steps_and_are_removed_by_the_next_writer(run):
    (run / "2" / "manifest" / "metadata").write_text("{")
    assert steps(run) == (1,)
    with pytest.warns(CheckpointWarning, match="its manifest cannot be read"):
        found = restore(run, snapshot(0).state)
    with writer(run, after=int(found.state.step)) as write:
        assert [entry.name for entry in run.iterdir()] == ["1"]
        write.save(snapshot(2))
    assert steps(run) == (1, 2)


def test_the_one_asked_for_is_not_replaced_by_another(run):
    (run / "2" / "manifest" / "metadata").write_text("{}")
    with pytest.raises(DamageError, match=r"run/2: its manifest is damaged"):
        restore(run, snapshot(0).state, step=2)
    assert int(restore(run, snapshot(0).state, step=1).state.step) == 1


def test_where_none_is_whole_a_run_does_not_start_anew_unasked(run):
    for step in "12":
        shutil.rmtree(run / step / "arrays")
    with (
        pytest.warns(CheckpointWarning),
        pytest.raises(ReadError, match="holds checkpoints, but none is whole\n  Fix: copy one from elsewhere"),
    ):
        restore(run, snapshot(0).state)


def test_a_newer_format_is_refused(run):
    """It is not passed over, though others are there: an older fnnet would go back, and write over the newer run."""
    path = run / "2" / "manifest" / "metadata"
    text = json.dumps({"format": 2, "anything": "else"})
    path.write_text(json.dumps({"manifest": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}))
    for act in (lambda: restore(run, snapshot(0).state), lambda: steps(run)):
        with pytest.raises(ReadError, match=r"run/2: is of format 2, expected at most 1\n  Fix: update fnnet"):
            act()


@pytest.mark.parametrize(("field", "value", "said"), [(0, "float7", "dtype float7"), (3, "dice", "key of 'dice'")])
def test_what_this_jax_does_not_have_is_refused(run, field, value, said):
    path = run / "2" / "manifest" / "metadata"
    manifest = json.loads(json.loads(path.read_text())["manifest"])
    manifest["records"]["state/key"][field] = value
    text = json.dumps(manifest)
    path.write_text(json.dumps({"manifest": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}))
    with pytest.raises(ReadError, match=said):
        restore(run, snapshot(0).state)
