"""Seconds that ``import fnnet`` adds to ``import jax``, in fresh processes.

python benchmarks/import_time.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 15
CODE = """
import time
import jax
start = time.perf_counter()
import fnnet
print(time.perf_counter() - start)
"""


def main():
    command = [sys.executable, "-c", CODE]
    seconds = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(ROUNDS)]
    print(f"import fnnet after import jax: {statistics.median(seconds):.3f} s, median of {ROUNDS} processes")
    print(f"least {min(seconds):.3f} s, most {max(seconds):.3f} s")


if __name__ == "__main__":
    main()
