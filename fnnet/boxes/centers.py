"""Objects as points of a grid: each is found at the cell of its centre, which tells how far its box reaches."""

from __future__ import annotations

from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from fnnet.boxes.formats import Size, area, check_boxes, clip
from fnnet.boxes.records import Detections, Objects, check_objects
from fnnet.dtypes import at_least_float32
from fnnet.errors import DataError, ShapeError
from fnnet.shapes import check_count, check_floating
from fnnet.targets import check_value, known


class CenterMaps(NamedTuple):
    """What a detector says of each cell of a grid laid over the image, h × w cells.

    `heat`: for each class the logit that the centre of an object is in the cell. `sides`: how far to the left, up, to
    the right and down from the cell's centre the box of that object reaches, at least 0, in cells.
    """

    heat: Float[Array, "*batch h w classes"]
    sides: Float[Array, "*batch h w 4"]


class CenterTargets(NamedTuple):
    """What a detector should say of each cell.

    `heat`: 1 in the cells of centres, falling around them, in [0, 1]. `counted`: False where objects are that are
    neither to be found nor to be minded. `boxes`: ``xyxy`` in cells, of the object whose box the cell should tell, and
    `weights`, how much that counts: those of an object add up to 1, and where none is told both are 0. `number`: of
    the objects that are to be found.
    """

    heat: Float[Array, "*batch h w classes"]
    counted: Bool[Array, "*batch h w"]
    boxes: Float[Array, "*batch h w 4"]
    weights: Float[Array, "*batch h w"]
    number: Int[Array, "*batch"]


def center_targets(
    objects: Objects, grid: tuple[int, int], classes: int, *, stride: float, spread: float = 0.54
) -> CenterTargets:
    r"""Assign objects to the cells of a `grid` (h, w), each cell `stride` pixels wide and high.

    An object of w × h cells and centre c heats the cells of its class by a Gaussian around the cell of c,
    :math:`\exp(-\Delta_x^2/2\sigma_x^2 - \Delta_y^2/2\sigma_y^2)`, with :math:`\sigma_x = a w / 6` and
    :math:`\sigma_y = a h / 6`, a = `spread`, as far as :math:`|\Delta_x| \le a w / 2, |\Delta_y| \le a h / 2`; where
    several of a class do, the largest counts. So far, too, cells tell the object's box, weighted by the same Gaussian;
    a cell near several tells that of which its value is largest, and of equals the smallest object's (Liu et al. 2020,
    "Training-time-friendly network for real-time object detection", §3, which prefers the smallest throughout).

    Objects that are not valid, crowds, and those to `ignore` are not there to be found; within the boxes of the last
    two, heat is not counted, but for the cells of centres. Boxes without area have a centre, and tell it.

    Shapes: boxes (..., n, 4) in pixels -> maps (..., h, w, ...). Law: a translation by whole cells moves the targets.
    Raises: TypeError, ShapeError, DtypeError for objects; DataError for classes out of range, and boxes that are not
    finite or inverted, where they are known; ValueError for numbers out of range.

    >>> boxes, labels = jnp.array([[4.0, 8.0, 12.0, 16.0]]), jnp.array([1])
    >>> there = fn.boxes.Objects(boxes, labels, jnp.array([True]))
    >>> targets = fn.boxes.center_targets(there, (4, 4), 2, stride=4)
    >>> targets.heat[..., 1].round(2).tolist()[2:], targets.boxes[3, 2].tolist(), int(targets.number)
    ([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]], [1.0, 2.0, 3.0, 4.0], 1)
    """
    where = "center_targets"
    h, w = _check_grid(where, grid)
    check_count(where, "classes", classes)
    check_value(where, "stride", stride, "a number above 0", lambda s: s > 0)
    check_value(where, "spread", spread, "a number above 0", lambda s: s > 0)
    check_objects(where, objects)
    _check_known(where, objects, classes)
    of_one = partial(_targets, grid=(h, w), classes=classes, stride=stride, spread=spread)
    leading = jnp.ndim(objects.boxes) - 2
    return reduce(lambda f, _: jax.vmap(f), range(leading), of_one)(jax.tree.map(jnp.asarray, objects))


def center_boxes(sides: Float[Array, "*batch h w 4"]) -> Float[Array, "*batch h w 4"]:
    """Return the boxes that the cells tell, ``xyxy`` in cells: the centre of each, less and plus its sides.

    >>> fn.boxes.center_boxes(jnp.ones((1, 2, 4))).tolist()
    [[[-0.5, -0.5, 1.5, 1.5], [0.5, -0.5, 2.5, 1.5]]]
    """
    if sides.ndim < 3 or sides.shape[-1] != 4:
        raise ShapeError("center_boxes", f"sides must have shape (..., h, w, 4), got {sides.shape}", "see CenterMaps.")
    h, w = sides.shape[-3:-1]
    y, x = (jnp.arange(n, dtype=sides.dtype) + 0.5 for n in (h, w))
    middle = jnp.stack([jnp.broadcast_to(x[None, :], (h, w)), jnp.broadcast_to(y[:, None], (h, w))], -1)
    middle = jnp.broadcast_to(middle, (*sides.shape[:-1], 2))
    return jnp.concatenate([middle - sides[..., :2], middle + sides[..., 2:]], -1)


def center_detections(
    maps: CenterMaps, *, stride: float, count: int = 100, least_score: float = 0.01, size: Size | None = None
) -> Detections:
    """Return the `count` best detections of each image: the peaks of the heat, with the boxes that their cells tell.

    A peak is a cell whose heat for a class is not below that of its eight neighbours; its score is the logistic
    function of it, and it is valid if that is at least `least_score`. Boxes are in pixels, `stride` a cell, clipped to
    the image of `size` (height, width), by default that of the whole grid. Two peaks of a class may tell boxes that
    are alike: ``fn.boxes.suppress`` leaves the better one.

    Shapes: maps (..., h, w, ...) -> (..., count). By falling score; what is not valid is 0. Raises: ShapeError,
    DtypeError, ValueError. Zhou et al. 2019, "Objects as points", §4.1.

    >>> heat = jnp.full((2, 2, 1), -9.0).at[0, 1].set(2.0)
    >>> found = fn.boxes.center_detections(fn.boxes.CenterMaps(heat, jnp.ones((2, 2, 4))), stride=8, count=2)
    >>> found.boxes.tolist(), found.valid.tolist()
    ([[4.0, 0.0, 16.0, 12.0], [0.0, 0.0, 0.0, 0.0]], [True, False])
    """
    where = "center_detections"
    check_maps(where, maps)
    check_value(where, "stride", stride, "a number above 0", lambda s: s > 0)
    check_value(where, "least_score", least_score, "a number", lambda s: s == s)
    check_count(where, "count", count)
    *_, h, w, classes = maps.heat.shape
    heat = maps.heat.astype(at_least_float32(maps.heat.dtype))
    peaks = jnp.where(heat < _neighbourhood(heat), -jnp.inf, heat).reshape(*heat.shape[:-3], -1)
    missing = max(0, count - peaks.shape[-1])
    peaks = jnp.pad(peaks, [(0, 0)] * (peaks.ndim - 1) + [(0, missing)], constant_values=-jnp.inf)
    logits, places = jax.lax.top_k(peaks, count)
    scores = jax.nn.sigmoid(logits)
    valid = jnp.isfinite(logits) & (scores >= least_score) | jnp.isnan(logits)
    told = center_boxes(maps.sides.astype(heat.dtype)).reshape(*heat.shape[:-3], h * w, 4) * stride
    cells = jnp.minimum(places // classes, h * w - 1)
    boxes = clip(jnp.take_along_axis(told, cells[..., None], -2), (h * stride, w * stride) if size is None else size)
    return Detections(
        jnp.where(valid[..., None], boxes, 0), jnp.where(valid, scores, 0), jnp.where(valid, places % classes, 0), valid
    )


def check_maps(where: str, maps: Any) -> None:
    """Raise unless these are a detector's maps: heat (..., h, w, classes) and sides (..., h, w, 4), floating-point."""
    if not isinstance(maps, CenterMaps):
        raise TypeError(f"{where}: expected fn.boxes.CenterMaps, got {type(maps).__name__}; see fn.nets.center_head")
    for field in maps:
        check_floating(where, field)
    shape = jnp.shape(maps.heat)
    if len(shape) < 3 or 0 in shape[-3:] or jnp.shape(maps.sides) != (*shape[:-1], 4):
        problem = f"expected heat (..., h, w, classes) and sides (..., h, w, 4), got {shape} and {maps.sides.shape}"
        raise ShapeError(where, problem, "give each cell of one grid both.")


def _targets(there: Objects, grid: tuple[int, int], classes: int, stride: float, spread: float) -> CenterTargets:
    """Return the targets of one image. What cannot be right, as far as values were not known before, makes them nan."""
    h, w = grid
    there = _by_area(there)
    boxes = there.boxes.astype(at_least_float32(there.boxes.dtype)) / stride
    spared = there.valid & (_flag(there.crowd, there.valid) | _flag(there.ignore, there.valid))
    sought = there.valid & ~spared
    right = jnp.isfinite(boxes).all(-1) & (boxes[:, :2] <= boxes[:, 2:]).all(-1)
    right &= (there.classes >= 0) & (there.classes < classes)
    sides = _Sides(boxes[:, 0], boxes[:, 2], w), _Sides(boxes[:, 1], boxes[:, 3], h)
    x, y = (_bump(axis, spread) for axis in sides)
    bumps = jnp.where(sought[:, None, None], y[:, :, None] * x[:, None, :], 0)
    bumps = jnp.where((sought & ~right)[:, None, None], jnp.nan, bumps)
    heat = jnp.zeros((classes, h, w), bumps.dtype).at[jnp.clip(there.classes, 0, classes - 1)].max(bumps)
    owner = bumps.argmax(0)  # of equal bumps the first, the smallest object's
    own = jnp.where(jnp.arange(len(boxes))[:, None, None] == owner[None], bumps, 0)
    shares = own / jnp.maximum(own.sum((1, 2), keepdims=True), jnp.finfo(own.dtype).tiny)
    weights = shares.sum(0)
    told = jnp.where(weights[..., None] == 0, 0, boxes[owner])
    x, y = (_within(axis) for axis in sides)
    unminded = (spared[:, None, None] & y[:, :, None] & x[:, None, :]).any(0) & (heat.max(0) < 1)
    return CenterTargets(heat.transpose(1, 2, 0), ~unminded, told, weights, sought.sum(dtype=jnp.int32))


class _Sides(NamedTuple):
    """The objects along one axis of `cells` cells, from `low` to `high`, in cells."""

    low: Float[Array, " n"]
    high: Float[Array, " n"]
    cells: int


def _bump(axis: _Sides, spread: float) -> Float[Array, "n cells"]:
    """Return the Gaussian of each object: 1 in the cell of its centre, 0 from where it is cut off."""
    center = jnp.clip(jnp.floor((axis.low + axis.high) / 2), 0, axis.cells - 1)
    distance = jnp.abs(jnp.arange(axis.cells, dtype=axis.low.dtype)[None, :] - center[:, None])
    reach = (spread * (axis.high - axis.low) / 2)[:, None]
    gaussian = jnp.exp(-4.5 * jnp.square(distance / jnp.where(reach > 0, reach, 1)))  # σ is a third of the reach
    return jnp.where((distance > reach) & (distance > 0), 0, gaussian)


def _within(axis: _Sides) -> Bool[Array, "n cells"]:
    """Return which cells have their centre between the two sides of each box."""
    middle = jnp.arange(axis.cells, dtype=axis.low.dtype)[None, :] + 0.5
    return (middle >= axis.low[:, None]) & (middle <= axis.high[:, None])


def _by_area(there: Objects) -> Objects:
    """Return the objects, at least one, the smallest first."""
    room = int(len(there.boxes) == 0)
    there = jax.tree.map(lambda field: jnp.pad(field, [(0, room)] + [(0, 0)] * (field.ndim - 1)), there)
    order = jnp.argsort(area(there.boxes), stable=True)
    return Objects._make(None if field is None else field[order] for field in there)


def _flag(field: Any, valid: Bool[Array, " n"]) -> Bool[Array, " n"]:
    return jnp.zeros_like(valid) if field is None else field.astype(bool)


def _neighbourhood(heat: Float[Array, "*batch h w classes"]) -> Float[Array, "*batch h w classes"]:
    """Return the largest of each cell and its eight neighbours."""
    for axis in (heat.ndim - 3, heat.ndim - 2):
        padding = [(1, 1) if a == axis else (0, 0) for a in range(heat.ndim)]
        padded = jnp.pad(heat, padding, constant_values=-jnp.inf)
        n = heat.shape[axis]
        before, after = (jax.lax.slice_in_dim(padded, start, start + n, axis=axis) for start in (0, 2))
        heat = jnp.maximum(heat, jnp.maximum(before, after))
    return heat


def _check_grid(where: str, grid: Any) -> tuple[int, int]:
    if not isinstance(grid, tuple | list) or len(grid) != 2:
        raise ValueError(f"{where}: grid must be (h, w), the numbers of cells, got {grid!r}")
    return check_count(where, "h of the grid", grid[0]), check_count(where, "w of the grid", grid[1])


def _check_known(where: str, objects: Objects, classes: int) -> None:
    """Raise DataError for a class out of range or a box that is none, among valid objects whose values are known."""
    boxes, labels, valid = (known(field) for field in objects[:3])
    if boxes is None or labels is None or valid is None:
        return
    wrong = valid & ((labels < 0) | (labels >= classes))
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        problem = f"classes must be from 0 to {classes - 1}, got {labels[index]} at index {index}"
        raise DataError(where, problem, "number the classes from 0, or make room for more of them.")
    check_boxes(boxes.astype(np.float64), valid=valid, allow_empty=True, where=f"{where}: boxes")
