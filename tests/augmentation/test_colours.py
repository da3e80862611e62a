"""Colours by colorsys and formulas in float64, and rectangles that hide."""

from __future__ import annotations

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from augmentation_toys import KEY, H, N, W, photographs
from jax.test_util import check_grads

from fnnet import augmentation
from fnnet.augmentation.colours import turn_hue

pytestmark = pytest.mark.types

LUMA = np.array([0.299, 0.587, 0.114])


def grey(x):
    return (x @ LUMA)[..., None]


FORMULAS = {
    "brightness": lambda x, f: f * x,
    "contrast": lambda x, f: f * x + (1 - f) * grey(x).mean((1, 2), keepdims=True),
    "saturation": lambda x, f: f * x + (1 - f) * grey(x),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.7])
def test_factors(name, factor):
    """Each change is its formula, clipped to [0, 1]."""
    x = photographs()
    changed, _ = jax.jit(augmentation.color(**{name: (factor, factor)}))(KEY, (x, None))
    np.testing.assert_allclose(changed, np.clip(FORMULAS[name](x.astype(np.float64), factor), 0, 1), atol=1e-5)


def test_they_come_one_after_another():
    x = photographs()
    changed, _ = jax.jit(augmentation.color(brightness=(1.5, 1.5), contrast=(0.5, 0.5), saturation=(2, 2)))(
        KEY, (x, None)
    )
    expected = x.astype(np.float64)
    for name, factor in zip(FORMULAS, (1.5, 0.5, 2), strict=True):
        expected = np.clip(FORMULAS[name](expected, factor), 0, 1)
    np.testing.assert_allclose(changed, expected, atol=1e-5)


@pytest.mark.parametrize("turns", [-0.5, -0.1, 1 / 3, 0.45])
def test_hue_is_that_of_colorsys(turns):
    """By every pixel, greys, black and primaries among them; a whole turn in parts comes back."""
    x = np.concatenate(
        [photographs(n=1)[0].reshape(-1, 3)[:200], np.eye(3), 1 - np.eye(3), np.full((1, 3), 0.3), np.zeros((1, 3))]
    )
    expected = []
    for pixel in x:
        h, s, v = colorsys.rgb_to_hsv(*pixel.astype(float))
        expected.append(colorsys.hsv_to_rgb((h + turns) % 1, s, v))
    image = jnp.asarray(x, jnp.float32)[None]
    np.testing.assert_allclose(turned(image, turns)[0], expected, atol=2e-6)
    np.testing.assert_allclose(turned(turned(image, turns), -turns), image, atol=5e-6)
    changed, _ = jax.jit(augmentation.color(hue=(turns, turns)))(KEY, (image[None], None))
    np.testing.assert_allclose(changed[0, 0], expected, atol=2e-6)


def turned(image, turns):
    return jax.jit(turn_hue)(image, jnp.float32(turns))


def test_factors_are_uniform_in_their_ranges():
    x = np.full((500, 1, 1, 1), 0.25, np.float32)
    changed, _ = jax.jit(augmentation.color(brightness=0.5))(KEY, (x, None))
    factors = np.sort(np.asarray(changed).ravel() / 0.25)
    np.testing.assert_allclose(factors, np.linspace(0.5, 1.5, 500), atol=0.08)
    dark, _ = jax.jit(augmentation.color(brightness=2.0))(KEY, (x, None))  # 0 … 3, not from -1
    assert 0 <= float(dark.min()) < 0.02
    assert 0.7 < float(dark.max()) <= 0.75
    one, _ = jax.jit(augmentation.color(contrast=0.5))(
        KEY, (photographs(channels=1), None)
    )  # the mean of channels is grey
    assert one.shape == (N, H, W, 1)


def test_colours_have_gradients():
    """Where channels differ and nothing is clipped; a grey image has finite ones."""
    x = 0.3 + 0.4 * jnp.asarray(photographs(n=1))[0, :2, :3]
    check_grads(jax.jit(lambda image: turn_hue(image, jnp.float32(0.21))), (x,), 1, ["fwd"], atol=1e-2, rtol=1e-2)
    change = augmentation.color(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1)
    slope = jax.jit(jax.grad(lambda x: change(KEY, (x, None))[0].sum()))(jnp.full((1, 2, 3, 3), 0.5))
    assert jnp.isfinite(slope).all()


def test_rectangles_hide():
    """What is erased is one rectangle of the area and shape asked for, anywhere inside; the rest is as it was."""
    n, side = 300, 20
    x = 1 + np.random.default_rng(0).random((n, side, side, 2), np.float32)
    hide = jax.jit(augmentation.erasing(probability=0.75, area=(0.1, 0.3), ratio=(0.5, 2.0), fill=-3))
    changed = np.asarray(hide(KEY, (x, None))[0])
    erased = (changed == -3).all(-1)
    np.testing.assert_array_equal(changed[~erased], x[~erased])
    assert (changed[erased] == -3).all()
    hit = erased.any((1, 2))
    assert 0.65 < hit.mean() < 0.85
    height, width = (erased.any(axis).sum(-1)[hit] for axis in (2, 1))
    np.testing.assert_array_equal(erased.sum((1, 2))[hit], height * width)
    share, shape = height * width / side**2, height / width
    assert 0.08 < share.min() < 0.13
    assert 0.27 < share.max() < 0.33
    assert 0.4 < shape.min() < 0.7
    assert 1.5 < shape.max() < 2.4
    often = erased.mean(0)
    assert (often.max(0) > 0).all()  # the edges too
    assert (often.max(1) > 0).all()
