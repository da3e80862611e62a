"""What a network is worth on data, and what it says of them: at inference, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, PyTree

from fnnet import sampling, tree
from fnnet.core import Params, State, Task, TrainState
from fnnet.errors import DataError, inside
from fnnet.shapes import align, check_count, spread
from fnnet.training.checks import check_state, check_task, unpack
from fnnet.training.objectives import no_rows, terms
from fnnet.training.runs import take

_BATCH_SIZE = 256


def evaluate(task: Task, ts: TrainState, data: PyTree, *, batch_size: int | None = None) -> dict[str, Array]:
    """Return the mean loss, those of its named terms and every metric of the task over all of `data`, at inference.

    `data` is ``(x, y)``, ``(x, y, weight)`` or a ``Dataset``, looked at in batches of 256 rows unless `batch_size` says
    otherwise; or an iterator or iterable of batches that are such tuples, of any sizes. Exact over a ragged last batch:
    missing rows weigh nothing. Compiled once for each task and shape of the data, or of the first batch, to whose rows
    shorter ones are filled up; for data of the shape that ``fit`` validates on it is the same program. Targets in NumPy
    arrays are checked, those on a device are not waited for: a bad label makes the result NaN.
    Raises: DataError for other or empty data, or leading axes that differ; ValueError if ``batch_size < 1``, or if it
    is given for batches; what the loss raises; and as ``init`` and ``step`` do.

    >>> task = fn.Task(jnp.negative, fn.losses.absolute_error, fn.sgd(0.1), (fn.metrics.mean_squared_error(),))
    >>> task = task._replace(net=fn.as_layer(task.net))
    >>> ts = fn.init(task, jax.random.key(0), jnp.ones(1))
    >>> fn.evaluate(task, ts, (jnp.array([1.0, 2.0]), jnp.array([-1.0, 0.0])))
    {'loss': Array(1., dtype=float32), 'mean_squared_error': Array(2., dtype=float32)}
    """
    check_task(task)
    check_state("evaluate", ts)
    data = getattr(data, "arrays", data)
    if come_in_batches(data):
        if batch_size is not None:
            raise ValueError(f"evaluate: batches have the rows that they come with, got batch_size={batch_size}")
        return measure_batches(task, ts, data)
    batch_size = _BATCH_SIZE if batch_size is None else batch_size
    check_count("evaluate", "batch_size", batch_size)
    _, y, _ = unpack(data)
    if all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(y)):
        check_targets(task, ts, data)
    return measure(task, ts, data, batch_size=batch_size)


def come_in_batches(data: Any) -> bool:
    """Return whether `data` are an iterator or iterable of batches, not a pytree of arrays."""
    trees = (tuple, list, str, bytes, Mapping, np.ndarray, jax.Array)  # whose parts are arrays or rows, not batches
    return hasattr(data, "__iter__") and not isinstance(data, trees)


def check_targets(task: Task, ts: TrainState, data: PyTree) -> None:
    """Let the loss see the values of all targets once, where it can raise an error about them; nothing is computed."""
    x, y, _ = unpack(data)
    size = sampling.length(data)
    prediction = _prediction.eval_shape(task, ts.params, ts.state, x)

    def loss(z: PyTree, y: PyTree) -> Array:
        with inside("targets"):
            return task.loss(z, y)

    jax.eval_shape(lambda z: terms(loss, z, y, size)[0], prediction)


@partial(jax.jit, static_argnums=0)
def _prediction(task: Task, params: Params, state: State, x: PyTree) -> PyTree:
    return task.net.apply(params, state, x)[0]


def measure(task: Task, ts: TrainState, data: PyTree, *, batch_size: int = _BATCH_SIZE) -> dict[str, Array]:
    """Return what `evaluate` does, of data that have been checked."""
    totals = _evaluate(task, ts.params, ts.state, data, min(batch_size, sampling.length(data)))
    return _results(task, totals)


def measure_batches(task: Task, ts: TrainState, batches: Iterable[PyTree]) -> dict[str, Array]:
    """Return what `evaluate` does, of batches that come one by one."""
    totals, rows = None, 0
    for number, batch in enumerate(batches):
        with inside(f"batch {number}"):
            batch = getattr(batch, "arrays", tuple(batch) if isinstance(batch, list) else batch)
            unpack(batch)
            size = sampling.length(batch)
            rows = max(rows, size)
            batch = jax.tree.map(jnp.asarray, batch if size == rows else _filled_up(batch, rows))
        totals = _before(task, ts.params, ts.state, batch) if totals is None else totals
        totals = _add_batch(task, ts.params, ts.state, totals, batch, np.int32(size))
    if totals is None:
        raise DataError("evaluate", "there is no batch", "pass an iterable, or an iterator that was not read already.")
    return _results(task, totals)


def _results(task: Task, totals: Totals) -> dict[str, Array]:
    # A compiled program returns a dict sorted; the order here is that of the task.
    losses, values = _computed(task, totals)
    parts = {f"loss/{name}": value for name, value in losses.items() if name}
    return {"loss": sum(losses.values())} | parts | {metric.name: values[metric.name] for metric in task.metrics}


class Totals(NamedTuple):
    """The sums of the weighted losses and of the weights by term, and the accumulators of the metrics."""

    losses: dict[str, tuple[Array, Array]]
    metrics: tuple[PyTree, ...]


def _nothing(task: Task, params: Params, state: State, batch: PyTree) -> Totals:
    """Return the totals over no example, for batches like `batch`, of which shapes alone count."""

    def values(x: PyTree, y: PyTree) -> dict[str, Array]:
        return terms(task.loss, task.net.apply(params, state, x)[0], y, sampling.length(x))[0]

    x, y, _ = unpack(batch)
    zero = jnp.zeros(())
    return Totals(dict.fromkeys(jax.eval_shape(values, x, y), (zero, zero)), tuple(m.init() for m in task.metrics))


def _added(task: Task, params: Params, state: State, totals: Totals, batch: PyTree) -> Totals:
    """Return the totals with those of one more batch."""
    x, y, weight = unpack(batch)
    weight = None if weight is None else weight.astype(jnp.result_type(float))
    prediction, _ = task.net.apply(params, state, x)
    losses, _ = terms(task.loss, prediction, y, sampling.length(x))
    sums = tree.add(totals.losses, {name: _weighed(values, weight) for name, values in losses.items()})
    pairs = zip(task.metrics, totals.metrics, strict=True)
    return Totals(sums, tuple(metric.update(accumulator, prediction, y, weight) for metric, accumulator in pairs))


def _filled_up(batch: PyTree, rows: int) -> PyTree:
    """Return a batch with its last row repeated, on the host: no program is compiled for its number of rows."""

    def filled(leaf: Any) -> np.ndarray:
        array = np.asarray(leaf)
        return np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])

    return jax.tree.map(filled, batch)


_before = jax.jit(_nothing, static_argnums=0)


@partial(jax.jit, static_argnums=0)
def _add_batch(task: Task, params: Params, state: State, totals: Totals, batch: PyTree, size: Int[Array, ""]) -> Totals:
    """Return the totals with those of the first `size` rows of a batch."""
    rows = jnp.arange(sampling.length(batch))
    return _added(task, params, state, totals, _weighing(batch, rows < size))


def _weighing(batch: PyTree, real: Bool[Array, rows]) -> PyTree:
    """Return a batch with a weight for each row, none for those that are not `real`."""
    x, y, weight = unpack(batch)
    real = real.astype(jnp.result_type(float))
    return x, y, real if weight is None else weight.astype(real.dtype) * align(real, weight, axis=0)


@partial(jax.jit, static_argnums=(0, 4))
def _evaluate(task: Task, params: Params, state: State, data: PyTree, batch_size: int) -> Totals:
    size = sampling.length(data)

    def add(totals: Totals, number: Int[Array, ""]) -> tuple[Totals, None]:
        rows = number * batch_size + jnp.arange(batch_size)
        batch = _weighing(take(data, jnp.minimum(rows, size - 1)), rows < size)
        return _added(task, params, state, totals, batch), None

    start = _nothing(task, params, state, take(data, jnp.zeros(batch_size, jnp.int32)))
    return lax.scan(add, start, jnp.arange(-(-size // batch_size)))[0]


@partial(jax.jit, static_argnums=0)
def _computed(task: Task, totals: Totals) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the mean of each term of the loss, and each metric."""
    means = {name: total / count for name, (total, count) in totals.losses.items()}
    pairs = zip(task.metrics, totals.metrics, strict=True)
    return means, {metric.name: metric.compute(accumulator) for metric, accumulator in pairs}


def _weighed(losses: Array, weight: Array | None) -> tuple[Array, Array]:
    """Return the sum of the weighted losses and of the weights; a row that weighs nothing adds nothing, whatever it."""
    weight = jnp.ones(losses.shape[:1]) if weight is None else weight
    weights = spread("data", weight, losses)
    return jnp.where(weights != 0, losses.astype(weights.dtype) * weights, 0.0).sum(), weights.sum()


def predict(task: Task, ts: TrainState, x: PyTree, *, batch_size: int = 256) -> PyTree:
    """Return the network's outputs at inference for every row of `x`, batch by batch.

    `x` is an array or a pytree of them, or a ``Dataset``, of which it takes ``x``.

    Law: the result does not depend on `batch_size`, up to rounding.
    Raises: DataError if there is no row, or leading axes differ; ValueError if ``batch_size < 1``.

    >>> task = fn.Task(fn.dense(3), fn.losses.cross_entropy, fn.sgd(0.1))
    >>> x = jnp.ones((5, 2))
    >>> fn.predict(task, fn.init(task, jax.random.key(0), x), x, batch_size=2).shape
    (5, 3)
    """
    check_task(task)
    check_state("predict", ts)
    check_count("predict", "batch_size", batch_size)
    x = x.x if hasattr(x, "arrays") else x
    return _predict(task, ts.params, ts.state, x, min(batch_size, sampling.length(x, where="x")))


@partial(jax.jit, static_argnums=(0, 4))
def _predict(task: Task, params: Params, state: State, x: PyTree, batch_size: int) -> PyTree:
    size = sampling.length(x)

    def outputs(number: Int[Array, ""]) -> PyTree:
        rows = jnp.minimum(number * batch_size + jnp.arange(batch_size), size - 1)
        return tree.map(checked, task.net.apply(params, state, take(x, rows))[0])

    def checked(y: Array) -> Array:
        if y.shape[:1] != (batch_size,):
            raise no_rows(y, batch_size)
        return y

    batches = lax.map(outputs, jnp.arange(-(-size // batch_size)))
    return tree.map(lambda y: y.reshape((-1, *y.shape[2:]))[:size], batches)
