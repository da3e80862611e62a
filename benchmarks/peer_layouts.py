"""Weights to and from torch, Flax and Keras: the largest difference of outputs, for every kind of layer and both ways.

python benchmarks/peer_layouts.py [--fixtures tests/layouts_data]

No time is taken: the script is where the peers are, and the tests read the files that it makes.

Result: at most 9.5e-7, of outputs up to 7.4, over 82 rows; torch 2.13.0, flax 0.12.8, keras 3.15.1, jax 0.10.2; CPU, 2026-11-25.
"""

import argparse
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ["KERAS_BACKEND"] = "jax"

import flax.linen as nn
import jax
import jax.numpy as jnp
import keras
import numpy as np
import torch
from flax import nnx, traverse_util

import fnnet as fn

RNG = np.random.default_rng(0)
RELU = jax.nn.relu
UP = {"kinds": {"": "conv_transpose"}}  # of a layer without a name, whose kernel looks like that of a convolution


class Peer(NamedTuple):
    """A network of theirs: its arrays, what loads others, and its outputs."""

    flat: dict[str, Any]
    load: Callable[[dict[str, np.ndarray]], None]
    outputs: Callable[[Any], Any]


class Case(NamedTuple):
    net: fn.Layer
    peer: Peer
    x: Any
    names: dict[str, Any]
    found: bool = True  # whether the names are found too, without being given
    options: dict[str, Any] = {}  # noqa: RUF012


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def scattered(tree):
    """Return other values of the same shapes; a variance stays positive, a reset bias that nnx lacks stays zero."""

    def value(path, leaf):
        a = 0.4 * RNG.normal(size=leaf.shape)
        return jnp.asarray(np.abs(a) + 0.5 if path.endswith(("var", "variance")) else a, leaf.dtype)

    return fn.tree.map_with_path(value, tree)


# --- torch ---------------------------------------------------------------------------------------------------------


def channels_first(x):
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


def channels_last(y):
    return np.moveaxis(y.detach().numpy(), 1, -1)


def torch_peer(module, before=torch.from_numpy, after=lambda y: y.detach().numpy(), call=None):
    module = module.eval()
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                values = 0.4 * RNG.normal(size=tuple(tensor.shape))
                tensor.copy_(torch.from_numpy(np.abs(values) + 0.5 if name.endswith("var") else values))

    def load(flat):
        module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in flat.items()}, strict=True)

    def outputs(x):
        with torch.no_grad():
            if isinstance(x, tuple):
                return after(call(module, *map(before, x)))
            return after((call or (lambda m, x: m(x)))(module, before(x)))

    flat = {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}
    return Peer(flat, load, outputs)


def spatial(module):
    return torch_peer(module, channels_first, channels_last)


def recurrent(module):
    return torch_peer(module, call=lambda m, x: m(x)[0])


def torch_cnn():
    t = torch.nn
    return t.Sequential(
        t.Conv2d(1, 4, 3, padding=1, bias=False),
        t.BatchNorm2d(4),
        t.ReLU(),
        t.MaxPool2d(2),
        t.Conv2d(4, 6, 3, padding=1),
        t.ReLU(),
        t.MaxPool2d(2),
        t.Flatten(),
        t.Linear(24, 8),
        t.ReLU(),
        t.Linear(8, 3),
    )


def our_cnn():
    pad = [(1, 1), (1, 1)]
    return fn.serial(
        fn.conv(4, 3, padding=pad, bias_init=None),
        fn.batch_norm(),
        RELU,
        fn.max_pool(2),
        fn.conv(6, 3, padding=pad, activation=RELU),
        fn.max_pool(2),
        fn.flatten(),
        fn.dense(8, activation=RELU),
        fn.dense(3),
    )


CNN_NAMES = {"conv_0": "0", "batch_norm_0": "1", "conv_1": "4", "dense_0": "8", "dense_1": "10"}


def torch_mlp():
    t = torch.nn
    return t.Sequential(t.Linear(5, 8), t.ReLU(), t.Linear(8, 8), t.Tanh(), t.Linear(8, 3))


def our_mlp():
    return fn.serial(fn.dense(8, activation=RELU), fn.dense(8, activation=jnp.tanh), fn.dense(3))


class TorchTagger(torch.nn.Module):
    """An embedding, two layers of a bidirectional LSTM, and a dense layer at each step."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(7, 4)
        self.rnn = torch.nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.head = torch.nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.rnn(self.embed(x))[0])


def our_tagger():
    both = [fn.bidirectional(fn.lstm(3)) for _ in range(2)]
    return fn.serial(fn.embedding(7, 4), *both, fn.dense(2))


TAGGER_NAMES = {
    "embedding_0": "embed",
    "bidirectional_0/forward": "rnn.l0",
    "bidirectional_0/backward": "rnn.l0_reverse",
    "bidirectional_1/forward": "rnn.l1",
    "bidirectional_1/backward": "rnn.l1_reverse",
    "dense_0": "head",
}


class TorchBlock(torch.nn.Module):
    """A transformer's block, norms first."""

    def __init__(self):
        super().__init__()
        t = torch.nn
        self.norm1, self.norm2 = t.LayerNorm(8), t.LayerNorm(8)
        self.attn = t.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = t.Sequential(t.Linear(8, 12), t.GELU(), t.Linear(12, 8))

    def forward(self, x):
        h = self.norm1(x)
        x = x + self.attn(h, h, h)[0]
        return x + self.mlp(self.norm2(x))


def our_block():
    gelu = jax.nn.gelu
    mlp = fn.serial(fn.dense(12), lambda x: gelu(x, approximate=False), fn.dense(8))
    return fn.serial(
        attention=fn.residual(fn.serial(norm=fn.layer_norm(eps=1e-5), attend=fn.attention(2))),
        mlp=fn.residual(fn.serial(norm=fn.layer_norm(eps=1e-5), mlp=mlp)),
    )


def block_names(at=""):
    return {
        "attention/body/norm": f"{at}norm1",
        "attention/body/attend": f"{at}attn",
        "mlp/body/norm": f"{at}norm2",
        "mlp/body/mlp/dense_0": f"{at}mlp.0",
        "mlp/body/mlp/dense_1": f"{at}mlp.2",
    }


def torch_cases():
    t, one, two = torch.nn, {"": ""}, [(1, 1), (1, 1)]
    seq = numbers(3, 5, 4)
    cross = (numbers(2, 5, 8), numbers(2, 6, 4))
    stacks = {path: [name.replace("@", str(n)) for n in range(3)] for path, name in block_names("@.").items()}
    return {
        "dense": Case(fn.dense(3), torch_peer(t.Linear(4, 3)), numbers(2, 4), one),
        "dense without bias": Case(
            fn.dense(3, bias_init=None), torch_peer(t.Linear(4, 3, bias=False)), numbers(2, 4), one
        ),
        "mlp": Case(
            our_mlp(), torch_peer(torch_mlp()), numbers(4, 5), {"dense_0": "0", "dense_1": "2", "dense_2": "4"}
        ),
        "conv 1d": Case(fn.conv(3, (3,), padding="VALID"), spatial(t.Conv1d(2, 3, 3)), numbers(2, 9, 2), one),
        "conv 2d, stride, dilation": Case(
            fn.conv(3, (3, 2), stride=2, dilation=(1, 2), padding=two),
            spatial(t.Conv2d(2, 3, (3, 2), stride=2, dilation=(1, 2), padding=1)),
            numbers(2, 9, 8, 2),
            one,
        ),
        "conv 3d": Case(
            fn.conv(3, (2, 3, 2), padding="VALID"), spatial(t.Conv3d(2, 3, (2, 3, 2))), numbers(2, 4, 5, 3, 2), one
        ),
        "conv, groups": Case(
            fn.conv(6, 3, groups=2, padding=two),
            spatial(t.Conv2d(4, 6, 3, groups=2, padding=1)),
            numbers(2, 6, 5, 4),
            one,
        ),
        "conv, depthwise": Case(
            fn.conv(8, 3, groups=4, padding=two),
            spatial(t.Conv2d(4, 8, 3, groups=4, padding=1)),
            numbers(2, 6, 5, 4),
            one,
        ),
        "conv_transpose 1d": Case(
            fn.conv_transpose(3, (4,), stride=2, padding="VALID"),
            spatial(t.ConvTranspose1d(2, 3, 4, stride=2)),
            numbers(2, 5, 2),
            one,
            options=UP,
        ),
        "conv_transpose 2d, crop": Case(
            fn.conv_transpose(3, (4, 3), stride=2, padding=two),
            spatial(t.ConvTranspose2d(2, 3, (4, 3), stride=2, padding=1)),
            numbers(2, 5, 4, 2),
            one,
            options=UP,
        ),
        "conv_transpose 2d, groups": Case(
            fn.conv_transpose(6, 3, groups=2, stride=2, dilation=2, padding="VALID"),
            spatial(t.ConvTranspose2d(4, 6, 3, groups=2, stride=2, dilation=2)),
            numbers(2, 5, 4, 4),
            one,
            options=UP | {"groups": 2},
        ),
        "conv_transpose 3d": Case(
            fn.conv_transpose(3, 2, dims=3, stride=2, padding="VALID"),
            spatial(t.ConvTranspose3d(2, 3, 2, stride=2)),
            numbers(2, 3, 2, 4, 2),
            one,
            options=UP,
        ),
        "batch_norm": Case(fn.batch_norm(), torch_peer(t.BatchNorm1d(4)), numbers(6, 4), one),
        "batch_norm, images": Case(fn.batch_norm(), spatial(t.BatchNorm2d(4)), numbers(2, 3, 5, 4), one),
        "batch_norm, not affine": Case(
            fn.batch_norm(scale_init=None, bias_init=None),
            spatial(t.BatchNorm2d(4, affine=False)),
            numbers(2, 3, 5, 4),
            one,
        ),
        "layer_norm": Case(fn.layer_norm(eps=1e-5), torch_peer(t.LayerNorm(4)), numbers(3, 4), one),
        "group_norm": Case(fn.group_norm(2, eps=1e-5), spatial(t.GroupNorm(2, 4)), numbers(2, 3, 5, 4), one),
        "instance_norm": Case(
            fn.layers.instance_norm(eps=1e-5), spatial(t.InstanceNorm2d(4, affine=True)), numbers(2, 3, 5, 4), one
        ),
        "rms_norm": Case(fn.rms_norm(eps=1e-6), torch_peer(t.RMSNorm(4, eps=1e-6)), numbers(3, 4), one),
        "prelu": Case(fn.layers.prelu(shared=True), torch_peer(t.PReLU()), numbers(3, 4), one),
        "prelu, each feature": Case(fn.layers.prelu(), torch_peer(t.PReLU(4)), numbers(3, 4), one),
        "embedding": Case(
            fn.embedding(7, 4), torch_peer(t.Embedding(7, 4)), np.arange(6, dtype=np.int32).reshape(2, 3), one
        ),
        "rnn": Case(fn.rnn(3), recurrent(t.RNN(4, 3, batch_first=True)), seq, {"": "l0"}),
        "lstm": Case(fn.lstm(3), recurrent(t.LSTM(4, 3, batch_first=True)), seq, {"": "l0"}),
        "lstm without bias": Case(
            fn.lstm(3, bias_init=None), recurrent(t.LSTM(4, 3, bias=False, batch_first=True)), seq, {"": "l0"}
        ),
        "gru": Case(fn.gru(3), recurrent(t.GRU(4, 3, batch_first=True)), seq, {"": "l0"}),
        "lstm, two layers": Case(
            fn.serial(fn.lstm(4), fn.lstm(4)),
            recurrent(t.LSTM(4, 4, num_layers=2, batch_first=True)),
            seq,
            {"lstm_0": "l0", "lstm_1": "l1"},
        ),
        "gru, both directions": Case(
            fn.bidirectional(fn.gru(3)),
            recurrent(t.GRU(4, 3, bidirectional=True, batch_first=True)),
            seq,
            {"forward": "l0", "backward": "l0_reverse"},
        ),
        "attention": Case(
            fn.attention(2),
            torch_peer(t.MultiheadAttention(8, 2, batch_first=True), call=lambda m, x: m(x, x, x)[0]),
            numbers(2, 5, 8),
            one,
        ),
        "attention, cross": Case(
            fn.attention(2, head_features=4),
            torch_peer(
                t.MultiheadAttention(8, 2, kdim=4, vdim=4, batch_first=True), call=lambda m, q, c: m(q, c, c)[0]
            ),
            cross,
            one,
        ),
        "transformer block": Case(our_block(), torch_peer(TorchBlock()), numbers(2, 5, 8), block_names(), found=False),
        "three blocks, repeated": Case(
            fn.repeat(our_block(), 3),
            torch_peer(t.Sequential(*(TorchBlock() for _ in range(3)))),
            numbers(2, 5, 8),
            stacks,
            found=False,
        ),
        "cnn": Case(
            our_cnn(),
            torch_peer(torch_cnn(), channels_first),
            numbers(4, 8, 8, 1),
            CNN_NAMES,
            options={"flattened": {"dense_0": (6, 2, 2)}},
        ),
        "tagger": Case(
            our_tagger(), torch_peer(TorchTagger()), RNG.integers(0, 7, (3, 5)).astype(np.int32), TAGGER_NAMES
        ),
    }


# --- Flax ------------------------------------------------------------------------------------------------------------


def linen_peer(module, x):
    arguments = x if isinstance(x, tuple) else (x,)
    held = {"variables": scattered(jax.tree.map(jnp.asarray, module.init(jax.random.key(1), *arguments)))}

    def load(flat):
        made = traverse_util.unflatten_dict(flat, sep="/")
        assert jax.tree.structure(made) == jax.tree.structure(held["variables"])
        held["variables"] = made

    def outputs(x):
        arguments = x if isinstance(x, tuple) else (x,)
        return module.apply(held["variables"], *arguments)

    return Peer({name: np.asarray(a) for name, a in fn.tree.flatten(held["variables"]).items()}, load, outputs)


class LinenNet(nn.Module):
    """Convolutions, a norm, and a dense layer after flatten."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(4, (3, 3), strides=2)(x)))
        return nn.Dense(3)(nn.relu(nn.Conv(4, (3, 3))(x)).reshape(x.shape[0], -1))


def our_flax_net():
    return fn.serial(
        fn.conv(4, 3, stride=2), fn.batch_norm(), RELU, fn.conv(4, 3, activation=RELU), fn.flatten(), fn.dense(3)
    )


def linen_cases():
    one, seq, image = {"": ""}, numbers(3, 5, 4), numbers(2, 7, 6, 4)
    heads = {"heads": 2}
    cross = (numbers(2, 5, 8), numbers(2, 6, 4))
    rows = {
        "dense": (fn.dense(3), nn.Dense(3), numbers(2, 4), one),
        "conv, stride": (fn.conv(3, 3, stride=2), nn.Conv(3, (3, 3), strides=2), image, one),
        "conv, groups": (fn.conv(6, 3, groups=2), nn.Conv(6, (3, 3), feature_group_count=2), image, one),
        "conv_transpose": (
            fn.conv_transpose(3, 3, stride=2, padding="VALID"),
            nn.ConvTranspose(3, (3, 3), strides=(2, 2), padding="VALID"),
            image,
            one,
        ),
        "batch_norm": (fn.batch_norm(), nn.BatchNorm(use_running_average=True), image, one),
        "layer_norm": (fn.layer_norm(), nn.LayerNorm(), image, one),
        "group_norm": (fn.group_norm(2), nn.GroupNorm(2), image, one),
        "rms_norm": (fn.rms_norm(), nn.RMSNorm(), image, one),
        "prelu": (fn.layers.prelu(shared=True), nn.PReLU(), image, one),
        "embedding": (fn.embedding(7, 4), nn.Embed(7, 4), np.arange(6, dtype=np.int32), one),
        "rnn": (fn.rnn(3), nn.RNN(nn.SimpleCell(3)), seq, {"": "cell"}),
        "lstm": (fn.lstm(3), nn.RNN(nn.LSTMCell(3)), seq, {"": "cell"}),
        "lstm, optimized": (fn.lstm(3), nn.RNN(nn.OptimizedLSTMCell(3)), seq, {"": "cell"}),
        "gru": (fn.gru(3), nn.RNN(nn.GRUCell(3)), seq, {"": "cell"}),
        "attention": (fn.attention(2), nn.MultiHeadDotProductAttention(num_heads=2), numbers(2, 5, 8), one, heads),
        "attention, cross": (
            fn.attention(2, head_features=4),
            nn.MultiHeadDotProductAttention(num_heads=2),
            cross,
            one,
            heads,
        ),
        "cnn": (
            our_flax_net(),
            LinenNet(),
            numbers(2, 8, 8, 1),
            {"conv_0": "Conv_0", "conv_1": "Conv_1", "batch_norm_0": "BatchNorm_0", "dense_0": "Dense_0"},
        ),
    }
    return {
        name: Case(net, linen_peer(module, x), x, names, options=options[0] if options else {})
        for name, (net, module, x, names, *options) in rows.items()
    }


def nnx_peer(model, call=lambda m, x: m(x)):
    model.eval()
    keys = (nnx.RngCount, nnx.RngKey)

    def weights():
        return nnx.state(model, nnx.Not(nnx.Any(*map(nnx.OfType, keys))))

    def flat():
        return {name: np.asarray(a) for name, a in fn.tree.flatten(nnx.to_pure_dict(weights())).items()}

    def load(flat):
        state = weights()
        nested = nnx.restore_int_paths(traverse_util.unflatten_dict(flat, sep="/"))
        nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, nested))
        nnx.update(model, state)

    load(_scatter(flat()))
    return Peer(flat(), load, lambda x: call(model, *x) if isinstance(x, tuple) else call(model, x))


def _scatter(flat):
    return {name: np.asarray(scattered({name: a})[name]) for name, a in flat.items()}


class NnxNet(nnx.Module):
    """As LinenNet."""

    def __init__(self, rngs):
        self.layers = nnx.List(
            [
                nnx.Conv(1, 4, (3, 3), strides=2, rngs=rngs),
                nnx.BatchNorm(4, rngs=rngs),
                nnx.Conv(4, 4, (3, 3), rngs=rngs),
            ]
        )
        self.head = nnx.Linear(64, 3, rngs=rngs)

    def __call__(self, x):
        conv, norm, again = self.layers
        return self.head(nnx.relu(again(nnx.relu(norm(conv(x))))).reshape(x.shape[0], -1))


def nnx_cases():
    rngs, one, cell, seq, image = nnx.Rngs(0), {"": ""}, {"": "cell"}, numbers(3, 5, 4), numbers(2, 7, 6, 4)

    def rnn(cell):
        return nnx.RNN(cell, rngs=rngs)

    rows = {
        "dense": (fn.dense(3), nnx.Linear(4, 3, rngs=rngs), numbers(2, 4), one),
        "conv": (fn.conv(3, 3), nnx.Conv(4, 3, (3, 3), rngs=rngs), image, one),
        "conv_transpose": (
            fn.conv_transpose(3, 3, stride=2),
            nnx.ConvTranspose(4, 3, (3, 3), strides=(2, 2), rngs=rngs),
            image,
            one,
        ),
        "batch_norm": (fn.batch_norm(), nnx.BatchNorm(4, rngs=rngs), image, one),
        "layer_norm": (fn.layer_norm(), nnx.LayerNorm(4, rngs=rngs), image, one),
        "group_norm": (fn.group_norm(2), nnx.GroupNorm(4, 2, rngs=rngs), image, one),
        "embedding": (fn.embedding(7, 4), nnx.Embed(7, 4, rngs=rngs), np.arange(6, dtype=np.int32), one),
        "rnn": (fn.rnn(3), rnn(nnx.SimpleCell(4, 3, rngs=rngs)), seq, cell),
        "lstm": (fn.lstm(3), rnn(nnx.LSTMCell(4, 3, rngs=rngs)), seq, cell),
        "lstm, optimized": (
            fn.lstm(3),
            rnn(nnx.OptimizedLSTMCell(4, 3, rngs=rngs)),
            seq,
            cell,
            {"kinds": {"": "optimized_lstm"}},
        ),
        "gru": (fn.gru(3), rnn(nnx.GRUCell(4, 3, rngs=rngs)), seq, cell),
        "attention": (
            fn.attention(2),
            nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs),
            numbers(2, 5, 8),
            one,
            {"heads": 2},
        ),
        "cnn": (
            our_flax_net(),
            NnxNet(rngs),
            numbers(2, 8, 8, 1),
            {"conv_0": "layers/0", "batch_norm_0": "layers/1", "conv_1": "layers/2", "dense_0": "head"},
        ),
    }
    return {
        name: Case(net, nnx_peer(model), x, names, options=options[0] if options else {})
        for name, (net, model, x, names, *options) in rows.items()
    }


# --- Keras -----------------------------------------------------------------------------------------------------------


def keras_peer(model, x):
    model(*x) if isinstance(x, tuple) else model(x)
    weights = [v for v in model.variables if "seed_generator" not in v.path]

    def load(flat):
        assert flat.keys() == {v.path for v in weights}
        for v in weights:
            v.assign(flat[v.path])

    load(_scatter({v.path: v.numpy() for v in weights}))
    flat = {v.path: v.numpy() for v in model.variables}
    return Peer(flat, load, lambda x: model(*x) if isinstance(x, tuple) else model(x))


def keras_cases():
    L = keras.layers
    seq, image = numbers(3, 5, 4), numbers(2, 7, 6, 4)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(4, 3, padding="same"),
            L.BatchNormalization(epsilon=1e-5),
            L.ReLU(),
            L.Conv2D(4, 3, padding="same", activation="relu"),
            L.MaxPooling2D(2),
            L.Flatten(),
            L.Dense(8),
            L.Dense(3),
        ],
        name="net",
    )
    ours = fn.serial(
        fn.conv(4, 3),
        fn.batch_norm(),
        RELU,
        fn.conv(4, 3, activation=RELU),
        fn.max_pool(2),
        fn.flatten(),
        fn.dense(8),
        fn.dense(3),
    )
    rows = {
        "dense": (fn.dense(3), L.Dense(3, name="a"), numbers(2, 4), "a"),
        "conv": (fn.conv(3, 3), L.Conv2D(3, 3, padding="same", name="a"), image, "a"),
        "conv, groups": (fn.conv(6, 3, groups=2), L.Conv2D(6, 3, groups=2, padding="same", name="a"), image, "a"),
        "conv, depthwise": (
            fn.conv(8, 3, groups=4),
            L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="a"),
            image,
            "a",
            {"kinds": {"": "depthwise_conv"}, "groups": 4},
        ),
        "conv_transpose": (
            fn.conv_transpose(3, (4, 3), stride=2, padding="VALID"),
            L.Conv2DTranspose(3, (4, 3), strides=2, name="a"),
            image,
            "a",
            UP,
        ),
        "conv_transpose, same": (
            fn.conv_transpose(3, 4, stride=2),
            L.Conv2DTranspose(3, 4, strides=2, padding="same", name="a"),
            image,
            "a",
            UP,
        ),
        "batch_norm": (fn.batch_norm(eps=1e-3), L.BatchNormalization(name="a"), image, "a"),
        "layer_norm": (fn.layer_norm(eps=1e-3), L.LayerNormalization(name="a"), image, "a"),
        "group_norm": (fn.group_norm(2, eps=1e-3), L.GroupNormalization(2, name="a"), image, "a"),
        "rms_norm": (fn.rms_norm(eps=1e-6), L.RMSNormalization(name="a"), image, "a", {"kinds": {"": "rms_norm"}}),
        "prelu": (fn.layers.prelu(), L.PReLU(name="a"), numbers(2, 4), "a"),
        "embedding": (fn.embedding(7, 4), L.Embedding(7, 4, name="a"), np.arange(6, dtype=np.int32), "a"),
        "rnn": (fn.rnn(3), L.SimpleRNN(3, return_sequences=True, name="a"), seq, "a/simple_rnn_cell"),
        "lstm": (fn.lstm(3), L.LSTM(3, return_sequences=True, name="a"), seq, "a/lstm_cell"),
        "gru": (fn.gru(3), L.GRU(3, return_sequences=True, name="a"), seq, "a/gru_cell"),
        "lstm, both directions": (
            fn.bidirectional(fn.lstm(3)),
            L.Bidirectional(L.LSTM(3, return_sequences=True), name="a"),
            seq,
            {"forward": "a/forward_lstm/lstm_cell", "backward": "a/backward_lstm/lstm_cell"},
        ),
        "attention": (
            fn.attention(2),
            L.MultiHeadAttention(2, 4, name="a"),
            (numbers(2, 5, 8),) * 2,
            "a",
            {"heads": 2},
        ),
    }
    cases = {
        name: Case(
            ours,
            keras_peer(layer, x),
            x,
            where if isinstance(where, dict) else {"": where},
            options=options[0] if options else {},
        )
        for name, (ours, layer, x, where, *options) in rows.items()
    }
    x = numbers(2, 8, 8, 1)
    peer = keras_peer(model, x)
    at = {v.path.rpartition("/")[0]: None for v in model.variables}
    names = dict(zip(("conv_0", "batch_norm_0", "conv_1", "dense_0", "dense_1"), at, strict=True))
    return cases | {"cnn": Case(ours, peer, x, names)}


LAYOUTS = {
    "torch": (fn.layouts.torch, torch_cases),
    "linen": (fn.layouts.linen, linen_cases),
    "nnx": (fn.layouts.nnx, nnx_cases),
    "keras": (fn.layouts.keras, keras_cases),
}


def differences(layout, case):
    """Return the largest difference of outputs with their weights, and with ours."""
    net, peer, x, names, found, options = case
    like = net.init(jax.random.key(0), jax.tree.map(jnp.asarray, x))
    params, state = fn.layouts.from_layout(peer.flat, layout(names, **options), like=like)
    if found:
        again = fn.layouts.from_layout(peer.flat, layout(**options), like=like)
        assert jax.tree.all(jax.tree.map(jnp.array_equal, again, (params, state)))
    theirs = np.asarray(peer.outputs(x))
    one = np.abs(np.asarray(net(params, jax.tree.map(jnp.asarray, x), state)) - theirs).max()
    params, state = scattered(like)
    if layout is fn.layouts.nnx and "reset_bias" in params:
        params = params | {"reset_bias": 0 * params["reset_bias"]}
    peer.load(fn.layouts.to_layout(params, state, layout(names, **options)))
    ours = np.asarray(net(params, jax.tree.map(jnp.asarray, x), state))
    return one, np.abs(ours - np.asarray(peer.outputs(x))).max(), np.abs(theirs).max()


def write_fixtures(folder):
    """Write what the tests read: weights of torch networks, an input of each, and the outputs that torch gives."""
    folder.mkdir(exist_ok=True)
    chosen = ("mlp", "cnn", "tagger", "gru", "conv_transpose 2d, groups", "attention", "transformer block")
    for name, case in torch_cases().items():
        if name in chosen:
            flat = {**case.peer.flat, "input": case.x, "output": np.ascontiguousarray(case.peer.outputs(case.x))}
            fn.layouts.write(folder / f"torch_{name.replace(',', '').replace(' ', '_')}.safetensors", flat)
    for library, (_, cases) in list(LAYOUTS.items())[1:]:
        for name, case in cases().items():
            if name in ("cnn", "gru", "attention"):
                flat = {**case.peer.flat, "output": np.asarray(case.peer.outputs(case.x))}
                flat |= {"input": case.x[0] if isinstance(case.x, tuple) else case.x}
                fn.layouts.write(folder / f"{library}_{name}.safetensors", flat)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fixtures", type=pathlib.Path)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, flax {__import__('flax').__version__}, keras {keras.__version__}")
    print(f"{'':40s} theirs here  ours there  largest output")
    worst = 0.0
    for library, (layout, cases) in LAYOUTS.items():
        for name, case in cases().items():
            here, there, size = differences(layout, case)
            worst = max(worst, here, there)
            print(f"{library:6s} {name:33s} {here:11.1e} {there:11.1e} {size:11.2f}")
    print(f"largest difference {worst:.1e}")
    if options.fixtures:
        write_fixtures(options.fixtures)


if __name__ == "__main__":
    main()
