"""Attention against a float64 loop over heads and queries, and its laws."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.core import Masked
from fnnet.errors import DtypeError, ShapeError
from fnnet.initializers import normal
from fnnet.layers import attention

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (2, 5, 8))
CONTEXT = jax.random.normal(jax.random.key(2), (2, 6, 4))
MASK = jnp.arange(5)[None, :] < jnp.array([[5], [3]])
CONTEXT_MASK = jnp.arange(6)[None, :] >= jnp.array([[0], [2]])


def rotate_pairs(x, base):
    """Rotary positions as complex multiplication: x (time, d), in halves."""
    half = x.shape[-1] // 2
    theta = base ** (-np.arange(half) / half)
    z = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * np.arange(len(x))[:, None] * theta)
    return np.concatenate([z.real, z.imag], -1)


def oracle(params, x, context, mask, *, heads, kv_heads, causal, rotary):
    """One example: x (time, n), context (steps, m), mask (steps,), with zeros at padding."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)

    def project(name, value):
        return value @ p[name]["kernel"] + p[name].get("bias", 0.0)

    q, k, v = project("query", x), project("key", context), project("value", context)
    d = q.shape[-1] // heads
    outputs = np.zeros((len(x), heads * d))
    for h in range(heads):
        g = h // (heads // kv_heads)
        qh, kh, vh = q[:, h * d : (h + 1) * d], k[:, g * d : (g + 1) * d], v[:, g * d : (g + 1) * d]
        if rotary:
            qh, kh = rotate_pairs(qh, rotary), rotate_pairs(kh, rotary)
        for t in range(len(x)):
            seen = [s for s in range(len(context)) if mask[s] and (s <= t or not causal)]
            if seen:
                weights = np.exp([qh[t] @ kh[s] / np.sqrt(d) for s in seen])
                outputs[t, h * d : (h + 1) * d] = weights @ vh[seen] / weights.sum()
    return project("out", outputs)


OPTIONS = {
    "plain": {},
    "causal": {"causal": True},
    "grouped": {"kv_heads": 2, "rotary": 100.0},
    "multi-query": {"kv_heads": 1, "head_features": 6, "causal": True, "rotary": 10000.0},
    "no bias": {"bias_init": None},
}
INPUTS = {
    "self": X,
    "self masked": Masked(X, MASK),
    "cross": (X, CONTEXT),
    "cross masked": (X, Masked(CONTEXT, CONTEXT_MASK)),
    "cross both masked": (Masked(X, MASK), Masked(CONTEXT, CONTEXT_MASK)),
}


def parts(x):
    queries, context = (x, x) if not isinstance(x, tuple) or isinstance(x, Masked) else x
    mask = context.mask if isinstance(context, Masked) else None
    values = [
        jnp.where(part.mask[..., None], part.values, 0.0) if isinstance(part, Masked) else part
        for part in (queries, context)
    ]
    return *values, jnp.ones(values[1].shape[:-1], bool) if mask is None else mask


def make(options):
    return attention(4, **{"bias_init": normal(1.0)} | options)


PAIRS = [("plain", x) for x in INPUTS] + [(option, "self masked") for option in OPTIONS if option != "plain"]
PAIRS += [("multi-query", "cross both masked"), ("causal", "self")]


@pytest.mark.parametrize(("option", "given"), PAIRS)
def test_attention_is_the_loop_over_heads_and_queries(option, given):
    options, x = OPTIONS[option], INPUTS[given]
    layer = make(options)
    params, state = layer.init(KEY, x)
    assert state == {}
    y = jax.jit(layer.__call__)(params, x)
    queries, context, mask = parts(x)
    if isinstance(y, Masked):
        chex.assert_trees_all_equal(y.mask, MASK)
        y = y.values
    settings = {"heads": 4, "kv_heads": options.get("kv_heads", 4)}
    settings |= {name: options.get(name) for name in ("causal", "rotary")}
    for got, *one in zip(y, queries, context, mask, strict=True):
        expected = oracle(params, *(np.asarray(v, np.float64 if v.dtype != bool else bool) for v in one), **settings)
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


def test_parameters_have_the_stated_shapes():
    params, _ = attention(4, kv_heads=2, head_features=6).init(KEY, (X, CONTEXT))
    assert jax.tree.map(jnp.shape, params) == {
        "query": {"kernel": (8, 24), "bias": (24,)},
        "key": {"kernel": (4, 12), "bias": (12,)},
        "value": {"kernel": (4, 12), "bias": (12,)},
        "out": {"kernel": (24, 8), "bias": (8,)},
    }
    assert not np.allclose(params["key"]["kernel"], params["value"]["kernel"])


def test_the_order_of_the_context_does_not_matter_and_queries_are_on_their_own():
    """Permuting the context changes nothing; permuting the queries permutes the outputs."""
    layer = make({})
    params, _ = layer.init(KEY, (X, CONTEXT))
    call = jax.jit(layer.__call__)
    y, order = call(params, (X, CONTEXT)), jnp.array([3, 1, 0, 2, 4, 5])
    chex.assert_trees_all_close(call(params, (X, CONTEXT[:, order])), y, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(call(params, (X[:, order[:5]], CONTEXT)), y[:, order[:5]], rtol=1e-4, atol=1e-5)


def test_causal_outputs_do_not_depend_on_the_future():
    layer = make({"causal": True, "rotary": 100.0})
    params, _ = layer.init(KEY, X)
    y, changed = (jax.jit(layer.__call__)(params, x) for x in (X, X.at[:, 3:].add(1.0)))
    chex.assert_trees_all_equal(y[:, :3], changed[:, :3])
    assert not np.allclose(y[:, 3:], changed[:, 3:])


@pytest.mark.parametrize("garbage", [7.0, jnp.nan, jnp.inf])
def test_padding_has_no_influence(garbage):
    """Neither values at padding nor their amount change outputs at real steps, nor gradients."""
    layer = make({"rotary": 100.0})
    params, _ = layer.init(KEY, X)
    filled = Masked(jnp.where(MASK[..., None], X, garbage), MASK)

    @jax.jit
    def loss(params, x):
        y = layer(params, x)
        return (jnp.where(x.mask[..., None], y.values, 0.0) ** 2).sum(), y.values

    (_, y), grad = jax.value_and_grad(loss, has_aux=True)(params, Masked(X, MASK))
    (_, other), other_grad = jax.value_and_grad(loss, has_aux=True)(params, filled)
    chex.assert_trees_all_equal(y, other)
    chex.assert_trees_all_equal(grad, other_grad)
    chex.assert_tree_all_finite(other_grad)
    short = layer(params, X[1:, :3])
    chex.assert_trees_all_close(y[1:, :3], short, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_a_query_that_sees_nothing_gets_the_output_bias(causal):
    """All masked, or real steps only later in a causal one: finite, and so are the gradients."""
    layer = make({"causal": causal})
    mask = jnp.stack([jnp.zeros(6, bool), jnp.arange(6) >= 2])
    x = (X, Masked(CONTEXT, mask))
    params, _ = layer.init(KEY, x)
    y, grad = jax.jit(lambda p: (layer(p, x), jax.grad(lambda p: layer(p, x).sum())(p)))(params)
    bias = jnp.broadcast_to(params["out"]["bias"], y[0].shape)
    chex.assert_trees_all_equal(y[0], bias)
    assert bool((y[1, :2] == bias[:2]).all()) is causal
    chex.assert_tree_all_finite(grad)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_dtypes_pass_through(dtype, x64):
    layer = make({"causal": True, "rotary": 100.0})
    params, _ = layer.init(KEY, X.astype(dtype))
    grad, y = jax.jit(jax.grad(lambda p: ((y := layer(p, X.astype(dtype))).sum(), y), has_aux=True))(params)
    chex.assert_trees_all_equal_dtypes(y, grad["out"]["kernel"], X.astype(dtype))
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    np.testing.assert_allclose(y.astype(jnp.float32), layer(wide, X.astype(jnp.float32)), atol=0.1)


def test_sixteen_bits_go_to_jax_unless_promotion_is_strict():
    """Both ways agree to the precision of the dtype."""
    x = X.astype(jnp.bfloat16)
    layer = make({"causal": True, "kv_heads": 2})
    params, _ = layer.init(KEY, x)
    strict = jax.jit(layer.__call__)(params, Masked(x, MASK)).values
    with jax.numpy_dtype_promotion("standard"):
        standard = jax.jit(layer.__call__)(params, Masked(x, MASK)).values
    np.testing.assert_allclose(strict.astype(jnp.float32), standard.astype(jnp.float32), atol=0.1)


@pytest.mark.parametrize("option", ["plain", "multi-query"])
def test_float64_is_exact(option, x64):
    """Against the same loop, to float64's precision, softmax included."""
    values = X.astype(jnp.float64)
    layer = make(OPTIONS[option])
    params, _ = layer.init(KEY, values)
    y = jax.jit(layer.__call__)(params, Masked(values, MASK)).values
    masked = np.where(np.asarray(MASK)[..., None], np.asarray(values), 0.0)
    settings = {"heads": 4, "kv_heads": OPTIONS[option].get("kv_heads", 4)}
    settings |= {name: OPTIONS[option].get(name) for name in ("causal", "rotary")}
    for got, x, mask in zip(y, masked, np.asarray(MASK), strict=True):
        np.testing.assert_allclose(got, oracle(params, x, x, mask, **settings), rtol=1e-10, atol=1e-12)


def test_the_implementation_is_passed_on_to_jax():
    """Its own default on this machine is "xla" or agrees with it; a name that JAX does not know it refuses."""
    params, _ = attention(2).init(KEY, X)
    x = Masked(X, MASK)
    chosen = attention(2, implementation="xla")(params, x).values
    np.testing.assert_allclose(chosen, attention(2)(params, x).values, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"[Uu]nsupported implementation.*other"):
        attention(2, implementation="other")(params, x)


WRONG_NUMBERS = {
    "heads must be at least 1, got 0": lambda: attention(0),
    "kv_heads must divide heads=4, got 3": lambda: attention(4, kv_heads=3),
    "head_features must be at least 1, got 0": lambda: attention(4, head_features=0),
    "rotary must be a positive base or None, got -1.0": lambda: attention(4, rotary=-1.0),
}


@pytest.mark.parametrize("message", WRONG_NUMBERS)
def test_numbers_are_checked(message):
    with pytest.raises(ValueError, match=f"^attention: {message}$"):
        WRONG_NUMBERS[message]()


WRONG_AT_INIT = {
    "the number of features must be a multiple of 3 heads, got 8": (attention(3), X),
    "rotary positions need an even number of features a head, got 1": (attention(8, rotary=10.0), X),
    r"the input must have shape \(..., time, features\), got \(8,\)": (attention(2), X[0, 0]),
    r"the input must be one sequence or \(queries, context\), got 3 parts": (attention(2), (X, X, X)),
}


@pytest.mark.parametrize("message", WRONG_AT_INIT)
def test_inputs_are_checked_at_init(message):
    layer, x = WRONG_AT_INIT[message]
    with pytest.raises(ShapeError, match=f"^attention: {message}\n  Fix: "):
        layer.init(KEY, x)


WRONG_AT_APPLY = {
    r"the last axis of the input must be 8 \(as at init\), got shape \(2, 6, 4\)": (ShapeError, CONTEXT),
    r"queries and context must have the same leading axes, got \(2, 5, 8\) and \(5, 8\)": (ShapeError, (X, X[0])),
    r"the mask must have shape \(2, 5\), .* got \(5,\)": (ShapeError, Masked(X, MASK[0])),
    r"the mask must be boolean, got int32": (DtypeError, Masked(X, MASK.astype(jnp.int32))),
    r"the input must be floating-point, got int32": (DtypeError, X.astype(jnp.int32)),
}


@pytest.mark.parametrize("message", WRONG_AT_APPLY)
def test_inputs_are_checked_at_apply(message):
    error, x = WRONG_AT_APPLY[message]
    layer = attention(2)
    params, _ = layer.init(KEY, X)
    with pytest.raises(error, match=f"^attention: {message}"):
        layer(params, x)
