"""Metrics of classification."""

from __future__ import annotations

import jax.numpy as jnp

from fnnet.core import Metric


def accuracy() -> Metric:
    """Share of examples whose largest logit is at the label."""

    def init():
        return {"correct": jnp.zeros(()), "weight": jnp.zeros(())}

    def update(acc, prediction, target, weight=None):
        hits = (jnp.argmax(prediction, -1) == target).astype(jnp.float32)
        w = jnp.ones_like(hits) if weight is None else weight
        return {"correct": acc["correct"] + (hits * w).sum(), "weight": acc["weight"] + w.sum()}

    return Metric("accuracy", init, update, lambda acc: acc["correct"] / acc["weight"])
