"""What the columns of the history cost, and what `fit` costs as a whole beside a compiled run that tells nothing.

    python benchmarks/history_cost.py [--rounds 11] [--batches 32,128,1024] [--times 1] [--only fit]

The network is that of train_mlp.py, 784-256-128-10 with Adam, float32; whole runs, interleaved in rounds. The time of
each is a ratio to that of ``fn.run`` with a history of loss and rate alone, and without any test.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn
from fnnet.fitting import chunks

ROWS, WIDTHS = 20_000, (784, 256, 128, 10)
STEPS = {32: 2000, 128: 800, 1024: 140}  # somewhat less than a second
RECORDS = {
    "loss and rate alone": fn.Record(every=0),
    "default: norms and accuracy, every 16th": fn.Record(),
    "with the update's norm, every 16th": fn.Record(updates=True),
    "with every layer's norms, every 16th": fn.Record(updates=True, layers=True),
    "norms and accuracy, every step": fn.Record(every=1),
    "with the update's norm, every step": fn.Record(every=1, updates=True),
}


class Terminal(io.StringIO):
    """A terminal that nobody looks at: the bar of progress is drawn on it all the same."""

    def isatty(self):
        return True


def compiled(task, state, data, steps, batch, **arguments):
    run = partial(fn.run, task, steps=steps, batch_size=batch, **arguments)
    program = jax.jit(run, compiler_options=fn.compiler_options()).lower(state, data).compile()
    return lambda: jax.block_until_ready(program(state, data))


def fitted(task, state, data, steps, batch, **arguments):
    return lambda: jax.block_until_ready(
        fn.fit(task, data, state=state, steps=steps, batch_size=batch, **arguments).state
    )


def untested(run):
    """Return a run of `fit` whose chunks are made without the test of what is finite."""

    def made():
        whole, chunks.run_chunk = chunks.run_chunk, without
        try:
            return run()
        finally:
            chunks.run_chunk = whole

    def without(task, course, row, steps_a_block, ts, data, length, *, last, until_nonfinite):
        ts = jax.tree.map(jnp.copy, ts)  # a chunk without the test reuses the buffers of its state
        return chunked(task, course, row, steps_a_block, ts, data, length, last=last)

    chunked = chunks.run_chunk
    return made


def contestants(task, state, data, steps, batch):
    runs = {name: compiled(task, state, data, steps, batch, record=record) for name, record in RECORDS.items()}
    skipping = compiled(task, state, data, steps, batch, record=fn.Record(every=0), on_nonfinite="skip")
    bar = fn.callbacks.progress(stream=Terminal())
    plain = fitted(task, state, data, steps, batch, record=fn.Record(every=0))
    return runs | {
        "every update tested (on_nonfinite='skip')": skipping,
        "fit, loss and rate alone, no finite test": untested(plain),
        "fit, loss and rate alone": plain,
        "fit: history, finite test and progress": fitted(task, state, data, steps, batch, callbacks=[bar]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--batches", default="32,128,1024")
    parser.add_argument(
        "--times", type=int, default=1, help="how many times as long a run is as somewhat less than 1 s"
    )
    parser.add_argument("--only", help="part of the name of what is measured beside the first")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    data = (
        jnp.asarray(rng.normal(size=(ROWS, WIDTHS[0])).astype(np.float32)),
        jnp.asarray(rng.integers(0, WIDTHS[-1], ROWS).astype(np.int32)),
    )
    net = fn.serial(*(fn.dense(n, activation=jax.nn.relu) for n in WIDTHS[1:-1]), fn.dense(WIDTHS[-1]))
    task = fn.Task(net, fn.losses.cross_entropy, fn.adam(1e-3), (fn.metrics.accuracy(),))
    state = fn.init(task, jax.random.key(0), data[0])
    for batch in map(int, options.batches.split(",")):
        runs = contestants(task, state, data, options.times * STEPS.get(batch, 200), batch)
        runs = {name: run for n, (name, run) in enumerate(runs.items()) if not n or (options.only or "") in name}
        for run in runs.values():
            run()
        seconds = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
        first = next(iter(runs))
        for name in runs:
            ratios = [mine / plain for mine, plain in zip(seconds[name], seconds[first], strict=True)]
            line = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"batch {batch:5d}  {name:42s} {line}", flush=True)


if __name__ == "__main__":
    main()
