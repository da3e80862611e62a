"""The formulations of a convolution's three maps, inside a compiled loop, as a ratio to the one that is chosen.

    python benchmarks/convolutions.py [--rounds 7] [--only '3×3 16→16']

Time of a map (the output, the input's gradient, the kernel's gradient) by each formulation that computes it, divided by
that of ``formulation="auto"``: median over rounds, in turn. The last lines: the gradients of convolution, batch norm
and activation by parameters and input, with the three kept apart by barriers, against fused as XLA likes.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time

import jax
import jax.numpy as jnp
from jax import lax

import fnnet as fn
from fnnet.layers.correlation.choice import FORMULATIONS, computed, fits
from fnnet.layers.correlation.geometry import Geometry

CASES = {  # batch, side, features in and out, window, stride, groups
    "3×3 1→32, 28²": (128, 28, 1, 32, 3, 1, 1),
    "3×3 32→64, 14²": (128, 14, 32, 64, 3, 1, 1),
    "3×3 16→16, 32²": (64, 32, 16, 16, 3, 1, 1),
    "3×3 32→32, 16²": (64, 16, 32, 32, 3, 1, 1),
    "3×3 64→64, 8²": (64, 8, 64, 64, 3, 1, 1),
    "3×3 32→64, 32², stride 2": (64, 32, 32, 64, 3, 2, 1),
    "1×1 64→128, 16²": (64, 16, 64, 128, 1, 1, 1),
    "5×5 6→16, 14²": (128, 14, 6, 16, 5, 1, 1),
    "7×7 64, 16², depthwise": (32, 16, 64, 64, 7, 1, 64),
}
WORK = 2e9  # products in a loop that is timed, at least
MOST = 20.0  # of what takes longer in the first round, no more is asked


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="a part of the names of cases")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print(f"time as a ratio to that of the chosen formulation: median of {options.rounds} rounds")
    for case, numbers in CASES.items():
        if options.only in case:
            for name, ratios in maps(numbers, options.rounds):
                print(f"{case:26} {name:16} " + "  ".join(f"{way} {ratio}" for way, ratio in ratios), flush=True)
    for case in ("3×3 32→64, 14²", "3×3 16→16, 32²"):
        if options.only in case:
            print(f"{case:26} {'with norm':16} apart {apart(CASES[case], options.rounds):.2f} of fused", flush=True)


def maps(numbers, rounds):
    """Yield for each map its name, and the ratios of the formulations."""
    batch, side, inputs, outputs, window, stride, groups = numbers
    total = max((-(-side // stride) - 1) * stride + window - side, 0)
    pair = (total // 2, total - total // 2)
    geometry = Geometry((side, side), (window, window), (stride, stride), (1, 1), (pair, pair), groups)
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (batch, side, side, inputs))
    kernel = jax.random.normal(keys[1], (window, window, inputs // groups, outputs)) / window
    y = jax.random.normal(keys[2], (batch, *geometry.outputs, outputs))
    count = max(3, int(WORK / (y.size * window**2 * inputs / groups)))
    for name, arrays in {"forward": (x, kernel), "input_gradient": (y, kernel), "kernel_gradient": (x, y)}.items():
        ways = [way for way in FORMULATIONS if way == "auto" or fits(way, geometry, inputs, x.dtype)]
        runs = [looped(name, geometry, way, arrays, count) for way in ways]
        ratios = against_first(runs, rounds)
        yield name, [(way, f"{ratio:.2f}") for way, ratio in zip(ways[1:], ratios[1:], strict=True)]


def looped(name, geometry, way, arrays, count):
    """Return a compiled loop over a map, whose arrays the compiler must take for new ones each time."""

    def once(_, carry):
        found = computed(name, *carry[0], geometry, way, platform="cpu")
        return lax.optimization_barrier((carry[0], found))

    first = jax.eval_shape(lambda a, b: computed(name, a, b, geometry, way, platform="cpu"), *arrays)
    start = (arrays, jnp.zeros(first.shape, first.dtype))
    run = jax.jit(lambda carry: lax.fori_loop(0, count, once, carry)).lower(start).compile()
    return lambda: jax.block_until_ready(run(start))


def apart(numbers, rounds):
    """Return the time of the gradients of convolution, norm and activation with barriers between, of that without."""
    batch, side, inputs, outputs, window, *_ = numbers
    x = jax.random.normal(jax.random.key(0), (batch, side, side, inputs))
    barrier = lax.optimization_barrier
    plain = (fn.conv(outputs, window, bias_init=None), fn.batch_norm(), jax.nn.relu)
    kept = (plain[0], barrier, plain[1], barrier, plain[2])
    runs = []
    for layers in (plain, kept):
        net = fn.serial(*layers)
        params, state = net.init(jax.random.key(1), x)

        def loss(params, x, net=net, state=state):
            y, _ = net.apply(params, state, x, train=True)
            return jnp.sin(y).sum()

        def once(_, carry, loss=loss):
            return lax.optimization_barrier((carry[0], jax.grad(loss, (0, 1))(*carry[0])))

        start = ((params, x), (params, x))
        run = jax.jit(lambda carry, once=once: lax.fori_loop(0, 20, once, carry)).lower(start).compile()
        runs.append(lambda run=run, start=start: jax.block_until_ready(run(start)))
    return against_first(runs, rounds)[1]


def against_first(runs, rounds):
    """Return the median over rounds of each run's time, as a ratio to that of the first."""
    taken = [[seconds(run)] for run in runs]  # the first is not counted: it warms up
    slow = [first[0] > MOST * taken[0][0] for first in taken]
    for _ in range(rounds):
        for run, times, is_slow in zip(runs, taken, slow, strict=True):
            times.append(times[0] if is_slow else seconds(run))
    pairs = [list(zip(times[1:], taken[0][1:], strict=True)) for times in taken]
    return [statistics.median(mine / first for mine, first in pair) for pair in pairs]


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
