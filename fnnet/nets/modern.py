"""ConvNeXt and the vision transformer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain

import jax
import numpy as np
from jaxtyping import Array

from fnnet.compose import residual, serial
from fnnet.core import Layer
from fnnet.initializers import constant, truncated_normal
from fnnet.layers import (
    attention,
    class_token,
    conv,
    dense,
    drop_path,
    dropout,
    global_pool,
    layer_norm,
    learned_positions,
    reshape,
    scale,
)
from fnnet.shapes import check_count

_gelu = partial(jax.nn.gelu, approximate=False)
_conv = partial(conv, kernel_init=truncated_normal(0.02))
_dense = partial(dense, kernel_init=truncated_normal(0.02))


def convnext_block(features: int, *, drop: float = 0.0, first_scale: float = 1e-6) -> Layer:
    r"""Depthwise 7 × 7, layer norm and two dense layers, beside the identity (Liu et al. 2022, fig. 4).

    :math:`y = x + \gamma \odot W_2\, \mathrm{gelu}(W_1\, \mathrm{norm}(D * x))`. Shapes: (..., H, W, features), to the
    same. `drop`: the rate at which whole branches are dropped in training, which then needs a key. `first_scale`: γ at
    the start.

    >>> params, _ = jax.eval_shape(fn.nets.convnext_block(96).init, jax.random.key(0), jnp.ones((8, 8, 96)))
    >>> sum(p.size for p in jax.tree.leaves(params))
    79296
    """
    body = serial(
        _conv(features, 7, groups=features),
        layer_norm(),
        _dense(4 * features, activation=_gelu),
        _dense(features),
        scale(scale_init=constant(first_scale)),
        drop_path(drop, dims=2),
    )
    return residual(body)


def convnext(
    depths: Sequence[int] = (3, 3, 9, 3),
    widths: Sequence[int] = (96, 192, 384, 768),
    classes: int = 1000,
    *,
    patch: int = 4,
    drop: float = 0.0,
) -> Layer:
    """ConvNeXt (Liu et al. 2022, table 9), by default its T: blocks in stages, with 2 × 2 convolutions between them.

    Shapes: (..., H, W, n) -> (..., classes), logits; the paper's H = W = 224. `patch`: window and stride of the first
    convolution. `drop`: the rate of the last block; those before have less, in proportion to their number.

    Raises: ValueError unless `depths` and `widths` are as many, and counts at least 1.

    >>> params, _ = jax.eval_shape(fn.nets.convnext().init, jax.random.key(0), jnp.ones((224, 224, 3)))
    >>> sum(p.size for p in jax.tree.leaves(params))
    28589128
    """
    check_count("convnext", "classes", classes)
    if not depths or len(depths) != len(widths):
        raise ValueError(f"convnext: depths and widths must be as many, at least one, got {depths!r} and {widths!r}")
    rates = iter(np.linspace(0, drop, sum(depths)).tolist())

    def smaller(number: int, features: int) -> tuple[Layer, ...]:
        if number == 0:
            return _conv(features, patch, stride=patch, padding="VALID"), layer_norm()
        return layer_norm(), _conv(features, 2, stride=2, padding="VALID")

    def stage(number: int, depth: int, features: int) -> tuple[Layer, ...]:
        blocks = (convnext_block(features, drop=next(rates)) for _ in range(depth))
        return (*smaller(number, features), *blocks)

    body = chain.from_iterable(stage(n, *sizes) for n, sizes in enumerate(zip(depths, widths, strict=True)))
    return serial(*body, global_pool(), layer_norm(), _dense(classes))


def vit(
    classes: int = 1000,
    *,
    size: int | tuple[int, int] = 224,
    patch: int = 16,
    features: int = 192,
    depth: int = 12,
    heads: int = 3,
    hidden: int | None = None,
    drop: float = 0.0,
) -> Layer:
    """Vision transformer (Dosovitskiy et al. 2021), by default the tiny one of Touvron et al. 2021 (DeiT-Ti).

    Shapes: (..., H, W, n) -> (..., classes), logits; `size` is H and W, multiples of `patch`. Patches become vectors of
    `features`, to which learned positions are added, and a learned token before them, which the head reads after
    `depth` blocks of attention and of a dense layer `hidden` wide (four times the features), each with layer norm
    before it and the identity beside it. `drop`: the rate of dropout at the end of branches.

    Raises: ValueError for counts below 1, sizes that `patch` does not divide, or features that `heads` do not.

    >>> params, _ = jax.eval_shape(fn.nets.vit().init, jax.random.key(0), jnp.ones((224, 224, 3)))
    >>> sum(p.size for p in jax.tree.leaves(params))
    5717416
    """
    for name, count in (("classes", classes), ("patch", patch), ("features", features), ("depth", depth)):
        check_count("vit", name, count)
    high, wide = (size, size) if isinstance(size, int) else size
    if high % patch or wide % patch:
        raise ValueError(f"vit: size must be a multiple of patch={patch}, got {size!r}")
    patches = (high // patch) * (wide // patch)

    def block() -> Layer:
        attend = serial(layer_norm(), attention(heads), dropout(drop))
        inner = 4 * features if hidden is None else hidden
        think = (_dense(inner, activation=_gelu), _dense(features))
        return serial(residual(attend), residual(serial(layer_norm(), *think, dropout(drop))))

    return serial(
        _conv(features, patch, stride=patch, padding="VALID"),
        reshape((patches, features), axes=3),
        class_token(),
        learned_positions(patches + 1),
        *(block() for _ in range(depth)),
        layer_norm(),
        _first_step,
        _dense(classes),
    )


def _first_step(x: Array) -> Array:
    return x[..., 0, :]
