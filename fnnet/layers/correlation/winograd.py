r"""Correlations by fewer products: Winograd's minimal filtering, F(m × m, 3 × 3) (Lavin & Gray 2016).

Each block of m × m outputs is :math:`A^\top[(G K G^\top) \odot (B^\top x B)]A`, with x the (m + 2)² inputs that it
sees: (m + 2)² products where the sum has 9 m². The transforms are sums of slices; the products of all blocks at one
place of the transform are one matrix product over features. For windows 3 × 3 without stride, dilation or groups.

In float32 alone: relative to the largest output the error is about 1e-6 for m = 2 and 1e-5 for m = 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from fnnet.layers.correlation.geometry import Geometry


class Transforms(NamedTuple):
    """The matrices of F(m, 3) in the paper's notation: Bᵀ of the data, G of the kernel, Aᵀ of the products."""

    data: np.ndarray
    kernel: np.ndarray
    products: np.ndarray


TRANSFORMS = {
    2: Transforms(
        np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
        np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
        np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
    ),
    4: Transforms(
        np.array(
            [
                [4, 0, -5, 0, 1, 0],
                [0, -4, -4, 1, 1, 0],
                [0, 4, -4, -1, 1, 0],
                [0, -2, -1, 2, 1, 0],
                [0, 2, -1, -2, 1, 0],
                [0, 4, 0, -5, 0, 1],
            ]
        ),
        np.array(
            [
                [1 / 4, 0, 0],
                [-1 / 6, -1 / 6, -1 / 6],
                [-1 / 6, 1 / 6, -1 / 6],
                [1 / 24, 1 / 12, 1 / 6],
                [1 / 24, -1 / 12, 1 / 6],
                [0, 0, 1],
            ]
        ),
        np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]),
    ),
}


def forward(x: Array, kernel: Array, geometry: Geometry, block: int) -> Array:
    """Return the correlation of `x` with `kernel`, in blocks of `block` × `block` outputs."""
    counts = _blocks(geometry.outputs, block)
    tiles = lax.optimization_barrier(_of_data(x, geometry, block))
    matrices = lax.optimization_barrier(_of_kernel(kernel, block))
    products = lax.optimization_barrier([tile @ matrix for tile, matrix in zip(tiles, matrices, strict=True)])
    return _outputs(products, (x.shape[0], *counts), geometry.outputs, block)


def input_gradient(y: Array, kernel: Array, geometry: Geometry, block: int) -> Array:
    """Return the gradient of Σ y · forward(x, kernel) by x: the correlation of y with the turned kernel."""
    return forward(y, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), geometry.turned(), block)


def kernel_gradient(x: Array, y: Array, geometry: Geometry, block: int) -> Array:
    """Return the gradient of Σ y · forward(x, kernel) by the kernel, by the transposes of the transforms."""
    tiles, grads = lax.optimization_barrier((_of_data(x, geometry, block), _of_gradient(y, block)))
    products = [tile.swapaxes(1, 2) @ grad for tile, grad in zip(tiles, grads, strict=True)]
    matrix = TRANSFORMS[block].kernel.astype(x.dtype)
    return jnp.einsum("ia,ijno,jb->abno", matrix, lax.optimization_barrier(jnp.stack(products)), matrix)


def _blocks(sizes: Sequence[int], block: int) -> tuple[int, ...]:
    return tuple(-(-n // block) for n in sizes)


def _of_data(x: Array, geometry: Geometry, block: int) -> list[Array]:
    """Return Bᵀ x B: for each row of a transformed block its columns, an array (columns, blocks, features)."""
    counts = _blocks(geometry.outputs, block)
    axes = zip(geometry.sizes, counts, geometry.padding, strict=True)
    pairs = [(before, n * block + 2 - before - have, 0) for have, n, (before, _) in axes]
    return _transformed(TRANSFORMS[block].data, x, pairs, counts, block)


def _of_gradient(y: Array, block: int) -> list[Array]:
    """Return A y Aᵀ of each block of the output's gradient, as `_of_data` returns the blocks of the input."""
    counts = _blocks(y.shape[1:3], block)
    pairs = [(0, n * block - have, 0) for have, n in zip(y.shape[1:3], counts, strict=True)]
    return _transformed(TRANSFORMS[block].products.T, y, pairs, counts, block)


def _of_kernel(kernel: Array, block: int) -> Array:
    """Return G K Gᵀ: (rows, columns, features in, features out)."""
    matrix = TRANSFORMS[block].kernel.astype(kernel.dtype)
    return jnp.einsum("ia,abno,jb->ijno", matrix, kernel, matrix)


def _transformed(
    matrix: np.ndarray, x: Array, pairs: Sequence[tuple[int, int, int]], counts: Sequence[int], block: int
) -> list[Array]:
    """Return the transform along both axes of the blocks of `x`, padded by `pairs`, that start `block` apart.

    One row of blocks after another: the 36 tiles as 36 arrays take as long and compile to three times the programs.
    """
    places = range(matrix.shape[1])
    padded = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *pairs, (0, 0, 0)])
    rows = _combined(matrix, [_every(padded, 1, a, counts[0], block) for a in places])
    tiles = [jnp.stack(_combined(matrix, [_every(row, 2, b, counts[1], block) for b in places])) for row in rows]
    return [tile.reshape(len(matrix), math.prod(tile.shape[1:-1]), x.shape[-1]) for tile in tiles]


def _outputs(products: Sequence[Array], shape: tuple[int, ...], sizes: tuple[int, ...], block: int) -> Array:
    """Return Aᵀ M A as an array (batch, *sizes, features): the blocks put together, cropped to `sizes`."""
    matrix, features = TRANSFORMS[block].products, products[0].shape[-1]
    grids = [product.reshape(matrix.shape[1], *shape, features) for product in products]
    # The columns of a block side by side are an axis of features, which takes one pass less to put together.
    rows = [jnp.concatenate(_combined(matrix, list(grid)), -1) for grid in grids]
    batch, high, wide = shape
    whole = jnp.stack(_combined(matrix, rows), 2).reshape(batch, high * block, wide * block, features)
    if whole.shape[1:3] == sizes:
        return whole
    # Cropped apart: a program that puts together and crops at once works on single numbers.
    return lax.optimization_barrier(whole)[:, : sizes[0], : sizes[1]]


def _every(x: Array, axis: int, start: int, count: int, step: int) -> Array:
    """Return `count` places of an axis from `start` on, `step` apart."""
    return lax.slice_in_dim(x, start, start + (count - 1) * step + 1, step, axis)


def _combined(matrix: np.ndarray, parts: Sequence[Array]) -> list[Array]:
    """Return the sums of the parts with each row of the matrix as coefficients, without products by 0 and ±1."""
    return [_sum([(float(c), part) for c, part in zip(row, parts, strict=True) if c]) for row in matrix]


def _sum(terms: list[tuple[float, Array]]) -> Array:
    (first, part), *rest = terms
    total = part if first == 1 else -part if first == -1 else first * part
    for coefficient, part in rest:
        size = abs(coefficient)
        term = part if size == 1 else size * part
        total = total + term if coefficient > 0 else total - term
    return total
