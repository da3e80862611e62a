"""The pure experiment: a training step and a whole training run are functions of ``(task, state, data)``."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PyTree

from fnnet import sampling, tree
from fnnet.core import Key, Params, Shaped, State, Task, TrainState, extras_taken
from fnnet.errors import DataError, ShapeError
from fnnet.shapes import align

_INIT, _STEP, _ORDER = 0, 1, 2  # the streams of randomness that the root key is folded into

Logs = dict[str, Array]


def init(task: Task, key: Key, x: Shaped) -> TrainState:
    """Return the state at step 0. `x` is an example batch or ``jax.ShapeDtypeStruct``: its values are not used.

    >>> task = fn.Task(fn.dense(2), fn.losses.cross_entropy, fn.adam(1e-3))
    >>> int(fn.init(task, jax.random.key(0), jnp.ones((1, 3))).step)
    0
    """
    params, state = task.net.init(jax.random.fold_in(key, _INIT), x)
    return TrainState(jnp.zeros((), jnp.int32), params, state, task.optimizer.init(params), key)


def step(task: Task, ts: TrainState, batch: PyTree) -> tuple[TrainState, Logs]:
    r"""Make one update from one batch ``(x, y)`` or ``(x, y, weight)``.

    The objective is the mean of the losses, weighted where weights are given: :math:`\sum w_i \ell_i / \sum w_i`. The
    axes of the weights are leading axes of the losses: one an example, or one an element (a token that is to count).
    Randomness is folded from the root key and ``ts.step``. The optimizer is passed the loss as ``value``, the gradients
    as ``grad`` and the objective as ``value_fn`` if its `update` takes them. Gradients of complex parameters are
    conjugated, so that ``params - rate * grads`` descends.

    Returns the next state and ``{"loss": scalar}``, the objective before the update.
    """
    x, y, weight = unpack(batch)
    key = jax.random.fold_in(jax.random.fold_in(ts.key, _STEP), ts.step)

    def objective(params: Params) -> tuple[Float[Array, ""], State]:
        prediction, state = task.net.apply(params, ts.state, x, key=key, train=True)
        return _mean(task.loss(prediction, y), weight), state

    (loss, state), grads = jax.value_and_grad(objective, has_aux=True)(ts.params)
    grads = tree.map(lambda g: jnp.conj(g) if jnp.iscomplexobj(g) else g, grads)
    extra = {"value": loss, "grad": grads, "value_fn": lambda params: objective(params)[0]}
    update = task.optimizer.update
    updates, opt_state = update(grads, ts.opt_state, ts.params, **extras_taken(update, extra))
    return TrainState(ts.step + 1, tree.add(ts.params, updates), state, opt_state, ts.key), {"loss": loss}


def run(task: Task, ts: TrainState, data: PyTree, *, steps: int, batch_size: int) -> tuple[TrainState, Logs]:
    """Make `steps` updates on shuffled batches of `data`, as one ``lax.scan``: jit, vmap or differentiate it.

    The batch of a step is a function of the root key and ``ts.step``, hence the law: ``run`` of a + b steps is
    ``run`` of a steps and then of b steps, bit for bit.

    Returns the last state and the logs of every step, each of shape ``(steps,)``.
    Raises: DataError if leading axes differ, there is no example, or `batch_size` exceeds their number.
    """
    unpack(data)
    sampling.check_batch_size(sampling.length(data), batch_size)
    return lax.scan(lambda ts, _: step(task, ts, batch_at(ts, data, batch_size)), ts, None, length=steps)


def batch_at(ts: TrainState, data: PyTree, batch_size: int) -> PyTree:
    """Return the batch that the step at `ts` sees."""
    key = jax.random.fold_in(ts.key, _ORDER)
    return _take(data, sampling.rows(key, ts.step, size=sampling.length(data), batch_size=batch_size))


def evaluate(task: Task, ts: TrainState, data: PyTree, *, batch_size: int = 256) -> dict[str, Array]:
    """Return the mean loss and every metric of the task over all of `data`, at inference.

    Exact over a ragged last batch: missing rows weigh nothing. Compiled once for each shape of the data.
    """
    unpack(data)
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
        losses = task.loss(prediction, y).astype(total.dtype)
        weights = _spread(weight, losses)
        accumulators = tuple(
            metric.update(acc, prediction, y, weight) for metric, acc in zip(task.metrics, accumulators, strict=True)
        )
        # A row that weighs nothing adds nothing, whatever its loss.
        total = total + jnp.where(weights > 0, losses * weights, 0.0).sum()
        return (total, count + weights.sum(), accumulators), None

    start = (jnp.zeros(()), jnp.zeros(()), tuple(metric.init() for metric in task.metrics))
    (total, count, accumulators), _ = lax.scan(accumulate, start, jnp.arange(-(-size // batch_size)))
    values = {metric.name: metric.compute(acc) for metric, acc in zip(task.metrics, accumulators, strict=True)}
    return {"loss": total / count} | values


def predict(task: Task, ts: TrainState, x: PyTree, *, batch_size: int = 256) -> PyTree:
    """Return the network's outputs at inference for every row of `x`, batch by batch.

    Law: the result does not depend on `batch_size`, up to rounding.
    """
    return _predict(task, ts.params, ts.state, x, min(batch_size, sampling.length(x, where="x")))


@partial(jax.jit, static_argnums=(0, 4))
def _predict(task: Task, params: Params, state: State, x: PyTree, batch_size: int) -> PyTree:
    size = sampling.length(x)

    def outputs(number: Int[Array, ""]) -> PyTree:
        rows = jnp.minimum(number * batch_size + jnp.arange(batch_size), size - 1)
        return task.net.apply(params, state, _take(x, rows))[0]

    batches = lax.map(outputs, jnp.arange(-(-size // batch_size)))
    return tree.map(lambda y: y.reshape((-1, *y.shape[2:]))[:size], batches)


def unpack(batch: PyTree) -> tuple[PyTree, PyTree, Array | None]:
    """Return ``(x, y, weight)`` of ``(x, y)`` or ``(x, y, weight)``; DataError for anything else."""
    if not isinstance(batch, tuple) or len(batch) not in (2, 3) or hasattr(batch, "_fields"):
        got = f"a tuple of {len(batch)}" if type(batch) is tuple else type(batch).__name__
        fix = "pass a tuple of arrays or pytrees; of a Dataset, its arrays: dataset.arrays."
        raise DataError("data", f"expected (x, y) or (x, y, weight), got {got}", fix)
    x, y, *weight = batch
    return x, y, weight[0] if weight else None


def _take(data: PyTree, rows: Int[Array, batch]) -> PyTree:
    # The rows are in bounds by construction; saying so spares a clamp and a select an element.
    return tree.map(lambda leaf: jnp.asarray(leaf).at[rows].get(mode="promise_in_bounds"), data)


def _mean(losses: Array, weight: Array | None) -> Float[Array, ""]:
    if weight is None:
        return losses.mean()
    weights = _spread(weight.astype(losses.dtype), losses)
    return (losses * weights).sum() / weights.sum()


def _spread(weight: Array, losses: Array) -> Array:
    """Return the weights, which belong to the leading axes of the losses, in the shape of the losses."""
    if weight.shape != losses.shape[: weight.ndim]:
        problem = f"the weight must have the leading axes of the losses {losses.shape}, got {weight.shape}"
        raise ShapeError("data", problem, "give one weight for each example, or one for each of its losses.")
    return jnp.broadcast_to(align(weight, losses, axis=weight.ndim - 1), losses.shape)
