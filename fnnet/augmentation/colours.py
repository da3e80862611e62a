"""Changes of colour, which leave every place where it is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from fnnet.augmentation.batches import Range, Transform, between, opened, row_keys, span, units
from fnnet.core import Key
from fnnet.dtypes import at_least_float32
from fnnet.errors import ShapeError

Pixels = Float[Array, "h w c"]

_LUMA = (0.299, 0.587, 0.114)  # Rec. ITU-R BT.601


def color(*, brightness: Range = 0.0, contrast: Range = 0.0, saturation: Range = 0.0, hue: Range = 0.0) -> Transform:
    r"""Change brightness, contrast, saturation and hue of each image, in this order, by amounts drawn from ranges.

    Images are floating-point with values in [0, 1], to which each change clips: augment first, standardise after.
    Amounts are uniform. Factors f, of which a number r stands for max(0, 1 - r) … 1 + r and a pair for (low, high):
    `brightness`, :math:`f x`; `contrast`, :math:`f x + (1-f)\,\bar g`, g the grey of a pixel and :math:`\bar g` its
    mean over the image; `saturation`, :math:`f x + (1-f)\,g`.
    `hue` turns the colour wheel of HSV by a share of a whole turn, of which a number r ≤ ½ stands for -r … r.
    Grey is :math:`0.299 R + 0.587 G + 0.114 B`, or the mean of other than three channels. y stays.
    Computed in at least float32.

    Law: with all ranges 0 it is the identity. It is differentiable almost everywhere.
    Raises: ValueError for ranges out of order or limits; of the batch DataError unless it is (x, y) or (x, y, weight);
    ShapeError unless x is (n, H, W, C), with C = 3 for saturation and hue; DtypeError for integer images.

    >>> turn = fn.augmentation.color(hue=(1 / 3, 1 / 3))
    >>> x, _ = turn(jax.random.key(0), (jnp.array([1.0, 0.0, 0.0]).reshape(1, 1, 1, 3), None))
    >>> x.ravel().tolist()
    [0.0, 1.0, 0.0]
    """
    factors = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    limits = {name: _factors(name, value) for name, value in factors.items()}
    turn = span("color", "hue", hue, least=-0.5, most=0.5)
    # What cannot change is left out: through HSV and back would round.
    used = [name for name in factors if limits[name] != (1.0, 1.0)]

    def change(key: Key, image: Pixels) -> Pixels:
        *drawn, of_hue = units(key, 4, image.dtype)
        for name, unit in zip(factors, drawn, strict=True):
            if name in used:
                factor = between(unit, limits[name])
                image = jnp.clip(factor * image + (1 - factor) * _towards(name, image), 0, 1)
        return image if turn == (0.0, 0.0) else jnp.clip(turn_hue(image, between(of_hue, turn)), 0, 1)

    def transform(key: Key, batch: PyTree) -> PyTree:
        x, y, weight = opened("color", batch, floating=True)
        if x.shape[-1] != 3 and ("saturation" in used or turn != (0.0, 0.0)):
            problem = f"saturation and hue are of three channels, red, green and blue, got images {x.shape}"
            raise ShapeError("color", problem, "leave them out, or repeat the channel.")
        if not used and turn == (0.0, 0.0):
            return (x, y, *weight)
        wide = x.astype(at_least_float32(x.dtype))
        return (jax.vmap(change)(row_keys("color", key, len(x)), wide).astype(x.dtype), y, *weight)

    return transform


def _factors(name: str, value: Range) -> tuple[float, float]:
    if isinstance(value, tuple | list):
        return span("color", name, value, least=0.0)
    low, high = span("color", name, value, centre=1.0)
    return max(low, 0.0), high


def _towards(name: str, image: Pixels) -> Pixels:
    """Return what a factor of 0 makes of an image: black, its mean grey, or the grey of each pixel."""
    if name == "brightness":
        return jnp.zeros_like(image)
    grey = image @ np.asarray(_LUMA, image.dtype) if image.shape[-1] == 3 else image.mean(-1)
    return jnp.broadcast_to((grey.mean(keepdims=True) if name == "contrast" else grey)[..., None], image.shape)


def turn_hue(image: Pixels, turns: Float[Array, ""]) -> Pixels:
    """Return an image of red, green and blue with its hues moved on by `turns` of the wheel; value and saturation stay.

    >>> turn_hue(jnp.array([[[1.0, 1.0, 0.0]]]), jnp.array(0.5)).ravel().tolist()
    [0.0, 0.0, 1.0]
    """
    red, green, blue = (image[..., channel] for channel in range(3))
    value, least = image.max(-1), image.min(-1)
    spread = value - least
    divisor = jnp.where(spread > 0, spread, 1)
    sixths = jnp.where(
        value == red,
        (green - blue) / divisor,
        jnp.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    # Smith 1978: over the wheel a channel is the value for two sixths, the least for two, and a slope between them.
    places = [(sixths + 6 * turns + start) % 6 for start in (5, 3, 1)]
    return jnp.stack([value - spread * jnp.clip(jnp.minimum(place, 4 - place), 0, 1) for place in places], axis=-1)
