"""Compile time against depth: ``repeat(block, n)`` traces its block once, ``serial`` n times.

python benchmarks/repeat_compile.py
"""

from __future__ import annotations

import statistics
import time

import jax
import jax.numpy as jnp

import fnnet as fn

DEPTHS, ROUNDS = (2, 8, 32, 128), 3


def block():
    return fn.residual(fn.serial(fn.layer_norm(), fn.dense(64, activation=jax.nn.gelu), fn.dense(64)))


def compile_seconds(net):
    """Return the seconds that it takes to trace and compile the gradient of the network."""
    x = jnp.ones((8, 64))
    params, state = jax.eval_shape(net.init, jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda params: net.apply(params, state, x, train=True)[0].sum()))
    start = time.perf_counter()
    gradient.lower(params).compile()
    return time.perf_counter() - start


def main():
    forms = {"repeat": lambda n: fn.repeat(block(), n), "serial": lambda n: fn.serial(*(block() for _ in range(n)))}
    seconds = {(name, n): [] for name in forms for n in DEPTHS}
    compile_seconds(block())
    for _ in range(ROUNDS):
        for name, n in seconds:
            seconds[name, n].append(compile_seconds(forms[name](n)))
    print(f"time to trace and compile a gradient, as a ratio to n = {DEPTHS[0]}; median of {ROUNDS} rounds")
    for name in forms:
        first = statistics.median(seconds[name, DEPTHS[0]])
        ratios = (f"n = {n}: {statistics.median(seconds[name, n]) / first:.2f}" for n in DEPTHS)
        print(f"{name}  " + "   ".join(ratios))


if __name__ == "__main__":
    main()
