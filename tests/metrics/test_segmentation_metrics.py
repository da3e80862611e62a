"""Metrics of segmentation: classes that are absent, pixels to ignore, boundaries by erosion and distance transform."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics as sk
from mask_toys import MASK_LOGITS, MASKS, blobs, boundary, boundary_score, flat
from metric_toys import value

from fnnet import metrics
from fnnet.errors import DataError, ShapeError
from fnnet.metrics import segmentation

assert_close = partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7)
MAKERS = {
    "pixel_accuracy": metrics.pixel_accuracy,
    "mean_iou": partial(metrics.mean_iou, 3),
    "dice": partial(metrics.dice, 3),
    "image_dice": partial(metrics.image_dice, 3),
    "boundary_f1": partial(metrics.boundary_f1, 3, distance=2),
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
Z, Y = MASK_LOGITS[:6], MASKS[:6]
VOID = np.where(np.random.default_rng(0).uniform(size=Y.shape) < 0.25, 255, Y)
fast = jax.jit(value, static_argnums=0)
pytestmark = pytest.mark.usefixtures("quickly_compiled")


@pytest.mark.row("segmentation")
def test_classes_that_are_absent():
    """A class neither there nor given is skipped, or counts 0 or 1; one only given, or only there, counts 0."""
    given, true = np.array([[0, 1, 1, 3]]), np.array([[0, 0, 1, 1]])
    per_class = [1 / 2, 1 / 3, np.nan, 0]
    assert_close(fast(metrics.mean_iou(4, average=None), given, true), per_class)
    assert_close(fast(metrics.mean_iou(4), given, true), (1 / 2 + 1 / 3) / 3)
    assert_close(fast(metrics.mean_iou(4, absent="zero"), given, true), (1 / 2 + 1 / 3) / 4)
    assert_close(fast(metrics.mean_iou(4, absent="one"), given, true), (1 / 2 + 1 / 3 + 1) / 4)
    assert_close(fast(metrics.dice(4, average=None, absent="one"), given, true), [2 / 3, 1 / 2, 1, 0])
    assert_close(fast(metrics.dice(4, absent="zero"), given, true), fast(metrics.f1(4), given, true))
    assert_close(fast(metrics.image_dice(4, absent="zero"), given, true), fast(metrics.f1(4), given, true))
    iou = np.asarray(fast(metrics.mean_iou(3, average=None), Z, Y))
    assert_close(fast(metrics.dice(3, average=None), Z, Y), 2 * iou / (1 + iou))
    for make in MAKERS.values():
        assert np.isnan(fast(make(ignore=0), Z[:1], np.zeros_like(Y[:1])))
        assert np.isnan(make().compute(make().init()))


@every
def test_pixels_to_ignore_are_as_if_not_there(make):
    """Whatever is predicted there, NaN too; an image of them alone is left out."""
    noise = np.where((VOID == 255)[..., None], np.nan, Z).astype(np.float32)
    got = fast(make(ignore=255), noise, VOID)
    assert np.isfinite(got)
    swapped = np.where((VOID == 255)[..., None], -Z, Z)
    assert_close(got, fast(make(ignore=255), swapped, VOID))
    alone = np.concatenate([VOID[:5], np.full_like(VOID[:1], 255)])
    assert_close(fast(make(ignore=255), Z, alone), fast(make(ignore=255), Z[:5], VOID[:5]))


def test_regions_with_pixels_to_ignore_are_those_of_scikit_learn():
    """Over the pixels kept; image by image for the mean over images."""
    kept = VOID != 255
    given, true = Z.argmax(-1)[kept][None, None], VOID[kept][None, None]
    assert_close(fast(metrics.mean_iou(3, ignore=255), Z, VOID), flat(sk.jaccard_score, average="macro")(given, true))
    assert_close(fast(metrics.dice(3, ignore=255), Z, VOID), flat(sk.f1_score, average="macro")(given, true))
    assert_close(fast(metrics.pixel_accuracy(ignore=255), Z, VOID), (given == true).mean())
    each = [
        flat(sk.f1_score, average="macro", labels=np.union1d(z[kept], y[kept]))(
            z[kept][None, None], y[kept][None, None]
        )
        for z, y, kept in zip(Z.argmax(-1), VOID, kept, strict=True)
    ]
    assert_close(fast(metrics.image_dice(3, ignore=255), Z, VOID), np.mean(each))


@every
def test_one_logit_and_two_agree(make):
    """With a threshold, one logit is the difference of two; classes that are integers are those of the logits."""
    one, two = Z[..., 0] - 1, np.stack([np.zeros_like(Z[..., 0]), Z[..., 0] - 1], -1)
    n = {} if make is metrics.pixel_accuracy else {"n": 2}
    make = make.func if n else make
    metric, of_logit = make(**n), make(**n, threshold=0.0)
    assert_close(fast(of_logit, one, Y % 2), fast(metric, two, Y % 2))
    if n:
        assert_close(fast(metric, two.argmax(-1), Y % 2), fast(metric, two, Y % 2))


def test_weights_may_belong_to_pixels_where_pixels_are_counted():
    """A weight of 0 is a pixel ignored; metrics of images take one weight an image."""
    w = (VOID != 255).astype(np.float32)
    for name in ("pixel_accuracy", "mean_iou", "dice"):
        assert_close(fast(MAKERS[name](), Z, Y, w), fast(MAKERS[name](ignore=255), Z, VOID))
    for name in ("image_dice", "boundary_f1"):
        with pytest.raises(ShapeError, match=rf"^{name}: the weight must have the leading axes of \(6,\)"):
            value(MAKERS[name](), Z, Y, w)


def test_counts_beyond_the_digits_of_a_float_are_exact():
    """2²⁴ + 2¹⁶ pixels of one class in one update, where a float32 would stop at 2²⁴."""
    n = 2**24 + 2**16
    given, true = jnp.zeros((1, n), jnp.int8), jnp.zeros((1, n), jnp.int8).at[0, 0].set(1)
    metric = metrics.confusion_matrix(2)
    acc = jax.jit(metric.update)(metric.init(), given, true)
    assert float(acc.value[0, 0]) + float(acc.error[0, 0]) == n - 1
    assert float(acc.value[1, 0]) == 1


@pytest.mark.row("segmentation")
@pytest.mark.parametrize("distance", [0, 1, 2**0.5, 5**0.5, 13**0.5, 3.7, 100])
def test_boundary_f1_is_that_of_distance_transforms(distance):
    """Roots that are rounded down reach their own square; with pixels to ignore in the truth."""
    z, y = blobs(3, 13, 11, 3, seed=1)
    y[0, 3:6, 4:8], y[1, :, :2] = 255, 255
    metric = metrics.boundary_f1(3, distance=distance, ignore=255)
    update = jax.jit(metric.update)
    for image in range(3):
        got = metric.compute(update(metric.init(), z[image], y[image]))
        assert_close(got, boundary_score(z[image].argmax(-1), y[image], distance, ignore=255))


def test_boundaries_are_those_of_erosion():
    """Pixels with a kept neighbour of another class: neither the image's edge nor the void makes one."""
    rng = np.random.default_rng(3)
    mask, kept = rng.uniform(size=(20, 7, 9)) < 0.6, rng.uniform(size=(20, 7, 9)) < 0.8
    got = jax.jit(segmentation._boundary)(mask & kept, kept)
    np.testing.assert_array_equal(got, [boundary(m & k, k) for m, k in zip(mask, kept, strict=True)])


def test_boundary_f1_by_hand():
    """A contour one pixel off, within a distance of 1 and not of 0; images of one class; a class that is missed."""
    true, off = np.zeros((8, 8), int), np.zeros((8, 8), int)
    true[:, 4:], off[:, 5:] = 1, 1
    exact, near = metrics.boundary_f1(2, distance=0), metrics.boundary_f1(2, distance=1)
    assert fast(exact, true, true) == fast(near, off, true) == 1
    assert fast(exact, off, true) == 0
    plain = np.zeros((8, 8), int)
    assert fast(near, plain, plain) == 1
    assert fast(near, plain + 1, plain) == fast(near, plain, true) == 0


def test_boundary_distance_is_a_share_of_the_diagonal_by_default():
    """0.75 % of the diagonal as in the paper, whatever the size; a share may be given."""
    z, y = blobs(2, 12, 9, 3, seed=2)
    assert_close(fast(metrics.boundary_f1(3), z, y), fast(metrics.boundary_f1(3, distance=0), z, y))
    assert_close(fast(metrics.boundary_f1(3, share=0.14), z, y), fast(metrics.boundary_f1(3, distance=2.1), z, y))


@every
def test_images_filled_up_with_void_have_the_value_they_had(make):
    """Images of unequal sizes make one array: so much is exact over ragged batches."""
    wide = np.pad(Y, ((0, 0), (0, 3), (2, 0)), constant_values=255)
    filled = np.pad(Z, ((0, 0), (0, 3), (2, 0), (0, 0)))
    assert_close(fast(make(ignore=255), filled, wide), fast(make(), Z, Y))


@every
def test_an_image_alone_is_a_batch_of_one(make):
    """Leading axes are batch, also none and two of them."""
    assert_close(fast(make(), Z[0], Y[0]), fast(make(), Z[:1], Y[:1]))
    assert_close(fast(make(), Z.reshape(2, 3, *Z.shape[1:]), Y.reshape(2, 3, *Y.shape[1:])), fast(make(), Z, Y))


def test_bad_input_raises():
    """Options, labels and shapes that are wrong, each with where and what."""
    for name, make in MAKERS.items():
        with pytest.raises(DataError, match=f"^{name}: label 7 at index "):
            value(make(), Z, np.where(Y == 1, 7, Y))
        with pytest.raises(ShapeError, match=rf"^{name}: for logits \(6, 6, 8, 3\) the target must"):
            value(make(), Z, Y[0])
        with pytest.raises(ValueError, match=f"^{name}: ignore must be a whole number, got 0.5"):
            value(make(ignore=0.5), Z, Y)
        if name != "pixel_accuracy":
            with pytest.raises(ShapeError, match=rf"^{name}: logits must have shape \(..., 3\), got \(6, 6, 8, 2\)"):
                value(make(), Z[..., :2], Y % 2)
            with pytest.raises(ValueError, match=f"^{name}: n must be at least 2, got 1"):
                make.func(1)
            with pytest.raises(ValueError, match=f"^{name}: threshold is for n=2"):
                make(threshold=0.0)
    for name in ("image_dice", "boundary_f1"):
        with pytest.raises(ShapeError, match=rf"^{name}: the input must have shape \(..., H, W\)"):
            value(MAKERS[name](), Z[0, 0], Y[0, 0])
    for make in (metrics.mean_iou, metrics.dice, metrics.image_dice):
        with pytest.raises(ValueError, match="absent must be 'skip', 'zero' or 'one', got 'nan'"):
            make(3, absent="nan")
    with pytest.raises(ValueError, match=r"^mean_iou: average must be 'macro' or None, got 'micro'"):
        metrics.mean_iou(3, average="micro")
    for option in ("distance", "share"):
        for bad in (-1.0, np.inf, np.nan):
            with pytest.raises(ValueError, match=f"^boundary_f1: {option} must be a finite number of at least 0, got"):
                metrics.boundary_f1(3, **{option: bad})
