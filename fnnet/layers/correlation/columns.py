"""Correlations as one matrix product: what each place sees of the input, side by side in a row (im2col).

The copies are slices, which XLA runs well inside loops, and the product is its fastest program. All three maps of a
correlation are of this form: the output, the input's gradient (a correlation with the turned kernel, by phases if
there is a stride), and the kernel's gradient (the product of the rows, transposed, with the output's gradient).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import reduce
from operator import add

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from fnnet.layers.correlation.geometry import Geometry

_MOST = 2**28  # bytes that are put side by side at a time

Place = tuple[int, ...]


def forward(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """Return the correlation of `x` with `kernel`."""
    return _products(seen(x, geometry), _matrices(kernel, geometry.groups), geometry.groups)


def kernel_gradient(x: Array, y: Array, geometry: Geometry) -> Array:
    """Return the gradient of Σ y · forward(x, kernel) by the kernel."""
    groups, features = geometry.groups, y.shape[-1]
    split = _flat(y.reshape(*y.shape[:-1], groups, features // groups), 2)
    products = []
    for _, parts in _portions(seen(x, geometry)):
        rows = lax.optimization_barrier(_flat(_beside(parts, groups), 2))
        if groups == 1:
            products.append(rows[:, 0].T @ split[:, 0])
        else:
            products.append(jnp.einsum("rgi,rgo->igo", rows, split).reshape(-1, features))
    return jnp.concatenate(products).reshape(*geometry.window, x.shape[-1] // groups, features)


def input_gradient(y: Array, kernel: Array, geometry: Geometry) -> Array:
    """Return the gradient of Σ y · forward(x, kernel) by x.

    Phase by phase: the places of x that are alike modulo the stride see the same taps of the kernel, and of no other
    does a product reach them.
    """
    dims, groups = len(geometry.window), geometry.groups
    turned = _turned(kernel, groups)
    counts = tuple(-(-n // s) for n, s in zip(geometry.sizes, geometry.stride, strict=True))
    features = kernel.shape[-2] * groups
    phases = []
    for phase in itertools.product(*map(range, geometry.stride)):
        taps = [reaching(geometry, axis, phase[axis]) for axis in range(dims)]
        parts = [shifted(y, [e for _, e in tap], counts) for tap in itertools.product(*taps)]
        chosen = [turned[tuple(q for q, _ in tap)] for tap in itertools.product(*taps)]
        if parts:
            phases.append(_products(parts, chosen, groups))
        else:
            phases.append(jnp.zeros((y.shape[0], *counts, features), y.dtype))
    return interleaved(phases, geometry)


def reaching(geometry: Geometry, axis: int, phase: int) -> list[tuple[int, int]]:
    """Return (q, e): place phase + stride · i of the input is seen with tap q by place i + e of the output."""
    stride, dilation = geometry.stride[axis], geometry.dilation[axis]
    start = phase + geometry.padding[axis][0]
    taps = range(geometry.window[axis])
    return [(q, (start - dilation * q) // stride) for q in taps if (start - dilation * q) % stride == 0]


def shifted(y: Array, offsets: Sequence[int], counts: Sequence[int]) -> Array:
    """Return `y` from place `offset` on, `count` places of each axis, zero where there is none."""
    pairs = [(-e, e + count - n, 0) for e, count, n in zip(offsets, counts, y.shape[1:-1], strict=True)]
    return lax.pad(y, jnp.zeros((), y.dtype), [(0, 0, 0), *pairs, (0, 0, 0)])


def interleaved(phases: list[Array], geometry: Geometry) -> Array:
    """Return the phases, one for each residue of a place modulo the stride, as one array."""
    if len(phases) == 1:
        return phases[0]
    dims = len(geometry.stride)
    batch, *counts, features = phases[0].shape
    stacked = jnp.stack(phases).reshape(*geometry.stride, batch, *counts, features)
    order = (dims, *itertools.chain.from_iterable((dims + 1 + axis, axis) for axis in range(dims)), 2 * dims + 1)
    whole = stacked.transpose(order).reshape(
        batch, *(n * s for n, s in zip(counts, geometry.stride, strict=True)), features
    )
    return whole[(slice(None), *(slice(n) for n in geometry.sizes))]


def seen(x: Array, geometry: Geometry) -> list[Array]:
    """Return, for each tap of the kernel in order, what it meets at each place of the output."""
    padded = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((a, b, 0) for a, b in geometry.padding), (0, 0, 0)])
    taps = itertools.product(*map(range, geometry.window))
    return [_tap(padded, tap, geometry) for tap in taps]


def _tap(padded: Array, tap: Place, geometry: Geometry) -> Array:
    starts = [d * q for d, q in zip(geometry.dilation, tap, strict=True)]
    ends = [a + (n - 1) * s + 1 for a, n, s in zip(starts, geometry.outputs, geometry.stride, strict=True)]
    batch, features = padded.shape[0], padded.shape[-1]
    return lax.slice(padded, (0, *starts, 0), (batch, *ends, features), (1, *geometry.stride, 1))


def _portions(parts: Sequence[Array]) -> list[tuple[slice, Sequence[Array]]]:
    """Return the parts in portions that are no larger than may be put side by side, and where each is among them."""
    most = max(1, _MOST // max(1, parts[0].nbytes))
    return [(slice(n, n + most), parts[n : n + most]) for n in range(0, len(parts), most)]


def _beside(parts: Sequence[Array], groups: int) -> Array:
    """Return the parts side by side, (..., groups, taps · n / groups)."""
    return jnp.concatenate([part.reshape(*part.shape[:-1], groups, part.shape[-1] // groups) for part in parts], -1)


def _products(parts: Sequence[Array], matrices: Sequence[Array], groups: int) -> Array:
    """Return the sum of each part times its matrices (groups, n / groups, features / groups)."""
    products = []
    for where, portion in _portions(parts):
        rows, matrix = _flat(_beside(portion, groups), 2), jnp.concatenate(matrices[where], 1)
        products.append(rows[:, 0] @ matrix[0] if groups == 1 else jnp.einsum("rgi,gio->rgo", rows, matrix))
    return reduce(add, products).reshape(*parts[0].shape[:-1], groups * matrices[0].shape[-1])


def _matrices(kernel: Array, groups: int) -> list[Array]:
    """Return, for each tap of the kernel in order, a matrix for each group, (groups, n / groups, features / groups)."""
    split = kernel.reshape(-1, kernel.shape[-2], groups, kernel.shape[-1] // groups)
    return list(split.swapaxes(1, 2))


def _turned(kernel: Array, groups: int) -> Array:
    """Return the kernel with its ends exchanged: (*window, groups, features / groups, n / groups)."""
    split = kernel.reshape(*kernel.shape[:-1], groups, kernel.shape[-1] // groups)
    return jnp.moveaxis(split, -3, -1)


def _flat(x: Array, kept: int) -> Array:
    """Return `x` with all axes but the last `kept` made one."""
    return x.reshape(math.prod(x.shape[: x.ndim - kept]), *x.shape[x.ndim - kept :])
