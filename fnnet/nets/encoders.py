"""U-Net: a network that looks ever wider, and puts what it saw back in its place, level by level."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from fnnet.compose import LayerLike, concat, residual, serial
from fnnet.core import Layer
from fnnet.layers import batch_norm, conv, conv_transpose, max_pool
from fnnet.shapes import check_count


def unet(classes: int, widths: Sequence[int] = (64, 128, 256, 512, 1024), *, norm: bool = False) -> Layer:
    r"""U-Net (Ronneberger et al. 2015, fig. 1): a logit for each pixel and class.

    At each level two 3 × 3 convolutions; then the levels below, of half the size, whose output a transposed convolution
    brings back to size; both side by side, and two more convolutions. In short, from the lowest level upwards,
    ``u = serial(convolutions, residual(serial(max_pool(2), u, conv_transpose(n, 2, stride=2)), combine=concat),
    convolutions)``.

    Shapes: (..., H, W, n) -> (..., H, W, classes), with H and W multiples of 2 to the number of levels less one: the
    convolutions are padded, where the paper's crop. `widths`: features of each level, from the top. `norm`: batch norm
    after each convolution, then without bias. The paper's has 31 030 658 parameters, for one channel and two classes,
    counted from its figure.

    Raises: ValueError for no widths, or counts below 1; ShapeError for sizes that halve to odd ones.

    >>> params, _ = jax.eval_shape(fn.nets.unet(2).init, jax.random.key(0), jnp.ones((512, 512, 1)))
    >>> sum(p.size for p in jax.tree.leaves(params))
    31030658
    """
    check_count("unet", "classes", classes)
    if not widths:
        raise ValueError("unet: widths must be at least one, got none")
    *upper, lowest = widths

    def convolutions(features: int) -> list[LayerLike]:
        if norm:
            return [conv(features, bias_init=None), batch_norm(), jax.nn.relu] * 2
        return [conv(features, activation=jax.nn.relu)] * 2

    level = convolutions(lowest)
    for features in reversed(upper):
        below = serial(max_pool(2), *level, conv_transpose(features, 2, stride=2))
        level = [*convolutions(features), residual(below, combine=concat), *convolutions(features)]
    return serial(*level, conv(classes, 1))
