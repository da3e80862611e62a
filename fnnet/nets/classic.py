"""The first convolutional networks: LeNet-5 and VGG."""

from __future__ import annotations

from itertools import chain
from typing import Literal

import jax
import jax.numpy as jnp

from fnnet.compose import LayerLike, serial
from fnnet.core import Layer
from fnnet.layers import avg_pool, batch_norm, conv, dense, dropout, flatten, max_pool
from fnnet.nets.checks import check_depth
from fnnet.shapes import check_count

_VGG: dict[int, tuple[int, ...]] = {  # convolutions before each of the five poolings
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


def lenet(classes: int = 10) -> Layer:
    """LeNet-5 (LeCun et al. 1998, §II.B): two convolutions with tanh and mean pooling, then three dense layers.

    Shapes: (..., 28, 28, n) -> (..., classes), logits. 61 706 parameters for one channel and ten classes: every map of
    the second convolution sees all of the first, where the paper leaves some out, poolings have no weights, and the
    last layer is dense, not of radial units.

    >>> params, _ = jax.eval_shape(fn.nets.lenet().init, jax.random.key(0), jnp.ones((28, 28, 1)))
    >>> sum(p.size for p in jax.tree.leaves(params))
    61706
    """
    check_count("lenet", "classes", classes)
    return serial(
        conv(6, 5, activation=jnp.tanh),
        avg_pool(2),
        conv(16, 5, padding="VALID", activation=jnp.tanh),
        avg_pool(2),
        flatten(),
        dense(120, activation=jnp.tanh),
        dense(84, activation=jnp.tanh),
        dense(classes),
    )


def vgg(
    depth: Literal[11, 13, 16, 19] = 16, classes: int = 1000, *, norm: bool = False, drop: float = 0.5, width: int = 64
) -> Layer:
    """VGG (Simonyan & Zisserman 2015, table 1, A, B, D, E): 3 × 3 convolutions in five groups, then three dense layers.

    Shapes: (..., H, W, n) -> (..., classes), logits; the paper's H = W = 224. `norm`: batch norm after each
    convolution, then without bias. `width`: features of the first group; they double to eight times that. `drop`: rate
    of dropout after the first two dense layers, which need a key in training.

    Raises: ValueError for another `depth`, or counts below 1.

    >>> params, _ = jax.eval_shape(fn.nets.vgg(16).init, jax.random.key(0), jnp.ones((224, 224, 3)))
    >>> sum(p.size for p in jax.tree.leaves(params))
    138357544
    """
    groups = check_depth("vgg", depth, _VGG)
    check_count("vgg", "classes", classes)
    check_count("vgg", "width", width)

    def convolution(features: int) -> tuple[LayerLike, ...]:
        if norm:
            return conv(features, bias_init=None), batch_norm(), jax.nn.relu
        return (conv(features, activation=jax.nn.relu),)

    def group(number: int, length: int) -> tuple[LayerLike, ...]:
        return (*chain.from_iterable(convolution(width * min(8, 2**number)) for _ in range(length)), max_pool(2))

    body = chain.from_iterable(group(number, length) for number, length in enumerate(groups))
    wide = dense(64 * width, activation=jax.nn.relu)
    return serial(*body, flatten(), wide, dropout(drop), wide, dropout(drop), dense(classes))
