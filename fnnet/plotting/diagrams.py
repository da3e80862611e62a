"""Diagrams: a network's layers, the activations, the eigenvalues of a Hessian."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from fnnet.activations import TABLE
from fnnet.plotting.panels import COLOURS, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fnnet.inspection import Spectrum, Summary

_REACH = 4.0  # of the activations' panels, to both sides of 0
_ROW = 0.62  # the height of a layer's box and its arrow, in inches


def architecture(summary: Summary, *, title: str = "") -> Figure:
    """Draw the rows of ``fn.summary`` as boxes, first to last from above, an arrow from each to the next.

    A box has the path, the shape of the output and the number of the layer's own parameters. Rows are in the order in
    which they run: branches stand one after the other.

    >>> figure = architecture(fn.summary(fn.serial(fn.dense(4), fn.dense(2)), jnp.ones((1, 3))))
    >>> [text.get_text() for text in figure.axes[0].texts if text.get_text().startswith("dense")]
    ['dense_0', 'dense_1']
    """
    rows = [row for row in summary.rows if row.shape is not None]
    figure, (axes,) = panels("architecture", 1, (5.4, 0.5 + _ROW * len(rows)), title=title)
    for n, row in enumerate(rows):
        face, edge = ("#E8F1F8", COLOURS[0]) if row.parameters else ("white", "0.5")
        axes.fill([0, 8, 8, 0], [-n - 0.3, -n - 0.3, -n + 0.3, -n + 0.3], facecolor=face, edgecolor=edge)
        axes.text(0.2, -n, row.path, va="center", fontsize=9, fontweight="bold", parse_math=False)
        axes.text(5.6, -n, str(row.shape), va="center", ha="right", fontsize=8)
        count = f"{row.parameters:,}" if row.parameters else "–"
        axes.text(7.8, -n, count, va="center", ha="right", fontsize=8)
        if n:
            axes.annotate("", (4, -n + 0.32), (4, -n + 0.68), arrowprops={"arrowstyle": "-|>", "color": "0.3"})
    for place, align, name in ((0.2, "left", "layer"), (5.6, "right", "output"), (7.8, "right", "parameters")):
        axes.text(place, 0.55, name, ha=align, va="bottom", fontsize=8, color="0.35")
    axes.set(xlim=(-0.2, 8.2), ylim=(-len(rows) + 0.4, 1.0))
    axes.set_axis_off()
    return figure


def activation_table(*, title: str = "") -> Figure:
    """Draw every function of ``fn.activations.TABLE``, solid, and its derivative, dashed, with its formula.

    >>> len(activation_table().axes) == len(fn.activations.TABLE)
    True
    """
    figure, axes = panels("activation_table", len(TABLE), (2.5, 2.1), title=title)
    z = jnp.linspace(-_REACH, _REACH, 401)
    for ax, row in zip(axes, TABLE, strict=True):
        for function, label, colour, line in (
            (row.function, r"$\phi$", COLOURS[0], "-"),
            (row.derivative, r"$\phi'$", COLOURS[1], "--"),
        ):
            ax.plot(z, np.asarray(function(z)), color=colour, linestyle=line, label=label)
        formula = row.formula.replace(r"\tfrac", r"\frac").replace(r"\ge ", r"\geq ")  # as matplotlib spells them
        ax.set_title(f"{row.name.replace('_', ' ')}\n${formula}$", fontsize=8)
        ax.set(xlim=(-_REACH, _REACH), ylim=(-1.5, 3.2), xlabel="$z$")
        ax.grid(visible=True, alpha=0.3)
        ax.tick_params(labelsize=7)
    axes[0].legend(fontsize=8)
    return figure


def spectrum(spectrum: Spectrum, *, title: str = "") -> Figure:
    """Draw the eigenvalues of ``inspection.hessian_spectrum``, each a line as high as its weight, both logarithmically.

    About 0 the axis of the eigenvalues is linear, as far as a thousandth of the greatest in magnitude. Negative ones
    are dashed.

    >>> figure = spectrum(fn.inspection.Spectrum(jnp.array([-1.0, 2.0]), jnp.array([0.25, 0.75])))
    >>> figure.axes[0].get_xlabel()
    'eigenvalue of the Hessian'
    """
    figure, (axes,) = panels("spectrum", 1, (6.0, 3.6), title=title)
    values, weights = (np.asarray(part, np.float64) for part in spectrum)
    kept = weights > 0
    floor = weights[kept].min() / 3 if kept.any() else 1e-3
    for part, colour, line, label in (
        (kept & (values >= 0), COLOURS[0], "-", "at least 0"),
        (kept & (values < 0), COLOURS[1], "--", "below 0"),
    ):
        if part.any():
            axes.vlines(values[part], floor, weights[part], color=colour, linestyle=line, label=label)
            axes.plot(
                values[part],
                weights[part],
                linestyle="",
                marker="o" if line == "-" else "v",
                color=colour,
                markersize=3,
            )
    reach = float(np.abs(values).max()) or 1.0
    axes.set_xscale("symlog", linthresh=reach / 1000)
    decades = [10.0**n for n in range(math.ceil(math.log10(reach / 1000)), math.floor(math.log10(reach)) + 1)]
    axes.set_xticks([*(-d for d in decades if -d > values.min()), 0, *(d for d in decades if d < values.max())])
    axes.set_yscale("log")
    axes.set(xlabel="eigenvalue of the Hessian", ylabel="weight", ylim=(floor, 2))
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    return figure
