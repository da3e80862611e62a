"""Weights: every bit comes back, and a damaged or foreign file is refused with the reason."""

from __future__ import annotations

import contextlib
import json
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

import fnnet as fn
from fnnet import checkpoints
from fnnet.errors import DataError, ExtraMissingError, ReadError

DTYPES = ["float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "complex64", "int8", "uint32", "bool"]
PARAMS = {"dense_0": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3, np.float32)}}


def saved(tmp_path, *args):
    path = tmp_path / "weights.safetensors"
    checkpoints.save_weights(path, *args)
    return path


@pytest.mark.row("knowledge")
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_comes_back(tmp_path, dtype):
    """load(save(tree)) = tree, with every bit pattern (NaN payloads and subnormals too), dtype and shape."""
    size = jnp.dtype(dtype).itemsize
    raw = np.arange(256 * size, dtype=np.uint64).astype(np.uint8)
    values = (raw % 2 if dtype == "bool" else raw).view(jnp.dtype(dtype))
    params = {"a": {"b": {"kernel": values.reshape(2, -1)}, "scalar": values[0], "none": values[:0].reshape(0, 3)}}
    back, state, metadata = checkpoints.load_weights(saved(tmp_path, params, {"norm": {"mean": values}}, {"note": "µ"}))
    chex.assert_trees_all_equal_shapes_and_dtypes(back, params)
    for one, other in zip(
        jax.tree.leaves((back, state)), jax.tree.leaves((params, {"norm": {"mean": values}})), strict=True
    ):
        assert np.asarray(one).tobytes() == other.tobytes()
    assert metadata == {"note": "µ"}


@pytest.mark.row("knowledge")
def test_what_a_network_knows_is_its_architecture_and_its_weights(tmp_path):
    """Made again from its description, with the weights and the state of a file, it computes the same bits."""

    def architecture():
        return fn.serial(fn.dense(6, activation=jnp.tanh), fn.batch_norm(momentum=0.9), fn.dense(3))

    net, x = architecture(), jax.random.normal(jax.random.key(1), (8, 4))
    params, state = net.init(jax.random.key(0), x)
    y, state = net.apply(params, state, x, train=True)
    again, again_state, _ = checkpoints.load_weights(saved(tmp_path, params, state))
    assert np.asarray(architecture()(again, x, again_state)).tobytes() == np.asarray(net(params, x, state)).tobytes()
    assert not np.array_equal(y, net(params, x, state))  # the running statistics are not those of the batch


def test_64_bits_come_back_with_x64_and_are_refused_without(tmp_path, x64):
    params = {"a": {"kernel": jnp.arange(3.0) / 7}}
    path = saved(tmp_path, params)
    assert checkpoints.load_weights(path)[0]["a"]["kernel"].dtype == jnp.float64
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(ReadError, match="params/a/kernel is float64, which needs x64"):
        checkpoints.load_weights(path)


def test_the_structure_comes_back(tmp_path):
    """Empty dicts too, so that the trees fit the network that made them."""
    params = {**PARAMS, "body": {"residual_0": {}, "dense_0": {"kernel": np.ones(1, np.float32)}}}
    back, state, _ = checkpoints.load_weights(saved(tmp_path, params))
    chex.assert_trees_all_equal(back, jax.tree.map(jnp.asarray, params))
    assert jax.tree.structure(back) == jax.tree.structure(params)
    assert state == {}


def test_others_read_the_file_under_the_same_names(tmp_path):
    tensors = load_file(saved(tmp_path, PARAMS, {"norm_0": {"mean": np.ones(2, np.float32)}}))
    assert set(tensors) == {"params/dense_0/kernel", "params/dense_0/bias", "state/norm_0/mean"}
    np.testing.assert_array_equal(tensors["params/dense_0/kernel"], PARAMS["dense_0"]["kernel"])


def test_views_are_saved_by_their_values(tmp_path):
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    back, *_ = checkpoints.load_weights(saved(tmp_path, {"a": {"kernel": kernel.T}}))
    np.testing.assert_array_equal(back["a"]["kernel"], kernel.T)


def header(**metadata):
    return save({"params/a": np.ones(1, np.float32)}, metadata=metadata)


WHOLE = save({"params/a/kernel": np.ones((2, 3), np.float32)}, metadata={"fnnet.format": "1"})
FOREIGN = {
    "empty": (b"", "is truncated or is not a safetensors file"),
    "truncated": (WHOLE[:-1], "is truncated or is not a safetensors file"),
    "header": (WHOLE[:20], "is truncated or is not a safetensors file"),
    "longer": (WHOLE + b"\0", "is truncated or is not a safetensors file"),
    "pickle": (b"\x80\x04\x95" + b"x" * 90, "is truncated or is not a safetensors file"),
    "other's": (header(), "fnnet did not write"),
    "odd version": (header(**{"fnnet.format": "x"}), "fnnet did not write"),
    "newer": (header(**{"fnnet.format": "2"}), "is of format 2, expected at most 1\n  Fix: update fnnet"),
    "names": (save({"w": np.ones(1, np.float32)}, metadata={"fnnet.format": "1"}), "under params/ or state/, got 'w'"),
    "bad list": (header(**{"fnnet.format": "1", "fnnet.empty": "{"}), "metadata is damaged"),
    "clash": (
        save({"params/a": np.ones(1, np.float32), "params/a/b": np.ones(1, np.float32)}, {"fnnet.format": "1"}),
        "lies above or under another array",
    ),
    "dtype": (
        (lambda h, n: len(h).to_bytes(8, "little") + h + bytes(n))(
            json.dumps(
                {
                    "params/a": {"dtype": "F8_E8M0", "shape": [1], "data_offsets": [0, 1]},
                    "__metadata__": {"fnnet.format": "1"},
                }
            ).encode(),
            1,
        ),
        "params/a has dtype F8_E8M0",
    ),
}


@pytest.mark.parametrize(("raw", "said"), FOREIGN.values(), ids=FOREIGN)
def test_damaged_and_foreign_files_are_refused(tmp_path, raw, said):
    path = tmp_path / "file.safetensors"
    path.write_bytes(raw)
    with pytest.raises(ReadError) as raised:
        checkpoints.load_weights(path)
    assert str(path) in str(raised.value)
    assert said in str(raised.value)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(ReadError, match=r"cannot be read .No such file or directory"):
        checkpoints.load_weights(tmp_path / "absent")


UNSAVEABLE = {
    "list": ([np.ones(1)], {}, "params must be nested dicts of arrays, got list"),
    "inner list": ({"a": [np.ones(1)]}, {}, "params/a must be nested dicts of arrays, got list"),
    "number": ({"a": 1.0}, {}, "params/a must be nested dicts of arrays, got float"),
    "bare array": (np.ones(1), {}, "params must be nested dicts of arrays, got ndarray"),
    "slash": ({"a/b": np.ones(1)}, {}, "params: a key must be text without '/', got 'a/b'"),
    "number as key": ({"a": {1: np.ones(1)}}, {}, "params/a: a key must be text without '/', got 1"),
    "random key": ({"a": jax.random.key(0)}, {}, "params/a has dtype key<fry>, which safetensors has no name for"),
    "metadata": (PARAMS, {"epochs": 3}, "metadata must be text, got int under 'epochs'"),
}


@pytest.mark.parametrize(("params", "metadata", "said"), UNSAVEABLE.values(), ids=UNSAVEABLE)
def test_what_names_cannot_rebuild_is_refused_and_the_old_file_stays(tmp_path, params, metadata, said):
    path = saved(tmp_path, PARAMS)
    before = path.read_bytes()
    with pytest.raises(DataError) as raised:
        checkpoints.save_weights(path, params, {}, metadata)
    assert said in str(raised.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_without_safetensors_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: checkpoints.save_weights(tmp_path / "a", PARAMS), lambda: checkpoints.load_weights("a")):
        with pytest.raises(ExtraMissingError, match=r"pip install 'fnnet\[io\]'"):
            call()


@given(start=st.integers(0, 200), drop=st.integers(0, 5), insert=st.binary(max_size=5))
def test_damage_of_any_kind_is_a_read_error_or_still_trees(tmp_path_factory, start, drop, insert):
    path = tmp_path_factory.mktemp("damaged") / "file"
    path.write_bytes(WHOLE[:start] + insert + WHOLE[start + drop :])
    with contextlib.suppress(ReadError):
        params, state, metadata = checkpoints.load_weights(path)
        assert {type(params), type(state), type(metadata)} == {dict}
