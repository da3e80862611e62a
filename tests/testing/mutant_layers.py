"""Layers with one fault each, as they are made in earnest, beside the sound layer that each is a mutant of."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import fnnet as fn
from fnnet import testing

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
SEQUENCE = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 4)), jnp.float32)
INDICES = jnp.array([[0, 3], [4, 1], [2, 2]], jnp.int32)


def across(vector, like):
    """Return a vector in the shape of an array whose last axis it belongs to."""
    return jnp.broadcast_to(vector, like.shape)


def drawn(key, shape, dtype):
    return jax.random.normal(key, shape, dtype) / np.sqrt(max(shape[0], 1)).astype(dtype)


@jax.custom_jvp
def wrong_tanh(x):
    return jnp.tanh(x)


wrong_tanh.defjvp(lambda primals, tangents: (jnp.tanh(primals[0]), (1 - jnp.tanh(primals[0])) * tangents[0]))


def dense(fault=""):
    calls = []

    def init(key, x):
        first, second = (key, key) if fault == "one key for two arrays" else jax.random.split(key)
        params = {"kernel": drawn(first, (x.shape[-1], 3), x.dtype), "bias": drawn(second, (3,), x.dtype)}
        if fault == "init scales by the values of x":
            params["kernel"] = params["kernel"] / jnp.asarray(x).std()
        if fault == "init draws from NumPy's generator":
            params["kernel"] = jnp.asarray(np.random.default_rng().normal(size=(x.shape[-1], 3)), x.dtype)
        if fault == "a parameter that nothing uses":
            params["scale"] = jnp.ones(3, x.dtype)
        if fault == "parameters are always float32":
            params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
        return params, {"calls": jnp.zeros(())} if fault == "inference counts in the state" else {}

    def apply(params, state, x, *, key=None, train=False):
        kernel, bias = params["kernel"], params["bias"]
        if fault == "the gradient of the kernel is stopped":
            kernel = lax.stop_gradient(kernel)
        if fault == "the input is scaled in place" and isinstance(x, np.ndarray):
            x *= 0.5
        if fault == "parameters are always float32":
            x = x.astype(jnp.float32)
        y = x @ kernel
        if fault == "centred over the leading axes":
            y = y - across(y.mean(tuple(range(y.ndim - 1))), y)
        if fault == "normalised over the batch in training" and train:
            y = y / (1 + across(jnp.abs(y).max(tuple(range(y.ndim - 1))), y))
        if fault == "divided by the number of examples":
            y = y / max(x.shape[0] if x.ndim > 1 else 1, 1)
        without = (fault == "the bias is left out in training" and train) or (
            fault == "the bias is left out of one example" and x.ndim == 1
        )
        y = y if without else y + across(bias, y)
        if fault == "the bias is added twice":
            y = y + across(bias, y)
        if fault == "a list outside counts the calls":
            calls.append(1)
            y = y + 0.01 * len(calls)
        if fault == "branches on a value":
            y = y if y.sum() > 0 else -y
        if fault == "noise of NumPy's generator":
            y = y + np.random.default_rng().normal()
        if fault == "noise at inference":
            y = y if key is None else y + jax.random.normal(key, y.shape, y.dtype)
        if fault == "a key is there if none is given" and train:
            y = y + jax.random.normal(jax.random.key(0) if key is None else key, y.shape, y.dtype)
        if fault == "rounded to sixteen bits on the way":
            y = y.astype(jnp.float16).astype(x.dtype)
        if fault == "the batch is lost where it is of one" and x.ndim == 2 and x.shape[0] in (0, 1):
            y = y.reshape(-1)
        if fault == "inference counts in the state":
            state = {"calls": state["calls"] + 1}
        return wrong_tanh(y) if fault == "a slope by hand that is wrong" else jnp.tanh(y), state

    def reference(params, state, x, train):
        return np.tanh(x @ params["kernel"] + params["bias"]), state

    return testing.layer_subject(fn.Layer("dense", init, apply), X, reference=reference)


def batch_norm(fault=""):
    momentum, eps = 0.9, 1e-3

    def init(key, x):
        n = x.shape[-1]
        zeros, ones = jnp.zeros(n, x.dtype), jnp.ones(n, x.dtype)
        return {"scale": ones, "bias": zeros}, {"mean": zeros, "var": ones}

    def apply(params, state, x, *, key=None, train=False):
        axes = tuple(range(x.ndim - 1))
        if fault == "statistics over the features too" and train:
            mean, var = jnp.full(x.shape[-1], x.mean()), jnp.full(x.shape[-1], x.var())
        elif (train and fault != "training uses what is kept") or fault == "inference uses the batch":
            mean = x.mean(axes)
            centre = lax.stop_gradient(mean) if fault == "the gradient through the mean is stopped" else mean
            count = max(x.size // x.shape[-1], 1)
            var = ((x - across(centre, x)) ** 2).sum(axes) / (count - (fault == "variance over n - 1"))
            mean = centre
        else:
            mean, var = state["mean"], state["var"]
        spread = jnp.sqrt(var) + eps if fault == "ε outside the root" else jnp.sqrt(var + eps)
        y = (x - across(mean, x)) / across(spread, x) * across(params["scale"], x) + across(params["bias"], x)
        if train or fault == "the state moves at inference":
            if fault == "the state moves at inference":
                mean, var = x.mean(axes), x.var(axes)
            old = 1 - momentum if fault == "the momentum is of the new" else momentum
            if fault == "the variance is not kept":
                var = state["var"]
            state = {"mean": old * state["mean"] + (1 - old) * mean, "var": old * state["var"] + (1 - old) * var}
        return y, state

    def reference(params, state, x, train):
        axes = tuple(range(x.ndim - 1))
        mean, var = (x.mean(axes), x.var(axes)) if train else (state["mean"], state["var"])
        y = (x - mean) / np.sqrt(var + eps) * params["scale"] + params["bias"]
        if train:
            state = {"mean": 0.9 * state["mean"] + 0.1 * mean, "var": 0.9 * state["var"] + 0.1 * var}
        return y, state

    return testing.layer_subject(fn.Layer("batch_norm", init, apply), X, couples=True, reference=reference)


def layer_norm(fault=""):
    def init(key, x):
        return {"scale": jnp.ones(x.shape[-1], x.dtype)}, {}

    def apply(params, state, x, *, key=None, train=False):
        axis = None if fault == "statistics over all axes" else -1
        centred = x - (x.mean(axis, keepdims=True) if fault != "the mean stays" else 0)
        var = (centred**2).mean(axis, keepdims=True)
        if fault == "no ε":
            spread = jnp.sqrt(var)
        elif fault == "the root of zero is differentiated":
            spread = jnp.sqrt(var) + 1e-5
        else:
            spread = jnp.sqrt(var + 1e-5)
        return centred / spread * across(params["scale"], x), state

    symmetries = (testing.Symmetry("shift of all numbers", lambda rng, x: x + jnp.float32(rng.normal())),)
    return testing.layer_subject(fn.Layer("layer_norm", init, apply), X, symmetries=symmetries)


def dropout(fault=""):
    rate = 0.25

    def apply(params, state, x, *, key=None, train=False):
        if not train and fault != "drops at inference":
            return x, state
        if key is None:
            raise fn.errors.KeyMissingError("dropout", "needs a random key when train=True", "pass key=.")
        key = jax.random.key(0) if fault == "always the same key" else key
        share = rate if fault == "the mask is inverted" else 1 - rate
        kept = jax.random.bernoulli(key, share, x.shape[-1:] if fault == "one mask for all examples" else x.shape)
        kept = jnp.broadcast_to(kept, x.shape)
        scale = 1.0 if fault == "not rescaled" else 1 / (1 - rate)
        if fault == "rescaled by the rate":
            scale = 1 / rate
        return jnp.where(kept, x * scale, 0), state

    return testing.layer_subject(fn.Layer("dropout", lambda key, x: ({}, {}), apply), X, unbiased=True)


def attention(fault=""):
    def init(key, x):
        n, keys = x.shape[-1], jax.random.split(key, 3)
        names = ("query", "key", "value")
        if fault == "query and key are drawn with one key":
            keys = [keys[0], keys[0], keys[2]]
        return {name: drawn(k, (n, n), x.dtype) for name, k in zip(names, keys, strict=True)}, {}

    def apply(params, state, x, *, key=None, train=False):
        query, known, value = (x @ params[name] for name in ("query", "key", "value"))
        scores = query @ jnp.swapaxes(known, -1, -2)
        if fault != "not scaled by the root of the width":
            scores = scores / np.sqrt(x.shape[-1]).astype(x.dtype)
        if fault == "looks at what comes before alone":
            scores = jnp.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
        if fault == "exponentials overflow":
            weights = jnp.exp(scores) / jnp.exp(scores).sum(-1, keepdims=True)
        else:
            weights = jax.nn.softmax(scores, axis=-2 if fault == "softmax over the queries" else -1)
        if fault == "attends to another example" and x.ndim > 2:
            value = jnp.roll(value, 1, axis=0)
        return weights @ value, state

    def reference(params, state, x, train):
        scores = (x @ params["query"]) @ np.swapaxes(x @ params["key"], -1, -2) / np.sqrt(x.shape[-1])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True) @ (x @ params["value"]), state

    symmetries = (testing.permuted(-2, output=-2),)
    layer = fn.Layer("attention", init, apply)
    return testing.layer_subject(layer, SEQUENCE, symmetries=symmetries, reference=reference)


def recurrent(fault=""):
    def init(key, x):
        n, keys = x.shape[-1], jax.random.split(key)
        return {"kernel": drawn(keys[0], (n, 3), x.dtype), "recurrent": drawn(keys[1], (3, 3), x.dtype)}, {}

    def apply(params, state, x, *, key=None, train=False):
        over_batch = fault == "scans over the batch" and x.ndim > 2
        steps = x if over_batch else jnp.moveaxis(x, -2, 0)
        steps = steps[::-1] if fault == "backwards" else steps

        def step(h, x):
            h = h if fault != "what is remembered has no gradient" else lax.stop_gradient(h)
            h = jnp.tanh(x @ params["kernel"] + h @ params["recurrent"])
            return h, h

        start = jnp.full((*steps.shape[1:-1], 3), fault == "begins with ones", x.dtype)
        _, each = lax.scan(step, start, steps)
        return each if over_batch else jnp.moveaxis(each, 0, -2), state

    def reference(params, state, x, train):
        h, each = np.zeros((*x.shape[:-2], 3)), []
        for step in range(x.shape[-2]):
            h = np.tanh(x[..., step, :] @ params["kernel"] + h @ params["recurrent"])
            each.append(h)
        return np.stack(each, -2), state

    return testing.layer_subject(fn.Layer("recurrent", init, apply), SEQUENCE, reference=reference)


def embedding(fault=""):
    def init(key, x):
        return {"table": jax.random.normal(key, (5, 3))}, {}

    def apply(params, state, x, *, key=None, train=False):
        index = x + 1 if fault == "rows are counted from one" else x
        if fault == "beyond the table there is a row":
            index = jnp.clip(index, 1, 4)
        return params["table"][index], state

    def reference(params, state, x, train):
        return params["table"][x], state

    return testing.layer_subject(fn.Layer("embedding", init, apply), INDICES, reference=reference)


def contraction(fault=""):
    """A matrix divided by its largest singular value."""

    def init(key, x):
        kernel = jax.random.normal(key, (x.shape[-1], x.shape[-1]), x.dtype)
        norms = {
            "divided by the root of its norm": jnp.sqrt(jnp.linalg.norm(kernel, 2)),
            "divided by its mean": jnp.abs(kernel).mean(),
        }
        return {"kernel": kernel / norms.get(fault, jnp.linalg.norm(kernel, 2))}, {}

    def apply(params, state, x, *, key=None, train=False):
        return x @ params["kernel"], state

    return testing.layer_subject(fn.Layer("contraction", init, apply), X, lipschitz=1.0)


FAULTS = {
    dense: (
        "one key for two arrays",
        "init scales by the values of x",
        "init draws from NumPy's generator",
        "a parameter that nothing uses",
        "parameters are always float32",
        "inference counts in the state",
        "the gradient of the kernel is stopped",
        "the input is scaled in place",
        "centred over the leading axes",
        "normalised over the batch in training",
        "divided by the number of examples",
        "the bias is left out in training",
        "the bias is left out of one example",
        "the bias is added twice",
        "a list outside counts the calls",
        "branches on a value",
        "noise of NumPy's generator",
        "noise at inference",
        "a key is there if none is given",
        "rounded to sixteen bits on the way",
        "the batch is lost where it is of one",
        "a slope by hand that is wrong",
    ),
    batch_norm: (
        "statistics over the features too",
        "training uses what is kept",
        "inference uses the batch",
        "the gradient through the mean is stopped",
        "variance over n - 1",
        "ε outside the root",
        "the state moves at inference",
        "the momentum is of the new",
        "the variance is not kept",
    ),
    layer_norm: ("statistics over all axes", "the mean stays", "no ε", "the root of zero is differentiated"),
    dropout: (
        "drops at inference",
        "always the same key",
        "the mask is inverted",
        "one mask for all examples",
        "not rescaled",
        "rescaled by the rate",
    ),
    attention: (
        "query and key are drawn with one key",
        "not scaled by the root of the width",
        "looks at what comes before alone",
        "exponentials overflow",
        "softmax over the queries",
        "attends to another example",
    ),
    recurrent: ("scans over the batch", "backwards", "what is remembered has no gradient", "begins with ones"),
    embedding: ("rows are counted from one", "beyond the table there is a row"),
    contraction: ("divided by the root of its norm", "divided by its mean"),
}
