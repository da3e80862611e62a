"""What one unit can decide: the widest margin, and a certificate that two classes can or cannot be separated."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from fnnet.errors import DataError
from fnnet.neurons.checks import check_examples, check_two_classes

_NONE, _ROUNDING = 1e-9, 1e-12  # of multipliers of features that span 1


class Certificate(NamedTuple):
    """Whether a plane separates two classes, with the proof, in float64 NumPy arrays.

    If it does, `kernel` (n,) and `bias` are such a plane: w·x + b ≥ 1 on class 1 and ≤ -1 on the other. If not,
    `multipliers` (rows,), none negative, sum to 1 over each class and give both the same mean: a point that is in both
    convex hulls, on both sides of any plane. The other fields are None. Either is checked by arithmetic alone.
    """

    separable: bool
    kernel: Float[np.ndarray, n] | None
    bias: float | None
    multipliers: Float[np.ndarray, rows] | None


class Margin(NamedTuple):
    r"""The plane of the widest margin where θ is a weight: `kernel` (n,) and `bias`, of length 1 together.

    `gamma` is the least distance, :math:`\min_i \pm(w \cdot x_i + b)`, and `radius` the greatest length, both of
    (x, 1).
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
    its classes do not meet: either the plane is found, or multipliers of a point in both (Farkas' lemma).

    Raises: as ``perceptron``; DataError where it cannot be told, the margin being within the precision of the program.

    >>> bits = fn.neurons.boolean_inputs(2).astype(jnp.float32)
    >>> fn.neurons.separable(bits, jnp.array([0, 0, 0, 1])).separable
    True
    >>> fn.neurons.separable(bits, jnp.array([0, 1, 1, 0])).multipliers.tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    points, signs = _signed("separable", x, y)
    # A shift and a scale of each feature change nothing but the conditioning.
    centre, spread = points.mean(0), np.ptp(points, axis=0)
    scaled = (points - centre) / np.where(spread > 0, spread, 1)
    if (plane := _plane(scaled, signs)) is not None:
        kernel = plane[:-1] / np.where(spread > 0, spread, 1)
        bias = float(plane[-1] - kernel @ centre)
        least = float((signs * (points @ kernel + bias)).min())
        if least > 0:
            return Certificate(True, kernel / least, bias / least, None)
    if (multipliers := _meeting(scaled, signs)) is not None:
        return Certificate(False, None, None, multipliers)
    fix = "take out the examples of both classes that are nearest to each other."
    raise DataError("separable", "cannot be told: the margin is within the precision of the program", fix)


def margin(x: ArrayLike, y: ArrayLike) -> Margin:
    r"""Return the widest margin of two classes: :math:`\gamma = \max_{|w, b| = 1} \min_i \pm(w \cdot x_i + b)`.

    It is measured where the perceptron walks, in the space of (x, 1) in which the threshold is a weight: so the bound
    of the theorem is ``margin(x, y).bound``. Solved as the least-distance problem of the hard-margin support vector
    machine, min |w, b| with ±(w·xᵢ + b) ≥ 1, by non-negative least squares (Lawson & Hanson 1974, ch. 23).

    Raises: as ``perceptron``; DataError if no plane separates the classes.

    >>> round(fn.neurons.margin(jnp.array([[-1.0], [3.0]]), jnp.array([0, 1])).gamma, 4)
    1.4142
    """
    from scipy.optimize import nnls

    points, signs = _signed("margin", x, y)
    inputs = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    radius = float(np.linalg.norm(inputs, axis=1).max())
    rows = signs[:, None] * inputs / radius
    system = np.concatenate([rows.T, np.ones((1, len(rows)))])
    goal = np.zeros(len(system))
    goal[-1] = 1
    multipliers, _ = nnls(system, goal)
    residual = system @ multipliers - goal
    plane = residual[:-1] / np.linalg.norm(residual[:-1]) if residual[:-1].any() else residual[:-1]
    gamma = float((rows @ plane).min()) * radius
    if not gamma > 1e-12 * radius:
        fix = "separable(x, y) proves it; pocket_perceptron and averaged_perceptron learn such data."
        raise DataError("margin", "no plane separates the classes, or within rounding alone", fix)
    return Margin(gamma, radius, plane[:-1], float(plane[-1]))


def _signed(where: str, x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return checked examples in float64, and -1 or 1 for each."""
    check_two_classes(where, check_examples(where, x, y)[1])
    return np.asarray(x, np.float64), np.where(np.asarray(y) > 0, 1.0, -1.0)


def _plane(points: np.ndarray, signs: np.ndarray) -> Any:
    """Return (w, b) with ±(w·x + b) ≥ 1 on every row; None if there is none."""
    inputs = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    return _feasible(inputs.shape[1], (None, None), A_ub=-signs[:, None] * inputs, b_ub=-np.ones(len(points)))


def _meeting(points: np.ndarray, signs: np.ndarray) -> Any:
    """Return multipliers of both classes, each sum 1, whose points are one; None if there are none."""
    rows = np.concatenate([(signs[:, None] * points).T, [signs == 1], [signs == -1]]).astype(np.float64)
    goal = np.r_[np.zeros(points.shape[1]), 1.0, 1.0]
    if (found := _feasible(len(points), (0, None), A_eq=rows, b_eq=goal)) is None:
        return None
    # The program is solved to a tolerance; on the points that it chose the equations can be solved to rounding.
    chosen = found > _NONE
    solved = np.zeros(len(points))
    solved[chosen] = np.linalg.lstsq(rows[:, chosen], goal, rcond=None)[0]
    exact = (m for m in (found, solved) if m.min() >= 0 and np.abs(rows @ m - goal).max() < _ROUNDING)
    return next(exact, None)


def _feasible(count: int, bounds: tuple[float | None, float | None], **constraints: np.ndarray) -> Any:
    from scipy.optimize import linprog

    result = linprog(np.zeros(count), bounds=bounds, method="highs", **constraints)
    return result.x if result.status == 0 else None
