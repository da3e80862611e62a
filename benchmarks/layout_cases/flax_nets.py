"""Networks of Flax: linen and nnx."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

import fnnet as fn
from layout_cases import RELU, Case, Peer, numbers, scattered, scattered_flat


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

    load(scattered_flat(flat()))
    return Peer(flat(), load, lambda x: call(model, *x) if isinstance(x, tuple) else call(model, x))


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
