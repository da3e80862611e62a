"""What laws are asked of: a thing, an example of its input, and what is declared of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet import tree
from fnnet.compose import as_layer
from fnnet.core import Key, Layer, Metric, Optimizer, Params, Shaped, State, Task
from fnnet.sampling import Sampler


class Symmetry(NamedTuple):
    """What a change of the input does to the output: ``apply(on_input(rng, x)) = on_output(rng, apply(x))``.

    Both are given generators of one seed, so that they make the same change. ``on_output`` None: the output stays.
    """

    name: str
    on_input: Callable[[np.random.Generator, Any], Any]
    on_output: Callable[[np.random.Generator, Any], Any] | None = None


def permuted(axis: int, *, output: int | None = None) -> Symmetry:
    """Return the symmetry of a permutation along an axis: of the output along `output`, or it stays.

    >>> permuted(-2, output=-2).name
    'permutation of axis -2'
    """

    def permute(axis: int, rng: np.random.Generator, x: Any) -> Any:
        return jnp.take(x, rng.permutation(x.shape[axis]), axis=axis)

    after = None if output is None else partial(permute, output)
    return Symmetry(f"permutation of axis {axis}", partial(permute, axis), after)


def rolled(axis: int, *, output: int | None = None, stride: int = 1) -> Symmetry:
    """Return the symmetry of a shift along an axis, around its end: of the output a `stride`-th as far, or it stays."""

    def roll(axis: int, unit: int, rng: np.random.Generator, x: Any) -> Any:
        return jnp.roll(x, unit * int(rng.integers(1, 4)), axis=axis)

    after = None if output is None else partial(roll, output, 1)
    return Symmetry(f"shift along axis {axis}", partial(roll, axis, stride), after)


def scaled(*, output: bool = False) -> Symmetry:
    """Return the symmetry of a positive factor: of the output too, or it stays."""

    def scale(rng: np.random.Generator, x: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf * jnp.asarray(rng.uniform(0.5, 2.0), leaf.dtype), x)

    return Symmetry("positive factor", scale, scale if output else None)


class LayerSubject(NamedTuple):
    """A layer, and what is declared of it.

    `x`: an example of its input, whose first axis is the batch. `couples`: in training, examples of a batch see one
    another (statistics over it); else it is a law that they do not. `symmetries`: at inference. `lipschitz`: the most
    that the distance of two outputs is of that of the inputs (all numbers as one vector), at inference, with the
    parameters that init makes. `unbiased`: the mean of the output in training, over keys, is that of inference.
    `reference`: ``(params, state, x, train) -> (y, state)`` in NumPy of float64, of training only what takes no key.
    """

    layer: Layer
    x: PyTree
    couples: bool = False
    symmetries: tuple[Symmetry, ...] = ()
    lipschitz: float | None = None
    unbiased: bool = False
    reference: Callable[[Params, State, Any, bool], tuple[Any, State]] | None = None


class LossSubject(NamedTuple):
    """A loss, ``(prediction, target) -> one value an example or an element``, and what is declared of it.

    `prediction`, `target`: examples, whose first axis is the batch. `least`: what it is never below; None for no bound.
    `truth`: ``target -> the prediction`` of the least loss. `convex`: in the prediction. `weighted`: ``(make, n)``,
    where ``make(weights of shape (n,))`` is the loss with these weights. `as_prediction`: makes of any numbers, of the
    shape of `prediction`, one that the loss takes (boxes, probabilities). `reference`: the same function in NumPy of
    float64.
    """

    loss: Callable[[Any, Any], Any]
    prediction: PyTree
    target: PyTree
    least: float | None = 0.0
    truth: Callable[[Any], Any] | None = None
    convex: bool = False
    weighted: tuple[Callable[[Any], Callable[[Any, Any], Any]], int] | None = None
    as_prediction: Callable[[Any], Any] | None = None
    reference: Callable[[Any, Any], Any] | None = None


class OptimizerSubject(NamedTuple):
    """An optimizer, and what is declared of it.

    `params`: an example of parameters, floats. `decays`: parameters fall without a gradient. `by_leaf`: each array
    moves by its own gradients alone, whatever its path. `scale`: of a gradient c g, ``"invariant"`` (with ε = 0) or
    ``"linear"``. `first_step`: ``(grads, params) -> step`` of an array, from a fresh state. `descends`: 100 steps make
    a quadratic of curvature about 1 lower. `has_numbers`: its numbers are leaves of its state (``fn.hyperparams``).
    `reference`: ``(params, gradients stacked) -> parameters stacked``, in NumPy of float64.
    """

    optimizer: Optimizer
    params: PyTree
    decays: bool = False
    by_leaf: bool = True
    scale: Literal["invariant", "linear"] | None = None
    first_step: Callable[[Any, Any], Any] | None = None
    descends: bool = True
    has_numbers: bool = False
    reference: Callable[[Any, Any], Any] | None = None


class ScheduleSubject(NamedTuple):
    """A schedule, ``step -> number``, and what is declared of it.

    `steps`: over which it changes; afterwards it stays, if `stays`. `least`, `most`: its bounds. `start`, `end`: at
    steps 0 and `steps`. `turns`: ``"falls"`` or ``"rises"`` if it does so throughout. `reference`: the formula of a
    whole number.
    """

    schedule: Callable[[Any], Any]
    steps: int
    stays: bool = False
    least: float = 0.0
    most: float | None = None
    start: float | None = None
    end: float | None = None
    turns: Literal["falls", "rises"] | None = None
    reference: Callable[[int], float] | None = None


class MetricSubject(NamedTuple):
    """A metric, and what is declared of it.

    `prediction`, `target`: examples, whose first axis is that of the rows. `weights`: rows may have weights. `ordered`:
    it depends on the order of the rows. `least`, `most`: bounds of its value. `perfect`: ``(target -> prediction,
    value)``. `reference`: ``(prediction, target, weight) -> value`` in NumPy of float64, weight None for none.
    `rtol`: what its values may differ by, of the largest of them.
    """

    metric: Metric
    prediction: PyTree
    target: PyTree
    weights: bool = True
    ordered: bool = False
    least: float | None = None
    most: float | None = None
    perfect: tuple[Callable[[Any], Any], float] | None = None
    reference: Callable[[Any, Any, Any], Any] | None = None
    rtol: float = 1e-5


class TransformSubject(NamedTuple):
    """A random change of a batch, ``(key, batch) -> batch``, and what is declared of it.

    `batch`: an example, whose arrays have the rows as their first axis. `mixes`: rows are mixed, else each is changed
    by itself. `keeps`: shapes and dtypes stay. `least`, `most`: bounds that the first array keeps, if its values are
    within. `random`: of some keys the results differ. `reference`: ``batch -> batch``, of one that draws nothing.
    """

    transform: Callable[[Any, Any], Any]
    batch: PyTree
    mixes: bool = False
    keeps: bool = True
    random: bool = True
    least: float | None = None
    most: float | None = None
    reference: Callable[[Any], Any] | None = None


class SamplerSubject(NamedTuple):
    """A sampler of rows (``fn.sampling.Sampler``), and what is declared of it.

    `whole`: the rows of a pass (those with a weight, if there are weights) are each row once; without weights, of
    batches that do not divide the size, at most once. `shuffles`: passes have orders of their own.
    """

    sampler: Sampler
    whole: bool = True
    shuffles: bool = True


class RunSubject(NamedTuple):
    """A task and its data, of which whole runs are made.

    `options`: of these runs, such as `sampler` and `transform`: those that both ``fn.run`` and ``fn.fit`` take.
    """

    task: Task
    data: PyTree
    batch_size: int = 4
    options: Mapping[str, Any] = MappingProxyType({})


def layer_of(thing: Any) -> Layer:
    """Return as a layer what a check is given: a layer, a function, or a pair of functions (init, apply) of anyone.

    ``init(key, x) -> params`` and ``apply(params, x)`` are taken, for a pair that has no state, as well as the
    functions of a ``Layer``. Raises: TypeError for anything else.

    >>> layer_of((lambda key, x: {"w": jnp.ones(x.shape[-1])}, lambda params, x: x * params["w"])).name
    'pair'
    """
    if isinstance(thing, tuple) and not isinstance(thing, Layer) and len(thing) == 2 and all(map(callable, thing)):
        return _of_functions("pair", *thing)
    if (
        not isinstance(thing, Layer)
        and callable(getattr(thing, "init", None))
        and callable(getattr(thing, "apply", None))
    ):
        return _of_functions(getattr(thing, "name", None) or type(thing).__name__.lower(), thing.init, thing.apply)
    return as_layer(thing)


def _of_functions(name: str, init: Callable[..., Any], apply: Callable[..., Any]) -> Layer:
    taken = inspect.signature(apply).parameters
    options = {option for option in ("key", "train") if option in taken}
    by_position = [p for p in taken.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len([p for p in by_position if p.default is p.empty and p.name not in options]) >= 3:
        return Layer(name, init, apply)

    def init_pair(key: Key, x: Shaped) -> tuple[Params, State]:
        return init(key, x), {}

    def apply_pair(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        given = {"key": key, "train": train}
        return apply(params, x, **{option: given[option] for option in options}), state

    return Layer(name, init_pair, apply_pair)


def optimizer_of(thing: Any) -> Optimizer:
    """Return as an optimizer what a check is given: a pair of functions init and update, by name or by place.

    Raises: TypeError for anything else.
    """
    if isinstance(thing, Optimizer):
        return thing
    if callable(getattr(thing, "init", None)) and callable(getattr(thing, "update", None)):
        return Optimizer(thing.init, thing.update)
    if isinstance(thing, tuple) and len(thing) == 2 and all(map(callable, thing)):
        return Optimizer(*thing)
    raise TypeError(f"an optimizer must be a pair of functions (init, update), got {type(thing).__name__}: {thing!r}")


def layer_subject(thing: Any, x: PyTree, **facts: Any) -> LayerSubject:
    """Return the subject of a layer, a function, or a pair (init, apply) of anyone; `facts`: its other fields."""
    return LayerSubject(layer_of(thing), jax.tree.map(jnp.asarray, x), **facts)


def optimizer_subject(thing: Any, params: PyTree = None, **facts: Any) -> OptimizerSubject:
    """Return the subject of a pair (init, update) of anyone; without `params`, of a kernel and a bias."""
    example = _made_params() if params is None else params
    return OptimizerSubject(optimizer_of(thing), jax.tree.map(jnp.asarray, example), **facts)


def _made_params() -> PyTree:
    return {"bias": jnp.zeros(3), "kernel": jnp.zeros((2, 3))}


def has_made_params(subject: OptimizerSubject) -> bool:
    """Whether the parameters are those of ``optimizer_subject`` where none are given."""
    made, given = tree.flatten(_made_params()), tree.flatten(subject.params)
    return made.keys() == given.keys() and all(np.array_equal(made[path], given[path]) for path in made)


def named(subject: Any) -> str:
    """Return what a subject is called in an error: by the name of its thing, if it has one."""
    thing = subject[0]
    thing = getattr(thing, "func", thing)
    name = getattr(thing, "name", None) or getattr(thing, "__name__", None) or type(thing).__name__.lower()
    return str(name)
