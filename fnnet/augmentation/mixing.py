"""Changes that mix two examples, of images and targets by the same shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from fnnet.augmentation.batches import Transform, opened, place, row_keys, units
from fnnet.augmentation.resampling import rectangle
from fnnet.core import Key
from fnnet.dtypes import at_least_float32
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.shapes import align, check_count
from fnnet.targets import as_labels, check_value

Mixer = Callable[[Array, Array, Array, Array], tuple[Array, Array]]


def mixup(alpha: float = 0.2, *, classes: int | None = None) -> Transform:
    r"""Mix each example with another of its batch, :math:`\lambda x_i + (1-\lambda) x_j` (Zhang et al. 2018, eq. 1).

    λ is of Beta(`alpha`, `alpha`), drawn for each row. Partners are the rows j = i + s of the batch, counted round,
    with one s for all, drawn from 1 … n - 1: never itself, unless it is alone. Targets mix by the same λ: integers
    (n,), labels of so many `classes`, become rows of probabilities (n, classes), which ``fn.losses.cross_entropy``
    takes; floats (n, ...), distributions or numbers, stay what they are. A dict holds any of these. Images are
    floating-point.

    Weights mix too, and a target counts by its own: :math:`w = \lambda w_i + (1-\lambda) w_j` and
    :math:`y = (\lambda w_i y_i + (1-\lambda) w_j y_j) / w`, so that a row of weight 0 adds nothing to what is learnt.

    Law: labels are mixed as pixels are, and sum to 1. Raises: ValueError unless `alpha` is above 0; of the batch
    DataError unless it is (x, y) or (x, y, weight), for labels without `classes` or out of their range where their
    value is known (under ``jit`` their row is NaN), and for targets that cannot be mixed; ShapeError unless x is
    (n, H, W, C) and the weight (n,); DtypeError for integer images.

    >>> x, y = fn.augmentation.mixup(1.0, classes=2)(jax.random.key(0), (jnp.eye(2).reshape(2, 1, 2, 1), jnp.arange(2)))
    >>> bool(jnp.allclose(x.reshape(2, 2), y)), y.shape, bool(jnp.allclose(y.sum(1), 1))
    (True, (2, 2), True)
    """
    draw = _beta("mixup", alpha)

    def mix(where: Array, share: Array, one: Array, other: Array) -> tuple[Array, Array]:
        wide = at_least_float32(one.dtype)
        s = share.astype(wide)
        return (s * one.astype(wide) + (1 - s) * other.astype(wide)).astype(one.dtype), share

    return _mixing("mixup", draw, mix, classes, floating=True)


def cutmix(alpha: float = 1.0, *, classes: int | None = None) -> Transform:
    r"""Put a rectangle of another image of the batch into each, and mix the targets by area (Yun et al. 2019, § 3.1).

    The sides of the rectangle are :math:`\sqrt{1-\lambda}` of the image's, with λ of Beta(`alpha`, `alpha`) for each
    row; its centre is anywhere, and it is cut at the edges. The share of an example in the target is exactly that of
    its pixels. Partners, targets, weights and errors are as of ``mixup``; images may be of any real dtype.
    Law: of images that are 0 and 1, the mean of each is the share of the other's label.

    >>> black, white = jnp.zeros((1, 6, 6, 1)), jnp.ones((1, 6, 6, 1))
    >>> mix = fn.augmentation.cutmix(classes=2)
    >>> x, y = mix(jax.random.key(0), (jnp.concatenate([black, white]), jnp.arange(2)))
    >>> bool(jnp.allclose(x.mean((1, 2, 3)), y[:, 1]))
    True
    """
    draw = _beta("cutmix", alpha)

    def mix(where: Array, share: Array, one: Array, other: Array) -> tuple[Array, Array]:
        size = one.shape[:2]
        ends = []
        for unit, side in zip(where, size, strict=True):
            length = jnp.round(jnp.sqrt(1 - share) * side).astype(jnp.int32)
            start = place(unit, side) - length // 2
            ends.append((jnp.clip(start, 0, side), jnp.clip(start + length, 0, side)))
        (top, bottom), (left, right) = ends
        inside = rectangle(size, top, left, bottom, right)
        kept = 1 - ((bottom - top) * (right - left)).astype(share.dtype) / (size[0] * size[1])
        return jnp.where(inside[..., None], other, one), kept

    return _mixing("cutmix", draw, mix, classes, floating=False)


def _beta(where: str, alpha: float) -> Callable[[Array, Array], Float[Array, ""]]:
    """Return what makes a number of Beta(alpha, alpha) of two uniform ones (Devroye 1996, from Bailey 1994)."""
    check_value(where, "alpha", alpha, "a number above 0", lambda a: 0 < a < float("inf"))
    root = 1 / float(alpha)

    def draw(u: Array, v: Array) -> Float[Array, ""]:
        # jax.random.beta rejects in loops, of which each compiled step would hold two.
        p, cosine = u**root, jnp.cos(2 * jnp.pi * v)
        squared = p + (1 - p) * cosine**2
        return jnp.clip(0.5 + 0.5 * cosine * jnp.sqrt((1 - p) / jnp.maximum(squared, jnp.finfo(p.dtype).tiny)), 0, 1)

    return draw


def _mixing(
    where: str, draw: Callable[[Array, Array], Array], mix: Mixer, classes: int | None, *, floating: bool
) -> Transform:
    if classes is not None:
        check_count(where, "classes", classes, least=2)

    def transform(key: Key, batch: PyTree) -> PyTree:
        x, y, weight = opened(where, batch, floating=floating)
        rows, dtype = len(x), at_least_float32(x.dtype)
        # The key of the batch's shift is that of the row after the last that there can be.
        numbers = _as_numbers(where, y, "y", rows, classes, dtype)
        keys = row_keys(where, key, rows)
        shift = jax.random.randint(jax.random.fold_in(key, 2**31 - 1), (), 1, max(rows, 2))
        partners = (jnp.arange(rows) + shift) % rows

        def one(key: Key, image: Array, other: Array) -> tuple[Array, Array]:
            u, v, *where = units(key, 4, dtype)
            return mix(jnp.stack(where), draw(u, v), image, other)

        x, shares = jax.vmap(one)(keys, x, x[partners])
        return (x, *_mixed_targets(where, numbers, shares, partners, weight))

    return transform


def _mixed_targets(
    where: str,
    numbers: PyTree,
    shares: Float[Array, n],
    partners: Int[Array, n],
    weight: tuple[Array, ...],
) -> tuple[Any, ...]:
    """Return the targets mixed by the shares, and the weights, if there are any."""
    first, second = shares, 1 - shares
    if weight:
        w = jnp.asarray(weight[0])
        if w.shape != shares.shape:
            problem = f"the weight must have shape {shares.shape}, one a row, got {w.shape}"
            raise ShapeError(where, problem, "mix before weights of parts are made, or leave them out.")
        own = w.astype(shares.dtype)
        first, second = first * own, second * own[partners]
        total = first + second
        # What has no weight is divided by 1, and keeps the mixture of pixels.
        nothing = total == 0
        first, second = (
            jnp.where(nothing, s, a / jnp.where(nothing, 1, total)) for s, a in ((shares, first), (1 - shares, second))
        )
        weight = (total.astype(w.dtype if jnp.issubdtype(w.dtype, jnp.floating) else total.dtype),)

    def mixed(values: Array) -> Array:
        a, b = (jnp.broadcast_to(align(s.astype(values.dtype), values, axis=0), values.shape) for s in (first, second))
        return a * values + b * values[partners]

    return (jax.tree.map(mixed, numbers), *weight)


def _as_numbers(where: str, y: Any, name: str, rows: int, classes: int | None, dtype: Any) -> PyTree:
    """Return targets as floats that can be mixed: labels as rows of 0 and 1, a dict as a dict."""
    if isinstance(y, Mapping):
        return {entry: _as_numbers(where, y[entry], f"{name}[{entry!r}]", rows, classes, dtype) for entry in y}
    if not hasattr(y, "shape") or not hasattr(y, "dtype"):
        fix = "objects and masks cannot be mixed: leave the transform out."
        raise DataError(where, f"{name} must be an array, or a dict of arrays, got {type(y).__name__}", fix)
    if len(y.shape) < 1 or y.shape[0] != rows:
        raise ShapeError(where, f"{name} must have {rows} rows, as the images, got shape {y.shape}", "align them.")
    if jnp.issubdtype(y.dtype, jnp.floating):
        return jnp.asarray(y)
    if len(y.shape) != 1:
        problem = f"{name} must be integer labels ({rows},) or floats ({rows}, ...), got {y.dtype} {tuple(y.shape)}"
        raise DtypeError(where, problem, "cast one-hot rows, y.astype(jnp.float32); masks cannot be mixed.")
    if classes is None:
        raise DataError(where, f"{name} holds labels, and the number of classes is not given", "pass classes=...")
    labels, _, valid = as_labels(where, y, classes)
    return jax.nn.one_hot(labels, classes, dtype=dtype) * jnp.where(valid, 1, jnp.nan).astype(dtype)[:, None]
