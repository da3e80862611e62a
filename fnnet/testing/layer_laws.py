"""Laws of layers: what init and apply do with shapes, batches, keys, modes and state."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.testing.comparing import (
    DifferenceError,
    assert_alike,
    assert_same,
    assert_shapes_alike,
    equal,
    shown,
    taken,
)
from fnnet.testing.drawing import SMOOTH, Draw
from fnnet.testing.layer_cases import MODES, applied, batch_of, drawn, has_state, needs_key, rounding
from fnnet.testing.searching import Holds, Law, law
from fnnet.testing.subjects import LayerSubject

BATCHES = ((3, 2), (2,), (1,), (), (0,))  # the first is the largest
TRIALS = 4096  # keys that a mean is taken over


@law()
def init_reads_shapes_alone(subject: LayerSubject) -> Holds:
    """init(k, x) = init(k, shapes of x) = init(k, x'), and the same again."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), subject.x)

    def holds(draw: Draw) -> None:
        key, x = draw.key(), draw.like("x", subject.x)
        first = subject.layer.init(key, x)
        assert_same("init of the shapes of x", subject.layer.init(key, shapes), first)
        assert_same("init of another x", subject.layer.init(key, subject.x), first)

    return holds


@law()
def no_number_is_drawn_twice(subject: LayerSubject) -> Holds:
    """Parameters that depend on the key: no two arrays of init(k, x) have the same numbers, or multiples of them."""

    def holds(draw: Draw) -> None:
        seed = draw.seed("key")
        first, second = (subject.layer.init(jax.random.key(s), subject.x)[0] for s in (seed, seed + 1))
        pairs = zip(tree.flatten(first).items(), jax.tree.leaves(second), strict=True)
        random = {path: np.ravel(a) for (path, a), b in pairs if a.size > 2 and not np.array_equal(a, b)}
        paths = list(random)
        for number, path in enumerate(paths):
            for other in paths[:number]:
                count = min(random[path].size, random[other].size)
                a, b = random[path][:count].astype(float), random[other][:count].astype(float)
                if count > 2 and np.ptp(a) and np.ptp(b) and abs(np.corrcoef(a, b)[0, 1]) > 1 - 1e-9:
                    raise DifferenceError(f"{path} beside {other}", shown(a), "numbers of a key of its own")

    return holds


@law()
def trees_are_kept(subject: LayerSubject) -> Holds:
    """The state of apply has the structure, shapes and dtypes of that of init, and y the same in training."""

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        key = draw.key()
        found = [jax.eval_shape(applied(subject, train), params, state, subject.x, key) for train in MODES]
        for train in MODES:
            assert_shapes_alike(f"the state after apply(train={train})", found[train][1], state)
        assert_shapes_alike("y in training", found[True][0], found[False][0])

    return holds


@law()
def jit_is_eager(subject: LayerSubject) -> Holds:
    """jit(apply)(p, s, x) = apply(p, s, x), in inference and in training."""
    applies = [applied(subject, train) for train in MODES]
    compiled = [jax.jit(apply) for apply in applies]

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        train, x, key = draw.choose("train", MODES), draw.like("x", subject.x), draw.key()
        eager = applies[train](params, state, x, key)
        slack = rounding(compiled[train], params, state, x, key)
        assert_alike("jit(apply)", compiled[train](params, state, x, key), eager, slack=slack)
        assert_shapes_alike("shapes foretold", jax.eval_shape(applies[train], params, state, x, key), eager)

    return holds


@law()
def apply_is_pure(subject: LayerSubject) -> Holds:
    """apply(p, s, x) is the same again, and leaves p, s and x as they are."""
    applies = [applied(subject, train) for train in MODES]

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        train, x, key = draw.choose("train", MODES), draw.like("x", subject.x), draw.key()
        given, first = taken(partial(applies[train], key=key), params, state, x)
        assert_same("the arguments, afterwards", given, (params, state, x))
        assert_same("a second call", applies[train](*given, key), first)

    return holds


@law()
def one_trace_serves_all_values(subject: LayerSubject) -> Holds:
    """Inputs of one shape run one program: apply is traced once."""
    traces: list[int] = []

    def apply(params: PyTree, state: PyTree, x: Any) -> Any:
        traces.append(1)
        return subject.layer.apply(params, state, x)

    compiled = jax.jit(apply)

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        compiled(params, state, draw.like("x", subject.x))
        if len(traces) > 1:
            raise DifferenceError("traces", str(len(traces)), "1")

    return holds


@law()
def leading_axes_are_batch(subject: LayerSubject) -> Holds:
    """apply(stack of x) = stack of apply(x), at inference; of no, one, or many axes, and of an empty batch."""
    apply = jax.jit(applied(subject, train=False))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        key, x = draw.key(), draw.like("x", subject.x, batch=BATCHES[0])
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(BATCHES[0]) :]), x)
        count = int(np.prod(BATCHES[0]))
        rows = [apply(params, state, _row(flat, row), key)[0] for row in range(count)]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
        slack = rounding(apply, params, state, flat, key)
        for batch in BATCHES:
            some = int(np.prod(batch))
            given, expected = (_reshaped(value, some, batch) for value in (flat, stacked))
            y = apply(params, state, given, key)[0]
            assert_alike(f"apply of a batch of shape {batch}", y, expected, slack=slack)

    return holds


def _row(value: PyTree, row: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[row], value)


def _reshaped(value: PyTree, count: int, batch: tuple[int, ...]) -> PyTree:
    """Return the first rows in the shape of a batch."""
    return jax.tree.map(lambda leaf: leaf[:count].reshape(*batch, *leaf.shape[1:]), value)


@law(lambda subject: not subject.couples)
def training_takes_examples_apart(subject: LayerSubject) -> Holds:
    """Of a batch in training, an example's output is its own: that of another example in its place changes no other."""
    apply = jax.jit(applied(subject, train=True))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        key, batch = draw.key(), batch_of(subject)
        x, other = (draw.like(name, subject.x, batch=batch) for name in ("x", "other"))
        mixed = jax.tree.map(lambda a, b: a.at[0].set(b[0]), x, other)
        whole, changed = (apply(params, state, v, key)[0] for v in (x, mixed))
        rest = [jax.tree.map(lambda leaf: leaf[1:], y) for y in (changed, whole)]
        assert_alike("the other examples' output", *rest, slack=rounding(apply, params, state, x, key))

    return holds


@law(lambda subject: subject.couples and not needs_key(subject))
def training_does_not_know_the_order(subject: LayerSubject) -> Holds:
    """Where training needs no key: apply(permuted batch) = permuted apply(batch), and the same state."""
    apply = jax.jit(applied(subject, train=True))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        key, x = draw.key(), draw.like("x", subject.x, SMOOTH, batch=batch_of(subject))
        found = apply(params, state, x, key)
        turned_y, after = apply(params, state, jax.tree.map(lambda leaf: leaf[::-1], x), key)
        turned_back = jax.tree.map(lambda leaf: leaf[::-1], turned_y)
        slack = rounding(apply, params, state, x, key)
        assert_alike("(the output, turned back, and the state)", (turned_back, after), found, slack=slack)

    return holds


@law()
def vmap_is_a_loop(subject: LayerSubject) -> Holds:
    """vmap(apply) over parameters and x = a loop over them, at inference."""
    mapped = jax.jit(jax.vmap(applied(subject, train=False), in_axes=(0, None, 0, None)))
    single = jax.jit(applied(subject, train=False))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        others, key = draw.moved("second move", params), draw.key()
        both = [(params, draw.like("x", subject.x)), (others, draw.like("second x", subject.x))]
        each_params, each_x = jax.tree.map(lambda a, b: jnp.stack([a, b]), *both)
        whole = mapped(each_params, state, each_x, key)[0]
        rows = [single(p, state, x, key)[0] for p, x in both]
        expected = jax.tree.map(lambda a, b: jnp.stack([a, b]), *rows)
        assert_alike("vmap(apply)", whole, expected, slack=rounding(mapped, each_params, state, each_x, key))

    return holds


@law()
def inference_knows_no_key(subject: LayerSubject) -> Holds:
    """apply(p, s, x) = apply(p, s, x, key=k) for every k, and leaves the state as it is."""
    with_key = jax.jit(lambda params, state, x, key: subject.layer.apply(params, state, x, key=key))
    without = jax.jit(applied(subject, train=False))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, key = draw.like("x", subject.x), draw.key()
        y, after = without(params, state, x, key)
        assert_same("the state after inference", after, state)
        assert_same("with a key", with_key(params, state, x, key)[0], y)

    return holds


@law(needs_key)
def keys_matter_where_they_are_needed(subject: LayerSubject) -> Holds:
    """Where training needs a key: of some two keys the outputs differ, and of one they are the same."""
    apply = jax.jit(applied(subject, train=True))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, seed = draw.like("x", subject.x, SMOOTH), draw.seed("key")
        outputs = [apply(params, state, x, jax.random.key(seed + n))[0] for n in range(20)]
        assert_same("the output of the same key", apply(params, state, x, jax.random.key(seed))[0], outputs[0])
        if all(equal(y, outputs[0]) for y in outputs):
            raise DifferenceError("outputs of 20 keys", "all the same", "some that differ")

    return holds


@law(needs_key)
def examples_are_drawn_apart(subject: LayerSubject) -> Holds:
    """Where training needs a key: of examples that are alike, for some of 20 keys not all outputs are."""
    apply = jax.jit(applied(subject, train=True))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, seed = draw.like("x", subject.x, SMOOTH, batch=batch_of(subject)), draw.seed("key")
        alike = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), x)
        for n in range(20):
            y = apply(params, state, alike, jax.random.key(seed + n))[0]
            if not equal(y, jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), y)):
                return
        raise DifferenceError("the outputs of examples that are alike, for 20 keys", "all alike", "some that differ")

    return holds


@law(lambda subject: not needs_key(subject))
def keys_do_not_matter_where_none_is_needed(subject: LayerSubject) -> Holds:
    """Where training needs no key, it ignores one."""
    with_key = jax.jit(applied(subject, train=True))
    without = jax.jit(lambda params, state, x: subject.layer.apply(params, state, x, train=True))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, key = draw.like("x", subject.x), draw.key()
        slack = rounding(with_key, params, state, x, key)
        assert_alike("with a key", with_key(params, state, x, key), without(params, state, x), slack=slack)

    return holds


@law(lambda subject: not needs_key(subject) and not has_state(subject))
def training_is_inference_without_key_or_state(subject: LayerSubject) -> Holds:
    """Without randomness and without state, apply(train=True) = apply(train=False)."""
    applies = [jax.jit(applied(subject, train)) for train in MODES]

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, key = draw.like("x", subject.x), draw.key()
        y, y_in_training = (apply(params, state, x, key)[0] for apply in applies)
        assert_alike("y in training", y_in_training, y, slack=rounding(applies[0], params, state, x, key))

    return holds


@law(lambda subject: subject.unbiased)
def the_mean_over_keys_is_inference(subject: LayerSubject) -> Holds:
    """E over k of apply(p, s, x, key=k, train=True) = apply(p, s, x)."""
    apply = applied(subject, train=True)

    @jax.jit
    def moments(params: PyTree, state: PyTree, x: Any, seed: Array) -> Any:
        keys = jax.random.split(jax.random.key(seed), TRIALS)
        y = jax.vmap(lambda key: apply(params, state, x, key)[0])(keys)
        return [(leaf.mean(0), leaf.std(0)) for leaf in jax.tree.leaves(y)]

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x = draw.like("x", subject.x, SMOOTH)
        found = moments(params, state, x, jnp.asarray(draw.seed("keys"), jnp.uint32))
        expected = subject.layer.apply(params, state, x)[0]
        for y, (mean, std) in zip(jax.tree.leaves(expected), found, strict=True):
            if (np.abs(mean - y) > 6 * np.asarray(std) / TRIALS**0.5 + 1e-5).any():
                raise DifferenceError(f"the mean over {TRIALS} keys", shown(mean), shown(y))

    return holds


@law(has_state)
def state_changes_in_training(subject: LayerSubject) -> Holds:
    """Where there is state, apply(p, s, x, train=True) gives another, for x of distinct numbers."""

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, key = draw.like("x", subject.x, SMOOTH, batch=batch_of(subject)), draw.key()
        if equal(applied(subject, True)(params, state, x, key)[1], state):
            raise DifferenceError("the state after training", "as it was", "some change")

    return holds


LAWS: tuple[Law, ...] = (
    init_reads_shapes_alone,
    no_number_is_drawn_twice,
    trees_are_kept,
    jit_is_eager,
    apply_is_pure,
    one_trace_serves_all_values,
    leading_axes_are_batch,
    training_takes_examples_apart,
    training_does_not_know_the_order,
    vmap_is_a_loop,
    inference_knows_no_key,
    keys_matter_where_they_are_needed,
    examples_are_drawn_apart,
    keys_do_not_matter_where_none_is_needed,
    training_is_inference_without_key_or_state,
    the_mean_over_keys_is_inference,
    state_changes_in_training,
)
