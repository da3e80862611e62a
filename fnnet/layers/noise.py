"""Dropout: noise in training that leaves the mean as it is, by element, by channel, or by example."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet.core import Key, Layer, Params, Shaped, State
from fnnet.dtypes import dtype_of
from fnnet.layers.windows import check_spatial
from fnnet.shapes import check_count, check_floating, check_key


def dropout(rate: float | Array) -> Layer:
    r"""Set each element to zero with probability `rate` in training (Srivastava et al. 2014).

    :math:`y = m x / (1 - \text{rate})`, m one with probability 1 − rate, else zero: scaled in training ("inverted"), so
    that inference is the identity. Needs a key in training, unless ``rate == 0``.

    Law: the mean over keys is the input.
    Raises: ValueError unless ``0 <= rate < 1``; KeyMissingError in training without a key; DtypeError for integers.

    >>> layer = fn.layers.dropout(0.5)
    >>> layer({}, jnp.ones(3))
    Array([1., 1., 1.], dtype=float32)
    >>> layer.apply({}, {}, jnp.ones(3), key=jax.random.key(1), train=True)[0].shape
    (3,)
    """
    return _noise("dropout", rate, shared_axes=0, per_channel=True)


def channel_dropout(rate: float | Array, *, dims: int = 2) -> Layer:
    """Set whole channels of an example to zero with probability `rate` in training (Tompson et al. 2015, §3.2).

    As ``dropout``, but one draw serves all `dims` spatial axes: neighbours, being alike, would tell what is missing.
    Shapes: (..., *space, features), to the same.
    Raises: as ``dropout`` does; ValueError if ``dims < 1``; ShapeError for too few axes.

    >>> layer = fn.layers.channel_dropout(0.5)
    >>> layer.apply({}, {}, jnp.ones((4, 4, 3)), key=jax.random.key(0), train=True)[0].std((0, 1))
    Array([0., 0., 0.], dtype=float32)
    """
    return _noise("channel_dropout", rate, shared_axes=check_count("channel_dropout", "dims", dims), per_channel=True)


def drop_path(rate: float | Array, *, dims: int = 2) -> Layer:
    r"""Set all of an example to zero with probability `rate` in training: stochastic depth (Huang et al. 2016, eq. 2).

    Within a residual branch it skips the branch, :math:`y = x + m f(x) / (1 - \text{rate})`; the paper scales at
    inference instead. An example has `dims` spatial axes and one of features: ``dims=2`` for images, 1 for sequences, 0
    for vectors.
    Raises: as ``dropout`` does; ValueError if ``dims < 0``; ShapeError for too few axes.

    >>> block = fn.compose.residual(fn.serial(fn.dense(4), fn.layers.drop_path(0.2, dims=0)))
    >>> block.init(jax.random.key(0), jnp.ones((8, 4)))[0]["body"]["dense_0"]["kernel"].shape
    (4, 4)
    """
    return _noise("drop_path", rate, shared_axes=check_count("drop_path", "dims", dims, least=0), per_channel=False)


def _noise(where: str, rate: float | Array, *, shared_axes: int, per_channel: bool) -> Layer:
    """Return the layer that drops by one draw along `shared_axes` axes before the last, and perhaps the last."""
    traced = isinstance(rate, jax.core.Tracer)  # where a layer is made inside vmap, to sweep the rate
    if not traced and not 0 <= rate < 1:
        raise ValueError(f"{where}: rate must be at least 0 and less than 1, got {rate}")
    spatial = shared_axes > 0 or not per_channel

    def check(x: Shaped) -> None:
        if spatial:
            check_spatial(where, x, shared_axes)
        else:
            check_floating(where, x)

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        check(x)
        return {}, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        check(x)
        if not train or (not traced and rate == 0):
            return x, state
        shared = range(x.ndim - 1 - shared_axes, x.ndim - 1 if per_channel else x.ndim)
        shape = tuple(1 if axis in shared else n for axis, n in enumerate(x.shape))
        keep = jax.random.bernoulli(check_key(where, key), 1 - rate, shape)
        kept = jnp.asarray(1 - rate).astype(dtype_of(x))
        return jnp.where(keep, x / kept, jnp.zeros((), dtype_of(x))), state

    return Layer(where, init, apply)
