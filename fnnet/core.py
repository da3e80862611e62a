"""The vocabulary: layer, optimizer, metric, task and training state, as tuples of pure functions and arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
from jaxtyping import Array, PyTree

from fnnet import tree

Params: TypeAlias = PyTree
"""Nested dicts of arrays, e.g. ``{"dense_0": {"kernel": ..., "bias": ...}}``."""

State: TypeAlias = PyTree
"""What a network carries beside its parameters (running statistics), nested as the parameters are."""

Shaped: TypeAlias = Any
"""An array, a ``jax.ShapeDtypeStruct``, or a pytree of them: only shapes and dtypes are read."""

Key: TypeAlias = Array
"""A typed JAX random key, as made by ``jax.random.key(seed)``."""


class Layer(NamedTuple):
    """A pure function of parameters, with the function that makes them.

    ``init(key, x) -> (params, state)``: `x` is an example batch or ``jax.ShapeDtypeStruct``; its values are not used.
    ``apply(params, state, x, *, key=None, train=False) -> (y, state)``: `train` is static.
    Calling a layer is inference: ``layer(params, x, state)`` is ``apply(params, state, x)[0]``.
    To compile it alone, ``jax.jit(layer.__call__)``: ``jit`` takes functions, and a tuple is none.
    """

    name: str
    init: Callable[[Key, Shaped], tuple[Params, State]]
    apply: Callable[..., tuple[Any, State]]

    def __call__(self, params: Params, x: Any, state: State = {}) -> Any:  # noqa: B006 - never mutated
        """Return the layer's output at inference."""
        return self.apply(params, state, x)[0]


class Optimizer(NamedTuple):
    """A gradient transformation: ``updates, opt_state = update(grads, opt_state, params)``, then ``params + updates``.

    ``init(params) -> opt_state``.
    ``update(grads, opt_state, params=None, **extra) -> (updates, opt_state)``. `extra` may hold ``value`` (the loss),
    ``grad`` and ``value_fn`` (params -> loss) for the rules that need them.
    """

    init: Callable[[Params], Any]
    update: Callable[..., tuple[Params, Any]]


class Metric(NamedTuple):
    """A mergeable accumulator: exact over ragged batches, over any split of the data, and over devices.

    ``init() -> acc``; ``update(acc, prediction, target, weight=None) -> acc``; ``compute(acc) -> value``;
    ``merge(acc, acc) -> acc``, by default the sum, of which ``init()`` is the identity.
    """

    name: str
    init: Callable[[], PyTree]
    update: Callable[..., PyTree]
    compute: Callable[[PyTree], Any]
    merge: Callable[[PyTree, PyTree], PyTree] = tree.add


class Terms(NamedTuple):
    """What a loss may return in place of one array: terms by name, and auxiliary values.

    `values`: one value per example of each term; the objective is the sum of their means, and each mean is reported as
    ``loss/name``. `aux`: any arrays by name, reported and not learnt from.
    """

    values: dict[str, Array]
    aux: Mapping[str, Array] = {}


class Task(NamedTuple):
    """What is learnt, and how: everything static about an experiment. Hashable, so it is a static argument of ``jit``.

    ``loss(prediction, target) -> one value per example``, or a dict of such terms, or ``Terms``; the training step
    takes the mean. ``penalty(params) -> a number``, or a dict of them by name, is added to the objective of training,
    and not to what `evaluate` measures. Functions are equal only to themselves: make a task once, since one made again,
    though alike, is compiled again.
    """

    net: Layer
    loss: Callable[[Any, Any], Any]
    optimizer: Optimizer
    metrics: tuple[Metric, ...] = ()
    penalty: Callable[[Params], Any] | None = None


class TrainState(NamedTuple):
    """Everything that changes in training: one pytree of fixed structure.

    `step` counts updates (int32 scalar). `key` is the root key: never split away, only folded, so that the randomness
    and the data of step t are functions of ``(key, t)`` and a saved state resumes to the bit.
    """

    step: Array
    params: Params
    state: State
    opt_state: PyTree
    key: Key


class Masked(NamedTuple):
    """A padded batch of sequences: `values` of shape (..., time, features) and `mask` (..., time), True where real.

    Sequence layers take an array or a ``Masked`` and return what they took.
    """

    values: Array
    mask: Array


def extras_taken(update: Callable[..., Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the extra arguments that an optimizer's `update` takes: by name, or all if it has ``**extra``.

    Its own three (gradients, state, parameters) are passed by position, whatever it calls them: none is an extra.

    >>> extras_taken(lambda grad, state, params=None, *, value: ..., {"value": 1.0, "grad": 2.0})
    {'value': 1.0}
    """
    parameters = list(inspect.signature(update).parameters.values())
    own = {p.name for p in parameters[:3] if p.kind is p.POSITIONAL_OR_KEYWORD}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {name: value for name, value in extra.items() if name not in own and (takes_any or name in named)}


def is_layer_factory(thing: Any) -> bool:
    """Return whether `thing` is a function that is annotated as returning a layer: one that was not called.

    >>> is_layer_factory(fn.dense), is_layer_factory(jax.nn.relu)
    (True, False)
    """
    return inspect.isfunction(thing) and inspect.signature(thing).return_annotation in (Layer, "Layer")


def stateless(name: str, function: Callable[[Any], Any]) -> Layer:
    """Return the layer without parameters or state that applies `function`.

    >>> stateless("double", lambda x: 2 * x)({}, jnp.ones(2))
    Array([2., 2.], dtype=float32)
    """

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        return {}, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        return function(x), state

    return Layer(name, init, apply)


def output_shape(layer: Layer, params: Params, state: State, x: Shaped) -> Shaped:
    """Return the shapes and dtypes of the layer's output at inference, without computing it."""
    return jax.eval_shape(lambda p, s, v: layer.apply(p, s, v)[0], params, state, x)
