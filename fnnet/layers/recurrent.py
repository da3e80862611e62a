"""Recurrent layers: scans over time, whose state stands still over padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet.activations import check_activation
from fnnet.core import Key, Layer, Params, Shaped, State
from fnnet.dtypes import dtype_of
from fnnet.initializers import Initializer, glorot_uniform, orthogonal, zeros
from fnnet.layers.affine import activated, add_bias
from fnnet.layers.sequences import repack, unpack, values_of
from fnnet.shapes import align, check_count, check_floating, check_last_axis, check_rank, parameter


def rnn(
    features: int,
    *,
    activation: Callable[[Any], Any] = jnp.tanh,
    reverse: bool = False,
    kernel_init: Initializer | None = None,
    recurrent_init: Initializer | None = None,
    bias_init: Initializer | None = zeros,
) -> Layer:
    r"""Carry a state through time (Elman 1990) and return it at every step.

    :math:`h_t = \phi(x_t W + h_{t-1} U + b)`, :math:`h_{-1} = 0`.

    Shapes: ``(..., time, n) -> (..., time, features)``, an array or a ``Masked``, and returns what it took. Over
    padding the state stands still. `reverse` runs from the last step to the first.
    Params: ``kernel`` W (n, features), Glorot uniform; ``recurrent`` U (features, features), orthogonal; ``bias``
    unless `bias_init` is None.

    Law: outputs at real steps do not depend on padding, neither its contents nor its amount.
    Raises: ValueError if ``features < 1``; ShapeError if the last axis is not the one `init` saw.

    >>> layer = fn.layers.rnn(3)
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((2, 5, 4)))
    >>> layer(params, jnp.ones((2, 5, 4))).shape
    (2, 5, 3)
    """
    check_activation("rnn", activation)

    def step(params: Params, carry: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        (h,) = carry
        return (activated(activation, z + h @ params["recurrent"]),)

    init = _init_gates("rnn", features, 1, kernel_init, recurrent_init, bias_init)
    return Layer("rnn", init, _scan_time("rnn", features, step, reverse, bias_init, gates=1, carried=1))


def lstm(
    features: int,
    *,
    forget_bias: float = 1.0,
    reverse: bool = False,
    kernel_init: Initializer | None = None,
    recurrent_init: Initializer | None = None,
    bias_init: Initializer | None = zeros,
) -> Layer:
    r"""Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    :math:`(i, f, g, o) = x_t W + h_{t-1} U + b`, :math:`c_t = \sigma(f) c_{t-1} + \sigma(i) \tanh(g)`,
    :math:`h_t = \sigma(o) \tanh(c_t)`, :math:`h_{-1} = c_{-1} = 0`.

    Shapes and padding as for ``rnn``. Params: ``kernel`` W (n, 4·features), ``recurrent`` U (features, 4·features) and
    ``bias`` b (4·features,), gates in the order input, forget, cell, output, each block drawn on its own. `forget_bias`
    is added to the initial bias of the forget gate, so that a new net remembers (Jozefowicz et al. 2015).
    Without biases, `bias_init` being None, it has no place.

    Law: outputs at real steps do not depend on padding, neither its contents nor its amount.
    Raises: ValueError if ``features < 1``; ShapeError if the last axis is not the one `init` saw.

    >>> layer = fn.layers.lstm(3)
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((2, 5, 4)))
    >>> params["kernel"].shape, layer(params, jnp.ones((2, 5, 4))).shape
    ((4, 12), (2, 5, 3))
    """

    def step(params: Params, carry: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        h, c = carry
        i, f, g, o = jnp.split(z + h @ params["recurrent"], 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    gates = _init_gates("lstm", features, 4, kernel_init, recurrent_init, bias_init)

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        params, state = gates(key, x)
        if bias_init is None:
            return params, state
        return params | {"bias": params["bias"].at[features : 2 * features].add(forget_bias)}, state

    return Layer("lstm", init, _scan_time("lstm", features, step, reverse, bias_init, gates=4, carried=2))


def gru(
    features: int,
    *,
    reverse: bool = False,
    kernel_init: Initializer | None = None,
    recurrent_init: Initializer | None = None,
    bias_init: Initializer | None = zeros,
) -> Layer:
    r"""Gated recurrent unit (Cho et al. 2014), the reset gate applied after the product with U.

    :math:`r = \sigma(x_t W_r + h_{t-1} U_r + b_r)`, :math:`z = \sigma(x_t W_z + h_{t-1} U_z + b_z)`,
    :math:`n = \tanh(x_t W_n + b_n + r \odot (h_{t-1} U_n + b'))`, :math:`h_t = (1 - z) n + z h_{t-1}`,
    :math:`h_{-1} = 0`. The paper resets h before the product with U; after it, as here, is the form that GPU
    libraries compute. Chung et al. (2014) have z and 1 − z the other way round.

    Shapes and padding as for ``rnn``. Params: ``kernel`` W (n, 3·features), ``recurrent`` U (features, 3·features) and
    ``bias`` b (3·features,), gates in the order reset, update, new, each block drawn on its own; ``reset_bias`` b'
    (features,).

    Law: outputs at real steps do not depend on padding, neither its contents nor its amount.
    Raises: ValueError if ``features < 1``; ShapeError if the last axis is not the one `init` saw.

    >>> layer = fn.layers.gru(3)
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((2, 5, 4)))
    >>> params["kernel"].shape, layer(params, jnp.ones((2, 5, 4))).shape
    ((4, 9), (2, 5, 3))
    """

    def step(params: Params, carry: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        (h,) = carry
        r, u, n = jnp.split(z, 3, axis=-1)
        hr, hu, hn = jnp.split(h @ params["recurrent"], 3, axis=-1)
        update = jax.nn.sigmoid(u + hu)
        hn = hn if bias_init is None else hn + align(parameter("gru", params, "reset_bias", (features,)), hn)
        new = jnp.tanh(n + jax.nn.sigmoid(r + hr) * hn)
        return ((1 - update) * new + update * h,)

    gates = _init_gates("gru", features, 3, kernel_init, recurrent_init, bias_init)

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        params, state = gates(key, x)
        if bias_init is None:
            return params, state
        return params | {"reset_bias": bias_init(jax.random.fold_in(key, 3), (features,), params["bias"].dtype)}, state

    return Layer("gru", init, _scan_time("gru", features, step, reverse, bias_init, gates=3, carried=1))


def _init_gates(
    where: str,
    features: int,
    gates: int,
    kernel_init: Initializer | None,
    recurrent_init: Initializer | None,
    bias_init: Initializer | None,
) -> Callable[[Key, Shaped], tuple[Params, State]]:
    """Return the init of kernel, recurrent and bias, in which each gate has its own block of columns."""
    check_count(where, "features", features)
    input_init = glorot_uniform() if kernel_init is None else kernel_init
    hidden_init = orthogonal() if recurrent_init is None else recurrent_init

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        values = values_of(x)
        check_floating(where, values)
        check_rank(where, values, 2, "(..., time, features)")
        dtype = dtype_of(values)

        def blocks(initializer: Initializer, key: Key, rows: int) -> Array:
            keys = jax.random.split(key, gates)
            return jnp.concatenate([initializer(k, (rows, features), dtype) for k in keys], axis=1)

        kernel_key, recurrent_key, bias_key = jax.random.split(key, 3)
        kernel = blocks(input_init, kernel_key, values.shape[-1])
        recurrent = blocks(hidden_init, recurrent_key, features)
        bias = {} if bias_init is None else {"bias": bias_init(bias_key, (gates * features,), dtype)}
        return {"kernel": kernel, "recurrent": recurrent} | bias, {}

    return init


def _scan_time(
    where: str,
    features: int,
    step: Callable[[Params, tuple[Array, ...], Array], tuple[Array, ...]],
    reverse: bool,
    bias_init: Initializer | None,
    *,
    gates: int,
    carried: int,
) -> Callable[..., tuple[Any, State]]:
    """Return the apply that scans `step` over time, from `carried` arrays of zeros, of which the first is the output.

    The input's part is one product over all steps; what is left in the loop depends on the step before.
    """

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        values, mask = unpack(where, x)
        kernel = parameter(where, params, "kernel", (None, gates * features))
        parameter(where, params, "recurrent", (features, gates * features))
        check_last_axis(where, values, kernel.shape[0])
        z = jnp.moveaxis(add_bias(where, params, values @ kernel, bias_init), -2, 0)
        real = None if mask is None else jnp.moveaxis(mask, -1, 0)[..., None]

        def body(carry: tuple[Array, ...], inputs: tuple[Array, Array | None]) -> tuple[tuple[Array, ...], Array]:
            z, real = inputs
            new = step(params, carry, z)
            if real is not None:
                new = tuple(jnp.where(real, after, before) for after, before in zip(new, carry, strict=True))
            return new, new[0]

        start = (jnp.zeros((*values.shape[:-2], features), z.dtype),) * carried
        _, y = jax.lax.scan(body, start, (z, real), reverse=reverse)
        return repack(jnp.moveaxis(y, 0, -2), x), state

    return apply
