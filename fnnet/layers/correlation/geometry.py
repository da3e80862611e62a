"""The geometry of a correlation: which places of the input each place of the output sees. Static, so it is hashable."""

from __future__ import annotations

from typing import NamedTuple

from fnnet.layers.windows import Pairs, extents


class Geometry(NamedTuple):
    """Sizes of the input's spatial axes and of the window, how the window moves, and the zeros around the input.

    For input x (batch, *sizes, n), kernel (*window, n / groups, features) and output y (batch, *outputs, features):
    y at p sees x at stride · p + dilation · q - before, for each q in the window. Negative padding crops.
    """

    sizes: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Pairs
    groups: int = 1

    @property
    def outputs(self) -> tuple[int, ...]:
        """The sizes of the output's spatial axes."""
        extent = extents(self.window, self.dilation)
        axes = zip(self.sizes, extent, self.stride, self.padding, strict=True)
        return tuple((n + before + after - k) // s + 1 for n, k, s, (before, after) in axes)

    @property
    def is_dense(self) -> bool:
        """Whether each output sees a whole block of the input: no stride, no dilation, one group."""
        return self.groups == 1 and set(self.stride) == set(self.dilation) == {1}

    def turned(self) -> Geometry:
        """Return the geometry of the correlation of y with the turned kernel that gives x, for stride 1."""
        extent = extents(self.window, self.dilation)
        before = tuple(k - 1 - pair[0] for k, pair in zip(extent, self.padding, strict=True))
        axes = zip(self.sizes, self.outputs, extent, before, strict=True)
        padding = tuple((b, n - (m + b - k + 1)) for n, m, k, b in axes)
        return Geometry(self.outputs, self.window, self.stride, self.dilation, padding, self.groups)
