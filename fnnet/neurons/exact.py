"""Planes and multipliers in whole numbers, where float64 cannot tell."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

_ROUNDING = np.finfo(np.float64)
_INDEPENDENT = 1e-9  # of what is left of a row beside the others


def rational(values: Any) -> np.ndarray:
    """Return float64 numbers as Fractions, which hold them without rounding."""
    return np.vectorize(Fraction, otypes=[object])(values)


def in_floats(plane: np.ndarray) -> np.ndarray:
    """Return Fractions, not all zero, in float64, divided by the greatest of them."""
    return (plane / np.abs(plane).max()).astype(np.float64)


def least_product(rows: np.ndarray, plane: np.ndarray) -> float:
    """Return a number that no row·plane, of float64 numbers, is below: one above zero, if all are."""
    with np.errstate(over="ignore", invalid="ignore"):
        products = rows @ plane
        slack = _slack(rows, plane)
        least, sure = products - slack, products > 2 * slack
        if (products < -slack).any():
            return float(least.min())
    exact = min((row @ rational(plane) for row in rational(rows[~sure])), default=Fraction(1))
    known = np.nextafter(float(max(Fraction(-1), min(exact, Fraction(1)))), -np.inf)  # the conversion may round it up
    return float(min(known, least[sure].min(initial=np.inf)))


def shortest_plane(rows: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    r"""Return the shortest p with row·p ≥ 1 for each row of Fractions, or None if there is none; and multipliers.

    Without p the multipliers, none negative, of sum 1, make :math:`\sum_i m_i\,\mathrm{row}_i = 0` (Farkas' lemma).
    The least-distance problem by non-negative least squares (Lawson & Hanson 1974, ch. 23): they make
    :math:`|\sum_i m_i\,\mathrm{row}_i|^2 + (\sum_i m_i - 1)^2` least. Nothing is rounded, so it ends.
    """
    unit = max(value.denominator for value in rows.flat)  # all are powers of two
    system = np.column_stack([rows * unit, np.full(len(rows), unit)])
    system = np.vectorize(int, otypes=[object])(system)
    rough = (system / np.abs(system).max()).astype(np.float64)
    goal = np.array([*[0] * rows.shape[1], unit], object)
    chosen, weights = _beginning(rough)
    while True:
        # The weights of the chosen rows are to be parts / whole; those that come to zero on the way are dropped.
        parts, whole = _solve(system[chosen] @ system[chosen].T, unit * unit)
        wanted = [Fraction(part, whole) for part in parts]
        if any(weight <= 0 for weight in wanted):
            far = min(a / (a - b) for a, b in zip(weights, wanted, strict=True) if b <= 0)
            weights = [a + far * (b - a) for a, b in zip(weights, wanted, strict=True)]
            chosen = [row for row, weight in zip(chosen, weights, strict=True) if weight > 0]
            weights = [weight for weight in weights if weight > 0]
            continue
        residual = whole * goal - parts @ system[chosen]
        if (entering := _below(system, rough, residual, chosen)) is None:
            multipliers = np.zeros(len(rows))
            multipliers[chosen] = wanted
            plane = np.array([Fraction(-part, residual[-1]) for part in residual[:-1]]) if residual[-1] else None
            return plane, multipliers
        chosen, weights = [*chosen, entering], [*wanted, Fraction(0)]


def _beginning(rough: np.ndarray) -> tuple[list[int], list[Fraction]]:
    """Return rows and weights near the solution, found in float64: independent ones, weights above zero."""
    from scipy.linalg import qr
    from scipy.optimize import nnls

    try:
        multipliers, _ = nnls(rough.T, np.r_[np.zeros(rough.shape[1] - 1), rough[0, -1]])
    except RuntimeError:  # it did not end; any row is a beginning
        multipliers = np.eye(len(rough))[0]
    used = np.flatnonzero(multipliers)
    if not len(used):
        return [0], [Fraction(1)]
    _, triangle, order = qr(rough[used].T, mode="economic", pivoting=True)
    lengths = np.abs(np.diag(triangle))
    kept = used[order[: int((lengths > _INDEPENDENT * lengths[0]).sum())]]
    return kept.tolist(), [Fraction(weight) for weight in multipliers[kept].tolist()]


def _slack(rows: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Return what bounds the error of each row·plane, its numbers being rounded too."""
    return 4 * len(plane) * _ROUNDING.eps * (np.abs(rows) @ np.abs(plane)) + _ROUNDING.tiny


def _below(system: np.ndarray, rough: np.ndarray, residual: np.ndarray, chosen: list[int]) -> int | None:
    """Return a row whose product with the residual is above zero; None if there is none. Those chosen are at zero."""
    if not residual.any():
        return None
    plane = in_floats(np.array([Fraction(part) for part in residual]))
    products, slack = rough @ plane, _slack(rough, plane)
    products[chosen] = -np.inf
    if (sure := products - slack).max() > 0:
        return int(sure.argmax())
    doubtful = np.flatnonzero(products > -slack)
    return next((int(row) for row in doubtful if system[row] @ residual > 0), None)


def _solve(gram: np.ndarray, goal: int) -> tuple[np.ndarray, int]:
    """Return parts and whole of the solution of ``gram @ m = goal``, positive definite: elimination in whole numbers.

    Bareiss 1968: each quotient is one.
    """
    rows, last = np.column_stack([gram, np.full(len(gram), goal, object)]), 1  # object: Python's whole numbers
    for n in range(len(rows)):
        others = np.arange(len(rows)) != n
        rows[others] = (rows[others] * rows[n, n] - np.outer(rows[others, n], rows[n])) // last
        last = rows[n, n]
    return rows[:, -1], last
