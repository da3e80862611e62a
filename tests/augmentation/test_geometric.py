"""Images go where SciPy puts them, and boxes and masks go with them."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from augmentation_toys import KEY, SIZE, TRANSFORMS, H, N, W, bounds, painted, photographs
from jax.test_util import check_grads
from scipy import ndimage

from fnnet import augmentation, boxes
from fnnet.augmentation.resampling import inverse, resample

pytestmark = pytest.mark.types

MOVING = ("flip", "flip vertical", "crop", "resized_crop", "rotation", "affine")
EXACT = ("flip", "flip vertical", "crop")
TURNING = ("rotation", "affine")  # whose sharp corners are faint
SHOWN = {name: TRANSFORMS[name][0] for name in MOVING} | {  # of a turned object that is cut the box is not the tightest
    "rotation": lambda: augmentation.rotation(30, visible=1.0),
    "affine": lambda: augmentation.affine(20, translate=0.2, scale=(0.7, 1.1), shear=15.0, visible=1.0),
}


@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
def test_flipping_twice_is_the_identity(axis):
    """Law: with probability 1, once is NumPy's flip, twice nothing; with ½ about half of the rows are mirrored."""
    x, objects = painted()
    mirror = jax.jit(augmentation.flip(axis, probability=1))
    once = mirror(KEY, (x, objects))
    np.testing.assert_array_equal(once[0], np.flip(x, 2 if axis == "horizontal" else 1))
    chex.assert_trees_all_equal(mirror(KEY, once), (x, objects))
    ramp = np.broadcast_to(np.arange(2.0, dtype=np.float32).reshape(1, 1, 2, 1), (400, 2, 2, 1))
    changed, _ = jax.jit(augmentation.flip(probability=0.25))(KEY, (ramp, None))
    assert 60 < int(changed[:, 0, 0, 0].sum()) < 140


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("seed", [0, 1])
def test_boxes_are_around_what_is_painted(name, seed):
    """A box that moves is, to a pixel, the one around the pixels of its rectangle, and padding stays as it is.

    Under a flip or a crop it is so exactly. An object of which nothing is left is not valid.
    """
    x, objects = painted(seed)
    transform = jax.jit(SHOWN[name]())
    y, moved = transform(jax.random.key(seed), (x, objects))
    assert moved.boxes.dtype == jnp.float32
    np.testing.assert_array_equal(moved.boxes[0, 0], objects.boxes[0, 0])
    assert not moved.valid[0, 0]
    boxes.check_boxes(moved.boxes, size=SIZE[1:], valid=moved.valid)
    seen = 0
    for row, channel in np.ndindex(N, 3):
        around = bounds(y[row, ..., channel] > (0.05 if name in TURNING else 0.5))
        if (row, channel) == (0, 0) or not moved.valid[row, channel]:
            continue
        seen += 1
        error = np.abs(np.asarray(moved.boxes[row, channel]) - around).max()
        assert error == 0 if name in EXACT else error <= 1.5, (row, channel, error)
    assert seen >= 3


@pytest.mark.parametrize("name", MOVING)
def test_masks_go_with_images(name):
    """Where the image is 0 or 1 after the change, and not between, the mask says so; outside it is `mask_fill`."""
    x, _ = painted()
    options = {} if name.startswith("flip") else {"mask_fill": 7}
    make = {
        "flip": augmentation.flip,
        "flip vertical": lambda **options: augmentation.flip("vertical", **options),
        "crop": lambda **options: augmentation.crop(padding=5, fill=7.0, **options),
        "resized_crop": lambda **options: augmentation.resized_crop(SIZE[1:], **options),
        "rotation": lambda **options: augmentation.rotation(40, fill=7.0, **options),
        "affine": lambda **options: augmentation.affine(9, translate=0.2, scale=0.3, shear=9, fill=7.0, **options),
    }[name]
    image, mask = jax.jit(make(**options))(KEY, (x, x[..., 0].astype(np.int32)))
    image = np.asarray(image[..., 0])
    settled = (
        np.isin(image, (0, 1, 7))
        if name in EXACT
        else (np.abs(image - np.round(image)) < 1e-5) & np.isin(np.round(image), (0, 1, 7))
    )
    np.testing.assert_array_equal(np.asarray(mask)[settled], np.round(image[settled]))
    assert settled.mean() > 0.7
    assert {*np.unique(mask)} == ({0, 1} if name in ("flip", "flip vertical", "resized_crop") else {0, 1, 7})


def by_scipy(image, matrix):
    """Return what SciPy makes of an image by a map: it has (row, column) of centres, and takes the map back."""
    linear = np.linalg.inv(matrix[:, :2])[::-1, ::-1]
    offset = linear @ (0.5 - matrix[::-1, 2]) - 0.5
    planes = [
        ndimage.affine_transform(plane, linear, offset, SIZE[1:], order=1, mode="grid-constant")
        for plane in np.moveaxis(image.astype(np.float64), -1, 0)
    ]
    return np.stack(planes, -1)


def test_pixels_are_those_of_scipy():
    """It is scipy.ndimage.affine_transform of order 1, by 64 maps at once: no pixel takes its neighbour's share."""
    x, rng = photographs(n=64), np.random.default_rng(1)
    matrices = np.eye(2, 3) + rng.uniform(-0.4, 0.4, (64, 2, 3))
    matrices[:, :, 2] += rng.uniform(-4, 4, (64, 2))
    matrices[:8] = np.round(matrices[:8])  # places that are exactly on pixels
    matrices[:8, :, :2] = np.eye(2)
    matrices = matrices.astype(np.float32)
    moved = jax.jit(jax.vmap(lambda image, matrix: resample(image, matrix, SIZE[1:], 0.0, nearest=False)))(x, matrices)
    for image, matrix, y in zip(x, matrices.astype(np.float64), moved, strict=True):
        np.testing.assert_allclose(y, by_scipy(image, matrix), atol=1e-4)


def test_the_map_is_that_of_its_formula():
    """Points and pixels go where p' = s R S (p - c) + c + t has them, and the inverse brings them back."""
    pair = lambda value: (value, value)  # noqa: E731
    transform = augmentation.affine(pair(30), translate=pair(0.125), scale=pair(0.5), shear=pair(20), visible=0.0)
    point = np.array([[[10.0, 8, 10, 8], [10, 8, 11, 9]]], np.float32)
    objects = boxes.Objects(point, np.zeros((1, 2), int), np.ones((1, 2), bool), areas=np.ones((1, 2), np.float32))
    x = photographs(n=1)
    y, moved = jax.jit(transform)(KEY, (x, objects))
    t, phi, c = np.deg2rad(30), np.deg2rad(20), np.array([W, H]) / 2
    linear = 0.5 * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]) @ np.array([[1, np.tan(phi)], [0, 1]])
    matrix = np.concatenate([linear, (c - linear @ c + 0.125 * np.array([W, H]))[:, None]], axis=1)
    square = np.array([[10, 8, 1], [11, 8, 1], [10, 9, 1], [11, 9, 1]]) @ matrix.T
    np.testing.assert_allclose(moved.boxes[0, 1], [*square.min(0), *square.max(0)], atol=1e-4)
    np.testing.assert_allclose(y[0], by_scipy(x[0], matrix), atol=1e-4)
    assert moved.valid.tolist() == [[False, True]]  # a point has no area
    np.testing.assert_allclose(moved.areas[0, 1], 0.25, rtol=1e-5)
    back = np.asarray(jax.jit(inverse)(jnp.asarray(matrix, jnp.float32)))
    np.testing.assert_allclose(back[:, :2] @ linear, np.eye(2), atol=1e-5)
    np.testing.assert_allclose(back[:, :2] @ matrix[:, 2] + back[:, 2], np.zeros(2), atol=1e-4)


def test_shifts_of_whole_pixels_are_exact():
    """A translation by whole pixels moves values unchanged, and a quarter turn is NumPy's."""
    x = jnp.asarray(photographs())
    shifted, _ = jax.jit(augmentation.affine(translate=(0.25, 0.25), fill=0.5))(KEY, (x, None))
    np.testing.assert_array_equal(shifted[:, H // 4 :, W // 4 :], x[:, : -H // 4, : -W // 4])
    assert (shifted[:, : H // 4] == 0.5).all()
    square = x[:, :, :H]
    turned, mask = jax.jit(augmentation.rotation((90, 90)))(KEY, (square, (square[..., 0] * 100).astype(jnp.int32)))
    np.testing.assert_allclose(turned, np.rot90(square, -1, axes=(1, 2)), atol=1e-4)
    np.testing.assert_array_equal(mask, np.rot90((square[..., 0] * 100).astype(jnp.int32), -1, axes=(1, 2)))


def test_what_is_left_of_an_object():
    """An object is valid while the share `visible` of its moved box is inside; outlines shrink by that share."""
    x = np.zeros((1, 8, 8, 1), np.float32)
    corners = np.array([[[0, 0, 4, 4], [2, 0, 6, 4], [7, 0, 8, 4]]], np.float32)
    areas = np.array([[8.0, 8.0, 2.0]], np.float32)
    objects = boxes.Objects(corners, np.zeros((1, 3), int), np.ones((1, 3), bool), areas=areas)
    for visible, valid in ((0.0, [True, True, False]), (0.5, [True, True, False]), (0.75, [True, False, False])):
        right = augmentation.affine(translate=(0.5, 0.5), visible=visible)
        _, moved = jax.jit(right)(KEY, (x, objects._replace(boxes=corners - np.float32([0, 4, 0, 4]))))
        assert moved.boxes[0, 0].tolist() == [4, 0, 8, 4]
        assert moved.boxes[0, 1].tolist() == [6, 0, 8, 4]
        assert moved.valid[0].tolist() == valid
        assert moved.areas[0].tolist() == [8, 4, 0]


def test_crops():
    """A crop is a window of the padded image, and every window comes about as often as another."""
    x = np.arange(1, 17, dtype=np.uint8).reshape(1, 4, 4, 1).repeat(900, 0)
    cut, _ = jax.jit(augmentation.crop((3, 2), padding=0))(KEY, (x, None))
    windows = {x[0, i : i + 3, j : j + 2].tobytes() for i in range(2) for j in range(3)}
    drawn, counts = np.unique(np.asarray(cut).reshape(900, -1), axis=0, return_counts=True)
    assert {row.tobytes() for row in drawn} == windows
    assert counts.min() > 100
    padded, _ = jax.jit(augmentation.crop(padding=1, fill=9))(KEY, (x, None))
    whole = np.pad(x[0], ((1, 1), (1, 1), (0, 0)), constant_values=9)
    windows = {whole[i : i + 4, j : j + 4].tobytes() for i in range(3) for j in range(3)}
    assert {row.tobytes() for row in np.asarray(padded)} == windows


def test_resized_crops_show_the_share_asked_for():
    """Of a ramp of x and y, the window's area and shape are within their ranges, and it lies inside."""
    n, side = 200, 20
    ys, xs = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5, indexing="ij")
    x = np.broadcast_to(np.stack([xs, ys], -1).astype(np.float32), (n, side, side, 2))
    cut, _ = jax.jit(augmentation.resized_crop(9, area=(0.2, 0.4), ratio=(0.8, 1.25)))(KEY, (x, None))
    step = np.asarray(cut[:, 5, 5] - cut[:, 4, 4])  # of source pixels for one of the crop: the ramp is linear
    width, height = 9 * step.T
    share, shape = width * height / side**2, width / height
    assert 0.199 < share.min() < 0.22
    assert 0.38 < share.max() < 0.401
    assert 0.799 < shape.min() < 0.83
    assert 1.2 < shape.max() < 1.251
    centre = np.asarray(cut[:, 4, 4])
    assert (centre - np.stack([width, height], -1) / 2 > -1e-3).all()
    assert (centre + np.stack([width, height], -1) / 2 < side + 1e-3).all()


def test_images_have_gradients():
    """The interpolated values are linear in the image; by a shift the derivative is the difference of neighbours."""
    x = jnp.asarray(photographs(n=1, channels=1))[0]
    matrix = jnp.array([[0.9, 0.2, 0.33], [-0.1, 1.1, 0.41]])
    check_grads(
        jax.jit(lambda image: resample(image, matrix, (5, 4), 0.0, nearest=False)), (x,), 1, ["fwd", "rev"], atol=1e-2
    )
    shift = lambda t: resample(x, jnp.eye(2, 3).at[0, 2].set(t), (H, W), 0.0, nearest=False)[3, 7, 0]  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.grad(shift))(0.25), x[3, 6, 0] - x[3, 7, 0], atol=1e-5)
