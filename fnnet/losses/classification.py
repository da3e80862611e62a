"""Losses of classification."""

from __future__ import annotations

from jax import nn
from jaxtyping import Array, Float, Num


def cross_entropy(logits: Float[Array, "*batch k"], labels: Num[Array, "..."]) -> Float[Array, "*batch"]:
    r"""Categorical cross-entropy from logits, :math:`-\log \mathrm{softmax}(z)_y`."""
    return -(nn.log_softmax(logits) * nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)).sum(-1)
