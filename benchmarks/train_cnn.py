"""Samples/s of training networks for images with Adam, as ratios to torch with channels last, in one interleaved run.

    python benchmarks/train_cnn.py [--rounds 7] [--networks cnn,resnet,resnet20] [--only 'fnnet;by hand']

Every contestant (image_contestants.py) trains the same network on the same rows, float32, compiled before the first
round, with all of its own data handling included, in a process of its own. `cnn` at batch 128, the ResNets at batch 64.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics

import jax
from image_contestants import CONTESTANTS
from processes import started, stop, timed, versions

BATCHES = {"cnn": 128, "resnet": 64, "resnet20": 64}
STEPS = {"cnn": 40, "resnet": 12, "resnet20": 12}  # a second or two
REFERENCE = "torch, channels last"
FIRST_ONLY, BY_NAME = ("equinox",), ("fnnet, XLA's", "torch, compiled")  # the second is run when asked for by name


def made(name, network, batch, steps):
    return CONTESTANTS[name](network, batch, steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", default="cnn,resnet,resnet20")
    parser.add_argument("--only", help="names of contestants, with semicolons between them")
    options = parser.parse_args()
    libraries = versions("jax", "flax", "equinox", "optax", "keras", "torch")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}, {libraries}")
    print(f"samples/s as a ratio to {REFERENCE}: median (least to most) of {options.rounds} rounds; most memory, MB")
    for network in options.networks.split(","):
        chosen = options.only.split(";") if options.only else [name for name in CONTESTANTS if name not in BY_NAME]
        chosen = [name for name in chosen if network == "cnn" or name not in FIRST_ONLY]
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
            print(f"{network:8s} batch {batch}  {name:22s} {line:24s} {memory[name]:6.0f} MB", flush=True)


if __name__ == "__main__":
    main()
