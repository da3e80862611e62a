"""The options under which the compiler makes the fastest programs on this machine."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import jax


@cache
def compiler_options() -> dict[str, Any]:
    """Return the options that `fit` compiles with.

    On CPU fewer copies inside loops (a closer analysis of where values live), and on x86 vectors of 512 bits where the
    processor has them and XLA prefers 256.

    An option that this version of JAX does not know is left out.

    They are options of a program, not of the process: ``jax.jit(fn.run, ..., compiler_options=fn.compiler_options())``
    is then what `fit` makes, bit for bit on CPU; sums over other vectors differ in rounding.
    """
    if jax.default_backend() != "cpu":
        return {}
    wide = {"xla_cpu_prefer_vector_width": 512} if _has_wide_vectors() else {}
    wanted = {"xla_cpu_copy_insertion_use_region_analysis": True} | wide
    return {name: value for name, value in wanted.items() if _is_known(name, value)}


def _is_known(name: str, value: Any) -> bool:
    """Return whether the compiler takes an option: it says so of the smallest of programs alone."""
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" in str(error):
            return False
        raise
    return True


def _has_wide_vectors() -> bool:
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        return " avx512f" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
