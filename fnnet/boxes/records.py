"""What a detector says and what is there, as pytrees of fixed shape, padded."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int


class Detections(NamedTuple):
    """Boxes that were found, in corners (x1, y1, x2, y2), with scores and classes; `valid` is False for padding."""

    boxes: Float[Array, "*batch n 4"]
    scores: Float[Array, "*batch n"]
    classes: Int[Array, "*batch n"]
    valid: Bool[Array, "*batch n"]


class Objects(NamedTuple):
    """The boxes that are there, in corners (x1, y1, x2, y2); `valid` is False for padding.

    `crowd` marks a box around many objects, `ignore` one that is neither asked for nor wrong; `areas` are those of the
    objects, where they are not those of the boxes.
    """

    boxes: Float[Array, "*batch n 4"]
    classes: Int[Array, "*batch n"]
    valid: Bool[Array, "*batch n"]
    crowd: Bool[Array, "*batch n"] | None = None
    ignore: Bool[Array, "*batch n"] | None = None
    areas: Float[Array, "*batch n"] | None = None
