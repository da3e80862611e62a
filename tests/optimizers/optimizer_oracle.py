"""Update rules in plain float64 NumPy, written from the papers in their textbook form: one leaf, one step at a time.

A rule is ``rule(t, x, g, memory) -> change of x``: t counts from 1, `memory` is the leaf's own dict, empty at first.
"""

import numpy as np


def run(rules, params, gradient, steps):
    """Return the parameters after each step; `rules` gives each leaf its rule."""
    params = {name: np.array(x) for name, x in params.items()}
    memories = {name: {} for name in params}
    path = []
    for t in range(1, steps + 1):
        grads = gradient(params)
        params = {k: params[k] + rules[k](t, params[k], grads[k], memories[k]) for k in params}
        path.append(params)
    return path


def sgd(lr, momentum=0.0, nesterov=False):
    def rule(t, x, g, memory):
        v = memory["v"] = momentum * memory.get("v", 0) + g
        return -rate(lr, t) * (g + momentum * v if nesterov else v)

    return rule


def adagrad(lr, start=0.1, eps=1e-7):
    def rule(t, x, g, memory):
        s = memory["s"] = memory.get("s", start) + abs(g) ** 2
        return -rate(lr, t) * np.where(s > 0, g / np.sqrt(s + eps), 0)

    return rule


def rmsprop(lr, decay=0.9, eps=1e-8, centered=False, momentum=0.0, nesterov=False):
    def rule(t, x, g, memory):
        v = memory["v"] = decay * memory.get("v", 0) + (1 - decay) * abs(g) ** 2
        m = memory["m"] = decay * memory.get("m", 0) + (1 - decay) * g
        step = -rate(lr, t) * g / np.sqrt(v - centered * abs(m) ** 2 + eps)
        s = memory["s"] = momentum * memory.get("s", 0) + step
        return step + momentum * s if nesterov else s

    return rule


def adam(lr, b1=0.9, b2=0.999, eps=1e-8, decay=0.0, nesterov=False, keep_largest=False):
    def rule(t, x, g, memory):
        u = adam_direction(t, g, memory, b1, b2, eps, nesterov, keep_largest)
        return -rate(lr, t) * (u + decay * x)

    return rule


def adam_direction(t, g, memory, b1, b2, eps, nesterov=False, keep_largest=False):
    m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * abs(g) ** 2
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    if nesterov:
        m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
    if keep_largest:
        v_hat = memory["top"] = np.maximum(memory.get("top", 0), v_hat)
    return m_hat / (np.sqrt(v_hat) + eps)


def adamax(lr, b1=0.9, b2=0.999, eps=1e-8):
    def rule(t, x, g, memory):
        m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        u = memory["u"] = np.maximum(b2 * memory.get("u", 0), abs(g) + eps)
        return -rate(lr, t) / (1 - b1**t) * m / u

    return rule


def radam(lr, b1=0.9, b2=0.999, eps=1e-8, threshold=5.0):
    def rule(t, x, g, memory):
        m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * abs(g) ** 2
        m_hat, most = m / (1 - b1**t), 2 / (1 - b2) - 1
        length = most - 2 * t * b2**t / (1 - b2**t)
        if length < threshold:
            return -rate(lr, t) * m_hat
        r = np.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
        return -rate(lr, t) * r * m_hat / (np.sqrt(v / (1 - b2**t)) + eps)

    return rule


def adadelta(lr=1.0, rho=0.9, eps=1e-6):
    def rule(t, x, g, memory):
        v = memory["v"] = rho * memory.get("v", 0) + (1 - rho) * abs(g) ** 2
        d = memory.get("d", 0)
        u = np.sqrt(d + eps) / np.sqrt(v + eps) * g
        memory["d"] = rho * d + (1 - rho) * abs(u) ** 2
        return -rate(lr, t) * u

    return rule


def lion(lr, b1=0.9, b2=0.99, decay=1e-3):
    def rule(t, x, g, memory):
        m = memory.get("m", np.zeros_like(x))
        mixed = b1 * m + (1 - b1) * g
        memory["m"] = b2 * m + (1 - b2) * g
        size = abs(mixed)
        return -rate(lr, t) * (np.where(size > 0, mixed / np.where(size > 0, size, 1), 0) + decay * x)

    return rule


def lamb(lr, b1=0.9, b2=0.999, eps=1e-6, decay=0.0):
    def rule(t, x, g, memory):
        r = adam_direction(t, g, memory, b1, b2, eps) + decay * x
        size, weight = np.linalg.norm(r), np.linalg.norm(x)
        return -rate(lr, t) * (weight / size if size > 0 and weight > 0 else 1) * r

    return rule


def lars(lr, momentum=0.9, decay=0.0, trust=0.001, eps=0.0, nesterov=False):
    def rule(t, x, g, memory):
        u = g + decay * x
        size, weight = np.linalg.norm(u), np.linalg.norm(x)
        step = rate(lr, t) * (trust * weight / (size + eps) if size > 0 and weight > 0 else 1) * u
        v = memory["v"] = momentum * memory.get("v", 0) + step
        return -(step + momentum * v if nesterov else v)

    return rule


def muon(lr, momentum=0.95, decay=0.0, nesterov=True, iterations=5, eps=1e-7):
    """The matrix is (in, out); each singular value of it goes through the quintic, so the oracle takes the SVD."""

    def rule(t, x, g, memory):
        v = memory["v"] = momentum * memory.get("v", 0) + g
        u, s, vh = np.linalg.svd(g + momentum * v if nesterov else v, full_matrices=False)
        s = s / (np.sqrt(np.sum(s**2)) + eps)
        for _ in range(iterations):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        return -rate(lr, t) * (max(1, x.shape[1] / x.shape[0]) ** 0.5 * (u * s) @ vh + decay * x)

    return rule


def adafactor(lr, gamma=0.8, eps=1e-30, max_rms=1.0, min_rms=1e-3, momentum=0.0, decay=0.0, factored=True):
    def rule(t, x, g, memory):
        beta, square = 1 - t**-gamma, abs(g) ** 2 + eps
        if factored and x.ndim == 2:
            r = memory["r"] = beta * memory.get("r", 0) + (1 - beta) * square.sum(1)
            c = memory["c"] = beta * memory.get("c", 0) + (1 - beta) * square.sum(0)
            v = np.outer(r, c) / r.sum()
        else:
            v = memory["v"] = beta * memory.get("v", 0) + (1 - beta) * square
        u = g / np.sqrt(v)
        u = u / max(1, rms(u) / max_rms)
        u = u if min_rms is None else u * max(min_rms, rms(x))
        s = memory["s"] = momentum * memory.get("s", 0) + (1 - momentum) * u
        return -rate(lr, t) * (s + decay * x)

    return rule


def lbfgs(f, gradient, x, steps, memory=10, c1=1e-4, c2=0.9, most=25):
    """L-BFGS with the inverse Hessian as a dense matrix, from products of rank-two updates; x is one vector."""
    pairs, path = [], []
    for _ in range(steps):
        g = gradient(x)
        h = np.eye(x.size) / max(1, np.linalg.norm(g))
        if pairs:
            h = np.eye(x.size) * (pairs[-1][0] @ pairs[-1][1]) / (pairs[-1][1] @ pairs[-1][1])
        for s, y in pairs:
            left = np.eye(x.size) - np.outer(s, y) / (s @ y)
            h = left @ h @ left.T + np.outer(s, s) / (s @ y)
        d = -h @ g
        new = x + bisection(f, gradient, x, d, c1, c2, most) * d
        s, y = new - x, gradient(new) - g
        if s @ y > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y):
            pairs = [*pairs, (s, y)][-memory:]
        x = new
        path.append(x)
    return path


def bisection(f, gradient, x, d, c1, c2, most):
    low, high, t, slope = 0.0, np.inf, 1.0, gradient(x) @ d
    for _ in range(most):
        if f(x + t * d) > f(x) + c1 * t * slope:
            high = t
        elif gradient(x + t * d) @ d < c2 * slope:
            low = t
        else:
            return t
        t = (low + high) / 2 if np.isfinite(high) else 2 * low
    return low


def rate(lr, t):
    return lr(t - 1) if callable(lr) else lr


def rms(x):
    return np.sqrt(np.mean(abs(x) ** 2))
