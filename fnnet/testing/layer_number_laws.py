"""Laws of layers: dtypes, gradients, what is finite, symmetries, and the reference."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.testing.comparing import (
    DifferenceError,
    assert_alike,
    assert_finite,
    assert_no_nan,
    assert_same,
    assert_slopes,
    at,
)
from fnnet.testing.drawing import NASTY, SMOOTH, Draw
from fnnet.testing.layer_cases import MODES, applied, batch_of, drawn, has_floats, needs_key, rounding
from fnnet.testing.precision import doubles, floats, in_numpy, is_float, slopes, weighed, x64
from fnnet.testing.saving import written_and_read
from fnnet.testing.searching import Holds, Law, law
from fnnet.testing.subjects import LayerSubject

INPUTS = 8  # of which one must let a parameter matter


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
                    raise DifferenceError(at(f"dtype of {what}", path), str(leaf.dtype), dtype)

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
            place = doubles((params, x))
            along = draw.moved("direction", jax.tree.map(jnp.zeros_like, place), 1.0)
            state = doubles(state)
            y = jax.eval_shape(applies[train], place[0], state, place[1], key)[0]
            assert_slopes(found[train](place, along, state, key), y)

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
        several = draw.like("x", subject.x, SMOOTH, batch=(INPUTS, *batch_of(subject)))
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
        assert_no_nan("what apply gives", {"y": y, "state": after})

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
        slack = rounding(apply, params, state, x, key)
        assert_alike(f"the output after a {symmetry.name}", changed, expected, rtol=1e-4, slack=slack)

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
    apply = jax.jit(applied(subject, train=False))

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        x, key = draw.like("x", subject.x), draw.key()
        again = written_and_read((params, state))
        assert_same("the output of what was read", apply(*again, x, key)[0], apply(params, state, x, key)[0])

    return holds


@law(lambda subject: subject.reference is not None)
def it_is_its_reference(subject: LayerSubject) -> Holds:
    """apply(p, s, x) = the reference in float64, and in training what needs no key too."""
    modes = (False,) if needs_key(subject) else MODES
    compiled = {train: jax.jit(applied(subject, train)) for train in modes}

    def holds(draw: Draw) -> None:
        params, state = drawn(draw, subject)
        train, x, key = draw.choose("train", modes), draw.like("x", subject.x), draw.key()
        assert subject.reference is not None
        expected = subject.reference(in_numpy(params), in_numpy(state), in_numpy(x), train)
        slack = rounding(compiled[train], params, state, x, key)
        got = compiled[train](params, state, x, key)
        assert_alike("(y, state)", got, expected, rtol=2e-5, atol=2e-6, slack=slack)

    return holds


def _with_floats(value: PyTree, numbers: list[Array]) -> PyTree:
    rest = iter(numbers)
    return jax.tree.map(lambda leaf: next(rest) if is_float(leaf) else leaf, value)


def _float_paths(subject: LayerSubject) -> list[str]:
    params = jax.eval_shape(lambda: subject.layer.init(jax.random.key(0), subject.x)[0])
    return [path for path, leaf in tree.flatten(params).items() if is_float(leaf)]


def _distance(a: PyTree, b: PyTree) -> float:
    pairs = zip(floats(a), floats(b), strict=True)
    return float(np.sqrt(sum(np.square(np.asarray(x, np.float64) - np.asarray(y, np.float64)).sum() for x, y in pairs)))


LAWS: tuple[Law, ...] = (
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
