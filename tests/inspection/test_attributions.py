"""Saliency and Grad-CAM, held to closed forms, to differences, and to gradients taken by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inspection_toys import drawn

import fnnet as fn
from fnnet.errors import DataError, DtypeError, KeyMissingError, PathError, ShapeError
from fnnet.inspection import activations, grad_cam, saliency

RANDOM = np.random.default_rng(0)
X = jnp.asarray(RANDOM.normal(size=(3, 6, 6, 2)), jnp.float32)
LINEAR = fn.serial(fn.flatten(), fn.dense(4))
SMALL = fn.serial(
    fn.conv(3, 3, activation=jnp.tanh), fn.conv(5, 3, stride=2), jax.nn.softplus, fn.flatten(), fn.dense(4)
)


@pytest.fixture(scope="module")
def small():
    """No class is much ahead of the others."""
    params = drawn(SMALL, X)
    params["dense_0"]["bias"] -= SMALL(params, X).mean(0)
    return params


def test_the_saliency_of_a_linear_net_is_its_weights():
    """Wherever the input, in magnitude; over channels the greatest, the sum or each; of the answer by default."""
    params = drawn(LINEAR, X)
    kernel = np.abs(np.asarray(params["dense_0"]["kernel"])).reshape(6, 6, 2, 4)
    target = jnp.array([2, 0, 3])
    weights = np.moveaxis(kernel[..., target], -1, 0)
    for channels, expected in (("max", weights.max(-1)), ("sum", weights.sum(-1)), (None, weights)):
        got = saliency(LINEAR, params, X, target=target, channels=channels)
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_allclose(saliency(LINEAR, params, X, target=1), np.stack([kernel[..., 1].max(-1)] * 3), rtol=1e-6)
    answer = LINEAR(params, X).argmax(-1)
    np.testing.assert_array_equal(saliency(LINEAR, params, X), saliency(LINEAR, params, X, target=answer))
    noisy = saliency(LINEAR, params, X, target=target, smooth=3, key=jax.random.key(1))
    np.testing.assert_allclose(noisy, weights.max(-1), rtol=1e-5)


def test_saliency_is_a_quotient_of_differences(small, x64):
    """In float64, pixel by pixel, of a net that is not linear."""
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), small)
    x = jnp.asarray(RANDOM.normal(size=(1, 6, 6, 2)))
    got = np.asarray(saliency(SMALL, params, x, target=1, channels=None))
    flat, score = np.asarray(x).ravel(), jax.jit(lambda batch: SMALL(params, batch)[:, 1])
    steps = 1e-6 * np.eye(flat.size)
    ahead, behind = (np.asarray(score((flat + side * steps).reshape(-1, 6, 6, 2))) for side in (1, -1))
    np.testing.assert_allclose(got.ravel(), np.abs(ahead - behind) / 2e-6, rtol=1e-6, atol=1e-9)


def test_one_output_is_a_logit():
    """Class 1 is for it and class 0 against it, of shape (n, 1) or (n,): the same magnitudes, the opposite maps."""
    one = fn.serial(fn.conv(2, 3), jax.nn.relu, fn.flatten(), fn.dense(1))
    params = drawn(one, X)
    bare = fn.serial(one, fn.as_layer(lambda y: y[:, 0]))
    within = {"serial_0": params}
    np.testing.assert_array_equal(saliency(one, params, X, target=0), saliency(one, params, X, target=1))
    for_one, against = (grad_cam(one, params, X, "relu_0", target=target) for target in (1, 0))
    assert not ((for_one > 0) & (against > 0)).any()
    assert ((for_one > 0) | (against > 0)).any((1, 2)).all()
    answer = (one(params, X)[:, 0] > 0).astype(jnp.int32)
    np.testing.assert_array_equal(grad_cam(one, params, X, "relu_0"), grad_cam(one, params, X, "relu_0", target=answer))
    np.testing.assert_array_equal(saliency(bare, within, X), saliency(one, params, X))


def test_smoothing_is_a_mean_of_gradients_near(small):
    """Of the noise that the key gives; without noise it is the gradient; the class is the one of the clean input."""
    key, clean = jax.random.key(3), saliency(SMALL, small, X, channels=None)
    np.testing.assert_allclose(
        saliency(SMALL, small, X, channels=None, smooth=2, noise=0.0, key=key), clean, rtol=1e-5, atol=1e-7
    )
    got = saliency(SMALL, small, X, channels=None, smooth=4, noise=0.3, key=key)
    labels = SMALL(small, X).argmax(-1)

    def total(x):
        return jnp.take_along_axis(SMALL(small, x), labels[:, None], 1).sum()

    spread = 0.3 * (X.max((1, 2, 3), keepdims=True) - X.min((1, 2, 3), keepdims=True))
    noises = [jax.random.normal(one, X.shape) for one in jax.random.split(key, 4)]
    assert any((SMALL(small, X + spread * noise).argmax(-1) != labels).any() for noise in noises)
    gradients = [jax.grad(total)(X + spread * noise) for noise in noises]
    np.testing.assert_allclose(got, np.abs(np.mean(gradients, 0)), rtol=1e-4, atol=1e-6)
    assert not np.allclose(got, clean, rtol=1e-2)


@pytest.mark.parametrize(("path", "start"), [("conv_1", 1), ("conv_0", 0), ("softplus_0", 2), ("conv_0/z", None)])
def test_grad_cam_by_hand(small, path, start):
    """The maps from ``activations``, their gradient by vjp of what the net makes of them, the sum by einsum."""
    maps = activations(SMALL, small, X)[path]
    last = fn.serial(fn.flatten(), fn.dense(4))
    kernels = small["conv_1"]

    def rest(values):
        if start is None:
            values = jnp.tanh(values)
        if start in (None, 0):
            values = fn.conv(5, 3, stride=2)(kernels, values)
        if start != 2:
            values = jax.nn.softplus(values)
        return last({"dense_0": small["dense_0"]}, values)

    target = jnp.array([3, 1, 0])
    _, back = jax.vjp(rest, maps)
    (gradient,) = back(jax.nn.one_hot(target, 4))
    alpha = np.asarray(gradient).mean((1, 2))
    heat = np.maximum(np.einsum("nk,nhwk->nhw", alpha, np.asarray(maps)), 0)
    got = grad_cam(SMALL, small, X, path, target=target, size=maps.shape[1:3])
    np.testing.assert_allclose(got, heat, rtol=1e-4, atol=1e-6)
    whole = grad_cam(SMALL, small, X, path, target=target)
    assert whole.shape == (3, 6, 6)
    np.testing.assert_allclose(whole, jax.image.resize(heat, (3, 6, 6), "linear"), rtol=1e-4, atol=1e-6)
    assert whole.max() > 0


def test_the_heat_is_where_the_object_is():
    """A net that looks for bright pixels, summed over the image: the heat is the image, where it is bright."""
    net = fn.serial(fn.as_layer(lambda x: jax.nn.relu(x - 0.5)), fn.as_layer(lambda a: a.sum((1, 2))), fn.as_layer(
        lambda y: jnp.concatenate([y, -y], -1)
    ))  # fmt: skip
    x = jnp.zeros((1, 8, 8, 1)).at[0, 2:4, 5:7].set(1.0)
    (path, *_) = activations(net, {}, x)
    np.testing.assert_allclose(grad_cam(net, {}, x, path, target=0), x[..., 0] / 2, rtol=1e-6)
    assert not grad_cam(net, {}, x, path, target=1).any()
    np.testing.assert_array_equal(saliency(net, {}, x, target=0) > 0, x[..., 0] > 0)


def test_a_score_may_be_any_function():
    """Of outputs that are no row of logits: the score of a place of a map of classes."""
    net = fn.serial(fn.conv(4, 3))
    params = drawn(net, X)
    got = saliency(net, params, X, target=lambda y: y[:, 2, 3, 1])
    kernel = np.abs(np.asarray(params["conv_0"]["kernel"]))[..., 1].max(-1)
    expected = np.zeros((6, 6))
    expected[1:4, 2:5] = kernel
    np.testing.assert_allclose(got, np.stack([expected] * 3), rtol=1e-6)


def test_state_is_that_of_inference():
    """Batch normalisation scales by its running variance: the gradient by the pixel is one over its root."""
    net = fn.serial(fn.batch_norm(), fn.flatten(), fn.dense(2))
    params, state = net.init(jax.random.key(0), X)
    wide = jax.tree.map(lambda leaf: 4 * leaf, state)
    assert not np.allclose(saliency(net, params, X, state, target=0), saliency(net, params, X, wide, target=0))
    np.testing.assert_allclose(
        saliency(net, params, X, state, target=0), 2 * saliency(net, params, X, wide, target=0), rtol=1e-4
    )
    assert grad_cam(net, params, X, "batch_norm_0", wide, target=0).shape == (3, 6, 6)


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("look", "error", "said"),
    [
        (lambda p: saliency(SMALL, p, {}, X), DtypeError, "saliency: x must be an array, got dict"),
        (lambda p: saliency(SMALL, p, X.astype(jnp.int32)), DtypeError, "must be floating-point, got int32"),
        (lambda p: saliency(SMALL, p, jnp.ones(3)), ShapeError, r"x must be a batch, .* got shape \(3,\)"),
        (lambda p: saliency(SMALL, p, X, target=4), DataError, "label 4 at index 0 is not one of the 4 classes"),
        (lambda p: saliency(SMALL, p, X, target=-1), DataError, "label -1"),
        (lambda p: saliency(SMALL, p, X, target=jnp.array([1, 2])), ShapeError, r"each of the 3 .* got shape \(2,\)"),
        (lambda p: saliency(SMALL, p, X, target=1.0), DtypeError, "classes must be integers, got float32"),
        (lambda p: saliency(SMALL, p, X, target=lambda y: y), ShapeError, r"of shape \(3,\), got \(3, 4\)"),
        (lambda p: saliency(SMALL, p, X, channels="mean"), ValueError, "'max', 'sum' or None, got 'mean'"),
        (lambda p: saliency(SMALL, p, X, smooth=3), KeyMissingError, "needs a random key to smooth, got key=None"),
        (lambda p: saliency(SMALL, p, X, smooth=-1), ValueError, "smooth must be at least 0, got -1"),
        (lambda p: saliency(SMALL, p, X, noise=-1.0), ValueError, "noise must be a number of at least 0, got -1.0"),
        (lambda p: saliency(fn.serial(jnp.tanh), {}, X), ShapeError, r"\(3, classes\), got shape \(3, 6, 6, 2\)"),
        (lambda p: saliency(fn.serial(jnp.tanh), {}, X[:, 0, 0]), ShapeError, "pass channels=None"),
        (lambda p: grad_cam(SMALL, p, X, "conv_2"), PathError, r"'conv_2' names no value .*\n.*did you mean 'conv_"),
        (lambda p: grad_cam(SMALL, p, X, "dense_0"), ShapeError, r"\(3, h, w, channels\), got \(3, 4\)"),
        (lambda p: grad_cam(SMALL, p, X[0], "conv_1"), ShapeError, r"must have shape \(n, H, W, C\), got \(6, 6, 2\)"),
        (lambda p: grad_cam(SMALL, p, X, "conv_1", size=(0, 4)), ValueError, "size must be at least 1, got 0"),
        (lambda p: grad_cam(SMALL, p, X, "conv_1", target=9), DataError, "label 9 at index 0"),
    ],
)
def test_what_cannot_be_looked_at(small, look, error, said):
    with pytest.raises(error, match=said):
        look(small)
