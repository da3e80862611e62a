"""The pure experiment: a training step and a whole training run are functions of ``(task, state, data)``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PyTree

from fnnet import sampling, tree
from fnnet.core import Key, Params, Shaped, State, Task, TrainState, extras_taken
from fnnet.errors import DataError, DtypeError, ShapeError, inside
from fnnet.shapes import align, check_count, check_key, spread

_INIT, _STEP, _ORDER = 0, 1, 2  # the streams of randomness that the root key is folded into

Logs = dict[str, Array]


def init(task: Task, key: Key, x: Shaped) -> TrainState:
    """Return the state at step 0. `x` is an example batch or ``jax.ShapeDtypeStruct``: its values are not used.

    Raises: TypeError or ValueError for a task whose parts are not what ``Task`` says.

    >>> task = fn.Task(fn.dense(2), fn.losses.cross_entropy, fn.adam(1e-3))
    >>> int(fn.init(task, jax.random.key(0), jnp.ones((1, 3))).step)
    0
    """
    check_task(task)
    check_key("init", key, when="")
    params, state = task.net.init(jax.random.fold_in(key, _INIT), x)
    return TrainState(jnp.zeros((), jnp.int32), params, state, task.optimizer.init(params), key)


def step(task: Task, ts: TrainState, batch: PyTree) -> tuple[TrainState, Logs]:
    r"""Make one update from one batch ``(x, y)`` or ``(x, y, weight)``.

    The objective is the mean of the losses, weighted where weights are given: :math:`\sum w_i \ell_i / \sum w_i`. The
    axes of the weights are leading axes of the losses: one an example, or one an element (a token that is to count).
    What weighs nothing adds nothing, and where all weighs nothing the objective is 0; only, a value that is not finite
    must not be among what weighs nothing, since its derivative would reach the gradient as 0 · ∞.
    Randomness is folded from the root key and ``ts.step``. The optimizer is passed the loss as ``value``, the gradients
    as ``grad`` and the objective as ``value_fn`` if its `update` takes them. Gradients of complex parameters are
    conjugated, so that ``params - rate * grads`` descends.

    Returns the next state and ``{"loss": scalar}``, the objective before the update.
    Raises: TypeError as ``init``; DataError for another batch; ShapeError unless the loss returns one value per
    example, if the weights do not fit them, or if the net's state is not like that of its init; DtypeError unless the
    losses are floating-point.

    >>> task = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.1))
    >>> x, y = jnp.array([[1.0], [2.0]]), jnp.array([[2.0], [4.0]])
    >>> ts, logs = fn.step(task, fn.init(task, jax.random.key(0), x), (x, y))
    >>> int(ts.step), list(logs)
    (1, ['loss'])
    """
    check_task(task)
    x, y, weight = unpack(batch)
    key = jax.random.fold_in(jax.random.fold_in(ts.key, _STEP), ts.step)

    def objective(params: Params) -> tuple[Float[Array, ""], State]:
        prediction, state = task.net.apply(params, ts.state, x, key=key, train=True)
        return _mean(_losses(task.loss, prediction, y, sampling.length(x)), weight), state

    (loss, state), grads = jax.value_and_grad(objective, has_aux=True)(ts.params)
    if difference := tree.difference(state, ts.state):
        fix = "have each layer return its state with the entries, shapes and dtypes that its init gave."
        raise ShapeError("net", f"the state that apply returns must be like that of init: {difference}", fix)
    grads = tree.map(lambda g: jnp.conj(g) if jnp.iscomplexobj(g) else g, grads)
    extra = {"value": loss, "grad": grads, "value_fn": lambda params: objective(params)[0]}
    update = task.optimizer.update
    updates, opt_state = update(grads, ts.opt_state, ts.params, **extras_taken(update, extra))
    return TrainState(ts.step + 1, tree.add(ts.params, updates), state, opt_state, ts.key), {"loss": loss}


def run(task: Task, ts: TrainState, data: PyTree, *, steps: int, batch_size: int) -> tuple[TrainState, Logs]:
    """Make `steps` updates on shuffled batches of `data`, as one ``lax.scan``: jit, vmap or differentiate it.

    The batch of a step is a function of the root key and ``ts.step``, hence the law: ``run`` of a + b steps is
    ``run`` of a steps and then of b steps, bit for bit.

    It is not compiled by itself: ``jit`` it once and call that, since each call of ``fn.run`` as it is compiles anew.

    Returns the last state and the logs of every step, each of shape ``(steps,)``.
    Raises: DataError if leading axes differ, there is no example, or `batch_size` exceeds their number; ValueError for
    negative `steps`; and as ``step`` does.

    >>> task = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.1))
    >>> x, y = jnp.array([[1.0], [2.0]]), jnp.array([[2.0], [4.0]])
    >>> run = jax.jit(fn.run, static_argnames=("task", "steps", "batch_size"))
    >>> ts, logs = run(task, fn.init(task, jax.random.key(0), x), (x, y), steps=100, batch_size=2)
    >>> logs["loss"].shape, bool(logs["loss"][-1] < 0.01)
    ((100,), True)
    """
    check_task(task)
    unpack(data)
    check_count("run", "steps", steps, least=0)
    sampling.check_batch_size(sampling.length(data), batch_size)
    return lax.scan(lambda ts, _: step(task, ts, batch_at(ts, data, batch_size)), ts, None, length=steps)


def batch_at(ts: TrainState, data: PyTree, batch_size: int) -> PyTree:
    """Return the batch that the step at `ts` sees."""
    key = jax.random.fold_in(ts.key, _ORDER)
    return _take(data, sampling.rows(key, ts.step, size=sampling.length(data), batch_size=batch_size))


def evaluate(task: Task, ts: TrainState, data: PyTree, *, batch_size: int = 256) -> dict[str, Array]:
    """Return the mean loss and every metric of the task over all of `data`, at inference.

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

    jax.eval_shape(lambda z: _losses(loss, z, y, size), prediction)


@partial(jax.jit, static_argnums=0)
def _prediction(task: Task, params: Params, state: State, x: PyTree) -> PyTree:
    return task.net.apply(params, state, x)[0]


def measure(task: Task, ts: TrainState, data: PyTree, *, batch_size: int) -> dict[str, Array]:
    """Return what `evaluate` does, of data that have been checked."""
    size = sampling.length(data)
    values = _evaluate(task, ts.params, ts.state, data, min(batch_size, size))
    return {name: values[name] for name in ("loss", *(metric.name for metric in task.metrics))}


@partial(jax.jit, static_argnums=(0, 4))
def _evaluate(task: Task, params: Params, state: State, data: PyTree, batch_size: int) -> dict[str, Array]:
    size = sampling.length(data)

    def accumulate(carry: PyTree, number: Int[Array, ""]) -> tuple[PyTree, None]:
        total, count, accumulators = carry
        rows = number * batch_size + jnp.arange(batch_size)
        x, y, weight = unpack(_take(data, jnp.minimum(rows, size - 1)))
        real = (rows < size).astype(total.dtype)
        weight = real if weight is None else weight.astype(total.dtype) * align(real, weight, axis=0)
        prediction, _ = task.net.apply(params, state, x)
        losses = _losses(task.loss, prediction, y, batch_size).astype(total.dtype)
        weights = spread("data", weight, losses)
        accumulators = tuple(
            metric.update(acc, prediction, y, weight) for metric, acc in zip(task.metrics, accumulators, strict=True)
        )
        # A row that weighs nothing adds nothing, whatever its loss.
        total = total + jnp.where(weights != 0, losses * weights, 0.0).sum()
        return (total, count + weights.sum(), accumulators), None

    start = (jnp.zeros(()), jnp.zeros(()), tuple(metric.init() for metric in task.metrics))
    (total, count, accumulators), _ = lax.scan(accumulate, start, jnp.arange(-(-size // batch_size)))
    values = {metric.name: metric.compute(acc) for metric, acc in zip(task.metrics, accumulators, strict=True)}
    return {"loss": total / count} | values


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
        return tree.map(checked, task.net.apply(params, state, _take(x, rows))[0])

    def checked(y: Array) -> Array:
        if y.shape[:1] != (batch_size,):
            raise _no_rows(y, batch_size)
        return y

    batches = lax.map(outputs, jnp.arange(-(-size // batch_size)))
    return tree.map(lambda y: y.reshape((-1, *y.shape[2:]))[:size], batches)


def unpack(batch: PyTree) -> tuple[PyTree, PyTree, Array | None]:
    """Return ``(x, y, weight)`` of ``(x, y)`` or ``(x, y, weight)``; DataError for anything else."""
    if not isinstance(batch, tuple) or len(batch) not in (2, 3) or hasattr(batch, "_fields"):
        got = f"a tuple of {len(batch)}" if type(batch) is tuple else type(batch).__name__
        fix = "pass a tuple of arrays or pytrees; of a Dataset, its arrays: dataset.arrays."
        raise DataError("data", f"expected (x, y) or (x, y, weight), got {got}", fix)
    x, y, *weight = batch
    if weight and not hasattr(weight[0], "shape"):
        raise DataError(
            "data", f"the weight must be an array, got {type(weight[0]).__name__}", "make it one: jnp.array."
        )
    return x, y, weight[0] if weight else None


def check_task(task: Task) -> None:
    """Raise TypeError unless the parts of a task are what ``Task`` says, ValueError if two metrics share a name."""
    if not hasattr(task, "optimizer"):
        raise TypeError(f"expected a Task, got {type(task).__name__}: fn.Task(net, loss, optimizer) makes one")
    for part, functions in (("net", ("init", "apply")), ("optimizer", ("init", "update"))):
        thing = getattr(task, part)
        if not all(callable(getattr(thing, name, None)) for name in functions):
            fix = "; make a layer of a function by fn.as_layer" if part == "net" and callable(thing) else ""
            raise TypeError(f"task: {part} must have the functions {' and '.join(functions)}, got {thing!r}{fix}")
    if not callable(task.loss):
        raise TypeError(f"task: loss must be a function (prediction, target) -> values, got {task.loss!r}")
    if not isinstance(task.metrics, tuple) or not all(callable(getattr(m, "update", None)) for m in task.metrics):
        raise TypeError(f"task: metrics must be a tuple of metrics, such as (accuracy(),), got {task.metrics!r}")
    names = [metric.name for metric in task.metrics]
    for name in names:
        if name == "loss" or names.count(name) > 1:
            problem = "is the name of the loss itself" if name == "loss" else "is the name of two metrics"
            raise ValueError(f"task: {name!r} {problem}; rename one by metric._replace(name=...)")


def check_state(where: str, ts: Any) -> None:
    """Raise TypeError unless `ts` is a ``TrainState``."""
    if not isinstance(ts, TrainState):
        fix = "; of what fit returned pass result.state" if isinstance(getattr(ts, "state", None), TrainState) else ""
        raise TypeError(f"{where}: expected a TrainState, as init and run return it, got {type(ts).__name__}{fix}")


def _losses(loss: Callable[[Any, Any], Array], prediction: PyTree, y: PyTree, size: int) -> Array:
    """Return the losses of a batch of `size` examples, after a check that they are of its examples."""
    try:
        losses = jnp.asarray(loss(prediction, y))
    except ShapeError as error:
        if _has_rows(prediction, size):
            raise
        raise _no_rows(prediction, size) from error
    if losses.shape[:1] != (size,):
        if not _has_rows(prediction, size):
            raise _no_rows(prediction, size)
        problem = f"must return one value per example, of shape ({size}, ...), got shape {losses.shape}"
        raise ShapeError("loss", problem, "leave the mean to training: drop the .mean() at its end.")
    if not jnp.issubdtype(losses.dtype, jnp.floating):
        raise DtypeError("loss", f"must be real floating-point values, got {losses.dtype}", "a count has no gradient.")
    return losses


def _has_rows(prediction: PyTree, size: int) -> bool:
    return any(jnp.shape(leaf)[:1] == (size,) for leaf in jax.tree.leaves(prediction))


def _no_rows(prediction: PyTree, size: int) -> ShapeError:
    got = " and ".join(str(jnp.shape(leaf)) for leaf in jax.tree.leaves(prediction))
    return ShapeError(
        "net",
        f"its output must have a row for each of the {size} examples, got shape {got}",
        "give one example a batch axis, x[None], images a channel axis, (n, H, W, 1), and sequences one of features, "
        "(n, time, 1); of an ensemble, which has its members in front, take the mean.",
    )


def _take(data: PyTree, rows: Int[Array, batch]) -> PyTree:
    # The rows are in bounds by construction; saying so spares a clamp and a select an element.
    return tree.map(lambda leaf: jnp.asarray(leaf).at[rows].get(mode="promise_in_bounds"), data)


def _mean(losses: Array, weight: Array | None) -> Float[Array, ""]:
    if weight is None:
        return losses.mean()
    weights = spread("data", weight.astype(losses.dtype), losses)
    total = weights.sum()
    return jnp.where(weights == 0, 0, losses * weights).sum() / jnp.where(total == 0, 1, total)
