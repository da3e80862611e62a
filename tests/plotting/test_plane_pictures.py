"""Pictures of planes show the regions, contours, paths and points of the arrays that they are given."""

from __future__ import annotations

import io

import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet.errors import DataError, ShapeError
from fnnet.inspection import Grid, Representation, Surface
from fnnet.plotting import activation_table, architecture, decision_regions, representation, spectrum, surface


def drawn(figure):
    file = io.BytesIO()
    figure.savefig(file)
    return file.getvalue().startswith(b"\x89PNG")


def test_regions_are_those_of_the_greatest_output():
    """Of three classes in bands of x1: two boundaries, at the right places; the points by class."""
    x1, x2 = jnp.linspace(-3, 3, 61), jnp.linspace(0, 1, 5)
    bands = jnp.stack([-x1 - 1, jnp.zeros(61), x1 - 1], -1)
    grid = Grid(x1, x2, jnp.broadcast_to(bands, (5, 61, 3)))
    points, labels = np.array([[-2.0, 0.5], [0.0, 0.5], [2.0, 0.5], [2.5, 0.5]]), np.array([0, 1, 2, 2])
    figure = decision_regions(grid, points, labels, classes=("a", "b_$", "c"), title="bands")
    (axes,) = figure.axes
    filled, *boundaries, a, b, c = axes.collections
    assert filled.get_array().tolist() == [0, 1, 2]
    assert len(set(filled.hatches)) == 3
    crossings = np.unique(
        np.round(np.concatenate([path.vertices for line in boundaries for path in line.get_paths()]), 2)[:, 0]
    )
    assert np.abs(np.abs(crossings) - 1).max() < 0.1
    assert [len(part.get_offsets()) for part in (a, b, c)] == [1, 1, 2]
    assert axes.get_xlim() == (-3, 3)
    assert drawn(figure)


def test_one_output_is_a_logit():
    """Class 1 where it is at least 0, of shape (n, n) or (n, n, 1); one class alone has no boundary."""
    x = jnp.linspace(-1, 1, 11)
    outputs = jnp.broadcast_to(x, (11, 11))
    for values in (outputs, outputs[..., None]):
        figure = decision_regions(Grid(x, x, values))
        boundary = figure.axes[0].collections[1].get_paths()[0].vertices
        assert (np.abs(boundary[:, 0] + 0.1) < 0.11).all()
    assert len(decision_regions(Grid(x, x, outputs + 5)).axes[0].collections) == 1


def test_paths_lie_on_the_surface():
    """Contours between the least and the greatest finite loss, even in the logarithm; each path with its label."""
    u, v = jnp.linspace(-1, 1, 9), jnp.linspace(-2, 2, 7)
    loss = jnp.square(u)[None, :] + jnp.square(v)[:, None] + 0.1
    path = np.array([[1.0, 2.0], [0.5, 0.5], [0.0, 0.0]])
    figure = surface(Surface(u, v, loss.at[0, 0].set(jnp.nan)), {"batch": path, "one": -path}, title="bowl")
    (axes,) = figure.axes
    np.testing.assert_array_equal(np.transpose(axes.get_lines()[0].get_data()), path)
    levels = axes.collections[0].levels
    assert 0.099 <= levels.min() <= levels.max() <= 5.1
    np.testing.assert_allclose(np.diff(np.log(levels)), np.diff(np.log(levels))[0], rtol=1e-5)
    assert axes.get_legend_handles_labels()[1] == ["batch", "one"]
    assert drawn(figure)
    assert drawn(surface(Surface(u, v, jnp.zeros((7, 9)))))


def test_points_of_each_layer_have_a_panel():
    """Two dimensions, or three where any has three; a class has a colour and a marker; the shares are in the labels."""
    flat = Representation(jnp.arange(8.0).reshape(4, 2), jnp.array([0.75, 0.25]))
    deep = Representation(jnp.arange(12.0).reshape(4, 3), jnp.array([0.5, 0.25, 0.125]))
    y = np.array([0, 1, 0, 1])
    figure = representation({"input": flat, "dense_0": flat}, y, classes=("no", "yes"), title="views")
    assert [axes.get_title() for axes in figure.axes] == ["input", "dense_0"]
    np.testing.assert_array_equal(figure.axes[0].collections[1].get_offsets(), flat.points[1::2])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["no", "yes"]
    assert figure.axes[0].get_xlabel() == "axis 1 (75%)"
    assert drawn(figure)
    spatial = representation({"input": flat, "dense_0": deep})
    assert {axes.name for axes in spatial.axes} == {"3d"}
    assert spatial.axes[1].get_zlabel() == "axis 3 (12%)"
    assert drawn(spatial)


def test_every_activation_has_a_panel_with_its_derivative():
    """The curves are those of the table, and all formulas are drawn."""
    figure = activation_table(title="activations")
    assert len(figure.axes) == len(fn.activations.TABLE)
    for axes, row in zip(figure.axes, fn.activations.TABLE, strict=True):
        function, derivative = axes.get_lines()
        z = jnp.asarray(function.get_xdata())
        np.testing.assert_allclose(function.get_ydata(), row.function(z), rtol=1e-6)
        np.testing.assert_allclose(derivative.get_ydata(), row.derivative(z), rtol=1e-5, atol=1e-6)
        assert row.name.replace("_", " ") in axes.get_title()
    assert drawn(figure)


def test_a_box_for_each_row_and_an_arrow_to_each():
    """Path, shape and parameters of the summary, from above; a row without output has none."""
    net = fn.serial(fn.shared(fn.dense(3), lambda f: fn.serial(f, jnp.tanh, f)), head=fn.dense(2))
    summary = fn.summary(net, jnp.ones((1, 3)))
    figure = architecture(summary, title="shared")
    (axes,) = figure.axes
    rows = [row for row in summary.rows if row.shape is not None]
    texts = [text.get_text() for text in axes.texts]
    assert len(axes.patches) == len(rows) == len(summary.rows) - 1
    assert texts.count("") == len(rows) - 1  # the arrows
    for row in rows:
        assert {row.path, str(row.shape)} <= set(texts)
    heights = [text.get_position()[1] for text in axes.texts if text.get_text() in {row.path for row in rows}]
    assert heights == sorted(heights, reverse=True)
    assert drawn(figure)


def test_a_line_for_each_eigenvalue():
    """As high as its weight; negative ones apart; those without weight left out."""
    found = fn.inspection.Spectrum(jnp.array([-0.5, 0.0, 1.0, 30.0]), jnp.array([0.25, 0.0, 0.5, 0.25]))
    figure = spectrum(found, title="moons")
    (axes,) = figure.axes
    tops = sorted(tuple(segment[1]) for part in axes.collections for segment in getattr(part, "get_segments", list)())
    assert tops == [(-0.5, 0.25), (1.0, 0.5), (30.0, 0.25)]
    assert axes.get_legend_handles_labels()[1] == ["at least 0", "below 0"]
    assert drawn(figure)


def test_labels_of_any_usual_form_are_drawn_alike():
    """Classes as integers, whole floats, a column, or -1 and 1: the same points of a class, named as they were."""
    x = jnp.linspace(-1, 1, 5)
    grid, points = Grid(x, x, jnp.broadcast_to(x, (5, 5))), np.array([[-0.5, 0.0], [0.5, 0.0], [0.7, 0.0]])
    for y, names in (
        ([0, 1, 1], ["0", "1"]),
        ([0.0, 1.0, 1.0], ["0", "1"]),
        ([[0], [1], [1]], ["0", "1"]),
        ([-1, 1, 1], ["-1", "1"]),
    ):
        axes = decision_regions(grid, points, np.array(y)).axes[0]
        assert axes.get_legend_handles_labels()[1] == names
        assert [len(part.get_offsets()) for part in axes.collections[-2:]] == [1, 2]
        named = decision_regions(grid, points, np.array(y), classes=("no", "yes")).axes[0]
        assert named.get_legend_handles_labels()[1] == ["no", "yes"]


@pytest.mark.parametrize(
    ("y", "classes", "error", "message"),
    [
        (np.eye(3), None, ShapeError, r"one class for each of the 3 examples, got shape \(3, 3\)"),
        (np.array([0, 1]), None, ShapeError, r"one class for each of the 3 examples, got shape \(2,\)"),
        (np.array(["a", "b", "b"]), None, DataError, "must be whole numbers, got <U1"),
        (np.array([0.5, 1, 1]), None, DataError, "must be whole numbers, got float64"),
        (np.array([-2, 1, 1]), None, DataError, "0 and above, or -1 and 1, got -2 to 1"),
        (np.array([0, 1, 2]), ("no", "yes"), DataError, "must be 0 to 1, got 0 to 2"),
    ],
)
def test_labels_that_cannot_be_drawn(y, classes, error, message):
    x = jnp.linspace(-1, 1, 5)
    with pytest.raises(error, match=message):
        decision_regions(Grid(x, x, jnp.zeros((5, 5))), np.zeros((3, 2)), y, classes=classes)


def test_arrays_that_cannot_be_drawn():
    with pytest.raises(ShapeError, match=r"2 × 2 points or more, got \(1, 3\)"):
        surface(Surface(jnp.arange(3.0), jnp.arange(1.0), jnp.ones((1, 3))))
    with pytest.raises(ShapeError, match="'deep' must have at most 3 dimensions, got 5"):
        representation({"deep": Representation(jnp.ones((6, 5)), jnp.ones(5) / 5)})
