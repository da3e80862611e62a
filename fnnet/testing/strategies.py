"""Strategies for hypothesis: shapes, arrays, keys, pytrees, networks, what losses take, boxes, masks, schedules.

Shapes come from a short list, because a compiled function compiles anew for each; numbers come from those at which code
breaks (``fnnet.testing.drawing.VALUES``). What breaks a test is made simpler before it is told: few axes, zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, PyTree

from fnnet import schedules as rates
from fnnet.errors import needs_extra
from fnnet.testing.drawing import SEEDS, VALUES
from fnnet.testing.random_networks import check_kinds, check_least, networks

with needs_extra("fn.testing.strategies", "testing"):
    import hypothesis.strategies as st
    from hypothesis.strategies import SearchStrategy

__all__ = [
    "arrays",
    "binary_inputs",
    "boxes",
    "classification_inputs",
    "keys",
    "labels",
    "masks",
    "networks",
    "pytrees",
    "regression_inputs",
    "schedules",
    "shapes",
]

Shape: TypeAlias = tuple[int, ...]
Drawing: TypeAlias = Callable[[SearchStrategy[Any]], Any]

SHAPES: tuple[Shape, ...] = ((), (3,), (1,), (2, 3), (3, 1), (2, 1, 3), (2, 4, 4, 3), (0, 3))
"""The shapes that arrays have, the simplest first."""


def shapes(least: int = 0, most: int = 4, *, empty: bool = False) -> SearchStrategy[Shape]:
    """Draw shapes of `least` to `most` axes from a short list; with `empty`, of arrays without elements too.

    >>> import hypothesis
    >>> hypothesis.find(shapes(2), lambda shape: True)
    (2, 3)
    """
    fitting = [shape for shape in SHAPES if least <= len(shape) <= most and (empty or 0 not in shape)]
    if not fitting:
        raise ValueError(f"shapes: there is none of {least} to {most} axes; they are {SHAPES}")
    return st.sampled_from(fitting)


def arrays(
    shape: Shape | SearchStrategy[Shape] | None = None,
    dtype: DTypeLike = jnp.float32,
    kinds: Sequence[str] = tuple(VALUES),
) -> SearchStrategy[Array]:
    """Draw arrays of finite floating-point numbers: ±0, subnormal, huge, nearly equal, one-hot, constant, and others.

    `shape`: one, or a strategy of them; by default ``shapes()``. `kinds`: those of ``VALUES`` to draw from. Numbers
    beyond the largest of `dtype` are that one. Raises: ValueError for a kind that is none, for no kind, for a negative
    size; TypeError for a dtype that is not floating-point, and for what is no shape.

    >>> import hypothesis
    >>> hypothesis.find(arrays((2,)), lambda x: bool((x != 0).any()))
    Array([1., 1.], dtype=float32)
    """
    check_kinds("arrays", "numbers", kinds, VALUES)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"arrays: dtype must be floating-point, got {jnp.dtype(dtype)}")
    return _arrays(_shapes(shape), jnp.dtype(dtype), tuple(kinds))


@st.composite
def _arrays(draw: Drawing, shapes: SearchStrategy[Shape], dtype: Any, kinds: tuple[str, ...]) -> Array:
    shape, kind, most = draw(shapes), draw(st.sampled_from(kinds)), float(jnp.finfo(dtype).max)
    return jnp.asarray(np.clip(VALUES[kind](draw(_generators), shape), -most, most), dtype)


def _shapes(shape: Shape | SearchStrategy[Shape] | None) -> SearchStrategy[Shape]:
    if shape is None:
        return shapes()
    return shape if isinstance(shape, SearchStrategy) else st.just(_sized("arrays", shape))


def _sized(what: str, shape: Any) -> Shape:
    """Return a shape that is one; TypeError or ValueError for what is none."""
    if not isinstance(shape, tuple) or not all(isinstance(size, int | np.integer) for size in shape):
        raise TypeError(f"{what}: a shape must be a tuple of whole numbers, got {shape!r}")
    if any(size < 0 for size in shape):
        raise ValueError(f"{what}: no size may be negative, got the shape {shape}")
    return shape


_seeds = st.integers(0, SEEDS - 1)
_generators = _seeds.map(np.random.default_rng)


def keys() -> SearchStrategy[Array]:
    """Draw random keys.

    >>> import hypothesis
    >>> hypothesis.find(keys(), lambda key: True).shape
    ()
    """
    return st.builds(jax.random.key, _seeds)


def pytrees(leaves: SearchStrategy[Any] | None = None, *, most: int = 4) -> SearchStrategy[PyTree]:
    """Draw pytrees of dicts, lists and tuples with at most `most` leaves, by default small arrays.

    >>> import hypothesis
    >>> hypothesis.find(pytrees(), lambda value: isinstance(value, dict) and value)
    {'a': Array(0., dtype=float32)}
    """
    check_least("pytrees", "most", most, 1)

    def branches(children: SearchStrategy[Any]) -> SearchStrategy[Any]:
        return (
            st.dictionaries(st.sampled_from(("a", "b", "kernel", "bias")), children, max_size=3)
            | st.lists(children, max_size=3)
            | st.tuples(children, children)
        )

    return st.recursive(arrays(shapes(most=2)) if leaves is None else leaves, branches, max_leaves=most)


def labels(classes: int, shape: Shape = (4,)) -> SearchStrategy[Array]:
    """Draw class indices, int32 of a shape: all the same, or of any classes.

    >>> import hypothesis
    >>> hypothesis.find(labels(3, (2,)), lambda y: True)
    Array([0, 0], dtype=int32)
    """
    check_least("labels", "classes", classes, 1)
    return _labels(classes, _sized("labels", shape))


@st.composite
def _labels(draw: Drawing, classes: int, shape: Shape) -> Array:
    same = [(label, label) for label in range(classes)]
    least, most = draw(st.sampled_from([same[0], (0, classes - 1), *same[1:]]))
    return jnp.asarray(draw(_generators).integers(least, most, shape, endpoint=True), jnp.int32)


def classification_inputs(classes: int = 3, batch: int = 4) -> SearchStrategy[tuple[Array, Array]]:
    """Draw what a loss of classes takes: logits (batch, classes) and labels (batch,).

    >>> import hypothesis
    >>> logits, y = hypothesis.find(classification_inputs(), lambda pair: True)
    >>> fn.losses.cross_entropy(logits, y).shape
    (4,)
    """
    return st.tuples(arrays((batch, classes)), labels(classes, (batch,)))


def binary_inputs(shape: Shape = (4,)) -> SearchStrategy[tuple[Array, Array]]:
    """Draw what a loss of yes or no takes: logits, and targets 0 or 1 of the same shape.

    >>> import hypothesis
    >>> hypothesis.find(binary_inputs((1,)), lambda pair: pair[1].any())
    (Array([0.], dtype=float32), Array([1], dtype=int32))
    """
    return st.tuples(arrays(shape), labels(2, shape))


def regression_inputs(shape: Shape = (4,)) -> SearchStrategy[tuple[Array, Array]]:
    """Draw what a loss of numbers takes: predictions and targets of one shape, now and then the same.

    >>> import hypothesis
    >>> hypothesis.find(regression_inputs((1,)), lambda pair: True)
    (Array([0.], dtype=float32), Array([0.], dtype=float32))
    """
    return st.tuples(arrays(shape), arrays(shape)) | arrays(shape).map(lambda x: (x, x))


def boxes(n: int = 4, *, size: float = 16.0) -> SearchStrategy[Array]:
    """Draw boxes (n, 4) of corners (x1, y1, x2, y2) within an image of `size`: one, nested, apart, touching, any.

    In half of the draws every third is without area. The second corner is never before the first.

    >>> import hypothesis
    >>> hypothesis.find(boxes(1), lambda b: True)
    Array([[ 4.,  4., 12., 12.]], dtype=float32)
    """
    check_least("boxes", "n", n, 0)
    if not 0 < size < np.inf:
        raise ValueError(f"boxes: size must be a number above 0, got {size!r}")
    return _boxes(n, size)


def _one_box(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.broadcast_to([0.25, 0.25, 0.75, 0.75], (n, 4))


def _nested(rng: np.random.Generator, n: int) -> np.ndarray:
    margin = np.arange(n)[:, None] / (2 * n + 1)
    return np.concatenate([margin, margin, 1 - margin, 1 - margin], -1)


def _touching(rng: np.random.Generator, n: int) -> np.ndarray:
    edges = np.arange(n + 1)[:, None] / n
    return np.concatenate([edges[:-1], np.zeros((n, 1)), edges[1:], np.ones((n, 1))], -1)


def _apart(rng: np.random.Generator, n: int) -> np.ndarray:
    return _touching(rng, n) + np.array([0.25 / n, 0, -0.25 / n, 0])


def _any_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.sort(rng.random((n, 2, 2)), axis=1).reshape(n, 4)


BOXES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "one": _one_box,
    "nested": _nested,
    "apart": _apart,
    "touching": _touching,
    "any": _any_boxes,
}
"""Boxes in an image of size 1 by kind, the simplest first."""


@st.composite
def _boxes(draw: Drawing, n: int, size: float) -> Array:
    kind, flat = draw(st.sampled_from(tuple(BOXES))), draw(st.booleans())
    corners = np.array(BOXES[kind](draw(_generators), max(n, 1)))[:n]
    if flat:
        corners[::3, 3] = corners[::3, 1]
    return jnp.asarray(size * corners, jnp.float32)


def masks(shape: Shape = (2, 5)) -> SearchStrategy[Array]:
    """Draw masks, bool: all, none, padding at the end of the last axis, and any; true means that it counts.

    >>> import hypothesis
    >>> hypothesis.find(masks((3,)), lambda mask: not mask.all() and mask[0])
    Array([ True,  True, False], dtype=bool)
    """
    return _masks(_sized("masks", shape))


@st.composite
def _masks(draw: Drawing, shape: Shape) -> Array:
    kind, rng = draw(st.sampled_from(("all", "none", "padding", "any"))), draw(_generators)
    if kind == "padding" and shape:
        lengths = rng.integers(1, max(shape[-1], 1) + 1, (*shape[:-1], 1))
        return jnp.asarray(np.arange(shape[-1]) < lengths)
    return jnp.asarray(rng.random(shape) < {"all": 2.0, "none": 0.0}.get(kind, 0.5))


def schedules(steps: int = 20) -> SearchStrategy[Callable[[Any], Array]]:
    """Draw schedules of ``fn.schedules`` that change over `steps`, one within another now and then.

    >>> import hypothesis
    >>> hypothesis.find(schedules(), lambda schedule: True)(0)
    Array(0.1, dtype=float32)
    """
    check_least("schedules", "steps", steps, 1)
    value, factor = st.sampled_from((0.1, 1.0, 1e-3, 0.0)), st.sampled_from((0.5, 0.1, 1.0))
    count = st.sampled_from(tuple(sorted({1, min(7, steps), steps}, reverse=True)))
    plain = st.one_of(
        st.builds(rates.constant, value),
        st.builds(rates.step, value, every=count, factor=factor),
        st.builds(rates.exponential, value, steps=count, factor=factor),
        st.builds(rates.polynomial, value, value, steps=count, power=st.sampled_from((1.0, 2.5))),
        st.builds(rates.inverse_time, value, steps=count, factor=factor),
        st.builds(rates.cosine, value, steps=count, end=value, cycles=st.sampled_from((1, 2))),
        st.builds(rates.one_cycle, st.sampled_from((0.1, 1.0)), steps=st.just(max(steps, 2))),
    )
    warm = st.builds(rates.warmup, plain, steps=count, start=value)
    return plain | warm | st.builds(lambda a, b, at: rates.join([a, b], [at]), plain, plain, count)
