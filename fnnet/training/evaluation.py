"""What a network is worth on data, and what it says of them: at inference, batch by batch."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, PyTree

from fnnet import sampling, tree
from fnnet.core import Params, State, Task, TrainState
from fnnet.errors import inside
from fnnet.shapes import align, check_count, spread
from fnnet.training.checks import check_state, check_task, unpack
from fnnet.training.objectives import no_rows, terms
from fnnet.training.runs import take


def evaluate(task: Task, ts: TrainState, data: PyTree, *, batch_size: int = 256) -> dict[str, Array]:
    """Return the mean loss, those of its named terms and every metric of the task over all of `data`, at inference.

    `data` is ``(x, y)``, ``(x, y, weight)`` or a ``Dataset``. Exact over a ragged last batch: missing rows weigh
    nothing. Compiled once for each task and shape of the data.
    Targets in NumPy arrays are checked, those on a device are not waited for: a bad label makes the result NaN.
    Raises: DataError for other or empty data, or leading axes that differ; ValueError if ``batch_size < 1``; what the
    loss raises; and as ``init`` and ``step`` do.

    >>> task = fn.Task(jnp.negative, fn.losses.absolute_error, fn.sgd(0.1), (fn.metrics.mean_squared_error(),))
    >>> task = task._replace(net=fn.as_layer(task.net))
    >>> ts = fn.init(task, jax.random.key(0), jnp.ones(1))
    >>> fn.evaluate(task, ts, (jnp.array([1.0, 2.0]), jnp.array([-1.0, 0.0])))
    {'loss': Array(1., dtype=float32), 'mean_squared_error': Array(2., dtype=float32)}
    """
    check_task(task)
    check_state("evaluate", ts)
    check_count("evaluate", "batch_size", batch_size)
    data = getattr(data, "arrays", data)
    _, y, _ = unpack(data)
    if all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(y)):
        check_targets(task, ts, data)
    return measure(task, ts, data, batch_size=batch_size)


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


def measure(task: Task, ts: TrainState, data: PyTree, *, batch_size: int) -> dict[str, Array]:
    """Return what `evaluate` does, of data that have been checked."""
    size = sampling.length(data)
    losses, values = _evaluate(task, ts.params, ts.state, data, min(batch_size, size))
    parts = {f"loss/{name}": value for name, value in losses.items() if name}
    # A compiled program returns a dict sorted; the order here is that of the task.
    return {"loss": sum(losses.values())} | parts | {metric.name: values[metric.name] for metric in task.metrics}


@partial(jax.jit, static_argnums=(0, 4))
def _evaluate(
    task: Task, params: Params, state: State, data: PyTree, batch_size: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the mean of each term of the loss, and each metric."""
    size = sampling.length(data)

    def accumulate(carry: PyTree, number: Int[Array, ""]) -> tuple[PyTree, None]:
        sums, accumulators = carry
        rows = number * batch_size + jnp.arange(batch_size)
        x, y, weight = unpack(take(data, jnp.minimum(rows, size - 1)))
        real = (rows < size).astype(jnp.result_type(float))
        weight = real if weight is None else weight.astype(real.dtype) * align(real, weight, axis=0)
        prediction, _ = task.net.apply(params, state, x)
        values, _ = terms(task.loss, prediction, y, batch_size)
        accumulators = tuple(
            metric.update(acc, prediction, y, weight) for metric, acc in zip(task.metrics, accumulators, strict=True)
        )
        return (tree.add(sums, {name: _weighed(losses, weight) for name, losses in values.items()}), accumulators), None

    def zeros(x: PyTree, y: PyTree) -> dict[str, Array]:
        return terms(task.loss, task.net.apply(params, state, x)[0], y, batch_size)[0]

    x, y, _ = unpack(take(data, jnp.zeros(batch_size, jnp.int32)))
    zero = jnp.zeros(())
    sums = dict.fromkeys(jax.eval_shape(zeros, x, y), (zero, zero))
    start = (sums, tuple(metric.init() for metric in task.metrics))
    (sums, accumulators), _ = lax.scan(accumulate, start, jnp.arange(-(-size // batch_size)))
    metrics = {metric.name: metric.compute(acc) for metric, acc in zip(task.metrics, accumulators, strict=True)}
    return {name: total / count for name, (total, count) in sums.items()}, metrics


def _weighed(losses: Array, weight: Array) -> tuple[Array, Array]:
    """Return the sum of the weighted losses and of the weights; a row that weighs nothing adds nothing, whatever it."""
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
