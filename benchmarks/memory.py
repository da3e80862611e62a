"""Peak memory of a process that trains, as a ratio to a jitted step written by hand and to a scan written by hand.

    python benchmarks/memory.py [--rounds 3] [--only 'fnnet;torch']

The most memory that was resident (``VmHWM`` of Linux), libraries and data included, of a process of its own for each
contestant of train_mlp.py: with its network, and with 784-4096-4096-10, whose 20 million parameters outweigh them.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
from pathlib import Path

BASES = ("step by hand", "scan")
NETWORKS = {
    "784-256-128-10, batch 128": ((784, 256, 128, 10), 128, 100),
    "784-4096-4096-10, batch 32": ((784, 4096, 4096, 10), 32, 10),
}


def child(name, network):
    """Train twice, and print the most memory that was resident, in KiB."""
    import contestants

    widths, batch, steps = NETWORKS[network]
    contestants.use(contestants.ROWS, widths)
    run = contestants.CONTESTANTS[name](batch, steps)
    run()
    run()
    print(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1], flush=True)


def peak(name, network):
    command = [sys.executable, __file__, "--child", name, network]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="names of contestants, with semicolons between them")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(*options.child)
    from contestants import CONTESTANTS

    chosen = options.only.split(";") if options.only else list(CONTESTANTS)
    names = [*BASES, *(name for name in chosen if name not in BASES)]
    print(f"peak resident memory as a ratio to {' / to '.join(BASES)}: medians of {options.rounds} rounds")
    for network in NETWORKS:
        peaks = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                peaks[name].append(peak(name, network))
        for name in names:
            ratios = [statistics.median(m / b for m, b in zip(peaks[name], peaks[base], strict=True)) for base in BASES]
            megabytes = statistics.median(peaks[name]) / 1024
            print(f"{network:27s} {name:22s} {' / '.join(f'{r:.2f}' for r in ratios)}  {megabytes:.0f} MiB", flush=True)
    return None


if __name__ == "__main__":
    main()
