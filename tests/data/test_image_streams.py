"""Streams of image files: each step's batch is a function of the step, decoded ahead within bounds."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from picture_files import put
from PIL import Image

import fnnet as fn
from fnnet import sampling
from fnnet.data.images import batches as module
from fnnet.errors import DataError, ReadError, StreamError

KEY = jax.random.key(3)


@pytest.fixture
def files(tmp_path):
    for grey in range(10):
        (tmp_path / f"{grey % 2}").mkdir(exist_ok=True)
        Image.new("L", (6, 4), 20 * grey).save(tmp_path / f"{grey % 2}" / f"{grey}.png")
    return fn.data.image_files(tmp_path)


def stream(files, **options):
    return fn.data.image_stream(files, 4, **({"size": (2, 2), "mode": "L", "key": KEY, "workers": 2} | options))


def read(source, step, count):
    batches = source.begin(step, None).batches
    return [next(batches) for _ in range(count)]


@pytest.mark.types
@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize("last", ["drop", "weigh"])
def test_a_batch_is_what_the_sampler_says_of_its_step(files, ahead, last):
    sampler = sampling.epochs(last)
    source = stream(files, ahead=ahead, sampler=sampler)
    assert source.per_epoch == (2 if last == "drop" else 3)
    whole = fn.data.read_images(files.paths, size=(2, 2), mode="L").x
    for step, (x, y, weight) in enumerate(read(source, 0, 5)):
        rows, expected = sampler.rows(KEY, jnp.array(step), 10, 4)
        np.testing.assert_array_equal(x, whole[rows])
        np.testing.assert_array_equal(y, files.labels[np.asarray(rows)])
        assert weight.tolist() == ([1.0] * 4 if expected is None else expected.tolist())
    for late, early in zip(read(source, 3, 2), read(source, 0, 5)[3:], strict=True):
        jax.tree.map(np.testing.assert_array_equal, late, early)


def test_no_more_is_held_than_asked_for(files, monkeypatch):
    """Two batches ahead of the one that is given, and not an image more."""
    decoded = []
    real = module.decoded
    monkeypatch.setattr(module, "decoded", lambda *given: decoded.append(given) or real(*given))
    batches = stream(files, ahead=2).begin(0, None).batches
    for step in range(3):
        next(batches)
        until = time.monotonic() + 5
        while len(decoded) < 4 * (step + 3) and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(0.01)
        assert len(decoded) == 4 * (step + 3)


def test_a_run_is_resumed_to_the_bit(files):
    task = fn.Task(fn.serial(fn.flatten(), fn.dense(2)), fn.losses.cross_entropy, fn.adam(0.1))
    whole = fn.fit(task, stream(files), key=KEY, steps=7).state
    begun = fn.fit(task, stream(files), key=KEY, steps=3).state
    again = fn.fit(task, stream(files), state=begun, steps=4).state
    jax.tree.map(np.testing.assert_array_equal, whole.params, again.params)


def test_pairs_of_paths_and_any_targets(files):
    y = {"a": np.arange(10), "b": np.ones((10, 3), np.float32)}
    x, batch, _ = stream((list(map(str, files.paths)), y)).first()
    np.testing.assert_allclose(
        x[:, 0, 0, 0] * 255 / 20, np.concatenate([np.arange(0, 10, 2), np.arange(1, 10, 2)])[batch["a"]], rtol=1e-5
    )
    assert batch["b"].shape == (4, 3)


def test_a_bad_file_is_told_at_its_step_and_nothing_is_lost(files, tmp_path):
    put(tmp_path, "0/4.png", b"broken")
    order = [row for step in range(2) for row in sampling.epochs().rows(KEY, np.int32(step), 10, 4)[0].tolist()]
    bad = next(n for n, path in enumerate(files.paths) if path.name == "4.png")
    source = stream(files)
    if bad not in order[:4]:
        read(source, 0, 1)
    with pytest.raises(ReadError, match=r"4\.png: is no image"):
        read(source, 0, 6)
    task = fn.Task(fn.serial(fn.flatten(), fn.dense(2)), fn.losses.cross_entropy, fn.sgd(0.1))
    with pytest.raises((StreamError, ReadError), match=r"4\.png: is no image"):
        fn.fit(task, source, key=KEY, steps=6)


def test_what_no_stream_is_made_of(files):
    with pytest.raises(DataError, match="one row of y for each of 10 paths, got 3"):
        stream((files.paths, np.arange(3)))
    with pytest.raises(DataError, match="batch_size of at most the 10 examples, got 11"):
        fn.data.image_stream(files, 11, size=(2, 2), key=KEY)
    with pytest.raises(ValueError, match="ahead must be at least 0"):
        stream(files, ahead=-1)


@pytest.mark.untyped
def test_batches_have_one_shape(files):
    with pytest.raises(ValueError, match=r"size must be \(height, width\)"):
        stream(files, size=None)
    with pytest.raises(TypeError, match="sampler must be one of"):
        stream(files, sampler="epochs")
