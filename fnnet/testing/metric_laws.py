"""Laws of metrics: mergeable accumulators (init, update, compute, merge)."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet.testing.comparing import DifferenceError, assert_alike, assert_same, assert_shapes_alike, shown
from fnnet.testing.drawing import Draw
from fnnet.testing.precision import in_numpy
from fnnet.testing.searching import Holds, Law, law
from fnnet.testing.subjects import MetricSubject


class Programs(NamedTuple):
    """A metric compiled, so that no law compiles it anew: by `update`, what some rows make of ``init()``."""

    update: Callable[..., PyTree]
    merge: Callable[[PyTree, PyTree], PyTree]
    compute: Callable[[PyTree], Any]
    none: PyTree

    def updated(self, data: tuple[Any, ...]) -> PyTree:
        """Return the accumulator of some rows."""
        return self.update(self.none, *data)

    def value(self, data: tuple[Any, ...]) -> Any:
        """Return the value of some rows."""
        return self.compute(self.updated(data))


def programs(subject: MetricSubject) -> Programs:
    """Return the metric compiled."""
    metric = subject.metric
    return Programs(jax.jit(metric.update), jax.jit(metric.merge), jax.jit(metric.compute), metric.init())


def valued(subject: MetricSubject, data: tuple[Any, ...]) -> np.ndarray:
    """Return the value of some rows, computed without ``jit``."""
    metric = subject.metric
    return np.asarray(metric.compute(metric.update(metric.init(), *jax.tree.map(jnp.asarray, data))), np.float64)


def count(subject: MetricSubject) -> int:
    """Return the number of rows of the example."""
    return int(jax.tree.leaves(subject.target)[0].shape[0])


def drawn(draw: Draw, subject: MetricSubject) -> tuple[PyTree, PyTree]:
    """Return rows of the example in NumPy, drawn with replacement: predictions beside their own targets or not."""
    rows = count(subject)
    rng = np.random.default_rng(draw.seed("rows"))
    some = rng.integers(0, rows, rows)
    others = some if draw.choose("targets", ("their own", "of other rows")) == "their own" else rng.permutation(some)
    prediction = jax.tree.map(lambda leaf: np.asarray(leaf)[some], subject.prediction)
    return prediction, jax.tree.map(lambda leaf: np.asarray(leaf)[others], subject.target)


def weights(draw: Draw, subject: MetricSubject) -> tuple[np.ndarray, ...]:
    """Return the weights of the rows, if they may have some: of ones, whole numbers, or any."""
    if not subject.weights:
        return ()
    kind = draw.choose("weights", ("ones", "whole", "any"))
    rng = np.random.default_rng(draw.seed("weights seed"))
    drawn = {"whole": rng.integers(0, 3, count(subject)), "any": rng.uniform(0, 2, count(subject))}
    found = np.asarray(drawn.get(kind, np.ones(count(subject))), np.float32)
    found[0] = max(found[0], 1.0)  # not all are 0
    return (found,)


def alike(subject: MetricSubject, what: str, got: Any, expected: Any) -> None:
    """Raise DifferenceError unless two values are equal, as exactly as was declared."""
    assert_alike(what, got, expected, rtol=subject.rtol, atol=min(1e-6, subject.rtol))


def same(subject: MetricSubject, metric: Programs, what: str, got: PyTree, expected: PyTree) -> None:
    """Raise DifferenceError unless two accumulators are equal but for rounding: in value too.

    A part of one may hold what another has rounded away, so that rounding is that of the largest number of all.
    """
    sizes = [np.abs(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(expected)]
    largest = max((size[np.isfinite(size)].max(initial=0.0) for size in sizes), default=0.0)
    assert_alike(what, got, expected, atol=max(1e-6, 1e-5 * largest))
    alike(subject, f"the value of {what}", metric.compute(got), metric.compute(expected))


def dealt(draw: Draw, subject: MetricSubject) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]]:
    """Return all rows, and three parts that they are dealt to, one of which is empty."""
    data = (*drawn(draw, subject), *weights(draw, subject))
    rows = count(subject)
    order = np.random.default_rng(draw.seed("dealt")).permutation(rows)
    cuts = (order[: rows // 2], order[rows // 2 :], order[:0])  # of few sizes, since each is compiled
    return data, [jax.tree.map(lambda leaf, part=part: leaf[part], data) for part in cuts]


@law()
def no_split_changes_the_value(subject: MetricSubject) -> Holds:
    """compute(update of all rows) = compute(merge of the updates of any parts, in any order)."""
    metric = programs(subject)

    def holds(draw: Draw) -> None:
        whole, parts = dealt(draw, subject)
        order = np.random.default_rng(draw.seed("order")).permutation(len(parts))
        merged = reduce(metric.merge, [metric.updated(parts[i]) for i in order])
        alike(subject, "the value of the parts", metric.compute(merged), metric.value(whole))

    return holds


@law()
def merge_is_associative_and_commutative(subject: MetricSubject) -> Holds:
    """a + (b + c) = (a + b) + c, a + b = b + a, a + init() = a = init() + a, for + = merge, to rounding."""
    metric = programs(subject)

    def holds(draw: Draw) -> None:
        a, b, c = map(metric.updated, dealt(draw, subject)[1])
        merge = metric.merge
        same(subject, metric, "a + (b + c)", merge(a, merge(b, c)), merge(merge(a, b), c))
        same(subject, metric, "b + a", merge(b, a), merge(a, b))
        same(subject, metric, "a + init()", merge(a, metric.none), a)
        same(subject, metric, "init() + a", merge(metric.none, a), a)

    return holds


@law()
def updates_add_up(subject: MetricSubject) -> Holds:
    """update(update(init(), a), b) = update(init(), a and b), in value: batches may be of any sizes."""
    metric = programs(subject)

    def holds(draw: Draw) -> None:
        data = (*drawn(draw, subject), *weights(draw, subject))
        cut = draw.choose("cut", (count(subject) // 2, 0))
        first, second = jax.tree.map(lambda leaf: leaf[:cut], data), jax.tree.map(lambda leaf: leaf[cut:], data)
        after = metric.update(metric.updated(first), *second)
        alike(subject, "the value after two batches", metric.compute(after), metric.value(data))

    return holds


@law(lambda subject: not subject.ordered)
def order_does_not_matter(subject: MetricSubject) -> Holds:
    """The value of the rows in another order is the same."""
    metric = programs(subject)

    def holds(draw: Draw) -> None:
        data = (*drawn(draw, subject), *weights(draw, subject))
        order = np.random.default_rng(draw.seed("order")).permutation(count(subject))
        other = jax.tree.map(lambda leaf: leaf[order], data)
        alike(subject, "the value in another order", metric.value(other), metric.value(data))

    return holds


@law(lambda subject: subject.weights)
def weights_count_rows(subject: MetricSubject) -> Holds:
    """A row of weight 2 is two rows, one of weight 0 is none, and no weights are weights of one."""
    metric = programs(subject)

    def holds(draw: Draw) -> None:
        data = drawn(draw, subject)
        times = np.ones(count(subject), int)
        pairs = np.random.default_rng(draw.seed("times")).permutation(count(subject))[: 2 * (count(subject) // 3)]
        times[pairs[::2]], times[pairs[1::2]] = 2, 0  # as many rows as before
        repeated = jax.tree.map(lambda leaf: leaf[np.repeat(np.arange(len(times)), times)], data)
        weighted = metric.value((*data, times.astype(np.float32)))
        alike(subject, "the value of weighted rows", weighted, metric.value(repeated))
        ones = metric.value((*data, np.ones(count(subject), np.float32)))
        alike(subject, "the value with weights of one", ones, metric.value(data))

    return holds


@law()
def jit_is_eager(subject: MetricSubject) -> Holds:
    """jit(update), jit(merge) and jit(compute) give what they give without."""
    metric = programs(subject)

    def holds(draw: Draw) -> None:
        data = jax.tree.map(jnp.asarray, (*drawn(draw, subject), *weights(draw, subject)))
        eager, acc = subject.metric.update(subject.metric.init(), *data), metric.updated(data)
        same(subject, metric, "jit(update)", acc, eager)
        same(subject, metric, "jit(merge)", metric.merge(acc, acc), subject.metric.merge(eager, eager))
        alike(subject, "jit(compute)", metric.compute(acc), subject.metric.compute(eager))

    return holds


@law()
def vmap_is_a_loop(subject: MetricSubject) -> Holds:
    """vmap over two data sets, of the value of each, gives the two values."""
    metric = programs(subject)

    def of(*data: Any) -> Any:
        return subject.metric.compute(subject.metric.update(subject.metric.init(), *data))

    mapped = jax.jit(jax.vmap(of))

    def holds(draw: Draw) -> None:
        data = (*drawn(draw, subject), *weights(draw, subject))
        order = np.random.default_rng(draw.seed("others")).integers(0, count(subject), count(subject))
        other = (*jax.tree.map(lambda leaf: leaf[order], data[:2]), *data[2:])
        both = jax.tree.map(lambda a, b: np.stack([a, b]), data, other)
        alone = jax.tree.map(lambda a, b: np.stack([a, b]), metric.value(data), metric.value(other))
        alike(subject, "vmap of the value", mapped(*both), alone)

    return holds


@law()
def accumulators_are_kept(subject: MetricSubject) -> Holds:
    """update and merge keep structure, shapes and dtypes of init(): so a scan may carry them. Nothing given changes."""

    def holds(draw: Draw) -> None:
        data = jax.tree.map(jnp.asarray, (*drawn(draw, subject), *weights(draw, subject)))
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
        found = valued(subject, data)
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
        data = (make(jax.tree.map(jnp.asarray, target)), target, *weights(draw, subject))
        found = valued(subject, data)
        alike(subject, "the value of the truth", found, np.full_like(found, best))

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
        alike(subject, "the value", valued(subject, (prediction, target, *weight)), np.asarray(expected))

    return holds


LAWS: tuple[Law, ...] = (
    no_split_changes_the_value,
    merge_is_associative_and_commutative,
    updates_add_up,
    order_does_not_matter,
    weights_count_rows,
    jit_is_eager,
    vmap_is_a_loop,
    accumulators_are_kept,
    values_stay_within_bounds,
    the_truth_is_perfect,
    it_is_its_reference,
)
