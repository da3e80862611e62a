"""Losses of classification, from logits: nothing here takes a probability that a network has already squashed."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import nn
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.errors import ShapeError
from fnnet.shapes import align
from fnnet.targets import are_labels, as_binary, as_labels, as_prediction, as_target, check_value, known


def cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: ArrayLike,
    *,
    smoothing: float | Float[Array, ""] = 0.0,
    class_weights: ArrayLike | None = None,
    ignore: int | None = None,
) -> Float[Array, "*batch"]:
    r"""Categorical cross-entropy, :math:`\ell = -\sum_c w_c\, p_c \log \mathrm{softmax}(z)_c`.

    `labels` are integers (...), or one-hot or soft :math:`p` of any dtype (..., classes): told apart by the rank alone.
    Integers are gathered; no one-hot array is made. `smoothing` s mixes the uniform distribution in,
    :math:`p \leftarrow (1-s) p + s/k`, before the `class_weights` :math:`w` (classes,) apply. Rows of :math:`p` are
    used as they are: one that sums to ½ weighs half.

    An example whose integer label is `ignore` has loss 0 and no gradient, and still counts in a mean: for the mean over
    the others, make that the weight of the data, ``(x, labels, (labels != ignore).astype(float))``. Nor is a mean
    divided by the sum of the class weights.

    Stable: finite, with finite gradients, wherever the true value fits in float32.
    Raises: DtypeError for labels of float dtype; ShapeError for any other shape; DataError for a label out of range
    where its value is known; under ``jit`` such a label makes the loss and its gradient NaN.

    >>> fn.losses.cross_entropy(jnp.array([[0.0, 0.0], [-1e4, 1e4]]), jnp.array([0, 1])).round(3)
    Array([0.693, 0.   ], dtype=float32)
    """
    where = "cross_entropy"
    check_smoothing(where, smoothing)
    z = as_prediction(where, logits)
    classes = z.shape[-1] if z.ndim else 0
    weights = None if class_weights is None else weights_of(where, "class_weights", class_weights, z)
    smooth = not (isinstance(smoothing, int | float) and smoothing == 0)
    s = jnp.asarray(smoothing, z.dtype)

    if are_labels(where, z, labels):
        y, kept, valid = as_labels(where, labels, classes, ignore)
        z, log_sum = _shifted(kept_logits(z, kept, ignore))
        loss = (log_sum - jnp.take_along_axis(z, y[..., None], axis=-1))[..., 0]
        loss = loss if weights is None else _times(weights[y], loss)
        if smooth:
            share = jnp.ones(classes, z.dtype) / classes if weights is None else weights / classes
            loss = _times(1 - s, loss) + _expected(align(s * share, z), log_sum - z)
        return _mark(loss, kept, valid)

    if ignore is not None:
        raise ValueError(
            f"{where}: ignore is for integer labels, got ignore={ignore} with one row of probabilities each"
        )
    p = as_target(where, z, labels)
    p = (1 - s) * p + s / classes if smooth else p
    p = p if weights is None else p * align(weights, p)
    z, log_sum = _shifted(z)
    return _expected(p, log_sum - z)


def focal(
    logits: Float[Array, "*batch classes"],
    labels: ArrayLike,
    *,
    gamma: float = 2.0,
    class_weights: ArrayLike | None = None,
    ignore: int | None = None,
) -> Float[Array, "*batch"]:
    r"""Focal loss of several classes, :math:`-w_y (1 - p_y)^\gamma \log p_y` with :math:`p = \mathrm{softmax}(z)`.

    The examples that are already right count less (Lin et al. 2017, eq. 5). Integer labels (...) only: the paper
    defines it for nothing else. `class_weights` and `ignore` as in ``cross_entropy``.
    Law: with `gamma` 0 it is the cross-entropy. Raises: as ``cross_entropy``; ValueError if ``gamma < 0``.

    >>> z = jnp.array([[0.0, 0.0], [9.0, 0.0]])
    >>> [f"{loss:.3f}" for loss in fn.losses.focal(z, jnp.array([0, 0]))]
    ['0.173', '0.000']
    """
    where = "focal"
    _check_gamma(where, gamma)
    z = as_prediction(where, logits)
    if not are_labels(where, z, labels):
        raise ShapeError(where, f"needs integer labels {z.shape[:-1]}, got {z.shape}", "pass labels.argmax(-1).")
    weights = None if class_weights is None else weights_of(where, "class_weights", class_weights, z)
    y, kept, valid = as_labels(where, labels, z.shape[-1], ignore)
    at_label = jax.lax.broadcasted_iota(jnp.int32, z.shape, z.ndim - 1) == y[..., None]
    z, log_sum = _shifted(kept_logits(z, kept, ignore))
    log_p = (jnp.take_along_axis(z, y[..., None], axis=-1) - log_sum)[..., 0]
    # 1 - p_y is the share of the other classes: from their own log-sum it keeps its digits, and its log is finite,
    # unless they are all masked by -inf: then log p_y is 0, whatever it is multiplied by.
    rest = jnp.where(at_label, -jnp.inf, z)
    alone = jnp.isneginf(rest.max(-1))
    log_rest = nn.logsumexp(jnp.where(alone[..., None], 0.0, rest), axis=-1) - log_sum[..., 0]
    if weights is None:
        return _mark(-jnp.exp(gamma * log_rest) * log_p, kept, valid)
    log_p = jnp.where((weights[y] == 0) & jnp.isinf(log_p), 0.0, log_p)  # before its product, whose gradient is nan
    return _mark(-weights[y] * jnp.exp(gamma * log_rest) * log_p, kept, valid)


def hinge(
    logits: Float[Array, "*batch classes"], labels: ArrayLike, *, margin: float = 1.0, ignore: int | None = None
) -> Float[Array, "*batch"]:
    r"""Hinge loss of several classes, :math:`\max(0, m + \max_{c \neq y} z_c - z_y)` (Crammer & Singer 2001).

    Only the strongest wrong class counts, not the sum over all of them (Weston & Watkins 1999). Integer labels (...).
    Raises: as ``cross_entropy``.

    >>> fn.losses.hinge(jnp.array([[2.0, 1.5, 0.0]]), jnp.array([0]))
    Array([0.5], dtype=float32)
    """
    where = "hinge"
    z = as_prediction(where, logits)
    if not are_labels(where, z, labels):
        raise ShapeError(where, f"needs integer labels {z.shape[:-1]}, got {z.shape}", "pass labels.argmax(-1).")
    y, kept, valid = as_labels(where, labels, z.shape[-1], ignore)
    # Marked here, since past the corner of the hinge no NaN would reach the gradient.
    z = kept_logits(z, kept, ignore) * one_or_nan(valid, z)[..., None]
    at_label = jax.lax.broadcasted_iota(jnp.int32, z.shape, z.ndim - 1) == y[..., None]
    rival = jnp.where(at_label, -jnp.inf, z).max(-1)
    loss = nn.relu(margin + rival - jnp.take_along_axis(z, y[..., None], axis=-1)[..., 0])
    return _mark(loss, kept, valid)


def kl_divergence(
    logits: Float[Array, "*batch classes"], target: Float[ArrayLike, "*batch classes"]
) -> Float[Array, "*batch"]:
    r"""Kullback–Leibler divergence, :math:`\sum_c p_c (\log p_c - \log \mathrm{softmax}(z)_c)`.

    `target` holds probabilities :math:`p` (..., classes), of which 0 counts 0. In the logits it has the gradient of
    ``cross_entropy(logits, p)``; unlike that, it is 0 where the two agree (Kullback & Leibler 1951, eq. 2.4).
    Raises: ShapeError if the shapes differ.

    >>> fn.losses.kl_divergence(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]])).round(3)
    Array([0.693], dtype=float32)
    """
    where = "kl_divergence"
    z = as_prediction(where, logits)
    p = as_target(where, z, target)
    are_labels(where, z, target)  # raises unless the last axis holds classes
    log_p = jnp.log(jnp.where(p > 0, p, 1.0))
    z, log_sum = _shifted(z)
    return _expected(p, log_p + log_sum - z)


def binary_cross_entropy(
    logits: Float[Array, "*shape"],
    targets: ArrayLike,
    *,
    smoothing: float | Float[Array, ""] = 0.0,
    positive_weight: ArrayLike = 1.0,
) -> Float[Array, "*shape"]:
    r"""Cross-entropy of one yes-or-no a logit, :math:`-w\, t \log\sigma(z) - (1-t) \log(1-\sigma(z))`.

    Element by element; `targets` in [0, 1] of any dtype and of the logits' shape. `smoothing` s moves them towards ½,
    :math:`t \leftarrow (1-s) t + s/2`. `positive_weight` w is a number, or one for each of the last axis.
    Law: with one logit z it is ``cross_entropy`` of the two logits (0, z).
    Raises: ShapeError if the shapes differ; DataError for a target outside [0, 1] where its value is known; under
    ``jit`` the loss is NaN there.

    >>> fn.losses.binary_cross_entropy(jnp.array([0.0, 1e4, 1e4]), jnp.array([1, 1, 0])).round(3)
    Array([6.93e-01, 0.00e+00, 1.00e+04], dtype=float32)
    """
    where = "binary_cross_entropy"
    check_smoothing(where, smoothing)
    z = as_prediction(where, logits)
    t = as_binary(where, z, targets)
    s = jnp.asarray(smoothing, z.dtype)
    t = (1 - s) * t + s / 2
    w = jnp.asarray(positive_weight).astype(z.dtype)
    if w.ndim:
        w = weights_of(where, "positive_weight", positive_weight, z)
    else:
        _check_weights(where, "positive_weight", positive_weight)
    w = align(w, z) if w.ndim else w
    return _times(w * t, nn.softplus(-z)) + _times(1 - t, nn.softplus(z))


def binary_focal(
    logits: Float[Array, "*shape"], targets: ArrayLike, *, gamma: float = 2.0, alpha: float | None = None
) -> Float[Array, "*shape"]:
    r"""Focal loss of one yes-or-no a logit, :math:`-\alpha_t (1 - p_t)^\gamma \log p_t` (Lin et al. 2017, eq. 5).

    :math:`p_t` is the probability given to the truth; :math:`\alpha_t` is `alpha` for positives and 1 - `alpha` for
    negatives (.25 in the paper), or 1 for both if None. A target between 0 and 1 mixes the two losses.
    Law: with `gamma` 0 and no `alpha` it is the binary cross-entropy.
    Raises: as ``binary_cross_entropy``; ValueError if ``gamma < 0`` or `alpha` is outside [0, 1].

    >>> [f"{loss:.3f}" for loss in fn.losses.binary_focal(jnp.array([0.0, 9.0]), jnp.array([1, 1]))]
    ['0.173', '0.000']
    """
    where = "binary_focal"
    _check_gamma(where, gamma)
    if alpha is not None:
        check_value(where, "alpha", alpha, "a number in [0, 1]", lambda a: 0 <= a <= 1)
    z = as_prediction(where, logits)
    t = as_binary(where, z, targets)
    positive, negative = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    lowest = float(jnp.finfo(z.dtype).min)  # in place of -inf, which γ = 0 must not multiply

    def of_class(weight: Array, z: Array) -> Array:
        """Return weight · (1 - σ(z))^γ · -log σ(z); where the weight is 0, no infinity of z reaches the gradient."""
        z = jnp.where((weight == 0) & jnp.isinf(z), 0.0, z)
        return weight * _times(jnp.exp(gamma * jnp.maximum(nn.log_sigmoid(-z), lowest)), nn.softplus(-z))

    return of_class(positive * t, z) + of_class(negative * (1 - t), -z)


def binary_hinge(logits: Float[Array, "*shape"], targets: ArrayLike, *, margin: float = 1.0) -> Float[Array, "*shape"]:
    r"""Hinge loss of one yes-or-no a score, :math:`\max(0, m - y z)` with :math:`y = 2t - 1` (Cortes & Vapnik 1995).

    Element by element; `targets` are 0 or 1 as everywhere here, not -1 or 1. Raises: as ``binary_cross_entropy``.

    >>> fn.losses.binary_hinge(jnp.array([0.5, 0.5]), jnp.array([1, 0]))
    Array([0.5, 1.5], dtype=float32)
    """
    z = as_prediction("binary_hinge", logits)
    return nn.relu(margin - (2 * as_binary("binary_hinge", z, targets) - 1) * z)


def _shifted(z: Array) -> tuple[Array, Array]:
    """Return z less its largest entry, and the log-sum of its exponentials, as a last axis of one.

    Shifting before anything is added keeps the digits: near 1e4, a float32 has none beyond the third decimal.
    """
    z = z - jax.lax.stop_gradient(z.max(-1, keepdims=True))
    return z, jnp.log(jnp.exp(z).sum(-1, keepdims=True))


def kept_logits(z: Array, kept: Array, ignore: int | None) -> Array:
    """Return the logits with 0 for the examples ignored, so that not even a NaN there reaches the gradient."""
    return z if ignore is None else jnp.where(kept[..., None], z, 0.0)


def _expected(p: Array, surprise: Array) -> Array:
    """Return the sum of p · surprise, where what never happens counts 0 even if it would be an infinite surprise."""
    return _times(p, surprise).sum(-1)


def _times(p: Array, surprise: Array) -> Array:
    return p * jnp.where((p == 0) & jnp.isinf(surprise), 0.0, surprise)


def _mark(loss: Array, kept: Array, valid: Array) -> Array:
    """Return the loss of the examples kept, 0 for those ignored, NaN with NaN gradient for a label out of range."""
    return jnp.where(kept, loss, 0.0) * one_or_nan(valid, loss)


def one_or_nan(valid: Array, like: Array) -> Array:
    """Return 1 where `valid`, NaN elsewhere, in the dtype of `like`: a factor that spoils value and gradient alike."""
    return jnp.where(valid, jnp.ones((), like.dtype), jnp.nan)


def weights_of(where: str, name: str, weights: ArrayLike, z: Array) -> Array:
    """Return one weight for each of the logits' last axis, in their dtype."""
    if isinstance(weights, Mapping):
        raise TypeError(f"{where}: {name} must be an array with one weight a class, in their order, got a dict")
    w = jnp.asarray(weights).astype(z.dtype)
    if w.shape != z.shape[-1:]:
        problem = f"{name} must have shape {z.shape[-1:]}, got {w.shape}"
        raise ShapeError(where, problem, "give one weight for each of the logits' last axis.")
    _check_weights(where, name, weights)
    return w


def _check_weights(where: str, name: str, weights: ArrayLike) -> None:
    values = known(weights)
    if values is not None and not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(f"{where}: {name} must be finite and at least 0, got {weights}")


def check_smoothing(where: str, smoothing: float | Array) -> None:
    """Raise ValueError unless `smoothing` is a number in [0, 1]."""
    check_value(where, "smoothing", smoothing, "a number in [0, 1]", lambda s: 0 <= s <= 1)


def _check_gamma(where: str, gamma: float | Array) -> None:
    check_value(where, "gamma", gamma, "a number of at least 0", lambda g: g >= 0)
