"""Laws of losses: functions (prediction, target) -> one value an example, or an element."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from fnnet.testing.comparing import (
    DifferenceError,
    assert_alike,
    assert_finite,
    assert_same,
    assert_shapes_alike,
    assert_slopes,
    shown,
    taken,
)
from fnnet.testing.drawing import SMOOTH, TAME, Draw
from fnnet.testing.precision import doubles, in_numpy, is_float, slopes, x64
from fnnet.testing.searching import Holds, Law, law
from fnnet.testing.subjects import LossSubject

EXTREME = ("zeros", "constant", "near-equal", "signed zeros", "subnormal", "tiny", "large", "mixed")


def drawn(draw: Draw, subject: LossSubject, kinds: tuple[str, ...] = TAME) -> tuple[PyTree, PyTree]:
    """Return a prediction of one of the kinds, and the target of the example or, where rows may, in another order."""
    prediction = draw.like("prediction", subject.prediction, kinds)
    if subject.as_prediction is not None:
        prediction = subject.as_prediction(prediction)
    order = np.random.default_rng(draw.seed("order")).permutation(_count(subject.target))
    return prediction, jax.tree.map(lambda leaf: leaf[order], subject.target)


def _count(value: PyTree) -> int:
    return int(jax.tree.leaves(value)[0].shape[0])


@law()
def one_value_an_example(subject: LossSubject) -> Holds:
    """The loss of a batch has the batch as its first axis, and the dtype float32; float64 if p has it."""

    def holds(draw: Draw) -> None:
        prediction, target = drawn(draw, subject)
        value = jax.eval_shape(subject.loss, prediction, target)
        if not value.shape or value.shape[0] != _count(target):
            raise DifferenceError("the shape of the loss", str(value.shape), f"({_count(target)}, ...)")
        wide = any(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(prediction))
        if value.dtype != (jnp.float64 if wide else jnp.float32):
            raise DifferenceError("the dtype of the loss", str(value.dtype), "float64" if wide else "float32")

    return holds


@law()
def examples_are_apart(subject: LossSubject) -> Holds:
    """loss(stack of examples) = stack of loss(example), by vmap and by a loop; hence in every order."""
    compiled, mapped = jax.jit(subject.loss), jax.jit(jax.vmap(subject.loss))

    def holds(draw: Draw) -> None:
        prediction, target = drawn(draw, subject)
        whole = compiled(prediction, target)
        assert_alike("vmap(loss)", mapped(prediction, target), whole)
        last = jax.tree.map(lambda leaf: leaf[-1:], (prediction, target))
        assert_alike("the loss of the last example alone", compiled(*last), whole[-1:])

    return holds


@law()
def jit_is_eager(subject: LossSubject) -> Holds:
    """jit(loss)(p, t) = loss(p, t)."""
    compiled = jax.jit(subject.loss)

    def holds(draw: Draw) -> None:
        prediction, target = drawn(draw, subject)
        eager = subject.loss(prediction, target)
        assert_alike("jit(loss)", compiled(prediction, target), eager)
        assert_shapes_alike("shapes foretold", jax.eval_shape(subject.loss, prediction, target), eager)

    return holds


@law()
def it_is_pure(subject: LossSubject) -> Holds:
    """loss(p, t) is the same again, and leaves p and t as they are."""

    def holds(draw: Draw) -> None:
        drawn_ones = drawn(draw, subject)
        given, first = taken(subject.loss, *drawn_ones)
        assert_same("the arguments, afterwards", given, drawn_ones)
        assert_same("a second call", subject.loss(*given), first)

    return holds


@law()
def one_trace_serves_all_values(subject: LossSubject) -> Holds:
    """Predictions and targets of one shape run one program."""
    traces: list[int] = []

    def loss(prediction: PyTree, target: PyTree) -> Array:
        traces.append(1)
        return subject.loss(prediction, target)

    compiled = jax.jit(loss)

    def holds(draw: Draw) -> None:
        compiled(*drawn(draw, subject))
        if len(traces) > 1:
            raise DifferenceError("traces", str(len(traces)), "1")

    return holds


@law(lambda subject: subject.least is not None)
def it_is_never_below_its_least(subject: LossSubject) -> Holds:
    """loss(p, t) ≥ the least that is declared: 0 for most."""
    compiled = jax.jit(subject.loss)

    def holds(draw: Draw) -> None:
        value = np.asarray(compiled(*drawn(draw, subject, (*TAME, "large"))))
        if (value < subject.least - 1e-6 * np.abs(value).max(initial=1.0)).any():
            raise DifferenceError("the loss", shown(value), f"at least {subject.least}")

    return holds


@law(lambda subject: subject.truth is not None)
def the_truth_has_the_least_loss(subject: LossSubject) -> Holds:
    """loss(truth(t), t) ≤ loss(p, t) for every p, and = the least, if one is declared."""
    compiled = jax.jit(subject.loss)

    def holds(draw: Draw) -> None:
        prediction, target = drawn(draw, subject)
        assert subject.truth is not None
        best, other = (np.asarray(compiled(p, target)) for p in (subject.truth(target), prediction))
        if (best > other + 1e-5 * np.maximum(1, np.abs(other))).any():
            raise DifferenceError(
                "the loss at the truth", shown(best), f"at most that of the prediction, {shown(other)}"
            )
        if subject.least is not None:
            assert_alike("the loss at the truth", best, np.full_like(best, subject.least), atol=1e-4)

    return holds


@law(lambda subject: subject.truth is not None)
def the_truth_has_a_finite_gradient(subject: LossSubject) -> Holds:
    """∇loss(p, t) at p = truth(t) is finite."""
    slope = jax.jit(jax.grad(lambda prediction, target: subject.loss(prediction, target).sum()))

    def holds(draw: Draw) -> None:
        _, target = drawn(draw, subject)
        assert subject.truth is not None
        assert_finite("the gradient at the truth", slope(subject.truth(target), target))

    return holds


@law(lambda subject: subject.truth is not None and subject.convex)
def the_gradient_points_away_from_the_truth(subject: LossSubject) -> Holds:
    """⟨∇loss(p, t), p − truth(t)⟩ ≥ loss(p, t) − loss(truth(t), t): a convex loss lies above its tangents."""

    @jax.jit
    def both(prediction: PyTree, target: PyTree) -> tuple[Array, Array]:
        assert subject.truth is not None
        truth = subject.truth(target)

        def total(p: PyTree) -> Array:
            return subject.loss(p, target).sum()

        value, slope = jax.value_and_grad(total)(prediction)
        inner = jax.tree.map(lambda g, p, q: (g * (p - q)).sum(), slope, prediction, truth)
        return sum(jax.tree.leaves(inner), jnp.zeros(())), value - total(truth)

    def holds(draw: Draw) -> None:
        inner, fall = map(float, both(*drawn(draw, subject)))
        if inner < fall - 1e-4 * max(1.0, abs(fall)):
            raise DifferenceError("⟨∇loss, p − truth⟩", f"{inner:.6g}", f"at least {fall:.6g}")

    return holds


@law()
def gradients_are_slopes(subject: LossSubject) -> Holds:
    """d/dt Σ loss(p + t u, t) at 0 = (L(h) − L(−h)) / 2h, forward and reverse, in float64."""
    found = slopes(lambda prediction, target: subject.loss(prediction, target))

    def holds(draw: Draw) -> None:
        with x64():
            prediction, target = drawn(draw, subject, SMOOTH)
            at = doubles(prediction)
            along = draw.moved("direction", jax.tree.map(jnp.zeros_like, at), 1.0)
            target = doubles(target)
            assert_slopes(found(at, along, target), jax.eval_shape(subject.loss, at, target))

    return holds


@law()
def extremes_are_finite(subject: LossSubject) -> Holds:
    """Of predictions that are ±0, equal, nearly equal, subnormal, and up to 1e4: value and gradient are finite."""

    @jax.jit
    def both(prediction: PyTree, target: PyTree) -> tuple[Array, PyTree]:
        return subject.loss(prediction, target), jax.grad(lambda p: subject.loss(p, target).sum())(prediction)

    def holds(draw: Draw) -> None:
        value, slope = both(*drawn(draw, subject, EXTREME))
        assert_finite("the loss", value)
        assert_finite("its gradient", slope)

    return holds


@law()
def sixteen_bits_are_summed_in_thirty_two(subject: LossSubject) -> Holds:
    """loss(bfloat16 p, t) = loss(float32 of the same p, t), in float32, with a gradient of bfloat16."""

    @jax.jit
    def both(low: PyTree, target: PyTree) -> tuple[Array, Array, PyTree]:
        high = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if is_float(leaf) else leaf, low)
        slope = jax.grad(lambda p: subject.loss(p, target).sum())(low)
        return subject.loss(low, target), subject.loss(high, target), slope

    def holds(draw: Draw) -> None:
        prediction, target = drawn(draw, subject, SMOOTH)
        low = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16) if is_float(leaf) else leaf, prediction)
        got, expected, slope = both(low, target)
        assert_alike("the loss of bfloat16", got, expected, rtol=1e-6)
        assert_shapes_alike("its gradient", slope, low)
        if got.dtype != jnp.float32:
            raise DifferenceError("the dtype of the loss", str(got.dtype), "float32")

    return holds


@law(lambda subject: subject.weighted is not None)
def weights_are_linear(subject: LossSubject) -> Holds:
    """loss(a w + b w') = a loss(w) + b loss(w'), and weights of one change nothing."""

    def holds(draw: Draw) -> None:
        prediction, target = drawn(draw, subject)
        assert subject.weighted is not None
        make, count = subject.weighted
        rng = np.random.default_rng(draw.seed("weights"))
        first, second = (rng.uniform(0.1, 2, count).astype(np.float32) for _ in range(2))
        found = [make(jnp.asarray(w))(prediction, target) for w in (first, second, 2 * first + 3 * second)]
        assert_alike("the loss with weights 2 w + 3 w'", found[2], 2 * found[0] + 3 * found[1])
        ones = make(jnp.ones(count, jnp.float32))(prediction, target)
        assert_alike("the loss with weights of one", ones, subject.loss(prediction, target))

    return holds


@law(lambda subject: subject.reference is not None)
def it_is_its_reference(subject: LossSubject) -> Holds:
    """loss(p, t) = the reference in float64."""
    compiled = jax.jit(subject.loss)

    def holds(draw: Draw) -> None:
        prediction, target = drawn(draw, subject)
        wide = in_numpy((prediction, target))
        assert subject.reference is not None
        assert_alike("the loss", compiled(prediction, target), subject.reference(*wide), rtol=1e-5, atol=2e-6)

    return holds


LAWS: tuple[Law, ...] = (
    one_value_an_example,
    examples_are_apart,
    jit_is_eager,
    it_is_pure,
    one_trace_serves_all_values,
    it_is_never_below_its_least,
    the_truth_has_the_least_loss,
    the_truth_has_a_finite_gradient,
    the_gradient_points_away_from_the_truth,
    gradients_are_slopes,
    extremes_are_finite,
    sixteen_bits_are_summed_in_thirty_two,
    weights_are_linear,
    it_is_its_reference,
)
