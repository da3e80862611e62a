"""The head of a detector: what it says at its start, on any body, and that it learns to find objects."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from center_oracle import drawn_objects

import fnnet as fn

BODIES = {
    "resnet_cifar": (fn.nets.resnet_cifar(8, None, width=4), (16, 24), (4, 6, 16)),
    "convolutions": (fn.serial(fn.conv(4, stride=2), jax.nn.relu, fn.conv(6)), (8, 10), (4, 5, 6)),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_it_stands_on_any_body(body, key):
    """Maps have the grid of the body's features; gradients reach every parameter of body and head."""
    net, size, features = body
    x = jax.random.normal(key, (2, *size, 3))
    detector = fn.serial(body=net, head=fn.nets.center_head(5, 8, norm=True))
    params, state = jax.jit(detector.init)(key, x)
    there = drawn_objects(0, 2, 3, 5, size[0], marks=False)
    stride = size[0] / features[0]

    @jax.jit
    def loss(params):
        maps, _ = detector.apply(params, state, x, train=True)
        return fn.losses.centers(maps, there, stride=stride).sum(), maps

    gradient, maps = jax.grad(loss, has_aux=True)(params)
    seen, _ = jax.eval_shape(net.apply, params["body"], state.get("body", {}), x)
    assert seen.shape == (2, *features)
    assert maps.heat.shape == (2, *features[:2], 5)
    assert maps.sides.shape == (2, *features[:2], 4)
    for path, leaf in fn.tree.flatten(gradient).items():
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0 or path.endswith(("/bias",)), path


def test_residual_networks_without_classes_are_bodies():
    shapes = {fn.nets.resnet(18, None): (2, 3, 512), fn.nets.resnet(50, None, small_images=True): (8, 12, 2048)}
    for net, shape in shapes.items():
        params, state = jax.eval_shape(net.init, jax.random.key(0), jnp.ones((64, 96, 3)))
        y, _ = jax.eval_shape(net.apply, params, state, jnp.ones((1, 64, 96, 3)))
        assert y.shape == (1, *shape)
        assert not any(path.startswith("dense") for path in fn.tree.flatten(params))


def test_it_begins_with_rare_objects_of_the_side_given(key):
    """Every class has the prior, every side its length, but for the little that kernels add."""
    head = fn.nets.center_head(3, 4, prior=0.05, side=3.0)
    params, _ = head.init(key, jnp.ones((1, 4, 4, 2)))
    maps = head(params, jnp.zeros((1, 4, 4, 2)))
    np.testing.assert_allclose(jax.nn.sigmoid(maps.heat), 0.05, rtol=1e-5)
    np.testing.assert_allclose(maps.sides, 3.0, rtol=1e-5)


def test_sides_are_positive_and_finite_whatever_comes(key):
    head = fn.nets.center_head(3, 4)
    params, _ = head.init(key, jnp.ones((1, 4, 4, 2)))
    sides = head(params, 1e30 * jax.random.normal(key, (1, 4, 4, 2))).sides
    assert np.isfinite(sides).all()
    assert (sides > 0).all()


@pytest.mark.row("detection")
@pytest.mark.lowest
def test_it_learns_to_find_squares(key):
    """Bright and dark rectangles on grey, found and told apart: average precision above 0.9 at an overlap of 0.5."""
    rng = np.random.default_rng(0)
    x, boxes = np.full((96, 16, 16, 1), 0.5, np.float32), np.zeros((96, 2, 4), np.float32)
    labels = np.tile(np.array([0, 1], np.int32), (96, 1))
    for image, corners in zip(x, boxes, strict=True):
        for label, left in ((0, 0), (1, 8)):
            (x1, y1), (width, height) = rng.integers(0, 3, 2), rng.integers(4, 6, 2)
            corners[label] = left + x1, y1, left + x1 + width, y1 + height
            image[y1 : y1 + height, left + x1 : left + x1 + width] = label
    there = fn.boxes.Objects(boxes, labels, np.ones((96, 2), bool))
    net = fn.serial(
        fn.conv(8, stride=2, activation=jax.nn.relu), fn.conv(16, activation=jax.nn.relu), fn.nets.center_head(2, 16)
    )
    task = fn.Task(net, partial(fn.losses.centers, stride=2), fn.adam(5e-3))
    train, test = (fn.data.take((x, there), rows) for rows in (np.arange(64), np.arange(64, 96)))
    state = fn.fit(task, train, key=key, steps=300, batch_size=16).state
    found = fn.boxes.center_detections(fn.predict(task, state, test[0], batch_size=32), stride=2, count=8)
    metric = fn.metrics.mean_average_precision(2)
    scores = metric.compute(metric.update(metric.init(), fn.boxes.suppress(found), test[1]))
    assert scores["AP50"] > 0.9
    chex.assert_tree_all_finite(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "center_head: classes must be at least 1"),
        ({"features": 0}, "center_head: features must be at least 1"),
        ({"prior": 1.0}, "center_head: prior must be a number between 0 and 1"),
        ({"side": 0.0}, "center_head: side must be a number above 0"),
        ({"norm": True, "momentum": 2.0}, "batch_norm: momentum must be"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        fn.nets.center_head(**({"classes": 2} | options))
