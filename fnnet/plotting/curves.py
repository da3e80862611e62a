"""Learning curves: how the loss and the metrics went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fnnet.errors import needs_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008): distinct to all common kinds of colour vision; the line style says the same in print.
TRAINING, VALIDATION = {"color": "#0072B2", "linestyle": "-"}, {"color": "#D55E00", "linestyle": "--"}


def learning_curves(metrics: Mapping[str, np.ndarray], *, title: str = "") -> Figure:
    """Draw the columns of ``Fit.metrics`` against the epoch: the losses in one panel, each other metric in its own.

    >>> import numpy as np
    >>> figure = learning_curves({"epoch": np.array([1, 2]), "loss": np.array([2.0, 1.0])})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss']
    """
    with needs_extra("learning_curves", "plot"):
        from matplotlib.figure import Figure
    epoch = np.asarray(metrics["epoch"])
    names = [name.removeprefix("val_") for name in metrics if name.startswith("val_") and metrics[name].ndim == 1]
    names = ["loss", *(name for name in names if name != "loss")]
    figure = Figure(figsize=(4.2 * len(names), 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for column, label, style in ((name, "training", TRAINING), (f"val_{name}", "validation", VALIDATION)):
            if column in metrics:
                axes.plot(epoch, metrics[column], label=label, marker="." if len(epoch) < 20 else "", **style)
        axes.set(xlabel="epoch", ylabel=name.replace("_", " "))
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.suptitle(title, parse_math=False)
    return figure
