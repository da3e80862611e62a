"""Changes that hide a part of an image."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from fnnet.augmentation.batches import (
    Transform,
    as_fill,
    between,
    check_probability,
    check_ratios,
    opened,
    place,
    row_keys,
    units,
)
from fnnet.augmentation.resampling import Size, rectangle
from fnnet.core import Key


def erasing(
    *,
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
    fill: float = 0.0,
) -> Transform:
    """Overwrite a rectangle of each image by `fill`, with a `probability` (Zhong et al. 2020, algorithm 1).

    Its share of the image is uniform in `area`, its height over its width in `ratio`, and it lies anywhere inside.
    Sides are rounded to whole pixels, and cut at the image's, where the paper draws again. Images of any real dtype
    that can hold `fill`. y stays: an object that is hidden is still there. Law: with probability 0 it is the identity.
    Raises: ValueError for a probability outside [0, 1], ranges out of order or not above 0, areas above 1; of the batch
    DataError unless it is (x, y) or (x, y, weight); ShapeError unless x is (n, H, W, C).

    >>> hide = fn.augmentation.erasing(probability=1, area=(0.25, 0.25), ratio=(1, 1))
    >>> x, _ = hide(jax.random.key(0), (jnp.ones((3, 8, 8, 1)), jnp.arange(3)))
    >>> x.sum((1, 2, 3)).tolist()
    [48.0, 48.0, 48.0]
    """
    probability = check_probability("erasing", probability)
    area = check_ratios("erasing", "area", area, most=1.0)
    ratio = check_ratios("erasing", "ratio", ratio)

    def hidden(key: Key, size: Size) -> Any:
        chosen, of_area, of_shape, down, across = units(key, 5)
        places, shape = between(of_area, area) * math.prod(size), between(of_shape, ratio)
        height, width = (
            jnp.clip(jnp.round(jnp.sqrt(p)), 1, side).astype(jnp.int32)
            for p, side in zip((places * shape, places / shape), size, strict=True)
        )
        top, left = place(down, size[0] - height + 1), place(across, size[1] - width + 1)
        return rectangle(size, top, left, top + height, left + width) & (chosen < probability)

    def transform(key: Key, batch: PyTree) -> PyTree:
        x, y, weight = opened("erasing", batch, floating=False)
        keys, value = row_keys("erasing", key, len(x)), as_fill("erasing", "fill", fill, x.dtype)

        def erase(key: Key, image: Array) -> Array:
            return jnp.where(hidden(key, image.shape[:2])[..., None], value, image)

        return (jax.vmap(erase)(keys, x), y, *weight)

    return transform
