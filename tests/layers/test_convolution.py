"""Convolutions and their transposes against sums written out in float64."""

import math

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
import scipy.signal

from fnnet.activations import matching_initializer
from fnnet.errors import DtypeError, ShapeError
from fnnet.initializers import identity
from fnnet.layers import conv, conv_transpose

RNG = np.random.default_rng(0)


def padded(x, kernel, stride, dilation, padding):
    """The input with its border, by the definitions: SAME has ⌈n / s⌉ outputs, of which the greater half is after."""
    dims = len(stride)
    if padding == "VALID":
        return x
    pairs = padding
    if isinstance(padding, str):
        pairs = []
        for n, k, s, d in zip(x.shape, kernel.shape, stride, dilation, strict=False):
            total = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
            pairs.append((total // 2, math.ceil(total / 2)))
    return np.pad(x, [*pairs[:dims], (0, 0)], mode="wrap" if padding == "CIRCULAR" else "constant")


def correlation(x, kernel, stride, dilation, groups, padding):
    """One example, one output number at a time."""
    dims = len(stride)
    x = padded(x, kernel, stride, dilation, padding)
    n_in, n_out = kernel.shape[-2:]
    sizes = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[:dims], kernel.shape, stride, dilation, strict=False)
    ]
    y = np.zeros((*sizes, n_out))
    for p in np.ndindex(*sizes):
        for q in np.ndindex(*kernel.shape[:dims]):
            place = tuple(s * a + d * b for s, a, d, b in zip(stride, p, dilation, q, strict=True))
            for o in range(n_out):
                group = o // (n_out // groups)
                y[p][o] += x[place][group * n_in : (group + 1) * n_in] @ kernel[q][:, o]
    return y


CASES = {  # dims, space, features in and out, kernel, stride, dilation, groups, padding
    "1d": ((7,), 2, 3, (3,), 1, 1, 1, "SAME"),
    "1d strided": ((7,), 2, 3, (4,), 3, 1, 1, "SAME"),
    "1d causal": ((6,), 2, 2, (3,), 1, 2, 1, [(4, 0)]),
    "1d circular wide": ((3,), 1, 1, (5,), 1, 2, 1, "CIRCULAR"),
    "1d kernel less than stride": ((7,), 2, 3, (1,), 2, 1, 1, "SAME"),
    "2d": ((5, 6), 2, 3, (3, 2), 1, 1, 1, "SAME"),
    "2d strided": ((5, 6), 2, 3, (3, 2), (2, 3), 1, 1, "SAME"),
    "2d valid dilated": ((5, 6), 2, 3, (2, 3), 1, (3, 2), 1, "VALID"),
    "2d grouped": ((4, 4), 4, 6, (2, 2), 1, 1, 2, "VALID"),
    "2d depthwise": ((4, 4), 3, 3, (3, 3), 1, 1, 3, "SAME"),
    "2d pairs": ((4, 5), 2, 2, (3, 3), (2, 1), 1, 1, [(1, 2), (0, 1)]),
    "2d circular": ((5, 6), 2, 3, (3, 4), (1, 2), 1, 1, "CIRCULAR"),
    "3d": ((3, 4, 3), 2, 2, (2, 3, 2), (1, 2, 1), 1, 1, "SAME"),
}


def drawn(layer, x):
    """Parameters of the shapes of init, without compiling its draw."""
    params, state = jax.eval_shape(layer.init, jax.random.key(0), x)
    return {name: RNG.standard_normal(p.shape).astype(np.float32) for name, p in params.items()}, state


def expanded(value, dims):
    return (value,) * dims if isinstance(value, int) else tuple(value)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_conv_is_the_sum_in_its_formula(case):
    space, n, features, kernel, stride, dilation, groups, padding = case
    x = RNG.standard_normal((2, *space, n)).astype(np.float32)
    layer = conv(features, kernel, stride=stride, dilation=dilation, groups=groups, padding=padding)
    params, state = drawn(layer, x)
    assert params["kernel"].shape == (*kernel, n // groups, features)
    params["bias"] = np.arange(features, dtype=np.float32)
    dims = len(space)
    expected = [
        correlation(
            one.astype(np.float64),
            np.asarray(params["kernel"], np.float64),
            expanded(stride, dims),
            expanded(dilation, dims),
            groups,
            padding,
        )
        + np.arange(features)
        for one in x
    ]
    np.testing.assert_allclose(jax.jit(layer.__call__)(params, x), np.stack(expected), atol=2e-5)
    assert state == {}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_conv_transpose_is_the_adjoint_of_conv(case):
    """⟨u, Aᵀ v⟩ = ⟨A u, v⟩ for all u and v, A the sums of conv with the kernel flipped and its ends exchanged."""
    space, features, n, kernel, stride, dilation, groups, padding = case
    layer = conv_transpose(
        features, kernel, stride=stride, dilation=dilation, groups=groups, padding=padding, bias_init=None
    )
    v = RNG.standard_normal((*space, n)).astype(np.float32)
    params, _ = drawn(layer, v)
    assert params["kernel"].shape == (*kernel, n // groups, features)
    y = np.asarray(jax.jit(layer.__call__)(params, v), np.float64)
    dims = len(space)
    strides = expanded(stride, dims)
    if padding in ("SAME", "CIRCULAR"):
        assert y.shape[:-1] == tuple(a * b for a, b in zip(space, strides, strict=True))
    flipped = np.flip(np.asarray(params["kernel"], np.float64), tuple(range(dims)))
    # (…, in/g, g, out/g) -> (…, out/g, g, in/g)
    split = flipped.reshape(*kernel, n // groups, groups, features // groups)
    exchanged = np.swapaxes(split, -1, -3).reshape(*kernel, features // groups, n)
    u = RNG.standard_normal(y.shape)
    forward = correlation(u, exchanged, strides, expanded(dilation, dims), groups, padding)
    assert forward.shape == v.shape
    np.testing.assert_allclose((forward * v).sum(), (u * y).sum(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, "SAME"), (4, 2, "SAME"), (3, 1, "VALID")])
def test_conv_transpose_is_that_of_lax(kernel, stride, padding, key):
    """Where the kernel is no smaller than the stride, it is jax.lax's."""
    x = jnp.asarray(RNG.standard_normal((2, 5, 5, 2)), jnp.float32)
    layer = conv_transpose(3, kernel, stride=stride, padding=padding)
    params, _ = layer.init(key, x)
    expected = jax.lax.conv_transpose(
        x, params["kernel"], (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(layer(params, x), expected, atol=1e-5)


def test_conv_is_scipys_correlation(key):
    x = jnp.asarray(RNG.standard_normal((6, 7, 1)), jnp.float32)
    layer = conv(1, (3, 3))
    params, _ = layer.init(key, x)
    expected = scipy.signal.correlate(np.float64(x[..., 0]), np.float64(params["kernel"][..., 0, 0]), "same")
    np.testing.assert_allclose(layer(params, x)[..., 0], expected, atol=1e-5)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_identity_kernel_passes_its_input_on(size, key):
    """A SAME convolution drawn by `identity` is the identity, for odd windows and even."""
    x = jnp.asarray(RNG.standard_normal((5, 5, 2)), jnp.float32)
    layer = conv(2, size, kernel_init=identity())
    np.testing.assert_allclose(jax.jit(layer.__call__)(layer.init(key, x)[0], x), x, atol=1e-6)


@pytest.mark.parametrize("make", [conv, conv_transpose])
def test_activation_draws_the_kernel_and_is_applied(make, key):
    x = jnp.asarray(RNG.standard_normal((5, 5, 2)), jnp.float32)
    with_it, without = (
        make(4, activation=jax.nn.relu),
        make(4, kernel_init=matching_initializer(jax.nn.relu)),
    )
    params, _ = with_it.init(key, x)
    np.testing.assert_array_equal(params["kernel"], without.init(key, x)[0]["kernel"])
    np.testing.assert_array_equal(with_it(params, x), jax.nn.relu(without(params, x)))


BAD_NUMBERS = {
    "features": (lambda: conv(0), "conv: features must be at least 1, got 0"),
    "groups": (lambda: conv(4, groups=3), "conv: groups must divide features=4, got 3"),
    "stride": (lambda: conv(4, stride=(1, 2, 3)), r"conv: stride must be one whole number, or 2 of them, got \(1, 2"),
    "dilation": (lambda: conv_transpose(4, dilation=0), "conv_transpose: dilation must be at least 1, got 0"),
    "kernel": (lambda: conv(4, (3, -1)), r"conv: kernel_size must be at least 1, got -1"),
    "kernel and dims": (lambda: conv(4, (3, 3), dims=1), "conv: kernel_size must be one whole number, or 1 of them"),
    "dims": (lambda: conv(4, 3, dims=0), "conv: dims must be at least 1, got 0"),
    "padding": (lambda: conv(4, padding="HALF"), "conv: padding must be 'SAME', 'VALID', 'CIRCULAR' or 2 pairs"),
    "pairs": (lambda: conv(4, padding=[(1, 1)]), r"or 2 pairs \(before, after\), got \[\(1, 1\)\]"),
    "one number": (lambda: conv(4, padding=1), r"or 2 pairs \(before, after\), got 1"),
    "one number an axis": (lambda: conv(4, padding=(1, 1)), r"or 2 pairs \(before, after\), got \(1, 1\)"),
    "fraction": (lambda: conv(4, stride=2.0), r"conv: stride must be a whole number, got 2\.0"),
    "nothing": (lambda: conv(4, None), "conv: kernel_size must be a whole number, got None"),
    "negative": (lambda: conv(4, 3, dims=1, padding=[(-1, 1)]), r"or 1 pairs \(before, after\), got \[\(-1, 1\)\]"),
}


@pytest.mark.parametrize(("make", "message"), BAD_NUMBERS.values(), ids=BAD_NUMBERS)
def test_numbers_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


BAD_INPUTS = {
    "axes": (conv(4), (5, 3), r"conv: the input must have shape \(..., height, width, features\), got \(5, 3\)"),
    "3d axes": (conv(4, 3, dims=3), (5, 5, 3), r"must have shape \(..., 3 spatial axes, features\), got \(5, 5, 3\)"),
    "groups": (conv(4, groups=2), (5, 5, 3), r"the last axis of the input must be a multiple of groups=2, got shape"),
}


@pytest.mark.parametrize(("layer", "shape", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_inputs_of_wrong_shape_at_init(layer, shape, message, key):
    with pytest.raises(ShapeError, match=message):
        layer.init(key, jnp.ones(shape))


def test_dtypes_of_input_and_kernel_are_promoted_where_that_is_allowed(key):
    """As a dense layer's are; under strict promotion that is an error, in both."""
    layer = conv(2, (3,))
    params, _ = layer.init(key, jnp.ones((5, 1), jnp.bfloat16))
    with jax.numpy_dtype_promotion("standard"):
        assert layer(params, jnp.ones((5, 1))).dtype == jnp.float32
    with pytest.raises(ValueError, match="no available implicit dtype promotion"):
        layer(params, jnp.ones((5, 1)))


def test_inputs_unlike_those_of_init(key):
    layer = conv(4, padding="VALID")
    params, _ = layer.init(key, jnp.ones((5, 5, 3)))
    with pytest.raises(ShapeError, match=r"conv: the last axis of the input must be 3 \(as at init\), got shape"):
        layer(params, jnp.ones((5, 5, 2)))
    with pytest.raises(ShapeError, match=r"conv: the window spans \(3, 3\), more than the padded input, \(2, 5\)"):
        layer(params, jnp.ones((2, 5, 3)))
    with pytest.raises(DtypeError, match="conv: the input must be floating-point, got int32"):
        layer(params, jnp.ones((5, 5, 3), jnp.int32))
    crop = conv_transpose(4, 1, padding=[(3, 3), (0, 0)])
    params, _ = crop.init(key, jnp.ones((5, 5, 3)))
    with pytest.raises(ShapeError, match=r"conv_transpose: the padding crops all of the output, of size \(-1, 5\)"):
        crop(params, jnp.ones((5, 5, 3)))
