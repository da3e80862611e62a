"""Laws of optimizers: of any pure pair (init, update)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.core import Optimizer, extras_taken
from fnnet.testing.comparing import (
    DifferenceError,
    assert_alike,
    assert_finite,
    assert_no_nan,
    assert_same,
    assert_shapes_alike,
    taken,
)
from fnnet.testing.drawing import Draw
from fnnet.testing.precision import doubles, x64
from fnnet.testing.saving import written_and_read
from fnnet.testing.searching import Holds, Law, law
from fnnet.testing.subjects import OptimizerSubject
from fnnet.transforms import accumulate, freeze, hyperparams, with_hyperparams

STEPS = 12
GRADIENTS = ("normal", "zeros", "ones", "one-hot", "constant")


Value: TypeAlias = Callable[[PyTree], Array]


def value_with(params: PyTree, grads: PyTree) -> Value:
    """Return the function of these gradients there: ½ ‖p − (params − grads)‖²."""

    def value_fn(p: PyTree) -> Array:
        parts = jax.tree.map(lambda a, b, g: ((a - b + g).astype(jnp.float32) ** 2).sum() / 2, p, params, grads)
        return sum(jax.tree.leaves(parts), jnp.zeros((), jnp.float32))

    return value_fn


def moves(
    optimizer: Optimizer, params: PyTree, opt_state: PyTree, grads: PyTree, value_fn: Value | None = None
) -> tuple[PyTree, PyTree]:
    """Return parameters and state after one update by gradients, those here of `value_fn`, by default of one made."""
    value_fn = value_fn or value_with(params, grads)
    extra = extras_taken(optimizer.update, {"value": value_fn(params), "grad": grads, "value_fn": value_fn})
    updates, opt_state = optimizer.update(grads, opt_state, params, **extra)
    return tree.add(params, updates), opt_state


def path(
    optimizer: Optimizer, params: PyTree, opt_state: PyTree, each: PyTree, value_fn: Value | None = None
) -> tuple[PyTree, PyTree]:
    """Return parameters and state after an update by each of the gradients, stacked along their first axis."""

    def step(carry: tuple[PyTree, PyTree], grads: PyTree) -> tuple[tuple[PyTree, PyTree], None]:
        return moves(optimizer, *carry, grads, value_fn), None

    return jax.lax.scan(step, (params, opt_state), each)[0]


def drawn(draw: Draw, subject: OptimizerSubject, count: int = STEPS) -> tuple[PyTree, PyTree]:
    """Return parameters that are moved from those of the example, and `count` gradients, stacked."""
    params = draw.moved("move", subject.params)
    stacked = jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape), leaf.dtype), subject.params)
    return params, draw.moved("gradients", stacked, draw.choose("size", (1.0, 1e-3, 1e3)))


@law()
def structure_is_fixed(subject: OptimizerSubject) -> Holds:
    """update keeps structure, shapes, dtypes and weak types of the state; updates have those of the parameters."""

    def holds(draw: Draw) -> None:
        dtype = draw.choose("dtype", ("float32", "bfloat16", "float16"))
        params = jax.tree.map(lambda leaf: leaf.astype(dtype), subject.params)
        state = subject.optimizer.init(params)
        after_params, after = jax.eval_shape(lambda p, s: moves(subject.optimizer, p, s, p), params, state)
        assert_shapes_alike("the state after an update", after, jax.eval_shape(lambda: state))
        assert_shapes_alike("params + updates", after_params, params)
        weak = [[leaf.weak_type for leaf in jax.tree.leaves(found)] for found in (after, jax.eval_shape(lambda: state))]
        if weak[0] != weak[1]:
            raise DifferenceError("the weak types of the state", str(weak[0]), str(weak[1]))

    return holds


@law()
def jit_is_eager(subject: OptimizerSubject) -> Holds:
    """jit(update)(g, s, p) = update(g, s, p), and jit(init)(p) = init(p)."""

    def one(params: PyTree, grads: PyTree) -> Any:
        return moves(subject.optimizer, params, subject.optimizer.init(params), grads)

    compiled = jax.jit(one)

    def holds(draw: Draw) -> None:
        params, each = drawn(draw, subject, 1)
        grads = jax.tree.map(lambda leaf: leaf[0], each)
        assert_alike("jit(update)", compiled(params, grads), one(params, grads), rtol=1e-4)

    return holds


@law()
def update_is_pure(subject: OptimizerSubject) -> Holds:
    """update(g, s, p) is the same again, and leaves g, s and p as they are."""

    def holds(draw: Draw) -> None:
        params, each = drawn(draw, subject, 1)
        kept = (params, subject.optimizer.init(params), jax.tree.map(lambda leaf: leaf[0], each))
        update = partial(moves, subject.optimizer)
        given, first = taken(update, *jax.tree.map(lambda leaf: leaf, kept))
        assert_same("the arguments, afterwards", given, kept)
        assert_same("a second update", update(*given), first)

    return holds


@law()
def one_trace_serves_all_values(subject: OptimizerSubject) -> Holds:
    """Gradients, parameters, states and the numbers in them run one program."""
    traces: list[int] = []

    @jax.jit
    def step(params: PyTree, state: PyTree, grads: PyTree) -> Any:
        traces.append(1)
        return moves(subject.optimizer, params, state, grads)

    def holds(draw: Draw) -> None:
        params, each = drawn(draw, subject, 2)
        state = subject.optimizer.init(params)
        for turn in range(2):
            params, state = step(params, state, jax.tree.map(lambda leaf, turn=turn: leaf[turn], each))
        step(params, _changed(state), jax.tree.map(lambda leaf: leaf[0], each))
        if len(traces) > 1:
            raise DifferenceError("traces", str(len(traces)), "1")

    return holds


def _changed(state: PyTree) -> PyTree:
    """Return the state with half of each number, where half is one that it may be."""
    for name, value in hyperparams(state).items():
        state = _with(state, name, value * jnp.asarray(0.5, value.dtype))
    return state


def _with(state: PyTree, name: str, value: Any) -> PyTree:
    """Return the state with a number set, or as it is if the number may not be so: it is whole, or on a schedule."""
    try:
        return with_hyperparams(state, {name: value})
    except ValueError:
        return state


@law()
def split_runs_are_whole_runs(subject: OptimizerSubject) -> Holds:
    """N steps, the state written and read, and m steps = n + m steps."""
    run = jax.jit(lambda params, state, each: path(subject.optimizer, params, state, each))

    def holds(draw: Draw) -> None:
        params, each = drawn(draw, subject)
        state = subject.optimizer.init(params)
        half = STEPS // 2
        first, second = jax.tree.map(lambda leaf: leaf[:half], each), jax.tree.map(lambda leaf: leaf[half:], each)
        again = written_and_read(run(params, state, first))
        assert_alike("(parameters, state)", run(*again, second), run(params, state, each))

    return holds


@law(lambda subject: not subject.decays)
def a_gradient_of_zero_moves_nothing(subject: OptimizerSubject) -> Holds:
    """From a fresh state, gradients of 0 leave the parameters as they are, and no nan in the state."""
    run = jax.jit(lambda params, state, each: path(subject.optimizer, params, state, each))

    def holds(draw: Draw) -> None:
        params, each = drawn(draw, subject)
        end, state = run(params, subject.optimizer.init(params), jax.tree.map(jnp.zeros_like, each))
        assert_same("the parameters", end, params)
        assert_no_nan("the state", state)

    return holds


@law(lambda subject: subject.scale is not None)
def scale_of_the_gradient(subject: OptimizerSubject) -> Holds:
    """The path of c g is that of g ("invariant": ε = 0), or its steps are c times as long ("linear")."""
    run = jax.jit(lambda params, state, each: path(subject.optimizer, params, state, each))

    def holds(draw: Draw) -> None:
        with x64():
            params, each = doubles(drawn(draw, subject))
            factor = draw.choose("factor", (4.0, 0.25, 64.0))
            state = subject.optimizer.init(params)
            numbers = [name for name in hyperparams(state) if name.rpartition("/")[2] == "eps"]
            if subject.scale == "invariant" and numbers:
                state = with_hyperparams(state, dict.fromkeys(numbers, 0.0))
            ends = [run(params, state, jax.tree.map(lambda leaf, c=c: c * leaf, each))[0] for c in (1.0, factor)]
            steps = [jax.tree.map(lambda a, b: a - b, end, params) for end in ends]
            by = factor if subject.scale == "linear" else 1.0
            assert_alike(f"the way of {factor} g", steps[1], jax.tree.map(lambda leaf: by * leaf, steps[0]), rtol=1e-6)

    return holds


@law(lambda subject: subject.first_step is not None)
def the_first_step_is_as_declared(subject: OptimizerSubject) -> Holds:
    """updates(g) from a fresh state = the first step that is declared, of (g, p), in float64, to a thousandth."""

    def holds(draw: Draw) -> None:
        with x64():  # else a small step is lost in the rounding of what it is added to
            params, each = doubles(drawn(draw, subject, 1))
            grads = jax.tree.map(lambda leaf: leaf[0], each)
            end, _ = moves(subject.optimizer, params, subject.optimizer.init(params), grads)
            assert subject.first_step is not None
            expected = jax.tree.map(subject.first_step, *jax.tree.map(np.asarray, (grads, params)))
            got = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), end, params)
            assert_alike("the first step", got, expected, rtol=1e-3, atol=1e-12)

    return holds


@law(lambda subject: subject.descends)
def loss_falls_on_a_convex_quadratic(subject: OptimizerSubject) -> Holds:
    """After 100 steps of gradients of ½ (p − q)ᵀ A (p − q), A positive, the loss is lower than at the start."""

    @jax.jit
    def run(params: PyTree, target: PyTree, curvature: PyTree) -> tuple[Array, Array]:
        def loss(p: PyTree) -> Array:
            parts = jax.tree.map(lambda a, b, c: (c * (a - b) ** 2).sum() / 2, p, target, curvature)
            return sum(jax.tree.leaves(parts), jnp.zeros(()))

        def step(carry: tuple[PyTree, PyTree], _: None) -> tuple[tuple[PyTree, PyTree], None]:
            params, state = carry
            value, grads = jax.value_and_grad(loss)(params)
            extra = extras_taken(subject.optimizer.update, {"value": value, "grad": grads, "value_fn": loss})
            updates, state = subject.optimizer.update(grads, state, params, **extra)
            return (tree.add(params, updates), state), None

        end = jax.lax.scan(step, (params, subject.optimizer.init(params)), None, length=100)[0][0]
        return loss(params), loss(end)

    def holds(draw: Draw) -> None:
        params = draw.moved("move", subject.params)
        target = draw.moved("target", params, 3.0)
        curvature = jax.tree.map(lambda leaf: jnp.exp(leaf), draw.moved("curvature", tree.zeros_like(params), 0.7))
        start, end = map(float, run(params, target, curvature))
        if not end < start:
            raise DifferenceError("the loss after 100 steps", f"{end:.6g}", f"less than {start:.6g}")

    return holds


@law(lambda subject: subject.by_leaf)
def nesting_does_not_matter(subject: OptimizerSubject) -> Holds:
    """Parameters as a list of arrays, and nested: the same path."""
    run = jax.jit(lambda params, state, each: path(subject.optimizer, params, state, each)[0])

    def holds(draw: Draw) -> None:
        params, each = drawn(draw, subject)
        whole = run(params, subject.optimizer.init(params), each)
        flat, flat_each = jax.tree.leaves(params), jax.tree.leaves(each)
        nested = [{"a": {"b": leaf}} for leaf in flat]
        found = run(nested, subject.optimizer.init(nested), [{"a": {"b": leaf}} for leaf in flat_each])
        assert_alike("the nested parameters", jax.tree.leaves(found), jax.tree.leaves(whole))

    return holds


@law(lambda subject: subject.by_leaf)
def leaves_are_apart(subject: OptimizerSubject) -> Holds:
    """The path of a leaf, the first and the last, depends on its own gradients alone."""
    run = jax.jit(lambda params, state, each: path(subject.optimizer, params, state, each)[0])

    def holds(draw: Draw) -> None:
        flat, each = map(jax.tree.leaves, drawn(draw, subject))
        state = subject.optimizer.init(flat)
        end = run(flat, state, each)
        for name, place in {"first": 0, "last": len(flat) - 1}.items():
            others = [leaf if n == place else 3 * leaf + 1 for n, leaf in enumerate(each)]
            assert_alike(f"the {name} leaf", run(flat, state, others)[place], end[place])

    return holds


@law()
def accumulated_gradients_are_one_of_a_large_batch(subject: OptimizerSubject) -> Holds:
    """accumulate(o, n) given g₁ … gₙ moves once, as o does given their mean."""
    gathered = accumulate(subject.optimizer, every=4)

    @jax.jit
    def both(params: PyTree, each: PyTree) -> tuple[PyTree, PyTree]:
        mean = jax.tree.map(lambda leaf: leaf.mean(0), each)
        whole = value_with(params, mean)  # also while they are gathered: `accumulate` passes on what it is given
        one = moves(subject.optimizer, params, subject.optimizer.init(params), mean, whole)[0]
        return path(gathered, params, gathered.init(params), each, whole)[0], one

    def holds(draw: Draw) -> None:
        found, expected = both(*drawn(draw, subject, 4))
        assert_alike("the parameters after 4 gradients", found, expected, rtol=1e-4)

    return holds


@law(lambda subject: subject.by_leaf)
def what_is_frozen_is_not_touched(subject: OptimizerSubject) -> Holds:
    """freeze(o, path) leaves these parameters as they are to the bit, and moves the others as o does."""
    frozen_path = next(iter(tree.flatten(subject.params)))
    frozen = freeze(subject.optimizer, frozen_path)
    run = jax.jit(lambda params, each: path(frozen, params, frozen.init(params), each)[0])
    free = jax.jit(lambda params, each: path(subject.optimizer, params, subject.optimizer.init(params), each)[0])

    def holds(draw: Draw) -> None:
        params, each = drawn(draw, subject)
        found, start, moved = (tree.flatten(value) for value in (run(params, each), params, free(params, each)))
        assert_same(f"{frozen_path}, frozen", found.pop(frozen_path), start[frozen_path])
        del moved[frozen_path]
        assert_alike("the others", found, moved)

    return holds


@law(lambda subject: subject.has_numbers)
def every_number_is_a_leaf(subject: OptimizerSubject) -> Holds:
    """Each number of the optimizer is in its state by name and may be set there; a learning rate of 0 moves nothing."""
    run = jax.jit(lambda params, state, each: path(subject.optimizer, params, state, each))

    def holds(draw: Draw) -> None:
        state = subject.optimizer.init(subject.params)
        numbers = hyperparams(state)
        if not numbers:
            raise DifferenceError("the numbers in the state", "none", "at least the learning rate")
        name = draw.choose("number", tuple(numbers))
        changed = _with(state, name, 0.25)
        assert_shapes_alike("the state with a number set", changed, state)
        params, each = drawn(draw, subject, 2)
        assert_finite("the parameters with it", run(params, changed, each)[0])
        rates = [name for name in numbers if name.rpartition("/")[2] == "learning_rate"]
        if rates and all(hyperparams(_with(state, rate, 0.125))[rate] == 0.125 for rate in rates):
            end, _ = run(params, with_hyperparams(state, dict.fromkeys(rates, 0.0)), each)
            assert_same("the parameters at a learning rate of 0", end, params)

    return holds


@law(lambda subject: subject.reference is not None)
def it_is_its_reference(subject: OptimizerSubject) -> Holds:
    """The path is that of the reference, step by step, in float64."""

    @jax.jit
    def run(params: PyTree, each: PyTree) -> PyTree:
        def step(carry: tuple[PyTree, PyTree], grads: PyTree) -> tuple[tuple[PyTree, PyTree], PyTree]:
            carry = moves(subject.optimizer, *carry, grads)
            return carry, carry[0]

        return jax.lax.scan(step, (params, subject.optimizer.init(params)), each)[1]

    def holds(draw: Draw) -> None:
        with x64():
            params, each = doubles(drawn(draw, subject))
            assert subject.reference is not None
            wide = jax.tree.map(np.asarray, (params, each))
            expected = subject.reference(*wide)
            assert_alike("the parameters at each step", run(params, each), expected, rtol=1e-8, atol=1e-10)

    return holds


LAWS: tuple[Law, ...] = (
    structure_is_fixed,
    jit_is_eager,
    update_is_pure,
    one_trace_serves_all_values,
    split_runs_are_whole_runs,
    a_gradient_of_zero_moves_nothing,
    scale_of_the_gradient,
    the_first_step_is_as_declared,
    loss_falls_on_a_convex_quadratic,
    nesting_does_not_matter,
    leaves_are_apart,
    accumulated_gradients_are_one_of_a_large_batch,
    what_is_frozen_is_not_touched,
    every_number_is_a_leaf,
    it_is_its_reference,
)
