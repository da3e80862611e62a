"""Layers: factories of ``Layer``, channels last."""

from fnnet.layers.activation import prelu
from fnnet.layers.affine import dense
from fnnet.layers.convolution import conv, conv_transpose
from fnnet.layers.learned import class_token, scale
from fnnet.layers.lookup import embedding
from fnnet.layers.multi_head import attention
from fnnet.layers.noise import channel_dropout, drop_path, dropout
from fnnet.layers.norm import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from fnnet.layers.pool import avg_pool, global_pool, max_pool
from fnnet.layers.positions import learned_positions, rotary, sinusoidal_positions
from fnnet.layers.recurrent import gru, lstm, rnn
from fnnet.layers.sequences import last_step, mean_step
from fnnet.layers.shape import flatten, reshape

__all__ = [
    "attention",
    "avg_pool",
    "batch_norm",
    "channel_dropout",
    "class_token",
    "conv",
    "conv_transpose",
    "dense",
    "drop_path",
    "dropout",
    "embedding",
    "flatten",
    "global_pool",
    "group_norm",
    "gru",
    "instance_norm",
    "last_step",
    "layer_norm",
    "learned_positions",
    "lstm",
    "max_pool",
    "mean_step",
    "prelu",
    "reshape",
    "rms_norm",
    "rnn",
    "rotary",
    "scale",
    "sinusoidal_positions",
]
