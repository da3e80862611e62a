"""The values within a network and their derivatives, by path: Z and A, ∂J/∂Z and ∂J/∂A."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.core import Key, Layer, Params, State, Task, TrainState
from fnnet.tagged import Found, Loop, Tag, by_path, look
from fnnet.training.checks import check_state, check_task, unpack
from fnnet.training.objectives import objective
from fnnet.training.steps import step_key


class Gradients(NamedTuple):
    """The derivative of the objective by each parameter and by each value within the network, by path."""

    params: dict[str, Array]
    activations: dict[str, Array]


def activations(
    net: Layer,
    params: Params,
    x: Any,
    state: State = {},  # noqa: B006 - never mutated
    *,
    key: Key | None = None,
    train: bool = False,
) -> dict[str, Array]:
    r"""Return every named value within the network for the input `x`, in the order in which they run.

    A layer with an activation has two: ``dense_0/z``, :math:`Z = XW + b`, and ``dense_0``, :math:`A = \phi(Z)`, its
    output; every other child of a composition has its output. Within ``fn.repeat`` values have an axis of turns in
    front, within ``fn.ensemble`` one of members. Each path is there once: with the first value of a layer that runs
    again, and with the values of a ``Masked``.

    Laws: the last is the network's output, under the net's own name unless a child's output is it; within ``serial``
    each is what the layers up to it compute. It works within ``vmap``, and ``jit``, which returns any dict sorted by key.

    >>> net = fn.serial(fn.dense(4, activation=jnp.tanh), fn.dense(2))
    >>> params, _ = net.init(jax.random.key(0), jnp.ones((5, 3)))
    >>> {path: value.shape for path, value in activations(net, params, jnp.ones((5, 3))).items()}
    {'dense_0/z': (5, 4), 'dense_0': (5, 4), 'dense_1': (5, 2)}
    """
    return {tag.path: value for tag, value in _values(net, train, params, state, x, key)}


def gradients(task: Task, ts: TrainState, batch: PyTree) -> Gradients:
    r"""Return the derivative of the objective of the step at `ts` by each parameter and each named value.

    Of values these are the δ of backpropagation, :math:`\partial J/\partial Z` and :math:`\partial J/\partial A`, of
    the shapes and paths of ``activations`` of the same batch in training. The objective is a mean over the batch, so
    that each is of the order of one over its size. Those of complex numbers are conjugated.

    Law: ``params`` is the gradient from which ``fn.step`` makes its update.
    Raises: what ``fn.step`` raises.

    >>> task = fn.Task(fn.serial(fn.dense(1)), fn.losses.squared_error, fn.sgd(0.1))
    >>> x, y = jnp.array([[1.0], [2.0]]), jnp.array([[2.0], [4.0]])
    >>> found = gradients(task, fn.init(task, jax.random.key(0), x), (x, y))
    >>> list(found.params), list(found.activations)
    (['dense_0/bias', 'dense_0/kernel'], ['dense_0'])
    """
    check_task(task)
    check_state("gradients", ts)
    unpack(batch)
    of_params, of_values = _gradients(task, ts, batch)
    return Gradients(tree.flatten(of_params), {tag.path: value for tag, value in of_values})


def forward(
    net: Layer,
    params: Params,
    state: State,
    x: Any,
    *,
    key: Key | None = None,
    train: bool = False,
    added: Mapping[str, Array] = {},
) -> tuple[tuple[Any, State], Found]:
    """Return the output and the state of a network, and each named value within it with `added` added to it.

    The output itself comes last, under the net's name, which is in front of all paths.
    """

    def named(params: Params, state: State, x: Any, key: Key | None) -> tuple[Any, State]:
        with jax.named_scope(net.name):
            y, new_state = net.apply(params, state, x, key=key, train=train)
            return jax.tree.map(lambda leaf: checkpoint_name(leaf, net.name), y), new_state

    return look(named, params, state, x, key, visit=lambda tag, value: (value, value), added=added)


def short_names(net: Layer, found: Found) -> dict[str, str]:
    """Return the paths of `forward` with their names as seen from within the net, in order.

    Those within a layer that is no composition keep its name. The output is left out where a child's output is it.
    """
    values, prefix = by_path(found), f"{net.name}/"
    others = [path for path in values if path != net.name]
    if not any(tag.of_layer and tag.path != net.name for tag in _tags_of(found)):
        return {path: path for path in values}
    same = any(values[path] is values[net.name] for path in others)
    names = {path: path.removeprefix(prefix) for path in others}
    return names if same else names | {net.name: net.name}


def _tags_of(found: Found) -> list[Tag]:
    return [tag for place, kept in found for tag in (_tags_of(kept) if isinstance(place, Loop) else [place])]


@partial(jax.jit, static_argnums=(0, 1))
def _values(net: Layer, train: bool, params: Params, state: State, x: Any, key: Key | None) -> list[tuple[Tag, Array]]:
    _, found = forward(net, params, state, x, key=key, train=train)
    values = by_path(found)
    return [(Tag(name), values[path]) for path, name in short_names(net, found).items()]


@partial(jax.jit, static_argnums=0)
def _gradients(task: Task, ts: TrainState, batch: PyTree) -> tuple[Params, list[tuple[Tag, Array]]]:
    key = step_key(ts)

    def named() -> list[tuple[tuple[Tag, Tag], Array]]:
        _, found = forward(task.net, ts.params, ts.state, batch[0], key=key, train=True)
        values = by_path(found)
        return [((Tag(path), Tag(name)), values[path]) for path, name in short_names(task.net, found).items()]

    shapes = [(names, v) for names, v in jax.eval_shape(named) if jnp.issubdtype(v.dtype, jnp.inexact)]

    def loss(params: Params, added: dict[str, Array]) -> Array:
        def apply(params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False) -> Any:
            return forward(task.net, params, state, x, key=key, train=train, added=added)[0]

        seen = task._replace(net=Layer(task.net.name, task.net.init, apply))
        return objective(seen, params, ts.state, batch, key).loss

    zeros = {path.path: jnp.zeros(v.shape, v.dtype) for (path, _), v in shapes}
    grads = tree.map(jnp.conj, jax.grad(loss, argnums=(0, 1))(ts.params, zeros))
    return grads[0], [(name, grads[1][path.path]) for (path, name), _ in shapes]
