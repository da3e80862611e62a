"""Optimizers and schedules of optax, with what is declared of each; references: the papers' rules in float64 NumPy."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import optax

from fnnet.testing import ScheduleSubject, optimizer_subject

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests" / "optimizers"))
import optimizer_oracle as rules

RATE = 0.05


def by_rule(rule, other=None):
    """Return the reference of a rule by leaf; `other`: of leaves that are no matrices."""

    def reference(params, each):
        return {name: run(params[name], each[name]) for name in params}

    def run(x, each):
        memory, found = {}, []
        for t, g in enumerate(each, 1):
            x = x + (other if other and x.ndim != 2 else rule)(t, x, g, memory)
            found.append(x)
        return np.stack(found)

    return reference


def adabelief(lr, b1=0.9, b2=0.999, eps=1e-16):
    """Return the rule of Zhuang et al. 2020: s = b2 s + (1 - b2) (g - m)² + ε, m̂ / (√ŝ + ε)."""

    def rule(t, x, g, memory):
        m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        s = memory["s"] = b2 * memory.get("s", 0) + (1 - b2) * (g - m) ** 2 + eps
        return -lr * m / (1 - b1**t) / (np.sqrt(s / (1 - b2**t)) + eps)

    return rule


def yogi(lr, b1=0.9, b2=0.999, eps=1e-3, start=1e-6):
    """Return the rule of Zaheer et al. 2018, from v = 1e-6 and m = 0, with optax's corrections of bias."""

    def rule(t, x, g, memory):
        m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        v = memory.get("v", start)
        v = memory["v"] = v - (1 - b2) * np.sign(v - g**2) * g**2
        return -lr * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)

    return rule


def adan(lr, b1=0.98, b2=0.92, b3=0.99, eps=1e-8):
    """Return the rule of Xie et al. 2022, algorithm 1, with corrections of bias; b2 is 1 - β₂ of the paper."""

    def rule(t, x, g, memory):
        change = g - memory.get("g", g)
        memory["g"] = g
        m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * change
        n = memory["n"] = b3 * memory.get("n", 0) + (1 - b3) * (g + b2 * change) ** 2
        step = m / (1 - b1**t) + b2 * v / (1 - b2**t)
        return -lr * step / (np.sqrt(n / (1 - b3**t)) + eps)

    return rule


def novograd(lr, b1=0.9, b2=0.25, eps=1e-6):
    """Return the rule of Ginsburg et al. 2019: v = b2 v + (1 - b2) ‖g‖², m = b1 m + g / (√v + ε), from the first."""

    def rule(t, x, g, memory):
        square = (g**2).sum()
        v = memory["v"] = b2 * memory.get("v", square) + (1 - b2) * square
        m = memory["m"] = b1 * memory.get("m", 0) + g / (np.sqrt(v) + eps)
        return -lr * m

    return rule


def sm3(lr, momentum=0.9, eps=1e-8):
    """Return the rule of Anil et al. 2019: sums of squares of rows and columns, of which an entry has the least."""

    def rule(t, x, g, memory):
        if x.ndim < 2:
            v = memory["v"] = memory.get("v", 0) + g**2
        else:
            r, c = memory.get("r", np.zeros(x.shape[0])), memory.get("c", np.zeros(x.shape[1]))
            v = np.minimum(r[:, None], c) + g**2
            memory["r"], memory["c"] = v.max(1), v.max(0)
        u = g / np.sqrt(v + eps)
        m = memory["m"] = momentum * memory.get("m", 0) + (1 - momentum) * u
        return -lr * m

    return rule


def rprop(lr, down=0.5, up=1.2, least=1e-6, most=50.0):
    """Return the rule of Riedmiller & Braun 1993 without going back: after a change of sign there is no step."""

    def rule(t, x, g, memory):
        turned = memory.get("sign", 0) * np.sign(g)
        size = memory.get("size", np.full_like(x, lr))
        grown = np.clip(size * np.where(turned > 0, up, down), least, most)
        memory["size"] = size = np.where(turned == 0, size, grown)
        memory["sign"] = np.where(turned < 0, 0, np.sign(g))
        return -size * memory["sign"]

    return rule


def fromage(lr, floor=1e-6):
    """Return the rule of Bernstein et al. 2020: x' = (x - lr g ‖x‖ / ‖g‖) / √(1 + lr²)."""

    def rule(t, x, g, memory):
        ratio = max(np.linalg.norm(x), floor) / max(np.linalg.norm(g), floor)
        return (x - lr * ratio * g) / np.sqrt(1 + lr**2) - x

    return rule


def optimistic(lr):
    """Return the rule of Mokhtari et al. 2019: -lr (2 g - the gradient before)."""

    def rule(t, x, g, memory):
        before, memory["g"] = memory.get("g", g), g
        return -lr * (2 * g - before)

    return rule


def madgrad(lr, momentum=0.9, eps=1e-6):
    """Return the rule of Defazio & Jelassi 2021, algorithm 1: c = 1 - momentum, λ = (lr + ε) √t, ε as in their code."""

    def rule(t, x, g, memory):
        start = memory.setdefault("start", x)
        size = (lr + eps) * np.sqrt(t)
        s = memory["s"] = memory.get("s", 0) + size * g
        v = memory["v"] = memory.get("v", 0) + size * g**2
        z = start - s / (np.cbrt(v) + eps)
        return (1 - momentum) * (z - x)

    return rule


def adopt(lr, b1=0.9, b2=0.9999, eps=1e-6):
    """Return the rule of Taniguchi et al. 2024, with its clipping at t^(1/4): the first gradient makes v alone."""

    def rule(t, x, g, memory):
        if t == 1:
            memory["v"] = g**2
            return np.zeros_like(x)
        u = np.clip(g / np.maximum(np.sqrt(memory["v"]), eps), -((t - 1) ** 0.25), (t - 1) ** 0.25)
        m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * u
        memory["v"] = b2 * memory["v"] + (1 - b2) * g**2
        return -lr * m

    return rule


def optimizers():
    """Return the subjects of optimizers by name."""
    o, c, lr = optax, optax.contrib, RATE
    whole = {"by_leaf": False}  # a number for all leaves
    adam = rules.adam(lr)
    found = {
        "sgd": (o.sgd(lr), {"scale": "linear", "reference": by_rule(rules.sgd(lr))}),
        "sgd, momentum": (o.sgd(lr, 0.9), {"scale": "linear", "reference": by_rule(rules.sgd(lr, 0.9))}),
        "sgd, nesterov": (
            o.sgd(lr, 0.9, nesterov=True),
            {"scale": "linear", "reference": by_rule(rules.sgd(lr, 0.9, True))},
        ),
        "adam": (
            o.adam(lr),
            {"reference": by_rule(adam), "first_step": lambda g, p: -lr * g / (np.abs(g) + 1e-8)},
        ),
        "adamw": (o.adamw(lr), {"decays": True, "reference": by_rule(rules.adam(lr, decay=1e-4))}),
        "adamax": (o.adamax(lr), {"reference": by_rule(rules.adamax(lr))}),
        "nadam": (o.nadam(lr), {"reference": by_rule(rules.adam(lr, nesterov=True))}),
        "amsgrad": (o.amsgrad(lr), {"reference": by_rule(rules.adam(lr, keep_largest=True))}),
        "radam": (o.radam(lr), {"reference": by_rule(rules.radam(lr))}),
        "adabelief": (o.adabelief(lr), {"reference": by_rule(adabelief(lr))}),
        "adadelta": (o.adadelta(1.0), {"reference": by_rule(rules.adadelta())}),
        "adagrad": (o.adagrad(lr), {"reference": by_rule(rules.adagrad(lr))}),
        "adafactor": (o.adafactor(lr), {"reference": by_rule(rules.adafactor(lr, factored=False))}),
        "adafactor, factored": (
            o.adafactor(lr, min_dim_size_to_factor=2),
            {"reference": by_rule(rules.adafactor(lr))},
        ),
        "adan": (o.adan(lr, eps_root=0.0), {"reference": by_rule(adan(lr))}),
        "rmsprop": (o.rmsprop(lr), {"reference": by_rule(rules.rmsprop(lr))}),
        "rmsprop, centered": (
            o.rmsprop(lr, centered=True),
            {"reference": by_rule(rules.rmsprop(lr, centered=True))},
        ),
        "rmsprop, momentum": (
            o.rmsprop(lr, momentum=0.9),
            {"reference": by_rule(rules.rmsprop(lr, momentum=0.9))},
        ),
        "lamb": (o.lamb(lr), {"reference": by_rule(rules.lamb(lr))}),
        "lars": (o.lars(1.0), {"scale": "invariant", "reference": by_rule(rules.lars(1.0))}),
        "lion": (o.lion(lr), {"decays": True, "scale": "invariant", "reference": by_rule(rules.lion(lr))}),
        "sign_sgd": (
            o.sign_sgd(lr),
            {"scale": "invariant", "reference": by_rule(lambda t, x, g, memory: -lr * np.sign(g))},
        ),
        "signum": (o.signum(lr), {"scale": "invariant"}),
        "yogi": (o.yogi(lr), {"reference": by_rule(yogi(lr))}),
        "novograd": (o.novograd(lr), {"reference": by_rule(novograd(lr))}),
        "sm3": (o.sm3(lr), {"reference": by_rule(sm3(lr))}),
        "rprop": (o.rprop(lr), {"scale": "invariant", "reference": by_rule(rprop(lr))}),
        "fromage": (o.fromage(0.01), {"decays": True, "reference": by_rule(fromage(0.01))}),
        "optimistic_gradient_descent": (
            o.optimistic_gradient_descent(lr),
            {"scale": "linear", "reference": by_rule(optimistic(lr))},
        ),
        "noisy_sgd": (o.noisy_sgd(lr, key=0), {**whole, "decays": True}),
        "polyak_sgd": (o.polyak_sgd(1.0), whole),
        "lbfgs": (o.lbfgs(), whole),
        "clip_by_global_norm, sgd": (o.chain(o.clip_by_global_norm(1.0), o.sgd(lr)), whole),
        "contrib.muon": (
            c.muon(lr),
            {"reference": by_rule(rules.muon(lr, eps=1e-8), other=rules.adam(lr, nesterov=True))},
        ),
        "contrib.prodigy": (c.prodigy(1.0), whole),
        "contrib.dadapt_adamw": (c.dadapt_adamw(1.0), whole),
        "contrib.dog": (c.dog(1.0), whole),
        "contrib.dowg": (c.dowg(1.0), whole),
        "contrib.momo": (c.momo(1.0), whole),
        "contrib.momo_adam": (c.momo_adam(0.01), whole),
        "contrib.cocob": (c.cocob(), {}),
        "contrib.ademamix": (c.ademamix(lr), {}),
        "contrib.adopt": (c.adopt(lr), {"reference": by_rule(adopt(lr))}),
        "contrib.acprop": (c.acprop(lr), {}),
        "contrib.madgrad": (c.madgrad(lr), {"reference": by_rule(madgrad(lr))}),
        "contrib.schedule_free_sgd": (c.schedule_free_sgd(0.1), {}),
        "contrib.schedule_free_adamw": (c.schedule_free_adamw(0.1), {}),
    }
    return {f"optax.{name}": optimizer_subject(optimizer, **facts) for name, (optimizer, facts) in found.items()}


def schedules():
    """Return the subjects of schedules by name."""
    o = optax.schedules
    half_cosine = lambda t: 0.5 * (1 + np.cos(np.pi * min(t, 20) / 20))  # noqa: E731
    found = {
        "constant_schedule": (o.constant_schedule(0.5), {"start": 0.5, "end": 0.5, "stays": True}),
        "linear_schedule": (
            o.linear_schedule(1.0, 0.1, 20),
            {
                "start": 1.0,
                "end": 0.1,
                "stays": True,
                "turns": "falls",
                "reference": lambda t: 1 - 0.9 * min(t, 20) / 20,
            },
        ),
        "polynomial_schedule": (
            o.polynomial_schedule(1.0, 0.1, 2, 20),
            {"start": 1.0, "end": 0.1, "stays": True, "turns": "falls"},
        ),
        "exponential_decay": (
            o.exponential_decay(1.0, 10, 0.5),
            {"start": 1.0, "end": 0.25, "turns": "falls", "reference": lambda t: 0.5 ** (t / 10)},
        ),
        "exponential_decay, staircase": (
            o.exponential_decay(1.0, 10, 0.5, staircase=True),
            {"start": 1.0, "end": 0.25, "turns": "falls", "reference": lambda t: 0.5 ** (t // 10)},
        ),
        "cosine_decay_schedule": (
            o.cosine_decay_schedule(1.0, 20),
            {"start": 1.0, "end": 0.0, "stays": True, "turns": "falls", "reference": half_cosine},
        ),
        "warmup_cosine_decay_schedule": (
            o.warmup_cosine_decay_schedule(0.0, 1.0, 5, 20, 0.1),
            {"start": 0.0, "end": 0.1, "most": 1.0, "stays": True},
        ),
        "warmup_constant_schedule": (
            o.warmup_constant_schedule(0.0, 1.0, 20),
            {"start": 0.0, "end": 1.0, "most": 1.0, "stays": True, "turns": "rises"},
        ),
        "warmup_exponential_decay_schedule": (
            o.warmup_exponential_decay_schedule(0.0, 1.0, 5, 10, 0.5),
            {"start": 0.0, "most": 1.0},
        ),
        "piecewise_constant_schedule": (
            o.piecewise_constant_schedule(1.0, {10: 0.5, 20: 0.5}),
            {"start": 1.0, "end": 0.25, "stays": True, "turns": "falls"},
        ),
        "piecewise_interpolate_schedule": (
            o.piecewise_interpolate_schedule("linear", 1.0, {10: 0.5, 20: 0.5}),
            {"start": 1.0, "end": 0.25, "stays": True, "turns": "falls"},
        ),
        "cosine_onecycle_schedule": (
            o.cosine_onecycle_schedule(20, 1.0),
            {"start": 1 / 25, "end": 1 / 1e4 / 25, "most": 1.0, "stays": True},
        ),
        "linear_onecycle_schedule": (
            o.linear_onecycle_schedule(20, 1.0),
            {"start": 1 / 25, "end": 1 / 1e4 / 25, "most": 1.0, "stays": True},
        ),
        "sgdr_schedule": (
            o.sgdr_schedule(
                [
                    {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 2, "decay_steps": 10},
                    {"init_value": 0.0, "peak_value": 0.5, "warmup_steps": 2, "decay_steps": 10},
                ]
            ),
            {"start": 0.0, "end": 0.0, "most": 1.0, "stays": True},
        ),
    }
    return {f"optax.{name}": ScheduleSubject(schedule, 20, **facts) for name, (schedule, facts) in found.items()}
