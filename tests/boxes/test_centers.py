"""Detectors by centres: targets against a loop over cells, what is read from maps, and that one undoes the other."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from center_oracle import center_targets as by_cells
from center_oracle import drawn_maps, drawn_objects, image_of
from scipy import special

from fnnet import boxes
from fnnet.boxes import CenterMaps, Objects
from fnnet.errors import DataError, DtypeError, ShapeError

GRID, STRIDE, CLASSES = (5, 7), 4, 3
targets = jax.jit(partial(boxes.center_targets, grid=GRID, classes=CLASSES, stride=STRIDE))


@pytest.mark.row("detection")
@pytest.mark.parametrize("marks", [True, False])
def test_targets_are_those_of_a_loop_over_cells(marks):
    """Heat, what counts, owners and weights of each cell, with padding, crowds, ignored and overlapping objects."""
    there = drawn_objects(0, 20, 6, CLASSES, 24, marks=marks)
    got = targets(there)
    for number in range(20):
        one = image_of(there, number)
        heat, counted, told, count = by_cells(one, GRID, CLASSES, STRIDE)
        np.testing.assert_allclose(got.heat[number], heat, atol=1e-5)
        np.testing.assert_array_equal(got.counted[number], counted)
        assert got.number[number] == count
        weights = np.zeros(GRID)
        for (row, column), (owner, weight) in told.items():
            weights[row, column] = weight
            np.testing.assert_array_equal(got.boxes[number, row, column], one.boxes[owner] / STRIDE)
        np.testing.assert_allclose(got.weights[number], weights, atol=1e-5)


def test_images_are_independent_and_padding_changes_nothing():
    """One image, a batch, or a batch of batches; with more room, and with none."""
    there = drawn_objects(1, 4, 5, CLASSES, 24)
    whole = targets(there)
    chex.assert_trees_all_equal(targets(image_of(there, 2)), jax.tree.map(lambda x: x[2], whole))
    nested = targets(jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), there))
    chex.assert_trees_all_equal(nested, jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), whole))
    roomier = jax.tree.map(lambda x: np.pad(x, [(0, 0), (0, 3)] + [(0, 0)] * (x.ndim - 2)), there)
    chex.assert_trees_all_equal(targets(roomier), whole)
    none = targets(Objects(np.zeros((2, 0, 4), np.float32), np.zeros((2, 0), int), np.zeros((2, 0), bool)))
    assert not none.heat.any()
    assert not none.weights.any()
    assert none.counted.all()
    assert none.number.tolist() == [0, 0]


def test_the_order_of_objects_does_not_matter():
    there = drawn_objects(2, 4, 5, CLASSES, 24)
    other = jax.tree.map(lambda x: x[:, ::-1], there)
    chex.assert_trees_all_close(targets(there), targets(other), atol=1e-6)


def test_a_shift_by_cells_moves_the_targets():
    box = np.float32([[5, 3, 12, 11]])
    there = Objects(box, np.array([1]), np.array([True]))
    right = there._replace(boxes=box + np.float32([8, 4, 8, 4]))
    a, b = targets(there), targets(right)
    np.testing.assert_array_equal(a.heat[:-1, :-2], b.heat[1:, 2:])
    np.testing.assert_array_equal(a.weights[:-1, :-2], b.weights[1:, 2:])


def test_every_object_keeps_a_cell_though_a_larger_one_is_around_it():
    """Of two in one cell the smaller is told."""
    inner, outer, other = [9.0, 9, 11, 11], [2.0, 2, 18, 18], [0.0, 0, 22, 14]
    there = Objects(np.float32([outer, inner, other]), np.array([0, 0, 1]), np.ones(3, bool))
    got = targets(there)
    np.testing.assert_array_equal(got.boxes[2, 2] * STRIDE, inner)
    np.testing.assert_array_equal(got.boxes[1, 2] * STRIDE, other)
    np.testing.assert_allclose(got.weights.sum(), 3, rtol=1e-6)  # the outer one has cells beside the shared centre


def perfect(there):
    """What a detector would say that knows the objects."""
    right = targets(there)
    middle = boxes.center_boxes(jnp.zeros((*right.weights.shape, 4)))
    sides = jnp.where(right.weights[..., None] > 0, jnp.abs(right.boxes - middle), 1)
    return CenterMaps(jnp.where(right.heat == 1, 9.0, -9.0), sides)


@pytest.mark.row("detection")
def test_what_is_said_of_objects_is_read_as_these_objects():
    """Objects with centres in cells of their own come back: box, class, and a score near 1."""
    corners = np.float32([[2, 2, 9, 9], [12, 1, 20, 6], [3, 12, 10, 19], [15, 9, 27, 19]])
    there = Objects(corners, np.array([0, 2, 1, 2]), np.ones(4, bool))
    found = jax.jit(partial(boxes.center_detections, stride=STRIDE, count=6))(perfect(there))
    assert found.valid.tolist() == [True] * 4 + [False] * 2
    order = [int(np.abs(found.boxes[:4] - box[None]).sum(-1).argmin()) for box in corners]
    assert sorted(order) == [0, 1, 2, 3]
    np.testing.assert_allclose(found.boxes[np.array(order)], corners, atol=1e-5)
    np.testing.assert_array_equal(found.classes[np.array(order)], there.classes)
    assert found.scores[:4].min() > 0.99
    assert not found.boxes[4:].any()


def test_detections_are_the_peaks_by_falling_score():
    """Against a loop over all cells and classes; clipped to the image."""
    maps = drawn_maps(3, 3, GRID, CLASSES)
    found = boxes.center_detections(maps, stride=STRIDE, count=40, least_score=0.3, size=(18, 25))
    for number in range(3):
        heat, want = maps.heat[number], []
        for row, column, label in np.ndindex(heat.shape):
            around = heat[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2, label]
            score = special.expit(np.float64(heat[row, column, label]))
            if heat[row, column, label] == around.max() and score >= 0.3:
                left, up, right, down = maps.sides[number, row, column]
                box = np.float64([column + 0.5 - left, row + 0.5 - up, column + 0.5 + right, row + 0.5 + down])
                want.append((score, label, np.clip(box * STRIDE, 0, [25, 18, 25, 18])))
        want.sort(key=lambda one: -one[0])
        assert found.valid[number].tolist() == [True] * len(want) + [False] * (40 - len(want))
        for k, (score, label, box) in enumerate(want):
            assert float(found.scores[number, k]) == pytest.approx(score, rel=1e-5)
            assert found.classes[number, k] == label
            np.testing.assert_allclose(found.boxes[number, k], box, atol=1e-4)


def test_more_may_be_asked_for_than_there_are_cells():
    found = boxes.center_detections(drawn_maps(4, 1, (2, 2), 1), stride=2, count=10)
    assert found.scores.shape == (1, 10)
    assert found.valid.sum() >= 1


def test_nan_is_noticed():
    """A network's nan stays valid; a box or class that cannot be makes the targets nan where it is not known."""
    maps = drawn_maps(5, 1, GRID, CLASSES)
    maps.heat[0, 2, 2, 1] = np.nan
    found = boxes.center_detections(maps, stride=STRIDE, count=100)
    assert (np.isnan(found.scores) & found.valid).any()
    there = Objects(np.float32([[4, 4, 8, 8]]), np.array([1]), np.array([True]))
    for bad in (
        there._replace(boxes=np.float32([[4, np.nan, 8, 8]])),
        there._replace(boxes=np.float32([[8, 4, 4, 8]])),
        there._replace(classes=np.array([3])),
    ):
        assert np.isnan(targets(bad).heat).any()
        assert not np.isnan(targets(bad._replace(valid=np.array([False]))).heat).any()


there = drawn_objects(6, 1, 2, CLASSES, 24, marks=False)
maps = drawn_maps(6, 1, GRID, CLASSES)


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("error", "message", "objects", "options"),
    [
        (TypeError, "center_targets: expected fn.boxes.Objects, got tuple", (1, 2), {}),
        (ShapeError, r"boxes must have shape \(..., n, 4\)", there._replace(boxes=there.boxes[..., :3]), {}),
        (ShapeError, "valid must have the shape", there._replace(valid=there.valid[:, :1]), {}),
        (DtypeError, "must be real floating-point, got int", there._replace(boxes=there.boxes.astype(int)), {}),
        (DataError, r"0 to 2, got 4 at index \(0, 0\)", there._replace(classes=there.classes * 0 + 4), {}),
        (DataError, "center_targets: boxes: .*inverted", there._replace(boxes=there.boxes[..., ::-1]), {}),
        (ValueError, "grid must be", there, {"grid": 5}),
        (ValueError, "w of the grid", there, {"grid": (5, 0)}),
        (ValueError, "classes", there, {"classes": 0}),
        (ValueError, "stride must be a number above 0", there, {"stride": 0}),
        (ValueError, "spread must be a number above 0", there, {"spread": -1}),
    ],
)  # fmt: skip
def test_bad_objects_are_named(error, message, objects, options):
    with pytest.raises(error, match=message):
        boxes.center_targets(objects, **({"grid": GRID, "classes": CLASSES, "stride": STRIDE} | options))


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("error", "message", "said", "options"),
    [
        (TypeError, "expected fn.boxes.CenterMaps, got ndarray", maps.heat, {}),
        (ShapeError, r"sides \(..., h, w, 4\)", maps._replace(sides=maps.heat), {}),
        (DtypeError, "floating", maps._replace(heat=maps.heat.astype(int)), {}),
        (ValueError, "stride", maps, {"stride": -1}),
        (ValueError, "count", maps, {"count": 0}),
        (ValueError, "least_score", maps, {"least_score": float("nan")}),
    ],
)
def test_bad_maps_are_named(error, message, said, options):
    with pytest.raises(error, match=message):
        boxes.center_detections(said, **({"stride": STRIDE} | options))


@pytest.mark.untyped
def test_sides_are_four():
    with pytest.raises(ShapeError, match=r"sides must have shape \(..., h, w, 4\)"):
        boxes.center_boxes(maps.heat)
