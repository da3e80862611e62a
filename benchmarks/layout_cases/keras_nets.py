"""Networks of Keras, on JAX."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

import fnnet as fn
from layout_cases import RELU, UP, Case, Peer, numbers, scattered_flat


def keras_peer(model, x):
    model(*x) if isinstance(x, tuple) else model(x)
    weights = [v for v in model.variables if "seed_generator" not in v.path]

    def load(flat):
        assert flat.keys() == {v.path for v in weights}
        for v in weights:
            v.assign(flat[v.path])

    load(scattered_flat({v.path: v.numpy() for v in weights}))
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
