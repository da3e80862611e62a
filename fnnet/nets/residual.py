"""Residual networks: for ImageNet, for small images, and the blocks that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet.compose import identity, residual, serial
from fnnet.compose.children import LayerLike
from fnnet.core import Layer
from fnnet.initializers import he_normal
from fnnet.layers import batch_norm, conv, max_pool
from fnnet.nets.checks import check_depth, classifier
from fnnet.shapes import check_count

_RESNET: dict[int, tuple[bool, tuple[int, ...]]] = {  # bottlenecks or not, and blocks of each of the four stages
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}


def residual_block(
    features: int, *, stride: int = 1, bottleneck: bool = False, shortcut: LayerLike | None = None
) -> Layer:
    r"""Two 3 × 3 convolutions, or 1 × 1, 3 × 3, 1 × 1, with batch norm, beside a shortcut (He et al. 2016, fig. 5).

    :math:`y = \mathrm{relu}(f(x) + s(x))`. Shapes: (..., H, W, n) -> (..., ⌈H / stride⌉, ⌈W / stride⌉, m), m =
    `features`, or four times as many for a `bottleneck`, whose stride is in its 3 × 3 convolution. The `shortcut` is
    the identity unless it is given.

    >>> block = fn.nets.residual_block(8)
    >>> params, state = block.init(jax.random.key(0), jnp.ones((1, 6, 6, 8)))
    >>> block(params, jnp.ones((1, 6, 6, 8)), state).shape
    (1, 6, 6, 8)
    """
    strided, relu = _normed(features, 3, stride), jax.nn.relu
    parts: tuple[LayerLike, ...] = (*strided, relu, *_normed(features, 3))
    if bottleneck:
        parts = (*_normed(features, 1), relu, *strided, relu, *_normed(4 * features, 1))
    return serial(residual(serial(*parts), identity if shortcut is None else shortcut), jax.nn.relu)


def resnet(
    depth: Literal[18, 34, 50, 101, 152] = 50,
    classes: int | None = 1000,
    *,
    small_images: bool = False,
    width: int = 64,
) -> Layer:
    """ResNet (He et al. 2016, table 1), with 1 × 1 convolutions where the shape changes (option B).

    Shapes: (..., H, W, n) -> (..., classes), logits; the paper's H = W = 224. With None for `classes` the net ends
    before the pooling, with features of 1 / 32 of the size, for a head of another kind. `small_images`: a 3 × 3
    convolution without stride and no pooling at the start, as is usual for 32 × 32; the features then have 1 / 8 of the
    size. `width`: features of the first stage; they double at each of the other three. The stride of a bottleneck is in
    its 3 × 3 convolution (as in torch; the paper has it in the first). Kernels by He's rule.

    Raises: ValueError for another `depth`, or counts below 1.

    >>> params, _ = jax.eval_shape(fn.nets.resnet(50).init, jax.random.key(0), jnp.ones((224, 224, 3)))
    >>> sum(p.size for p in jax.tree.leaves(params))
    25557032
    """
    bottleneck, stages = check_depth("resnet", depth, _RESNET)
    head = classifier("resnet", classes)
    check_count("resnet", "width", width)
    first: tuple[LayerLike, ...] = (*_normed(width, 3), jax.nn.relu)
    if not small_images:
        first = (*_normed(width, 7, 2), jax.nn.relu, max_pool(3, stride=2, padding=((1, 1), (1, 1))))

    def stage(number: int, length: int) -> list[Layer]:
        features, stride = width * 2**number, 1 if number == 0 else 2
        out = 4 * features if bottleneck else features
        project = serial(*_normed(out, 1, stride)) if bottleneck or number else None
        start = residual_block(features, stride=stride, bottleneck=bottleneck, shortcut=project)
        return [start, *(residual_block(features, bottleneck=bottleneck) for _ in range(length - 1))]

    blocks = chain.from_iterable(stage(number, length) for number, length in enumerate(stages))
    return serial(*first, *blocks, *head)


def resnet_cifar(depth: int = 20, classes: int | None = 10, *, width: int = 16) -> Layer:
    """ResNet for 32 × 32 images (He et al. 2016, §4.2): three stages of (depth - 2) / 6 blocks.

    Shapes: (..., H, W, n) -> (..., classes), logits; with None for `classes` the features before the pooling,
    (..., H / 4, W / 4, 4 width), for a head of another kind. Features double, and the image is halved, from stage to
    stage; the shortcut there drops places and pads features with zeros (option A), so it has no parameters. 0.27
    million of them at depth 20, 0.46 at 32, 0.66 at 44, 0.85 at 56, 1.7 at 110.

    Raises: ValueError unless depth = 6 k + 2, or for counts below 1.

    >>> params, _ = jax.eval_shape(fn.nets.resnet_cifar(20).init, jax.random.key(0), jnp.ones((32, 32, 3)))
    >>> sum(p.size for p in jax.tree.leaves(params))
    269722
    """
    if check_count("resnet_cifar", "depth", depth) % 6 != 2 or depth < 8:
        raise ValueError(f"resnet_cifar: depth must be 6 k + 2, such as 20, 32, 44, 56, 110, got {depth}")
    head = classifier("resnet_cifar", classes)
    check_count("resnet_cifar", "width", width)

    def stage(number: int) -> list[Layer]:
        features, stride = width * 2**number, 1 if number == 0 else 2
        start = residual_block(features, stride=stride, shortcut=_padded(features) if number else None)
        return [start, *(residual_block(features) for _ in range((depth - 2) // 6 - 1))]

    blocks = chain.from_iterable(stage(number) for number in range(3))
    return serial(*_normed(width, 3), jax.nn.relu, *blocks, *head)


def _normed(features: int, window: int, stride: int = 1) -> tuple[Layer, Layer]:
    """Return a convolution without bias, drawn by He's rule, and batch norm."""
    around = window // 2
    padding = ((around, around), (around, around))
    return conv(features, window, stride=stride, padding=padding, kernel_init=he_normal(), bias_init=None), batch_norm()


def _padded(features: int) -> Callable[[Array], Array]:
    """Return the function that keeps every second place and adds features of zeros."""

    def shortcut(x: Array) -> Array:
        missing = features - x.shape[-1]
        return jnp.pad(x[..., ::2, ::2, :], [(0, 0)] * (x.ndim - 1) + [(missing // 2, missing - missing // 2)])

    return shortcut
