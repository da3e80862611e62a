r"""How like two boxes ``xyxy`` are: the intersection over the union, and its kin that also tell how far apart they are.

All are computed in at least float32, do not change when both boxes are moved or scaled together, and have no ε: equal
boxes give exactly 1, and 0/0, of boxes without area, counts as 0. Values and gradients are finite for finite boxes
whose areas fit the dtype. Where two edges lie on one line, or a side is 0, the gradient is the mean of those of the two
sides; that of equal boxes is 0.

An inverted box, as a network may predict, covers nothing: its area and its IoU with any box are 0, with gradient 0. Its
corners still count for the hull and the centre, so that ``giou``, ``diou`` and ``ciou`` draw it towards the other box,
though none turns it round when it lies within: predict sides by ``softplus``, or add a loss of the coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.boxes.formats import as_boxes
from fnnet.dtypes import at_least_float32
from fnnet.errors import ShapeError

Boxes: TypeAlias = Float[ArrayLike, "*batch 4"]
"""Boxes ``xyxy``."""

Similarity: TypeAlias = Callable[[Array, Array], Array]
"""Of two arrays of boxes (..., 4): (...), at most 1."""


def iou(a: Boxes, b: Boxes) -> Float[Array, "*batch"]:
    r"""Area of the intersection over that of the union, :math:`|A \cap B| / |A \cup B|` (Jaccard 1901): from 0 to 1.

    Shapes: ``(..., 4), (..., 4) -> (...)``. The gradient is 0 for boxes apart: see ``giou``.
    Laws: symmetric; unchanged by moving or scaling both; 1 only for equal boxes with an area, up to rounding.
    Raises: DtypeError for integers; ShapeError unless both have one shape: ``pairwise`` takes all pairs.

    >>> a, b = jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 1.0, 3.0, 3.0])
    >>> float(fn.boxes.iou(a, a)), round(float(fn.boxes.iou(a, b)), 4)
    (1.0, 0.1429)
    """
    return _iou(*_axes("iou", a, b))


def giou(a: Boxes, b: Boxes) -> Float[Array, "*batch"]:
    r"""IoU less the share of the hull that neither covers, :math:`\mathrm{IoU} - |C \setminus (A \cup B)| / |C|`.

    The hull C is the smallest box around both (Rezatofighi et al. 2019, algorithm 1). From -1, far apart, to 1. Shapes,
    laws and errors are those of ``iou``. Law: at most the IoU.

    >>> float(fn.boxes.giou(jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.array([3.0, 0.0, 4.0, 1.0])))
    -0.5
    """
    x, y = _axes("giou", a, b)
    # Below 0 by rounding alone, where the union fills the hull.
    gap = jnp.maximum(_beyond(x, y, x.hull, y.hull) - _rest(x, y), 0)
    return _iou(x, y) - _ratio(gap, x.hull * y.hull)


def diou(a: Boxes, b: Boxes) -> Float[Array, "*batch"]:
    r"""IoU less the squared distance of the centres over the squared diagonal of the hull, :math:`\rho^2 / c^2`.

    After Zheng et al. (2020, equation 7): from -1 to 1. Shapes, laws and errors are those of ``iou``. Law: at most the
    IoU.

    >>> round(float(fn.boxes.diou(jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.array([3.0, 0.0, 4.0, 1.0]))), 4)
    -0.5294
    """
    x, y = _axes("diou", a, b)
    return _iou(x, y) - _distance(x, y)


def ciou(a: Boxes, b: Boxes) -> Float[Array, "*batch"]:
    r"""DIoU less :math:`\alpha v`, a term of the aspect ratios :math:`w/h` (Zheng et al. 2020, equations 8 to 11).

    :math:`v = \frac4{\pi^2}(\arctan\frac{w_b}{h_b} - \arctan\frac{w_a}{h_a})^2`, and :math:`\alpha = v / (1 -
    \mathrm{IoU} + v)` is a constant to the gradient, as in the paper. The gradient of v is the true one, of the order
    of one over the sides; the authors' code leaves out its divisor :math:`w^2 + h^2`. A point has no aspect ratio:
    v = 0. From -1.5 to 1. Shapes, laws and errors are those of ``iou``. Law: at most the DIoU.

    >>> a, b = jnp.array([0.0, 0.0, 4.0, 1.0]), jnp.array([0.0, 0.0, 1.0, 4.0])
    >>> round(float(fn.boxes.diou(a, b)), 4), round(float(fn.boxes.ciou(a, b)), 4)
    (0.0022, -0.1662)
    """
    x, y = _axes("ciou", a, b)
    similar = _iou(x, y)
    (angle, no_angle), (other, no_other) = _angle(x.a, y.a), _angle(x.b, y.b)
    v = jnp.where(no_angle | no_other, 0.0, jnp.square(angle - other) * (4 / jnp.pi**2))
    alpha = jax.lax.stop_gradient(_ratio(v, 1 - similar + v))
    return similar - _distance(x, y) - alpha * v


def covered(a: Boxes, b: Boxes) -> Float[Array, "*batch"]:
    r"""Share of the area of `a` that lies in `b`, :math:`|A \cap B| / |A|`: not symmetric; 1 where `b` contains `a`.

    So COCO compares a detection `a` with a crowd `b`. Shapes and errors are those of ``iou``.

    >>> float(fn.boxes.covered(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 0.0, 9.0, 9.0])))
    0.5
    """
    x, y = _axes("covered", a, b)
    inner = x.inner * y.inner
    return _ratio(inner, inner + _beyond(x, y, x.a, y.a))


def pairwise(
    similarity: Similarity, a: Float[ArrayLike, "*batch n 4"], b: Float[ArrayLike, "*batch m 4"]
) -> Float[Array, "*batch n m"]:
    """Return the similarity of every box of `a` with every box of `b`.

    Shapes: ``(..., n, 4), (..., m, 4) -> (..., n, m)``, with equal leading axes. Raises: DtypeError; ShapeError.

    >>> a = jnp.array([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 2.0]])
    >>> fn.boxes.pairwise(fn.boxes.iou, a, a[:1]).tolist()
    [[1.0], [0.5]]
    """
    a, b = as_boxes("pairwise", a), as_boxes("pairwise", b)
    if a.ndim < 2 or b.ndim < 2 or a.shape[:-2] != b.shape[:-2]:
        problem = (
            f"boxes must have shapes (..., n, 4) and (..., m, 4) with equal leading axes, got {a.shape}, {b.shape}"
        )
        raise ShapeError("pairwise", problem, "broadcast the leading axes, e.g. jnp.broadcast_to.")
    shape = (*a.shape[:-1], b.shape[-2], 4)
    return similarity(jnp.broadcast_to(a[..., :, None, :], shape), jnp.broadcast_to(b[..., None, :, :], shape))


class _Axis(NamedTuple):
    """Lengths along one axis: of the sides of a and b, of what they share, of the hull; and from centre to centre."""

    a: Array
    b: Array
    inner: Array
    hull: Array
    shift: Array


def _axes(where: str, a: Any, b: Any) -> tuple[_Axis, _Axis]:
    a, b = as_boxes(where, a), as_boxes(where, b)
    if a.shape != b.shape:
        fix = "pass arrays of one shape, nothing is broadcast; of all pairs: fn.boxes.pairwise(fn.boxes.iou, a, b)."
        raise ShapeError(where, f"the boxes must have one shape, got {a.shape} and {b.shape}", fix)
    dtype = max((at_least_float32(x.dtype) for x in (a, b)), key=lambda dtype: dtype.itemsize)
    a1, b1, a2, b2, a3, b3, a4, b4 = (x[..., i].astype(dtype) for i in range(4) for x in (a, b))
    return _axis(a1, a3, b1, b3), _axis(a2, a4, b2, b4)


def _axis(a1: Array, a2: Array, b1: Array, b2: Array) -> _Axis:
    a, b = jnp.maximum(a2 - a1, 0), jnp.maximum(b2 - b1, 0)
    inner = jnp.maximum(jnp.minimum(a2, b2) - jnp.maximum(a1, b1), 0)
    # Over all four, as those of an inverted box may be the outer ones.
    highest = jnp.maximum(jnp.maximum(a1, a2), jnp.maximum(b1, b2))
    lowest = jnp.minimum(jnp.minimum(a1, a2), jnp.minimum(b1, b2))
    return _Axis(a, b, inner, highest - lowest, ((a1 - b1) + (a2 - b2)) / 2)


def _beyond(x: _Axis, y: _Axis, width: Array, height: Array) -> Array:
    """Return the area of the box of these sides beyond the intersection, which it contains.

    A difference of areas is rounded, and two products that are equal may be rounded differently by a compiler that
    fuses one with the sum. This sum is exactly 0 where the sides are those of the intersection.
    """
    return (width - x.inner) * height + x.inner * (height - y.inner)


def _rest(x: _Axis, y: _Axis) -> Array:
    """Return the area that one of the two covers alone."""
    return _beyond(x, y, x.a, y.a) + _beyond(x, y, x.b, y.b)


def _iou(x: _Axis, y: _Axis) -> Array:
    inner = x.inner * y.inner
    return _ratio(inner, inner + _rest(x, y))


def _distance(x: _Axis, y: _Axis) -> Array:
    return _ratio(jnp.square(x.shift) + jnp.square(y.shift), jnp.square(x.hull) + jnp.square(y.hull))


def _angle(width: Array, height: Array) -> tuple[Array, Array]:
    """Return arctan(width / height), and whether there is none, both being 0."""
    # Over the longer side, taken as constant: neither value nor gradient changes, and no square is lost.
    longer = jax.lax.stop_gradient(jnp.maximum(width, height))
    point = longer <= jnp.finfo(longer.dtype).tiny
    scale = jnp.where(point, 1.0, longer)
    return jnp.arctan2(width / scale, jnp.where(point, 1.0, height / scale)), point


@jax.custom_jvp
def _ratio(part: Array, whole: Array) -> Array:
    """Return part / whole, and 0, with gradient 0, where the whole is 0."""
    none = whole <= jnp.finfo(whole.dtype).tiny
    return jnp.where(none, 0.0, part / jnp.where(none, 1.0, whole))


@_ratio.defjvp
def _ratio_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    # JAX's own rule divides by the square of the whole, which is 0 for areas of 1e-23 and infinite for 1e20.
    (part, whole), (d_part, d_whole) = primals, tangents
    none = whole <= jnp.finfo(whole.dtype).tiny
    ratio = _ratio(part, whole)
    return ratio, jnp.where(none, 0.0, (d_part - ratio * d_whole) / jnp.where(none, 1.0, whole))
