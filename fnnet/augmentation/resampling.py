"""Where the places of an image go: affine maps, what they make of images and masks, and of boxes.

A map is a matrix (2, 3) that takes (x, y, 1) to (x', y'); x runs to the right and y downwards, in pixels, which are
cells: the centre of the first is (½, ½), as in ``fn.boxes``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from fnnet import boxes
from fnnet.boxes import Objects
from fnnet.boxes.records import check_objects
from fnnet.dtypes import at_least_float32

Matrix: TypeAlias = Float[Array, "2 3"]

Size: TypeAlias = tuple[int, ...]
"""(height, width) of an image."""


def about(centre: tuple[float, float], linear: Float[Array, "2 2"], shift: Float[Array, 2]) -> Matrix:
    """Return the map p -> A (p - c) + c + t; with the identity for A and no shift it is exactly the identity."""
    c = jnp.asarray(centre, linear.dtype)
    return jnp.concatenate([linear, (c - linear @ c + shift)[:, None]], axis=1)


def inverse(matrix: Matrix) -> Matrix:
    """Return the map that undoes another."""
    (a, b, t), (c, d, s) = matrix
    determinant = a * d - b * c
    linear = jnp.stack([jnp.stack([d, -b]), jnp.stack([-c, a])]) / determinant
    return jnp.concatenate([linear, -(linear @ jnp.stack([t, s]))[:, None]], axis=1)


def resample(array: Array, matrix: Matrix, size: Size, fill: Any, *, nearest: bool) -> Array:
    """Return `array` (H, W, ...) moved by `matrix` into `size` (h, w); what comes from outside of it is `fill`.

    Each place looks back at where it came from, and takes the `nearest` pixel, or the four around by their distance.
    """
    height, width = array.shape[:2]
    dtype = at_least_float32(matrix.dtype if nearest else array.dtype)
    u, v = _sources(inverse(matrix.astype(dtype)), size)
    # A rim of `fill`, one place before and two after, stands for all that is outside: no place is out of bounds.
    rim = ((1, 2), (1, 2), *((0, 0),) * (array.ndim - 2))
    flat = jnp.pad(array, rim, constant_values=fill).reshape(-1, *array.shape[2:])
    u, v = jnp.clip(u, 0, width + 1), jnp.clip(v, 0, height + 1)
    if nearest:
        return _at(flat, (jnp.floor(v + 0.5) * (width + 3) + jnp.floor(u + 0.5)).astype(jnp.int32))
    row, column = jnp.floor(v), jnp.floor(u)
    right, down = (share.reshape(*size, *(1,) * (array.ndim - 2)) for share in (u - column, v - row))
    place = (row * (width + 3) + column).astype(jnp.int32)
    flat = flat.astype(dtype)
    above = _at(flat, place) * (1 - right) + _at(flat, place + 1) * right
    below = _at(flat, place + (width + 3)) * (1 - right) + _at(flat, place + (width + 4)) * right
    return (above * (1 - down) + below * down).astype(array.dtype)


def _sources(back: Matrix, size: Size) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Return column and row of where each place of `size` comes from, as indices into the array with its rim."""
    y, x = jnp.meshgrid(*(jnp.arange(side, dtype=back.dtype) + 0.5 for side in size), indexing="ij")
    places = jnp.stack([x, y, jnp.ones_like(x)])
    # A product of matrices is computed once. Sums of products would be computed where they are used, for the places and
    # for the shares, each rounded in its way, and a pixel be taken with the share of its neighbour.
    u, v = jnp.tensordot(back, places, 1, precision=jax.lax.Precision.HIGHEST)
    return u + 0.5, v + 0.5


def _at(flat: Array, places: Array) -> Array:
    return flat.at[places].get(mode="promise_in_bounds")


def hull(matrix: Matrix, corners: Float[Array, "n 4"]) -> Float[Array, "n 4"]:
    """Return the smallest boxes ``xyxy`` around boxes that `matrix` moves."""
    x, y = corners[:, 0::2], corners[:, 1::2]
    ends = [(a * x, b * y, t) for a, b, t in matrix]
    low, high = ([f(p, axis=1) + f(q, axis=1) + t for p, q, t in ends] for f in (jnp.min, jnp.max))
    return jnp.stack([*low, *high], axis=1)


def move_objects(
    where: str, objects: Objects, matrices: Float[Array, "batch 2 3"], size: Size, visible: float
) -> Objects:
    """Return the objects of a batch, moved with its images into images of `size`.

    Boxes are the hulls of the moved ones, clipped; of less than the share `visible` of its hull, or of nothing, an
    object is not valid any more. Padding is left as it is. `areas` grow as the map has it, and shrink by that share.
    """
    check_objects(where, objects, (len(matrices),))
    given = jnp.asarray(objects.boxes)
    dtype = at_least_float32(given.dtype)
    matrices = matrices.astype(dtype)
    hulls = jax.vmap(hull)(matrices, given.astype(dtype))
    clipped = boxes.clip(hulls, np.asarray(size))
    left, whole = boxes.area(clipped), boxes.area(hulls)
    share = left / jnp.where(whole > 0, whole, 1)
    valid = jnp.asarray(objects.valid)
    moved = objects._replace(
        boxes=jnp.where(valid[..., None], clipped.astype(given.dtype), given),
        valid=valid & (left > 0) & (share >= visible),
    )
    if objects.areas is None:
        return moved
    areas = jnp.asarray(objects.areas)
    growth = jnp.abs(matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0])
    scaled = areas * (share * growth[:, None]).astype(areas.dtype)
    return moved._replace(areas=jnp.where(valid, scaled, areas))


def rectangle(size: Size, top: Array, left: Array, bottom: Array, right: Array) -> Bool[Array, "h w"]:
    """Return which places are in rows top … bottom - 1 and columns left … right - 1."""
    rows, columns = (jax.lax.broadcasted_iota(top.dtype, size, axis) for axis in (0, 1))
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
