"""How much of the reading of a stream is hidden behind the steps, and what a stream costs beside arrays in memory.

python benchmarks/streaming.py [--steps 1500] [--rounds 5]

784-256-128-10 with Adam, batch 128, whole `fit`. Three sources: batches that lie in memory, batches that are waited for
(as long as a step takes: a disk, a network), and batches that are decompressed (the processor's own work). Hidden is
(steps alone + reading alone - both) / the less of the two: 1 if the shorter is for nothing, 0 if they take turns.
"""

from __future__ import annotations

import argparse
import time
import zlib

import jax
import numpy as np

import fnnet as fn

BATCH, KINDS = 128, ("in memory", "waited for", "decompressed")


def make_task():
    layers = [fn.dense(256, activation=jax.nn.relu), fn.dense(128, activation=jax.nn.relu), fn.dense(10)]
    return fn.Task(fn.serial(*layers), fn.losses.cross_entropy, fn.adam(1e-3))


def make_sources(rows, wait):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (rows, 784), dtype=np.uint8) // 32, rng.integers(0, 10, rows).astype(np.int32)
    batches = [(x[n : n + BATCH].astype(np.float32) / 8, y[n : n + BATCH]) for n in range(0, rows, BATCH)]
    packed = [(zlib.compress(x[n : n + BATCH].tobytes(), 1), y[n : n + BATCH]) for n in range(0, rows, BATCH)]

    def waited_for(step):
        time.sleep(wait)
        return batches[step % len(batches)]

    def decompressed(step):
        data, labels = packed[step % len(packed)]
        pixels = np.frombuffer(zlib.decompress(data), np.uint8).reshape(-1, 784)
        return pixels.astype(np.float32) / 8, labels

    arrays = tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))
    return arrays, dict(zip(KINDS, (lambda step: batches[step % len(batches)], waited_for, decompressed), strict=True))


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    task, key, steps = make_task(), jax.random.key(0), options.steps

    def fit(data, **arguments):
        result = fn.fit(task, data, key=key, steps=steps, **arguments)
        return jax.block_until_ready(result.state)

    def in_memory(arrays):
        return fit(arrays, batch_size=BATCH, sampler=fn.sampling.in_order())

    arrays, _ = make_sources(BATCH * 50, 0.0)
    in_memory(arrays)
    arrays, sources = make_sources(BATCH * 50, seconds(lambda: in_memory(arrays)) / steps)
    streams = {kind: fn.data.stream(source, per_epoch=50, last="drop") for kind, source in sources.items()}
    for data in streams.values():
        fit(data)
    rows = {kind: [] for kind in KINDS}
    for _ in range(options.rounds):
        alone = seconds(lambda: in_memory(arrays))
        for kind, source in sources.items():
            reading = seconds(lambda source=source: [source(step) for step in range(steps)])
            both = seconds(lambda kind=kind: fit(streams[kind]))
            rows[kind].append((reading / alone, both / alone, (alone + reading - both) / min(alone, reading)))
    print("| batches | reading alone | `fit` of the stream | hidden |\n| --- | --- | --- | --- |")
    for kind, values in rows.items():
        reading, both, hidden = np.median(values, axis=0)
        print(f"| {kind} | {reading:.2f} | {both:.2f} | {'–' if kind == KINDS[0] else f'{hidden:.2f}'} |")


if __name__ == "__main__":
    main()
