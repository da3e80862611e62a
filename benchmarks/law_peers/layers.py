"""Layers of flax.linen, flax.nnx and equinox, with what is declared of each."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from fnnet import testing
from law_peers import adapters, references
from law_peers.adapters import equinox, of_nnx, stateful_equinox

RNG = np.random.default_rng(0)
ROWS = jnp.asarray(RNG.normal(size=(5, 6)), jnp.float32)
SERIES = jnp.asarray(RNG.normal(size=(3, 5, 4)), jnp.float32)
IMAGES = jnp.asarray(RNG.normal(size=(3, 6, 6, 4)), jnp.float32)
CHANNELS_FIRST = jnp.moveaxis(IMAGES, -1, 1)
INDICES = jnp.asarray(RNG.integers(0, 5, (3, 4)))


def running(train):
    """Return the mode of flax's batch norm."""
    return {"use_running_average": not train}


def deterministic(train):
    """Return the mode of flax's dropout."""
    return {"deterministic": not train}


def layer(thing, x, **facts):
    """Return the subject of a layer that is called what it is."""
    return testing.LayerSubject(thing, x, **facts)


def linen_layers():
    """Return subjects of flax.linen."""
    of = adapters.linen
    shift = (testing.rolled(-2, output=-2), testing.rolled(-3, output=-3))
    return {
        "linen.Dense": layer(of(linen.Dense(3)), ROWS, reference=references.dense("kernel", "bias")),
        "linen.Conv": layer(
            of(linen.Conv(5, (3, 3), padding="CIRCULAR")), IMAGES, symmetries=shift, reference=references.circular
        ),
        "linen.LayerNorm": layer(of(linen.LayerNorm()), ROWS, reference=references.norm((-1,), eps=1e-6)),
        "linen.BatchNorm": layer(of(linen.BatchNorm(), running), ROWS, couples=True, reference=references.linen_batch_norm),
        "linen.Dropout": layer(of(linen.Dropout(0.5), deterministic), ROWS, unbiased=True, lipschitz=1.0),
    }


def equinox_layers():
    """Return subjects of equinox."""
    nn = eqx.nn
    return {
        "equinox.Linear": layer(
            equinox("Linear", lambda key, x: nn.Linear(x.shape[-1], 3, dtype=x.dtype, key=key)),
            ROWS,
            reference=references.equinox_linear,
        ),
        "equinox.LayerNorm": layer(
            equinox("LayerNorm", lambda key, x: nn.LayerNorm(x.shape[-1], dtype=x.dtype)),
            ROWS,
            reference=references.norm((-1,), eps=1e-5, scale=".weight", bias=".bias"),
        ),
        "equinox.Dropout": layer(
            equinox("Dropout", lambda key, x: nn.Dropout(0.5), keyed=True, modal=True), ROWS, unbiased=True
        ),
        **{
            f"equinox.BatchNorm, {mode}": layer(
                stateful_equinox(
                    "BatchNorm",
                    lambda key, x, mode=mode: nn.BatchNorm(x.shape[-1], "batch", mode=mode, dtype=x.dtype),
                ),
                ROWS,
                couples=True,
            )
            for mode in ("ema", "batch")
        },
    }


def nnx_layers():
    """Return subjects of flax.nnx."""
    return {
        "nnx.Linear": layer(of_nnx("Linear", lambda rngs, x: nnx.Linear(x.shape[-1], 3, rngs=rngs)), ROWS),
        "nnx.BatchNorm": layer(
            of_nnx("BatchNorm", lambda rngs, x: nnx.BatchNorm(x.shape[-1], rngs=rngs)), ROWS, couples=True
        ),
        "nnx.Dropout": layer(of_nnx("Dropout", lambda rngs, x: nnx.Dropout(0.5), keyed=True), ROWS, unbiased=True),
    }


def layers():
    """Return all of them, by name."""
    return {**linen_layers(), **nnx_layers(), **equinox_layers()}
