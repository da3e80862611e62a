"""L-BFGS: curvature from the last few steps, and a line search that keeps it positive."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.shapes import check_count
from fnnet.transforms.arithmetic import increment, narrow, over, times, wide_dtype, widen, zeros_wide
from fnnet.transforms.chaining import need_extra, need_params
from fnnet.transforms.scalars import Number, as_leaves


class LbfgsState(NamedTuple):
    """The last `memory` steps and changes of gradient, newest last, and what the next change is taken from."""

    count: Array  # type: ignore[assignment]
    steps: Params
    changes: Params
    curvatures: Array
    params: Params
    grads: Params


def scale_by_lbfgs(memory: int = 10) -> Optimizer:
    r"""Multiply by the inverse Hessian that the last `memory` steps suggest (Nocedal & Wright 2006, algorithm 7.4).

    A pair (s, y) with :math:`s^\top y \le 10^{-10}\,\lVert s\rVert\lVert y\rVert`, or too small to invert, is kept
    out. The first guess is
    :math:`s^\top y / y^\top y` of the newest pair; with none yet, :math:`1/\max(1, \lVert g\rVert)`. `memory` is a
    size, so it is no leaf of the state. Complex parameters are taken as pairs of reals. ``update`` needs the
    parameters.

    >>> params, direction = {"w": jnp.zeros(2)}, scale_by_lbfgs()
    >>> updates, _ = direction.update({"w": jnp.array([3.0, 4.0])}, direction.init(params), params)
    >>> np.asarray(updates["w"]).round(3)
    array([0.6, 0.8], dtype=float32)
    """
    check_count("lbfgs", "memory", memory)

    def init(params: Params) -> LbfgsState:
        def history() -> Params:
            return tree.map(lambda p: jnp.zeros((memory, *p.shape), wide_dtype(p)), params)

        curvatures = jnp.zeros((memory,), jnp.result_type(float))
        return LbfgsState(
            jnp.zeros((), jnp.int32), history(), history(), curvatures, zeros_wide(params), zeros_wide(params)
        )

    def update(grads: Params, state: LbfgsState, params: Params = None, **extra: Any) -> tuple[Params, LbfgsState]:
        point, wide = widen(need_params("lbfgs", params)), widen(grads)
        state = _remember(state, point, wide)
        return narrow(_two_loops(state, wide), grads), state

    return Optimizer(init, update)


class SearchState(NamedTuple):
    """The step length and the trials of the last search, and the loss it reached."""

    step_size: Array
    trials: Array
    value: Array
    hyperparams: dict[str, Array]


def scale_by_line_search(c1: Number = 1e-4, c2: Number = 0.9, *, max_trials: int = 25) -> Optimizer:
    r"""Go along −u as far as the weak Wolfe conditions hold, by bisection (Lewis & Overton 2013, algorithm 2.6).

    The length t satisfies :math:`f(\theta - tu) \le f(\theta) - c_1 t\,g^\top u` and :math:`g(\theta - tu)^\top u \le
    c_2\,g^\top u`, so the next curvature is positive; it starts at 1, doubles until an upper end is found and halves
    from there. It needs no smoothness beyond a gradient almost everywhere, as a network of ReLUs has. After
    `max_trials` evaluations the longest step tried that lowered the loss enough is taken, or none.

    The last link, with no learning rate: its updates are −tu. ``update`` needs the parameters and ``value_fn``, the
    loss as a function of the parameters on the data that the gradients came from; ``value`` and ``grad`` are taken if
    given (``grad`` is the gradient before other links), else computed.

    >>> f, params, search = lambda params: params["w"] ** 2, {"w": jnp.array(1.0)}, scale_by_line_search()
    >>> search.update(jax.grad(f)(params), search.init(params), params, value_fn=f)[0]
    {'w': Array(-1., dtype=float32)}
    """
    leaves = as_leaves("scale_by_line_search", c1=c1, c2=c2)
    if not (isinstance(c1, jax.core.Tracer) or isinstance(c2, jax.core.Tracer) or c1 < c2):
        raise ValueError(f"scale_by_line_search: c1 must be below c2, got c1={c1} and c2={c2}")
    check_count("scale_by_line_search", "max_trials", max_trials)

    def init(params: Params) -> SearchState:
        dtype = jnp.result_type(float)
        return SearchState(jnp.ones((), dtype), jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, dtype), leaves())

    def update(grads: Params, state: SearchState, params: Params = None, **extra: Any) -> tuple[Params, SearchState]:
        value_fn = need_extra("scale_by_line_search", extra, "value_fn")
        start = need_params("scale_by_line_search", params)
        dtype = state.value.dtype

        def along(length: Array) -> tuple[Array, Array]:
            moved = tree.map(lambda p, u: p - times(length, u).astype(p.dtype), start, grads)
            value, grad = _value_and_slope(value_fn, moved)
            return value.astype(dtype), -_inner(grad, grads).astype(dtype)

        value, slope = (
            along(jnp.zeros((), dtype))
            if extra.get("value") is None or extra.get("grad") is None
            else (
                jnp.asarray(extra["value"]).astype(dtype),
                -_inner(extra["grad"], grads).astype(dtype),
            )
        )
        c1, c2 = state.hyperparams["c1"].astype(dtype), state.hyperparams["c2"].astype(dtype)
        length, trials, reached = _bisect(along, value, slope, c1, c2, max_trials)
        return tree.map(lambda u: times(-length, u), grads), SearchState(length, trials, reached, state.hyperparams)

    return Optimizer(init, update)


class _Trial(NamedTuple):
    length: Array
    low: Array
    high: Array
    reached: Array
    trials: Array
    done: Array


def _bisect(
    along: Callable[[Array], tuple[Array, Array]], value: Array, slope: Array, c1: Array, c2: Array, most: int
) -> tuple[Array, Array, Array]:
    """Return the step length, the number of evaluations and the loss there; `low` always lowers the loss enough."""

    def body(trial: _Trial) -> _Trial:
        t = trial.length
        new_value, new_slope = along(t)
        low_enough = new_value <= value + c1 * t * slope  # False for nan: a step out of the domain is too long
        flat_enough = new_slope >= c2 * slope
        low, high = jnp.where(low_enough, t, trial.low), jnp.where(low_enough, trial.high, t)
        reached = jnp.where(low_enough, new_value, trial.reached)
        done = low_enough & flat_enough
        following = jnp.where(jnp.isfinite(high), (low + high) / 2, 2 * t)
        return _Trial(jnp.where(done, t, following), low, high, reached, trial.trials + 1, done)

    zero = jnp.zeros_like(value)
    start = _Trial(zero + 1, zero, zero + jnp.inf, value, jnp.zeros((), jnp.int32), slope >= 0)
    last = jax.lax.while_loop(lambda trial: ~trial.done & (trial.trials < most), body, start)
    return last.low, last.trials, last.reached


def _remember(state: LbfgsState, point: Params, grads: Params) -> LbfgsState:
    """Put the newest step and change of gradient at the end of the memory, unless their curvature is not positive."""
    step = tree.map(lambda p, q: p - q, point, state.params)
    change = tree.map(lambda g, h: g - h, grads, state.grads)
    curvature = _inner(step, change)
    length, turn = tree.norm(step).astype(curvature.dtype), tree.norm(change).astype(curvature.dtype)
    # Below the last bound its inverse, which the memory divides by, would be infinite.
    keep = (state.count > 0) & (curvature > jnp.maximum(1e-10 * length * turn, jnp.finfo(curvature.dtype).tiny))
    # No step at all: the search found none along the last direction, so begin again with the gradient's.
    stuck = (state.count > 0) & (length == 0)

    def push(history: Array, new: Array) -> Array:
        return jnp.where(keep, jnp.concatenate([history[1:], new[None].astype(history.dtype)]), history)

    return LbfgsState(
        increment(state.count),
        tree.map(push, state.steps, step),
        tree.map(push, state.changes, change),
        jnp.where(stuck, 0, push(state.curvatures, curvature)),
        point,
        grads,
    )


def _two_loops(state: LbfgsState, grads: Params) -> Params:
    """Return H·g for the inverse Hessian H of the memory; empty places have curvature 0 and do nothing."""
    known = state.curvatures > 0
    inverse = jnp.where(known, 1 / jnp.where(known, state.curvatures, 1), 0)

    def backward(q: Params, pair: tuple[Params, Params, Array]) -> tuple[Params, Array]:
        s, y, rho = pair
        alpha = rho * _inner(s, q).astype(rho.dtype)
        return tree.map(lambda a, b: a - times(alpha, b), q, y), alpha

    pairs = (state.steps, state.changes, inverse)
    q, alphas = jax.lax.scan(backward, grads, pairs, reverse=True)
    step, change = (tree.map(lambda h: h[-1], history) for history in (state.steps, state.changes))
    length = jnp.where(known[-1], tree.norm(change).astype(inverse.dtype), 1)
    along = _inner(step, tree.map(lambda y: over(y, length), change))  # yᵀy may vanish where |y| does not
    size = tree.norm(grads).astype(inverse.dtype)
    first_guess = jnp.where(known[-1], along.astype(inverse.dtype) / length, 1 / jnp.maximum(1, size))
    r = tree.map(lambda a: times(first_guess, a), q)

    def forward(r: Params, pair: tuple[Params, Params, Array, Array]) -> tuple[Params, None]:
        s, y, rho, alpha = pair
        beta = rho * _inner(y, r).astype(rho.dtype)
        return tree.map(lambda a, b: a + times(alpha - beta, b), r, s), None

    return jax.lax.scan(forward, r, (*pairs, alphas))[0]


def _inner(a: Params, b: Params) -> Array:
    """Return Σ Re(a* b) over all leaves: the inner product of the parameters as real vectors."""

    def product(x: Array, y: Array) -> Array:
        x, y = widen(x), widen(y)
        return jnp.sum(jnp.real(x) * jnp.real(y) + jnp.imag(x) * jnp.imag(y)) if jnp.iscomplexobj(x) else jnp.sum(x * y)

    dtype = jnp.result_type(float)
    terms = [product(x, y).astype(dtype) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]
    return reduce(add, terms, jnp.zeros((), dtype))


def _value_and_slope(value_fn: Callable[[Params], Any], params: Params) -> tuple[Array, Params]:
    """Return the loss and its direction of steepest ascent: of JAX's gradient by complex numbers, the conjugate."""
    value, grad = jax.value_and_grad(lambda p: jnp.asarray(value_fn(p)))(params)
    return value, tree.map(jnp.conj, grad)
