"""Normalization against its formulas in float64."""

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from fnnet.core import Masked
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.layers import batch_norm, group_norm, instance_norm, layer_norm, rms_norm

RNG = np.random.default_rng(0)
X = RNG.normal(3.0, 2.0, (2, 4, 3, 6)).astype(np.float32)


def standard(x, axes, eps):
    x = np.asarray(x, np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def grouped(x, groups, eps=1e-6):
    split = np.asarray(x, np.float64).reshape(*x.shape[:-1], groups, -1)
    return standard(split, (-4, -3, -1), eps).reshape(x.shape)


NORMS = {
    "layer": (layer_norm(), lambda x: standard(x, -1, 1e-6)),
    "layer eps": (layer_norm(eps=0.5), lambda x: standard(x, -1, 0.5)),
    "rms": (rms_norm(), lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)),
    "group": (group_norm(2), lambda x: grouped(x, 2)),
    "group one": (group_norm(1, dims=0), lambda x: standard(x, -1, 1e-6)),
    "instance": (instance_norm(), lambda x: standard(x, (-3, -2), 1e-6)),
    "instance 1d": (instance_norm(dims=1), lambda x: standard(x, -2, 1e-6)),
}


@pytest.mark.parametrize(("layer", "oracle"), NORMS.values(), ids=NORMS)
def test_norm_of_an_example_is_its_formula(layer, oracle, key):
    """Then each feature is scaled and shifted by its own numbers."""
    params, state = layer.init(key, X)
    apply = jax.jit(layer.__call__)
    np.testing.assert_allclose(apply(params, X), oracle(X.astype(np.float64)), rtol=1e-4, atol=1e-5)
    scale = np.arange(1, 7, dtype=np.float32)
    params = {name: scale * (1 if name == "scale" else -1) for name in params}
    expected = oracle(X.astype(np.float64)) * scale - (scale if "bias" in params else 0)
    np.testing.assert_allclose(apply(params, X), expected, rtol=1e-4, atol=1e-4)
    assert state == {}


@pytest.mark.row("batch-norm")
@pytest.mark.parametrize("train", [False, True])
def test_batch_norm_is_its_formula(train, key):
    """In training by the batch's statistics, over all leading axes; else by the running ones."""
    layer = batch_norm(eps=1e-3)
    params, state = layer.init(key, X)
    np.testing.assert_array_equal(state["mean"], np.zeros(6))
    np.testing.assert_array_equal(state["var"], np.ones(6))
    params = {"scale": jnp.arange(1.0, 7.0), "bias": -jnp.arange(6.0)}
    state = {"mean": jnp.arange(6.0), "var": jnp.arange(1.0, 7.0)}
    y, after = layer.apply(params, state, X, train=train)
    x = X.astype(np.float64)
    mean, var = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if train else (np.arange(6), np.arange(1, 7))
    expected = (x - mean) / np.sqrt(var + 1e-3) * np.arange(1, 7) - np.arange(6)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    if not train:
        assert after is state


def test_batch_norm_runs_to_the_statistics_of_the_data(key):
    """After t steps on one batch the running value is m^t its start + (1 - m^t) the batch's."""
    layer = batch_norm(momentum=0.7)
    params, state = layer.init(key, X)
    step = jax.jit(lambda state: layer.apply(params, state, X, train=True)[1])
    for _ in range(3):
        state = step(state)
    kept = 0.7**3
    np.testing.assert_allclose(state["mean"], (1 - kept) * X.mean((0, 1, 2), np.float64), rtol=1e-5)
    np.testing.assert_allclose(state["var"], kept + (1 - kept) * X.var((0, 1, 2), np.float64), rtol=1e-5)


FAR = (RNG.standard_normal((512, 4)) + 1e4).astype(np.float32)


def test_a_large_mean_does_not_cancel_the_variance(key):
    """Mean 1e4 and variance 1 in float32: E[x²] - E[x]² would be wrong by more than the variance itself."""
    naive = (FAR**2).mean(0) - FAR.mean(0) ** 2
    assert np.abs(naive - 1).max() > 1
    layer = batch_norm(momentum=0.0)
    params, state = layer.init(key, FAR)
    y, state = jax.jit(lambda x: layer.apply(params, state, x, train=True))(FAR)
    np.testing.assert_allclose(state["var"], FAR.var(0, dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(y, standard(FAR, 0, 1e-5), atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_the_statistics_do_not_hang_on_one_row(masked, key):
    """A first row far from all others (a dark corner, say), or padding, costs no digits."""
    x = RNG.normal(1e3, 1.0, (20_000, 1)).astype(np.float32)
    x[0] = 0
    layer = batch_norm(momentum=0.0)
    params, state = layer.init(key, x)
    real = np.arange(20_000) % 3 != 1
    batch = Masked(jnp.asarray(x)[None], jnp.asarray(real)[None]) if masked else x
    _, state = jax.jit(lambda v: layer.apply(params, state, v, train=True))(batch)
    rows = x[real] if masked else x
    np.testing.assert_allclose(state["var"], rows.var(0, dtype=np.float64), rtol=1e-4)
    np.testing.assert_allclose(state["mean"], rows.mean(0, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("layer", [layer_norm(), group_norm(1, dims=0)], ids=["layer", "group"])
def test_a_large_mean_of_an_example_does_not_reach_its_output(layer, key):
    params, _ = layer.init(key, FAR.T)
    np.testing.assert_allclose(layer(params, FAR.T), standard(FAR.T, -1, 1e-6), atol=1e-5)


@pytest.mark.row("batch-norm")
def test_statistics_over_a_mapped_axis_are_those_of_the_whole_batch(key):
    """A batch split in parts under `axis_name`, of unlike parts even, normalizes as the batch in one piece does."""
    x = jnp.asarray(np.concatenate([FAR[:8], FAR[8:16] - 1e4]))
    whole, split = batch_norm(), batch_norm(axis_name="parts")
    params, state = whole.init(key, x)
    y, after = whole.apply(params, state, x, train=True)
    parts, states = jax.vmap(lambda part: split.apply(params, state, part, train=True), axis_name="parts")(
        x.reshape(2, 8, 4)
    )
    np.testing.assert_allclose(parts.reshape(16, 4), y, atol=1e-5)
    for name in ("mean", "var"):
        np.testing.assert_allclose(states[name], jnp.stack([after[name]] * 2), rtol=1e-5)


def test_gradients_are_those_of_the_whole_batch_too(x64, key):
    """Against finite differences, through the statistics; and the same when the batch is split."""
    x = jnp.asarray(RNG.standard_normal((8, 3)) + 5)
    whole, split = batch_norm(), batch_norm(axis_name="parts")
    params, state = whole.init(key, x)
    weight = jnp.asarray(RNG.standard_normal((8, 3)))

    def loss(x):
        return (weight * whole.apply(params, state, x, train=True)[0]).sum()

    def loss_of_parts(x):
        y = jax.vmap(lambda part: split.apply(params, state, part, train=True)[0], axis_name="parts")(
            x.reshape(2, 4, 3)
        )
        return (weight * y.reshape(8, 3)).sum()

    jax.test_util.check_grads(jax.jit(loss), (x,), order=1, modes=["rev"], rtol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.grad(loss_of_parts))(x), jax.jit(jax.grad(loss))(x), atol=1e-9)


@pytest.mark.parametrize("junk", [50.0, np.nan])
def test_padding_of_sequences_has_no_part_in_the_statistics(junk, key):
    """A Masked batch has the statistics of its real steps alone, wherever the first of them is."""
    mask = np.array([[False, False, False], [True, True, False], [True, True, True]])
    values = (RNG.standard_normal((3, 3, 2)) + 1e4).astype(np.float32)
    x = Masked(jnp.where(mask[..., None], values, junk), jnp.asarray(mask))
    layer = batch_norm(momentum=0.0)
    params, state = layer.init(key, x)
    y, state = layer.apply(params, state, x, train=True)
    real = values[mask].astype(np.float64)
    np.testing.assert_allclose(state["var"], real.var(0), rtol=1e-4)
    np.testing.assert_allclose(y.values[mask], standard(real, 0, 1e-5), atol=1e-5)
    assert np.isfinite(y.values).all()
    assert y.mask is x.mask


@pytest.mark.parametrize("make", [batch_norm, layer_norm, rms_norm, lambda: group_norm(2), instance_norm])
def test_low_precision_is_normalized_in_float32(make, key):
    """A bfloat16 input of mean 0 gives a bfloat16 output that is right to its own rounding."""
    x = jnp.asarray(X - 3, jnp.bfloat16)
    layer = make()
    params, state = layer.init(key, x)
    apply = jax.jit(lambda params, state, x: layer.apply(params, state, x, train=True))
    y, state = apply(params, state, x)
    wide = x.astype(jnp.float32)
    expected, _ = apply(*layer.init(key, wide), wide)
    assert y.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state))
    np.testing.assert_array_equal(y, expected.astype(jnp.bfloat16))


def test_constant_input_gives_the_bias(key):
    x = jnp.full((2, 4, 3, 6), 1e3)
    for layer in (batch_norm(), layer_norm(), group_norm(2), instance_norm()):
        params, state = layer.init(key, x)
        params["bias"] = jnp.arange(6.0)
        y, pullback = jax.vjp(jax.jit(lambda x, f=layer, p=params, s=state: f.apply(p, s, x, train=True)[0]), x)
        np.testing.assert_allclose(y, np.broadcast_to(np.arange(6.0), x.shape), atol=1e-5)
        assert np.isfinite(pullback(jnp.ones_like(y))[0]).all()


def test_scale_and_bias_can_be_left_out(key):
    assert batch_norm(scale_init=None).init(key, X)[0].keys() == {"bias"}
    assert layer_norm(bias_init=None).init(key, X)[0].keys() == {"scale"}
    layer = rms_norm(scale_init=None)
    np.testing.assert_allclose((layer({}, X) ** 2).mean(-1), np.ones((2, 4, 3)), rtol=1e-5)


ERRORS = {
    "momentum": (lambda k: batch_norm(momentum=1.1), ValueError, "batch_norm: momentum must be between 0 and 1, got 1"),
    "eps": (lambda k: rms_norm(eps=0.0), ValueError, r"rms_norm: eps must be positive, got 0\.0"),
    "groups": (lambda k: group_norm(0), ValueError, "group_norm: groups must be at least 1, got 0"),
    "dims": (lambda k: instance_norm(dims=0), ValueError, "instance_norm: dims must be at least 1, got 0"),
    "multiple": (
        lambda k: group_norm(4).init(k, X),
        ShapeError,
        r"group_norm: the last axis of the input must be a multiple of groups=4, got shape \(2, 4, 3, 6\)",
    ),
    "axes": (lambda k: instance_norm().init(k, X[0, 0]), ShapeError, r"instance_norm: the input must have shape"),
    "no state": (
        lambda k: batch_norm()(batch_norm().init(k, X)[0], X),
        DataError,
        r"batch_norm: needs the state that init returned, .* got none\n  Fix: pass it too: net\(params, x, state\)",
    ),
    "no rows": (
        lambda k: batch_norm().apply(*batch_norm().init(k, X), X[:0], train=True),
        ShapeError,
        r"batch_norm: the batch must have at least one row in training, got shape \(0, 4, 3, 6\)",
    ),
    "complex": (
        lambda k: batch_norm().init(k, jnp.ones(2, complex)),
        DtypeError,
        "batch_norm: the input must be real, got complex64\n  Fix: normalize",
    ),
}


@pytest.mark.parametrize(("act", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(act, error, message, key):
    with pytest.raises(error, match=message):
        act(key)
