"""What happens from layer to layer: values, gradients, their variance, saturation, and what a probe reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from fnnet.plotting.panels import COLOURS, HATCHES, label_layers, line_style, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fnnet.inspection import Probe, Signal

_PANEL = (2.6, 2.0)


def activation_histograms(values: Mapping[str, ArrayLike], *, bins: int = 40, title: str = "") -> Figure:
    """Draw the distribution of the values of each path, such as ``inspection.activations`` returns, in its own panel.

    Values that are not finite are left out; the mean is a dashed line.

    >>> [axes.get_title() for axes in activation_histograms({"dense_0": jnp.linspace(-1, 1, 50)}).axes]
    ['dense_0']
    """
    figure, axes = panels("activation_histograms", len(values), _PANEL, title=title)
    for ax, (path, array) in zip(axes, values.items(), strict=True):
        flat = np.asarray(array, np.float64).ravel()
        flat = flat[np.isfinite(flat)]
        if flat.size:
            around = 0.5 * max(1.0, abs(flat[0])) * (np.ptp(flat) == 0)  # about values that are all equal
            edges = np.linspace(flat.min() - around, flat.max() + around, bins + 1)
            ax.hist(flat, bins=edges, density=True, color=COLOURS[0])
            ax.axvline(flat.mean(), color=COLOURS[1], linestyle="--")
        ax.set_title(path, fontsize=9, parse_math=False)
        ax.set(xlabel="value", ylabel="density")
    return figure


def gradient_flow(gradients: Mapping[str, Mapping[str, ArrayLike]], *, title: str = "") -> Figure:
    """Draw the norm of the gradient of each path, on a logarithmic axis, a line for each label.

    The gradients of a label are those by path that ``inspection.gradients`` returns, of parameters or of values. A norm
    of 0 has no place on the axis and is left out.

    >>> figure = gradient_flow({"sigmoid": {"dense_0": jnp.full(4, 0.5), "dense_1": jnp.full(4, 5.0)}})
    >>> figure.axes[0].get_lines()[0].get_ydata().tolist()
    [1.0, 10.0]
    """
    norms = {
        label: {path: float(np.linalg.norm(np.asarray(g, np.float64).ravel())) for path, g in by_path.items()}
        for label, by_path in gradients.items()
    }
    figure, (axes,) = panels("gradient_flow", 1, (6.0, 3.8), title=title)
    _lines(axes, norms, "norm of the gradient", log=True)
    return figure


def signal(signals: Mapping[str, Signal], *, title: str = "") -> Figure:
    """Draw mean and variance of the layers' outputs by depth, a line for each label; the variance logarithmically.

    >>> found = fn.inspection.signal(fn.serial(jnp.tanh, jnp.tanh), jax.random.key(0), jnp.ones((2, 3)))
    >>> [axes.get_ylabel() for axes in signal({"tanh": found}).axes]
    ['mean', 'variance']
    """
    figure, axes = panels("signal", 2, (5.0, 3.6), title=title)
    for ax, name, field in zip(axes, ("mean", "variance"), ("mean", "var"), strict=True):
        series = {
            label: dict(zip(found.paths, np.asarray(getattr(found, field)).tolist(), strict=True))
            for label, found in signals.items()
        }
        _lines(ax, series, name, log=field == "var")
    return figure


def probe_curve(probes: Mapping[str, Probe], *, title: str = "") -> Figure:
    """Draw the accuracy of the linear probe by layer, from the input on, a line for each label.

    >>> probe = fn.inspection.Probe(("input", "dense_0"), jnp.array([0.5, 0.75]))
    >>> probe_curve({"trained": probe}).axes[0].get_lines()[0].get_ydata().tolist()
    [0.5, 0.75]
    """
    figure, (axes,) = panels("probe_curve", 1, (6.0, 3.8), title=title)
    series = {
        label: dict(zip(probe.paths, np.asarray(probe.accuracy).tolist(), strict=True))
        for label, probe in probes.items()
    }
    _lines(axes, series, "accuracy of a linear probe", log=False)
    return figure


def saturation(shares: Mapping[str, Mapping[str, ArrayLike]], *, title: str = "") -> Figure:
    """Draw the share of saturated units by layer, as ``inspection.saturation`` returns it, a bar for each label.

    Of a layer within a loop it is the mean of the turns.

    >>> figure = saturation({"sigmoid": {"dense_0": 0.25, "dense_1": 0.5}})
    >>> [float(bar.get_height()) for bar in figure.axes[0].patches]
    [0.25, 0.5]
    """
    figure, (axes,) = panels("saturation", 1, (6.0, 3.6), title=title)
    width = 0.8 / max(1, len(shares))
    for n, (label, by_path) in enumerate(shares.items()):
        heights = [float(np.mean(np.asarray(share))) for share in by_path.values()]
        places = np.arange(len(heights)) - 0.4 + (n + 0.5) * width
        style = {"color": COLOURS[n % len(COLOURS)], "hatch": HATCHES[n % len(HATCHES)], "edgecolor": "white"}
        axes.bar(places, heights, width, label=label, **style)
    axes.set(ylabel="share of saturated units", ylim=(0, 1))
    _finish(axes, shares)
    return figure


def _lines(axes: Any, series: Mapping[str, Mapping[str, float]], name: str, *, log: bool) -> None:
    for n, (label, by_path) in enumerate(series.items()):
        values = np.array(list(by_path.values()))
        axes.plot(np.where(values > 0, values, np.nan) if log else values, label=label, markersize=4, **line_style(n))
    if log:
        axes.set_yscale("log")
    axes.set_ylabel(name)
    _finish(axes, series)


def _finish(axes: Any, series: Mapping[str, Mapping[str, Any]]) -> None:
    label_layers(axes, [list(by_path) for by_path in series.values()])
    axes.grid(visible=True, axis="y", alpha=0.3)
    if any(series):
        axes.legend()
