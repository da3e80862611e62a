"""Adaline: the unit that learns from its error before the threshold, a step from the perceptron to the gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.core import Key
from fnnet.neurons.checks import check_examples, check_rate, check_two_classes
from fnnet.neurons.thresholds import append_one
from fnnet.shapes import check_count


class Adaline(NamedTuple):
    """What was learnt: `kernel` (n, 1), `bias` (1,), and the mean ½(t - z)² of each pass, as `losses`."""

    kernel: Float[Array, "n 1"]
    bias: Float[Array, 1]
    losses: Float[Array, passes]


def adaline(
    x: ArrayLike, y: ArrayLike, *, learning_rate: float = 0.01, passes: int = 50, key: Key | None = None
) -> Adaline:
    r"""Learn one unit by the delta rule: :math:`w \leftarrow w + \eta\,(t - z)\,x`, where :math:`z = w \cdot x + b`.

    `x` (rows, n), `y` (rows,) of 0 and 1, or of -1 and 1: the target t is -1 or 1. The perceptron's rule with the error
    taken before the threshold; that makes it stochastic gradient descent on :math:`\tfrac12 (t - z)^2`, which has a
    least value whether or not the data can be separated. The decision is 1 iff z ≥ 0.

    Law: an update is one of ``fn.sgd(learning_rate)`` on that loss, in batches of one. With :math:`\eta < 2/R^2`, R the
    greatest length of (x, 1), the losses stay bounded; above that they may grow until they are not finite, as `losses`
    shows: nothing is raised.
    Raises: as ``perceptron``. Widrow & Hoff 1960.

    >>> bits = fn.neurons.boolean_inputs(2).astype(jnp.float32)
    >>> learnt = fn.neurons.adaline(bits, jnp.array([0, 0, 0, 1]), learning_rate=0.1)
    >>> layer, params = fn.neurons.as_layer(learnt)
    >>> layer(params, bits).ravel().tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    x, y = check_examples("adaline", x, y)
    check_two_classes("adaline", y)
    check_count("adaline", "passes", passes)
    check_rate("adaline", learning_rate)
    return _adaline(x, jnp.where(y > 0, 1, -1).astype(x.dtype), learning_rate, jnp.arange(passes), key)


@jax.jit
def _adaline(x: Array, targets: Array, rate: Any, passes: Array, key: Key | None) -> Adaline:
    inputs, rows, rate = append_one(x), len(targets), jnp.asarray(rate, x.dtype)

    def visit(w: Array, n: Array) -> tuple[Array, Array]:
        error = targets[n] - w @ inputs[n]
        return w + rate * error * inputs[n], error**2 / 2

    def one_pass(w: Array, done: Array) -> tuple[Array, Array]:
        order = jnp.arange(rows) if key is None else jax.random.permutation(jax.random.fold_in(key, done), rows)
        w, losses = lax.scan(visit, w, order)
        return w, losses.mean()

    w, losses = lax.scan(one_pass, jnp.zeros(inputs.shape[1], x.dtype), passes)
    return Adaline(w[1:, None], w[:1], losses)
