"""Changes that move places: images, and with them masks, boxes and weights of places."""

from __future__ import annotations

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fnnet.augmentation.batches import Range, Transform, between, check_probability, check_ratios, place, span, units
from fnnet.augmentation.following import Motion, Target, moving
from fnnet.augmentation.resampling import Size, about, resample
from fnnet.core import Key
from fnnet.errors import ShapeError
from fnnet.shapes import check_count


def flip(
    axis: Literal["horizontal", "vertical"] = "horizontal",
    *,
    probability: float = 0.5,
    target: Target = None,
) -> Transform:
    """Mirror each image with a `probability`: left and right exchanged (``"horizontal"``), or top and bottom.

    Images of any real dtype. Masks, boxes and weights of places follow: see ``affine``, of which `target` is.
    Law: with probability 1, twice is the identity; with 0, once.
    Raises: ValueError for another `axis` or a probability outside [0, 1]; of the batch, as ``affine``.

    >>> mirror = fn.augmentation.flip(probability=1)
    >>> x, y = mirror(jax.random.key(0), (jnp.arange(3.0).reshape(1, 1, 3, 1), jnp.array([7])))
    >>> x.ravel().tolist(), y.tolist()
    ([2.0, 1.0, 0.0], [7])
    """
    if axis not in ("horizontal", "vertical"):
        raise ValueError(f"flip: axis must be 'horizontal' or 'vertical', got {axis!r}")
    probability = check_probability("flip", probability)
    along = 1 if axis == "horizontal" else 0

    def draw(key: Key, size: Size) -> Any:
        return jax.random.bernoulli(key, probability)

    def move(flipped: Any, array: Array, fill: Any, nearest: bool) -> Array:
        return jnp.where(flipped, jnp.flip(array, along), array)

    def matrix(flipped: Any, size: Size) -> Float[Array, "2 3"]:
        mirrored = np.eye(2, 3, dtype=np.float32)
        mirrored[1 - along] = [-1, 0, size[1]] if along else [0, -1, size[0]]
        return jnp.where(flipped, mirrored, np.eye(2, 3, dtype=np.float32))

    return moving("flip", Motion(draw, move, matrix), target=target)


def crop(
    size: int | tuple[int, int] | None = None,
    *,
    padding: int = 0,
    fill: float = 0.0,
    mask_fill: int = 0,
    visible: float = 0.1,
    target: Target = None,
) -> Transform:
    """Cut a window of `size` out of each image, anywhere, after `padding` places of `fill` were put on all four sides.

    `size` is (height, width), or the side of a square; None is that of the images, so ``crop(padding=4)`` shifts by up
    to four pixels. Images of any real dtype, that can hold `fill`. Masks, boxes and weights of places follow: see
    ``affine``, of which `mask_fill`, `visible` and `target` are. Law: without size and padding it is the identity.
    Raises: ValueError for sizes that are no whole numbers; ShapeError for images smaller than that; as ``affine``.

    >>> x, _ = fn.augmentation.crop(5, padding=1)(jax.random.key(0), (jnp.ones((2, 8, 8, 3)), None))
    >>> x.shape
    (2, 5, 5, 3)
    """
    window = None if size is None else _pair("crop", "size", size)
    padding = check_count("crop", "padding", padding, least=0)

    def resized(size: Size) -> Size:
        return _cut(window, size, padding)

    def draw(key: Key, size: Size) -> Any:
        room = [side + 2 * padding - cut + 1 for side, cut in zip(size, resized(size), strict=True)]
        return jnp.stack([place(unit, side) for unit, side in zip(units(key, 2), room, strict=True)])

    def move(corner: Any, array: Array, fill: Any, nearest: bool) -> Array:
        others = array.ndim - 2
        padded = jnp.pad(array, ((padding, padding),) * 2 + ((0, 0),) * others, constant_values=fill)
        start = (corner[0], corner[1], *(jnp.zeros((), corner.dtype),) * others)
        return jax.lax.dynamic_slice(padded, start, (*resized(array.shape[:2]), *array.shape[2:]))

    def matrix(corner: Any, size: Size) -> Float[Array, "2 3"]:
        shift = (padding - corner[::-1]).astype(jnp.float32)
        return jnp.concatenate([jnp.eye(2), shift[:, None]], axis=1)

    motion = Motion(draw, move, matrix, resized)
    return moving("crop", motion, fill=fill, mask_fill=mask_fill, visible=visible, target=target)


def resized_crop(
    size: int | tuple[int, int],
    *,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    mask_fill: int = 0,
    visible: float = 0.1,
    target: Target = None,
) -> Transform:
    """Cut a window of random area and shape out of each image, and scale it to `size` (Szegedy et al. 2015, § 6).

    Its share of the image's area is uniform in `area`, the logarithm of width over height in that of `ratio`; sides are
    cut at those of the image, and need not be whole pixels. Values are interpolated between four pixels; they are not
    averaged over more where the window is larger than `size`. The rest is as of ``affine``.
    Law: with area (1, 1), for images that have that shape already, it is the identity.
    Raises: ValueError for a `size` of other than whole numbers, and ranges that are not above 0; as ``affine``.

    >>> x, _ = fn.augmentation.resized_crop((4, 6))(jax.random.key(0), (jnp.ones((2, 8, 8, 3)), None))
    >>> x.shape
    (2, 4, 6, 3)
    """
    window = _pair("resized_crop", "size", size)
    area = check_ratios("resized_crop", "area", area, most=1.0)
    low, high = check_ratios("resized_crop", "ratio", ratio)

    def draw(key: Key, size: Size) -> Any:
        of_area, of_shape, top, left = units(key, 4)
        share, shape = between(of_area, area), jnp.exp(between(of_shape, (math.log(low), math.log(high))) / 2)
        root = jnp.sqrt(share * (size[0] * size[1]))
        height, width = jnp.minimum(root / shape, size[0]), jnp.minimum(root * shape, size[1])
        return height, width, top * (size[0] - height), left * (size[1] - width)

    def matrix(how: Any, size: Size) -> Float[Array, "2 3"]:
        height, width, top, left = how
        down, right = window[0] / height, window[1] / width
        zero = jnp.zeros_like(down)
        return jnp.stack([jnp.stack([right, zero, -left * right]), jnp.stack([zero, down, -top * down])])

    def move(how: Any, array: Array, fill: Any, nearest: bool) -> Array:
        return resample(array, matrix(how, array.shape[:2]), window, fill, nearest=nearest)

    motion = Motion(draw, move, matrix, lambda size: window)
    return moving("resized_crop", motion, floating=True, mask_fill=mask_fill, visible=visible, target=target)


def affine(
    degrees: Range = 0.0,
    *,
    translate: Range = 0.0,
    scale: Range = 0.0,
    shear: Range = 0.0,
    fill: float = 0.0,
    mask_fill: int = 0,
    visible: float = 0.1,
    target: Target = None,
) -> Transform:
    r"""Turn, shear, scale and shift each image about its centre, :math:`p' = s\,R_\theta\,S_\varphi\,(p - c) + c + t`.

    `degrees`: θ, clockwise as seen. `shear`: φ in degrees, :math:`S_\varphi\,(x, y) = (x + y\tan\varphi,\ y)`.
    `scale`: s, a factor. `translate`: t in shares of width and height, drawn for each. Each is uniform in a range: a
    number r stands for -r … r, and of `scale` for 1 - r … 1 + r; a pair is (low, high).
    Images are floating-point; a value is interpolated between the four pixels around the place it comes from, all
    that is outside being `fill`, and has a derivative by them.

    What y is, is told by type, dtype and rank. ``Objects`` (boxes (n, m, 4) in pixels): a box becomes the hull of the
    moved one, clipped, and the object is not valid any more if less than the share `visible` of that hull is inside.
    Integers and truth values (n, H, W) are masks: each place takes the nearest label, and `mask_fill` from outside.
    Arrays (n,) and (n, k), labels, distributions and numbers, stay. A dict holds any of these. Of another array
    (n, H, W, ...) `target` must say whether it follows the image as a mask does (``"mask"``) or stays (``"fixed"``);
    for a dict, as a dict by name. A weight (n, H, W) follows too, and is 0 outside.

    Law: with all ranges 0 it is the identity, of objects inside the image too.
    Raises: ValueError for ranges out of order, a factor not above 0, a shear of 90° or more, `visible` outside [0, 1];
    of the batch DataError unless it is (x, y) or (x, y, weight); ShapeError unless x is (n, H, W, C), or for masks and
    objects of other sizes; DtypeError for integer images, and for targets of which it is not told what they are.

    >>> x, mask = jnp.ones((1, 4, 4, 1)), jnp.ones((1, 4, 4), int)
    >>> right = fn.augmentation.affine(translate=(0.25, 0.25), mask_fill=9)
    >>> x, mask = right(jax.random.key(0), (x, mask))
    >>> x[0, 1, :, 0].tolist(), mask[0, 1].tolist()
    ([0.0, 1.0, 1.0, 1.0], [9, 1, 1, 1])
    """
    ranges = {
        "degrees": span("affine", "degrees", degrees),
        "translate": span("affine", "translate", translate),
        "scale": span("affine", "scale", scale, centre=1.0),
        "shear": span("affine", "shear", shear, least=-89.0, most=89.0),
    }
    if ranges["scale"][0] <= 0:
        raise ValueError(f"affine: the factors of scale must be above 0, got {scale!r}")
    return _affine("affine", ranges, fill=fill, mask_fill=mask_fill, visible=visible, target=target)


def rotation(
    degrees: Range, *, fill: float = 0.0, mask_fill: int = 0, visible: float = 0.1, target: Target = None
) -> Transform:
    """Turn each image about its centre by an angle uniform in -`degrees` … `degrees`, or a pair (low, high), clockwise.

    All else is as of ``affine``, which it is. Law: with 0 it is the identity.

    >>> x, y = fn.augmentation.rotation(15)(jax.random.key(0), (jnp.ones((2, 8, 8, 1)), jnp.array([0, 1])))
    >>> x.shape, float(x[0, 4, 4, 0]), float(x[0, 0, 0, 0]) < 1
    ((2, 8, 8, 1), 1.0, True)
    """
    still = {"translate": (0.0, 0.0), "scale": (1.0, 1.0), "shear": (0.0, 0.0)}
    ranges = {"degrees": span("rotation", "degrees", degrees)} | still
    return _affine("rotation", ranges, fill=fill, mask_fill=mask_fill, visible=visible, target=target)


def _affine(where: str, ranges: dict[str, tuple[float, float]], **options: Any) -> Transform:
    def draw(key: Key, size: Size) -> Any:
        turn, lean, grow, x, y = units(key, 5)
        angle, shear = (jnp.deg2rad(between(u, ranges[name])) for u, name in ((turn, "degrees"), (lean, "shear")))
        cos, sin, tan = jnp.cos(angle), jnp.sin(angle), jnp.tan(shear)
        linear = jnp.stack([jnp.stack([cos, cos * tan - sin]), jnp.stack([sin, sin * tan + cos])])
        shift = jnp.stack([between(u, ranges["translate"]) * side for u, side in ((x, size[1]), (y, size[0]))])
        return about((size[1] / 2, size[0] / 2), between(grow, ranges["scale"]) * linear, shift)

    def move(matrix: Any, array: Array, fill: Any, nearest: bool) -> Array:
        return resample(array, matrix, array.shape[:2], fill, nearest=nearest)

    return moving(where, Motion(draw, move, lambda matrix, size: matrix), floating=True, **options)


def _pair(where: str, name: str, value: Any) -> Size:
    height, width = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    return check_count(where, name, height), check_count(where, name, width)


def _cut(window: Size | None, size: Size, padding: int) -> Size:
    """Return the size of the window; ShapeError unless it fits into the padded image."""
    window = size if window is None else window
    if any(cut > side + 2 * padding for cut, side in zip(window, size, strict=True)):
        problem = f"a window of {window} must fit into images of {size} and padding {padding}"
        raise ShapeError("crop", problem, "pass a smaller size or more padding.")
    return window
