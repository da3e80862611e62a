"""The objective of a batch: the means of the losses, by term, and their gradient, whole or in micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PyTree

from fnnet import sampling, tree
from fnnet.core import Key, Params, State, Task, Terms, TrainState
from fnnet.dtypes import at_least_float32
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.shapes import check_count, spread
from fnnet.training.checks import COLUMNS, unpack

Logs = dict[str, Array]


class Outcome(NamedTuple):
    """What a forward pass in training gives: the objective, its parts and auxiliary values, and the net's outputs."""

    loss: Float[Array, ""]
    logs: Logs
    state: State
    prediction: PyTree


def objective(task: Task, params: Params, state: State, batch: PyTree, key: Key) -> Outcome:
    """Return the objective of one batch in training, the weighted mean of the losses plus the penalty."""
    x, y, weight = unpack(batch)
    prediction, new_state = task.net.apply(params, state, x, key=key, train=True)
    if difference := tree.difference(new_state, state):
        fix = "have each layer return its state with the entries, shapes and dtypes that its init gave."
        raise ShapeError("net", f"the state that apply returns must be like that of init: {difference}", fix)
    values, aux = terms(task.loss, prediction, y, sampling.length(x))
    parts = {name: _mean(losses, weight) for name, losses in values.items()} | _penalties(task, params)
    loss = sum(list(parts.values())[1:], next(iter(parts.values())))
    named = {f"loss/{name}": part for name, part in parts.items()} if len(parts) > 1 or "" not in parts else {}
    if "loss/" in named:  # the only term of a loss that names none, beside a penalty
        named["loss/data"] = named.pop("loss/")
    taken = {*COLUMNS, *named, *(metric.name for metric in task.metrics)}
    return Outcome(loss, named | _reported(aux, taken), new_state, prediction)


def gradients(
    task: Task, ts: TrainState, batch: PyTree, key: Key, micro_batches: int
) -> tuple[Outcome, Params, Callable[[Params], Array]]:
    """Return the outcome of a batch, the gradient of its objective, and the objective as a function of parameters.

    The gradient is taken of the loss times the scale that the optimizer's state keeps, if it does, and divided by it.
    Those of complex parameters are conjugated, so that ``params - rate * grads`` descends.
    """
    scale = _loss_scale(ts.opt_state)

    def scaled(params: Params, state: State, part: PyTree, key: Key) -> tuple[Array, Outcome]:
        out = objective(task, params, state, part, key)
        return (out.loss if scale is None else out.loss * scale.astype(out.loss.dtype)), out

    differentiate = jax.value_and_grad(scaled, has_aux=True)
    if micro_batches == 1:
        (_, out), grads = differentiate(ts.params, ts.state, batch, key)

        def value(params: Params) -> Array:
            return objective(task, params, ts.state, batch, key).loss
    else:
        parts = _split(batch, micro_batches)
        out, grads = _accumulate(differentiate, ts, parts, key)

        def value(params: Params) -> Array:
            return _accumulate(None, ts._replace(params=params), parts, key, scaled)[0].loss

    if scale is not None:
        grads = tree.map(lambda g: g / scale.astype(jnp.real(g).dtype), grads)
    return out, tree.map(lambda g: jnp.conj(g) if jnp.iscomplexobj(g) else g, grads), value


def terms(loss: Callable[[Any, Any], Any], prediction: PyTree, y: PyTree, size: int) -> tuple[dict[str, Array], Logs]:
    """Return the losses of a batch of `size` examples by term, ``""`` if it has one without name, and what is beside.

    Raises: ShapeError unless each has one value per example; DtypeError unless they are real floating-point values.
    """
    try:
        result = loss(prediction, y)
    except ShapeError as error:
        if _has_rows(prediction, size):
            raise
        raise no_rows(prediction, size) from error
    aux = result.aux if isinstance(result, Terms) else {}
    values = result.values if isinstance(result, Terms) else result if isinstance(result, Mapping) else {"": result}
    if not isinstance(values, Mapping) or not values:
        raise TypeError(f"loss: the terms must be a dict of at least one array by name, got {values!r}")
    return {name: _checked(name, losses, prediction, size) for name, losses in values.items()}, dict(aux)


def no_rows(prediction: PyTree, size: int) -> ShapeError:
    """Return the error of outputs that are not one row for each of `size` examples."""
    got = " and ".join(str(jnp.shape(leaf)) for leaf in jax.tree.leaves(prediction))
    return ShapeError(
        "net",
        f"its output must have a row for each of the {size} examples, got shape {got}",
        "give one example a batch axis, x[None], images a channel axis, (n, H, W, 1), and sequences one of features, "
        "(n, time, 1); of an ensemble, which has its members in front, take the mean.",
    )


def _checked(name: str, losses: Any, prediction: PyTree, size: int) -> Array:
    losses, where = jnp.asarray(losses), f"loss/{name}" if name else "loss"
    if losses.shape[:1] != (size,):
        if not _has_rows(prediction, size):
            raise no_rows(prediction, size)
        problem = f"must return one value per example, of shape ({size}, ...), got shape {losses.shape}"
        raise ShapeError(where, problem, "leave the mean to training: drop the .mean() at its end.")
    if not jnp.issubdtype(losses.dtype, jnp.floating):
        raise DtypeError(where, f"must be real floating-point values, got {losses.dtype}", "a count has no gradient.")
    return losses


def _has_rows(prediction: PyTree, size: int) -> bool:
    return any(jnp.shape(leaf)[:1] == (size,) for leaf in jax.tree.leaves(prediction))


def _mean(losses: Array, weight: Array | None) -> Float[Array, ""]:
    if weight is None:
        return losses.mean()
    weights = spread("data", weight.astype(losses.dtype), losses)
    total = weights.sum()
    return jnp.where(weights == 0, 0, losses * weights).sum() / jnp.where(total == 0, 1, total)


def _penalties(task: Task, params: Params) -> dict[str, Float[Array, ""]]:
    if task.penalty is None:
        return {}
    result = task.penalty(params)
    parts = {name: jnp.asarray(part) for name, part in (result if isinstance(result, dict) else {"": result}).items()}
    for name, part in parts.items():
        if part.ndim or not jnp.issubdtype(part.dtype, jnp.floating):
            got = f"{part.dtype} of shape {part.shape}"
            raise ShapeError("penalty", f"must be one floating-point number{name and f' ({name})'}, got {got}")
    return {f"penalty/{name}" if name else "penalty": part for name, part in parts.items()}


def _reported(aux: Mapping[str, Array], taken: Collection[str]) -> Logs:
    """Return auxiliary values as they are reported: constants of the gradient, under names that are free."""
    for name in aux:
        if name in taken:
            raise ValueError(f"loss: {name!r} is the name of a column of the history; rename the auxiliary value")
    return {name: lax.stop_gradient(jnp.asarray(value)) for name, value in aux.items()}


def _loss_scale(opt_state: PyTree) -> Float[Array, ""] | None:
    """Return the factor of the loss that an optimizer's state keeps as ``loss_scale``; None if none does."""
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda node: hasattr(node, "loss_scale"))
    scales = [node.loss_scale for node in nodes if hasattr(node, "loss_scale")]
    if len(scales) > 1:
        raise ValueError(f"step: the optimizer keeps {len(scales)} scales of the loss, expected at most one")
    return scales[0] if scales else None


def _split(batch: PyTree, micro_batches: int) -> PyTree:
    """Return a batch of n rows as one of (micro_batches, n / micro_batches) rows."""
    check_count("step", "micro_batches", micro_batches)
    size = sampling.length(batch)
    if size % micro_batches:
        fix = "choose a batch_size that is a multiple of micro_batches."
        raise DataError("data", f"a batch of {size} rows cannot be cut into {micro_batches} equal parts", fix)
    rows = (micro_batches, size // micro_batches)
    return tree.map(lambda leaf: jnp.asarray(leaf).reshape(*rows, *jnp.shape(leaf)[1:]), batch)


def _accumulate(
    differentiate: Callable[..., Any] | None, ts: TrainState, parts: PyTree, key: Key, forward: Any = None
) -> tuple[Outcome, Params]:
    """Return the outcome and the gradient of the union of micro-batches, one after another.

    The mean of a part counts by its share of the weights, so the sum is the mean of the whole. Without a function to
    `differentiate` it is the outcome alone.
    """
    weight = unpack(parts)[2]
    number = jnp.arange(sampling.length(parts))
    shares = _shares(weight, number.size)

    def one(state: State, part: PyTree, n: Int[Array, ""]) -> tuple[Outcome, Params]:
        arguments = (ts.params, state, part, jax.random.fold_in(key, n))
        if differentiate is None:
            return forward(*arguments)[1], ()
        (_, out), grads = differentiate(*arguments)
        return out, grads

    def body(carry: PyTree, part: PyTree) -> tuple[PyTree, PyTree]:
        state, total = carry
        share, (batch, n) = part
        out, grads = one(state, batch, n)
        total = tree.map(lambda a, b: a + share.astype(a.dtype) * b.astype(a.dtype), total, (out.loss, out.logs, grads))
        return (out.state, total), out.prediction

    first = jax.eval_shape(one, ts.state, tree.map(lambda leaf: leaf[0], parts), number[0])
    shapes = (first[0].loss, first[0].logs, first[1])
    zeros = tree.map(lambda leaf: jnp.zeros(leaf.shape, _wide(leaf.dtype)), shapes)
    (state, total), prediction = lax.scan(body, (ts.state, zeros), (shares, (parts, number)))
    loss, logs, grads = tree.map(lambda a, b: a.astype(b.dtype), total, shapes)
    return Outcome(loss, logs, state, tree.map(_joined, prediction)), grads


def _shares(weight: Array | None, count: int) -> Float[Array, parts]:
    """Return the share of the weights in each micro-batch."""
    equal = jnp.full(count, 1 / count, jnp.result_type(float))
    if weight is None:
        return equal
    sums = weight.astype(equal.dtype).reshape(count, -1).sum(1)
    total = sums.sum()
    return jnp.where(total == 0, equal, sums / jnp.where(total == 0, 1, total))


def _wide(dtype: Any) -> Any:
    return at_least_float32(dtype) if jnp.issubdtype(dtype, jnp.inexact) else jnp.float32


def _joined(rows: Array) -> Array:
    return rows.reshape(-1, *rows.shape[2:]) if rows.ndim > 1 else rows
