"""What cannot be looked at is refused where it enters, by every function that looks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inspection_toys import drawn

import fnnet as fn
from fnnet.errors import DataError, PathError, ShapeError
from fnnet.inspection import (
    Plane,
    activations,
    curvature,
    dead_units,
    decision_grid,
    hessian_spectrum,
    linear_probe,
    loss_surface,
    plane,
    project,
    representation,
    saturation,
    signal,
    slopes,
)

X = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
Y = np.arange(6) % 2
NET = fn.serial(fn.dense(4, activation=jnp.tanh), fn.dense(2))
TASK = fn.Task(NET, fn.losses.cross_entropy, fn.sgd(0.1))
KEY = jax.random.key(0)

LOOKS = {
    "activations": lambda net, params, x: activations(net, params, x),
    "slopes": lambda net, params, x: slopes(net, params, x),
    "saturation": lambda net, params, x: saturation(net, params, x),
    "dead_units": lambda net, params, x: dead_units(net, params, x),
    "signal": lambda net, params, x: signal(net, KEY, x),
    "decision_grid": lambda net, params, x: decision_grid(net, params, x),
    "linear_probe": lambda net, params, x: linear_probe(net, params, (x, Y[: len(x)]), (x, Y[: len(x)])),
}


@pytest.mark.untyped
@pytest.mark.parametrize("name", LOOKS)
def test_a_task_is_no_network(name):
    with pytest.raises(
        TypeError, match=f"{name}: the net must have the functions init and apply, got Task: pass task.net"
    ):
        LOOKS[name](TASK, {}, X)


@pytest.mark.parametrize("name", ["saturation", "dead_units", "signal", "decision_grid"])
def test_no_examples_are_no_answer(name):
    with pytest.raises(DataError, match=name):
        LOOKS[name](NET, drawn(NET, X), X[:0])


def test_whole_numbers_are_values():
    """Of layers that make them, and of arrays: in float32."""
    net = fn.neurons.boolean_network([0, 1, 1, 0])
    inputs = fn.neurons.boolean_inputs(2)
    assert np.isfinite(signal(net, KEY, inputs).var).all()
    assert representation(np.eye(3, 4, dtype=np.int32)).points.dtype == jnp.float32


def test_a_grid_needs_a_rectangle_and_one_output():
    params = drawn(NET, X)
    with pytest.raises(DataError, match=r"decision_grid: 0\.17 of the values of x are nan"):
        decision_grid(NET, params, np.where(X[0, 0] == X, np.nan, X)[:3])
    with pytest.raises(DataError, match="decision_grid: the points must differ in both coordinates"):
        decision_grid(NET, params, np.ones((3, 2)))
    pair = fn.as_layer(lambda v: (v, v))
    with pytest.raises(ShapeError, match="decision_grid: the net must return one array, got tuple"):
        decision_grid(pair, {}, X)


def test_labels_and_values_of_a_probe():
    params = drawn(NET, X)
    with pytest.raises(DataError, match="the labels must be 0 and above, got -1"):
        linear_probe(NET, params, (X, 2 * Y - 1), (X, Y))
    with pytest.raises(DataError, match="the labels in train must be of two classes or more, got 0 alone"):
        linear_probe(NET, params, (X, 0 * Y), (X, Y))
    with pytest.raises(DataError, match="1 of the values of input are nan"):
        linear_probe(NET, params, (X * np.nan, Y), (X, Y))


def test_points_of_other_networks_span_no_plane():
    ts = fn.init(TASK, KEY, X)
    other = drawn(fn.serial(fn.dense(3)), X)
    with pytest.raises(PathError, match="plane: c must have the entries of the other parameters"):
        plane(ts.params, ts.params, other)
    with pytest.raises(DataError, match=r"plane: 0\.5 of the values of the directions are nan"):
        plane(ts.params, jax.tree.map(lambda v: v * jnp.nan, ts.params), jax.tree.map(lambda v: v + 1, ts.params))
    flat = Plane(other, other, other)
    with pytest.raises(PathError, match="project: params must have the entries of the other parameters"):
        project(flat, ts.params)
    with pytest.raises(PathError, match="loss_surface: the plane's origin must have the entries"):
        loss_surface(TASK, ts, (X, Y), flat, np.arange(2.0), np.arange(2.0))


@pytest.mark.parametrize(
    "look",
    [
        lambda task, ts, data: hessian_spectrum(task, ts, data, k=1, key=KEY),
        lambda task, ts, data: curvature(task, ts, data, KEY),
    ],
    ids=["hessian_spectrum", "curvature"],
)
def test_a_hessian_needs_parameters_and_finite_data(look):
    nothing = TASK._replace(net=fn.serial(jnp.tanh))
    with pytest.raises(DataError, match="the network has no parameters"):
        look(nothing, fn.init(nothing, KEY, X), (X, Y))
    with pytest.raises(DataError, match="1 of the values of data/0 are nan or infinite"):
        look(TASK, fn.init(TASK, KEY, X), (X * np.nan, Y))
