"""Activations, and one table of what is known of each."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import (
    elu,
    gelu,
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    leaky_relu,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    swish,
    tanh,
)
from jaxtyping import Array

from fnnet.core import is_layer_factory
from fnnet.initializers import Initializer, glorot_uniform, he_normal, lecun_normal, variance_scaling

__all__ = [
    "TABLE",
    "Activation",
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "identity",
    "leaky_relu",
    "log_softmax",
    "matching_initializer",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "sign",
    "silu",
    "softmax",
    "softplus",
    "step",
    "straight_through_sign",
    "straight_through_step",
    "swish",
    "tanh",
]


def identity(x: Any) -> Any:
    """Return `x`: the activation of a regression's last layer, and the shortcut of a residual."""
    return x


def step(x: Array) -> Array:
    """Return 1 where x ≥ 0, else 0, in the dtype of `x`: the threshold unit. Its derivative is zero everywhere.

    >>> fn.activations.step(jnp.array([-1.0, 0.0, 2.0]))
    Array([0., 1., 1.], dtype=float32)
    """
    x = jnp.asarray(x)
    return (x >= 0).astype(x.dtype)


def sign(x: Array) -> Array:
    """Return 1 where x ≥ 0, else -1: twice the step, less one.

    ``jnp.sign`` differs: it has a third value, 0 at 0.

    >>> fn.activations.sign(jnp.array([-1.0, 0.0, 2.0]))
    Array([-1.,  1.,  1.], dtype=float32)
    """
    return 2 * step(x) - 1


def _straight_through(function: Callable[[Array], Array], slope: float) -> Callable[[Array], Array]:
    """Return `function` with another derivative: `slope` where -1 ≤ x ≤ 1, and 0 elsewhere."""

    @jax.custom_jvp
    def surrogate(x: Array) -> Array:
        return function(x)

    @surrogate.defjvp
    def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        (x,), (dx,) = primals, tangents
        return function(x), jnp.where(jnp.abs(x) <= 1, slope, 0).astype(x.dtype) * dx

    return surrogate


_sign_estimator = _straight_through(sign, 1.0)
_step_estimator = _straight_through(step, 0.5)


def straight_through_sign(x: Array) -> Array:
    """``sign`` forwards; backwards the derivative of x clipped to [-1, 1] (Hubara et al. 2016, eq. 4).

    >>> jax.grad(fn.activations.straight_through_sign)(0.5)
    Array(1., dtype=float32, weak_type=True)
    """
    return _sign_estimator(jnp.asarray(x))


def straight_through_step(x: Array) -> Array:
    """``step`` forwards; backwards the derivative of (x + 1) / 2 clipped to [0, 1].

    Law: ``straight_through_sign(x) = 2 * straight_through_step(x) - 1``, gradients included. (Bengio et al. 2013, §4,
    pass the gradient unchanged, with slope 1 and everywhere.)

    >>> jax.grad(fn.activations.straight_through_step)(0.5)
    Array(0.5, dtype=float32, weak_type=True)
    """
    return _step_estimator(jnp.asarray(x))


class Activation(NamedTuple):
    r"""What is known of an elementwise activation.

    `formula` is LaTeX. `derivative` is the function :math:`\phi'`, written by hand; at a kink it is one of its sides.
    `range` is the least interval, closed, that holds all values. `saturates` says where the derivative tends to zero:
    ``"nowhere"``, ``"left"`` (at −∞ only), or ``"both"``. `initializer` draws the kernel that suits it.
    """

    name: str
    function: Callable[[Any], Any]
    formula: str
    derivative: Callable[[Any], Any]
    range: tuple[float, float]
    saturates: Literal["nowhere", "left", "both"]
    initializer: Initializer


def _between(x: Array, low: float, high: float) -> Array:
    return ((x > low) & (x < high)).astype(x.dtype)


def _gelu_derivative(x: Array) -> Array:
    c = math.sqrt(2 / math.pi)
    t = jnp.tanh(c * (x + 0.044715 * x**3))
    return (1 + t) / 2 + x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x) / 2


def _tanh_derivative(x: Array) -> Array:
    """Return 1 / cosh² x, of factors that do not overflow, so that it can be differentiated too."""
    return 4 * sigmoid(2 * x) * sigmoid(-2 * x)


def _mish_derivative(x: Array) -> Array:
    t = jnp.tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


def _silu_derivative(x: Array) -> Array:
    s = sigmoid(x)
    return s + x * s * (1 - s)


_INFINITY = math.inf
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
# The gain at which pre-activations of variance 1 keep it: 1 / E[elu(z)²], z standard normal.
_ELU_GAIN = 1.5505

TABLE: tuple[Activation, ...] = (
    Activation("identity", identity, r"x", jnp.ones_like, (-_INFINITY, _INFINITY), "nowhere", lecun_normal()),
    Activation(
        "step", step, r"1 \text{ if } x \ge 0 \text{ else } 0", jnp.zeros_like, (0.0, 1.0), "both", glorot_uniform()
    ),
    Activation(
        "sign", sign, r"1 \text{ if } x \ge 0 \text{ else } -1", jnp.zeros_like, (-1.0, 1.0), "both", glorot_uniform()
    ),
    Activation(
        "straight_through_step",
        straight_through_step,
        r"1 \text{ if } x \ge 0 \text{ else } 0",
        lambda x: 0.5 * _between(x, -1, 1),
        (0.0, 1.0),
        "both",
        glorot_uniform(),
    ),
    Activation(
        "straight_through_sign",
        straight_through_sign,
        r"1 \text{ if } x \ge 0 \text{ else } -1",
        lambda x: _between(x, -1, 1),
        (-1.0, 1.0),
        "both",
        glorot_uniform(),
    ),
    Activation(
        "sigmoid",
        sigmoid,
        r"1 / (1 + e^{-x})",
        lambda x: sigmoid(x) * sigmoid(-x),
        (0.0, 1.0),
        "both",
        glorot_uniform(),
    ),
    Activation("tanh", tanh, r"\tanh x", _tanh_derivative, (-1.0, 1.0), "both", glorot_uniform()),
    Activation("relu", relu, r"\max(x, 0)", lambda x: _between(x, 0, _INFINITY), (0.0, _INFINITY), "left", he_normal()),
    Activation("relu6", relu6, r"\min(\max(x, 0), 6)", lambda x: _between(x, 0, 6), (0.0, 6.0), "both", he_normal()),
    Activation(
        "leaky_relu",
        leaky_relu,
        r"x \text{ if } x \ge 0 \text{ else } 0.01\,x",
        lambda x: jnp.where(x >= 0, 1, 0.01).astype(x.dtype),
        (-_INFINITY, _INFINITY),
        "nowhere",
        he_normal(),
    ),
    Activation(
        "elu",
        elu,
        r"x \text{ if } x > 0 \text{ else } e^x - 1",
        lambda x: jnp.exp(jnp.minimum(x, 0)),
        (-1.0, _INFINITY),
        "left",
        variance_scaling(_ELU_GAIN, "fan_in", "truncated_normal"),
    ),
    Activation(
        "selu",
        selu,
        r"1.0507\,x \text{ if } x > 0 \text{ else } 1.7581\,(e^x - 1)",
        lambda x: _SELU_SCALE * jnp.where(x > 0, 1, _SELU_ALPHA * jnp.exp(jnp.minimum(x, 0))),
        (-_SELU_SCALE * _SELU_ALPHA, _INFINITY),
        "left",
        lecun_normal(),
    ),
    Activation(
        "gelu",
        gelu,
        r"\tfrac{x}{2}\left(1 + \tanh\left(\sqrt{2/\pi}\,(x + 0.044715\,x^3)\right)\right)",
        _gelu_derivative,
        (-0.17004076, _INFINITY),
        "left",
        he_normal(),
    ),
    Activation("silu", silu, r"x / (1 + e^{-x})", _silu_derivative, (-0.27846455, _INFINITY), "left", he_normal()),
    Activation(
        "mish", mish, r"x \tanh(\log(1 + e^x))", _mish_derivative, (-0.30884342, _INFINITY), "left", he_normal()
    ),
    Activation("softplus", softplus, r"\log(1 + e^x)", sigmoid, (0.0, _INFINITY), "left", lecun_normal()),
    Activation(
        "hard_tanh",
        hard_tanh,
        r"\min(\max(x, -1), 1)",
        lambda x: _between(x, -1, 1),
        (-1.0, 1.0),
        "both",
        glorot_uniform(),
    ),
    Activation(
        "hard_sigmoid",
        hard_sigmoid,
        r"\min(\max(x + 3, 0), 6) / 6",
        lambda x: _between(x, -3, 3) / 6,
        (0.0, 1.0),
        "both",
        glorot_uniform(),
    ),
    Activation(
        "hard_swish",
        hard_swish,
        r"x \min(\max(x + 3, 0), 6) / 6",
        lambda x: jnp.where(x > 3, 1, jnp.where(x > -3, (2 * x + 3) / 6, 0)),
        (-0.375, _INFINITY),
        "left",
        he_normal(),
    ),
)
"""Every elementwise activation of this module; ``softmax`` and ``log_softmax`` act on a whole axis.

Law: through 50 dense layers drawn by its `initializer` the variance of the activations stays within [1/200, 200], for
inputs of variance 1. GELU, SiLU, Mish and hard swish are the exception, whatever the initializer: small signals they
halve and large ones they pass on, so a variance a little too small shrinks further, and one a little too large grows.
Deep nets of them need normalization or residual connections; He suits their large signals, where they are ReLU.
"""

_INITIALIZERS = {row.function: row.initializer for row in TABLE}


def check_activation(where: str, activation: Any) -> None:
    """Raise TypeError unless `activation` is a function of an array, or None."""
    if hasattr(activation, "apply") or is_layer_factory(activation):
        raise TypeError(f"{where}: activation must be a function, not a layer: serial({where}(...), layer)")
    if activation is not None and not callable(activation):
        raise TypeError(f"{where}: activation must be a function such as jax.nn.relu, got {activation!r}")


def matching_initializer(activation: Callable[[Any], Any] | None) -> Initializer:
    """Return the kernel initializer of the activation's row in ``TABLE``; LeCun normal if it is None or has no row.

    A ``functools.partial`` is looked up by the function it wraps.

    >>> f = fn.activations.matching_initializer
    >>> import functools
    >>> leaky = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    >>> f(leaky) is f(jax.nn.leaky_relu)
    True
    """
    while isinstance(activation, functools.partial):
        activation = activation.func
    return lecun_normal() if activation is None else _INITIALIZERS.get(activation, lecun_normal())
