"""Sweeps: which hyperparameters went with which result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fnnet.errors import needs_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = "viridis"
_MOST_TICKS, _LABEL = 12, 0.05  # of an axis, and the height of a label as a share of it


def parallel_coordinates(
    records: Sequence[Mapping[str, Any]], names: Sequence[str], value: str, *, title: str = ""
) -> Figure:
    """Draw a line a record through one axis a hyperparameter to that of `value`, which colours it.

    Numbers above 0 that span tenfold are on a logarithmic axis; what is no number has a place each. Records whose
    value is not finite are dotted and end before the last axis.

    >>> records = [{"rate": 0.1, "width": 8, "loss": 2.0}, {"rate": 0.2, "width": 16, "loss": 1.0}]
    >>> [t.get_text() for t in parallel_coordinates(records, ["rate", "width"], "loss").axes[0].get_xticklabels()]
    ['rate', 'width', 'loss']
    """
    with needs_extra("parallel_coordinates", "plot"):
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    columns = [*names, value]
    figure = Figure(figsize=(1.9 * len(columns) + 1.2, 3.8), layout="constrained")
    axes = figure.subplots()
    scales = [_scale([record[name] for record in records]) for name in columns]
    places = np.array(
        [[place(record[name]) for name, (place, _) in zip(columns, scales, strict=True)] for record in records]
    )
    colours = colormaps[_COLOURS]
    for row in places[np.argsort(-places[:, -1])]:
        if math.isfinite(row[-1]):
            axes.plot(range(len(columns)), row, color=colours(0.9 * row[-1]), alpha=0.7)
        else:
            axes.plot(range(len(names)), row[:-1], color="0.6", linestyle=":")
    behind = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1}
    for x, (_, ticks) in enumerate(scales):
        axes.axvline(x, color="0.3", linewidth=0.8, zorder=0)
        for y, label in ticks:
            axes.annotate(
                label,
                (x, y),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                bbox=behind,
                parse_math=False,
            )
    axes.set(xlim=(-0.1, len(columns) - 0.5), ylim=(-0.06, 1.06), yticks=[])
    axes.set_xticks(range(len(columns)), [name.replace("_", " ") for name in columns])
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    figure.suptitle(title, parse_math=False)
    return figure


def heat_map(records: Sequence[Mapping[str, Any]], x: str, y: str, value: str, *, title: str = "") -> Figure:
    """Draw the mean of `value` over the records of each pair of `x` and `y`; a cell without a finite mean is empty.

    >>> records = [{"rate": 0.1, "width": 8, "loss": 2.0}, {"rate": 0.2, "width": 8, "loss": 1.0}]
    >>> heat_map(records, "rate", "width", "loss").axes[0].images[0].get_array().tolist()
    [[2.0, 1.0]]
    """
    with needs_extra("heat_map", "plot"):
        from matplotlib.figure import Figure
    columns, rows = (_distinct([record[name] for record in records]) for name in (x, y))
    cells: dict[tuple[int, int], list[float]] = {}
    for record in records:
        cells.setdefault((rows.index(record[y]), columns.index(record[x])), []).append(record[value])
    means = np.full((len(rows), len(columns)), np.nan)
    for cell, values in cells.items():
        means[cell] = np.mean(values)
    figure = Figure(figsize=(1.6 + 0.8 * len(columns), 1.6 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.ma.masked_invalid(means), cmap=_COLOURS, aspect="auto", origin="lower")
    middle = np.nanmean(image.get_clim()) if np.isfinite(means).any() else 0.0
    for (row, column), mean in np.ndenumerate(means):
        text, colour = (f"{mean:.3g}", "white" if mean < middle else "black") if math.isfinite(mean) else ("–", "black")
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(columns)), [_text(v) for v in columns])
    axes.set_yticks(range(len(rows)), [_text(v) for v in rows])
    axes.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
    figure.colorbar(image, label=value.replace("_", " "))
    figure.suptitle(title, parse_math=False)
    return figure


def _scale(values: Sequence[Any]) -> tuple[Any, list[tuple[float, str]]]:
    """Return the place in [0, 1] as a function of a value, and the ticks."""
    if not all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in values):
        known = _distinct(values)
        return lambda v: _share(known.index(v), len(known) - 1), [
            (_share(n, len(known) - 1), _text(v)) for n, v in enumerate(known)
        ]
    finite = sorted({float(v) for v in values if math.isfinite(v)}) or [0.0]
    low, high = finite[0], finite[-1]
    to, back = (math.log, math.exp) if low > 0 and high / low >= 10 else (float, float)

    def place(v: float) -> float:
        return _share(to(v) - to(low), to(high) - to(low)) if math.isfinite(v) else math.nan

    even = [back(to(low) + share * (to(high) - to(low))) for share in (0, 0.25, 0.5, 0.75, 1)]
    return place, _apart([(place(v), _text(v)) for v in (finite if len(finite) <= _MOST_TICKS else even)])


def _apart(ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return the ticks, lowest first, without those whose labels would touch that of the last or of one before."""
    kept: list[tuple[float, str]] = []
    for tick in ticks[:-1]:
        if all(abs(tick[0] - other[0]) >= _LABEL for other in (*kept[-1:], ticks[-1])):
            kept.append(tick)
    return [*kept, ticks[-1]]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.5


def _distinct(values: Sequence[Any]) -> list[Any]:
    known = list(dict.fromkeys(values))
    return sorted(known) if all(isinstance(v, int | float | np.number) for v in known) else known


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value) or '""'
