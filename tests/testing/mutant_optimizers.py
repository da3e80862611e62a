"""Optimizers with one fault each, beside the sound rule that each is a mutant of."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn
from fnnet import testing

PARAMS = {"bias": jnp.zeros(3), "kernel": jnp.zeros((2, 3))}
RATE, B1, B2, EPS, DECAY = 0.125, 0.875, 0.96875, 2.0**-10, 0.125  # exact in float32 too


def steps_of(rule):
    """Return the reference of a rule of one array: ``rule() -> step(grads, params) -> change``."""

    def reference(params, each):
        found = {}
        for name, start in params.items():
            step, value, path = rule(), start, []
            for grads in each[name]:
                value = value + step(grads, value)
                path.append(value)
            found[name] = np.stack(path)
        return found

    return reference


def adam_rule():
    m = v = t = 0

    def step(g, p):
        nonlocal m, v, t
        t += 1
        m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g**2
        return -RATE * (m / (1 - B1**t) / (np.sqrt(v / (1 - B2**t)) + EPS) + DECAY * p)

    return step


def adam(fault=""):
    calls = []

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        numbers = {"learning_rate": jnp.float32(RATE)}
        if fault == "moments in sixteen bits":
            zeros = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), zeros)
        return {"count": jnp.zeros((), jnp.int32), "mu": zeros, "nu": zeros, "hyperparams": numbers}

    def update(grads, state, params=None):
        count = state["count"] + (0 if fault == "the count is never raised" else 1)
        t = count - 1 if fault == "the correction is one step late" else count
        if fault == "a list outside counts the calls":
            calls.append(1)
            t = jnp.int32(len(calls))
        if fault == "decay goes into the moments":
            grads = jax.tree.map(lambda g, p: g + jnp.asarray(DECAY, g.dtype) * p, grads, params)
        if fault == "clips by the norm of all":
            norm = jnp.sqrt(sum((g**2).sum() for g in jax.tree.leaves(grads)))
            grads = jax.tree.map(lambda g: g / jnp.maximum(norm, 1).astype(g.dtype), grads)
        low = fault == "moments in sixteen bits"

        def held(x):
            return x.astype(jnp.float16) if low else x

        mu = jax.tree.map(lambda m, g: held(B1 * m.astype(g.dtype) + (1 - B1) * g), state["mu"], grads)
        squares = jax.tree.map(lambda g: jnp.abs(g) if fault == "sizes in place of squares" else g**2, grads)
        if fault == "squares after the mean":
            squares = jax.tree.map(lambda m: m.astype(jnp.float32) ** 2, mu)
        nu = jax.tree.map(lambda v, s: held(B2 * v.astype(s.dtype) + (1 - B2) * s), state["nu"], squares)
        rate = RATE if fault == "the rate is not the one in the state" else state["hyperparams"]["learning_rate"]

        def step(m, v, p):
            m, v = m.astype(p.dtype), v.astype(p.dtype)
            one, two = (1 - jnp.asarray(b, p.dtype) ** t.astype(p.dtype) for b in (B1, B2))
            if fault == "the second moment is not corrected":
                two = jnp.ones_like(two)
            if fault == "nothing is corrected":
                one = two = jnp.ones_like(two)
            if fault == "corrections are exchanged":
                one, two = two, one
            root = jnp.sqrt(v / two + EPS) if fault == "ε within the root" else jnp.sqrt(v / two) + EPS
            change = m / one / root
            change = change if fault == "decay goes into the moments" else change + DECAY * p
            if fault == "decay without the rate":
                change = change - DECAY * p + DECAY / RATE * p
            sign = 1 if fault == "uphill" else -1
            return (sign * jnp.asarray(rate, p.dtype) * change).astype(p.dtype)

        updates = jax.tree.map(step, mu, nu, params)
        if fault == "the old moments are kept":
            mu = state["mu"]
        if fault == "the state is of the first leaf":
            nu = jax.tree.map(lambda v: v * 0 + jax.tree.leaves(nu)[0].mean().astype(v.dtype), nu)
        if fault == "the parameters are returned":
            updates = jax.tree.map(lambda p, u: p + u, params, updates)
        new = {"count": count, "mu": mu, "nu": nu, "hyperparams": state["hyperparams"]}
        if fault == "the count becomes a float":
            new["count"] = count.astype(jnp.float32)
        return updates, new

    return testing.optimizer_subject(
        fn.Optimizer(init, update), PARAMS, decays=True, has_numbers=False, reference=steps_of(adam_rule)
    )


def momentum_rule():
    m = 0

    def step(g, p):
        nonlocal m
        m = B1 * m + g
        return -RATE * (g + B1 * m)

    return step


def momentum(fault=""):
    """Nesterov's momentum, whose rate is a leaf of its state as fnnet has it."""
    sound = fn.sgd(RATE, B1, nesterov=fault != "without the look ahead")

    def update(grads, state, params=None):
        if fault == "the sign of the first number of a gradient":
            grads = jax.tree.map(lambda g: g * jnp.sign(g.ravel()[0]), grads)
        if fault == "every gradient is clipped to one":
            grads = jax.tree.map(lambda g: jnp.clip(g, -1, 1), grads)
        if fault == "gradients are summed over leaves":
            total = sum(g.sum() for g in jax.tree.leaves(grads))
            grads = jax.tree.map(lambda g: g + 0.01 * total.astype(g.dtype), grads)
        if fault == "a gradient of zero is noise":
            grads = jax.tree.map(lambda g: g + jnp.asarray(1e-3, g.dtype), grads)
        if fault == "dampened":
            grads = jax.tree.map(lambda g: g * jnp.asarray(1 - B1, g.dtype), grads)
        updates, after = sound.update(grads, state, params)
        if fault == "momentum is forgotten":
            after = state
        if fault == "twice the rate":
            updates = jax.tree.map(lambda u: 2 * u, updates)
        return updates, after

    optimizer = fn.Optimizer(sound.init, update)
    return testing.optimizer_subject(
        optimizer, PARAMS, scale="linear", has_numbers=True, reference=steps_of(momentum_rule)
    )


FAULTS = {
    adam: (
        "moments in sixteen bits",
        "the count is never raised",
        "the correction is one step late",
        "a list outside counts the calls",
        "decay goes into the moments",
        "clips by the norm of all",
        "sizes in place of squares",
        "squares after the mean",
        "the second moment is not corrected",
        "nothing is corrected",
        "corrections are exchanged",
        "ε within the root",
        "decay without the rate",
        "uphill",
        "the old moments are kept",
        "the state is of the first leaf",
        "the parameters are returned",
        "the count becomes a float",
    ),
    momentum: (
        "without the look ahead",
        "the sign of the first number of a gradient",
        "every gradient is clipped to one",
        "gradients are summed over leaves",
        "a gradient of zero is noise",
        "dampened",
        "momentum is forgotten",
        "twice the rate",
    ),
}
