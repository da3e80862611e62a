"""Windows that slide over spatial axes: their sizes, strides and padding, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from fnnet.core import Shaped
from fnnet.errors import ShapeError
from fnnet.shapes import check_count, check_floating

Pairs: TypeAlias = tuple[tuple[int, int], ...]
"""(before, after) for each spatial axis."""

Padding: TypeAlias = Literal["SAME", "VALID", "CIRCULAR"] | Sequence[tuple[int, int]]
"""``"SAME"``, ``"VALID"``, ``"CIRCULAR"``, or (before, after) for each spatial axis."""

LAYOUTS = {0: "(..., features)", 1: "(..., time, features)", 2: "(..., height, width, features)"}


def for_each_axis(where: str, name: str, value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """Return one positive integer for each spatial axis.

    >>> for_each_axis("conv", "stride", 2, dims=3)
    (2, 2, 2)
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * dims
    if len(values) != dims:
        raise ValueError(f"{where}: {name} must be one whole number, or {dims} of them, got {value!r}")
    return tuple(check_count(where, name, v) for v in values)


def window_of(where: str, name: str, window: int | Sequence[int], dims: int | None) -> tuple[int, ...]:
    """Return the window's size on each axis: as many as it has, or `dims`, two unless given."""
    if dims is None:
        dims = len(window) if isinstance(window, Sequence) else 2
    return for_each_axis(where, name, window, check_count(where, "dims", dims))


def check_padding(where: str, padding: Padding, dims: int, names: tuple[str, ...]) -> Padding:
    """Return the padding in upper case, or as a tuple of pairs, or raise ValueError."""
    if isinstance(padding, str):
        if padding.upper() in names:
            return padding.upper()  # type: ignore[return-value]
    elif _are_pairs(padding, dims):
        return tuple((before, after) for before, after in padding)
    known = ", ".join(repr(name) for name in names)
    raise ValueError(f"{where}: padding must be {known} or {dims} pairs (before, after), got {padding!r}")


def _are_pairs(padding: object, dims: int) -> bool:
    return (
        isinstance(padding, Sequence)
        and len(padding) == dims
        and all(isinstance(pair, Sequence) and len(pair) == 2 for pair in padding)
        and all(isinstance(n, int) and n >= 0 for pair in padding for n in pair)
    )


def extents(window: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of positions a dilated window spans."""
    return tuple((size - 1) * step + 1 for size, step in zip(window, dilation, strict=True))


def pairs_of(padding: Padding, sizes: tuple[int, ...], extent: tuple[int, ...], stride: tuple[int, ...]) -> Pairs:
    """Return the padding as numbers. For ``"SAME"`` and ``"CIRCULAR"`` each output size is ⌈size / stride⌉.

    Of an odd number the greater half is after.

    >>> pairs_of("SAME", (5, 5), (2, 3), (1, 2))
    ((0, 1), (1, 1))
    """
    if padding == "VALID":
        return ((0, 0),) * len(sizes)
    if not isinstance(padding, str):
        return tuple(padding)
    totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(sizes, extent, stride, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def check_spatial(where: str, x: Shaped, dims: int) -> tuple[int, ...]:
    """Return the sizes of the `dims` axes before the last of a floating-point array, or raise."""
    check_floating(where, x)
    if len(x.shape) < dims + 1:
        layout = LAYOUTS.get(dims, f"(..., {dims} spatial axes, features)")
        raise ShapeError(
            where, f"the input must have shape {layout}, got {tuple(x.shape)}", "add the missing axes, or give dims."
        )
    return tuple(x.shape[len(x.shape) - 1 - dims : -1])


def check_covered(where: str, sizes: tuple[int, ...], extent: tuple[int, ...], pairs: Pairs) -> None:
    """Raise ShapeError if the window, dilated, is larger than the padded input."""
    padded = tuple(n + sum(pair) for n, pair in zip(sizes, pairs, strict=True))
    if any(n < k for n, k in zip(padded, extent, strict=True)):
        raise ShapeError(
            where,
            f"the window spans {extent}, more than the padded input, {padded}",
            "use a smaller window, less dilation, more padding, or a larger input.",
        )
