"""What one unit can decide: the widest margin, and a certificate that two classes can or cannot be separated."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from fnnet.errors import DataError
from fnnet.neurons.checks import check_finite, check_rows, check_two_classes
from fnnet.neurons.exact import in_floats, least_product, rational, shortest_plane

_NONE = 1e-9  # of multipliers of features that span 1
_PRECISION = 1e-6  # of a margin
_MOST_EXACT = 64  # features: the digits of whole numbers, and the time, grow with them


class Certificate(NamedTuple):
    """Whether a plane separates two classes, with the proof, in float64 NumPy arrays.

    If it does, `kernel` (n,) and `bias` are such a plane: w·x + b ≥ 1 on class 1 and ≤ -1 on the other, before any
    rounding of the sum. If not, `multipliers` (rows,), none negative, sum to 1 over each class and give both the same
    mean: a point that is in both convex hulls, on both sides of any plane; they are rounded, and there are exact ones.
    The other fields are None. Either is checked by arithmetic alone.
    """

    separable: bool
    kernel: Float[np.ndarray, n] | None
    bias: float | None
    multipliers: Float[np.ndarray, rows] | None


class Margin(NamedTuple):
    r"""The plane of the widest margin where θ is a weight: `kernel` (n,) and `bias`, of length 1 together.

    `gamma` is the least distance, :math:`\min_i \pm(w \cdot x_i + b)`, to a millionth, and `radius` the greatest
    length, both of (x, 1).
    """

    gamma: float
    radius: float
    kernel: Float[np.ndarray, n]
    bias: float

    @property
    def bound(self) -> float:
        """The most mistakes that a perceptron can make on these data: (R/γ)²."""
        return (self.radius / self.gamma) ** 2


def separable(x: ArrayLike, y: ArrayLike) -> Certificate:
    r"""Say whether one unit can decide two classes, and prove it either way, by a linear program.

    `x` (rows, n), `y` (rows,) of 0 and 1, or of -1 and 1. A finite set is separated by a plane iff the convex hulls of
    its classes do not meet: either the plane is found, or multipliers of a point in both (Farkas' lemma). Both are
    verified with all rounding allowed for; where float64 does not tell, up to 64 features, whole numbers do.

    Raises: as ``perceptron``; DataError where it cannot be told, as the margin of more features, or of the plane when
    its numbers are rounded, is within the precision of float64; TypeError for traced arrays, as in ``jit``.

    >>> bits = fn.neurons.boolean_inputs(2).astype(jnp.float32)
    >>> fn.neurons.separable(bits, jnp.array([0, 0, 0, 1])).separable
    True
    >>> fn.neurons.separable(bits, jnp.array([0, 1, 1, 0])).multipliers.tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    return _certificate("separable", *_signed("separable", x, y))


def margin(x: ArrayLike, y: ArrayLike) -> Margin:
    r"""Return the widest margin of two classes: :math:`\gamma = \max_{|w, b| = 1} \min_i \pm(w \cdot x_i + b)`.

    It is measured where the perceptron walks, in the space of (x, 1) in which the threshold is a weight: so the bound
    of the theorem is ``margin(x, y).bound``. Solved as the least-distance problem of the hard-margin support vector
    machine, min |w, b| with ±(w·xᵢ + b) ≥ 1, by non-negative least squares (Lawson & Hanson 1974, ch. 23): in float64
    and, where its result is not proved the widest by duality, in whole numbers, up to 64 features.

    Raises: as ``separable``; DataError if no plane separates the classes, or the margin of more features is too narrow.

    >>> round(fn.neurons.margin(jnp.array([[-1.0], [3.0]]), jnp.array([0, 1])).gamma, 4)
    1.4142
    """
    points, signs = _signed("margin", x, y)
    rows = signs[:, None] * np.concatenate([points, np.ones((len(points), 1))], axis=1)
    if (widest := _widest(rows)) is None:
        apart = _certificate("margin", points, signs).separable
        if apart and points.shape[1] > _MOST_EXACT:
            fix = "centre the features and scale them to like spreads; the margin is then that of the new ones."
            raise DataError("margin", "a plane separates the classes, by a margin within rounding", fix)
        shortest = shortest_plane(rational(rows))[0] if apart else None
        if shortest is None:
            fix = "separable(x, y) proves it; pocket_perceptron and averaged_perceptron learn such data."
            raise DataError("margin", "no plane separates the classes", fix)
        plane = in_floats(shortest)
        length = float(np.linalg.norm(plane))
        widest = float(1 / np.abs(shortest).max()) / length, plane / length
    gamma, plane = widest
    return Margin(gamma, _length(rows), plane[:-1], float(plane[-1]))


def _signed(where: str, x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return checked examples in float64, and -1 or 1 for each."""
    if any(isinstance(values, jax.core.Tracer) for values in (x, y)):
        raise TypeError(f"{where}: x and y must hold known values, got traced ones: call it outside jit, vmap and grad")
    points, labels = check_rows(where, x, y)
    check_two_classes(where, labels)
    check_finite(where, points := np.asarray(points, np.float64))
    return points, np.where(np.asarray(labels) > 0, 1.0, -1.0)


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is no plane
def _certificate(where: str, points: np.ndarray, signs: np.ndarray) -> Certificate:
    """Return a proof that linear programs in float64 found or, where they do not tell, whole numbers."""
    # A shift and a scale of each feature change nothing but the conditioning. Powers of two round nothing.
    low, high = points.min(0) / 2, points.max(0) / 2
    centre, exponents = low + high, np.clip(np.frexp(high - low)[1], -1000, 1000)
    scaled = np.ldexp(points - centre, -exponents)
    if (plane := _plane(scaled, signs)) is not None:
        kernel = np.ldexp(plane[:-1], -exponents)
        if (found := _separating(points, signs, np.r_[kernel, plane[-1] - kernel @ centre])) is not None:
            return found
    multipliers, chosen = _meeting(scaled, signs)
    if multipliers is not None:
        return Certificate(False, None, None, multipliers)
    few = [chosen] if 0 < len(chosen) <= _MOST_EXACT + 2 else []
    for rows in (*few, *([np.arange(len(points))] if points.shape[1] <= _MOST_EXACT else [])):
        if (found := _exactly(points, signs, rows, centre, exponents)) is not None:
            return found
    fix = "take out outliers, and the examples of both classes that are nearest to each other."
    raise DataError(where, "cannot be told: the margin is within the precision of float64", fix)


def _exactly(
    points: np.ndarray, signs: np.ndarray, rows: np.ndarray, centre: np.ndarray, exponents: np.ndarray
) -> Certificate | None:
    """Return a proof that is found in whole numbers from these rows; None if it does not hold for all."""
    scales, origin = rational(np.ldexp(1.0, -exponents)), rational(centre)
    inputs = np.column_stack([(rational(points[rows]) - origin) * scales, rational(np.ones(len(rows)))])
    plane, chosen = shortest_plane(rational(signs[rows])[:, None] * inputs)
    if plane is None:
        multipliers = np.zeros(len(points))
        multipliers[rows] = 2 * chosen  # their sum is 1 over both classes
        return Certificate(False, None, None, multipliers)
    kernel = plane[:-1] * scales
    return _separating(points, signs, in_floats(np.r_[kernel, plane[-1] - kernel @ origin]))


def _separating(points: np.ndarray, signs: np.ndarray, plane: np.ndarray) -> Certificate | None:
    """Return the plane as a certificate if it is one, so long that ±(w·x + b) ≥ 1."""
    rows = signs[:, None] * np.concatenate([points, np.ones((len(points), 1))], axis=1)
    if not np.isfinite(plane).all() or not (least := least_product(rows, plane)) > 0:
        return None
    plane = np.ldexp(plane, max(0, 1 - int(np.frexp(least)[1])))
    return Certificate(True, plane[:-1], float(plane[-1]), None) if np.isfinite(plane).all() else None


def _length(rows: np.ndarray) -> float:
    """Return the length of the longest row."""
    greatest = float(np.abs(rows).max())
    return float(np.linalg.norm(rows / greatest, axis=1).max()) * greatest


def _widest(rows: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Return the widest margin and its plane of length 1, or None if that is not proved."""
    from scipy.optimize import nnls

    rows = rows / (radius := _length(rows))
    system = np.concatenate([rows.T, np.ones((1, len(rows)))])
    multipliers, _ = nnls(system, np.r_[np.zeros(rows.shape[1]), 1.0])
    normal = multipliers @ rows
    if not (length := np.linalg.norm(normal)):
        return None
    # No margin is wider than |Σ m row| / Σ m, whatever the multipliers.
    gamma, most = (rows @ normal).min() / length, length / multipliers.sum()
    rounding = 4 * rows.shape[1] * np.finfo(np.float64).eps
    return (float(gamma) * radius, normal / length) if most - gamma + rounding < _PRECISION * gamma else None


def _plane(points: np.ndarray, signs: np.ndarray) -> Any:
    """Return (w, b) with ±(w·x + b) ≥ 1 on every row; None if there is none."""
    inputs = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    return _feasible(inputs.shape[1], (None, None), A_ub=-signs[:, None] * inputs, b_ub=-np.ones(len(points)))


def _meeting(points: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return multipliers of both classes, each sum 1, whose points are one, or None unless proved; and rows to try."""
    rows = np.concatenate([(signs[:, None] * points).T, [signs == 1], [signs == -1]]).astype(np.float64)
    goal = np.r_[np.zeros(points.shape[1]), 1.0, 1.0]
    if (found := _feasible(len(points), (0, None), A_eq=rows, b_eq=goal)) is None:
        return None, np.arange(0)
    # The program is solved to a tolerance; on the points that it chose the equations can be solved to rounding.
    chosen = np.flatnonzero(found > _NONE)
    solved = np.zeros(len(points))
    solved[chosen] = np.linalg.lstsq(rows[:, chosen], goal, rcond=None)[0]
    return next((m for m in (found, solved) if _is_near_a_solution(rows, goal, m)), None), chosen


def _is_near_a_solution(rows: np.ndarray, goal: np.ndarray, multipliers: np.ndarray) -> bool:
    """Whether multipliers above zero, near those given, solve ``rows @ m = goal`` without rounding.

    They do if the equations for those in use are as many and independent, and their solution is not so far away that
    one were negative: no farther than the residual over the least singular value, rounding allowed for.
    """
    used = multipliers[multipliers > 0]
    rows = rows[rows.any(1)]
    matrix, goal = rows[:, multipliers > 0], goal[-len(rows) :]
    if multipliers.min() < 0 or len(matrix) != len(used):
        return False
    values = np.linalg.svd(matrix, compute_uv=False)
    slack = 8 * len(used) ** 1.5 * np.finfo(np.float64).eps * values[0]
    error = np.linalg.norm(matrix @ used - goal) + slack * np.linalg.norm(used)
    return bool(values[-1] > slack and error / (values[-1] - slack) < used.min())


def _feasible(count: int, bounds: tuple[float | None, float | None], **constraints: np.ndarray) -> Any:
    from scipy.optimize import linprog

    result = linprog(np.zeros(count), bounds=bounds, method="highs", **constraints)
    return result.x if result.status == 0 else None
