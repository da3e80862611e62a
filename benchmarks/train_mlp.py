"""Samples/s of training an MLP 784-256-128-10 with Adam, as ratios to a hand-written JAX scan, in one interleaved run.

    python benchmarks/train_mlp.py [--rounds 7] [--batches 32,128,1024] [--only 'fnnet;keras']
    python benchmarks/train_mlp.py --rows 150 --widths 4,16,3 --batches 150 --steps 5000

Every contestant (contestants.py) trains the same network on the same rows, 20 000 unless others are asked for,
float32, compiled before the first round, with all of its own data handling included, in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics

import contestants
import jax
from contestants import CONTESTANTS
from processes import started, stop, timed, versions

STEPS = {32: 3000, 128: 1200, 1024: 200}  # about a second
LIBRARIES = ("jax", "flax", "equinox", "optax", "dm-haiku", "keras", "torch", "scikit-learn")


def made(name, batch, steps, rows, widths):
    contestants.use(rows, widths)
    return CONTESTANTS[name](batch, steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", default="32,128,1024")
    parser.add_argument("--only", help="names of contestants, with semicolons between them")
    parser.add_argument("--rows", type=int, default=contestants.ROWS)
    parser.add_argument("--widths", default=",".join(map(str, contestants.WIDTHS)))
    parser.add_argument("--steps", type=int, help="of a run; about a second's by default")
    options = parser.parse_args()
    widths = tuple(map(int, options.widths.split(",")))
    chosen = options.only.split(";") if options.only else list(CONTESTANTS)
    names = ["scan", *(name for name in chosen if name != "scan")]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}, {versions(*LIBRARIES)}")
    print(f"samples/s as a ratio to the hand-written scan: median (least to most) of {options.rounds} rounds")
    for batch in map(int, options.batches.split(",")):
        steps = options.steps or STEPS.get(batch, 200)
        pipes = {name: started(made, name, batch, steps, options.rows, widths) for name in names}
        seconds = {name: [] for name in names}
        for _ in range(options.rounds):
            for name, pipe in pipes.items():
                seconds[name].append(timed(pipe)[0])
        for pipe in pipes.values():
            stop(pipe)
        for name in names[1:]:
            ratios = [mine / other for mine, other in zip(seconds["scan"], seconds[name], strict=True)]
            line = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"batch {batch:5d}  {name:22s} {line}", flush=True)


if __name__ == "__main__":
    main()
