"""How a network passes its signal on: slopes of its activations, saturated and dead units, variance by depth."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from fnnet.core import Key, Layer, Params, State
from fnnet.dtypes import at_least_float32
from fnnet.inspection.checks import check_net, check_some
from fnnet.inspection.elementwise import STILL, elementwise
from fnnet.inspection.intermediates import distinct, look_within, shortened, whole
from fnnet.shapes import check_key
from fnnet.tagged import Found, Tag, by_path, flat, in_turn, look, map_found


class Signal(NamedTuple):
    """Mean and variance of each layer's output, in the order in which they run, those of a loop turn by turn."""

    paths: tuple[str, ...]
    mean: Float[Array, layers]
    var: Float[Array, layers]


def slopes(net: Layer, params: Params, x: Any, state: State = {}) -> dict[str, Array]:  # noqa: B006 - never mutated
    r"""Return :math:`\phi'(z)` of every elementwise activation, of the shape of its output, by path, at inference.

    They are the layers with an activation (``dense_0``), and those function children (``relu_0``) whose output is, each
    element of it, a function of one element of a named value or of `x`: not ``softmax``, not a sum of two branches, nor
    a function with a ``jax.custom_vjp``, which has no derivative forwards.
    Within ``fn.repeat`` there is an axis of turns in front, as of time in ``rnn_0/a``, within ``fn.ensemble`` one of
    members. At a kink it is the
    slope that JAX differentiates by, 0 for ReLU.

    >>> net = fn.serial(fn.dense(3), jnp.tanh)
    >>> params, _ = net.init(jax.random.key(0), jnp.ones((2, 4)))
    >>> slopes(net, params, jnp.zeros((1, 4)))
    {'tanh_0': Array([[1., 1., 1.]], dtype=float32)}
    """
    check_net("slopes", net)
    return by_path(_slopes(net, params, state, x))


def saturation(
    net: Layer,
    params: Params,
    x: Any,
    state: State = {},  # noqa: B006 - never mutated
    *,
    least: float = 0.05,
) -> dict[str, Float[Array, "*turns"]]:
    """Return, by layer, the share of the pairs (example, unit) whose activation has a slope below `least` in magnitude.

    What has no slope passes no gradient. A number for each layer of `slopes`, within ``fn.repeat`` one for each turn.
    Glorot & Bengio 2010 watch the activations themselves, §3.

    Raises: ValueError unless `least` is above 0; DataError for `x` without examples.

    >>> net = fn.serial(jax.nn.relu)
    >>> saturation(net, {}, jnp.array([[-1.0, 2.0], [-3.0, -4.0]]))
    {'relu_0': Array(0.75, dtype=float32)}
    """
    if not least > 0:
        raise ValueError(f"saturation: least must be above 0, got {least}")
    check_net("saturation", net)
    check_some("saturation", x)
    return {
        tag.path: jnp.mean(jnp.abs(slope) < least, tuple(range(tag.loops, slope.ndim)), jnp.float32)
        for tag, slope in flat(_slopes(net, params, state, x))
    }


def dead_units(net: Layer, params: Params, x: Any, state: State = {}) -> dict[str, Bool[Array, "*turns units"]]:  # noqa: B006
    """Return, by layer, whether the slope of a unit is 0 on every example of `x`: nothing there teaches it.

    A boolean for each unit, of the last axis, of each layer of `slopes`; of a convolution over all places too. Within
    ``fn.repeat`` each turn has its own, within ``fn.ensemble`` a unit is dead that is so in all members.

    >>> dead_units(fn.serial(jax.nn.relu), {}, jnp.array([[-1.0, 2.0], [-3.0, -4.0]]))
    {'relu_0': Array([ True, False], dtype=bool)}
    """
    check_net("dead_units", net)
    check_some("dead_units", x)
    return {
        tag.path: jnp.all(slope == 0, tuple(range(tag.loops, slope.ndim - 1)))
        for tag, slope in flat(_slopes(net, params, state, x))
    }


def signal(net: Layer, key: Key, x: Any) -> Signal:
    """Return mean and variance of each layer's output for the input `x` in the network as it is initialized by `key`.

    Over all examples and units, at inference. Of the values of ``activations`` these are the outputs of layers; one
    that is that of a composition too stands once.

    >>> found = signal(fn.serial(fn.dense(64, activation=jnp.tanh), fn.dense(64)), jax.random.key(0), jnp.ones((1, 8)))
    >>> found.paths, found.var.shape
    (('dense_0', 'dense_1'), (2,))
    """
    check_net("signal", net)
    check_some("signal", x)
    moments = dict(in_turn(_signal(net, check_key("signal", key, when=""), x)))
    mean, var = (jnp.stack(list(column)) for column in zip(*moments.values(), strict=True))
    return Signal(tuple(moments), mean, var)


@partial(jax.jit, static_argnums=0)
def _slopes(net: Layer, params: Params, state: State, x: Any) -> Found:
    # Each named value moves by the same step, and none as those before it move: so that what depends on a step is the
    # slope of one layer. All slopes take one pass.
    layers = elementwise(whole(net), params, state, x, of=2)

    def moved(value: Array, step: Array) -> Array:
        inexact = jnp.issubdtype(value.dtype, jnp.inexact)
        return jax.lax.stop_gradient(value) + step.astype(value.dtype) if inexact else value

    def outputs(step: Array) -> Found:
        def visit(tag: Tag, value: Array) -> tuple[Array, Array | None]:
            return moved(value, step), value if tag.path in layers else None

        start = jax.tree.map(lambda leaf: moved(leaf, step), x)
        return look(whole(net), params, state, start, visit=visit, still=STILL)[1]

    return shortened(net, jax.jvp(outputs, (jnp.zeros(()),), (jnp.ones(()),))[1])


@partial(jax.jit, static_argnums=0)
def _signal(net: Layer, key: Key, x: Any) -> Found:
    params, state = net.init(key, x)

    def moments(tag: Tag, value: Array) -> tuple[Array, Array]:
        wide = value.astype(at_least_float32(value.dtype))
        axes = tuple(range(tag.loops, value.ndim))
        return wide.mean(axes), wide.var(axes)

    return map_found(moments, distinct(look_within(net, params, state, x)))
