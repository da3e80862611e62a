"""The values within a network and their derivatives, by path: Z and A, ∂J/∂Z and ∂J/∂A."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.core import Key, Layer, Params, State, Task, TrainState
from fnnet.inspection.checks import check_net
from fnnet.tagged import Found, Loop, Tag, by_path, flat, look
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
    front, within ``fn.ensemble`` one of members; a layer with an activation that is repeated alone has ``repeat_0/z``
    and ``repeat_0/a``, and so has ``rnn``, by time. Each path is there once: with the first value of a layer that runs
    again, and with the values of a ``Masked``.

    Laws: the last is the network's output, under the net's own name unless a child's output is it; within ``serial``
    each is what the layers up to it compute. Works within ``vmap``, and ``jit``, which returns any dict sorted by key.

    >>> net = fn.serial(fn.dense(4, activation=jnp.tanh), fn.dense(2))
    >>> params, _ = net.init(jax.random.key(0), jnp.ones((5, 3)))
    >>> {path: value.shape for path, value in activations(net, params, jnp.ones((5, 3))).items()}
    {'dense_0/z': (5, 4), 'dense_0': (5, 4), 'dense_1': (5, 2)}
    """
    check_net("activations", net)
    return by_path(_values(net, train, params, state, x, key))


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
    return Gradients(tree.flatten(of_params), by_path(of_values))


def whole(net: Layer, key: Key | None = None, *, train: bool = False) -> Callable[[Params, State, Any], Any]:
    """Return the function ``(params, state, x) -> (y, state)`` of a network, its output tagged as that of a child."""

    def named(params: Params, state: State, x: Any) -> tuple[Any, State]:
        with jax.named_scope(net.name):
            y, new_state = net.apply(params, state, x, key=key, train=train)
            return jax.tree.map(lambda leaf: checkpoint_name(leaf, net.name), y), new_state

    return named


def keep(tag: Tag, value: Array) -> tuple[Array, Array]:
    """Visit a tag: keep its value, and go on with it."""
    return value, value


def look_within(
    net: Layer, params: Params, state: State, x: Any, key: Key | None = None, *, train: bool = False
) -> Found:
    """Return what `activations` does, with loops apart."""
    return shortened(net, look(whole(net, key, train=train), params, state, x, visit=keep)[1])


def distinct(found: Found) -> Found:
    """Return the outputs of layers, each value once: under the path of the layer within, not of what is around it."""
    kept: Found = []
    for place, value in found:
        if isinstance(place, Loop):
            kept.append((place, distinct(value)))
        elif (place.of_layer or place.alone) and not any(value is other for _, other in kept):
            kept.append((place, value))
    return kept


def shortened(net: Layer, found: Found) -> Found:
    """Return what was found in `whole` under the paths as they are within the net.

    Values within a layer that is no composition keep its name. The output is left out where a child's output is it.
    """
    inner = [(place, kept) for place, kept in found if place.path != net.name]
    outputs = [kept for place, kept in found if place.path == net.name]
    if any(kept is output for _, kept in inner for output in outputs):
        found = inner
    of_children = any(tag.of_layer or tag.path.count("/") > 1 for tag, _ in flat(inner))
    return _renamed(found, f"{net.name}/") if of_children else found


@partial(jax.jit, static_argnums=(0, 1))
def _values(net: Layer, train: bool, params: Params, state: State, x: Any, key: Key | None) -> Found:
    return look_within(net, params, state, x, key, train=train)


def _renamed(found: Found, prefix: str) -> Found:
    def rename(place: Any, kept: Any) -> tuple[Tag | Loop, Any]:
        kept = _renamed(kept, prefix) if isinstance(place, Loop) else kept
        return place._replace(path=place.path.removeprefix(prefix)), kept

    return [rename(*entry) for entry in found]


@partial(jax.jit, static_argnums=0)
def _gradients(task: Task, ts: TrainState, batch: PyTree) -> tuple[Params, Found]:
    key = step_key(ts)

    def both() -> tuple[Found, Found]:
        _, found = look(whole(task.net, key, train=True), ts.params, ts.state, batch[0], visit=keep)
        return found, shortened(task.net, found)

    found, short = map(by_path, jax.eval_shape(both))
    # The output, which `shortened` may leave out, is the last.
    names = {
        path: name for path, name in zip(found, short, strict=False) if jnp.issubdtype(found[path].dtype, jnp.inexact)
    }

    def loss(params: Params, added: dict[str, Array]) -> Array:
        def apply(params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False) -> Any:
            return look(whole(task.net, key, train=train), params, state, x, visit=keep, added=added)[0]

        seen = task._replace(net=Layer(task.net.name, task.net.init, apply))
        return objective(seen, params, ts.state, batch, key).loss

    zeros = {path: jnp.zeros(found[path].shape, found[path].dtype) for path in names}
    of_params, of_values = tree.map(jnp.conj, jax.grad(loss, argnums=(0, 1))(ts.params, zeros))
    return of_params, [(Tag(name), of_values[path]) for path, name in names.items()]
