"""Pictures of images: a grid of them, what a convolution looks for, what it finds, and heat over an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.plotting.panels import panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE = 1.5  # of a small panel, in inches
_MOST_NUMBERED = 32  # ticks along a side
_EITHER_WAY, _UPWARDS, _HEAT = "RdBu_r", "viridis", "inferno"


def images(
    x: ArrayLike, titles: Sequence[Any] | None = None, *, columns: int = 8, side: float = _SIDE, title: str = ""
) -> Figure:
    """Draw images in a grid of `columns`, each `side` inches wide, with a title each.

    `x` is (n, H, W, C) or one (H, W, C) with C = 1 or 3, or without the axis of channels where that is 1. Floats are
    shown from 0 to 1; if some lie outside, as in standardised images, from the least to the greatest. Bytes are shown
    from 0 to 255.

    Raises: ShapeError for another shape, or other than as many `titles`; DataError for values that are not finite.

    >>> [axes.get_title() for axes in images(jnp.zeros((2, 8, 8, 1)), ["a", "b"]).axes]
    ['a', 'b']
    """
    pictures = as_pictures("images", x)
    figure, axes = image_panels("images", pictures, columns, side, title)
    put_titles("images", axes, titles)
    return figure


def filters(kernel: ArrayLike, *, most: int = 64, title: str = "") -> Figure:
    """Draw the first `most` kernels of a convolution, (h, w, inputs, outputs), such as ``params["conv_0"]["kernel"]``.

    With three inputs each is a picture in colours, the whole scaled so that 0 is grey. With one, each is a picture in
    red above 0 and blue below. The number of each is that of its row and that of its column, added. With more inputs
    there is a row for each output, the first `most` inputs side by side.

    Raises: ShapeError unless `kernel` has these four axes; DataError for values that are not finite.

    >>> figure = filters(jnp.ones((3, 3, 1, 5)))
    >>> figure.axes[0].images[0].get_array().shape
    (7, 11)
    """
    array = _finite("filters", kernel)
    if array.ndim != 4 or array.size == 0:
        fix = "pass the kernel of a convolution of images."
        raise ShapeError("filters", f"the kernel must have shape (h, w, inputs, outputs), got {array.shape}", fix)
    shown = np.moveaxis(array[..., :most], -1, 0)
    reach = float(np.abs(shown).max()) or 1.0
    if array.shape[2] == 3:
        figure, _ = _mosaic("filters", 0.5 + 0.5 * shown / reach, title, "output")
        return figure
    if array.shape[2] == 1:
        return _scaled_mosaic("filters", shown[..., 0], title, "output", (-reach, reach), _EITHER_WAY)
    tiles = np.moveaxis(shown[..., :most], -1, 1)
    flat = tiles.reshape(-1, *tiles.shape[2:])
    figure = _scaled_mosaic("filters", flat, title, "", (-reach, reach), _EITHER_WAY, columns=tiles.shape[1])
    figure.axes[0].set(xlabel="input", ylabel="output")
    return figure


def feature_maps(maps: ArrayLike, *, most: int = 64, shared: bool = True, title: str = "") -> Figure:
    """Draw the first `most` channels of one example's maps (H, W, C), such as a value of ``inspection.activations``.

    All have one scale, from the least to the greatest value, or each its own unless `shared`. The number of each is
    that of its row and that of its column, added.

    Raises: ShapeError for another shape; DataError for values that are not finite.

    >>> feature_maps(jnp.ones((6, 6, 4))).axes[0].images[0].get_array().shape
    (13, 13)
    """
    array = _finite("feature_maps", maps)
    if array.ndim != 3 or array.size == 0:
        fix = "pass those of one example, such as values[path][0]."
        raise ShapeError("feature_maps", f"the maps must have shape (H, W, C), got {array.shape}", fix)
    tiles = np.moveaxis(array[..., :most], -1, 0)
    if shared:
        ends = (float(tiles.min()), float(tiles.max()))
        return _scaled_mosaic("feature_maps", tiles, title, "channel", ends, _UPWARDS)
    low, high = tiles.min((1, 2), keepdims=True), tiles.max((1, 2), keepdims=True)
    tiles = (tiles - low) / np.where(high > low, high - low, 1)
    figure, _ = _mosaic("feature_maps", tiles, title, "channel", cmap=_UPWARDS, vmin=0, vmax=1)
    return figure


def heat_over(
    x: ArrayLike,
    heat: ArrayLike,
    titles: Sequence[Any] | None = None,
    *,
    columns: int = 4,
    strength: float = 0.8,
    title: str = "",
) -> Figure:
    """Draw heat of at least 0 over images in grey, such as what ``inspection.saliency`` and ``grad_cam`` return.

    `x` as for ``images``, `heat` (n, H, W), or (H, W) of one. The hottest pixel of each image is as opaque as
    `strength`, and where there is no heat the image is seen. Heat has the scale of its image.

    Raises: ShapeError unless they agree; DataError for heat below 0, or for what is not finite.

    >>> len(heat_over(jnp.zeros((2, 8, 8, 3)), jnp.ones((2, 8, 8))).axes)
    2
    """
    pictures, hot = as_pictures("heat_over", x), _finite("heat_over", heat)
    hot = hot[None] if hot.ndim == 2 else hot
    if hot.shape != pictures.shape[:3]:
        problem = f"for images {pictures.shape} the heat must have shape {pictures.shape[:3]}, got {hot.shape}"
        raise ShapeError("heat_over", problem, "pass one value for each pixel.")
    if hot.min(initial=0) < 0:
        problem = f"the heat must be at least 0, got {hot.min():.3g}"
        raise DataError("heat_over", problem, "pass its magnitude, or its part above 0.")
    if not 0 <= strength <= 1:
        raise ValueError(f"heat_over: strength must be from 0 to 1, got {strength}")
    grey = np.repeat(pictures.mean(-1, keepdims=True), 3, -1)
    figure, axes = image_panels("heat_over", grey, columns, 2.0, title)
    for ax, one in zip(axes, hot, strict=True):
        share = one / (one.max() or 1.0)
        ax.imshow(share, cmap=_HEAT, vmin=0, vmax=1, alpha=strength * share, extent=extent(one.shape))
    put_titles("heat_over", axes, titles)
    return figure


def as_pictures(where: str, x: ArrayLike) -> np.ndarray:
    """Return images as (n, H, W, C) of floats in [0, 1], C = 1 or 3."""
    array = np.asarray(x)
    share = array.dtype == np.uint8
    array = _finite(where, array)
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] not in (1, 3)):
        array = array[..., None]
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or array.size == 0:
        problem = f"the images must have shape (n, H, W, C) or (H, W, C) with C = 1 or 3, got {np.shape(x)}"
        raise ShapeError(where, problem, "pass channels last; of other channels, choose some.")
    if share:
        return array / 255
    low, high = array.min(), array.max()
    return array if low >= 0 and high <= 1 else (array - low) / ((high - low) or 1)


def image_panels(where: str, pictures: np.ndarray, columns: int, width: float, title: str) -> tuple[Figure, list[Any]]:
    """Return a figure with a panel for each image, drawn so that pixel (row r, column c) is from c to c + 1."""
    if columns < 1:
        raise ValueError(f"{where}: columns must be at least 1, got {columns}")
    height = width * pictures.shape[1] / pictures.shape[2]
    figure, axes = panels(where, len(pictures), (width, height + 0.25), most=columns, title=title)
    for ax, picture in zip(axes, pictures, strict=True):
        show_picture(ax, picture)
    return figure, axes


def show_picture(axes: Any, picture: np.ndarray) -> None:
    """Draw one image (H, W, 1 or 3), without ticks."""
    shown = picture[..., 0] if picture.shape[-1] == 1 else picture
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=extent(picture.shape), interpolation="nearest")
    axes.set(xticks=[], yticks=[])


def extent(shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Return the ends of the axes at which pixels are cells, as boxes have them."""
    return (0.0, float(shape[1]), float(shape[0]), 0.0)


def put_titles(where: str, axes: Sequence[Any], titles: Sequence[Any] | None) -> None:
    """Put a title over each panel, if there are any."""
    if titles is None:
        return
    if len(titles) != len(axes):
        raise ShapeError(where, f"expected {len(axes)} titles, got {len(titles)}", "pass one for each image.")
    for ax, name in zip(axes, titles, strict=True):
        ax.set_title(str(name), fontsize=9, parse_math=False)


def _finite(where: str, x: ArrayLike) -> np.ndarray:
    array = np.asarray(x)
    if array.dtype.kind == "V":  # bfloat16 and its kin
        array = array.astype(np.float32)
    if array.dtype.kind not in "biuf":
        raise DtypeError(where, f"the values must be numbers, got {array.dtype}", "pass an array of real numbers.")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise DataError(where, "the values must be finite, got nan or infinity", "np.nan_to_num(x) fills them.")
    return array


def _scaled_mosaic(
    where: str, tiles: np.ndarray, title: str, name: str, ends: tuple[float, float], cmap: str, columns: int = 0
) -> Figure:
    options = {"cmap": cmap, "vmin": ends[0], "vmax": ends[1]}
    figure, drawn = _mosaic(where, tiles, title, name, columns=columns, **options)
    figure.colorbar(drawn, shrink=0.7)
    return figure


def _mosaic(
    where: str, tiles: np.ndarray, title: str, name: str, *, columns: int = 0, **options: Any
) -> tuple[Figure, Any]:
    """Draw tiles (n, h, w) or (n, h, w, 3) beside each other as one image, with one empty pixel between them."""
    count, height, width = tiles.shape[:3]
    columns = columns or math.ceil(math.sqrt(count * height / width))
    rows = -(-count // columns)
    blank = np.ones if tiles.ndim == 4 else lambda shape: np.full(shape, np.nan)
    whole = blank((rows * (height + 1) - 1, columns * (width + 1) - 1, *tiles.shape[3:]))
    for n, tile in enumerate(tiles):
        top, left = n // columns * (height + 1), n % columns * (width + 1)
        whole[top : top + height, left : left + width] = tile
    wide = min(9.0, max(3.0, 0.6 * columns))
    size = (wide + 0.8, min(9.0, max(1.0, wide * whole.shape[0] / whole.shape[1])) + 0.8)
    figure, (axes,) = panels(where, 1, size, title=title)
    shown = np.ma.masked_invalid(whole) if tiles.ndim == 3 else whole
    drawn = axes.imshow(shown, interpolation="nearest", **options)
    for axis, length, step, first in (("x", columns, width + 1, 1), ("y", rows, height + 1, columns if name else 1)):
        places = np.arange(length) * step + (step - 2) / 2
        each = max(1, -(-length // _MOST_NUMBERED))
        numbers = [str(n * first) for n in range(length)]
        axes.set(**{f"{axis}ticks": places[::each], f"{axis}ticklabels": numbers[::each]})
    axes.tick_params(length=0, labelsize=7)
    axes.set(xlabel=name)
    axes.spines[:].set_visible(False)
    return figure, drawn
