"""Losses of classes at logits without limits, and what becomes of labels and options."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_toys import SOFT, WEIGHTS, T, Y, Z
from scipy import special

from fnnet import losses


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


@pytest.mark.row("binary-output", "multilabel-output")
def test_labels_of_several_questions_are_independent():
    """Each element is -log P of its own answer, P(1) = σ(z); no label's loss has a derivative by another's logit."""
    z, y = np.random.default_rng(0).normal(size=(5, 3)), np.random.default_rng(1).integers(0, 2, (5, 3))
    p = special.expit(z)
    loss = losses.binary_cross_entropy(jnp.asarray(z, jnp.float32), y)
    np.testing.assert_allclose(loss, -np.log(np.where(y == 1, p, 1 - p)), rtol=1e-5)
    jacobian = jax.jacrev(lambda z: losses.binary_cross_entropy(z, y[0]))(jnp.asarray(z[0], jnp.float32))
    np.testing.assert_allclose(jacobian, np.diag(p[0] - y[0]), atol=1e-6)


@pytest.mark.row("cross-entropy")
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


@pytest.mark.row("cross-entropy")
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


def values_and_slopes(functions, *logits):
    """Each function's values and its gradients at the logits, all compiled in one."""

    def run():
        return {
            name: (function(z), jax.grad(lambda z, function=function: function(z).sum())(z))
            for name, function in functions.items()
            for z in logits
        }

    return jax.jit(run)()


BY_LABEL = {
    "cross_entropy": losses.cross_entropy,
    "focal, 0": partial(losses.focal, gamma=0.0),
    "focal, ½": partial(losses.focal, gamma=0.5),
    "focal, 2": losses.focal,
    "hinge": losses.hinge,
}


def test_a_class_masked_by_minus_infinity_is_as_if_it_were_not_there():
    """Values are those of the other classes alone, and so are the gradients, with 0 at the mask."""
    labels, rest = np.array([0, 1]), np.array([[1.0, 2.0], [0.5, -3.0]], np.float32)
    masked = np.concatenate([rest, np.full((2, 1), -np.inf, np.float32)], 1)
    soft = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    smooth = np.where(np.eye(2)[labels] == 1, 0.8, 0.1) * [2.0, 1.0]  # 0.7 + 0.3/3 of the label, 0.3/3 of the other

    def pad(p):
        return np.pad(p, ((0, 0), (0, 1)))

    weighted = partial(losses.cross_entropy, smoothing=0.3, class_weights=np.array([2.0, 1.0, 0.0]))
    got = {name: lambda z, loss=loss: loss(z, labels) for name, loss in BY_LABEL.items()} | {
        "one-hot": lambda z: losses.cross_entropy(z, np.eye(3)[labels]),
        "soft": lambda z: losses.cross_entropy(z, pad(soft)),
        "kl_divergence": lambda z: losses.kl_divergence(z, pad(soft)),
        "class weight 0": lambda z: weighted(z, labels),
        "class weight 0, one-hot": lambda z: weighted(z, np.eye(3)[labels]),
        "smoothing traced, 0": lambda z: losses.cross_entropy(z, labels, smoothing=jnp.zeros(())),
    }
    want = {name: lambda z, loss=loss: loss(z, labels) for name, loss in BY_LABEL.items()} | {
        "one-hot": lambda z: losses.cross_entropy(z, labels),
        "soft": lambda z: losses.cross_entropy(z, soft),
        "kl_divergence": lambda z: losses.kl_divergence(z, soft),
        "class weight 0": lambda z: losses.cross_entropy(z, smooth),
        "class weight 0, one-hot": lambda z: losses.cross_entropy(z, smooth),
        "smoothing traced, 0": lambda z: losses.cross_entropy(z, labels),
    }
    got, want = values_and_slopes(got, masked), values_and_slopes(want, rest)
    for name, (value, slope) in want.items():
        np.testing.assert_allclose(got[name][0], value, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(got[name][1], pad(slope), rtol=1e-5, atol=1e-7, err_msg=name)


def test_a_label_that_is_alone_between_masked_classes_has_no_loss_and_no_gradient():
    """The focal factor is (1 - 1)^γ there, whose logarithm is -inf, and the hinge has no rival."""
    alone = np.array([[-np.inf, 0.5, -np.inf]], np.float32)
    functions = {name: lambda z, loss=loss: loss(z, np.array([1])) for name, loss in BY_LABEL.items()}
    for name, (value, slope) in values_and_slopes(functions, alone).items():
        np.testing.assert_array_equal(value, [0.0], err_msg=name)
        np.testing.assert_array_equal(slope, np.zeros((1, 3)), err_msg=name)


def test_a_masked_label_is_an_infinite_surprise_with_a_finite_gradient():
    """What was held impossible happened: inf, not NaN, and the gradient is softmax - p."""
    z = np.array([[0.0, 0.0, -np.inf]], np.float32)
    value, slope = values_and_slopes({"": lambda z: losses.cross_entropy(z, np.array([2]))}, z)[""]
    assert value == np.inf
    np.testing.assert_allclose(slope, [[0.5, 0.5, -1.0]])


def test_a_masked_label_of_weight_zero_has_no_loss_and_no_gradient():
    """What does not count may be impossible, with integer labels as with one-hot rows."""
    z, label, weights = np.array([[0.0, 0.0, -np.inf]], np.float32), np.array([2]), np.array([1.0, 1.0, 0.0])
    functions = {
        "integer": lambda z: losses.cross_entropy(z, label, class_weights=weights),
        "one-hot": lambda z: losses.cross_entropy(z, np.eye(3)[label], class_weights=weights),
        "focal": lambda z: losses.focal(z, label, class_weights=weights),
        "focal, gamma 0": lambda z: losses.focal(z, label, gamma=0.0, class_weights=weights),
    }
    for name, (value, slope) in values_and_slopes(functions, z).items():
        assert not value.any(), name
        assert not slope.any(), name
    uniform = losses.cross_entropy(z, label, smoothing=1.0, class_weights=weights)
    np.testing.assert_allclose(uniform, [2 / 3 * np.log(2)], rtol=1e-6)


def test_a_certain_yes_or_no_that_is_true_has_no_loss():
    """At logits of ±inf on the target's side the loss and its gradient are 0."""
    z, t = np.array([-np.inf, np.inf], np.float32), np.array([0, 1])
    functions = {
        "binary_cross_entropy": lambda z: losses.binary_cross_entropy(z, t),
        "weight 0": lambda z: losses.binary_cross_entropy(z[:1], 1 - t[:1], positive_weight=0.0),
        "binary_hinge": lambda z: losses.binary_hinge(z, t),
        **{f"gamma {g}": lambda z, g=g: losses.binary_focal(z, t, gamma=g, alpha=0.25) for g in (0.0, 0.5, 2.0)},
    }
    for name, (value, slope) in values_and_slopes(functions, z).items():
        assert not value.any(), name
        assert not slope.any(), name
    for gamma in (0.0, 2.0):
        np.testing.assert_array_equal(losses.binary_focal(z, 1 - t, gamma=gamma), [np.inf, np.inf])


def test_the_margin_of_a_hinge_is_that_given():
    """A margin of 2 in NumPy: of several classes, and of one score each."""
    z = Z.astype(np.float64)
    others = np.where(np.eye(3, dtype=bool)[Y], -np.inf, z).max(-1)
    want = np.maximum(0, 2 + others - z[np.arange(4), Y])
    np.testing.assert_allclose(losses.hinge(Z, Y, margin=2.0), want, rtol=1e-6)
    np.testing.assert_allclose(losses.binary_hinge(Z, T, margin=2.0), np.maximum(0, 2 - (2 * T - 1) * z), rtol=1e-6)


@pytest.mark.parametrize("alpha", [None, 0.25])
def test_a_target_between_mixes_the_two_binary_focal_losses(alpha):
    """In float64: t of the loss of a yes, 1 - t of that of a no, α on each side."""
    p, t = special.expit(Z.astype(np.float64)), SOFT.astype(np.float64)
    yes, no = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    want = -yes * t * (1 - p) ** 3 * np.log(p) - no * (1 - t) * p**3 * np.log1p(-p)
    np.testing.assert_allclose(losses.binary_focal(Z, SOFT, gamma=3.0, alpha=alpha), want, rtol=1e-5, atol=1e-7)
