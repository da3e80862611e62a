"""Convolutions: one kernel for every place, and their transposes, which upsample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from fnnet.activations import check_activation, matching_initializer
from fnnet.core import Key, Layer, Params, Shaped, State
from fnnet.dtypes import dtype_of
from fnnet.errors import ShapeError
from fnnet.initializers import Initializer, zeros
from fnnet.layers.affine import activated, add_bias, init_affine
from fnnet.layers.correlation import (
    FORMULATIONS,
    KINDS,
    Formulation,
    Geometry,
    correlate,
    fits,
    transpose_correlate,
)
from fnnet.layers.windows import (
    Padding,
    Pairs,
    check_covered,
    check_padding,
    check_spatial,
    extents,
    for_each_axis,
    pairs_of,
    window_of,
)
from fnnet.shapes import check_count, check_last_axis, parameter

_PADDINGS = ("SAME", "VALID", "CIRCULAR")


def conv(
    features: int,
    kernel_size: int | Sequence[int] = 3,
    *,
    dims: int | None = None,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding: Padding = "SAME",
    activation: Callable[[Any], Any] | None = None,
    kernel_init: Initializer | None = None,
    bias_init: Initializer | None = zeros,
    formulation: Formulation = "auto",
) -> Layer:
    r"""Convolution over the axes before the last, then the activation; channels last.

    :math:`y_{p,o} = \phi\left(b_o + \sum_{q,i} x_{s p + d q,\,i}\, K_{q,i,o}\right)`, with stride s and dilation d: a
    correlation, the kernel is not flipped.

    Shapes: (..., \*space, n) -> (..., \*new space, features), with `dims` spatial axes: as many as `kernel_size` has
    numbers; two if it is an int, unless `dims` is given. Leading axes are batch: any number of them, or none.
    Params: ``kernel`` (\*kernel_size, n / groups, features), ``bias (features,)`` unless `bias_init` is None.

    `padding`: ``"VALID"`` none; ``"SAME"`` zeros, so that new size = ⌈size / stride⌉; ``"CIRCULAR"`` as many, but
    wrapped round; or pairs (before, after) of zeros, one for each spatial axis. `groups`: each of as many equal groups
    of features sees one of the input's; ``groups=n`` is a depthwise convolution. The kernel is drawn as by ``dense``.

    `formulation`: how the sums are computed. ``"auto"`` takes what measured fastest (how-it-works in the documents):
    XLA's own on GPU and TPU; on CPU, where that is slow inside compiled runs, one matrix product (``"columns"``),
    or fewer products by Winograd's filtering, where a window is 3 × 3 without stride, dilation and groups
    (``"winograd2"``, ``"winograd4"``: float32), or sums by feature (``"depthwise"``). ``"xla"`` is XLA's everywhere.
    In float32, relative to the largest sum of \|x\| \|K\|, columns are within 1e-6 of the exact value, winograd2 2e-6,
    winograd4 2e-5; each in value and in both gradients.

    Law: with ``"CIRCULAR"`` and stride 1, rolling the input along a spatial axis rolls the output.
    Raises: ValueError for numbers out of range; ShapeError for too few axes, a number of input features that is not a
    multiple of `groups` or not that of `init`, or a window that does not fit; DtypeError for integers. ValueError if a
    `formulation` asked for by name does not compute such a convolution.

    >>> layer = fn.layers.conv(8, (3, 3), stride=2, activation=jax.nn.relu)
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((1, 28, 28, 3)))
    >>> params["kernel"].shape, layer(params, jnp.ones((5, 28, 28, 3))).shape
    ((3, 3, 3, 8), (5, 14, 14, 8))
    """
    window = window_of("conv", "kernel_size", kernel_size, dims)
    strides, steps = (
        for_each_axis("conv", name, value, len(window)) for name, value in (("stride", stride), ("dilation", dilation))
    )
    padding = check_padding("conv", padding, len(window), _PADDINGS)
    _check_formulation("conv", formulation)
    extent = extents(window, steps)

    def convolve(x: Array, kernel: Array) -> Array:
        sizes = check_spatial("conv", x, len(window))
        pairs = pairs_of(padding, sizes, extent, strides)
        check_covered("conv", sizes, extent, pairs)
        if padding == "CIRCULAR":
            x, pairs = _wrap(x, pairs), ((0, 0),) * len(window)
        geometry = Geometry(x.shape[-1 - len(window) : -1], window, strides, steps, pairs, groups)
        _check_fits("conv", formulation, geometry, x, kernel)
        return _one_batch(lambda x, k: correlate(x, k, geometry, formulation), x, kernel, len(window))

    init = _init("conv", features, window, groups, activation, kernel_init, bias_init)
    return Layer("conv", init, _apply("conv", features, window, convolve, groups, activation, bias_init))


def conv_transpose(
    features: int,
    kernel_size: int | Sequence[int] = 3,
    *,
    dims: int | None = None,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding: Padding = "SAME",
    activation: Callable[[Any], Any] | None = None,
    kernel_init: Initializer | None = None,
    bias_init: Initializer | None = zeros,
    formulation: Formulation = "auto",
) -> Layer:
    r"""Transposed convolution: upsampling by `stride`, then the activation; channels last.

    :math:`y_{p,o} = \phi\left(b_o + \sum_{s r + k - 1 - d q = p + a} x_{r,i}\, K_{q,i,o}\right)`, with stride s,
    dilation d, span k = d (kernel_size - 1) + 1 and padding a before: a correlation with the input that has s - 1
    zeros put between its elements, the kernel not flipped, as ``jax.lax.conv_transpose`` and unlike torch and Keras.

    Shapes: (..., \*space, n) -> (..., \*new space, features); `dims` and params as for ``conv``. New size = size ·
    stride for ``"SAME"`` and ``"CIRCULAR"``; (size - 1) · stride + k for ``"VALID"``; less before + after for pairs,
    which *crop* that (as torch's padding does). If kernel_size < stride, jax.lax places the output otherwise, or makes
    it longer. `formulation`: as for ``conv``.

    Law: the linear part is the adjoint of that of ``conv`` of the same stride, dilation, groups and padding, whose
    kernel is flipped in space and has its inputs and outputs exchanged.
    Raises: as ``conv`` does.

    >>> layer = fn.layers.conv_transpose(8, (2, 2), stride=2)
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((1, 14, 14, 3)))
    >>> params["kernel"].shape, layer(params, jnp.ones((5, 14, 14, 3))).shape
    ((2, 2, 3, 8), (5, 28, 28, 8))
    """
    where = "conv_transpose"
    window = window_of(where, "kernel_size", kernel_size, dims)
    strides, steps = (
        for_each_axis(where, name, value, len(window)) for name, value in (("stride", stride), ("dilation", dilation))
    )
    padding = check_padding(where, padding, len(window), _PADDINGS)
    _check_formulation(where, formulation)
    extent = extents(window, steps)

    def convolve(x: Array, kernel: Array) -> Array:
        sizes = check_spatial(where, x, len(window))
        if isinstance(padding, str) and padding != "VALID":
            new_sizes = tuple(n * s for n, s in zip(sizes, strides, strict=True))
        else:
            pairs = pairs_of(padding, sizes, extent, strides)
            new_sizes = tuple(
                (n - 1) * s + k - sum(pair) for n, s, k, pair in zip(sizes, strides, extent, pairs, strict=True)
            )
        if min(new_sizes) < 1:
            raise ShapeError(where, f"the padding crops all of the output, of size {new_sizes}", "use less padding.")
        crop = pairs_of(padding, new_sizes, extent, strides)
        before = [pair[0] for pair in crop]
        if padding == "CIRCULAR":
            around = tuple(-(-k // s) for k, s in zip(extent, strides, strict=True))
            x = _wrap(x, tuple((m, m) for m in around))
            before = [b + m * s for b, m, s in zip(before, around, strides, strict=True)]
        # The padding after is what remains, so that positions that the stride of `conv` would skip are made too.
        inputs = x.shape[-1 - len(window) : -1]
        pairs = tuple(
            (b, (n - 1) * s + k - new - b)
            for n, new, s, k, b in zip(inputs, new_sizes, strides, extent, before, strict=True)
        )
        geometry = Geometry(new_sizes, window, strides, steps, pairs, groups)
        turned = _turned(kernel, groups)
        _check_fits(where, formulation, geometry, x, turned)
        return _one_batch(lambda x, k: transpose_correlate(x, k, geometry, formulation), x, turned, len(window))

    init = _init(where, features, window, groups, activation, kernel_init, bias_init)
    return Layer(where, init, _apply(where, features, window, convolve, groups, activation, bias_init))


def _init(
    where: str,
    features: int,
    window: tuple[int, ...],
    groups: int,
    activation: Callable[[Any], Any] | None,
    kernel_init: Initializer | None,
    bias_init: Initializer | None,
) -> Callable[[Key, Shaped], tuple[Params, State]]:
    check_count(where, "features", features)
    check_activation(where, activation)
    check_count(where, "groups", groups)
    if features % groups:
        raise ValueError(f"{where}: groups must divide features={features}, got {groups}")
    initializer = matching_initializer(activation) if kernel_init is None else kernel_init

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        check_spatial(where, x, len(window))
        if x.shape[-1] % groups:
            raise ShapeError(
                where,
                f"the last axis of the input must be a multiple of groups={groups}, got shape {tuple(x.shape)}",
                "change groups, or the number of features before.",
            )
        shape = (*window, x.shape[-1] // groups, features)
        return init_affine(key, shape, dtype_of(x), initializer, bias_init), {}

    return init


def _apply(
    where: str,
    features: int,
    window: tuple[int, ...],
    convolve: Callable[[Array, Array], Array],
    groups: int,
    activation: Callable[[Any], Any] | None,
    bias_init: Initializer | None,
) -> Callable[..., tuple[Any, State]]:
    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        kernel = parameter(where, params, "kernel", (*window, None, features))
        check_spatial(where, x, len(window))
        check_last_axis(where, x, kernel.shape[-2] * groups)
        y = add_bias(where, params, convolve(x, kernel), bias_init)
        return activated(activation, y), state

    return apply


def _turned(kernel: Array, groups: int) -> Array:
    """Return the kernel of the adjoint: flipped in space, its inputs and outputs exchanged within each group."""
    dims = kernel.ndim - 2
    split = jnp.flip(kernel, tuple(range(dims))).reshape(*kernel.shape[:-1], groups, -1)
    return jnp.moveaxis(split, -3, -1).swapaxes(-3, -2).reshape(*kernel.shape[:-2], kernel.shape[-1] // groups, -1)


def _wrap(x: Array, pairs: Pairs) -> Array:
    """Return `x` with its spatial axes continued periodically."""
    return jnp.pad(x, ((0, 0),) * (x.ndim - 1 - len(pairs)) + pairs + ((0, 0),), mode="wrap")


def _one_batch(correlation: Callable[[Array, Array], Array], x: Array, kernel: Array, dims: int) -> Array:
    """Return the correlation of `x` with its leading axes made one for the while, in one dtype."""
    lead = x.shape[: x.ndim - dims - 1]
    dtype = jnp.result_type(x, kernel)  # the product of two dtypes is promoted as a dense layer's is
    x = x.astype(dtype).reshape(math.prod(lead), *x.shape[len(lead) :])
    y = correlation(x, kernel.astype(dtype))
    return y.reshape(*lead, *y.shape[1:])


def _check_formulation(where: str, formulation: Formulation) -> None:
    """Raise ValueError if there is no formulation of that name."""
    if formulation not in FORMULATIONS:
        known = ", ".join(map(repr, FORMULATIONS))
        raise ValueError(f"{where}: formulation must be one of {known}, got {formulation!r}")


def _check_fits(where: str, formulation: Formulation, geometry: Geometry, x: Array, kernel: Array) -> None:
    """Raise ValueError if a formulation that was asked for by name does not compute such a correlation."""
    dtype = jnp.result_type(x, kernel)
    if not fits(formulation, geometry, kernel.shape[-2] * geometry.groups, dtype):
        raise ValueError(
            f"{where}: formulation {formulation!r} is for {KINDS[formulation]}, got a window {geometry.window}, stride "
            f"{geometry.stride}, dilation {geometry.dilation}, groups {geometry.groups}, {dtype}"
        )
