"""Laws of what makes batches: random changes of them (key, batch) -> batch, and samplers of rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fnnet.testing.comparing import DifferenceError, assert_alike, assert_same, assert_shapes_alike, equal, shown
from fnnet.testing.drawing import Draw
from fnnet.testing.precision import is_float
from fnnet.testing.searching import Holds, Law, law
from fnnet.testing.subjects import SamplerSubject, TransformSubject

SIZES = ((8, 4), (7, 3), (5, 5), (200, 16))  # rows, and those of a batch


def rows(subject: TransformSubject) -> int:
    """Return the number of rows of the example."""
    return int(jax.tree.leaves(subject.batch)[0].shape[0])


@law()
def it_is_a_function_of_key_and_batch(subject: TransformSubject) -> Holds:
    """transform(k, b) is the same again, compiled too, and leaves b as it is."""
    compiled = jax.jit(subject.transform)

    def holds(draw: Draw) -> None:
        key = draw.key()
        kept = jax.tree.map(lambda leaf: np.array(leaf), subject.batch)
        once = subject.transform(key, subject.batch)
        assert_same("the batch, afterwards", jax.tree.map(lambda leaf: np.array(leaf), subject.batch), kept)
        assert_same("a second call", subject.transform(key, subject.batch), once)
        assert_alike("jit(transform)", compiled(key, subject.batch), once, rtol=1e-4, atol=1e-4)

    return holds


@law(lambda subject: subject.keeps)
def shapes_and_dtypes_are_kept(subject: TransformSubject) -> Holds:
    """transform(k, b) has the structure, shapes and dtypes of b, in bfloat16 too."""

    def holds(draw: Draw) -> None:
        dtype = draw.choose("dtype", ("float32", "bfloat16"))
        given = jax.tree.map(lambda leaf: leaf.astype(dtype) if is_float(leaf) else leaf, subject.batch)
        assert_shapes_alike("the batch", jax.eval_shape(subject.transform, jax.random.key(0), given), given)

    return holds


@law(lambda subject: subject.random)
def some_keys_differ(subject: TransformSubject) -> Holds:
    """Of 20 keys, not all give the same."""
    compiled = jax.jit(subject.transform)

    def holds(draw: Draw) -> None:
        seed = draw.seed("key")
        found = [compiled(jax.random.key(seed + n), subject.batch) for n in range(20)]
        if all(equal(one, found[0]) for one in found):
            raise DifferenceError("the batches of 20 keys", "all the same", "some that differ")

    return holds


@law(lambda subject: not subject.mixes)
def rows_are_apart(subject: TransformSubject) -> Holds:
    """Row i of transform(k, b) is of k, i and row i of b: neither a cut after it nor another row 0 changes it."""
    compiled = jax.jit(subject.transform)

    def holds(draw: Draw) -> None:
        key, half = draw.key(), max(1, rows(subject) // 2)
        whole = compiled(key, subject.batch)
        other = compiled(key, jax.tree.map(lambda leaf: jnp.asarray(leaf).at[0].set(leaf[-1]), subject.batch))
        rest = [jax.tree.map(lambda leaf: leaf[1:], batch) for batch in (other, whole)]
        assert_alike("the rows after the first", *rest, rtol=1e-4, atol=1e-4)
        part = compiled(key, jax.tree.map(lambda leaf: leaf[:half], subject.batch))
        assert_alike("the first rows", part, jax.tree.map(lambda leaf: leaf[:half], whole), rtol=1e-4, atol=1e-4)

    return holds


@law(lambda subject: subject.random and not subject.mixes)
def rows_are_drawn_apart(subject: TransformSubject) -> Holds:
    """Of rows that are alike, not all are changed alike, for some of 20 keys."""
    compiled = jax.jit(subject.transform)
    count = max(2, rows(subject))
    alike = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], (count, *leaf.shape[1:])), subject.batch)

    def holds(draw: Draw) -> None:
        seed = draw.seed("key")
        for n in range(20):
            found = compiled(jax.random.key(seed + n), alike)
            if not equal(found, jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), found)):
                return
        raise DifferenceError("rows of 20 keys", "all alike", "some that differ")

    return holds


@law(lambda subject: subject.least is not None or subject.most is not None)
def values_stay_within_bounds(subject: TransformSubject) -> Holds:
    """Values within the bounds stay within them, and are finite."""
    compiled = jax.jit(subject.transform)

    def holds(draw: Draw) -> None:
        found = np.asarray(jax.tree.leaves(compiled(draw.key(), subject.batch))[0], np.float64)
        least = -np.inf if subject.least is None else subject.least
        most = np.inf if subject.most is None else subject.most
        if not ((found >= least - 1e-5) & (found <= most + 1e-5) & np.isfinite(found)).all():
            raise DifferenceError("the values", shown(found), f"from {least} to {most}")

    return holds


@law(lambda subject: subject.reference is not None)
def it_is_its_reference(subject: TransformSubject) -> Holds:
    """transform(k, b) = the reference, for every k."""

    def holds(draw: Draw) -> None:
        assert subject.reference is not None
        found = subject.transform(draw.key(), subject.batch)
        assert_alike("the batch", found, subject.reference(subject.batch), rtol=1e-4, atol=1e-4)

    return holds


TRANSFORM_LAWS: tuple[Law, ...] = (
    it_is_a_function_of_key_and_batch,
    shapes_and_dtypes_are_kept,
    some_keys_differ,
    rows_are_apart,
    rows_are_drawn_apart,
    values_stay_within_bounds,
    it_is_its_reference,
)


def _pass(subject: SamplerSubject, seed: int, number: int, size: int, batch_size: int) -> np.ndarray:
    """Return the rows of a pass, but those of weight 0."""
    return np.concatenate([rows for rows, _ in _batches(subject, seed, number, size, batch_size)])


def _batches(
    subject: SamplerSubject, seed: int, number: int, size: int, batch_size: int
) -> list[tuple[np.ndarray, bool]]:
    """Return the rows of each step of a pass, but those of weight 0, and whether they have weights."""
    steps = subject.sampler.per_epoch(size, batch_size)
    rows, key = jax.jit(subject.sampler.rows, static_argnums=(2, 3)), jax.random.key(seed)
    found = []
    for step in range(number * steps, (number + 1) * steps):
        taken, weight = rows(key, jnp.int32(step), size, batch_size)
        found.append((np.asarray(taken)[slice(None) if weight is None else np.asarray(weight) > 0], weight is not None))
    return found


@law()
def rows_are_rows(subject: SamplerSubject) -> Holds:
    """Each step has batch_size rows from 0 to size − 1, the same again and compiled, of the key and the step alone."""

    def holds(draw: Draw) -> None:
        size, batch_size = draw.choose("sizes", SIZES)
        key, step = draw.key(), jnp.int32(draw.seed("step"))
        compiled = jax.jit(subject.sampler.rows, static_argnums=(2, 3))
        taken, weight = subject.sampler.rows(key, step, size, batch_size)
        assert_same("compiled", compiled(key, step, size, batch_size), (taken, weight))
        if taken.shape != (batch_size,) or (np.asarray(taken) < 0).any() or (np.asarray(taken) >= size).any():
            raise DifferenceError("the rows of a step", shown(taken), f"{batch_size} numbers from 0 to {size - 1}")

    return holds


@law(lambda subject: subject.whole)
def a_pass_has_each_row_once(subject: SamplerSubject) -> Holds:
    """The rows of a pass are different, and all of them where batches divide the size, or rows have weights."""

    def holds(draw: Draw) -> None:
        size, batch_size = draw.choose("sizes", SIZES)
        batches = _batches(subject, draw.seed("key"), draw.choose("pass", (0, 1, 5)), size, batch_size)
        found = np.concatenate([rows for rows, _ in batches])
        enough = size if all(weighed for _, weighed in batches) else size - size % batch_size
        if len(np.unique(found)) != len(found) or len(found) < enough:
            raise DifferenceError(
                "the rows of a pass", shown(np.sort(found)), f"at least {enough} of {size}, each once"
            )

    return holds


@law(lambda subject: subject.shuffles)
def passes_have_orders_of_their_own(subject: SamplerSubject) -> Holds:
    """Of 10 passes not all have one order, nor have those of 10 keys."""

    def holds(draw: Draw) -> None:
        size, batch_size = draw.choose("sizes", SIZES)
        seed = draw.seed("key")
        for what, found in (
            ("passes", [_pass(subject, seed, number, size, batch_size) for number in range(10)]),
            ("keys", [_pass(subject, seed + number, 0, size, batch_size) for number in range(10)]),
        ):
            if all(np.array_equal(one, found[0]) for one in found):
                raise DifferenceError(f"the orders of 10 {what}", "all the same", "some that differ")

    return holds


SAMPLER_LAWS: tuple[Law, ...] = (rows_are_rows, a_pass_has_each_row_once, passes_have_orders_of_their_own)
