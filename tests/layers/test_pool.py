"""Pooling against loops over windows, in float64."""

import math

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from fnnet.core import Masked
from fnnet.errors import DtypeError, ShapeError
from fnnet.layers import avg_pool, global_pool, max_pool, mean_step

RNG = np.random.default_rng(0)


def by_windows(function, x, size, stride, padding):
    """Apply `function` to the values of each window that lie within the input; `x` is one example."""
    dims = len(size)
    if padding == "VALID":
        pairs = [(0, 0)] * dims
    elif padding == "SAME":
        totals = [max((math.ceil(n / s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape, size, stride, strict=False)]
        pairs = [(t // 2, t - t // 2) for t in totals]
    else:
        pairs = padding
    new = [(n + sum(p) - k) // s + 1 for n, p, k, s in zip(x.shape[:dims], pairs, size, stride, strict=True)]
    y = np.zeros((*new, x.shape[-1]))
    for place in np.ndindex(*new):
        starts = [s * i - p[0] for s, i, p in zip(stride, place, pairs, strict=True)]
        window = tuple(slice(max(a, 0), a + k) for a, k in zip(starts, size, strict=True))
        y[place] = function(x[window].reshape(-1, x.shape[-1]), axis=0)
    return y


CASES = {
    "1d": ((7,), 2, {"dims": 1}, (2,), (2,), "VALID"),
    "2d": ((6, 7), (2, 3), {"stride": (1, 2)}, (2, 3), (1, 2), "VALID"),
    "2d same": ((5, 7), 3, {"stride": 2, "padding": "same"}, (3, 3), (2, 2), "SAME"),
    "2d pairs": ((4, 5), 3, {"stride": 2, "padding": [(1, 2), (0, 2)]}, (3, 3), (2, 2), [(1, 2), (0, 2)]),
    "3d": ((3, 4, 5), 2, {"dims": 3, "padding": "SAME"}, (2, 2, 2), (2, 2, 2), "SAME"),
}
POOLS = {"max": (max_pool, np.max), "avg": (avg_pool, np.mean)}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize(("make", "function"), POOLS.values(), ids=POOLS)
def test_pool_is_a_loop_over_windows(make, function, case):
    space, window, options, size, stride, padding = case
    x = RNG.standard_normal((2, *space, 3)).astype(np.float32) - 5  # less than the zeros of any padding
    y = jax.jit(make(window, **options).__call__)({}, x)
    expected = [by_windows(function, one.astype(np.float64), size, stride, padding) for one in x]
    np.testing.assert_allclose(y, np.stack(expected), rtol=1e-5)


@pytest.mark.parametrize("make", [max_pool, avg_pool])
@pytest.mark.parametrize("padding", ["VALID", "SAME", [(1, 1), (1, 1)]])
def test_constant_stays(make, padding):
    np.testing.assert_allclose(
        jax.jit(make(3, stride=2, padding=padding).__call__)({}, jnp.full((5, 5, 1), 7.0)), 7.0, rtol=1e-6
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_means_of_16_bits_are_summed_in_32(dtype):
    """A constant stays: 900 ones are more than bfloat16 counts to, and 100 of 2000 more than float16 holds."""
    x = jnp.full((100, 1), 2000.0, dtype)
    sequence = Masked(x, jnp.ones(100, bool))
    for y in (
        avg_pool(30, stride=9)({}, x.reshape(1, 100, 1) * jnp.ones((40, 1, 1), dtype)),
        avg_pool(30, dims=1, padding="SAME")({}, x),
        avg_pool(100, dims=1)({}, sequence).values,
        global_pool(dims=1)({}, sequence),
        mean_step()({}, sequence),
    ):
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.astype(jnp.float32), x.astype(jnp.float32)[0, 0])


def test_the_greatest_of_sequences_in_float64(x64):
    """Under x64 too, whatever the dtype of the values."""
    for dtype in (jnp.float32, jnp.float64):
        x = Masked(jnp.array([[1.0], [5.0], [7.0]], dtype), jnp.array([True, True, False]))
        y = max_pool(3, dims=1)({}, x)
        assert y.values.dtype == dtype
        np.testing.assert_array_equal(y.values, [[5.0]])


def test_ties_pass_the_gradient_to_the_first():
    grad = jax.grad(lambda x: max_pool(2)({}, x).sum())(jnp.ones((2, 2, 1)))
    np.testing.assert_array_equal(grad[..., 0], [[1, 0], [0, 0]])


def test_global_pool_is_numpys():
    x = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
    for dims, axes in ((1, 2), (2, (1, 2)), (3, (0, 1, 2))):
        np.testing.assert_allclose(global_pool("mean", dims=dims)({}, x), x.mean(axes), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(global_pool("max", dims=dims)({}, x), x.max(axes))


LENGTHS = (5, 3, 0)


def ragged(junk):
    """Sequences of three lengths, `junk` in the padding; and the same as a list."""
    values = RNG.standard_normal((len(LENGTHS), 5, 2)).astype(np.float32) - 5
    mask = np.arange(5) < np.array(LENGTHS)[:, None]
    padded = np.where(mask[..., None], values, junk).astype(np.float32)
    return Masked(jnp.asarray(padded), jnp.asarray(mask)), [values[i, :n] for i, n in enumerate(LENGTHS)]


@pytest.mark.parametrize("junk", [100.0, np.nan])
@pytest.mark.parametrize(("make", "function"), POOLS.values(), ids=POOLS)
def test_padding_of_sequences_has_no_part(make, function, junk):
    """A Masked batch pools as each of its sequences does alone, windows cut at its end; zeros where nothing is real."""
    x, rows = ragged(junk)
    y = make(2, dims=1)({}, x)
    np.testing.assert_array_equal(y.mask, [[True, True], [True, True], [False, False]])
    for got, row in zip(y.values, rows, strict=True):
        expected = np.zeros((2, 2))
        for place in range(2):
            window = row[2 * place : 2 * place + 2]
            if len(window):
                expected[place] = function(window.astype(np.float64), axis=0)
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    kind = {max_pool: "max", avg_pool: "mean"}[make]
    pooled = global_pool(kind, dims=1)({}, x)
    expected = [function(row.astype(np.float64), axis=0) if len(row) else np.zeros(2) for row in rows]
    np.testing.assert_allclose(pooled, np.stack(expected), rtol=1e-5)


@pytest.mark.parametrize("layer", [max_pool(2, dims=1), avg_pool(2, dims=1), global_pool("max", dims=1)])
def test_gradient_of_padding_is_zero(layer):
    x, _ = ragged(0.0)
    grad = jax.grad(lambda v: jnp.sum(jax.tree.leaves(layer({}, Masked(v, x.mask)))[0] ** 2))(x.values)
    assert np.isfinite(grad).all()
    assert (np.asarray(grad)[~np.asarray(x.mask)] == 0).all()
    assert np.abs(grad).max() > 0


ERRORS = {
    "window": (lambda: max_pool(0), ValueError, "max_pool: window must be at least 1, got 0"),
    "stride": (lambda: avg_pool(2, stride=0), ValueError, "avg_pool: stride must be at least 1, got 0"),
    "circular": (lambda: max_pool(padding="CIRCULAR"), ValueError, "max_pool: padding must be 'SAME', 'VALID' or 2"),
    "wide": (lambda: max_pool(padding=[(2, 0), (0, 0)]), ValueError, r"padding must be less than the window, \(2, 2\)"),
    "kind": (lambda: global_pool("min"), ValueError, "global_pool: kind must be 'mean' or 'max', got 'min'"),
    "dims": (lambda: global_pool(dims=0), ValueError, "global_pool: dims must be at least 1, got 0"),
    "axes": (
        lambda: max_pool()({}, jnp.ones((4, 1))),
        ShapeError,
        r"max_pool: the input must have shape \(..., height",
    ),
    "large": (lambda: avg_pool(5)({}, jnp.ones((4, 9, 1))), ShapeError, r"avg_pool: the window spans \(5, 5\), more"),
    "integers": (lambda: max_pool()({}, jnp.ones((4, 4, 1), int)), DtypeError, "max_pool: the input must be floating"),
    "masked": (
        lambda: max_pool()({}, Masked(jnp.ones((2, 4, 1)), jnp.ones((2, 4), bool))),
        ShapeError,
        "max_pool: a Masked sequence has one spatial axis, got dims=2\n  Fix: give dims=1",
    ),
    "mask": (
        lambda: avg_pool(dims=1)({}, Masked(jnp.ones((2, 4, 1)), jnp.ones((2, 3), bool))),
        ShapeError,
        "avg_pool: the mask must have",
    ),
}


@pytest.mark.parametrize(("act", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(act, error, message):
    with pytest.raises(error, match=message):
        act()
