"""Layers written out in the test, so that compositions are tested on nothing but their own protocol."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fnnet.core import Layer
from fnnet.shapes import check_key, check_last_axis


def linear(features, name="linear"):
    """An affine layer."""

    def init(key, x):
        k, b = jax.random.split(key)
        return {
            "kernel": jax.random.normal(k, (x.shape[-1], features), x.dtype) / x.shape[-1] ** 0.5,
            "bias": jax.random.normal(b, (features,), x.dtype),
        }, {}

    def apply(params, state, x, *, key=None, train=False):
        check_last_axis(name, x, params["kernel"].shape[0])
        y = x @ params["kernel"]
        return y + jnp.broadcast_to(params["bias"], y.shape), state

    return Layer(name, init, apply)


def counter():
    """A layer whose state counts its uses in training and keeps the last mean, and which adds the count."""

    def init(key, x):
        return {}, {"uses": jnp.zeros((), jnp.float32), "mean": jnp.zeros((), jnp.float32)}

    def apply(params, state, x, *, key=None, train=False):
        if not train:
            return x, state
        uses = state["uses"] + 1
        return x + uses.astype(x.dtype), {"uses": uses, "mean": x.mean().astype(jnp.float32)}

    return Layer("counter", init, apply)


def noise():
    """A layer that adds normal noise in training."""

    def apply(params, state, x, *, key=None, train=False):
        return (x + jax.random.normal(check_key("noise", key), x.shape, x.dtype) if train else x), state

    return Layer("noise", lambda key, x: ({}, {}), apply)


class Pair(NamedTuple):
    """A pair (init, apply) from elsewhere, without a name."""

    init: object
    apply: object


def double_pair():
    return Pair(
        lambda key, x: ({"factor": jnp.full((), 2.0)}, {}), lambda p, s, x, key=None, train=False: (p["factor"] * x, s)
    )
