"""The decisions of a network over the plane of its inputs, and the loss over a plane of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from fnnet import tree
from fnnet.compose import inference
from fnnet.core import Key, Layer, Params, State, Task, TrainState
from fnnet.dtypes import at_least_float32
from fnnet.errors import DataError, ShapeError, inside
from fnnet.inspection.checks import check_alike, check_finite, check_net, check_some
from fnnet.shapes import check_count, check_key
from fnnet.training.checks import check_state, check_task, unpack
from fnnet.training.objectives import objective
from fnnet.training.records import RECORD
from fnnet.training.runs import Course, batch_at, check_course
from fnnet.training.steps import advance, step_key

_LEAST_SINE = 1e-3  # of the angle between two directions of a plane, well above what float32 can make of a line


class Grid(NamedTuple):
    """A network's outputs over a plane of inputs: ``outputs[i, j]`` is that at ``(x1[j], x2[i])``."""

    x1: Float[Array, columns]
    x2: Float[Array, rows]
    outputs: Array


class Plane(NamedTuple):
    """A plane of parameters: the points origin + a · u + b · v, of which (a, b) are the coordinates."""

    origin: Params
    u: Params
    v: Params


class Surface(NamedTuple):
    """The objective over a plane: ``loss[i, j]`` is that at the coordinates ``(u[j], v[i])``."""

    u: Float[Array, columns]
    v: Float[Array, rows]
    loss: Float[Array, "rows columns"]


def decision_grid(
    net: Layer,
    params: Params,
    x: ArrayLike,
    state: State = {},  # noqa: B006 - never mutated
    *,
    n: int = 100,
    margin: float = 0.1,
) -> Grid:
    """Return the outputs of a network of two inputs on n × n points of the rectangle around `x`.

    `x` (examples, 2): any points, such as the data, or two opposite corners. The rectangle is wider than theirs by the
    share `margin` of its size on each side.

    Raises: ShapeError unless `x` is of points of two coordinates, or for a net of another input or of several outputs;
    DataError if they are all in one line along an axis, or not finite; ValueError if ``n < 2``.

    >>> net = fn.dense(3)
    >>> corners = jnp.array([[-1.0, -2.0], [1.0, 2.0]])
    >>> grid = decision_grid(net, net.init(jax.random.key(0), corners)[0], corners, n=5, margin=0.0)
    >>> grid.x2.tolist(), grid.outputs.shape
    ([-2.0, -1.0, 0.0, 1.0, 2.0], (5, 5, 3))
    """
    check_net("decision_grid", net)
    check_count("decision_grid", "n", n, least=2)
    x = jnp.asarray(x)
    if x.ndim != 2 or x.shape[1] != 2:
        fix = "pass points of the plane; of a net of more inputs, a function of two that calls it."
        raise ShapeError("decision_grid", f"x must have shape (examples, 2), got {x.shape}", fix)
    check_some("decision_grid", x)
    check_finite("decision_grid", x)
    low, high = x.min(0), x.max(0)
    if not isinstance(x, jax.core.Tracer) and not bool((high > low).all()):
        problem = f"the points must differ in both coordinates, got {low} to {high}"
        raise DataError("decision_grid", problem, "pass two opposite corners of the rectangle to look at.")
    wider = margin * (high - low)
    (x1, x2) = (jnp.linspace(a, b, n) for a, b in zip(low - wider, high + wider, strict=True))
    points = jnp.stack(jnp.meshgrid(x1, x2), -1).reshape(n * n, 2)
    with inside("decision_grid: a net of two inputs"):
        outputs = jax.jit(net.__call__)(params, points, state)
    if not isinstance(outputs, jax.Array):
        problem = f"the net must return one array, got {type(outputs).__name__}"
        raise ShapeError("decision_grid", problem, "wrap it in a function layer that picks one.")
    return Grid(x1, x2, outputs.reshape(n, n, *outputs.shape[1:]))


def plane(a: Params, b: Params, c: Params) -> Plane:
    """Return the plane through three points, `a` at the origin: distances in its coordinates are those of parameters.

    Its directions are of length 1 and at a right angle, the first towards `b`.

    Raises: DataError if the three are on one line or not finite; PathError unless they have the same entries. Lengths
    are looked at, so it is for use outside ``jit``, as ``loss_surface`` is.

    >>> plane({"w": jnp.zeros(3)}, {"w": jnp.array([2.0, 0.0, 0.0])}, {"w": jnp.array([1.0, 3.0, 0.0])}).v
    {'w': Array([0., 1., 0.], dtype=float32)}
    """
    for name, point in (("b", b), ("c", c)):
        check_alike("plane", name, point, a)
    to_b, to_c = (tree.map(lambda end, start: end - start, point, a) for point in (b, c))
    return Plane(a, *_right_angle("plane", to_b, to_c))


def filter_normalised(key: Key, params: Params) -> Params:
    """Return a random direction of which each filter has the norm of that filter of `params` (Li et al. 2018, §4).

    A filter is what one output feature has in a kernel: the entries of one index of its last axis. In biases and the
    parameters of normalization, those of fewer than two axes or named ``bias`` or ``scale``, the direction is 0.

    >>> params = {"kernel": jnp.array([[3.0, 1.0], [4.0, 0.0]]), "bias": jnp.ones(2)}
    >>> direction = filter_normalised(jax.random.key(0), params)
    >>> jnp.linalg.norm(direction["kernel"], axis=0).round(4).tolist(), direction["bias"].tolist()
    ([5.0, 1.0], [0.0, 0.0])
    """
    return _direction(check_key("filter_normalised", key, when=""), params)


def project(plane: Plane, params: Params) -> Float[Array, "... 2"]:
    """Return the coordinates of the point of the plane that is nearest to `params`.

    Leaves may have leading axes, such as that of steps: then so has the result.

    Raises: PathError unless `params` has the entries of the plane's.

    >>> flat = plane({"w": jnp.zeros(2)}, {"w": jnp.array([1.0, 0.0])}, {"w": jnp.array([0.0, 1.0])})
    >>> project(flat, {"w": jnp.array([[2.0, 3.0], [4.0, 5.0]])}).tolist()
    [[2.0, 3.0], [4.0, 5.0]]
    """
    check_alike("project", "params", params, plane.origin)
    directions = (plane.u, plane.v)
    gram = jnp.stack([jnp.stack([_inner(a, b) for b in directions]) for a in directions])

    def along(direction: Params) -> Array:
        def part(d: Array, start: Array, leaf: Array) -> Array:
            moved = jnp.asarray(leaf) - jnp.broadcast_to(start, jnp.shape(leaf))
            return jnp.tensordot(moved, d, d.ndim).astype(gram.dtype)

        return reduce(jnp.add, jax.tree.leaves(tree.map(part, direction, plane.origin, params)))

    return jnp.dot(jnp.stack([along(d) for d in directions], -1), jnp.linalg.inv(gram))


def loss_surface(task: Task, ts: TrainState, data: PyTree, plane: Plane, u: ArrayLike, v: ArrayLike) -> Surface:
    """Return the objective of all of `data` over a plane of parameters, at the coordinates `u` × `v`.

    The mean of the losses plus the penalty, the net run as at inference, with the state of `ts`. A plane is that of
    ``plane``, or any two directions from a point: ``Plane(ts.params, filter_normalised(key, ts.params), ...)``.

    Raises: DataError if a direction is 0 or both are on one line, or for data that is no ``(x, y)``; PathError unless
    the plane has the entries of the parameters; ShapeError unless `u` and `v` have one axis each.

    >>> task = fn.Task(fn.dense(1, bias_init=None), fn.losses.squared_error, fn.sgd(0.1))
    >>> x, y = jnp.eye(2), jnp.array([[1.0], [2.0]])
    >>> ts = fn.init(task, jax.random.key(0), x)
    >>> axes = [{"kernel": jnp.array(column)[:, None]} for column in ([1.0, 0.0], [0.0, 1.0])]
    >>> whole = Plane({"kernel": jnp.zeros((2, 1))}, *axes)
    >>> loss_surface(task, ts, (x, y), whole, np.array([0.0, 1.0]), np.array([0.0, 2.0])).loss.tolist()
    [[2.5, 2.0], [0.5, 0.0]]
    """
    check_task(task)
    check_state("loss_surface", ts)
    unpack(data)
    for name, point in (("the plane's origin", plane.origin), ("its u", plane.u), ("its v", plane.v)):
        check_alike("loss_surface", name, point, ts.params)
    _right_angle("loss_surface", plane.u, plane.v)
    u, v = (jnp.asarray(axis, jnp.float32) for axis in (u, v))
    if u.ndim != 1 or v.ndim != 1:
        raise ShapeError("loss_surface", f"u and v must have one axis each, got shapes {u.shape} and {v.shape}")
    return Surface(u, v, _losses(task, ts, tree.map(jnp.asarray, data), plane, u, v))


def optimizer_paths(
    task: Task, ts: TrainState, data: PyTree, *, batch_sizes: Sequence[int], steps: int
) -> dict[int, Params]:
    """Return the parameters at `ts` and after each of `steps` updates, on batches of each size, by size.

    With all examples a batch it is batch gradient descent, with one it is stochastic. Every leaf has a leading axis of
    ``steps + 1``: keep the network small. Each path is that of ``fn.run`` from `ts`. See ``project`` for its picture.

    Raises: as ``fn.run`` does.

    >>> task = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.1))
    >>> x, y = jnp.array([[1.0], [2.0]]), jnp.array([[2.0], [4.0]])
    >>> paths = optimizer_paths(task, fn.init(task, jax.random.key(0), x), (x, y), batch_sizes=(1, 2), steps=5)
    >>> paths[2]["kernel"].shape
    (6, 1, 1)
    """
    check_state("optimizer_paths", ts)
    check_count("optimizer_paths", "steps", steps, least=0)
    data = tree.map(jnp.asarray, data)
    courses = [check_course(task, data, size, None, None, 1, RECORD, "go_on") for size in batch_sizes]
    return {course.batch_size: _path(task, course, steps, ts, data) for course in courses}


def at_inference(task: Task, ts: TrainState, data: PyTree) -> Callable[[Params], Array]:
    """Return the objective of all of `data` as a function of the parameters, the net run as at inference."""
    still = task._replace(net=inference(task.net))
    return lambda params: objective(still, params, ts.state, data, step_key(ts)).loss


@jax.jit
def _direction(key: Key, params: Params) -> Params:
    keys = jax.random.split(key, len(jax.tree.leaves(params)))

    def direction(path: str, leaf: Array, key: Key) -> Array:
        if leaf.ndim < 2 or path.rpartition("/")[2] in ("bias", "scale"):
            return jnp.zeros_like(leaf)
        random = jax.random.normal(key, leaf.shape, leaf.dtype)
        axes = tuple(range(leaf.ndim - 1))
        return random * (tree.leaf_norm(leaf, axes) / tree.leaf_norm(random, axes)).astype(leaf.dtype)

    return tree.map_with_path(direction, params, jax.tree.unflatten(jax.tree.structure(params), list(keys)))


@partial(jax.jit, static_argnums=0)
def _losses(task: Task, ts: TrainState, data: PyTree, plane: Plane, u: Array, v: Array) -> Array:
    value = at_inference(task, ts, data)

    def at(place: tuple[Array, Array]) -> Array:
        a, b = place
        return value(tree.map(lambda o, x, y: o + a.astype(o.dtype) * x + b.astype(o.dtype) * y, *plane))

    columns, rows = jnp.meshgrid(u, v)
    return jax.lax.map(at, (columns.ravel(), rows.ravel())).reshape(rows.shape)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _path(task: Task, course: Course, steps: int, ts: TrainState, data: PyTree) -> Params:
    def body(ts: TrainState, _: None) -> tuple[TrainState, Params]:
        after, _made = advance(task, ts, batch_at(ts, data, course))
        return after, after.params

    _, later = jax.lax.scan(body, ts, length=steps)
    return tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), ts.params, later)


def _inner(a: Params, b: Params) -> Array:
    def part(x: Array, y: Array) -> Array:
        wide = at_least_float32(x.dtype)
        return jnp.vdot(x.astype(wide), y.astype(wide))

    return reduce(jnp.add, jax.tree.leaves(tree.map(part, a, b)))


def _right_angle(where: str, u: Params, v: Params) -> tuple[Params, Params]:
    """Return directions of length 1 at a right angle that span the plane of `u` and `v`, the first along `u`.

    Raises: DataError unless they span one.
    """
    lengths, sine, units = _orthonormal(u, v)
    check_finite(where, {"the directions": lengths})
    if not float(lengths.min()) > 0:
        problem = f"the directions must not be 0, got lengths {lengths[0]:.3g} and {lengths[1]:.3g}"
        raise DataError(where, problem, "choose points, or directions, that differ.")
    if not float(sine) > _LEAST_SINE:
        problem = f"the directions must span a plane, got two on one line (the sine of their angle is {sine:.2g})"
        raise DataError(where, problem, "choose another third point, or another second direction.")
    return units


@jax.jit
def _orthonormal(u: Params, v: Params) -> tuple[Array, Array, tuple[Params, Params]]:
    lengths = jnp.stack([tree.norm(d) for d in (u, v)])
    first, second = (tree.scale(1 / length, d) for d, length in zip((u, v), lengths, strict=True))
    # The sine is the length of what is across, since 1 − cos² of nearly parallel directions is rounding.
    cosine = _inner(first, second)
    across = tree.map(lambda y, x: y - cosine.astype(y.dtype) * x, second, first)
    sine = tree.norm(across)
    return lengths, sine, (first, tree.scale(1 / sine, across))
