"""What the layers' values are good for: the accuracy of a linear classifier of them, and their principal axes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from fnnet import sampling
from fnnet.core import Layer, Params, State
from fnnet.dtypes import at_least_float32
from fnnet.errors import DataError, PathError, ShapeError, near_matches
from fnnet.inspection.checks import check_finite, check_net
from fnnet.inspection.intermediates import distinct, look_within
from fnnet.shapes import check_count
from fnnet.tagged import Found, Tag, in_turn
from fnnet.training.checks import unpack


class Probe(NamedTuple):
    """The accuracy, on the test set, of a linear classifier of each layer's output; that of the input comes first."""

    paths: tuple[str, ...]
    accuracy: Float[Array, layers]


class Representation(NamedTuple):
    """Values in few dimensions: a point for each example, and the share of the variance along each axis."""

    points: Float[Array, "examples dims"]
    explained: Float[Array, dims]


def linear_probe(
    net: Layer,
    params: Params,
    train: PyTree,
    test: PyTree,
    state: State = {},  # noqa: B006 - never mutated
    *,
    paths: Sequence[str] | None = None,
    ridge: float = 1.0,
) -> Probe:
    r"""Return how well a linear classifier tells the classes apart by each layer's output (Alain & Bengio 2016).

    It is ridge regression of the one-hot labels, in closed form: :math:`W = (X^\top X + \lambda I)^{-1} X^\top Y`, with
    a free intercept and λ = `ridge`, of the outputs of the examples in `train`, flattened and standardised; an example
    of `test` is of the class of the greatest output. Both are ``(x, y)``, y labels from 0. The first row, ``"input"``,
    is of x itself; the others are of `paths`, or of the layers as in ``signal``, those of a loop turn by turn. The net
    is run at inference. Widths are filled up to the greatest, d, and one program solves all: time grows as d³.

    Raises: PathError for a path that is no layer's; ShapeError if a value has no row for each example, or labels are
    not integers of one axis; DataError for data that is no ``(x, y)``, labels below 0 or of one class, and values that
    are not finite; ValueError unless `ridge` is above 0.

    >>> net = fn.serial(fn.dense(8, activation=jnp.tanh), fn.dense(2))
    >>> moons = fn.data.moons(200, noise=0.1).arrays
    >>> linear_probe(net, net.init(jax.random.key(0), moons[0])[0], moons, moons).paths
    ('input', 'dense_0', 'dense_1')
    """
    check_net("linear_probe", net)
    if not ridge > 0:
        raise ValueError(f"linear_probe: ridge must be above 0, got {ridge}")
    (x, y), (test_x, test_y) = (_labelled(part) for part in (train, test))
    classes = int(max(y.max(), test_y.max())) + 1
    if len(np.unique(y)) < 2:
        raise DataError(
            "linear_probe", f"the labels in train must be of two classes or more, got {y[0]} alone", "add others."
        )
    rows = [_rows(net, params, state, part) for part in (x, test_x)]
    names = [name for name in rows[0] if name != "input"]
    chosen = ("input", *(names if paths is None else _checked(paths, names)))
    values = [_flat_rows(path, rows[0][path], len(y)) for path in chosen]
    test_values = [_flat_rows(path, rows[1][path], len(test_y)) for path in chosen]
    width = max(value.shape[1] for value in values)
    stacks = (jnp.stack([_filled_up(value, width) for value in part]) for part in (values, test_values))
    accuracy = _accuracies(*stacks, jnp.asarray(y), jnp.asarray(test_y), jnp.asarray(ridge, jnp.float32), classes)
    return Probe(chosen, accuracy)


def representation(values: ArrayLike, dims: int = 2) -> Representation:
    r"""Return the examples in `dims` dimensions: by principal components where their values have more.

    `values` (examples, ...) are flattened to (examples, d). If d > dims, ``points`` are their coordinates along the
    `dims` directions of greatest variance, the mean at the origin, by the singular value decomposition
    :math:`X - \bar X = U S V^\top`; each axis points to where its largest loading is positive. If d ≤ dims they are the
    values themselves. ``explained`` is each axis's share of the whole variance.

    Raises: ValueError unless `dims` is a whole number of at least 1; DataError for fewer examples than `dims`.

    >>> line = jnp.outer(jnp.array([-1.0, 0.0, 1.0]), jnp.array([2.0, 1.0, 2.0]))
    >>> points, explained = representation(line, 1)
    >>> points.shape, bool(jnp.allclose(points[:, 0], jnp.array([-3.0, 0.0, 3.0]))), round(float(explained[0]), 3)
    ((3, 1), True, 1.0)
    """
    check_count("representation", "dims", dims)
    examples = sampling.length(values, where="representation")
    if examples < dims:
        problem = f"needs at least as many examples as dims={dims}, got {examples}"
        raise DataError("representation", problem, "pass more examples, or fewer dims.")
    return _components(jnp.asarray(values).reshape(examples, -1), dims)


@partial(jax.jit, static_argnums=1)
def _components(values: Array, dims: int) -> Representation:
    values = values.astype(at_least_float32(values.dtype))
    centred = values - values.mean(0, keepdims=True)
    total = jnp.square(centred).sum()
    whole = jnp.where(total > 0, total, 1)
    if values.shape[1] <= dims:
        return Representation(values, jnp.square(centred).sum(0) / whole)
    _, sizes, axes = jnp.linalg.svd(centred, full_matrices=False)
    largest = jnp.take_along_axis(axes, jnp.abs(axes).argmax(1, keepdims=True), 1)
    axes = axes * jnp.where(largest < 0, -1, 1).astype(axes.dtype)
    return Representation(centred @ axes[:dims].T, jnp.square(sizes[:dims]) / whole)


@partial(jax.jit, static_argnums=0)
def _outputs(net: Layer, params: Params, state: State, x: Any) -> Found:
    return distinct(look_within(net, params, state, x))


def _rows(net: Layer, params: Params, state: State, x: Any) -> dict[str, Array]:
    """Return the input and each layer's output by path, of a loop by turn."""
    return dict(in_turn([(Tag("input"), jnp.asarray(x)), *_outputs(net, params, state, x)]))


def _labelled(part: PyTree) -> tuple[Any, np.ndarray]:
    x, y, _ = unpack(part)
    labels = np.asarray(y)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or len(labels) != sampling.length(x):
        problem = f"the labels must be one integer an example, got {labels.dtype} of shape {labels.shape}"
        raise ShapeError("linear_probe", problem, "of one-hot labels pass y.argmax(-1).")
    if len(labels) == 0 or labels.min() < 0:
        problem = f"the labels must be 0 and above, got {labels.min()}" if len(labels) else "there are no examples"
        raise DataError("linear_probe", problem, "number the classes from 0." if len(labels) else "pass some.")
    return x, labels


def _checked(paths: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    for path in paths:
        if path not in known:
            raise PathError("linear_probe", f"no layer has the path {path!r}", near_matches(path, known))
    return tuple(paths)


def _flat_rows(name: str, value: Array, size: int) -> Array:
    if value.shape[:1] != (size,):
        problem = f"the values of {name!r} must have a row for each of {size} examples, got shape {value.shape}"
        raise ShapeError("linear_probe", problem, "name others by paths; of an ensemble, probe each member.")
    check_finite("linear_probe", {name: value})
    return value.reshape(size, -1).astype(jnp.float32)


def _filled_up(value: Array, width: int) -> Array:
    return jnp.pad(value, ((0, 0), (0, width - value.shape[1])))


@partial(jax.jit, static_argnums=5)
def _accuracies(values: Array, test_values: Array, y: Array, test_y: Array, ridge: Array, classes: int) -> Array:
    target = jax.nn.one_hot(y, classes, dtype=jnp.float32)
    centre = target.mean(0, keepdims=True)

    def accuracy(values: Array, test_values: Array) -> Array:
        mean, std = values.mean(0, keepdims=True), values.std(0, keepdims=True)
        x, test_x = ((part - mean) / jnp.where(std > 0, std, 1) for part in (values, test_values))
        gram = x.T @ x + ridge * jnp.eye(x.shape[1])
        weights = jax.scipy.linalg.solve(gram, x.T @ (target - centre), assume_a="pos")
        return jnp.mean((test_x @ weights + centre).argmax(1) == test_y, dtype=jnp.float32)

    with jax.default_matmul_precision("highest"):
        return jax.lax.map(lambda pair: accuracy(*pair), (values, test_values))
