"""Laws of layers: of any pure pair (init, apply)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.errors import KeyMissingError
from fnnet.testing.comparing import (
    DifferenceError,
    assert_alike,
    assert_finite,
    assert_same,
    assert_shapes_alike,
    shown,
)
from fnnet.testing.drawing import NASTY, SMOOTH, Draw
from fnnet.testing.precision import doubles, floats, is_float, slopes, weighed, x64
from fnnet.testing.saving import written_and_read
from fnnet.testing.searching import Law, law
from fnnet.testing.subjects import LayerSubject

Holds: TypeAlias = Callable[[Draw], None]

MODES = (False, True)
BATCHES = ((3, 2), (2,), (1,), (), (0,))  # the first is the largest
INPUTS = 8  # of which one must let a parameter matter
TRIALS = 4096  # keys that a mean is taken over


def drawn(draw: Draw, subject: LayerSubject) -> tuple[PyTree, PyTree]:
    """Return parameters and state: those of init, the parameters moved, so that no bias stays zero."""
    params, state = subject.layer.init(draw.key("init key"), subject.x)
    return draw.moved("move", params), state


def applied(subject: LayerSubject, train: bool) -> Callable[..., Any]:
    """Return ``apply`` as a function of (params, state, x, key), the last of which inference is not given."""

    def apply(params: PyTree, state: PyTree, x: Any, key: Array) -> Any:
        return subject.layer.apply(params, state, x, **({"key": key, "train": True} if train else {}))

    return apply


def needs_key(subject: LayerSubject) -> bool:
    """Whether training without a key is an error that says so."""
    params, state = jax.eval_shape(lambda: subject.layer.init(jax.random.key(0), subject.x))
    try:
        jax.eval_shape(lambda p, s, x: subject.layer.apply(p, s, x, train=True), params, state, subject.x)
    except KeyMissingError:
        return True
    return False


def has_floats(subject: LayerSubject) -> bool:
    """Whether the input has a floating-point array."""
    return any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(subject.x))


def has_state(subject: LayerSubject) -> bool:
    """Whether there is state."""
    return bool(jax.tree.leaves(jax.eval_shape(lambda: subject.layer.init(jax.random.key(0), subject.x)[1])))


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
        assert_alike("jit(apply)", compiled[train](params, state, x, key), eager)
        assert_shapes_alike("shapes foretold", jax.eval_shape(applies[train], params, state, x, key), eager)

    return holds


@law()
def apply_is_pure(subject: LayerSubject) -> Holds:
    """apply(p, s, x) is the same again, and leaves p, s and x as they are."""
    applies = [applied(subject, train) for train in MODES]

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        train, x, key = draw.choose("train", MODES), draw.like("x", subject.x), draw.key()
        given = jax.tree.map(lambda leaf: np.array(leaf), (params, state, x))
        kept = jax.tree.map(np.copy, given)
        first = applies[train](*given, key)
        assert_same("the arguments, afterwards", given, kept)
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
    apply = applied(subject, train=False)
    single = jax.jit(apply)

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        key, x = draw.key(), draw.like("x", subject.x, batch=BATCHES[0])
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(BATCHES[0]) :]), x)
        count = int(np.prod(BATCHES[0]))
        rows = [single(params, state, _row(flat, row), key)[0] for row in range(count)]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
        for batch in BATCHES:
            some = int(np.prod(batch))
            given, expected = (_reshaped(value, some, batch) for value in (flat, stacked))
            assert_alike(f"apply of a batch of shape {batch}", apply(params, state, given, key)[0], expected)

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
        key, x, other = draw.key(), draw.like("x", subject.x), draw.like("other", subject.x)
        mixed = jax.tree.map(lambda a, b: a.at[0].set(b[0]), x, other)
        whole, changed = (apply(params, state, v, key)[0] for v in (x, mixed))
        rest = [jax.tree.map(lambda leaf: leaf[1:], y) for y in (changed, whole)]
        assert_alike("the other examples' output", *rest)

    return holds


@law(lambda subject: subject.couples)
def training_does_not_know_the_order(subject: LayerSubject) -> Holds:
    """apply(permuted batch) = permuted apply(batch), in training, and the same state."""
    apply = jax.jit(applied(subject, train=True))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        key, x = draw.key(), draw.like("x", subject.x, SMOOTH)
        y, after = apply(params, state, x, key)
        turned_y, turned_after = apply(params, state, jax.tree.map(lambda leaf: leaf[::-1], x), key)
        assert_alike("the output, turned back", jax.tree.map(lambda leaf: leaf[::-1], turned_y), y)
        assert_alike("the state", turned_after, after)

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
        whole = mapped(*_with_state(jax.tree.map(lambda a, b: jnp.stack([a, b]), *both), state), key)[0]
        rows = [single(p, state, x, key)[0] for p, x in both]
        assert_alike("vmap(apply)", whole, jax.tree.map(lambda a, b: jnp.stack([a, b]), *rows))

    return holds


def _with_state(pair: tuple[Any, Any], state: PyTree) -> tuple[Any, Any, Any]:
    return pair[0], state, pair[1]


@law()
def inference_knows_no_key(subject: LayerSubject) -> Holds:
    """apply(p, s, x) = apply(p, s, x, key=k) for every k, and leaves the state as it is."""

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x = draw.like("x", subject.x)
        y, after = subject.layer.apply(params, state, x)
        assert_same("the state after inference", after, state)
        assert_same("with a key", subject.layer.apply(params, state, x, key=draw.key())[0], y)

    return holds


@law(needs_key)
def keys_matter_where_they_are_needed(subject: LayerSubject) -> Holds:
    """Where training needs a key: of some two keys the outputs differ, and of one they are the same."""
    apply = jax.jit(applied(subject, train=True))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, seed = draw.like("x", subject.x, SMOOTH), draw.seed("key")
        outputs = [apply(params, state, x, jax.random.key(seed + n))[0] for n in range(20)]
        if all(_equal(y, outputs[0]) for y in outputs):
            raise DifferenceError("outputs of 20 keys", "all the same", "some that differ")

    return holds


@law(needs_key)
def examples_are_drawn_apart(subject: LayerSubject) -> Holds:
    """Where training needs a key: of examples that are alike, for some of 20 keys not all outputs are."""
    apply = jax.jit(applied(subject, train=True))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, seed = draw.like("x", subject.x, SMOOTH), draw.seed("key")
        alike = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), x)
        for n in range(20):
            y = apply(params, state, alike, jax.random.key(seed + n))[0]
            if not _equal(y, jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), y)):
                return
        raise DifferenceError("the outputs of examples that are alike, for 20 keys", "all alike", "some that differ")

    return holds


@law(lambda subject: not needs_key(subject))
def keys_do_not_matter_where_none_is_needed(subject: LayerSubject) -> Holds:
    """Where training needs no key, it ignores one."""
    apply = jax.jit(applied(subject, train=True))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x = draw.like("x", subject.x)
        without = subject.layer.apply(params, state, x, train=True)
        assert_alike("with a key", apply(params, state, x, draw.key()), without)

    return holds


@law(lambda subject: not needs_key(subject) and not has_state(subject))
def training_is_inference_without_key_or_state(subject: LayerSubject) -> Holds:
    """Without randomness and without state, apply(train=True) = apply(train=False)."""
    applies = [jax.jit(applied(subject, train)) for train in MODES]

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, key = draw.like("x", subject.x), draw.key()
        y, y_in_training = (apply(params, state, x, key)[0] for apply in applies)
        assert_alike("y in training", y_in_training, y)

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
    """Training changes the state for some x, the same in two halves of what it is split into by jit or not."""

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, key = draw.like("x", subject.x, SMOOTH), draw.key()
        if _equal(applied(subject, True)(params, state, x, key)[1], state):
            raise DifferenceError("the state after training", "as it was", "some change")

    return holds


@law(has_floats)
def dtype_is_that_of_the_input(subject: LayerSubject) -> Holds:
    """Parameters and outputs have the dtype of x: bfloat16, float16, float32."""

    def holds(draw: Draw) -> None:
        dtype = draw.choose("dtype", ("bfloat16", "float16", "float32"))
        x = jax.tree.map(lambda v: v.astype(dtype) if jnp.issubdtype(v.dtype, jnp.floating) else v, subject.x)
        params, state = jax.eval_shape(lambda: subject.layer.init(jax.random.key(0), x))
        y = jax.eval_shape(applied(subject, True), params, state, x, jax.random.key(0))[0]
        for what, found in (("parameters", params), ("y", y)):
            for path, leaf in tree.flatten(found).items():
                if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype != dtype:
                    raise DifferenceError(f"dtype of {what}, at {path}", str(leaf.dtype), dtype)

    return holds


@law()
def gradients_are_slopes(subject: LayerSubject) -> Holds:
    """d/dt L(p + t u, x + t v) at 0 = (L(h) - L(-h)) / 2h, forward and reverse, in float64, in both modes."""
    applies = [applied(subject, train) for train in MODES]
    found = [slopes(lambda at, state, key, apply=apply: apply(at[0], state, at[1], key)[0]) for apply in applies]

    def holds(draw: Draw) -> None:
        with x64():
            train = draw.choose("train", MODES)
            params, state = drawn(draw, subject)
            x, key = draw.like("x", subject.x, SMOOTH), draw.key()
            at = doubles((params, x))
            along = jax.tree.map(jnp.zeros_like, at)
            along = draw.moved("direction", along, 1.0)
            reverse, forward, difference, size = found[train](at, along, doubles(state), key)
            for way, slope in (("reverse", reverse), ("forward", forward)):
                if not np.isclose(slope, difference, rtol=1e-5, atol=1e-7 * max(1.0, float(size))):
                    raise DifferenceError(f"the slope in {way} mode", shown(slope), shown(difference))

    return holds


@law(lambda subject: bool(_float_paths(subject)))
def every_parameter_matters(subject: LayerSubject) -> Holds:
    """The gradient by each array of parameters is not zero everywhere, for some x of a few, in training."""
    apply = applied(subject, train=True)

    @jax.jit
    def slope(params: PyTree, state: PyTree, x: Any, key: Array) -> PyTree:
        return jax.grad(lambda params: weighed(apply(params, state, x, key)[0]))(params)

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        seed = draw.seed("key")
        seen = dict.fromkeys(tree.flatten(params), 0.0)
        several = draw.like("x", subject.x, SMOOTH, batch=(INPUTS, *jax.tree.leaves(subject.x)[0].shape[:1]))
        for turn in range(INPUTS):
            x = jax.tree.map(lambda leaf, turn=turn: leaf[turn], several)
            for path, leaf in tree.flatten(slope(params, state, x, jax.random.key(seed + turn))).items():
                seen[path] = max(seen[path], float(np.abs(leaf).max(initial=0.0)))
            if all(seen.values()):
                return
        dead = [path for path, largest in seen.items() if not largest]
        raise DifferenceError(f"the gradient by {', '.join(dead)}", f"0 for {INPUTS} inputs", "some other number")

    return holds


@law()
def finite_inputs_give_numbers(subject: LayerSubject) -> Holds:
    """apply(p, s, x) is not nan for finite x: ±0, subnormal, equal, nearly equal, and up to 1e4."""
    applies = [jax.jit(applied(subject, train)) for train in MODES]

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        train, x, key = draw.choose("train", MODES), draw.like("x", subject.x, NASTY), draw.key()
        y, after = applies[train](params, state, x, key)
        for path, leaf in tree.flatten({"y": y, "state": after}).items():
            if np.isnan(np.asarray(leaf, np.float64)).any():
                raise DifferenceError(f"nan, at {path}", shown(leaf), "numbers")

    return holds


@law(has_floats)
def finite_values_have_finite_gradients(subject: LayerSubject) -> Holds:
    """Where apply(x) is finite, for ±0, subnormal, equal, nearly equal and large x, so are its gradients."""
    apply = applied(subject, train=True)

    @jax.jit
    def both(params: PyTree, state: PyTree, x: Any, key: Array) -> tuple[PyTree, PyTree]:
        def loss(params: PyTree, numbers: list[Array]) -> tuple[Array, PyTree]:
            y = apply(params, state, _with_floats(x, numbers), key)[0]
            return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(y) if is_float(leaf)), jnp.zeros(())), y

        slopes, y = jax.grad(loss, (0, 1), has_aux=True)(params, floats(x))
        return y, slopes

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        y, slopes = both(params, state, draw.like("x", subject.x, NASTY), draw.key())
        if all(np.isfinite(np.asarray(leaf, np.float64)).all() for leaf in jax.tree.leaves(y)):
            assert_finite("the gradient by (parameters, x)", slopes)

    return holds


@law(lambda subject: bool(subject.symmetries))
def symmetries_hold(subject: LayerSubject) -> Holds:
    """apply(g x) = g' apply(x) for each symmetry that is declared."""
    apply = jax.jit(applied(subject, train=False))
    named = {symmetry.name: symmetry for symmetry in subject.symmetries}

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        symmetry, seed = named[draw.choose("symmetry", tuple(named))], draw.seed("change")
        x, key = draw.like("x", subject.x, SMOOTH), draw.key()
        y, changed = (apply(params, state, v, key)[0] for v in (x, symmetry.on_input(np.random.default_rng(seed), x)))
        expected = y if symmetry.on_output is None else symmetry.on_output(np.random.default_rng(seed), y)
        assert_alike(f"the output after a {symmetry.name}", changed, expected, rtol=1e-4)

    return holds


@law(lambda subject: subject.lipschitz is not None)
def distances_grow_no_more_than_declared(subject: LayerSubject) -> Holds:
    """‖apply(x) − apply(x')‖ ≤ L ‖x − x'‖, with the parameters of init."""
    apply = jax.jit(applied(subject, train=False))

    def holds(draw: Draw) -> None:
        params, state = subject.layer.init(draw.key("init key"), subject.x)
        near = draw.choose("distance", (1.0, 1e-2))
        x, key = draw.like("x", subject.x, SMOOTH), draw.key()
        other = draw.moved("other", x, near)
        a, b = (apply(params, state, v, key)[0] for v in (x, other))
        apart, allowed = _distance(a, b), (subject.lipschitz or 0.0) * _distance(x, other)
        if apart > allowed * (1 + 1e-4) + 1e-6:
            raise DifferenceError("‖y − y'‖", f"{apart:.6g}", f"at most {allowed:.6g}")

    return holds


@law()
def what_is_saved_is_loaded(subject: LayerSubject) -> Holds:
    """Parameters and state written to a file of arrays and read again give the same output."""

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x = draw.like("x", subject.x)
        again = written_and_read((params, state))
        expected = subject.layer.apply(params, state, x)[0]
        assert_same("the output of what was read", subject.layer.apply(*again, x)[0], expected)

    return holds


@law(lambda subject: subject.reference is not None)
def it_is_its_reference(subject: LayerSubject) -> Holds:
    """apply(p, s, x) = the reference in float64, and in training what needs no key too."""
    modes = (False,) if needs_key(subject) else MODES
    compiled = {train: jax.jit(applied(subject, train)) for train in modes}

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        train, x, key = draw.choose("train", modes), draw.like("x", subject.x), draw.key()
        wide = [
            jax.tree.map(lambda v: np.asarray(v, np.float64 if is_float(v) else None), v) for v in (params, state, x)
        ]
        assert subject.reference is not None
        expected = subject.reference(wide[0], wide[1], wide[2], train)
        assert_alike("(y, state)", compiled[train](params, state, x, key), expected, rtol=2e-5, atol=2e-6)

    return holds


def _with_floats(value: PyTree, numbers: list[Array]) -> PyTree:
    rest = iter(numbers)
    return jax.tree.map(lambda leaf: next(rest) if is_float(leaf) else leaf, value)


def _float_paths(subject: LayerSubject) -> list[str]:
    params = jax.eval_shape(lambda: subject.layer.init(jax.random.key(0), subject.x)[0])
    return [path for path, leaf in tree.flatten(params).items() if is_float(leaf)]


def _equal(a: PyTree, b: PyTree) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def _distance(a: PyTree, b: PyTree) -> float:
    pairs = zip(floats(a), floats(b), strict=True)
    return float(np.sqrt(sum(np.square(np.asarray(x, np.float64) - np.asarray(y, np.float64)).sum() for x, y in pairs)))


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
    dtype_is_that_of_the_input,
    gradients_are_slopes,
    every_parameter_matters,
    finite_inputs_give_numbers,
    finite_values_have_finite_gradients,
    symmetries_hold,
    distances_grow_no_more_than_declared,
    what_is_saved_is_loaded,
    it_is_its_reference,
)
