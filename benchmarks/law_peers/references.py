"""What layers should give, in float64 NumPy, from their formulas: ``(params, state, x, train) -> (y, state)``."""

from __future__ import annotations

import numpy as np


def dense(params, state, x, train):
    """Return x W + b."""
    return x @ params["kernel"] + params["bias"], state


def dense_general(params, state, x, train):
    """Return x W + b, with W of three axes."""
    return np.tensordot(x, params["kernel"], 1) + params["bias"], state


def linear(params, state, x, train):
    """Return W x + b."""
    return x @ params[".weight"].T + params[".bias"], state


def circular_convolution(params, state, x, train):
    """Return the sum over taps of the input, rolled, times the tap."""
    rows, columns = params["kernel"].shape[:2]
    taps = [(i, j) for i in range(rows) for j in range(columns)]
    turned = (np.roll(x, (rows // 2 - i, columns // 2 - j), (-3, -2)) @ params["kernel"][i, j] for i, j in taps)
    return sum(turned) + params["bias"], state


def circular_convolution_of_planes(params, state, x, train):
    """Return that of equinox: channels first, kernels (out, in, rows, columns)."""
    flat = {"kernel": params[".weight"].transpose(2, 3, 1, 0), "bias": params[".bias"].ravel()}
    return planes(lambda params, state, x, train: circular_convolution(flat, state, x, train))(params, state, x, train)


def convolution(params, state, x, train, strides, groups):
    """Return the convolution without padding."""
    kernel = params["kernel"]
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(-3, -2))[
        ..., ::strides, ::strides, :, :, :
    ]
    parts = zip(np.split(windows, groups, -3), np.split(kernel, groups, -1), strict=True)
    return np.concatenate([np.einsum("...cij,ijco->...o", w, k) for w, k in parts], -1) + params["bias"], state


def transposed_convolution(params, state, x, train):
    """Return the sum of kernels of 2 by 2, times each pixel, side by side."""
    y = np.einsum("...hwc,ijco->...hiwjo", x, params["kernel"][::-1, ::-1])
    h, i, w, j, o = y.shape[-5:]
    return y.reshape(*y.shape[:-5], h * i, w * j, o) + params["bias"], state


def embedding(params, state, x, train):
    """Return the rows of the table."""
    return params["embedding"][x], state


def lookup(name):
    """Return the reference of a table of this name."""
    return lambda params, state, x, train: (params[name][x], state)


def norm(axes=(-1,), eps=1e-6, scale="scale", bias="bias", centred=True):
    """Return the reference of (x - mean) / √(variance + ε) over axes of an example, then an affine map if any."""

    def reference(params, state, x, train):
        centre = x - x.mean(axes, keepdims=True) if centred else x
        y = centre / np.sqrt((centre**2).mean(axes, keepdims=True) + eps)
        return y * params.get(scale, 1) + params.get(bias, 0), state

    return reference


def group_norm(groups, eps, scale="scale", bias="bias"):
    """Return the reference of a norm over the pixels and the channels of a group."""

    def reference(params, state, x, train):
        parts = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
        y = norm((-4, -3, -1), eps)({}, state, parts, train)[0].reshape(x.shape)
        return y * params[scale] + params[bias], state

    return reference


def planes(reference):
    """Return the reference with the channels before the pixels."""

    def turned(params, state, x, train):
        y, state = reference(params, state, np.moveaxis(x, -3, -1), train)
        return np.moveaxis(y, -1, -3), state

    return turned


def batch_norm(room=None, momentum=0.99, eps=1e-5):
    """Return the reference of flax's batch norm: the running variance is that of the batch, divided by n."""

    def reference(params, state, x, train):
        kept = state if room is None else state[room]
        mean, var = kept["mean"], kept["var"]
        if train:
            mean, var = x.mean(0), x.var(0)
            new = {"mean": mean, "var": var}
            kept = {name: momentum * kept[name] + (1 - momentum) * new[name] for name in kept}
        y = (x - mean) / np.sqrt(var + eps) * params["scale"] + params["bias"]
        return y, kept if room is None else {room: kept}

    return reference


def fed(params, state, x, train, eps=1e-5):
    """Return the norm of a batch whose statistics are all that was ever seen."""
    y = (x - x.mean(0)) / np.sqrt(x.var(0) + eps)
    return y * params[".weight"] + params[".bias"], state


def prelu(name):
    """Return the reference of x, or a slope times it where it is negative."""
    return lambda params, state, x, train: (np.where(x >= 0, x, params[name] * x), state)


def pooled(reduce):
    """Return the reference of a reduction of squares of 2 by 2."""

    def reference(params, state, x, train):
        *lead, h, w, c = x.shape
        return reduce(x.reshape(*lead, h // 2, 2, w // 2, 2, c), axis=(-4, -2)), state

    return reference


def softmax(x):
    """Return the softmax along the last axis."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def attended(q, k, v):
    """Return softmax(q kᵀ / √d) v for each head, the axis before the last."""
    scores = np.einsum("...qhd,...khd->...hqk", q, k) / np.sqrt(q.shape[-1])
    return np.einsum("...hqk,...khd->...qhd", softmax(scores), v)


def attention(params, state, x, train):
    """Return flax's attention of x by itself."""
    parts = [
        np.einsum("...tf,fhd->...thd", x, params[name]["kernel"]) + params[name]["bias"]
        for name in ("query", "key", "value")
    ]
    out = params["out"]
    return np.einsum("...thd,hdf->...tf", attended(*parts), out["kernel"]) + out["bias"], state


def equinox_attention(params, state, x, train):
    """Return equinox's attention of x by itself: no biases, two heads."""
    parts = [x @ params[f".{name}_proj.weight"].T for name in ("query", "key", "value")]
    y = attended(*(part.reshape(*part.shape[:-1], 2, -1) for part in parts))
    return y.reshape(x.shape) @ params[".output_proj.weight"].T, state


def sigmoid(x):
    """Return 1 / (1 + exp(-x))."""
    return np.exp(-np.logaddexp(0, -x))


def over_time(step, size, carries):
    """Return the outputs of a recurrence over the axis before the last: the first of its carries."""

    def run(x):
        carry = [np.zeros((*x.shape[:-2], size)) for _ in range(carries)]
        found = []
        for t in range(x.shape[-2]):
            carry = step(x[..., t, :], *carry)
            found.append(carry[0])
        return np.stack(found, -2)

    return run


def affine(params, name, x):
    """Return x W, + b if there is one."""
    return x @ params[name]["kernel"] + params[name].get("bias", 0)


def linen_gru(params, state, x, train, cell="GRUCell_0"):
    """Return r, z = σ(…), n = tanh(W x + b + r (U h + c)), h' = (1 - z) n + z h."""
    p = next(iter(params.values()))

    def step(x, h):
        r, z = (sigmoid(affine(p, f"i{gate}", x) + affine(p, f"h{gate}", h)) for gate in "rz")
        n = np.tanh(affine(p, "in", x) + r * affine(p, "hn", h))
        return [(1 - z) * n + z * h]

    return over_time(step, 3, 1)(x), state


def linen_lstm(params, state, x, train, cell=None):
    """Return i, f, o = σ(…), g = tanh(…), c' = f c + i g, h' = o tanh(c')."""
    p = next(iter(params.values()))

    def step(x, h, c):
        i, f, g, o = (affine(p, f"i{gate}", x) + affine(p, f"h{gate}", h) for gate in "ifgo")
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]

    return over_time(step, 3, 2)(x), state


def equinox_gru(params, state, x, train):
    """Return that of equinox: gates in one matrix, in the order r, z, n; h' = n + z (h - n)."""

    def step(x, h):
        of_x = np.split(x @ params[".weight_ih"].T + params[".bias"], 3, -1)
        of_h = np.split(h @ params[".weight_hh"].T, 3, -1)
        r, z = (sigmoid(a + b) for a, b in zip(of_x[:2], of_h[:2], strict=True))
        n = np.tanh(of_x[2] + r * (of_h[2] + params[".bias_n"]))
        return [n + z * (h - n)]

    return over_time(step, 3, 1)(x), state


def equinox_lstm(params, state, x, train):
    """Return that of equinox: gates in one matrix, in the order i, f, g, o."""

    def step(x, h, c):
        gates = x @ params[".weight_ih"].T + h @ params[".weight_hh"].T + params[".bias"]
        i, f, g, o = np.split(gates, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]

    return over_time(step, 3, 2)(x), state


def rotated(params, state, x, train, theta=10000.0):
    """Return pairs of features, i with i + n/2, turned by t θ^(-2i/n) at time t."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[-2])[:, None] * theta ** (-np.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], -1), state
