"""Layers: factories of ``Layer``, channels last."""

from fnnet.layers.attention import attention
from fnnet.layers.dense import dense
from fnnet.layers.positions import learned_positions, rotary, sinusoidal_positions
from fnnet.layers.recurrent import bidirectional, gru, lstm, rnn
from fnnet.layers.sequences import last_step, mean_step

__all__ = [
    "attention",
    "bidirectional",
    "dense",
    "gru",
    "last_step",
    "learned_positions",
    "lstm",
    "mean_step",
    "rnn",
    "rotary",
    "sinusoidal_positions",
]
