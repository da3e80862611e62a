"""What the networks are told, checked, and the head that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from fnnet.core import Layer
from fnnet.layers import dense, global_pool
from fnnet.shapes import check_count

T = TypeVar("T")


def check_depth(where: str, depth: int, known: Mapping[int, T]) -> T:
    """Return what is known of a network of that depth, or raise ValueError."""
    if depth not in known:
        raise ValueError(f"{where}: depth must be one of {', '.join(map(str, known))}, got {depth!r}")
    return known[depth]


def classifier(where: str, classes: int | None) -> tuple[Layer, ...]:
    """Return the head of a network that tells classes, or nothing if there are to be none."""
    if classes is None:
        return ()
    return global_pool(), dense(check_count(where, "classes", classes))
