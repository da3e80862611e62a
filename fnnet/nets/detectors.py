"""Heads that make a detector of a network."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fnnet.boxes import CenterMaps
from fnnet.compose import LayerLike, parallel, serial
from fnnet.core import Layer
from fnnet.initializers import constant, normal
from fnnet.layers import batch_norm, conv
from fnnet.shapes import check_count
from fnnet.targets import check_value


def center_head(
    classes: int,
    features: int = 64,
    *,
    norm: bool = False,
    momentum: float = 0.99,
    prior: float = 0.01,
    side: float = 2.0,
) -> Layer:
    r"""Head of a detector that finds objects at their centres (Zhou et al. 2019; Liu et al. 2020, fig. 3).

    Two branches, each a 3 × 3 convolution of `features` and a 1 × 1 one: the heat of each class, and the sides
    of the box in cells, :math:`e^z`, so that a relative error of a side is alike whatever its size. At the start
    each class has the probability `prior` in every cell, so that the many cells without an object do not drown the
    others (Lin et al. 2017, §4.1), and sides are `side`. `norm`: batch norm after the 3 × 3 convolutions, of that
    `momentum`; a short run wants less, such as .9.

    Shapes: (..., h, w, n) -> ``fn.boxes.CenterMaps``, heat (..., h, w, classes) and sides (..., h, w, 4). Put it after
    a body whose stride is known: ``fn.serial(body, fn.nets.center_head(10))``; learn by ``fn.losses.centers``; read
    by ``fn.boxes.center_detections``.
    Raises: ValueError for counts below 1, a `prior` outside (0, 1), a `side` of 0 or below, and as ``batch_norm``.

    >>> head = fn.nets.center_head(3, 8)
    >>> params, _ = head.init(jax.random.key(0), jnp.ones((1, 4, 4, 6)))
    >>> maps = head(params, jnp.ones((1, 4, 4, 6)))
    >>> maps.heat.shape, maps.sides.shape, list(params)
    ((1, 4, 4, 3), (1, 4, 4, 4), ['heat', 'sides'])
    """
    check_count("center_head", "classes", classes)
    check_count("center_head", "features", features)
    check_value("center_head", "prior", prior, "a number between 0 and 1", lambda p: 0 < p < 1)
    check_value("center_head", "side", side, "a number above 0", lambda s: 0 < s < math.inf)

    def branch(outputs: int, bias: float) -> tuple[LayerLike, ...]:
        first = (
            (conv(features, bias_init=None), batch_norm(momentum=momentum), jax.nn.relu)
            if norm
            else (conv(features, activation=jax.nn.relu),)
        )
        return (*first, conv(outputs, 1, kernel_init=normal(0.01), bias_init=constant(bias)))

    heat = serial(*branch(classes, math.log(prior / (1 - prior))))
    sides = serial(*branch(4, math.log(side)), _positive)
    return parallel(heat=heat, sides=sides, combine=CenterMaps)


def _positive(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return exp z, of z cut to a range in which no box can overflow."""
    return jnp.exp(jnp.clip(z, -10, 10))
