"""Losses of regression, element by element: one value for each output, of the prediction's shape.

The mean over everything, which training takes, is then the mean over examples of the mean over outputs, with weights or
without.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import nn
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.targets import as_prediction, as_target, check_value, error_of

_LARGEST_LOG_RATE = 50.0  # a rate of 5e21: above it, `poisson` goes on as a straight line


def squared_error(prediction: Float[Array, "*shape"], target: ArrayLike) -> Float[Array, "*shape"]:
    r"""Square of the error, :math:`(\hat y - y)^2`, without a factor ½.

    Raises: ShapeError if the shapes differ.

    >>> fn.losses.squared_error(jnp.array([3.0, 1.0]), jnp.array([1.0, 1.0]))
    Array([4., 0.], dtype=float32)
    """
    return jnp.square(error_of("squared_error", prediction, target))


def absolute_error(prediction: Float[Array, "*shape"], target: ArrayLike) -> Float[Array, "*shape"]:
    r"""Magnitude of the error, :math:`|\hat y - y|`, with gradient 0 where it is 0. Its minimiser is the median.

    Raises: ShapeError if the shapes differ.

    >>> fn.losses.absolute_error(jnp.array([3.0, 1.0]), jnp.array([1.0, 1.0]))
    Array([2., 0.], dtype=float32)
    """
    return jnp.abs(error_of("absolute_error", prediction, target))


def huber(prediction: Float[Array, "*shape"], target: ArrayLike, *, delta: float = 1.0) -> Float[Array, "*shape"]:
    r"""Square near 0, straight beyond: :math:`e^2/2` for :math:`|e| \le \delta`, else :math:`\delta(|e| - \delta/2)`.

    With the factor ½ of Huber (1964, eq. 2.5), so that with a large `delta` it is half the squared error.
    Raises: ShapeError if the shapes differ; ValueError unless ``delta > 0``.

    >>> fn.losses.huber(jnp.array([0.5, 3.0]), jnp.array([0.0, 0.0]))
    Array([0.125, 2.5  ], dtype=float32)
    """
    check_value("huber", "delta", delta, "a number above 0", lambda d: d > 0)
    magnitude = jnp.abs(error_of("huber", prediction, target))
    near = jnp.minimum(magnitude, delta)
    return near * (magnitude - near / 2)


def log_cosh(prediction: Float[Array, "*shape"], target: ArrayLike) -> Float[Array, "*shape"]:
    r"""Smooth cousin of the absolute error, :math:`\log\cosh(\hat y - y)`; its gradient is :math:`\tanh`.

    :math:`e^2/2` near 0 and :math:`|e| - \log 2` far away, to full relative precision in both.
    Raises: ShapeError if the shapes differ.

    >>> [f"{loss:.3f}" for loss in fn.losses.log_cosh(jnp.array([0.0, 1.0, 1e4]), jnp.zeros(3))]
    ['0.000', '0.434', '9999.307']
    """
    magnitude = jnp.abs(error_of("log_cosh", prediction, target))
    # Near 0 the usual form |e| + log1p(exp(-2|e|)) - log 2 cancels; far away sinh overflows.
    near = jnp.log1p(2 * jnp.square(jnp.sinh(jnp.minimum(magnitude, 1.0) / 2)))
    far = magnitude + nn.softplus(-2 * magnitude) - math.log(2)
    return jnp.where(magnitude < 1, near, far)


def quantile(prediction: Float[Array, "*shape"], target: ArrayLike, *, q: float = 0.5) -> Float[Array, "*shape"]:
    r"""Pinball loss, :math:`\max(q\,e, (q-1)\,e)` with :math:`e = y - \hat y`; its minimiser is the `q`-quantile.

    With `q` ½ it is half the absolute error (Koenker & Bassett 1978).
    Raises: ShapeError if the shapes differ; ValueError unless ``0 < q < 1``.

    >>> fn.losses.quantile(jnp.array([0.0, 0.0]), jnp.array([1.0, -1.0]), q=0.75)
    Array([0.75, 0.25], dtype=float32)
    """
    check_value("quantile", "q", q, "a number between 0 and 1", lambda q: 0 < q < 1)
    error = -error_of("quantile", prediction, target)
    return jnp.maximum(q * error, (q - 1) * error)


def poisson(log_rate: Float[Array, "*shape"], target: ArrayLike) -> Float[Array, "*shape"]:
    r"""Negative log-likelihood of counts, :math:`e^z - y z`, from the logarithm of the rate; without :math:`\log y!`.

    The term left out does not depend on the prediction; for the same reason the loss can be negative. Beyond a log-rate
    of 50 the exponential goes on as its tangent, so that values and gradients stay finite.
    Raises: ShapeError if the shapes differ.

    >>> fn.losses.poisson(jnp.array([0.0, 0.0]), jnp.array([2, 0]))
    Array([1., 1.], dtype=float32)
    """
    z = as_prediction("poisson", log_rate)
    y = as_target("poisson", z, target)
    rate = jnp.exp(jnp.where(z > _LARGEST_LOG_RATE, _LARGEST_LOG_RATE, z)) * (1 + nn.relu(z - _LARGEST_LOG_RATE))
    return rate - y * jnp.where((y == 0) & jnp.isinf(z), 0.0, z)
