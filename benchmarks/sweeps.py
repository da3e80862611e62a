"""Many nets in one sweep, as ratios to nets trained one after another, here and by torch, and to layouts by hand.

python benchmarks/sweeps.py [--rounds 5] [--steps 1000 10000] [--rows 10000] [--wide-steps 300 3000]

First: 1 000 nets of 2-8-1 on XOR, full batch, as many rates. Then 16 nets of 784-64-10, batch of 128. Times are
of the wall, and include compilation, those of the sweep its trials as well: what a call costs that is made once.
The sequential runs of the small nets share one compiled run, timed on 50 of them and scaled; torch is timed on 20.
Ratios are the others' time over that of the sweep in the same round: above 1 the sweep is quicker.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

KEY, LEAN = jax.random.key(0), fn.Record(every=0)
SAMPLERS = {4: fn.sampling.in_order(), 128: fn.sampling.epochs()}  # by batch size: a full batch needs no order


def seconds(function):
    jax.clear_caches()  # each contestant traces and compiles for the first time
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def small(learning_rate):
    net = fn.serial(fn.dense(8, activation=jnp.tanh), fn.dense(1))
    return fn.Task(net, fn.losses.binary_cross_entropy, fn.sgd(learning_rate, momentum=0.9))


def wide(learning_rate):
    net = fn.serial(fn.dense(64, activation=jax.nn.relu), fn.dense(10))
    return fn.Task(net, fn.losses.cross_entropy, fn.sgd(learning_rate, momentum=0.9))


def swept(make, rates, data, steps, batch_size):
    """Return the seconds of a whole sweep, and its report."""
    jax.clear_caches()
    start = time.perf_counter()
    options = {"sampler": SAMPLERS[batch_size]}
    result = fn.sweep(make, {"learning_rate": rates}, data, key=KEY, steps=steps, batch_size=batch_size, **options)
    jax.block_until_ready(result.results)
    return time.perf_counter() - start, result.layout[0]


def by_hand(make, data, steps, batch_size):
    """Return a function of a rate that trains one net: the rate is a leaf of the optimizer's state."""
    task = make(1.0)

    def train(rate, data):
        ts = fn.init(task, jax.random.fold_in(KEY, 0), data[0])
        opt_state = fn.with_hyperparams(ts.opt_state, {"learning_rate": rate})
        options = {"record": LEAN, "sampler": SAMPLERS[batch_size]}
        return fn.run(task, ts._replace(opt_state=opt_state), data, steps=steps, batch_size=batch_size, **options)

    return train


def torch_seconds(steps, nets=20):
    """Return the seconds a net of a plain torch loop, or None without torch."""
    try:
        import torch
    except ModuleNotFoundError:
        return None
    torch.set_num_threads(1)
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    start = time.perf_counter()
    for rate in np.logspace(-3, 0, nets):
        net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        optimizer = torch.optim.SGD(net.parameters(), lr=float(rate), momentum=0.9)
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(net(x), y).backward()
            optimizer.step()
    return (time.perf_counter() - start) / nets


def many_small(steps, nets=1000, timed=50):
    """Return the seconds of each contestant, and the sweep's report."""
    x = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    data, rates = (x, jnp.array([[0.0], [1.0], [1.0], [0.0]])), np.logspace(-3, 0, nets).tolist()
    ours, report = swept(small, rates, data, steps, 4)
    train = jax.jit(by_hand(small, data, steps, 4))
    first = seconds(lambda: train(jnp.float32(rates[0]), data))
    start = time.perf_counter()
    for rate in rates[1 : timed + 1]:
        jax.block_until_ready(train(jnp.float32(rate), data))
    each = (time.perf_counter() - start) / timed
    loop = torch_seconds(min(steps, 1000))
    rivals = {"our runs, one after another": first + each * nets, "the same, compiled before": each * nets}
    if loop is not None:
        rivals["torch"] = loop * nets * max(1, steps / 1000)
    return ours, rivals, report


def some_wide(rows, steps, nets=16):
    """Return the seconds of each contestant, and the sweep's report."""
    rng = np.random.default_rng(0)
    data = (jnp.asarray(rng.normal(size=(rows, 784)), jnp.float32), jnp.asarray(rng.integers(0, 10, rows)))
    rates = np.logspace(-4, -1, nets).tolist()
    leaves = [jnp.float32(rate) for rate in rates]

    def sequential():
        train = jax.jit(by_hand(wide, data, steps, 128))
        return [jax.block_until_ready(train(rate, data)) for rate in leaves]

    def threads():
        train = jax.jit(by_hand(wide, data, steps, 128)).lower(leaves[0], data).compile()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda rate: jax.block_until_ready(train(rate, data)), leaves))

    def batched():
        return jax.jit(jax.vmap(by_hand(wide, data, steps, 128), (0, None)))(jnp.stack(leaves), data)

    ours, report = swept(wide, rates, data, steps, 128)
    rivals = {
        "scans by hand": seconds(sequential),
        "threads by hand": seconds(threads),
        "vmap by hand": seconds(batched),
    }
    return ours, rivals | {"the best by hand": min(rivals.values())}, report


def compared(title, contest, rounds):
    """Print the medians of the ratios, their least and most, and how the sweep of the last round was laid out."""
    results = [contest() for _ in range(rounds)]
    times = [ours for ours, _, _ in results]
    timings = results[-1][2].timings
    print(f"{title}: sweep {np.median(times):.2f} s ({results[-1][2].layout})")
    for name in results[0][1]:
        ratios = [rivals[name] / ours for ours, rivals, _ in results]
        print(f"  {name}: {np.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
    for timing in timings:
        each = 1e6 * timing.step_seconds
        print(f"  trial of {timing.layout}: compiled in {timing.compile_seconds:.2f} s, {each:.2f} µs a net and step")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--wide-steps", type=int, nargs="*", default=[300, 3000])
    options = parser.parse_args()
    for steps in options.steps:
        compared(f"1000 nets of 2-8-1, {steps} steps", partial(many_small, steps), options.rounds)
    for steps in options.wide_steps:
        compared(f"16 nets of 784-64-10, {steps} steps", partial(some_wide, options.rows, steps), options.rounds)


if __name__ == "__main__":
    main()
