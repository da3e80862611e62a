"""Laws of metrics: mergeable accumulators (init, update, compute, merge)."""

from __future__ import annotations

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from fnnet.testing.comparing import DifferenceError, assert_alike, assert_same, assert_shapes_alike, shown
from fnnet.testing.drawing import Draw
from fnnet.testing.precision import in_numpy
from fnnet.testing.searching import Holds, Law, law
from fnnet.testing.subjects import MetricSubject

KINDS = ("distinct", "normal", "zeros", "ones")


def count(subject: MetricSubject) -> int:
    """Return the number of rows of the example."""
    return int(jax.tree.leaves(subject.target)[0].shape[0])


def drawn(draw: Draw, subject: MetricSubject) -> tuple[PyTree, PyTree]:
    """Return rows of the example, drawn with replacement: predictions beside their own targets or not."""
    rows = count(subject)
    rng = np.random.default_rng(draw.seed("rows"))
    some = rng.integers(0, rows, rows)
    others = some if draw.choose("targets", ("their own", "of other rows")) == "their own" else rng.permutation(some)
    prediction = jax.tree.map(lambda leaf: leaf[some], subject.prediction)
    return prediction, jax.tree.map(lambda leaf: leaf[others], subject.target)


def weights(draw: Draw, subject: MetricSubject) -> tuple[Array, ...]:
    """Return the weights of the rows, if they may have some: of ones, whole numbers, or any."""
    if not subject.weights:
        return ()
    kind = draw.choose("weights", ("ones", "whole", "any"))
    rng = np.random.default_rng(draw.seed("weights seed"))
    drawn = {"whole": rng.integers(0, 3, count(subject)), "any": rng.uniform(0, 2, count(subject))}
    found = np.asarray(drawn.get(kind, np.ones(count(subject))), np.float32)
    found[0] = max(found[0], 1.0)  # not all are 0
    return (jnp.asarray(found),)


def parts(draw: Draw, subject: MetricSubject) -> list[PyTree]:
    """Return the accumulators of all rows, and of three parts that they are dealt to, one of which is empty."""
    data = (*drawn(draw, subject), *weights(draw, subject))
    rows = count(subject)
    order = np.random.default_rng(draw.seed("dealt")).permutation(rows)
    cuts = (order[: rows // 3], order[rows // 3 :], order[:0])  # of few sizes, since each is compiled
    dealt = [jax.tree.map(lambda leaf, part=part: leaf[part], data) for part in cuts]
    return [updated(subject, part) for part in [data, *dealt]]


def updated(subject: MetricSubject, data: tuple[Any, ...]) -> PyTree:
    """Return the accumulator of some rows."""
    return subject.metric.update(subject.metric.init(), *data)


def value(subject: MetricSubject, acc: PyTree) -> Any:
    """Return the value of an accumulator."""
    return subject.metric.compute(acc)


@law()
def no_split_changes_the_value(subject: MetricSubject) -> Holds:
    """compute(update of all rows) = compute(merge of the updates of any parts, in any order)."""

    def holds(draw: Draw) -> None:
        whole, *dealt = parts(draw, subject)
        order = np.random.default_rng(draw.seed("order")).permutation(len(dealt))
        merged = reduce(subject.metric.merge, [dealt[i] for i in order])
        assert_alike("the value of the parts", value(subject, merged), value(subject, whole))

    return holds


@law()
def merge_is_associative_and_commutative(subject: MetricSubject) -> Holds:
    """a + (b + c) = (a + b) + c, a + b = b + a, a + init() = a, for + = merge, to rounding."""

    def holds(draw: Draw) -> None:
        _, a, b, c = parts(draw, subject)
        merge = subject.metric.merge
        assert_alike("a + (b + c)", merge(a, merge(b, c)), merge(merge(a, b), c))
        assert_alike("b + a", merge(b, a), merge(a, b))
        assert_alike("a + init()", merge(a, subject.metric.init()), a)
        assert_alike("init() + a", merge(subject.metric.init(), a), a)

    return holds


@law()
def updates_add_up(subject: MetricSubject) -> Holds:
    """update(update(init(), a), b) = merge(update(init(), a), update(init(), b)): batches may be of any sizes."""

    def holds(draw: Draw) -> None:
        data = (*drawn(draw, subject), *weights(draw, subject))
        cut = draw.choose("cut", (count(subject) // 3, 0, 1))
        first, second = jax.tree.map(lambda leaf: leaf[:cut], data), jax.tree.map(lambda leaf: leaf[cut:], data)
        after = subject.metric.update(updated(subject, first), *second)
        assert_alike("the value after two batches", value(subject, after), value(subject, updated(subject, data)))

    return holds


@law(lambda subject: not subject.ordered)
def order_does_not_matter(subject: MetricSubject) -> Holds:
    """The value of the rows in another order is the same."""

    def holds(draw: Draw) -> None:
        data = (*drawn(draw, subject), *weights(draw, subject))
        order = np.random.default_rng(draw.seed("order")).permutation(count(subject))
        other = jax.tree.map(lambda leaf: leaf[order], data)
        found, expected = (value(subject, updated(subject, each)) for each in (other, data))
        assert_alike("the value in another order", found, expected)

    return holds


@law(lambda subject: subject.weights)
def weights_count_rows(subject: MetricSubject) -> Holds:
    """A row of weight 2 is two rows, one of weight 0 is none, and no weights are weights of one."""

    def holds(draw: Draw) -> None:
        data = drawn(draw, subject)
        times = np.ones(count(subject), int)
        pairs = np.random.default_rng(draw.seed("times")).permutation(count(subject))[: 2 * (count(subject) // 3)]
        times[pairs[::2]], times[pairs[1::2]] = 2, 0  # as many rows as before
        repeated = jax.tree.map(lambda leaf: leaf[np.repeat(np.arange(len(times)), times)], data)
        weighted = value(subject, updated(subject, (*data, jnp.asarray(times, jnp.float32))))
        assert_alike("the value of weighted rows", weighted, value(subject, updated(subject, repeated)))
        ones = value(subject, updated(subject, (*data, jnp.ones(count(subject), jnp.float32))))
        assert_alike("the value with weights of one", ones, value(subject, updated(subject, data)))

    return holds


@law()
def jit_is_eager(subject: MetricSubject) -> Holds:
    """jit(update), jit(merge) and jit(compute) give what they give without."""
    update, merge, compute = (jax.jit(f) for f in (subject.metric.update, subject.metric.merge, subject.metric.compute))

    def holds(draw: Draw) -> None:
        data = (*drawn(draw, subject), *weights(draw, subject))
        eager = updated(subject, data)
        acc = update(subject.metric.init(), *data)
        assert_alike("jit(update)", acc, eager)
        assert_alike("jit(merge)", merge(acc, acc), subject.metric.merge(eager, eager))
        assert_alike("jit(compute)", compute(acc), value(subject, eager))

    return holds


@law()
def accumulators_are_kept(subject: MetricSubject) -> Holds:
    """update and merge keep structure, shapes and dtypes of init(): so a scan may carry them. Nothing given changes."""

    def holds(draw: Draw) -> None:
        data = (*drawn(draw, subject), *weights(draw, subject))
        none = jax.tree.map(jnp.asarray, subject.metric.init())
        kept = jax.tree.map(lambda leaf: np.array(leaf), (none, data))
        acc = subject.metric.update(none, *data)
        assert_shapes_alike("update(init(), ...)", acc, none)
        assert_shapes_alike("merge(acc, acc)", subject.metric.merge(acc, acc), none)
        assert_same("the arguments, afterwards", jax.tree.map(lambda leaf: np.array(leaf), (none, data)), kept)
        assert_same("a second update", subject.metric.update(none, *data), acc)

    return holds


@law(lambda subject: subject.least is not None or subject.most is not None)
def values_stay_within_bounds(subject: MetricSubject) -> Holds:
    """Least ≤ value ≤ most."""

    def holds(draw: Draw) -> None:
        data = (*drawn(draw, subject), *weights(draw, subject))
        found = np.asarray(value(subject, updated(subject, data)), np.float64)
        least = -np.inf if subject.least is None else subject.least
        most = np.inf if subject.most is None else subject.most
        if (found < least - 1e-6).any() or (found > most + 1e-6).any():
            raise DifferenceError("the value", shown(found), f"from {least} to {most}")

    return holds


@law(lambda subject: subject.perfect is not None)
def the_truth_is_perfect(subject: MetricSubject) -> Holds:
    """The value of the prediction that the target itself makes is the one declared."""

    def holds(draw: Draw) -> None:
        _, target = drawn(draw, subject)
        assert subject.perfect is not None
        make, best = subject.perfect
        data = (make(target), target, *weights(draw, subject))
        found = np.asarray(value(subject, updated(subject, data)), np.float64)
        assert_alike("the value of the truth", found, np.full_like(found, best))

    return holds


@law(lambda subject: subject.reference is not None)
def it_is_its_reference(subject: MetricSubject) -> Holds:
    """The value is that of the reference in float64, with weights and without."""

    def holds(draw: Draw) -> None:
        prediction, target = drawn(draw, subject)
        weight = weights(draw, subject) if draw.choose("weighted", (False, True)) else ()
        assert subject.reference is not None
        p, t = in_numpy((prediction, target))
        expected = subject.reference(p, t, np.asarray(weight[0], np.float64) if weight else None)
        found = value(subject, updated(subject, (prediction, target, *weight)))
        assert_alike("the value", found, np.asarray(expected), rtol=1e-5, atol=2e-6)

    return holds


LAWS: tuple[Law, ...] = (
    no_split_changes_the_value,
    merge_is_associative_and_commutative,
    updates_add_up,
    order_does_not_matter,
    weights_count_rows,
    jit_is_eager,
    accumulators_are_kept,
    values_stay_within_bounds,
    the_truth_is_perfect,
    it_is_its_reference,
)
