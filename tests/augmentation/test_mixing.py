"""Labels are mixed as pixels are, to the share, with weights too."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from augmentation_toys import KEY, MIXING, H, N, W, photographs, targets
from scipy import stats

import fnnet as fn
from fnnet import augmentation
from fnnet.augmentation.mixing import _beta
from fnnet.errors import DataError, DtypeError, ShapeError

pytestmark = pytest.mark.types


def flat(n=N, dtype=np.float32):
    """Return images, of row i the value i + 1 in each place and its own channel."""
    return np.broadcast_to(np.eye(n, dtype=dtype).reshape(n, 1, 1, n), (n, 9, 7, n))


@pytest.mark.parametrize("name", MIXING)
@pytest.mark.parametrize("seed", range(3))
def test_labels_are_mixed_as_pixels(name, seed):
    """Law: with a channel and a class to each row, the mean of an image is its label: shares, partners and all."""
    mix = jax.jit(getattr(augmentation, name)(1.0, classes=N))
    x, y = mix(jax.random.key(seed), (flat(), np.arange(N)))
    np.testing.assert_allclose(x.mean((1, 2)), y, atol=1e-6)
    np.testing.assert_allclose(y.sum(1), np.ones(N), atol=1e-6)
    assert ((np.asarray(y) > 0).sum(1) <= 2).all()
    # Each is mixed with another than itself, and all have the same distance to theirs.
    partners = [set(np.flatnonzero(row)) - {i} for i, row in enumerate(np.asarray(y))]
    distances = {(p.pop() - i) % N for i, p in enumerate(partners) if p}
    assert len(distances) == 1
    # The key alone decides: soft targets mix as labels do, and a dict holds both.
    x2, soft = mix(
        jax.random.key(seed), (flat(), {"soft": np.eye(N, dtype=np.float32), "number": np.arange(N, dtype=np.float32)})
    )
    np.testing.assert_array_equal(x2, x)
    np.testing.assert_allclose(soft["soft"], y, atol=1e-6)
    np.testing.assert_allclose(soft["number"], y @ np.arange(N, dtype=np.float32), atol=1e-5)


def test_cutmix_puts_one_rectangle():
    """Each image is one other's inside of a rectangle, and its own outside: every pixel is of one of the two."""
    x, y = jax.jit(augmentation.cutmix(classes=N))(KEY, (flat(dtype=np.uint8), np.arange(N)))
    assert x.dtype == jnp.uint8
    assert (x.sum(-1) == 1).all()
    for i, image in enumerate(np.asarray(x)):
        other = image[..., i] == 0
        assert other.sum() == other.any(1).sum() * other.any(0).sum()
        np.testing.assert_allclose(y[i, i], 1 - other.mean(), atol=1e-6)


def test_shares_are_of_the_beta_distribution():
    n = 600
    x = np.zeros((n, 1, 1, 1), np.float32)
    _, y = jax.jit(augmentation.mixup(0.4))(KEY, (x, np.eye(n, dtype=np.float32)))
    assert stats.kstest(np.diag(np.asarray(y)), stats.beta(0.4, 0.4).cdf).pvalue > 0.01
    places = np.linspace(0.01, 0.99, 99)
    for alpha in (0.05, 1.0, 7.0):
        shares = jax.jit(jax.vmap(_beta("mixup", alpha)))(*jax.random.uniform(KEY, (2, 5000)))
        assert shares.min() >= 0
        assert shares.max() <= 1
        found = np.searchsorted(np.sort(shares), places) / 5000
        np.testing.assert_allclose(found, stats.beta(alpha, alpha).cdf(places), atol=0.025)
    # The shift is drawn among all distances, and never 0.
    shifts = set()
    small = jax.jit(augmentation.mixup(1.0, classes=4))
    for seed in range(30):
        _, y = small(jax.random.key(seed), (x[:4], np.arange(4)))
        shifts.add(int(np.argmax(np.asarray(y)[0, 1:])) + 1)
    assert shifts == {1, 2, 3}


@pytest.mark.parametrize("name", MIXING)
def test_weights_mix(name):
    """Law: weight times target is mixed by the shares of pixels, so that what had weight 0 adds nothing."""
    weight = np.array([1, 0, 0.5, 0, 0, 2], np.float32)
    mix = jax.jit(getattr(augmentation, name)(1.0, classes=N))
    _, plain = mix(KEY, (flat(), np.arange(N)))
    _, y, w = mix(KEY, (flat(), np.arange(N), weight))
    np.testing.assert_allclose(w, plain @ weight, rtol=1e-5)
    np.testing.assert_allclose(w[:, None] * y, plain * weight[None], atol=1e-6)
    np.testing.assert_allclose(y.sum(1), np.ones(N), atol=1e-6)
    assert (np.asarray(w) == 0).any()
    z = jax.random.normal(jax.random.key(1), (N, N))
    whole = jnp.vdot(w, fn.losses.cross_entropy(z, y))
    log_p = jax.nn.log_softmax(z)
    np.testing.assert_allclose(whole, -(plain * weight[None] * log_p).sum(), rtol=1e-5)


def test_a_batch_of_one_stays():
    x = photographs(n=1)
    for name in MIXING:
        mixed, y = jax.jit(getattr(augmentation, name)(1.0, classes=2))(KEY, (x, np.array([1])))
        np.testing.assert_allclose(mixed, x, atol=1e-6)
        np.testing.assert_allclose(y, [[0, 1]], atol=1e-6)


@pytest.mark.parametrize("name", MIXING)
def test_what_cannot_be_mixed(name):
    x, y = photographs(), targets()
    mix = getattr(augmentation, name)
    cases = [
        (DataError, "y holds labels, and the number of classes is not given", None, y["label"]),
        (DataError, "label 3 at index 3 is not one of the 3 classes", 3, y["label"]),
        (DataError, "y must be an array, or a dict of arrays, got Objects", 5, y["objects"]),
        (DtypeError, r"y\['mask'\] must be integer labels \(6,\)", 5, {"mask": y["mask"]}),
        (ShapeError, "y must have 6 rows", 5, y["label"][:2]),
    ]
    for error, match, classes, target in cases:
        with pytest.raises(error, match=match):
            mix(classes=classes)(KEY, (x, target))
    with pytest.raises(ShapeError, match=r"the weight must have shape \(6,\)"):
        mix(classes=5)(KEY, (x, y["label"], np.ones((N, H, W), np.float32)))
    _, bad = jax.jit(mix(classes=3))(KEY, (x, y["label"]))
    assert jnp.isnan(bad).any()
