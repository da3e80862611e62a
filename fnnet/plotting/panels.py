"""Figures, their panels, and the styles by which series are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fnnet.errors import needs_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008): distinct to all common kinds of colour vision. Yellow, faint on white, is last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "ooo", "+++", "---", "***", "|||")
_MOST_LABELS = 24


def panels(
    where: str, count: int, size: tuple[float, float], *, most: int = 4, title: str = "", **options: Any
) -> tuple[Figure, list[Any]]:
    """Return a figure of `count` panels, each of `size` inches, in rows of at most `most`, and their axes in order.

    >>> figure, axes = panels("demo", 3, (2.0, 1.5), most=2)
    >>> len(axes), figure.get_size_inches().tolist()
    (3, [4.0, 3.0])
    """
    with needs_extra(where, "plot"):
        from matplotlib.figure import Figure
    columns = max(1, min(count, most))
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).ravel())
    for unused in axes[count:]:
        unused.remove()
    figure.suptitle(title, parse_math=False)
    return figure, axes[:count]


def line_style(n: int) -> dict[str, Any]:
    """Return the style of the n-th line: its colour, dashes and marker.

    >>> line_style(1)
    {'color': '#D55E00', 'linestyle': '--', 'marker': 's'}
    """
    return {
        "color": COLOURS[n % len(COLOURS)],
        "linestyle": LINES[n % len(LINES)],
        "marker": MARKERS[n % len(MARKERS)],
    }


def label_layers(axes: Any, series: Sequence[Sequence[str]]) -> None:
    """Label the places 0, 1, … of the first axis by the paths of layers, if all series have them and there is room."""
    longest = max(series, key=len, default=())
    if len(longest) <= _MOST_LABELS and all(list(paths) == list(longest[: len(paths)]) for paths in series):
        axes.set_xticks(range(len(longest)), longest, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_xlabel("layer")
    else:
        axes.set_xlabel("depth, in layers")
