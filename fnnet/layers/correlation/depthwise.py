"""Depthwise correlations, each feature by itself: sums of products with no matrix in them."""

from __future__ import annotations

import itertools
from functools import reduce
from operator import add

import jax.numpy as jnp
from jaxtyping import Array

from fnnet.layers.correlation.columns import interleaved, reaching, seen, shifted
from fnnet.layers.correlation.geometry import Geometry


def forward(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """Return the correlation of `x` with `kernel`, of which each input feature makes features / n outputs."""
    parts, taps = seen(_repeated(x, kernel), geometry), kernel.reshape(-1, kernel.shape[-1])
    return reduce(add, (part * _along(tap, part) for part, tap in zip(parts, taps, strict=True)))


def kernel_gradient(x: Array, y: Array, geometry: Geometry) -> Array:
    """Return the gradient of Σ y · forward(x, kernel) by the kernel."""
    parts = seen(_repeated(x, y), geometry)
    sums = jnp.stack([(part * y).sum(tuple(range(y.ndim - 1))) for part in parts])
    return sums.reshape(*geometry.window, 1, y.shape[-1])


def input_gradient(y: Array, kernel: Array, geometry: Geometry) -> Array:
    """Return the gradient of Σ y · forward(x, kernel) by x, phase by phase."""
    axes = range(len(geometry.window))
    counts = tuple(-(-n // s) for n, s in zip(geometry.sizes, geometry.stride, strict=True))
    phases = []
    for phase in itertools.product(*map(range, geometry.stride)):
        total = jnp.zeros((y.shape[0], *counts, y.shape[-1]), y.dtype)
        for taps in itertools.product(*(reaching(geometry, axis, phase[axis]) for axis in axes)):
            tap = kernel[tuple(q for q, _ in taps)][0]
            total = total + shifted(y, [e for _, e in taps], counts) * _along(tap, total)
        phases.append(total)
    whole = interleaved(phases, geometry)
    times = y.shape[-1] // geometry.groups
    return whole if times == 1 else whole.reshape(*whole.shape[:-1], geometry.groups, times).sum(-1)


def _repeated(x: Array, like: Array) -> Array:
    """Return `x` with each feature as often as it makes outputs."""
    return x if x.shape[-1] == like.shape[-1] else jnp.repeat(x, like.shape[-1] // x.shape[-1], -1)


def _along(tap: Array, part: Array) -> Array:
    return tap.reshape((1,) * (part.ndim - 1) + tap.shape)
