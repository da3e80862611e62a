"""Grids, planes and paths are the network, the objective and the run at the points that they say."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspection_toys import drawn

import fnnet as fn
from fnnet.inspection import Plane, decision_grid, filter_normalised, loss_surface, optimizer_paths, plane, project

KEYS = jax.random.split(jax.random.key(0), 4)
X = jax.random.normal(KEYS[0], (12, 2))
Y = jnp.arange(12) % 3
NET = fn.serial(fn.dense(4, activation=jnp.tanh), fn.dropout(0.5), fn.dense(3))
TASK = fn.Task(NET, fn.losses.cross_entropy, fn.sgd(0.3, momentum=0.9), penalty=fn.tree.squared_norm)
TS = fn.init(TASK, KEYS[1], X)
POINTS = [drawn(NET, X, seed) for seed in range(3)]


def test_a_grid_has_the_outputs_of_its_points():
    """outputs[i, j] = net(x1[j], x2[i]), over the rectangle of the points and the margin."""
    grid = decision_grid(NET, TS.params, X, n=6, margin=0.5)
    low, high = np.asarray(X.min(0)), np.asarray(X.max(0))
    np.testing.assert_allclose([grid.x1[0], grid.x2[0]], low - (high - low) / 2, rtol=1e-5)
    np.testing.assert_allclose([grid.x1[-1], grid.x2[-1]], high + (high - low) / 2, rtol=1e-5)
    for i, j in ((0, 3), (5, 1)):
        point = jnp.array([[grid.x1[j], grid.x2[i]]])
        chex.assert_trees_all_close(grid.outputs[i, j], NET(TS.params, point)[0], rtol=1e-4, atol=1e-5)


def test_a_grid_is_of_two_inputs():
    with pytest.raises(fn.errors.ShapeError, match=r"x must have shape \(examples, 2\), got \(12, 3\)"):
        decision_grid(NET, TS.params, jnp.ones((12, 3)))
    with pytest.raises(ValueError, match="n must be at least 2"):
        decision_grid(NET, TS.params, X, n=1)
    with pytest.raises(
        fn.errors.ShapeError, match=r"decision_grid: a net of two inputs .*last axis of the input must be 3"
    ):
        decision_grid(fn.dense(2), fn.dense(2).init(KEYS[0], jnp.ones((1, 3)))[0], X)


def test_a_plane_goes_through_its_points_and_keeps_distances():
    flat = plane(*POINTS)
    places = jnp.stack([project(flat, point) for point in POINTS])
    for place, point in zip(places, POINTS, strict=True):
        back = jax.tree.map(lambda o, u, v, p=place: o + p[0] * u + p[1] * v, *flat)
        chex.assert_trees_all_close(back, point, rtol=1e-4, atol=1e-5)
    for n, m in ((0, 1), (0, 2), (1, 2)):
        apart = fn.tree.norm(jax.tree.map(jnp.subtract, POINTS[n], POINTS[m]))
        np.testing.assert_allclose(np.linalg.norm(places[n] - places[m]), apart, rtol=1e-5)


@given(seed=st.integers(0, 10_000))
def test_a_projection_is_least_squares(seed):
    """The nearest point, as NumPy finds it in float64, of directions at any angle."""
    random = np.random.default_rng(seed)
    o, u, v, *points = (random.normal(size=(3, 2)) for _ in range(6))
    expected = np.linalg.lstsq(np.stack([u.ravel(), v.ravel()], 1), np.stack([(p - o).ravel() for p in points], 1))[0]
    flat = Plane(*({"w": jnp.asarray(d, jnp.float32)} for d in (o, u, v)))
    got = project(flat, {"w": jnp.asarray(np.stack(points), jnp.float32)})
    np.testing.assert_allclose(got, expected.T, rtol=1e-2, atol=1e-3)


def test_a_filter_of_a_direction_has_the_norm_of_the_filter():
    """Li et al. 2018: column by column of the last axis; biases and norms are left alone."""
    net = fn.serial(fn.conv(3), fn.flatten(), fn.layer_norm(), fn.dense(2))
    params = drawn(net, jnp.ones((1, 4, 4, 2)))
    direction = fn.tree.flatten(filter_normalised(KEYS[1], params))
    for path, leaf in fn.tree.flatten(params).items():
        if path.endswith("kernel"):
            norms = [np.linalg.norm(np.reshape(part, (-1, leaf.shape[-1])), axis=0) for part in (direction[path], leaf)]
            np.testing.assert_allclose(*norms, rtol=1e-5)
        else:
            np.testing.assert_array_equal(direction[path], 0)


def test_the_surface_is_the_objective_without_dropout():
    """Mean loss plus penalty at each place; at the origin what `evaluate` says plus the penalty."""
    flat = plane(TS.params, *POINTS[:2])
    u, v = np.array([-0.5, 0.0, 2.0]), np.array([0.0, 1.0])
    surface = loss_surface(TASK, TS, (X, Y), flat, u, v)
    assert surface.loss.shape == (2, 3)
    for i, j in ((0, 1), (1, 2)):
        params = jax.tree.map(lambda o, d, e, a=u[j], b=v[i]: o + np.float32(a) * d + np.float32(b) * e, *flat)
        expected = fn.evaluate(TASK, TS._replace(params=params), (X, Y))["loss"] + fn.tree.squared_norm(params)
        np.testing.assert_allclose(surface.loss[i, j], expected, rtol=1e-5)


def test_what_spans_no_plane():
    """Three points on a line, equal points, a direction that is 0; also lines as far as float32 can tell."""
    a, b = POINTS[:2]
    middle = jax.tree.map(lambda p, q: p + (q - p) / 3, a, b)
    with pytest.raises(fn.errors.DataError, match=r"plane: the directions must span a plane, got two on one line"):
        plane(a, b, middle)
    with pytest.raises(fn.errors.DataError, match="plane: the directions must not be 0"):
        plane(a, a, b)
    zero = fn.tree.zeros_like(a)
    with pytest.raises(fn.errors.DataError, match="loss_surface: the directions must not be 0"):
        loss_surface(TASK, TS, (X, Y), Plane(a, b, zero), np.zeros(1), np.zeros(1))
    with pytest.raises(fn.errors.ShapeError, match="u and v must have one axis each"):
        loss_surface(TASK, TS, (X, Y), plane(*POINTS), 0.0, np.zeros(1))


def test_a_path_is_that_of_the_run():
    """From the start to the parameters of `fn.run`, for each size of the batch."""
    paths = optimizer_paths(TASK, TS, (X, Y), batch_sizes=(12, 1), steps=3)
    assert list(paths) == [12, 1]
    for path in paths.values():
        chex.assert_trees_all_equal(jax.tree.map(lambda leaf: leaf[0], path), TS.params)
    after, _ = jax.jit(lambda ts: fn.run(TASK, ts, (X, Y), steps=3, batch_size=1))(TS)
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[-1], paths[1]), after.params, rtol=1e-5, atol=1e-6)
    with pytest.raises(fn.errors.DataError, match="batch_size of at most the 12 examples, got 13"):
        optimizer_paths(TASK, TS, (X, Y), batch_sizes=(13,), steps=3)
