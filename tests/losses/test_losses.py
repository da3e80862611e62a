"""Every loss against its definition in float64, and the laws that all of them obey."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from laws import assert_pure_and_compilable
from scipy import special

from fnnet import losses, targets
from fnnet.errors import DataError, DtypeError, ShapeError

rng = np.random.default_rng(0)
Z = rng.normal(size=(4, 3)).astype(np.float32) * 3
Y = np.array([0, 2, 1, 2])
SOFT = rng.dirichlet([0.5, 0.5, 0.5], 4).astype(np.float32)
T = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0]])
REAL = rng.normal(size=(4, 3)).astype(np.float32) * 2
COUNTS = rng.poisson(2.0, (4, 3))
WEIGHTS = np.array([0.5, 2.0, 1.0], np.float32)


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
    return 1 - (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def contrastive(pair, y):
    d = np.linalg.norm(pair[0] - pair[1], axis=-1)
    return np.where(y == 1, d**2, np.maximum(0, 3 - d) ** 2) / 2


def triplet(points, target):
    a, p, n = points
    return np.maximum(0, ((a - p) ** 2).sum(-1) - ((a - n) ** 2).sum(-1) + 1)


class Case(NamedTuple):
    loss: Callable
    oracle: Callable
    prediction: object
    target: object


LOSSES = {  # one row buys every law
    "cross_entropy": Case(losses.cross_entropy, hard_cross_entropy, Z, Y),
    "cross_entropy, one-hot": Case(losses.cross_entropy, soft_cross_entropy, Z, np.eye(3, dtype=np.int32)[Y]),
    "cross_entropy, soft": Case(losses.cross_entropy, soft_cross_entropy, Z, SOFT),
    "cross_entropy, smooth and weighted": Case(
        partial(losses.cross_entropy, smoothing=0.2, class_weights=WEIGHTS),
        partial(hard_cross_entropy, smoothing=0.2, weights=WEIGHTS),
        Z,
        Y,
    ),
    "cross_entropy, soft, smooth and weighted": Case(
        partial(losses.cross_entropy, smoothing=0.2, class_weights=WEIGHTS),
        partial(soft_cross_entropy, smoothing=0.2, weights=WEIGHTS),
        Z,
        SOFT,
    ),
    "cross_entropy, ignore": Case(
        partial(losses.cross_entropy, ignore=2), lambda z, y: hard_cross_entropy(z, y) * (y != 2), Z, Y
    ),
    "focal": Case(losses.focal, focal, Z, Y),
    "focal, weak": Case(partial(losses.focal, gamma=0.5), partial(focal, gamma=0.5), Z, Y),
    "focal, weighted": Case(partial(losses.focal, class_weights=WEIGHTS), lambda z, y: WEIGHTS[y] * focal(z, y), Z, Y),
    "hinge": Case(losses.hinge, hinge, Z, Y),
    "kl_divergence": Case(
        losses.kl_divergence, lambda z, p: special.rel_entr(p, special.softmax(z, -1)).sum(-1), Z, SOFT
    ),
    "binary_cross_entropy": Case(losses.binary_cross_entropy, binary_cross_entropy, Z, T),
    "binary_cross_entropy, smooth and weighted": Case(
        partial(losses.binary_cross_entropy, smoothing=0.1, positive_weight=WEIGHTS),
        partial(binary_cross_entropy, smoothing=0.1, weight=WEIGHTS),
        Z,
        SOFT,
    ),
    "binary_focal": Case(losses.binary_focal, binary_focal, Z, T),
    "binary_focal, alpha": Case(partial(losses.binary_focal, alpha=0.25), partial(binary_focal, alpha=0.25), Z, T),
    "binary_hinge": Case(losses.binary_hinge, lambda z, t: np.maximum(0, 1 - (2 * t - 1) * z), Z, T),
    "squared_error": Case(losses.squared_error, lambda a, b: (a - b) ** 2, Z, REAL),
    "absolute_error": Case(losses.absolute_error, lambda a, b: np.abs(a - b), Z, REAL),
    "huber": Case(losses.huber, huber, Z, REAL),
    "huber, wide": Case(partial(losses.huber, delta=3.0), partial(huber, delta=3.0), Z, REAL),
    "log_cosh": Case(losses.log_cosh, lambda a, b: np.log(np.cosh(a - b)), Z, REAL),
    "quantile": Case(
        partial(losses.quantile, q=0.9), lambda a, b: np.where(b > a, 0.9 * (b - a), 0.1 * (a - b)), Z, REAL
    ),
    "poisson": Case(losses.poisson, lambda z, y: np.exp(z) - y * z, Z, COUNTS),
    "cosine": Case(losses.cosine, cosine, Z, REAL),
    "contrastive": Case(partial(losses.contrastive, margin=3.0), contrastive, (Z, REAL), np.array([1, 0, 0, 1])),
    "triplet": Case(losses.triplet, triplet, (Z, REAL, Z[::-1].copy()), np.zeros(4)),
}
ERRORS = ("squared_error", "absolute_error", "huber", "log_cosh", "quantile", "poisson")
BY_ELEMENT = [name for name in LOSSES if name.startswith(("binary_", *ERRORS))]

every = pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES)


def test_every_loss_has_a_row():
    assert {name.split(",")[0] for name in LOSSES} == set(losses.__all__)


def doubles(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64) if np.issubdtype(x.dtype, np.floating) else x, tree)


@every
def test_equals_its_definition(case):
    """Values are those of the formula in float64."""
    want = case.oracle(doubles(case.prediction), doubles(case.target))
    got = case.loss(jax.tree.map(jnp.asarray, case.prediction), jnp.asarray(case.target))
    assert got.shape == want.shape
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6)


@every
def test_leading_axes_are_batch_under_vmap_and_jit(case):
    """jit(vmap(vmap(loss))) = loss of the batch, one value an example or an element."""
    whole = case.loss(case.prediction, case.target)
    stack = jax.tree.map(lambda x: np.stack([x, x]), (case.prediction, case.target))
    rows = jax.jit(jax.vmap(jax.vmap(case.loss)))(*stack)
    np.testing.assert_allclose(rows[1], whole, rtol=1e-6, atol=1e-6)


@every
def test_it_is_pure_and_compiles(case):
    """The same twice, arguments untouched, jit as eager, one trace for all values, shapes as foretold."""
    assert_pure_and_compilable(case.loss, case.prediction, case.target)


@every
def test_gradient_is_that_of_finite_differences(case, x64):
    """The gradient in a random direction is the central difference, in float64, off the kinks."""
    prediction = doubles(case.prediction)
    direction = jax.tree.map(lambda x: np.random.default_rng(1).normal(size=x.shape), prediction)
    total = jax.jit(lambda p: case.loss(p, case.target).sum())

    def at(step):
        return total(jax.tree.map(lambda p, d: p + step * d, prediction, direction))

    gradient = jax.grad(total)(jax.tree.map(jnp.asarray, prediction))
    slope = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)))
    assert total(prediction).dtype == jnp.float64
    np.testing.assert_allclose(slope, (at(1e-6) - at(-1e-6)) / 2e-6, rtol=1e-6, atol=1e-8)


@every
def test_low_precision_inputs_are_computed_in_float32(case):
    """The loss of a low-precision prediction is that of its float32 value; its gradient has the prediction's dtype."""
    low = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), case.prediction)

    def total(p):
        return case.loss(p, case.target).sum()

    def both(p):
        return jax.value_and_grad(total)(p), total(jax.tree.map(lambda x: x.astype(jnp.float32), p))

    (got, gradient), want = jax.jit(both)(low)
    assert got.dtype == jnp.float32
    assert float(got) == float(want)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(gradient))


EXTREMES = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4], [0, 0, 0]], np.float32)


@every
def test_values_and_gradients_are_finite_at_extreme_predictions(case):
    """Finite at ±1e4 and where all entries, or both points, are equal."""
    prediction = jax.tree.map(lambda _: EXTREMES, case.prediction)
    both = jax.jit(lambda p, t: (case.loss(p, t), jax.grad(lambda p: case.loss(p, t).sum())(p)))
    for target in (case.target, np.asarray(case.target)[::-1].copy()):
        values, gradient = both(prediction, target)
        assert np.isfinite(values).all()
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


CLASSES = {
    name: LOSSES[name] for name in LOSSES if name.split(",")[0] in ("cross_entropy", "focal", "hinge", "kl_divergence")
}


def value_and_slope(loss, target):
    return jax.jit(jax.value_and_grad(lambda z: loss(z, target).sum()))


compiled = {name: value_and_slope(case.loss, case.target) for name, case in CLASSES.items()}


@pytest.mark.parametrize("name", CLASSES)
@given(z=arrays(np.float32, (4, 3), elements=st.floats(-(2.0**123), 2.0**123, width=32)))
def test_classification_is_finite_for_every_logit_whose_loss_fits(name, z):
    """Values and gradients are finite for every float32 logit up to 1e37, whose sum over the rows fits too."""
    value, slope = compiled[name](z)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_gradients_are_finite_even_where_the_value_overflows():
    """At the two ends of float32 the true loss does not fit: it is inf, never NaN, and the gradient is softmax - p."""
    z = jnp.array([[3e38, -3e38]])
    value, gradient = jax.value_and_grad(lambda z: losses.cross_entropy(z, jnp.array([1])).sum())(z)
    assert value == jnp.inf
    np.testing.assert_array_equal(gradient, [[1.0, -1.0]])
    assert losses.cross_entropy(z, jnp.array([[1.0, 0.0]])) == 0


def test_cross_entropy_keeps_its_digits_far_from_zero():
    """Adding a constant to all logits changes nothing: not even at 1e4, where a float32 resolves a thousandth."""
    np.testing.assert_allclose(losses.cross_entropy(jnp.full((1, 2), 1e4), jnp.array([0])), [np.log(2)], rtol=1e-6)


def test_integer_one_hot_and_soft_labels_agree():
    """Integers are one-hot rows are soft rows, with smoothing and class weights."""
    for options in ({}, {"smoothing": 0.3}, {"class_weights": WEIGHTS}, {"smoothing": 0.3, "class_weights": WEIGHTS}):
        loss = partial(losses.cross_entropy, Z, **options)
        for labels in (np.eye(3, dtype=bool)[Y], np.eye(3, dtype=np.int32)[Y], np.eye(3, dtype=np.float32)[Y]):
            np.testing.assert_allclose(loss(labels), loss(Y), rtol=1e-6, atol=1e-6)


def test_no_one_hot_array_is_made_of_integer_labels():
    """The traced program of integer labels compares no label with every class."""
    program = str(jax.make_jaxpr(losses.cross_entropy)(Z, jnp.asarray(Y)))
    assert "iota" not in program.replace("i32[4,1,1]", "")


def test_related_losses_agree():
    """γ = 0 is cross-entropy; one logit z is the two logits (0, z); KL is cross-entropy less entropy; δ = ∞ is ½e²."""
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    close(losses.focal(Z, Y, gamma=0.0), losses.cross_entropy(Z, Y))
    close(losses.binary_focal(Z, T, gamma=0.0), losses.binary_cross_entropy(Z, T))
    pairs = np.stack([np.zeros_like(Z), Z], -1)
    close(losses.binary_cross_entropy(Z, T), losses.cross_entropy(pairs, T))
    close(losses.binary_focal(Z, T), losses.focal(pairs, T))
    close(losses.kl_divergence(Z, SOFT), losses.cross_entropy(Z, SOFT) - special.entr(SOFT).sum(-1))
    close(losses.kl_divergence(np.log(SOFT), SOFT), np.zeros(4))
    close(losses.huber(Z, REAL, delta=1e3), losses.squared_error(Z, REAL) / 2)
    close(losses.quantile(Z, REAL, q=0.5), losses.absolute_error(Z, REAL) / 2)


def test_log_cosh_is_precise_near_zero_and_far_away():
    """Relative error of float32 from 1e-6 to 1e30, and gradient tanh."""
    x = np.concatenate([np.logspace(-6, 1, 50), [1e2, 1e4, 1e30]]).astype(np.float32)
    e = x.astype(np.float64)
    want = np.where(e < 1e-3, e**2 / 2 - e**4 / 12, e + np.log1p(np.exp(-2 * e)) - np.log(2))
    np.testing.assert_allclose(losses.log_cosh(x, np.zeros_like(x)), want, rtol=1e-6)
    np.testing.assert_allclose(
        jax.grad(lambda x: losses.log_cosh(x, jnp.zeros_like(x)).sum())(x), np.tanh(e), rtol=1e-6
    )


def test_poisson_continues_smoothly():
    """Beyond the largest log-rate the loss goes on as the tangent: the gradient there is constant."""
    slope = jax.vmap(jax.grad(losses.poisson))(jnp.array([49.0, 50.0, 60.0, 1e4]), jnp.zeros(4))
    np.testing.assert_allclose(slope, np.exp([49.0, 50.0, 50.0, 50.0]), rtol=1e-5)


def test_float16_does_not_overflow():
    """A square that float16 cannot hold is held: 300² > 65504."""
    assert losses.squared_error(jnp.array([300.0], jnp.float16), jnp.array([0.0])) == 90000


def test_cosine_does_not_depend_on_length():
    """cosine(s·a, b) = cosine(a, b) for any s > 0 that float32 holds; a zero vector has loss 1 and gradient 0."""
    for s in (1e-30, 1e30):
        np.testing.assert_allclose(losses.cosine(Z * np.float32(s), REAL), losses.cosine(Z, REAL), rtol=1e-5)
    value, gradient = jax.value_and_grad(lambda a: losses.cosine(a, REAL[0]))(jnp.zeros(3))
    assert value == 1
    np.testing.assert_array_equal(gradient, np.zeros(3))


def test_ignored_examples_have_no_loss_and_no_gradient_whatever_the_logits():
    """`ignore` may be any integer, also out of range."""
    z, y = jnp.asarray(Z).at[1].set(jnp.nan), jnp.array([0, -1, 1, 255], jnp.int32)
    for loss in (losses.cross_entropy, losses.focal, losses.hinge):
        values, gradient = jax.value_and_grad(lambda z, loss=loss: loss(z, y[:2], ignore=-1)[1])(z[:2])
        assert values == 0
        assert not gradient.any()
    assert losses.cross_entropy(Z[:1], np.array([255], np.uint8), ignore=255)[0] == 0
    with pytest.raises(ValueError, match="ignore is for integer labels, got ignore=2"):
        losses.cross_entropy(Z, SOFT, ignore=2)


def test_smoothing_may_be_traced():
    """A smoothing that is an array gives what the number gives: it can be swept."""
    swept = jax.vmap(lambda s: losses.cross_entropy(Z, Y, smoothing=s))(jnp.array([0.0, 0.2]))
    np.testing.assert_allclose(swept[0], losses.cross_entropy(Z, Y), rtol=1e-6)
    np.testing.assert_allclose(swept[1], losses.cross_entropy(Z, Y, smoothing=0.2), rtol=1e-6)


def test_bad_labels_turn_nan_under_jit():
    """Where values are not known a label out of range makes its own loss and gradient NaN, and no other."""
    y = jnp.array([0, 3, -1, 2])
    for loss in (losses.cross_entropy, losses.focal, losses.hinge):
        values = jax.jit(loss)(Z, y)
        np.testing.assert_array_equal(np.isnan(values), [False, True, True, False])
        gradient = jax.jit(jax.grad(lambda z, y, loss=loss: loss(z, y).sum()))(Z, y)
        np.testing.assert_array_equal(np.isnan(gradient).any(-1), [False, True, True, False])
    values = jax.jit(losses.binary_cross_entropy)(Z[0], jnp.array([-1.0, 0.0, 2.0]))
    np.testing.assert_array_equal(np.isnan(values), [True, False, True])


def fails(error, *parts):
    return pytest.raises(error, match="(?s)" + ".*".join(parts))


def test_bad_labels_raise_where_their_values_are_known():
    """The message names the label, its index and the number of classes."""
    with fails(
        DataError, "cross_entropy: label 3 at index 1 is not one of the 3 classes 0 … 2", "1 of 4", "Fix: number"
    ):
        losses.cross_entropy(jnp.asarray(Z), jnp.array([0, 3, 1, 2]))
    with fails(DataError, r"label -1 at index \(1, 0\) is not", "2 of 4 labels are out of range"):
        losses.cross_entropy(np.zeros((2, 2, 3), np.float32), np.array([[0, 1], [-1, 9]]))
    with fails(DataError, "label 3 at index 1"):
        jax.grad(lambda z: losses.cross_entropy(z, np.array([0, 3, 1, 2])).sum())(jnp.asarray(Z))
    with fails(DataError, "labels: label 7 at index 2 is not one of the 3 classes"):
        targets.check_labels([0, -1, 7], 3, ignore=-1)
    with fails(DtypeError, "labels: labels must be integers, got float64", "astype"):
        targets.check_labels([0.0, 1.0], 3)
    targets.check_labels([0, 2, -1], 3, ignore=-1)
    targets.check_labels(np.zeros(0, int), 3)


def test_bad_targets_raise():
    """Wrong dtype and wrong shape say what was expected, what was got, and the fix."""
    with fails(DtypeError, r"cross_entropy: labels of shape \(4,\) must be integers, got float32", "Fix: cast them"):
        losses.cross_entropy(Z, Y.astype(np.float32))
    with fails(ShapeError, r"for logits \(4, 3\)", r"\(4,\) \(labels\)", r"got \(4, 1\)", r"labels\[..., 0\]"):
        losses.cross_entropy(Z, Y[:, None])
    with fails(ShapeError, r"\(4, 3\)", r"got \(5,\)", "align the axes"):
        losses.cross_entropy(Z, np.zeros(5, int))
    with fails(ShapeError, r"at least 2 classes, got \(4, 1\)", "one unit a class; binary_"):
        losses.cross_entropy(Z[:, :1], Y)
    with fails(ShapeError, r"class_weights must have shape \(3,\), got \(2,\)"):
        losses.cross_entropy(Z, Y, class_weights=np.ones(2))
    with fails(ShapeError, r"positive_weight must have shape \(3,\), got \(4,\)"):
        losses.binary_cross_entropy(Z, T, positive_weight=np.ones(4))
    for bad in (-1.0, np.inf, np.nan):
        with fails(ValueError, f"binary_cross_entropy: positive_weight must be finite and at least 0, got {bad}"):
            losses.binary_cross_entropy(Z, T, positive_weight=bad)
        with fails(ValueError, "focal: class_weights must be finite and at least 0, got "):
            losses.focal(Z, Y, class_weights=np.array([1.0, bad, 1.0]))
    for loss in (losses.focal, losses.hinge):
        with fails(ShapeError, r"needs integer labels \(4,\), got \(4, 3\)", "argmax"):
            loss(Z, SOFT)
    with fails(DataError, "targets must lie between 0 and 1, got -1 at index 0", "encode the two classes as 0 and 1"):
        losses.binary_hinge(Z[0], np.array([-1, 1, 1]))
    with fails(DtypeError, "squared_error: the input must be floating-point, got int32"):
        losses.squared_error(jnp.array([1]), jnp.array([1.0]))
    with fails(DtypeError, "the prediction must be real, got complex64"):
        losses.squared_error(jnp.array([1j]), jnp.array([1.0]))
    with fails(ShapeError, "contrastive: the prediction must be a tuple", "got ndarray"):
        losses.contrastive(Z, Y)
    with fails(ShapeError, "triplet", r"\(anchor, positive, negative\), got 2 arrays"):
        losses.triplet((Z, Z))
    with fails(ShapeError, r"cosine: vectors must have shape \(..., n\)", r"got \(\)"):
        losses.cosine(jnp.ones(()), jnp.ones(()))


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


BAD_OPTIONS = {
    "cross_entropy: smoothing must be a number in": lambda: losses.cross_entropy(Z, Y, smoothing=1.5),
    "binary_cross_entropy: smoothing must be a number in": lambda: losses.binary_cross_entropy(Z, T, smoothing=-0.1),
    "focal: gamma must be a number of at least 0, got -1": lambda: losses.focal(Z, Y, gamma=-1),
    "binary_focal: alpha must be a number in": lambda: losses.binary_focal(Z, T, alpha=2.0),
    "huber: delta must be a number above 0, got 0": lambda: losses.huber(Z, REAL, delta=0),
    "quantile: q must be a number between 0 and 1, got 1": lambda: losses.quantile(Z, REAL, q=1.0),
    "smoothing must be a number in [0, 1], got np.float32(1.5)": lambda: losses.cross_entropy(
        Z, Y, smoothing=np.float32(1.5)
    ),
    "delta must be a number above 0, got np.float32(-1.0)": lambda: losses.huber(Z, REAL, delta=np.float32(-1)),
    "gamma must be a number of at least 0, got nan": lambda: losses.focal(Z, Y, gamma=float("nan")),
}


@pytest.mark.parametrize("message", BAD_OPTIONS)
def test_bad_options_raise(message):
    """A number out of range is a ValueError that names it."""
    with pytest.raises(ValueError, match=re.escape(message)):
        BAD_OPTIONS[message]()


@pytest.mark.parametrize("logits", [np.float32(1.0), np.zeros((2, 1), np.float32), np.zeros((2, 0), np.float32)])
@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.focal, losses.hinge, losses.kl_divergence])
def test_logits_without_classes_raise(loss, logits):
    """A last axis that does not hold classes is named, whichever loss meets it."""
    target = logits if loss is losses.kl_divergence else np.zeros(logits.shape[:-1], np.int32)
    with pytest.raises(ShapeError, match="of at least 2 classes, got"):
        loss(jnp.asarray(logits), target)


def test_doubles_of_numpy_are_taken_as_floats():
    """Without x64, float64 arrays of NumPy become float32 without a warning."""
    assert losses.squared_error(np.ones(2), np.zeros(2)).dtype == jnp.float32
    np.testing.assert_allclose(losses.cross_entropy(np.zeros((2, 3)), Y[:2]), np.log(3), rtol=1e-6)


def test_values_on_other_hosts_are_not_looked_at():
    """Labels that are traced, or lie elsewhere, are unknown: nothing is copied to look at them."""

    class Elsewhere:
        is_fully_addressable = False

    assert targets.known(Elsewhere()) is None
