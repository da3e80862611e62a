"""Many nets in one sweep, as ratios to nets trained one after another, here and by torch, and to layouts by hand.

python benchmarks/sweeps.py [--steps 1000] [--rows 10000] [--wide-steps 300]

First: 1 000 nets of 2-8-1 on XOR, full batch, as many rates. Then 16 nets of 784-64-10, batch of 128. Times are
of the wall, and include compilation, those of the sweep its trials as well.
The sequential runs of the small nets share one compiled run, timed on 50 of them and scaled; torch is timed on 20.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

KEY, LEAN = jax.random.key(0), fn.Record(every=0)
SAMPLERS = {4: fn.sampling.in_order(), 128: fn.sampling.epochs()}  # by batch size: a full batch needs no order


def seconds(function):
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
    x = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    data, rates = (x, jnp.array([[0.0], [1.0], [1.0], [0.0]])), np.logspace(-3, 0, nets).tolist()
    ours, report = swept(small, rates, data, steps, 4)
    train = jax.jit(by_hand(small, data, steps, 4))
    first = seconds(lambda: train(jnp.float32(rates[0]), data))
    each = seconds(lambda: [jax.block_until_ready(train(jnp.float32(r), data)) for r in rates[1 : timed + 1]]) / timed
    print(f"{nets} nets of 2-8-1, {steps} steps: sweep {ours:.2f} s ({report.layout})")
    print(f"  our sequential runs {first + each * nets:.2f} s: {(first + each * nets) / ours:.1f} x")
    running = report.timings[0].step_seconds * nets * steps
    print(f"  without compilation {each * nets:.2f} s against {running:.2f} s: {each * nets / running:.1f} x")
    loop = torch_seconds(steps)
    print("  torch is not installed" if loop is None else f"  torch {loop * nets:.0f} s: {loop * nets / ours:.0f} x")
    print_trials(report)


def some_wide(rows, steps, nets=16):
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
    rivals = {"sequential": seconds(sequential), "threads": seconds(threads), "vmap": seconds(batched)}
    print(f"{nets} nets of 784-64-10, {steps} steps: sweep {ours:.2f} s ({report.layout})")
    for name, taken in rivals.items():
        print(f"  {name} by hand {taken:.2f} s: {taken / ours:.2f} x")
    print_trials(report)


def print_trials(report):
    for timing in report.timings:
        compiling, each = timing.compile_seconds, 1e6 * timing.step_seconds
        print(f"  trial of {timing.layout}: compile {compiling:.2f} s, {each:.2f} µs a net and step")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--wide-steps", type=int, default=300)
    options = parser.parse_args()
    many_small(options.steps)
    some_wide(options.rows, options.wide_steps)


if __name__ == "__main__":
    main()
