"""What the columns of the history cost: time of a compiled run with each `fn.Record`, as a ratio to one without them.

    python benchmarks/history_cost.py [--rounds 11] [--batches 32,128,1024]

The network is that of train_mlp.py, 784-256-128-10 with Adam, float32; whole runs, interleaved in rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

ROWS, WIDTHS = 20_000, (784, 256, 128, 10)
STEPS = {32: 640, 128: 240, 1024: 60}
RECORDS = {
    "loss and rate alone": fn.Record(every=0),
    "default: norms and accuracy, every 16th": fn.Record(),
    "with the update's norm, every 16th": fn.Record(updates=True),
    "with every layer's norms, every 16th": fn.Record(updates=True, layers=True),
    "norms and accuracy, every step": fn.Record(every=1),
    "with the update's norm, every step": fn.Record(every=1, updates=True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--batches", default="32,128,1024")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(ROWS, WIDTHS[0])).astype(np.float32))
    y = jnp.asarray(rng.integers(0, WIDTHS[-1], ROWS).astype(np.int32))
    net = fn.serial(*(fn.dense(n, activation=jax.nn.relu) for n in WIDTHS[1:-1]), fn.dense(WIDTHS[-1]))
    task = fn.Task(net, fn.losses.cross_entropy, fn.adam(1e-3), (fn.metrics.accuracy(),))
    state = fn.init(task, jax.random.key(0), x)
    guarded = {"every update tested (on_nonfinite='skip')": {"record": fn.Record(every=0), "on_nonfinite": "skip"}}
    contestants = {name: {"record": record} for name, record in RECORDS.items()} | guarded
    for batch in map(int, options.batches.split(",")):
        runs = {}
        for name, arguments in contestants.items():
            run = partial(fn.run, task, steps=STEPS.get(batch, 200), batch_size=batch, **arguments)
            runs[name] = jax.jit(run, compiler_options=fn.compiler_options()).lower(state, (x, y)).compile()
        seconds = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                jax.block_until_ready(run(state, (x, y)))
                seconds[name].append(time.perf_counter() - start)
        first = next(iter(runs))
        for name in runs:
            ratios = [mine / plain for mine, plain in zip(seconds[name], seconds[first], strict=True)]
            line = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"batch {batch:5d}  {name:42s} {line}", flush=True)


if __name__ == "__main__":
    main()
