"""Boxes that the tests of them share."""

from __future__ import annotations

import json
import pathlib

import jax
import numpy as np

from fnnet.testing.comparing import assert_alike, assert_same

PEER = json.loads((pathlib.Path(__file__).parent / "torchvision.json").read_text(encoding="utf-8"))


def drawn(seed, *shape, scale=10.0, sides=(0.1, 1.0)):
    """Return boxes in general position."""
    random = np.random.default_rng(seed)
    corner, size = random.uniform(0, 0.8 * scale, (*shape, 2)), random.uniform(*sides, (*shape, 2)) * scale
    return np.concatenate([corner, corner + size], -1).astype(np.float32)


def pure(function, *args):
    """Return ``function(*args)``: the same again, and compiled, and the arguments stay as they are."""
    args = jax.tree.map(np.array, args)
    kept = jax.tree.map(np.array, args)
    value = function(*args)
    assert_same("a second call", function(*args), value)
    assert_same("the arguments, afterwards", args, kept)
    assert_alike("compiled", jax.jit(function)(*args), value)
    return value
