"""Losses of segmentation: torch's numbers, the laws of pixels and classes, and images with nothing in them."""

from __future__ import annotations

import itertools
import json
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_toys import fails
from scipy import special
from segmentation_toys import (
    CLASS_WEIGHTS,
    IMAGES,
    LABELS,
    MAPS,
    MARKS,
    TERMS,
    WITH_VOID,
    jaccard_loss,
    lovasz_term,
    over_classes,
    over_maps,
    pixel_cross_entropy,
    tversky_term,
)

from fnnet import losses
from fnnet.errors import DataError, DtypeError, ShapeError

pytestmark = pytest.mark.usefixtures("quickly_compiled")
assert_close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
OF_CLASSES = {name: getattr(losses, name) for name in ("pixel_cross_entropy", *TERMS)}
REGIONS = {name: getattr(losses, name) for name in ("tversky", "dice", "jaccard")}
BINARY = {name: getattr(losses, f"binary_{name}") for name in OF_CLASSES}
of_classes = pytest.mark.parametrize("loss", OF_CLASSES.values(), ids=OF_CLASSES)
binary = pytest.mark.parametrize("loss", BINARY.values(), ids=BINARY)
TORCH = json.loads((pathlib.Path(__file__).parent / "torch_pixel_cross_entropy.json").read_text(encoding="utf-8"))


@pytest.mark.row("segmentation")
@pytest.mark.parametrize("case", TORCH["cases"], ids=lambda case: "+".join(case["options"]) or "plain")
def test_cross_entropy_of_pixels_is_that_of_torch(case):
    """Of one image alone, and of a batch if each image weighs as much as its pixels; gradients too."""
    z, y = jnp.array(TORCH["logits"], jnp.float32), np.array(TORCH["labels"])
    weights, smoothing = case["options"].get("weight"), case["options"].get("label_smoothing", 0.0)
    weigh = np.ones(3) if weights is None else np.array(weights)
    loss = partial(losses.pixel_cross_entropy, smoothing=smoothing, ignore=255)
    loss = loss if weights is None else partial(loss, class_weights=np.array(weights))
    assert_close(loss(z, y), case["each"])
    of_image = np.where(y == 255, 0, weigh[np.where(y == 255, 0, y)]).sum((1, 2))
    share = jnp.asarray(of_image / of_image.sum(), jnp.float32)
    value, gradient = jax.jit(jax.value_and_grad(lambda z: (share * loss(z, y)).sum()))(z)
    assert_close(value, case["batch"])
    assert_close(gradient, case["gradient"])


@pytest.mark.row("segmentation")
def test_losses_are_their_formulas_over_all_classes():
    """Without options, and with the absent class in the mean."""
    assert_close(losses.pixel_cross_entropy(IMAGES, LABELS), pixel_cross_entropy(IMAGES, LABELS))
    for name, term in TERMS.items():
        assert_close(getattr(losses, name)(IMAGES, LABELS, classes="all"), over_classes(term, IMAGES, LABELS))
        assert_close(getattr(losses, f"binary_{name}")(MAPS, MARKS), over_maps(term, MAPS, MARKS))
    harsh = partial(tversky_term, alpha=2.0, beta=0.25, smooth=0.125)
    assert_close(
        losses.tversky(IMAGES, LABELS, alpha=2.0, beta=0.25, smooth=0.125),
        over_classes(harsh, IMAGES, LABELS),
    )


@of_classes
def test_pixels_have_no_order(loss):
    """The same permutation of pixels in logits and labels changes nothing, and a pixel's gradient goes with it."""
    order = np.random.default_rng(0).permutation(16)

    def shuffled(x):
        return x.reshape(2, 16, *x.shape[3:])[:, order].reshape(x.shape)

    both = jax.jit(jax.value_and_grad(lambda z, y: loss(z, y, ignore=255).sum()))
    value, gradient = both(IMAGES, WITH_VOID)
    other, moved = both(shuffled(IMAGES), shuffled(WITH_VOID))
    assert_close(other, value)
    assert_close(moved, shuffled(np.asarray(gradient)))


@of_classes
def test_classes_have_no_order(loss):
    """Renaming the classes in logits, labels and weights changes nothing; weights of 1 are none, their scale too."""
    new = np.array([2, 0, 1])
    weighted = partial(loss, class_weights=CLASS_WEIGHTS)
    assert_close(
        loss(IMAGES[..., np.argsort(new)], new[LABELS], class_weights=CLASS_WEIGHTS[np.argsort(new)]),
        weighted(IMAGES, LABELS),
    )
    assert_close(loss(IMAGES, LABELS, class_weights=np.ones(3)), loss(IMAGES, LABELS))
    assert_close(loss(IMAGES, LABELS, class_weights=4 * CLASS_WEIGHTS), weighted(IMAGES, LABELS))


@pytest.mark.row("segmentation")
def test_related_losses_agree():
    """Tversky at ½, ½ is Dice, at 1, 1 Jaccard; where p is 0 or 1, D = J / (2 - J) of losses without smoothing."""
    assert_close(losses.tversky(IMAGES, LABELS, alpha=0.5, beta=0.5), losses.dice(IMAGES, LABELS))
    assert_close(losses.tversky(IMAGES, LABELS, alpha=1.0, beta=1.0), losses.jaccard(IMAGES, LABELS))
    assert_close(losses.binary_tversky(MAPS, MARKS, alpha=0.5, beta=0.5), losses.binary_dice(MAPS, MARKS))
    assert_close(losses.binary_tversky(MAPS, MARKS, alpha=1.0, beta=1.0), losses.binary_jaccard(MAPS, MARKS))
    jaccard = losses.binary_jaccard(1e4 * MAPS, MARKS, smooth=0.0)
    assert_close(losses.binary_dice(1e4 * MAPS, MARKS, smooth=0.0), jaccard / (2 - jaccard))
    assert_close(losses.binary_lovasz(1e4 * MAPS, MARKS), jaccard)


@pytest.mark.parametrize("name", TERMS)
def test_one_logit_is_the_second_class_of_two(name):
    """binary(z) is the term of class 1 in the loss of (0, z)."""
    pairs = np.stack([np.zeros_like(MAPS), MAPS], -1)
    alone = np.array([0.0, 1.0])
    assert_close(BINARY[name](MAPS, MARKS), OF_CLASSES[name](pairs, MARKS, classes="all", class_weights=alone))


def test_cross_entropy_of_one_logit_is_the_mean_of_its_elements():
    """Without a label to leave out; with one, that of the others."""
    assert_close(losses.binary_pixel_cross_entropy(MAPS, MARKS), losses.binary_cross_entropy(MAPS, MARKS).mean((1, 2)))
    void = np.where(np.arange(3) == 1, 7, MARKS)
    assert_close(
        losses.binary_pixel_cross_entropy(MAPS, void, ignore=7),
        losses.binary_cross_entropy(MAPS, MARKS)[..., ::2].mean((1, 2)),
    )


def test_losses_of_classification_take_pixels():
    """One value a pixel; the mean over the kept ones of focal at γ = 0 is the cross-entropy of the image."""
    for loss in (losses.focal, losses.hinge, losses.cross_entropy):
        assert_close(
            loss(IMAGES, WITH_VOID, ignore=255).ravel(), loss(IMAGES.reshape(-1, 3), WITH_VOID.ravel(), ignore=255)
        )
    total = losses.focal(IMAGES, WITH_VOID, gamma=0.0, ignore=255).sum((1, 2))
    assert_close(
        total / (WITH_VOID != 255).sum((1, 2)).astype(np.float32),
        losses.pixel_cross_entropy(IMAGES, WITH_VOID, ignore=255),
    )
    assert (losses.focal(IMAGES, LABELS) < losses.cross_entropy(IMAGES, LABELS)).all()


SURE = np.where(np.eye(3, dtype=bool)[LABELS], 1e4, -1e4).astype(np.float32)
EMPTY = np.zeros_like(LABELS)


SHARP = {f"{name}, not smooth": partial(loss, smooth=0.0) for name, loss in REGIONS.items()}


@pytest.mark.parametrize("loss", (OF_CLASSES | SHARP).values(), ids=OF_CLASSES | SHARP)
def test_right_is_nothing_and_wrong_is_finite(loss):
    """Right logits of 1e4 cost 0, with no gradient; gradients are finite where all is wrong, or one class fills all."""
    both = jax.jit(lambda z, y: (loss(z, y), jax.grad(lambda z: loss(z, y).sum())(z)))
    value, gradient = both(SURE, LABELS)
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_array_equal(gradient, 0)
    for z, y in itertools.product((SURE, -SURE, 0 * SURE, IMAGES), (LABELS, EMPTY)):
        value, gradient = both(z, y)
        assert np.isfinite(value).all()
        assert np.isfinite(gradient).all()
    assert (both(-SURE, LABELS)[0] > 0.5).all()


@of_classes
def test_pixels_to_ignore_are_as_if_not_there(loss):
    """Whatever their logits, NaN too, and no gradient goes to them; an image of them alone has loss 0."""
    kept = np.ones(LABELS.shape, bool)
    kept[:, 2:], kept[1] = False, False
    z, y = np.where(kept[..., None], IMAGES, np.nan).astype(np.float32), np.where(kept, LABELS, -7)
    both = jax.jit(lambda z, y: (loss(z, y, ignore=-7), jax.grad(lambda z: loss(z, y, ignore=-7).sum())(z)))
    value, gradient = both(z, y)
    assert_close(value, [loss(IMAGES[0, :2], LABELS[0, :2]), 0])
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[~kept].any()
    assert np.asarray(gradient)[0, :2].any()
    assert_close(loss(IMAGES, np.where(kept, LABELS, 255).astype(np.uint8), ignore=255), value)


@binary
def test_one_logit_ignores_too(loss):
    """The same of one logit a pixel; an empty mask, a full one and their opposites have finite gradients."""
    kept = np.ones(MARKS.shape, bool)
    kept[:, 2:], kept[1] = False, False
    z, t = np.where(kept, MAPS, np.nan).astype(np.float32), np.where(kept, MARKS, 9)
    both = jax.jit(lambda z, t: (loss(z, t, ignore=9), jax.grad(lambda z: loss(z, t, ignore=9).sum())(z)))
    value, gradient = both(z, t)
    assert_close(value, [loss(MAPS[0, :2], MARKS[0, :2]), 0])
    assert not np.asarray(gradient)[~kept].any()
    assert_close(loss(z, t.astype(np.float32), ignore=9), value)
    assert_close(both(MAPS, MARKS.astype(bool))[0], loss(MAPS, MARKS))
    for size, mark in itertools.product((0.0, 1e4, -1e4), (0, 1)):
        value, gradient = both(np.full_like(MAPS, size), np.full_like(MARKS, mark))
        assert np.isfinite(value).all()
        assert np.isfinite(gradient).all()
        if size and (size > 0) == mark:
            np.testing.assert_array_equal(value, 0)


@pytest.mark.row("segmentation")
def test_lovasz_is_the_jaccard_loss_at_every_set_of_wrong_pixels():
    """All 64 sets of six pixels, for truths with no, one, three and all pixels marked."""
    wrong = np.array(list(itertools.product([False, True], repeat=6)))
    for truth in ([0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 1, 0], [1, 1, 1, 1, 1, 1]):
        t = np.tile(np.array(truth, bool), (64, 1))
        z = np.where(t ^ wrong, 1e4, -1e4).astype(np.float32).reshape(64, 2, 3)
        want = [jaccard_loss(w, row) for w, row in zip(wrong, t, strict=True)]
        assert_close(losses.binary_lovasz(z, t.reshape(64, 2, 3)), want)


def test_lovasz_is_convex_in_the_errors():
    """f of a mixture of probabilities is at most the mixture of f; and ties may be sorted either way."""
    rng = np.random.default_rng(1)
    p, q, mix = rng.uniform(0.01, 0.99, (64, 3, 4)), rng.uniform(0.01, 0.99, (64, 3, 4)), rng.uniform(size=(64, 1, 1))
    t = rng.integers(0, 2, (64, 3, 4))
    of = jax.jit(lambda p: losses.binary_lovasz(jax.scipy.special.logit(p), t))
    p, q, mix = (x.astype(np.float32) for x in (p, q, mix))
    low, high = of(mix * p + (1 - mix) * q), mix[:, 0, 0] * of(p) + (1 - mix[:, 0, 0]) * of(q)
    assert (low <= high + 1e-6).all()
    assert (low < high - 1e-3).any()
    tied = np.round(p, 1).clip(0.1, 0.9)
    assert_close(of(tied), [lovasz_term(p.ravel(), t.ravel()) for p, t in zip(tied, t, strict=True)])


def test_lovasz_of_a_large_image_keeps_its_digits():
    """2¹⁷ pixels in float32: value and gradient are those of the formula in float64."""
    rng = np.random.default_rng(2)
    z, t = rng.normal(size=(1, 2**17)).astype(np.float32), rng.uniform(size=(1, 2**17)) < 0.3
    value, gradient = jax.jit(jax.value_and_grad(losses.binary_lovasz))(z, t)
    p = special.expit(z[0].astype(np.float64))
    error = np.where(t[0], 1 - p, p)
    order = np.argsort(-error)
    loss = 1 - (t.sum() - np.cumsum(t[0][order])) / (t.sum() + np.cumsum(~t[0][order]))
    slope = np.diff(loss, prepend=0.0)
    np.testing.assert_allclose(value, error[order] @ slope, rtol=1e-5)
    want = np.empty_like(p)
    want[order] = slope
    want *= np.where(t[0], -1, 1) * p * (1 - p)
    assert np.median(np.abs(gradient[0] / want - 1)) < 1e-5


@of_classes
def test_a_bad_label_spoils_its_image_under_jit(loss):
    """NaN in value and gradient there, and nowhere else."""
    y = LABELS.copy()
    y[0, 1, 1] = 3
    value, gradient = jax.jit(lambda y: (loss(IMAGES, y), jax.grad(lambda z: loss(z, y).sum())(IMAGES)))(y)
    np.testing.assert_array_equal(np.isnan(value), [True, False])
    assert np.isnan(gradient[0]).any()
    assert not np.isnan(gradient[1]).any()


@binary
def test_a_bad_mark_spoils_its_image_under_jit(loss):
    t = MARKS.copy()
    t[0, 1, 1] = 3
    np.testing.assert_array_equal(np.isnan(jax.jit(loss)(MAPS, t)), [True, False])


def test_prices_may_be_traced():
    """α and β that are arrays give what numbers give: they can be swept."""
    swept = jax.jit(jax.vmap(lambda a: losses.tversky(IMAGES, LABELS, alpha=a, beta=1 - a)))(jnp.array([0.3, 0.5]))
    assert_close(swept, [losses.tversky(IMAGES, LABELS), losses.dice(IMAGES, LABELS)])


def test_bad_input_raises():
    """Labels, shapes and options that are wrong, each with what was expected and the fix."""
    bad = np.where(LABELS == 1, 5, LABELS)
    for name, loss in OF_CLASSES.items():
        with fails(DataError, rf"^{name}: label 5 at index \(0, ", "is not one of the 3 classes"):
            loss(IMAGES, bad)
        with fails(ShapeError, rf"^{name}: for logits \(2, 4, 4, 3\) the target must", r"got \(2, 4\)"):
            loss(IMAGES, LABELS[..., 0])
        with fails(ShapeError, rf"^{name}: needs integer labels \(2, 4, 4\)", "argmax"):
            loss(IMAGES, np.eye(3, dtype=np.float32)[LABELS])
        with fails(ShapeError, rf"^{name}: .*\(..., H, W, classes\), got \(4, 3\)"):
            loss(IMAGES[0, 0], LABELS[0, 0])
        with fails(DtypeError, rf"^{name}: labels .* must be integers, got float32"):
            loss(IMAGES, LABELS.astype(np.float32))
        with fails(ValueError, f"^{name}: ignore must be a whole number, got 2.5"):
            loss(IMAGES, LABELS, ignore=2.5)
        with fails(ShapeError, rf"^{name}: class_weights must have shape \(3,\), got \(2,\)"):
            loss(IMAGES, LABELS, class_weights=np.ones(2))
    for name, loss in BINARY.items():
        with fails(DataError, f"^binary_{name}: targets must lie between 0 and 1, got 2"):
            loss(MAPS, MARKS + 1)
        with fails(ShapeError, rf"^binary_{name}: the target must have the prediction's shape \(2, 4, 3\)"):
            loss(MAPS, MARKS[0])
        with fails(ShapeError, rf"^binary_{name}: .*\(..., H, W\), got \(3,\)"):
            loss(MAPS[0, 0], MARKS[0, 0])
        with fails(ValueError, f"^binary_{name}: ignore must be a whole number, got 'void'"):
            loss(MAPS, MARKS, ignore="void")
    with fails(DataError, "^binary_lovasz: targets must be 0 or 1", "round"):
        losses.binary_lovasz(MAPS, MARKS * 0.5)
    for name in ("alpha", "beta", "smooth"):
        for loss, z, y in ((losses.tversky, IMAGES, LABELS), (losses.binary_tversky, MAPS, MARKS)):
            with fails(ValueError, f"tversky: {name} must be a finite number of at least 0, got -0.5"):
                loss(z, y, **{name: -0.5})
    with fails(ValueError, "^lovasz: classes must be 'all' or 'present', got 'some'"):
        losses.lovasz(IMAGES, LABELS, classes="some")
    with fails(ValueError, "^pixel_cross_entropy: smoothing must be a number in"):
        losses.pixel_cross_entropy(IMAGES, LABELS, smoothing=2.0)
    with fails(ValueError, "^binary_pixel_cross_entropy: positive_weight must be a finite number of at least 0"):
        losses.binary_pixel_cross_entropy(MAPS, MARKS, positive_weight=-1.0)
