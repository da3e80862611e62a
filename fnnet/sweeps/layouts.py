"""How the members of a group are laid over the machine: the same results, at different speeds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from fnnet import tree

LayoutName: TypeAlias = Literal["vmap", "map", "threads", "devices"]
LAYOUTS = ("vmap", "map", "threads", "devices")
PAYS = 5  # a trial then costs at most about a fifth of what is left
_LONG = 0.25  # seconds; a trial that took so long says enough

Move: TypeAlias = Callable[[PyTree, PyTree, Any, Any], tuple[PyTree, PyTree]]
"""``move(member, shared, start, stop) -> (member, rows)``: the steps from `start` to `stop`, and their rows."""


class Moves(NamedTuple):
    """The run of one member, and that of all with a leading axis, `seeds` of them a point.

    It is made in parts of whole blocks, and of at most `capacity` steps.
    """

    one: Move
    all: Move
    seeds: int
    block: int
    capacity: int


class Timing(NamedTuple):
    """What a layout took in a trial: seconds to compile, and seconds a member and step."""

    layout: str
    compile_seconds: float
    step_seconds: float


class Laid(NamedTuple):
    """Members laid out: the lowered program, and how they are placed, moved by it compiled, and collected.

    ``move(program, placed, shared, start, stop, few)`` returns them and their rows, and need move `few` of them alone.
    """

    lowered: Any
    place: Callable[[PyTree], Any]
    move: Callable[[Any, Any, PyTree, int, int, int], tuple[Any, Any]]
    collect: Callable[[Any], PyTree]


class Run(NamedTuple):
    """What a run gave: the members, the rows of their histories, the layout, and the trials, quickest first."""

    members: PyTree
    rows: PyTree
    layout: str
    timings: tuple[Timing, ...]


class Way(NamedTuple):
    """A run on its way: the layout, its compiled program, the members as it placed them, and the rows of its parts."""

    layout: str
    laid: Laid
    program: Any
    placed: Any
    made: int
    rows: tuple[PyTree, ...]


def run(
    moves: Moves,
    make: Any,
    arguments: tuple[Any, ...],
    shared: PyTree,
    steps: int,
    layout: str | None,
    told: Callable[[int, PyTree], None] | None = None,
) -> Run:
    """Make the `steps` of all members; `make` is the lowered program that makes the members of `arguments`.

    Without a `layout` the first of `candidates` is tried, and its trial is the beginning of the run. Each other is
    compiled and tried on a few members only while what is left would take `PAYS` times as long as all compiling so far,
    and map only if threads won. The quickest goes on. `told` is given the steps made and the rows of the last of them,
    part after part.
    """
    like, _ = make.out_info
    chosen, *others = [layout] if layout else candidates() if size(like) > 1 else ["map"]
    laid = lay(chosen, moves, like, shared)
    # What is called once need not be quick: at a lower level the compiler takes less than half the time for it.
    cheap = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else {}
    making, (program, seconds) = make.compile(cheap), _compiled(laid.lowered)
    way = Way(chosen, laid, program, laid.place(making(*arguments)[0]), 0, ())
    timings: list[Timing] = []
    if layout is None and size(like) > 1:  # a single member needs no trial
        way, timings = _tried(way, others, moves, like, shared, steps, seconds)
    while way.made < steps:
        if told is not None and way.rows:
            told(way.made, way.rows[-1])
        way, _ = _onward(way, shared, min(way.made + moves.capacity, steps), size(like))
    rows = _on_host(lambda *parts: np.concatenate(parts, 1), *way.rows)
    return Run(way.laid.collect(way.placed), rows, way.layout, tuple(timings))


def _tried(
    way: Way, others: list[str], moves: Moves, like: PyTree, shared: PyTree, steps: int, seconds: float
) -> tuple[Way, list[Timing]]:
    """Return the quickest way, and the timings, quickest first; the first way took `seconds` to compile."""
    number = size(like)
    trial = max(1, min(64, steps // 16) // moves.block) * moves.block
    way, each = _onward(way, shared, trial, number)
    if each * number * trial < _LONG and way.made < steps:
        way, again = _onward(way, shared, min(2 * trial, steps), number)
        each = min(each, again)
    timings = [Timing(way.layout, seconds, each)]
    for other in others:
        best, until = timings[0], min(way.made + trial, steps)
        spent = sum(timing.compile_seconds for timing in timings)
        if way.made == steps or best.step_seconds * number * (steps - way.made) < PAYS * spent:
            break
        laid = lay(other, moves, like, shared)
        program, compiling = _compiled(laid.lowered)
        rival = Way(other, laid, program, laid.place(way.laid.collect(way.placed)), way.made, way.rows)
        few = number if other == "devices" else min(number, 2 * processors())
        each = min(_timed(rival, shared, until, few)[1] for _ in range(2))
        timings = sorted([*timings, Timing(other, compiling, each)], key=lambda timing: timing.step_seconds)
        if timings[0].layout == other:
            way = rival
        elif other == "threads":
            break  # map is the same program on fewer processors
    return way, timings


def lay(layout: str, moves: Moves, like: PyTree, shared: PyTree) -> Laid:
    """Return a layout of members of these shapes.

    ``vmap``: one batched program; on CPU the members are parted among the processors, since XLA computes what is many
    and small on one of them. ``map``: one program, member after member. ``threads``: one program of a member, called
    from as many threads as there are processors. ``devices``: the batched program, its members parted among the
    devices.
    """
    number, seeds = size(like), moves.seeds
    if layout == "map":
        return _in_a_row(moves.one, like, shared)
    if layout == "devices":
        return _over_devices(moves.all, seeds, like, shared)
    if layout == "threads":
        return _in_parts(moves.one, [slice(n, n + 1) for n in range(number)], like, shared, alone=True)
    points = number // seeds
    most = -(-points // (processors() if jax.default_backend() == "cpu" else 1))
    # The parts are of one shape, so that one program is theirs: the last may share points with the one before.
    firsts = [min(n, points - most) for n in range(0, points, most)]
    parts = [slice(n * seeds, (n + most) * seeds) for n in firsts]
    return _in_parts(moves.all, parts, like, shared, alone=False)


def candidates() -> list[str]:
    """Return the layouts worth a trial here, in the order of their trials."""
    threads = jax.default_backend() == "cpu" and processors() > 1
    return ["vmap", *(["devices"] if len(jax.devices()) > 1 else []), *(["threads"] if threads else []), "map"]


def processors() -> int:
    """Return the number of processors."""
    return os.cpu_count() or 1


def size(members: PyTree) -> int:
    """Return the number of members."""
    return int(jax.tree.leaves(members)[0].shape[0])


@jax.jit
def pick(members: PyTree, n: Any) -> PyTree:
    """Return one member."""
    return tree.map(lambda leaf: lax.dynamic_index_in_dim(leaf, n, keepdims=False), members)


def rows(members: PyTree, which: Any) -> PyTree:
    """Return the members of a slice or an array of numbers, in arrays of NumPy: no program is compiled for it."""
    return _on_host(lambda leaf: leaf[which], members)


def _compiled(lowered: Any) -> tuple[Any, float]:
    """Return the program, and the seconds that its compilation took."""
    start = time.perf_counter()
    return lowered.compile(), time.perf_counter() - start


def _onward(way: Way, shared: PyTree, stop: int, number: int) -> tuple[Way, float]:
    """Return the way after the steps up to `stop` of its `number` members, and the seconds a member and step."""
    (placed, rows), each = _timed(way, shared, stop, number)
    new = _on_host(lambda leaf: leaf[:, : stop - way.made], way.laid.collect(rows))
    return way._replace(placed=placed, made=stop, rows=(*way.rows, new)), each


def _timed(way: Way, shared: PyTree, stop: int, few: int) -> tuple[tuple[Any, Any], float]:
    """Return what the steps up to `stop` of a `few` members give, and the seconds a member and step."""
    start = time.perf_counter()
    ends = jax.block_until_ready(way.laid.move(way.program, way.placed, shared, way.made, stop, few))
    return ends, (time.perf_counter() - start) / (few * (stop - way.made))


def _on_host(function: Callable[..., np.ndarray], *members: PyTree) -> PyTree:
    def one(*leaves: Any) -> Any:
        if jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
            data = function(*(np.asarray(jax.random.key_data(leaf)) for leaf in leaves))
            return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(leaves[0]))
        return function(*map(np.asarray, leaves))

    return jax.tree.map(one, *members)


def _in_parts(move: Move, parts: Sequence[slice], like: PyTree, shared: PyTree, *, alone: bool) -> Laid:
    """Return the layout of a program that is called with each part, `alone` if that is a member without an axis."""
    width = parts[0].stop - parts[0].start
    shape = tree.map(lambda leaf: _shape(leaf, leaf.shape[1:] if alone else (width, *leaf.shape[1:])), like)
    new = [part.stop - (parts[n - 1].stop if n else 0) for n, part in enumerate(parts)]

    def place(members: PyTree) -> list[PyTree]:
        if len(parts) == 1 and not alone:
            return [members]
        return [rows(members, part.start if alone else part) for part in parts]

    def moved(program: Any, placed: list[PyTree], shared: PyTree, start: int, stop: int, few: int) -> tuple[Any, Any]:
        def one(part: PyTree) -> tuple[PyTree, PyTree]:
            return jax.block_until_ready(program(part, shared, np.int32(start), np.int32(stop)))

        with ThreadPoolExecutor(processors()) as pool:
            ends = list(pool.map(one, placed[: -(-few // width)]))
        return [part for part, _ in ends], [rows for _, rows in ends]

    def collect(placed: list[PyTree]) -> PyTree:
        if len(parts) == 1 and not alone:
            return placed[0]

        def join(*leaves: np.ndarray) -> np.ndarray:
            whole = [leaf[None] for leaf in leaves] if alone else leaves
            return np.concatenate([leaf[len(leaf) - n :] for leaf, n in zip(whole, new, strict=True)])

        return _on_host(join, *placed)

    return Laid(_lowered(jax.jit(move), shape, shared, _NUMBER), place, moved, collect)


def _in_a_row(move: Move, like: PyTree, shared: PyTree) -> Laid:
    """Return the layout of one program that makes the steps of one member after the other."""
    number = size(like)

    def program(members: PyTree, shared: PyTree, start: Any, stops: Any) -> PyTree:
        return lax.map(lambda member: move(member[0], shared, start, member[1]), (members, stops))

    def moved(program: Any, placed: PyTree, shared: PyTree, start: int, stop: int, few: int) -> tuple[Any, Any]:
        return program(placed, shared, np.int32(start), np.where(np.arange(number) < few, stop, start).astype(np.int32))

    lowered = _lowered(jax.jit(program), like, shared, jax.ShapeDtypeStruct((number,), np.int32))
    return Laid(lowered, _same, moved, _same)


def _over_devices(move: Move, seeds: int, like: PyTree, shared: PyTree) -> Laid:
    """Return the layout of the batched program, run by each device with its part of the points."""
    devices = jax.devices()
    points = size(like) // seeds
    # The last point is repeated until the devices share evenly.
    padded = np.minimum(np.arange(-(-points // len(devices)) * len(devices)), points - 1)
    which = (padded[:, None] * seeds + np.arange(seeds)).ravel()
    mesh = Mesh(np.array(devices), ("members",))
    parted, whole = PartitionSpec("members"), PartitionSpec()
    apart, everywhere = NamedSharding(mesh, parted), NamedSharding(mesh, whole)
    program = jax.jit(
        jax.shard_map(move, mesh=mesh, in_specs=(parted, whole, whole, whole), out_specs=parted, check_vma=False),
        in_shardings=(apart, everywhere, everywhere, everywhere),
        out_shardings=apart,
    )
    shape = tree.map(lambda leaf: _shape(leaf, (len(which), *leaf.shape[1:])), like)

    def moved(program: Any, placed: PyTree, shared: PyTree, start: int, stop: int, few: int) -> tuple[Any, Any]:
        return program(placed, jax.device_put(shared, everywhere), np.int32(start), np.int32(stop))

    return Laid(
        _lowered(program, shape, shared, _NUMBER),
        lambda members: jax.device_put(rows(members, which), apart),
        moved,
        lambda placed: rows(placed, slice(0, size(like))),
    )


def _lowered(program: Any, members: PyTree, shared: PyTree, stop: Any) -> Any:
    return program.lower(members, tree.map(lambda leaf: _shape(leaf, leaf.shape), shared), _NUMBER, stop)


def _shape(leaf: Any, shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, leaf.dtype)


def _same(members: PyTree) -> PyTree:
    return members


_NUMBER = jax.ShapeDtypeStruct((), np.int32)
