"""What the networks are told, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def check_depth(where: str, depth: int, known: Mapping[int, T]) -> T:
    """Return what is known of a network of that depth, or raise ValueError."""
    if depth not in known:
        raise ValueError(f"{where}: depth must be one of {', '.join(map(str, known))}, got {depth!r}")
    return known[depth]
