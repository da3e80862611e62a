"""Normalization: centre and scale by the statistics of a batch, an example, a group of features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet.core import Key, Layer, Masked, Params, Shaped, State
from fnnet.dtypes import at_least_float32, dtype_of
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.initializers import Initializer, ones, zeros
from fnnet.layers.sequences import unpack
from fnnet.layers.windows import check_spatial
from fnnet.shapes import align, check_count, check_floating, check_last_axis, check_rank, parameter


def batch_norm(
    *,
    momentum: float | Array = 0.99,
    eps: float = 1e-5,
    axis_name: str | tuple[str, ...] | None = None,
    scale_init: Initializer | None = ones,
    bias_init: Initializer | None = zeros,
) -> Layer:
    r"""Normalize each feature over the batch (Ioffe & Szegedy 2015, algorithm 1).

    :math:`y = \gamma\,(x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta`. In training μ and σ² are the mean and the
    (biased) variance over *all* leading axes, spatial ones too, and over `axis_name` where it is mapped by vmap,
    shard_map or pmap: these couple the examples of a batch. At inference they are the running ones.

    Shapes: (..., features), to the same, or a ``Masked`` sequence, whose padding has no part in the statistics.
    Params: ``scale`` and ``bias`` (features,), left out if their init is None. State: ``mean`` and ``var``
    (features,), at first 0 and 1, in float32 at least; each training step makes them momentum · running + (1 −
    momentum) · batch. (As in flax and Keras; torch's momentum is one less ours, .1, and its running variance unbiased.)
    A short run, of fewer than some 300 steps, wants less: .9 forgets the initial values ten times faster.

    The statistics take one pass, about the mean of a few rows, so that a large mean does not cancel a small variance.
    Laws: in training the output has mean β and variance γ², up to ε; it is unchanged by an affine change of the input.
    Raises: ValueError unless ``0 <= momentum <= 1`` and ``eps > 0``; ShapeError, DtypeError for inputs unlike those of
    `init`, empty in training, or not real; DataError where the state is not passed.

    >>> layer = fn.layers.batch_norm(momentum=0.9)
    >>> x = jnp.array([[1.0], [3.0]])
    >>> params, state = layer.init(jax.random.key(0), x)
    >>> y, state = layer.apply(params, state, x, train=True)
    >>> y.round(3).ravel(), state["mean"].round(3)
    (Array([-1.,  1.], dtype=float32), Array([0.2], dtype=float32))
    """
    if not isinstance(momentum, jax.core.Tracer) and not 0 <= momentum <= 1:
        raise ValueError(f"batch_norm: momentum must be between 0 and 1, got {momentum}")
    _check_eps("batch_norm", eps)
    inits = _given(scale_init, bias_init)

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        values = x.values if isinstance(x, Masked) else x
        params = _init_affine("batch_norm", inits, key, values)
        features, dtype = values.shape[-1:], at_least_float32(values.dtype)
        return params, {"mean": jnp.zeros(features, dtype), "var": jnp.ones(features, dtype)}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        values, mask = unpack("batch_norm", x) if isinstance(x, Masked) else (x, None)
        if "mean" not in state:
            raise DataError(
                "batch_norm",
                "needs the state that init returned, which holds its running statistics, got none",
                "pass it too: net(params, x, state).",
            )
        _check("batch_norm", values, state["mean"].shape[0])
        if train and values.size == 0:
            raise ShapeError(
                "batch_norm",
                f"the batch must have at least one row in training, got shape {values.shape}",
                "leave out empty batches.",
            )
        wide = values.astype(at_least_float32(values.dtype))
        if train:
            shift, mean, var = _batch_moments(wide, mask, axis_name)
            state = _towards(state, {"mean": shift + mean, "var": var}, momentum)
            centred = wide - align(shift, wide) - align(mean, wide)
        else:
            var = state["var"].astype(wide.dtype)
            centred = wide - align(state["mean"].astype(wide.dtype), wide)
        y = _affine("batch_norm", inits, params, centred * align(jax.lax.rsqrt(var + eps), wide), dtype_of(values))
        return (Masked(y, x.mask) if isinstance(x, Masked) else y), state

    return Layer("batch_norm", init, apply)


def layer_norm(
    *, eps: float = 1e-6, scale_init: Initializer | None = ones, bias_init: Initializer | None = zeros
) -> Layer:
    r"""Normalize each vector of features (Ba et al. 2016, eq. 4).

    :math:`y = \gamma\,(x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta`; μ and σ²
    (biased) are over the last axis. Shapes: (..., features), to the same. Params: ``scale`` and ``bias``
    (features,), left out if their init is None. (ε is flax's; torch's is 1e-5, Keras' 1e-3.)

    Law: unchanged, but for ε, by an affine change of the input.
    Raises: ValueError unless ``eps > 0``; ShapeError, DtypeError for inputs unlike those of `init`, or not real.

    >>> layer = fn.layers.layer_norm()
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones(2))
    >>> layer(params, jnp.array([[1.0, 3.0]])).round(3)
    Array([[-1.,  1.]], dtype=float32)
    """
    _check_eps("layer_norm", eps)

    def normalize(x: Array) -> Array:
        return _standardize(x, (x.ndim - 1,), eps)

    return _example_norm("layer_norm", normalize, _given(scale_init, bias_init))


def rms_norm(*, eps: float = 1e-6, scale_init: Initializer | None = ones) -> Layer:
    r"""Scale each vector of features to unit mean square (Zhang & Sennrich 2019, eq. 4), without centring it.

    :math:`y = \gamma\, x / \sqrt{\tfrac1n \sum_i x_i^2 + \epsilon}`. Shapes: (..., features), to the same. Params:
    ``scale (features,)`` unless `scale_init` is None.

    Law: unchanged, but for ε, by a positive factor.
    Raises: as ``layer_norm`` does.

    >>> layer = fn.layers.rms_norm()
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones(2))
    >>> layer(params, jnp.array([3.0, -3.0])).round(3)
    Array([ 1., -1.], dtype=float32)
    """
    _check_eps("rms_norm", eps)

    def normalize(x: Array) -> Array:
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + eps)

    return _example_norm("rms_norm", normalize, _given(scale_init, None))


def group_norm(
    groups: int = 32,
    *,
    dims: int = 2,
    eps: float = 1e-6,
    scale_init: Initializer | None = ones,
    bias_init: Initializer | None = zeros,
) -> Layer:
    """Normalize each example over its places and each of `groups` groups of features (Wu & He 2018, eq. 7).

    As ``layer_norm``, with mean and variance over all `dims` spatial axes and the consecutive features of a group.
    Shapes: (..., *space, features), to the same. Params: ``scale`` and ``bias`` (features,).

    Laws: with one group per feature it is ``instance_norm``; with one group and ``dims=0`` it is ``layer_norm``.
    Raises: ValueError for ``groups < 1``, ``dims < 0``; ShapeError if the features are not a multiple of `groups`, or
    too few axes; and as ``layer_norm`` does.

    >>> layer = fn.layers.group_norm(2, dims=0)
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones(4))
    >>> layer(params, jnp.array([1.0, 3.0, 10.0, 30.0])).round(3)
    Array([-1.,  1., -1.,  1.], dtype=float32)
    """
    check_count("group_norm", "groups", groups)
    check_count("group_norm", "dims", dims, least=0)
    return _grouped("group_norm", groups, dims, eps, scale_init, bias_init)


def instance_norm(
    *,
    dims: int = 2,
    eps: float = 1e-6,
    scale_init: Initializer | None = ones,
    bias_init: Initializer | None = zeros,
) -> Layer:
    """Normalize each example and feature over all `dims` spatial axes (Ulyanov et al. 2016, eq. 4).

    Shapes: (..., *space, features), to the same. Params: ``scale`` and ``bias`` (features,). (torch has none by
    default.)
    Raises: ValueError for ``dims < 1``; ShapeError for too few axes; and as ``layer_norm`` does.

    >>> layer = fn.layers.instance_norm(dims=1)
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((2, 1)))
    >>> layer(params, jnp.array([[1.0], [3.0]])).round(3)
    Array([[-1.],
           [ 1.]], dtype=float32)
    """
    check_count("instance_norm", "dims", dims)
    return _grouped("instance_norm", None, dims, eps, scale_init, bias_init)


def _grouped(
    where: str,
    groups: int | None,
    dims: int,
    eps: float,
    scale_init: Initializer | None,
    bias_init: Initializer | None,
) -> Layer:
    """Return the norm over `dims` spatial axes and the features of each group; each feature is one if None."""
    _check_eps(where, eps)

    def check(x: Shaped) -> None:
        check_spatial(where, x, dims)
        if groups is not None and x.shape[-1] % groups:
            raise ShapeError(
                where,
                f"the last axis of the input must be a multiple of groups={groups}, got shape {tuple(x.shape)}",
                "change groups, or the number of features before.",
            )

    def normalize(x: Array) -> Array:
        count = x.shape[-1] if groups is None else groups
        split = x.reshape(*x.shape[:-1], count, x.shape[-1] // count)
        axes = (*range(split.ndim - 2 - dims, split.ndim - 2), split.ndim - 1)
        return _standardize(split, axes, eps).reshape(x.shape)

    return _example_norm(where, normalize, _given(scale_init, bias_init), check)


def _example_norm(
    where: str,
    normalize: Callable[[Array], Array],
    inits: dict[str, Initializer],
    check: Callable[[Shaped], None] = lambda x: None,
) -> Layer:
    """Return the layer without state that normalizes in float32 at least, then scales and shifts each feature."""

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        check(x)
        return _init_affine(where, inits, key, x), {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        features = next((parameter(where, params, name).shape[0] for name in inits), None)
        _check(where, x, features)
        check(x)
        y = normalize(x.astype(at_least_float32(x.dtype)))
        return _affine(where, inits, params, y, dtype_of(x)), state

    return Layer(where, init, apply)


def _given(scale_init: Initializer | None, bias_init: Initializer | None) -> dict[str, Initializer]:
    """Return by name the initializers that are not None: a norm has those parameters."""
    return {name: make for name, make in (("scale", scale_init), ("bias", bias_init)) if make is not None}


def _init_affine(where: str, inits: dict[str, Initializer], key: Key, x: Shaped) -> Params:
    _check(where, x, None)
    keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(inits)}
    return {name: make(keys[name], x.shape[-1:], dtype_of(x)) for name, make in inits.items()}


def _affine(where: str, inits: dict[str, Initializer], params: Params, y: Array, dtype: Any) -> Array:
    """Return scale · y + bias, as far as the norm has them, in `dtype`."""
    given = {name: align(parameter(where, params, name).astype(y.dtype), y) for name in inits}
    y = y * given["scale"] if "scale" in given else y
    y = y + given["bias"] if "bias" in given else y
    return y.astype(dtype)


def _standardize(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    """Return `x` with mean 0 and variance 1 over `axes`."""
    first = jax.lax.stop_gradient(x[tuple(slice(1) if axis in axes else slice(None) for axis in range(x.ndim))])
    # About one of its values, so that the rounding of a large mean does not reach the output.
    d = x - first
    centred = d - jnp.mean(d, axes, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred * centred, axes, keepdims=True) + eps)


def _batch_moments(x: Array, mask: Array | None, axis_name: str | tuple[str, ...] | None) -> tuple[Array, Array, Array]:
    """Return a shift near the mean, the mean less the shift, and the variance, of each feature."""
    rows = x.reshape(-1, x.shape[-1])
    weight = None if mask is None else mask.reshape(-1)
    shift = jax.lax.stop_gradient(_near_mean(rows, weight))
    if axis_name is not None:
        shift = jax.lax.pmean(shift, axis_name)
    d = rows - align(shift, rows)
    if weight is None:
        count = jnp.asarray(rows.shape[0], x.dtype)
    else:
        d = jnp.where(weight[:, None], d, jnp.zeros((), d.dtype))
        count = weight.sum().astype(x.dtype)
    sums = (count, d.sum(0), (d * d).sum(0))
    count, first, second = sums if axis_name is None else jax.lax.psum(sums, axis_name)
    count = jnp.maximum(count, 1)
    mean = first / count
    return shift, mean, jnp.maximum(second / count - mean * mean, 0)


def _near_mean(rows: Array, weight: Array | None) -> Array:
    """Return the mean of a few rows from all over the batch: moments about it are free of cancellation.

    About a single row they would not be, were that row far from all others, as a dark corner of an image is.
    """
    apart = max(1, rows.shape[0] // 64)
    if weight is None:
        return rows[::apart].mean(0)
    few, real = rows[::apart], weight[::apart]
    count = real.sum()
    mean = jnp.where(real[:, None], few, jnp.zeros((), rows.dtype)).sum(0) / jnp.maximum(count, 1).astype(rows.dtype)
    return jnp.where(count > 0, mean, rows[jnp.argmax(weight)])


def _towards(state: State, batch: dict[str, Array], momentum: float | Array) -> State:
    """Return the running statistics after those of one more batch."""

    def towards(old: Array, new: Array) -> Array:
        kept = jnp.asarray(momentum).astype(old.dtype)
        return kept * old + (1 - kept) * new.astype(old.dtype)

    return {name: towards(old, batch[name]) for name, old in state.items()}


def _check_eps(where: str, eps: float) -> None:
    if not eps > 0:
        raise ValueError(f"{where}: eps must be positive, got {eps}")


def _check(where: str, x: Shaped, features: int | None) -> None:
    check_floating(where, x)
    check_rank(where, x, 1, "(..., features)")
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise DtypeError(where, f"the input must be real, got {x.dtype}", "normalize real and imaginary parts apart.")
    if features is not None:
        check_last_axis(where, x, features)
