"""Pictures by layer have a mark for each value, at its height, and the layers' names below."""

from __future__ import annotations

import io

import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.inspection import Probe, Signal
from fnnet.plotting import activation_histograms, gradient_flow, probe_curve, saturation, signal
from fnnet.plotting.panels import COLOURS, HATCHES, LINES, MARKERS, line_style


def drawn(figure):
    file = io.BytesIO()
    figure.savefig(file)
    return file.getvalue().startswith(b"\x89PNG")


def names(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def test_a_histogram_of_each_path():
    """Densities have area 1 over the finite values; the dashed line is their mean."""
    values = {"dense_0/z": np.array([[1.0, 2.0], [3.0, np.inf]]), "a_$": np.zeros((2, 2)), "b": np.full(3, np.nan)}
    figure = activation_histograms(values, bins=5, title="net_$")
    assert [axes.get_title() for axes in figure.axes] == list(values)
    for axes in figure.axes[:2]:
        assert np.isclose(sum(bar.get_height() * bar.get_width() for bar in axes.patches), 1)
    assert figure.axes[0].get_lines()[0].get_xdata()[0] == 2.0
    assert figure.get_suptitle() == "net_$"
    assert drawn(figure)


def test_a_line_of_norms_for_each_label():
    """On a logarithmic axis, where 0 has no place; lines differ in colour, dashes and marker."""
    flows = {
        "sigmoid": {"dense_0": jnp.zeros((2, 2)), "dense_1": jnp.array([[3.0], [4.0]])},
        "relu": {"dense_0": jnp.array([1.0]), "dense_1": jnp.array([2.0])},
    }
    figure = gradient_flow(flows, title="start")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), [np.nan, 5.0])
    np.testing.assert_array_equal(axes.get_lines()[1].get_ydata(), [1.0, 2.0])
    assert axes.get_yscale() == "log"
    assert names(axes) == ["dense_0", "dense_1"]
    assert axes.get_legend_handles_labels()[1] == ["sigmoid", "relu"]
    for read in ("get_color", "get_linestyle", "get_marker"):
        assert len({getattr(line, read)() for line in axes.get_lines()}) == 2
    assert drawn(figure)


def test_nets_of_other_layers_share_the_depth():
    """Where paths differ, or there are many, the axis counts layers instead of naming them."""
    one = Signal(("dense_0", "relu_0"), jnp.zeros(2), jnp.array([1.0, 0.5]))
    other = Signal(("dense_0", "tanh_0"), jnp.zeros(2), jnp.array([1.0, 0.25]))
    deep = Signal(tuple(f"dense_{n}" for n in range(50)), jnp.zeros(50), jnp.ones(50))
    for figure in (signal({"relu": one, "tanh": other}), signal({"": deep})):
        mean, variance = figure.axes
        assert (mean.get_ylabel(), variance.get_ylabel(), variance.get_yscale()) == ("mean", "variance", "log")
        assert variance.get_xlabel() == "depth, in layers"
        assert drawn(figure)
    assert names(signal({"relu": one}).axes[1]) == ["dense_0", "relu_0"]


def test_the_curve_of_a_probe():
    figure = probe_curve({"trained": Probe(("input", "dense_0", "dense_1"), jnp.array([0.5, 0.75, 1.0]))})
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), [0.5, 0.75, 1.0])
    assert names(axes) == ["input", "dense_0", "dense_1"]
    assert axes.get_ylabel() == "accuracy of a linear probe"
    assert drawn(figure)


def test_bars_of_shares_stand_side_by_side():
    """A group for each layer, a bar for each label, told apart by hatches; of turns the mean."""
    figure = saturation({"sigmoid": {"a": 0.5, "b": jnp.array([0.0, 0.5])}, "tanh": {"a": 1.0, "b": 0.0}})
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [0.5, 0.25, 1.0, 0.0]
    places = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    np.testing.assert_allclose(places, [-0.2, 0.8, 0.2, 1.2])
    assert len({bar.get_hatch() for bar in axes.patches}) == 2
    assert names(axes) == ["a", "b"]
    assert drawn(figure)


@pytest.mark.parametrize("styles", [COLOURS, LINES, MARKERS, HATCHES])
def test_styles_are_distinct(styles):
    assert len(set(styles)) == len(styles)
    assert len({str(line_style(n)) for n in range(16)}) == 16


@pytest.mark.parametrize("value", [0.0, 5.0, 1e20, -3e38])
def test_equal_values_of_any_size_make_one_bar(value):
    """As of a layer that exploded, or is dead."""
    (axes,) = activation_histograms({"dense_0": np.full(5, value)}).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert sum(height > 0 for height in heights) == 1
