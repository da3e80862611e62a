"""What can be seen in a plane: decisions, the loss with paths on it, and examples at each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from fnnet.errors import DataError, ShapeError
from fnnet.plotting.panels import COLOURS, HATCHES, MARKERS, line_style, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fnnet.inspection import Grid, Representation, Surface


def decision_regions(
    grid: Grid,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw which class a network decides for at each point of the plane, and the points `x` of class `y` on it.

    Of several outputs it is that of the greatest; of one output, class 1 where it is at least 0, as of a logit. Classes
    have a colour, a hatch and a marker each; boundaries are black lines. `y` are numbers from 0, or -1 and 1, which are
    classes 0 and 1.

    Raises: ShapeError unless `y` has one class for each example; DataError for other labels, or one that `classes` does
    not name.

    >>> grid = fn.inspection.decision_grid(fn.as_layer(lambda v: v[:, :1]), {}, jnp.array([[-1.0, -1.0], [1.0, 1.0]]))
    >>> figure = decision_regions(grid, jnp.array([[0.5, 0.5]]), jnp.array([1]))
    >>> figure.axes[0].get_legend_handles_labels()[1]
    ['1']
    """
    outputs = np.asarray(grid.outputs)
    outputs = outputs[..., None] if outputs.ndim == 2 else outputs
    region = outputs.argmax(-1) if outputs.shape[-1] > 1 else (outputs[..., 0] >= 0).astype(int)
    count = max(2, outputs.shape[-1])
    figure, (axes,) = panels("decision_regions", 1, (4.8, 4.2), title=title)
    x1, x2 = np.asarray(grid.x1), np.asarray(grid.x2)
    axes.contourf(
        x1,
        x2,
        region,
        np.arange(count + 1) - 0.5,
        colors=[COLOURS[n % len(COLOURS)] for n in range(count)],
        hatches=[HATCHES[n % len(HATCHES)] for n in range(count)],
        alpha=0.25,
    )
    for n in range(1, count):
        if (region == n).any() and (region != n).any():
            axes.contour(x1, x2, (region == n).astype(float), [0.5], colors="black", linewidths=0.8)
    if x is not None:
        _scatter("decision_regions", axes, np.asarray(x), y, classes)
    axes.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(x1[0], x1[-1]), ylim=(x2[0], x2[-1]))
    return figure


def surface(surface: Surface, paths: Mapping[str, ArrayLike] = {}, *, title: str = "") -> Figure:
    """Draw the contours of the loss over a plane of parameters, and paths on it, by label, each (steps, 2).

    Levels are even in the logarithm if all losses are above 0. A path starts at the large marker.

    Raises: ShapeError for a surface of fewer than 2 × 2 points.

    >>> figure = surface(fn.inspection.Surface(*(jnp.arange(3.0),) * 2, jnp.eye(3)), {"batch": jnp.eye(2)})
    >>> figure.axes[0].get_legend_handles_labels()[1]
    ['batch']
    """
    figure, (axes,) = panels("surface", 1, (5.6, 4.4), title=title)
    u, v, loss = (np.asarray(part, np.float64) for part in surface)
    if min(loss.shape) < 2:
        raise ShapeError("surface", f"there must be 2 × 2 points or more, got {loss.shape}", "pass more u and v.")
    shown = np.ma.masked_invalid(loss)
    low, high = float(shown.min()), float(shown.max())
    levels = np.geomspace(low, high, 20) if low > 0 and high / low > 3 else np.linspace(low, high, 20)
    if high > low:
        drawn = axes.contour(u, v, shown, levels, cmap="viridis", linewidths=0.9)
        axes.clabel(drawn, levels[::4], fontsize=7, fmt="%.3g")
    for n, (label, path) in enumerate(paths.items()):
        points = np.asarray(path)
        style = line_style(n)
        axes.plot(*points.T, label=label, markevery=[0], markersize=8, linewidth=1.6, **style)
    axes.set(xlabel="u, distance along the first direction", ylabel="v, along the second")
    if paths:
        axes.legend()
    return figure


def representation(
    parts: Mapping[str, Representation],
    y: ArrayLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw examples as the layers see them: a panel for each path, of points in two dimensions or three.

    `y` are the classes of the examples, each with its colour and marker. The axes' labels say the shares of variance.

    Raises: ShapeError for points of more than three dimensions; else as ``decision_regions``.

    >>> part = fn.inspection.representation(jnp.arange(12.0).reshape(4, 3), 3)
    >>> representation({"input": part}, jnp.array([0, 0, 1, 1])).axes[0].name
    '3d'
    """
    for path, part in parts.items():
        if (dims := part.points.shape[1]) > 3:
            fix = "inspection.representation(values, 3) has three."
            raise ShapeError(
                "representation", f"the points of {path!r} must have at most 3 dimensions, got {dims}", fix
            )
    spatial = any(part.points.shape[1] > 2 for part in parts.values())
    kind = {"projection": "3d"} if spatial else {}
    figure, axes = panels("representation", len(parts), (3.4, 3.2), title=title, subplot_kw=kind)
    for ax, (path, part) in zip(axes, parts.items(), strict=True):
        points = np.asarray(part.points)
        wanted = 3 if spatial else 2
        points = np.pad(points, ((0, 0), (0, max(0, wanted - points.shape[1]))))
        _scatter("representation", ax, points, y, classes, size=8)
        shares = zip(("xlabel", "ylabel", "zlabel"), np.asarray(part.explained).tolist(), strict=False)
        ax.set(**{axis: f"axis {n + 1} ({share:.0%})" for n, (axis, share) in enumerate(shares)})
        if spatial:
            ax.set_box_aspect(None, zoom=0.8)  # or the last axis's label would be cut off
        ax.set_title(path, fontsize=9, parse_math=False)
        ax.tick_params(labelsize=7)
    if y is not None and axes:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", markerscale=2)
    return figure


def _scatter(
    where: str, axes: Any, points: np.ndarray, y: ArrayLike | None, classes: Sequence[str] | None, size: int = 18
) -> None:
    labels, names = _labels(where, y, len(points), classes)
    for n in np.unique(labels).tolist():
        colour, marker = COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]
        style = {"s": size, "color": colour, "marker": marker, "edgecolors": "0.3", "linewidths": 0.2}
        axes.scatter(*points[labels == n].T, label=names[n], **style)


def _labels(
    where: str, y: ArrayLike | None, size: int, classes: Sequence[str] | None
) -> tuple[np.ndarray, Sequence[str | None]]:
    """Return the class of each example, from 0, and the names of the classes. Labels -1 and 1 are classes 0 and 1."""
    if y is None:
        return np.zeros(size, int), [None]
    labels = np.asarray(y)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (size,):
        problem = f"y must have one class for each of the {size} examples, got shape {labels.shape}"
        raise ShapeError(where, problem, "of one-hot labels pass y.argmax(-1).")
    if labels.dtype.kind not in "biuf" or not (labels == np.round(labels)).all():
        problem = f"the classes must be whole numbers, got {labels.dtype}: {labels[:3].tolist()}"
        raise DataError(where, problem, "np.unique(y, return_inverse=True) numbers them.")
    labels = labels.astype(int)
    least, most = labels.min(initial=0), labels.max(initial=0)
    if signs := least == -1 and most <= 1 and not (labels == 0).any():
        labels, least, most = (labels + 1) // 2, 0, 1
    if least < 0 or (classes is not None and most >= len(classes)):
        known = f"0 to {len(classes) - 1}" if classes is not None else "0 and above, or -1 and 1"
        problem = f"the classes must be {known}, got {least} to {most}"
        raise DataError(where, problem, "number them from 0, and name each in classes.")
    if classes is not None:
        return labels, classes
    return labels, ["-1", "1"] if signs else [str(n) for n in range(most + 1)]
