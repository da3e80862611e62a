"""Time from the start of a process to the end of its first training step, as a ratio to a jitted step written by hand.

    python benchmarks/start_up.py [--rounds 9] [--only 'fnnet;torch']

Every contestant trains the network of train_mlp.py, batch 128, in a process of its own, which imports its libraries,
compiles, and makes one step. With a warm cache JAX finds its programs in the directory of its persistent cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

BATCH, ROWS, BASE = 128, 2_000, "step by hand"
WITHOUT_JAX = ("torch", "torch, fused", "scikit-learn")
CACHE = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}


def child(name):
    """Make one step, and say so."""
    import contestants

    contestants.use(ROWS)
    contestants.CONTESTANTS[name](BATCH, 1)()
    print("done", flush=True)


def seconds(name, directory):
    """Return the seconds until a process of its own has made a step; `directory` holds the cache, if there is one."""
    cache = {} if directory is None else CACHE | {"JAX_COMPILATION_CACHE_DIR": directory}
    start = time.perf_counter()
    command = [sys.executable, __file__, "--child", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | cache, text=True) as process:
        said = process.stdout.readline()
        passed = time.perf_counter() - start
    if said != "done\n" or process.returncode:
        raise RuntimeError(f"{name} made no step")
    return passed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", help="names of contestants, with semicolons between them")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child)
    from contestants import CONTESTANTS

    chosen = (
        options.only.split(";")
        if options.only
        else [n for n in CONTESTANTS if n not in ("scan, tuned", "fnnet, from a key")]
    )
    names = [BASE, *(name for name in chosen if name != BASE)]
    with ExitStack() as stack:
        warm = {n: stack.enter_context(tempfile.TemporaryDirectory()) for n in names if not n.startswith(WITHOUT_JAX)}
        rows = {(name, directory) for name in names for directory in (None, warm.get(name))}
        rows = sorted(rows, key=lambda row: (names.index(row[0]), row[1] is not None))
        for row in rows:
            seconds(*row)  # fills the caches, and the operating system's
        times = {row: [] for row in rows}
        for _ in range(options.rounds):
            for row, passed in times.items():
                passed.append(seconds(*row))
    print(f"ratio to a step by hand without a cache: median (least to most) of {options.rounds} rounds")
    for (name, directory), passed in times.items():
        ratios = [mine / base for mine, base in zip(passed, times[BASE, None], strict=True)]
        line = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:22s} {'warm cache' if directory else 'no cache':11s} {line}", flush=True)
    return None


if __name__ == "__main__":
    main()
