"""Every loss against its definition in float64, and the laws that all of them obey."""

from __future__ import annotations

from functools import partial

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from center_oracle import center_loss, drawn_maps, drawn_objects, image_of
from hypothesis import given
from hypothesis.extra.numpy import arrays
from loss_toys import BOXES, COUNTS, REAL, SOFT, WEIGHTS, T, Y, Z, fails
from scipy import special
from segmentation_toys import ROWS as SEGMENTATION

from fnnet import losses
from fnnet.errors import ShapeError
from fnnet.testing import LossSubject, law_table


def log_softmax(z):
    return z - special.logsumexp(z, axis=-1, keepdims=True)


def soft_cross_entropy(z, p, smoothing=0.0, weights=1.0):
    p = (1 - smoothing) * np.asarray(p, np.float64) + smoothing / z.shape[-1]
    return -(weights * p * log_softmax(z)).sum(-1)


def hard_cross_entropy(z, y, **options):
    return soft_cross_entropy(z, np.eye(z.shape[-1])[y], **options)


def focal(z, y, gamma=2.0):
    p = np.take_along_axis(special.softmax(z, -1), y[..., None], -1)[..., 0]
    return -((1 - p) ** gamma) * np.log(p)


def hinge(z, y):
    others = np.where(np.eye(z.shape[-1], dtype=bool)[y], -np.inf, z)
    return np.maximum(0, 1 + others.max(-1) - np.take_along_axis(z, y[..., None], -1)[..., 0])


def binary_cross_entropy(z, t, weight=1.0, smoothing=0.0):
    t = t * (1 - smoothing) + smoothing / 2
    return -weight * t * special.log_expit(z) - (1 - t) * special.log_expit(-z)


def binary_focal(z, t, gamma=2.0, alpha=None):
    p = np.where(t == 1, special.expit(z), special.expit(-z))
    a = 1.0 if alpha is None else np.where(t == 1, alpha, 1 - alpha)
    return -a * (1 - p) ** gamma * np.log(p)


def huber(a, b, delta=1.0):
    e = np.abs(a - b)
    return np.where(e <= delta, e**2 / 2, delta * (e - delta / 2))


def cosine(a, b):
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return 1 - (a * b).sum(-1) / np.where(lengths > 0, lengths, 1)


def contrastive(pair, y):
    d = np.linalg.norm(pair[0] - pair[1], axis=-1)
    return np.where(y == 1, d**2, np.maximum(0, 3 - d) ** 2) / 2


def triplet(points, target):
    a, p, n = points
    return np.maximum(0, ((a - p) ** 2).sum(-1) - ((a - n) ** 2).sum(-1) + 1)


def box_areas(a, b):
    """Return the areas of the intersection, the union and the hull of boxes (n, 4)."""
    low, high = np.maximum(a, b)[:, :2], np.minimum(a, b)[:, 2:]
    hull = np.maximum(a, b)[:, 2:] - np.minimum(a, b)[:, :2]
    inner = np.maximum(high - low, 0).prod(-1)
    return inner, sum((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)) - inner, hull.prod(-1), (hull**2).sum(-1)


def iou(a, b):
    inner, union, _, _ = box_areas(a, b)
    return 1 - inner / union


def giou(a, b):
    _, union, hull, _ = box_areas(a, b)
    return iou(a, b) + 1 - union / hull


def diou(a, b):
    shift = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
    return iou(a, b) + (shift**2).sum(-1) / box_areas(a, b)[3]


def ciou(a, b):
    angle = [np.arctan((x[:, 2] - x[:, 0]) / (x[:, 3] - x[:, 1])) for x in (a, b)]
    v = (2 / np.pi * (angle[0] - angle[1])) ** 2
    return diou(a, b) + v**2 / (iou(a, b) + v)


def gaussian_focal(z, t):
    p = special.expit(z)
    return np.where(t == 1, -((1 - p) ** 2) * np.log(p), -((1 - t) ** 4) * p**2 * np.log1p(-p))


def centers(maps, there):
    return np.array([center_loss(image_of(maps, n), image_of(there, n), stride=4) for n in range(4)])


def one_hot(target, size=30.0):
    """Return logits that are sure of the labels; of those that are no class, zeros."""
    return size * jax.nn.one_hot(target, 3)


def sure(target, size=40.0):
    """Return one logit that is sure of yes (1) or no (0); of what is neither, 0."""
    target = jnp.asarray(target, jnp.float32)
    return jnp.where(target < 0, 0.0, jnp.where(target == 1, size, -size))


def log_of(target):
    return jnp.log(jnp.maximum(jnp.asarray(target, jnp.float32), 1e-12))


def same(target):
    return target


def boxes_of(numbers):
    """Return boxes of any numbers: the first corner, and how far the second is beyond it."""
    corner, beyond = numbers[..., :2], numbers[..., 2:]
    return jnp.concatenate([corner, corner + jax.nn.softplus(beyond)], -1)


def maps_of(maps):
    """Return maps whose sides are above 0."""
    return maps._replace(sides=jax.nn.softplus(maps.sides))


def subject(loss, reference, prediction, target, **facts):
    prediction, target = jax.tree.map(jnp.asarray, (prediction, target))
    return LossSubject(loss, prediction, target, reference=reference, **facts)


def by_class_weights(loss):
    return lambda weights: partial(loss, class_weights=weights)


o = losses
certain = {"truth": one_hot, "convex": True}  # of classes
decided = {"truth": sure, "convex": True}  # of yes or no
LOSSES = {  # one row buys every law
    "cross_entropy": subject(
        o.cross_entropy, hard_cross_entropy, Z, Y, **certain, weighted=(by_class_weights(o.cross_entropy), 3)
    ),
    "cross_entropy, one-hot": subject(
        o.cross_entropy,
        soft_cross_entropy,
        Z,
        np.eye(3, dtype=np.int32)[Y],
        truth=lambda t: 30.0 * t.astype(jnp.float32),
        convex=True,
    ),
    "cross_entropy, soft": subject(o.cross_entropy, soft_cross_entropy, Z, SOFT, least=None, truth=log_of, convex=True),
    "cross_entropy, smooth and weighted": subject(
        partial(o.cross_entropy, smoothing=0.2, class_weights=WEIGHTS),
        partial(hard_cross_entropy, smoothing=0.2, weights=WEIGHTS),
        Z,
        Y,
    ),
    "cross_entropy, soft, smooth and weighted": subject(
        partial(o.cross_entropy, smoothing=0.2, class_weights=WEIGHTS),
        partial(soft_cross_entropy, smoothing=0.2, weights=WEIGHTS),
        Z,
        SOFT,
    ),
    "cross_entropy, ignore": subject(
        partial(o.cross_entropy, ignore=2), lambda z, y: hard_cross_entropy(z, y) * (y != 2), Z, Y, **certain
    ),
    "focal": subject(o.focal, focal, Z, Y, truth=one_hot, weighted=(by_class_weights(o.focal), 3)),
    "focal, weak": subject(partial(o.focal, gamma=0.5), partial(focal, gamma=0.5), Z, Y, truth=one_hot),
    "focal, weighted": subject(partial(o.focal, class_weights=WEIGHTS), lambda z, y: WEIGHTS[y] * focal(z, y), Z, Y),
    "hinge": subject(o.hinge, hinge, Z, Y, **certain),
    "kl_divergence": subject(
        o.kl_divergence,
        lambda z, p: special.rel_entr(p, special.softmax(z, -1)).sum(-1),
        Z,
        SOFT,
        truth=log_of,
        convex=True,
    ),
    "binary_cross_entropy": subject(o.binary_cross_entropy, binary_cross_entropy, Z, T, **decided),
    "binary_cross_entropy, smooth and weighted": subject(
        partial(o.binary_cross_entropy, smoothing=0.1, positive_weight=WEIGHTS),
        partial(binary_cross_entropy, smoothing=0.1, weight=WEIGHTS),
        Z,
        SOFT,
    ),
    "binary_focal": subject(o.binary_focal, binary_focal, Z, T, truth=sure),
    "binary_focal, alpha": subject(
        partial(o.binary_focal, alpha=0.25), partial(binary_focal, alpha=0.25), Z, T, truth=sure
    ),
    "binary_hinge": subject(o.binary_hinge, lambda z, t: np.maximum(0, 1 - (2 * t - 1) * z), Z, T, **decided),
    "squared_error": subject(o.squared_error, lambda a, b: (a - b) ** 2, Z, REAL, truth=same, convex=True),
    "absolute_error": subject(o.absolute_error, lambda a, b: np.abs(a - b), Z, REAL, truth=same, convex=True),
    "huber": subject(o.huber, huber, Z, REAL, truth=same, convex=True),
    "huber, wide": subject(partial(o.huber, delta=3.0), partial(huber, delta=3.0), Z, REAL, truth=same, convex=True),
    "log_cosh": subject(o.log_cosh, lambda a, b: np.log(np.cosh(a - b)), Z, REAL, truth=same, convex=True),
    "quantile": subject(
        partial(o.quantile, q=0.9),
        lambda a, b: np.where(b > a, 0.9 * (b - a), 0.1 * (a - b)),
        Z,
        REAL,
        truth=same,
        convex=True,
    ),
    "poisson": subject(o.poisson, lambda z, y: np.exp(z) - y * z, Z, COUNTS, least=None, truth=log_of, convex=True),
    "cosine": subject(o.cosine, cosine, Z, REAL, truth=same),
    "contrastive": subject(partial(o.contrastive, margin=3.0), contrastive, (Z, REAL), np.array([1, 0, 0, 1])),
    **{
        name: subject(getattr(o, name), reference, *BOXES, truth=same, as_prediction=boxes_of)
        for name, reference in {"iou": iou, "giou": giou, "diou": diou, "ciou": ciou}.items()
    },
    "gaussian_focal": subject(o.gaussian_focal, gaussian_focal, Z, np.maximum(SOFT, T), truth=sure),
    "centers": subject(
        partial(o.centers, stride=4),
        centers,
        drawn_maps(0, 4, (5, 6), 3),
        drawn_objects(0, 4, 3, 3, 20),
        as_prediction=maps_of,
    ),
    "triplet": subject(o.triplet, triplet, (Z, REAL, Z[::-1].copy()), np.zeros(4)),
}
for name, parts in SEGMENTATION.items():  # smoothed labels have no loss of zero
    LOSSES[name] = subject(
        *parts,
        truth=None if name == "pixel_cross_entropy" else sure if name.startswith("binary_") else one_hot,
        convex=name == "binary_pixel_cross_entropy",
    )
ERRORS = ("squared_error", "absolute_error", "huber", "log_cosh", "quantile", "poisson")
BY_ELEMENT = [name for name in LOSSES if name.startswith(("binary_", "gaussian_", *ERRORS))]

every = pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES)


def test_every_loss_has_a_row():
    assert {name.split(",")[0] for name in LOSSES} == set(losses.__all__)


GRADIENT = "a part of it is constant to the gradient, as in its paper: tests/boxes/test_similarity.py"


@pytest.mark.row("regression-output", "cross-entropy")
@pytest.mark.usefixtures("quickly_compiled")
@law_table(LOSSES, excused={"ciou": {"gradients_are_slopes": GRADIENT}})
def test_it_obeys(law):
    law()


def doubles(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64) if np.issubdtype(x.dtype, np.floating) else x, tree)


@every
def test_float32_stays_float32_under_x64(case, x64):
    """A double among the targets does not widen the loss of a float32 prediction."""
    assert jax.eval_shape(case.loss, case.prediction, doubles(case.target)).dtype == jnp.float32


CLASSES = {
    name: LOSSES[name] for name in LOSSES if name.split(",")[0] in ("cross_entropy", "focal", "hinge", "kl_divergence")
}


def value_and_slope(loss, target):
    return jax.jit(jax.value_and_grad(lambda z: loss(z, target).sum()))


compiled = {name: value_and_slope(case.loss, case.target) for name, case in CLASSES.items()}


@pytest.mark.row("cross-entropy")
@pytest.mark.parametrize("name", CLASSES)
@given(z=arrays(np.float32, (4, 3), elements=st.floats(-(2.0**123), 2.0**123, width=32)))
def test_classification_is_finite_for_every_logit_whose_loss_fits(name, z):
    """Values and gradients are finite for every float32 logit up to 1e37, whose sum over the rows fits too."""
    value, slope = compiled[name](z)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


@pytest.mark.row("binary-output", "cross-entropy")
def test_related_losses_agree():
    """γ = 0 is cross-entropy; one logit z is the two logits (0, z); KL is cross-entropy less entropy; δ = ∞ is ½e²."""
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    close(losses.focal(Z, Y, gamma=0.0), losses.cross_entropy(Z, Y))
    close(losses.binary_focal(Z, T, gamma=0.0), losses.binary_cross_entropy(Z, T))
    close(losses.gaussian_focal(Z, T, alpha=3.0), losses.binary_focal(Z, T, gamma=3.0))
    pairs = np.stack([np.zeros_like(Z), Z], -1)
    close(losses.binary_cross_entropy(Z, T), losses.cross_entropy(pairs, T))
    close(losses.binary_focal(Z, T), losses.focal(pairs, T))
    close(losses.kl_divergence(Z, SOFT), losses.cross_entropy(Z, SOFT) - special.entr(SOFT).sum(-1))
    close(losses.kl_divergence(np.log(SOFT), SOFT), np.zeros(4))
    close(losses.huber(Z, REAL, delta=1e3), losses.squared_error(Z, REAL) / 2)
    close(losses.quantile(Z, REAL, q=0.5), losses.absolute_error(Z, REAL) / 2)


@pytest.mark.parametrize("name", BY_ELEMENT)
def test_a_missing_axis_is_not_broadcast(name):
    """(n,) against (n, 1), either way round, raises and names the axis to add or drop."""
    loss = LOSSES[name].loss
    with fails(ShapeError, r"prediction's shape \(4, 1\), got \(4,\)", r"target\[..., None\]"):
        loss(jnp.ones((4, 1)), jnp.ones(4))
    with fails(ShapeError, r"prediction's shape \(4,\), got \(4, 1\)", r"target\[..., 0\]"):
        loss(jnp.ones(4), jnp.ones((4, 1)))
    with fails(ShapeError, r"\(4,\), got \(\)", "nothing is broadcast"):
        loss(jnp.ones(4), 1.0)


def test_doubles_of_numpy_are_taken_as_floats():
    """Without x64, float64 arrays of NumPy become float32 without a warning."""
    assert losses.squared_error(np.ones(2), np.zeros(2)).dtype == jnp.float32
    np.testing.assert_allclose(losses.cross_entropy(np.zeros((2, 3)), Y[:2]), np.log(3), rtol=1e-6)
