"""The history and the metrics of a run while it grows: columns in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from fnnet import tree

Pieces: TypeAlias = tuple[dict[str, Any], ...]
"""Columns in pieces, each longer than the one after it: there are few, and no row is copied often."""


def appended(pieces: Pieces, new: dict[str, Any]) -> Pieces:
    """Return the pieces and a new one, joined with those before it that are not longer."""
    while pieces and len(pieces[-1]["step"]) <= len(new["step"]):
        pieces, new = pieces[:-1], joined((pieces[-1], new))
    return (*pieces, new)


def joined(pieces: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the columns as a whole; none of no piece."""
    return tree.map(lambda *columns: np.concatenate(columns), *pieces) if pieces else {}


def column(value: np.ndarray) -> np.ndarray:
    """Return a value as a column of one row: scalars in full precision, whatever they were computed in."""
    return np.asarray(value if np.ndim(value) else value.item())[None]


def row_at(columns: dict[str, Any], n: int) -> dict[str, Any]:
    """Return a row of the columns, its scalars as Python's numbers."""
    return tree.map(lambda column: column[n] if np.ndim(column) > 1 else column[n].item(), columns)


def means(losses: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the mean of the losses up to each end from the one before, without those of batches that were skipped."""
    finite, starts = np.isfinite(losses[: ends[-1]]), np.concatenate([[0], ends[:-1]])
    sums = np.add.reduceat(np.where(finite, losses[: ends[-1]], 0).astype(np.float64), starts)
    counts = np.add.reduceat(finite.astype(np.int64), starts)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
