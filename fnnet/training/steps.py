"""The initial state, and one update."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from fnnet import tree
from fnnet.core import Key, Params, Shaped, Task, TrainState, extras_taken
from fnnet.shapes import check_key
from fnnet.training.checks import check_task
from fnnet.training.objectives import Logs, Outcome, gradients

_INIT, _STEP = 0, 1  # the streams of randomness that the root key is folded into


class Made(NamedTuple):
    """What an update was made of."""

    batch: PyTree
    outcome: Outcome
    grads: Params
    updates: Params


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


def step(task: Task, ts: TrainState, batch: PyTree, *, micro_batches: int = 1) -> tuple[TrainState, Logs]:
    r"""Make one update from one batch ``(x, y)`` or ``(x, y, weight)``.

    The objective is the mean of the losses, weighted where weights are given: :math:`\sum w_i \ell_i / \sum w_i`, for
    each term of the loss, plus the task's penalty. The axes of the weights are leading axes of the losses: one an
    example, or one an element (a token that is to count). What weighs nothing adds nothing, and where all weighs
    nothing the mean is 0; only, a value that is not finite must not be among what weighs nothing, since its derivative
    would reach the gradient as 0 · ∞.

    With `micro_batches` the gradient is accumulated over that many parts of the batch, one after another: the memory of
    a part, and the update of the whole up to rounding (unless the network takes statistics over the batch).

    Randomness is folded from the root key and ``ts.step``. The optimizer is passed the loss as ``value``, the gradients
    as ``grad`` and the objective as ``value_fn`` if its `update` takes them. Gradients of complex parameters are
    conjugated, so that ``params - rate * grads`` descends. An optimizer whose state has a ``loss_scale`` (see
    ``fn.transforms.dynamic_loss_scale``) has the loss multiplied by it before the derivative, the gradient divided
    by it after.

    Returns the next state and ``{"loss": scalar}``, the objective before the update, with the mean of each named term
    as ``loss/name``, and the loss's auxiliary values.
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
    after, made = advance(task, ts, batch, micro_batches)
    return after, {"loss": made.outcome.loss} | made.outcome.logs


def advance(task: Task, ts: TrainState, batch: PyTree, micro_batches: int = 1) -> tuple[TrainState, Made]:
    """Return what `step` does, with all that the update was made of."""
    outcome, grads, value_fn = gradients(task, ts, batch, step_key(ts), micro_batches)
    update = task.optimizer.update
    extra = {"value": outcome.loss, "grad": grads, "value_fn": value_fn}
    updates, opt_state = update(grads, ts.opt_state, ts.params, **extras_taken(update, extra))
    after = TrainState(ts.step + 1, tree.add(ts.params, updates), outcome.state, opt_state, ts.key)
    return after, Made(batch, outcome, grads, updates)


def step_key(ts: TrainState) -> Key:
    """Return the key of the randomness of the step at `ts`."""
    return jax.random.fold_in(jax.random.fold_in(ts.key, _STEP), ts.step)
