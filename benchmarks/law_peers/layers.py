"""Layers of flax.linen, flax.nnx and equinox, with what is declared of each."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx

import fnnet as fn
from fnnet.testing import LayerSubject, Symmetry, permuted, rolled, scaled
from law_peers import references as ref
from law_peers.adapters import equinox, linen, of_nnx, stateful_equinox

RNG = np.random.default_rng(0)
ROWS = jnp.asarray(RNG.normal(size=(5, 6)), jnp.float32)
SERIES = jnp.asarray(RNG.normal(size=(3, 5, 4)), jnp.float32)
IMAGES = jnp.asarray(RNG.normal(size=(3, 6, 6, 4)), jnp.float32)
PLANES = jnp.moveaxis(IMAGES, -1, 1)  # equinox has the channels first
INDICES = jnp.asarray(RNG.integers(0, 7, (3, 4)))
SHIFTS = (rolled(-2, output=-2), rolled(-3, output=-3))
SHIFTS_OF_PLANES = (rolled(-1, output=-1), rolled(-2, output=-2))
PIXELS = (permuted(-2, output=-2), permuted(-3, output=-3))
PIXELS_OF_PLANES = (permuted(-1, output=-1), permuted(-2, output=-2))
TOKENS = (permuted(-2, output=-2),)
SHIFTED = Symmetry("constant that is added", lambda rng, x: x + jnp.asarray(rng.uniform(50, 200), x.dtype))


def running(train):
    """Return the mode of flax's batch norm."""
    return {"use_running_average": not train}


def deterministic(train):
    """Return the mode of flax's dropout."""
    return {"deterministic": not train}


def twice(x):
    """Return the arguments of a module that takes queries, and keys with values."""
    return x, x


def linen_layers():
    """Return layers of flax.linen, with what is declared of each."""
    return {
        "Dense": (linen(nn.Dense(3)), ROWS, {"reference": ref.dense}),
        "DenseGeneral": (linen(nn.DenseGeneral((2, 3), axis=-1)), ROWS, {"reference": ref.dense_general}),
        "Conv, circular": (
            linen(nn.Conv(5, (3, 3), padding="CIRCULAR")),
            IMAGES,
            {"symmetries": SHIFTS, "reference": ref.circular_convolution},
        ),
        "Conv, strides and groups": (
            linen(nn.Conv(6, (3, 3), strides=2, feature_group_count=2, padding="VALID")),
            IMAGES,
            {"reference": partial(ref.convolution, strides=2, groups=2)},
        ),
        "ConvLocal": (linen(nn.ConvLocal(3, (2,), padding="VALID")), SERIES, {}),
        "ConvTranspose": (
            linen(nn.ConvTranspose(5, (2, 2), strides=(2, 2))),
            IMAGES,
            {"reference": ref.transposed_convolution},
        ),
        "Embed": (linen(nn.Embed(7, 3)), INDICES, {"reference": ref.embedding}),
        "LayerNorm": (
            linen(nn.LayerNorm()),
            ROWS,
            {"reference": ref.norm(eps=1e-6), "symmetries": (scaled(), SHIFTED)},
        ),
        "RMSNorm": (
            linen(nn.RMSNorm()),
            ROWS,
            {"reference": ref.norm(eps=1e-6, centred=False), "symmetries": (scaled(),)},
        ),
        "GroupNorm": (
            linen(nn.GroupNorm(2)),
            IMAGES,
            {"reference": ref.group_norm(2, eps=1e-6), "symmetries": (scaled(), SHIFTED, *PIXELS)},
        ),
        "InstanceNorm": (
            linen(nn.InstanceNorm()),
            IMAGES,
            {"reference": ref.norm((-3, -2), eps=1e-6), "symmetries": (scaled(), SHIFTED, *PIXELS)},
        ),
        "BatchNorm": (
            linen(nn.BatchNorm(), running),
            ROWS,
            {"couples": True, "reference": ref.batch_norm("batch_stats")},
        ),
        "WeightNorm": (linen(nn.WeightNorm(nn.Dense(3))), ROWS, {}),
        "SpectralNorm": (
            linen(nn.SpectralNorm(nn.Dense(3)), lambda train: {"update_stats": train}),
            ROWS,
            {"lipschitz": 1.0},
        ),
        "Dropout": (linen(nn.Dropout(0.5), deterministic), ROWS, {"unbiased": True, "lipschitz": 1.0}),
        "MultiHeadDotProductAttention": (
            linen(nn.MultiHeadDotProductAttention(2), call=twice),
            SERIES,
            {"symmetries": TOKENS, "reference": ref.attention},
        ),
        "MultiHeadDotProductAttention, dropout": (
            linen(nn.MultiHeadDotProductAttention(2, dropout_rate=0.5), deterministic, twice),
            SERIES,
            {"symmetries": TOKENS, "reference": ref.attention},
        ),
        "RNN of GRUCell": (linen(nn.RNN(nn.GRUCell(3))), SERIES, {"reference": ref.linen_gru}),
        "RNN of LSTMCell": (linen(nn.RNN(nn.LSTMCell(3))), SERIES, {"reference": ref.linen_lstm}),
        "RNN of OptimizedLSTMCell": (
            linen(nn.RNN(nn.OptimizedLSTMCell(3))),
            SERIES,
            {"reference": partial(ref.linen_lstm, cell="OptimizedLSTMCell_0")},
        ),
        "RNN of SimpleCell": (linen(nn.RNN(nn.SimpleCell(3))), SERIES, {}),
        "RNN of MGUCell": (linen(nn.RNN(nn.MGUCell(3))), SERIES, {}),
        "PReLU": (
            linen(nn.PReLU()),
            ROWS,
            {"reference": ref.prelu("negative_slope"), "symmetries": (scaled(output=True),), "lipschitz": 1.0},
        ),
        "avg_pool": (
            linen_function("avg_pool", lambda x: nn.avg_pool(x, (2, 2), (2, 2))),
            IMAGES,
            {"reference": ref.pooled(np.mean), "lipschitz": 0.5},
        ),
        "max_pool": (
            linen_function("max_pool", lambda x: nn.max_pool(x, (2, 2), (2, 2))),
            IMAGES,
            {"reference": ref.pooled(np.max), "lipschitz": 1.0},
        ),
    }


def linen_function(name, function):
    """Return a function of flax.linen as a layer."""
    return fn.Layer(
        f"linen.{name}", lambda key, x: ({}, {}), lambda params, state, x, key=None, train=False: (function(x), state)
    )


def nnx_layers():
    """Return layers of flax.nnx, with what is declared of each."""
    n = nnx

    def of(make, **options):
        return of_nnx("module", lambda rngs, x: make(x.shape[-1], rngs=rngs), **options)

    return {
        "Linear": (of(lambda n_in, rngs: n.Linear(n_in, 3, rngs=rngs)), ROWS, {"reference": ref.dense}),
        "Conv, circular": (
            of(lambda n_in, rngs: n.Conv(n_in, 5, (3, 3), padding="CIRCULAR", rngs=rngs)),
            IMAGES,
            {"symmetries": SHIFTS, "reference": ref.circular_convolution},
        ),
        "ConvTranspose": (
            of(lambda n_in, rngs: n.ConvTranspose(n_in, 5, (2, 2), strides=(2, 2), rngs=rngs)),
            IMAGES,
            {"reference": ref.transposed_convolution},
        ),
        "Embed": (
            of_nnx("Embed", lambda rngs, x: n.Embed(7, 3, rngs=rngs)),
            INDICES,
            {"reference": ref.embedding},
        ),
        "LayerNorm": (of(n.LayerNorm), ROWS, {"reference": ref.norm(eps=1e-6), "symmetries": (scaled(), SHIFTED)}),
        "RMSNorm": (of(n.RMSNorm), ROWS, {"reference": ref.norm(eps=1e-6, centred=False), "symmetries": (scaled(),)}),
        "GroupNorm": (
            of(lambda n_in, rngs: n.GroupNorm(n_in, 2, rngs=rngs)),
            IMAGES,
            {"reference": ref.group_norm(2, eps=1e-6), "symmetries": (scaled(), SHIFTED, *PIXELS)},
        ),
        "InstanceNorm": (
            of(n.InstanceNorm),
            IMAGES,
            {"reference": ref.norm((-3, -2), eps=1e-6), "symmetries": (scaled(), SHIFTED, *PIXELS)},
        ),
        "BatchNorm": (of(n.BatchNorm), ROWS, {"couples": True, "reference": ref.batch_norm()}),
        "Dropout": (
            of_nnx("Dropout", lambda rngs, x: n.Dropout(0.5), keyed=True),
            ROWS,
            {"unbiased": True, "lipschitz": 1.0},
        ),
        "MultiHeadAttention": (
            of(lambda n_in, rngs: n.MultiHeadAttention(2, n_in, decode=False, rngs=rngs)),
            SERIES,
            {"symmetries": TOKENS, "reference": ref.attention},
        ),
        "RNN of GRUCell": (
            of(lambda n_in, rngs: n.RNN(n.GRUCell(n_in, 3, rngs=rngs), rngs=rngs)),
            SERIES,
            {},
        ),
        "RNN of LSTMCell": (
            of(lambda n_in, rngs: n.RNN(n.LSTMCell(n_in, 3, rngs=rngs), rngs=rngs)),
            SERIES,
            {},
        ),
        "PReLU": (
            of_nnx("PReLU", lambda rngs, x: n.PReLU()),
            ROWS,
            {"reference": ref.prelu("negative_slope"), "symmetries": (scaled(output=True),), "lipschitz": 1.0},
        ),
        "LoRALinear": (of(lambda n_in, rngs: n.LoRALinear(n_in, 3, lora_rank=2, rngs=rngs)), ROWS, {}),
    }


def equinox_layers():
    """Return layers of equinox, with what is declared of each."""
    n = eqx.nn

    def of(make, rank=1, **options):
        return equinox("module", lambda key, x: make(x.shape[-rank], x.dtype, key), rank, **options)

    def stateful(make, rank=1):
        return stateful_equinox("module", lambda key, x: make(x.shape[-rank], x.dtype, key), rank)

    return {
        "Linear": (
            of(lambda n_in, dtype, key: n.Linear(n_in, 3, dtype=dtype, key=key)),
            ROWS,
            {"reference": ref.linear},
        ),
        "MLP": (of(lambda n_in, dtype, key: n.MLP(n_in, 3, 8, 2, dtype=dtype, key=key)), ROWS, {}),
        "Conv2d, circular": (
            of(
                lambda n_in, dtype, key: n.Conv2d(n_in, 5, 3, padding=1, padding_mode="CIRCULAR", dtype=dtype, key=key),
                3,
            ),
            PLANES,
            {"symmetries": SHIFTS_OF_PLANES, "reference": ref.circular_convolution_of_planes},
        ),
        "ConvTranspose2d": (
            of(lambda n_in, dtype, key: n.ConvTranspose2d(n_in, 5, 2, stride=2, dtype=dtype, key=key), 3),
            PLANES,
            {},
        ),
        "Embedding": (
            equinox("Embedding", lambda key, x: n.Embedding(7, 3, key=key), 0),
            INDICES,
            {"reference": ref.lookup(".weight")},
        ),
        "LayerNorm": (
            of(lambda n_in, dtype, key: n.LayerNorm(n_in, dtype=dtype)),
            ROWS,
            {"reference": ref.norm(eps=1e-5, scale=".weight", bias=".bias"), "symmetries": (scaled(), SHIFTED)},
        ),
        "RMSNorm": (
            of(lambda n_in, dtype, key: n.RMSNorm(n_in, dtype=dtype)),
            ROWS,
            {"reference": ref.norm(eps=1e-5, scale=".weight", bias=".bias", centred=False), "symmetries": (scaled(),)},
        ),
        "GroupNorm": (
            of(lambda n_in, dtype, key: n.GroupNorm(2, n_in, dtype=dtype), 3),
            PLANES,
            {
                "reference": ref.planes(ref.group_norm(2, eps=1e-5, scale=".weight", bias=".bias")),
                "symmetries": (scaled(), SHIFTED, *PIXELS_OF_PLANES),
            },
        ),
        "BatchNorm, ema": (
            stateful(partial(batch_norm, "ema")),
            ROWS,
            {"couples": True},
        ),
        "BatchNorm, batch": (
            stateful(partial(batch_norm, "batch")),
            ROWS,
            {"couples": True},
        ),
        **{
            f"BatchNorm, {mode}, trained": (fed(stateful(partial(batch_norm, mode))), ROWS, {"reference": ref.fed})
            for mode in ("ema", "batch")
        },
        "SpectralNorm": (
            stateful(
                lambda n_in, dtype, key: n.SpectralNorm(
                    n.Linear(n_in, 3, dtype=dtype, key=key), "weight", key=jax.random.fold_in(key, 1)
                )
            ),
            ROWS,
            {"lipschitz": 1.0},
        ),
        "WeightNorm": (
            of(lambda n_in, dtype, key: n.WeightNorm(n.Linear(n_in, 3, dtype=dtype, key=key), "weight")),
            ROWS,
            {},
        ),
        "Dropout": (
            of(lambda n_in, dtype, key: n.Dropout(0.5), keyed=True, modal=True),
            ROWS,
            {"unbiased": True, "lipschitz": 1.0},
        ),
        "MultiheadAttention": (
            equinox(
                "MultiheadAttention",
                lambda key, x: n.MultiheadAttention(2, x.shape[-1], dtype=x.dtype, key=key),
                2,
                call=lambda module, x: module(x, x, x),
            ),
            SERIES,
            {"symmetries": TOKENS, "reference": ref.equinox_attention},
        ),
        "GRUCell, scanned": (
            equinox(
                "GRUCell",
                lambda key, x: n.GRUCell(x.shape[-1], 3, dtype=x.dtype, key=key),
                2,
                call=scanned(lambda c: c),
            ),
            SERIES,
            {"reference": ref.equinox_gru},
        ),
        "LSTMCell, scanned": (
            equinox(
                "LSTMCell",
                lambda key, x: n.LSTMCell(x.shape[-1], 3, dtype=x.dtype, key=key),
                2,
                call=scanned(lambda c: c[0], 2),
            ),
            SERIES,
            {"reference": ref.equinox_lstm},
        ),
        "PReLU": (
            equinox("PReLU", lambda key, x: n.PReLU(jnp.asarray(0.25, x.dtype))),
            ROWS,
            {"reference": ref.prelu(".negative_slope"), "symmetries": (scaled(output=True),), "lipschitz": 1.0},
        ),
        "AvgPool2d": (
            equinox("AvgPool2d", lambda key, x: n.AvgPool2d(2, 2), 3),
            PLANES,
            {"reference": ref.planes(ref.pooled(np.mean)), "lipschitz": 0.5},
        ),
        "MaxPool2d": (
            equinox("MaxPool2d", lambda key, x: n.MaxPool2d(2, 2), 3),
            PLANES,
            {"reference": ref.planes(ref.pooled(np.max)), "lipschitz": 1.0},
        ),
        "AdaptiveAvgPool2d": (
            equinox("AdaptiveAvgPool2d", lambda key, x: n.AdaptiveAvgPool2d(3), 3),
            PLANES,
            {"reference": ref.planes(ref.pooled(np.mean)), "lipschitz": 0.5},
        ),
        "RotaryPositionalEmbedding": (
            equinox("RotaryPositionalEmbedding", lambda key, x: n.RotaryPositionalEmbedding(x.shape[-1]), 2),
            SERIES,
            {"reference": ref.rotated, "lipschitz": 1.0, "symmetries": (scaled(output=True),)},
        ),
    }


def batch_norm(mode, n_in, dtype, key):
    """Return equinox's batch norm in a mode."""
    return eqx.nn.BatchNorm(n_in, "batch", mode=mode, dtype=dtype)


def fed(layer):
    """Return the layer that is trained on a batch three times, and then infers of it."""

    def apply(params, state, x, *, key=None, train=False):
        after = state
        for _ in range(3):
            _, after = layer.apply(params, after, x, train=True)
        return layer.apply(params, after, x)[0], state

    return layer._replace(apply=apply)


def scanned(output, carries=1):
    """Return the call of a recurrent cell of equinox over the times of a series, from a state of zeros."""

    def call(cell, x):
        zeros = jnp.zeros(cell.hidden_size, x.dtype)
        start = zeros if carries == 1 else (zeros,) * carries

        def step(carry, x):
            carry = cell(x, carry)
            return carry, output(carry)

        return jax.lax.scan(step, start, x)[1]

    return call


def layers():
    """Return the subjects by name."""
    rooms = {"linen": linen_layers(), "nnx": nnx_layers(), "equinox": equinox_layers()}
    return {
        f"{room}.{name}": LayerSubject(layer._replace(name=f"{room}.{name}"), x, **facts)
        for room, found in rooms.items()
        for name, (layer, x, facts) in found.items()
    }
