"""Multi-layer perceptrons, and rules of thumb for their widths."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import jax
import numpy as np

from fnnet.compose import serial
from fnnet.core import Layer
from fnnet.layers import dense
from fnnet.shapes import check_count

Rule: TypeAlias = Literal["expand", "reduce", "uniform"]
"""How the widths of a network go: up and then down, down, or level."""

_EXPANSION = 16  # "expand" begins with so many units for each input or output


def mlp(widths: Sequence[int], activation: Callable[[Any], Any] | None = jax.nn.relu) -> Layer:
    r"""Multi-layer perceptron: dense layers of these widths, all but the last followed by `activation`.

    :math:`y = W_L\, \phi(\dots \phi(W_1 x + b_1) \dots) + b_L`: the last width is that of the output, which is linear.

    Shapes: ``(..., n) -> (..., widths[-1])``. Params: ``dense_0``, …, each as `dense` has them, drawn by the
    initializer that matches the activation. With `activation` None the network is affine, whatever its depth.

    Law: ``mlp((a, b), f)`` is ``serial(dense(a, activation=f), dense(b))``.
    Raises: ValueError if `widths` are no sequence or empty, and as ``dense`` does.

    >>> net = fn.nets.mlp((8, 3))
    >>> params, _ = net.init(jax.random.key(0), jnp.ones((2, 5)))
    >>> list(params), net(params, jnp.ones((2, 5))).shape
    (['dense_0', 'dense_1'], (2, 3))
    """
    if not np.iterable(widths):
        raise ValueError(f"mlp: widths must be a sequence of whole numbers, such as (64, 10), got {widths!r}")
    if not (counts := tuple(widths)):
        raise ValueError("mlp: widths must be at least one, that of the output, got none")
    return serial(*(dense(width, activation=activation) for width in counts[:-1]), dense(counts[-1]))


def widths(inputs: int, outputs: int, depth: int, rule: Rule, *, parameters: int | None = None) -> tuple[int, ...]:
    r"""Propose the widths of a dense network of `depth` layers, the last one's `outputs`: a heuristic, no theorem.

    ``"expand"``, for an input of few dimensions: the first layer is wider than the input, and the others are narrower
    step by step. ``"reduce"``, for one of many: every layer is narrower than the one before, or as wide. Both go down
    by one factor from the first width p to the m outputs, :math:`w_l = p\,(m/p)^{(l-1)/(L-1)}`, rounded.
    ``"uniform"``: every hidden layer has the width p.

    For n inputs p is :math:`16 \max(n, m)` to expand, :math:`n\,(m/n)^{1/L}` to reduce, so that the step into the first
    layer is as those after it, and :math:`\sqrt{nm}` if uniform. With `parameters` p is instead the one whose network
    has nearest that many, biases included: so rules are compared at equal size.

    Law: with `parameters` no other p that the rule allows is nearer.
    Raises: ValueError for counts that are not whole or below 1, a `depth` below 2, another rule, more outputs than
    inputs to reduce, or `parameters` that no p of the rule comes to.

    >>> fn.nets.widths(2, 2, 4, "expand"), fn.nets.widths(64, 10, 4, "reduce")
    ((32, 13, 5, 2), (40, 25, 16, 10))
    >>> fn.nets.widths(64, 10, 4, "uniform", parameters=6000)
    (39, 39, 39, 10)
    """
    inputs, outputs = check_count("widths", "inputs", inputs), check_count("widths", "outputs", outputs)
    depth = check_count("widths", "depth", depth, least=2)
    if rule not in ("expand", "reduce", "uniform"):
        raise ValueError(f"widths: rule must be 'expand', 'reduce' or 'uniform', got {rule!r}")
    if rule == "reduce" and inputs < outputs:
        raise ValueError(f"widths: to reduce, inputs must be at least the {outputs} outputs, got {inputs}")
    if parameters is None:
        return _beginning(_first(inputs, outputs, depth, rule), outputs, depth, rule)
    least = {"expand": max(inputs + 1, outputs), "reduce": outputs, "uniform": 1}[rule]
    most = inputs if rule == "reduce" else max(least, check_count("widths", "parameters", parameters))
    return _nearest(inputs, outputs, depth, rule, parameters, range(least, most + 1))


def _first(inputs: int, outputs: int, depth: int, rule: Rule) -> float:
    """Return the width of the first layer that the rule proposes."""
    if rule == "expand":
        return _EXPANSION * max(inputs, outputs)
    return inputs * (outputs / inputs) ** (1 / depth if rule == "reduce" else 1 / 2)


def _beginning(first: float, outputs: int, depth: int, rule: Rule) -> tuple[int, ...]:
    """Return the widths of the rule that begin with `first`."""
    if rule == "uniform":
        return (round(first),) * (depth - 1) + (outputs,)
    return tuple(round(first * (outputs / first) ** (n / (depth - 1))) for n in range(depth))


def _nearest(inputs: int, outputs: int, depth: int, rule: Rule, parameters: int, firsts: range) -> tuple[int, ...]:
    """Return the widths, among those that begin with one of `firsts`, that have nearest so many parameters."""

    def size(first: int) -> int:
        return sum((n + 1) * m for n, m in pairwise((inputs, *_beginning(first, outputs, depth, rule))))

    least, most = size(firsts[0]), size(firsts[-1])
    if not least <= parameters <= most:
        bound = f"at least {least}" if parameters < least else f"at most {most}"
        raise ValueError(f"widths: parameters must be {bound} for rule {rule!r} at these sizes, got {parameters}")
    above = bisect_left(firsts, parameters, key=size)
    best = min(firsts[max(above - 1, 0) : above + 1], key=lambda first: abs(size(first) - parameters))
    return _beginning(best, outputs, depth, rule)
