"""Samples/s of training two networks for images with Adam, as ratios to torch with channels last, in one interleaved run.

    python benchmarks/train_cnn.py [--rounds 7] [--networks cnn,resnet] [--only 'fnnet;by hand']

Every contestant (image_contestants.py) trains the same network on the same rows, float32, compiled before the first
round, with all of its own data handling included, in a process of its own. `cnn` at batch 128, `resnet` at batch 64.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics

import jax
from image_contestants import CONTESTANTS
from processes import started, stop, timed, versions

BATCHES, STEPS = {"cnn": 128, "resnet": 64}, {"cnn": 40, "resnet": 12}  # a second or two
REFERENCE = "torch, channels last"
ONE_ONLY = {"equinox": "cnn", "fnnet, XLA's": None, "torch, compiled": None}  # None: when asked for by name


def made(name, network, batch, steps):
    return CONTESTANTS[name](network, batch, steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", default="cnn,resnet")
    parser.add_argument("--only", help="names of contestants, with semicolons between them")
    options = parser.parse_args()
    libraries = versions("jax", "flax", "equinox", "optax", "keras", "torch")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}, {libraries}")
    print(f"samples/s as a ratio to {REFERENCE}: median (least to most) of {options.rounds} rounds; most memory, MB")
    for network in options.networks.split(","):
        chosen = (
            options.only.split(";") if options.only else [n for n in CONTESTANTS if ONE_ONLY.get(n, network) == network]
        )
        names = [REFERENCE, *(name for name in chosen if name != REFERENCE)]
        batch, steps = BATCHES[network], STEPS[network]
        pipes = {name: started(made, name, network, batch, steps) for name in names}
        seconds, memory = {name: [] for name in names}, {}
        for _ in range(options.rounds):
            for name, pipe in pipes.items():
                taken, memory[name] = timed(pipe)
                seconds[name].append(taken)
        for pipe in pipes.values():
            stop(pipe)
        for name in names:
            ratios = [mine / other for mine, other in zip(seconds[REFERENCE], seconds[name], strict=True)]
            line = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{network:7s} batch {batch}  {name:22s} {line:24s} {memory[name]:6.0f} MB", flush=True)


if __name__ == "__main__":
    main()
