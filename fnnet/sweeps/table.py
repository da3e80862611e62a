"""The table of a sweep: a record a member, and what the records say of the points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from fnnet.errors import ExtraMissingError, near_matches
from fnnet.sweeps.space import Point

TableRecord = dict[str, Any]


def make_records(
    points: Sequence[Point],
    members: Sequence[tuple[int, int]],
    steps: Sequence[int] | np.ndarray,
    columns: Mapping[str, Sequence[float] | np.ndarray],
) -> list[TableRecord]:
    """Return a record for each member ``(point, seed)``: its number, the point, the seed, its steps and its columns.

    >>> make_records([{"rate": 0.1}], [(0, 0)], [5], {"loss": [2.0]})
    [{'member': 0, 'rate': 0.1, 'seed': 0, 'steps': 5, 'loss': 2.0}]
    """
    return [
        {"member": n, **points[point], "seed": seed, "steps": int(steps[n])}
        | {name: float(values[n]) for name, values in columns.items()}
        for n, (point, seed) in enumerate(members)
    ]


def ranked(
    records: Sequence[TableRecord], names: Sequence[str], by: str, mode: Literal["min", "max"]
) -> list[TableRecord]:
    """Return a record a point, best first: the mean over its seeds of the column `by`, as ``mean``, and its ``std``.

    A point of which a seed is not finite has no mean and comes last; among those, the more finite seeds the better.
    Raises: ValueError for another column or mode.

    >>> records = [{"rate": rate, "loss": rate} for rate in (2.0, 1.0, math.nan)]
    >>> [record["rate"] for record in ranked(records, ["rate"], "loss", "min")]
    [1.0, 2.0, nan]
    """
    if mode not in ("min", "max"):
        raise ValueError(f"best: mode must be 'min' or 'max', got {mode!r}")
    known = [name for name in records[0] if name not in (*names, "member", "seed", "steps")]
    if by not in known:
        raise ValueError(f"best: the table has no column {by!r}; {near_matches(by, known)}")
    seeds: dict[Any, list[TableRecord]] = {}
    for record in records:
        seeds.setdefault(repr([record[name] for name in names]), []).append(record)
    rows = [_summary(group, names, by) for group in seeds.values()]
    sign = 1 if mode == "min" else -1

    def rank(row: TableRecord) -> tuple[bool, int, float]:
        lost = not math.isfinite(row["mean"])
        return lost, -row["finite"], 0.0 if lost else sign * row["mean"]

    return sorted(rows, key=rank)


def to_pandas(records: Sequence[TableRecord]) -> Any:
    """Return the records as a ``pandas.DataFrame``; ExtraMissingError without pandas."""
    try:
        import pandas as pd  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ModuleNotFoundError as error:
        raise ExtraMissingError("to_pandas", "needs the module 'pandas'", "pip install pandas") from error
    return pd.DataFrame(list(records))


def _summary(group: Sequence[TableRecord], names: Sequence[str], by: str) -> TableRecord:
    values = np.array([record[by] for record in group], np.float64)
    fine = bool(np.isfinite(values).all())
    return {name: group[0][name] for name in names} | {
        "mean": float(values.mean()) if fine else math.nan,
        "std": float(values.std(ddof=1)) if fine and len(values) > 1 else 0.0 if fine else math.nan,
        "seeds": len(values),
        "finite": int(np.isfinite(values).sum()),
    }
