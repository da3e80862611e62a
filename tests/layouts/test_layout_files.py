"""Arrays of any library by name, from a file that can hold no code."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from fnnet import layouts
from fnnet.errors import DataError, ExtraMissingError, ReadError


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int64", "uint8", "bool"])
def test_every_bit_comes_back(tmp_path, dtype):
    raw = np.arange(64, dtype=np.uint8)
    flat = {"b.weight": (raw % 2 if dtype == "bool" else raw).view(jnp.dtype(dtype)).reshape(2, -1), "a": np.float32(1)}
    layouts.write(tmp_path / "x.safetensors", {"b.weight": flat["b.weight"].T, "a": flat["a"]}, {"note": "µ"})
    back = layouts.read(tmp_path / "x.safetensors")
    assert list(back) == ["a", "b.weight"]
    assert back["b.weight"].dtype == jnp.dtype(dtype)
    assert back["b.weight"].tobytes() == np.ascontiguousarray(flat["b.weight"].T).tobytes()
    assert back["a"].shape == ()


def test_files_of_others_are_read(tmp_path):
    safetensors.numpy.save_file({"0.weight": np.eye(2, dtype=np.float32)}, tmp_path / "theirs", {"format": "pt"})
    np.testing.assert_array_equal(layouts.read(tmp_path / "theirs")["0.weight"], np.eye(2))


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
    return file.getvalue()


WHOLE = safetensors.numpy.save({"a": np.ones(3, np.float32)})
FOREIGN = {
    "pickle": (pickle.dumps({"a": [1.0] * 9}, protocol=4), "is a pickle, which can run code", "torch.save_file"),
    "old pickle": (pickle.dumps({"a": [1.0] * 9}, protocol=2), "is a pickle, which can run code", "torch.save_file"),
    "archive": (zipped(), "is a zip archive", "safetensors.torch.save_file(model.state_dict(), path)"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "is HDF5", "model.variables"),
    "truncated": (WHOLE[:-1], "is truncated or is not a safetensors file", "copy it again"),
    "empty": (b"", "is truncated or is not a safetensors file", "copy it again"),
    "text": (b"weights,1,2,3\n" * 9, "is truncated or is not a safetensors file", "copy it again"),
    "dtype": (WHOLE.replace(b'"F32","shape":[3]', b'"F64_","shape":[3]'), "truncated", "copy it again"),
}


@pytest.mark.parametrize(("raw", "problem", "fix"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_safetensors_file_is_refused(tmp_path, raw, problem, fix):
    path = tmp_path / "weights.pt"
    path.write_bytes(raw)
    with pytest.raises(ReadError) as raised:
        layouts.read(path)
    for said in (str(path), problem, fix):
        assert said in str(raised.value)


def test_a_dtype_that_numpy_lacks_is_named(tmp_path):
    header = b'{"a":{"dtype":"F8_E8M0","shape":[1],"data_offsets":[0,1]}}'
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(ReadError, match="a has dtype F8_E8M0, which NumPy does not have"):
        layouts.read(tmp_path / "x")


def test_an_absent_file_and_an_odd_dtype_are_refused(tmp_path):
    with pytest.raises(ReadError, match=r"cannot be read .No such file or directory"):
        layouts.read(tmp_path / "absent")
    with pytest.raises(DataError, match="a has dtype complex128"):
        layouts.write(tmp_path / "x", {"a": np.ones(1, np.complex128)})
    assert not (tmp_path / "x").exists()


def test_without_safetensors_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: layouts.write(tmp_path / "a", {}), lambda: layouts.read(tmp_path / "a")):
        with pytest.raises(ExtraMissingError, match=r"pip install 'fnnet\[io\]'"):
            call()
