"""What each kind of layer is in torch, Flax and Keras, and which kind a layer is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from fnnet.layouts.rules import (
    Rule,
    apart,
    depthwise_kernel,
    flattened_kernel,
    gru_biases,
    heads_apart,
    move,
    one_of_each,
    out_first,
    reordered,
    summed,
    together,
    transposed_kernel,
    without,
)

Kinds: TypeAlias = Mapping[str, tuple[Rule, ...]]
"""The rules of each kind of layer."""

PROJECTIONS = ("query", "key", "value", "out")


def kind_of(name: str, shapes: Mapping[str, tuple[int, ...]], kinds: Kinds) -> str:
    """Return the kind of a layer called `name`: by the name if it is a kind and ordinal, else by its entries.

    >>> from fnnet.layouts import kinds
    >>> [kinds.kind_of(name, {"kernel": (2, 3)}, kinds.TORCH) for name in ("conv_transpose_1", "head")]
    ['conv_transpose', 'dense']
    """
    named = re.sub(r"_\d+$", "", name)
    if named in kinds and named != "attention":
        return named
    if {f"{part}/kernel" for part in PROJECTIONS} <= shapes.keys():
        crosses = shapes["query/kernel"][0] != shapes["key/kernel"][0] and "cross_attention" in kinds
        return "cross_attention" if crosses else "attention"
    if {"kernel", "recurrent"} <= shapes.keys():
        return {1: "rnn", 3: "gru", 4: "lstm"}.get(shapes["recurrent"][-1] // shapes["recurrent"][0], "")
    if "kernel" in shapes:
        return "dense" if len(shapes["kernel"]) == 2 else "conv"
    first = next((entry for entry in _TOLD_BY if entry in shapes), "")
    return _TOLD_BY.get(first, "")


_TOLD_BY = {"mean": "batch_norm", "scale": "layer_norm", "table": "embedding", "slope": "prelu"}

_TORCH_RECURRENT = (
    move("kernel", "weight_ih", out_first),
    move("recurrent", "weight_hh", out_first),
)
_TORCH_BIAS = summed("bias", ("bias_ih", "bias_hh"))
_TORCH_NORM = (move("scale", "weight"), move("bias", "bias"))
TORCH: Kinds = {
    "dense": (flattened_kernel("kernel", "weight"), move("bias", "bias")),
    "conv": (move("kernel", "weight", out_first), move("bias", "bias")),
    "conv_transpose": (transposed_kernel("kernel", "weight", channels_first=True), move("bias", "bias")),
    "batch_norm": (*_TORCH_NORM, move("mean", "running_mean"), move("var", "running_var")),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm", "rms_norm"), _TORCH_NORM),
    "embedding": (move("table", "weight"),),
    "learned_positions": (move("table", "weight"),),
    "prelu": (one_of_each("slope", "weight"),),
    "rnn": (*_TORCH_RECURRENT, _TORCH_BIAS),
    "lstm": (*_TORCH_RECURRENT, _TORCH_BIAS),
    "gru": (*_TORCH_RECURRENT, gru_biases(("bias_ih", "bias_hh"), lambda *both: both, lambda both: both)),
    "attention": (
        together([f"{part}/kernel" for part in PROJECTIONS[:3]], "in_proj_weight", out_first),
        together([f"{part}/bias" for part in PROJECTIONS[:3]], "in_proj_bias"),
        move("out/kernel", "out_proj.weight", out_first),
        move("out/bias", "out_proj.bias"),
    ),
    "cross_attention": (
        *(move(f"{part}/kernel", f"{part[0]}_proj_weight", out_first) for part in PROJECTIONS[:3]),
        together([f"{part}/bias" for part in PROJECTIONS[:3]], "in_proj_bias"),
        move("out/kernel", "out_proj.weight", out_first),
        move("out/bias", "out_proj.bias"),
    ),
}


def _attention_in_heads(out: str) -> tuple[Rule, ...]:
    theirs = dict(zip(PROJECTIONS, (*PROJECTIONS[:3], out), strict=True))
    return (
        *(heads_apart(f"{part}/kernel", f"{part}/kernel", 1) for part in PROJECTIONS[:3]),
        *(heads_apart(f"{part}/bias", f"{part}/bias", 0) for part in PROJECTIONS[:3]),
        heads_apart("out/kernel", f"{theirs['out']}/kernel", 0),
        move("out/bias", f"{theirs['out']}/bias"),
    )


_AFFINE = (move("kernel", "kernel"), move("bias", "bias"))
_FLAX_NORM = (move("scale", "scale"), move("bias", "bias"))
_FLAX: Kinds = {
    **dict.fromkeys(("dense", "conv", "conv_transpose"), _AFFINE),
    "batch_norm": (*_FLAX_NORM, move("mean", "mean"), move("var", "var")),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm", "rms_norm"), _FLAX_NORM),
    "embedding": (move("table", "embedding"),),
    "prelu": (move("slope", "negative_slope"),),
    "attention": _attention_in_heads("out"),
}


def _flax_lstm(inputs: Sequence[str]) -> tuple[Rule, ...]:
    states = ("hi", "hf", "hg", "ho")
    return (
        apart("kernel", [f"{gate}/kernel" for gate in inputs]),
        apart("recurrent", [f"{gate}/kernel" for gate in states]),
        apart("bias", [f"{gate}/bias" for gate in states]),
    )


def _parted_gru(bias: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, ...]:
    return (*np.split(bias, 3), state[2 * (state.size // 3) :])


def _joined_gru(theirs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    *inputs, reset = theirs
    return np.concatenate(inputs), np.concatenate([np.zeros(2 * reset.size, reset.dtype), reset])


LINEN: Kinds = {
    **_FLAX,
    "lstm": _flax_lstm(("ii", "if", "ig", "io")),
    "gru": (
        apart("kernel", ("ir/kernel", "iz/kernel", "in/kernel")),
        apart("recurrent", ("hr/kernel", "hz/kernel", "hn/kernel")),
        gru_biases(("ir/bias", "iz/bias", "in/bias", "hn/bias"), _parted_gru, _joined_gru),
    ),
    "rnn": (move("kernel", "i/kernel"), move("recurrent", "h/kernel"), move("bias", "i/bias")),
}
_NNX_CELL = (move("kernel", "dense_i/kernel"), move("recurrent", "dense_h/kernel"))
NNX: Kinds = {
    **_FLAX,
    "lstm": _flax_lstm(("ii", "if_", "ig", "io")),
    "optimized_lstm": (*_NNX_CELL, move("bias", "dense_h/bias")),
    "gru": (*_NNX_CELL, move("bias", "dense_i/bias"), without("reset_bias", "an nnx.GRUCell has none")),
    "rnn": (*_NNX_CELL, move("bias", "dense_i/bias")),
}

_KERAS_NORM = (move("scale", "gamma"), move("bias", "beta"))
_KERAS_CELL = (move("kernel", "kernel"), move("recurrent", "recurrent_kernel"), move("bias", "bias"))
_UPDATE_FIRST = (1, 0, 2)  # Keras has the gates as update, reset, new


def _keras_gru_bias() -> Rule:
    swapped = reordered("", "", _UPDATE_FIRST)

    def parted(bias: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, ...]:
        return swapped.to((np.stack([bias, state]),), {})

    def joined(theirs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        return tuple(swapped.back(theirs, (), {})[0])

    return gru_biases(("bias",), parted, joined)


KERAS: Kinds = {
    **dict.fromkeys(("dense", "conv"), _AFFINE),
    "conv_transpose": (transposed_kernel("kernel", "kernel", channels_first=False), move("bias", "bias")),
    "depthwise_conv": (depthwise_kernel("kernel", "kernel"), move("bias", "bias")),
    "batch_norm": (*_KERAS_NORM, move("mean", "moving_mean"), move("var", "moving_variance")),
    **dict.fromkeys(("layer_norm", "group_norm"), _KERAS_NORM),
    "rms_norm": (move("scale", "scale"),),
    "embedding": (move("table", "embeddings"),),
    "prelu": (move("slope", "alpha"),),
    "rnn": _KERAS_CELL,
    "lstm": _KERAS_CELL,
    "gru": (
        reordered("kernel", "kernel", _UPDATE_FIRST),
        reordered("recurrent", "recurrent_kernel", _UPDATE_FIRST),
        _keras_gru_bias(),
    ),
    "attention": _attention_in_heads("attention_output"),
}
