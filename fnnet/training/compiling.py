"""The options under which the compiler makes the fastest programs on this machine."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import jax


@cache
def compiler_options() -> dict[str, Any]:
    """Return the options that `fit` compiles with: vectors of 512 bits on a CPU that has them, where XLA prefers 256.

    They are options of a program, not of the process: ``jax.jit(fn.run, ..., compiler_options=fn.compiler_options())``
    is then what `fit` makes, bit for bit on CPU; sums over other vectors differ in rounding.
    """
    if jax.default_backend() != "cpu" or platform.machine() not in ("x86_64", "AMD64"):
        return {}
    try:
        has_them = " avx512f" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        has_them = False
    return {"xla_cpu_prefer_vector_width": 512} if has_them else {}
