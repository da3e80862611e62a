"""Weights that torch, Flax and Keras made give the outputs that those libraries gave, to 1e-5.

The files are made by ``benchmarks/peer_layouts.py --fixtures tests/layouts_data``: weights, an input, the outputs.
"""

from __future__ import annotations

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import layouts

FOLDER = pathlib.Path(__file__).parent.parent / "layouts_data"
RELU = jax.nn.relu


def block():
    def gelu(x):
        return jax.nn.gelu(x, approximate=False)

    mlp = fn.serial(fn.dense(12), gelu, fn.dense(8))
    return fn.serial(
        attention=fn.residual(fn.serial(norm=fn.layer_norm(eps=1e-5), attend=fn.attention(2))),
        mlp=fn.residual(fn.serial(norm=fn.layer_norm(eps=1e-5), mlp=mlp)),
    )


def torch_cnn():
    padding = [(1, 1), (1, 1)]
    return fn.serial(
        fn.conv(4, 3, padding=padding, bias_init=None),
        fn.batch_norm(),
        RELU,
        fn.max_pool(2),
        fn.conv(6, 3, padding=padding, activation=RELU),
        fn.max_pool(2),
        fn.flatten(),
        fn.dense(8, activation=RELU),
        fn.dense(3),
    )


def flax_cnn():
    return fn.serial(
        fn.conv(4, 3, stride=2), fn.batch_norm(), RELU, fn.conv(4, 3, activation=RELU), fn.flatten(), fn.dense(3)
    )


def keras_cnn():
    return fn.serial(
        fn.conv(4, 3),
        fn.batch_norm(),
        RELU,
        fn.conv(4, 3, activation=RELU),
        fn.max_pool(2),
        fn.flatten(),
        fn.dense(8),
        fn.dense(3),
    )


BLOCK = {
    "attention/body/norm": "norm1",
    "attention/body/attend": "attn",
    "mlp/body/norm": "norm2",
    "mlp/body/mlp/dense_0": "mlp.0",
    "mlp/body/mlp/dense_1": "mlp.2",
}
UP = layouts.torch(kinds={"": "conv_transpose"})
NETS = {
    "torch_mlp": (
        fn.serial(fn.dense(8, activation=RELU), fn.dense(8, activation=jnp.tanh), fn.dense(3)),
        layouts.torch(),
    ),
    "torch_cnn": (torch_cnn(), layouts.torch(flattened={"dense_0": (6, 2, 2)})),
    "torch_tagger": (
        fn.serial(fn.embedding(7, 4), fn.bidirectional(fn.lstm(3)), fn.bidirectional(fn.lstm(3)), fn.dense(2)),
        layouts.torch(),
    ),
    "torch_gru": (fn.gru(3), layouts.torch()),
    "torch_conv_transpose_2d_groups": (
        fn.conv_transpose(6, 3, groups=2, stride=2, dilation=2, padding="VALID"),
        UP,
    ),
    "torch_attention": (fn.attention(2), layouts.torch()),
    "torch_transformer_block": (block(), layouts.torch(BLOCK)),
    "linen_cnn": (flax_cnn(), layouts.linen()),
    "linen_gru": (fn.gru(3), layouts.linen()),
    "linen_attention": (fn.attention(2), layouts.linen()),
    "nnx_cnn": (flax_cnn(), layouts.nnx()),
    "nnx_gru": (fn.gru(3), layouts.nnx()),
    "nnx_attention": (fn.attention(2), layouts.nnx()),
    "keras_cnn": (keras_cnn(), layouts.keras()),
    "keras_gru": (fn.gru(3), layouts.keras()),
    "keras_attention": (fn.attention(2), layouts.keras()),
}


def test_every_file_has_its_test():
    assert NETS.keys() == {path.stem for path in FOLDER.glob("*.safetensors")}


@pytest.mark.parametrize("name", NETS)
def test_the_outputs_are_theirs(name):
    net, layout = NETS[name]
    flat = layouts.read(FOLDER / f"{name}.safetensors")
    x, expected = flat.pop("input"), flat.pop("output")
    params, state = layouts.from_layout(flat, layout, like=jax.eval_shape(net.init, jax.random.key(0), jnp.asarray(x)))
    np.testing.assert_allclose(net(params, jnp.asarray(x), state), expected, rtol=0, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_without_the_image_the_outputs_are_others():
    """The shape before flatten is needed, and nothing in the arrays tells: what the documentation warns of."""
    net, _ = NETS["torch_cnn"]
    flat = layouts.read(FOLDER / "torch_cnn.safetensors")
    x, expected = flat.pop("input"), flat.pop("output")
    params, state = layouts.from_layout(flat, layouts.torch(), like=net.init(jax.random.key(0), jnp.asarray(x)))
    assert np.abs(np.asarray(net(params, jnp.asarray(x), state)) - expected).max() > 0.1


def test_and_back_their_arrays_are_the_same():
    """to(from(theirs)) = theirs, bit for bit, where nothing was summed."""
    names = {"conv_0": "0", "batch_norm_0": "1", "conv_1": "4", "dense_0": "8", "dense_1": "10"}
    net, _ = NETS["torch_cnn"]
    layout = layouts.torch(names, flattened={"dense_0": (6, 2, 2)})
    flat = layouts.read(FOLDER / "torch_cnn.safetensors")
    x, _ = flat.pop("input"), flat.pop("output")
    params, state = layouts.from_layout(flat, layout, like=net.init(jax.random.key(0), jnp.asarray(x)))
    back = layouts.to_layout(params, state, layout)
    assert back.keys() == flat.keys() - {"1.num_batches_tracked"}
    for name, array in back.items():
        np.testing.assert_array_equal(array, flat[name])
