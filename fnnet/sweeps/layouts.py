"""How the members of a group are laid over the machine: the same results, at different speeds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from fnnet import tree

LayoutName: TypeAlias = Literal["vmap", "map", "threads", "devices"]
PAYS = 3  # a trial that would save a third of the run then pays for its own compilation
LAYOUTS = ("vmap", "map", "threads", "devices")

Function: TypeAlias = Callable[[PyTree, PyTree], PyTree]
"""A member's program, ``function(member, shared) -> result``."""


class Timing(NamedTuple):
    """What a layout took in a trial: seconds to compile, seconds a member and step, and the total by these."""

    layout: str
    compile_seconds: float
    step_seconds: float
    estimate: float


def compiled(layout: str, function: Function, members: PyTree, shared: PyTree) -> Callable[[PyTree, PyTree], PyTree]:
    """Return `function` over the leading axis of `members`, compiled for arrays of these shapes.

    ``vmap``: one batched program. ``map``: one program, member after member. ``threads``: one program of a member,
    called from as many threads as there are processors. ``devices``: the batched program, its members shared out
    among the devices.
    """
    if layout == "threads":
        one = jax.jit(function).lower(pick(members, 0), shared).compile()
        return partial(_in_threads, one)
    if layout == "devices":
        return _over_devices(function, members, shared)

    def program(members: PyTree, shared: PyTree) -> PyTree:
        if layout == "map":
            return lax.map(lambda member: function(member, shared), members)
        return jax.vmap(lambda member: function(member, shared))(members)

    return jax.jit(program).lower(members, shared).compile()


def measured(make: Callable[[int], Function], members: PyTree, shared: PyTree, steps: int) -> list[Timing]:
    """Return the timings of the layouts that this machine has, the one of the least estimate first.

    Each is compiled and run for a few steps, ``make(steps)`` being the member's program: ``vmap`` and ``devices`` with
    all members, the others with a few, since theirs take the same time each. A further one is tried only while the
    best so far would run for `PAYS` times as long as the first took to compile: otherwise little is to be won.
    """
    trial, number = min(steps, max(8, min(64, steps // 16))), size(members)
    timings: list[Timing] = []
    for layout in candidates():
        if timings and min(t.step_seconds for t in timings) * number * steps < PAYS * timings[0].compile_seconds:
            break
        few = number if layout in ("vmap", "devices") else min(number, 2 * (os.cpu_count() or 1))
        part = pick(members, slice(0, few))
        start = time.perf_counter()
        program = compiled(layout, make(trial), part, shared)
        compiling = time.perf_counter() - start
        once = _seconds(program, part, shared)
        each = min(once, _seconds(program, part, shared) if once < 0.5 else once) / (few * trial)
        timings.append(Timing(layout, compiling, each, compiling + each * number * steps))
    return sorted(timings, key=lambda timing: timing.estimate)


def candidates() -> list[str]:
    """Return the layouts worth a trial here."""
    threads = jax.default_backend() == "cpu" and (os.cpu_count() or 1) > 1
    return ["vmap", "map", *(["threads"] if threads else []), *(["devices"] if len(jax.devices()) > 1 else [])]


def size(members: PyTree) -> int:
    """Return the number of members."""
    return int(jax.tree.leaves(members)[0].shape[0])


@partial(jax.jit, static_argnums=2)
def _at(members: PyTree, n: Any, length: int | None) -> PyTree:
    if length is None:
        return tree.map(lambda leaf: lax.dynamic_index_in_dim(leaf, n, keepdims=False), members)
    return tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, n, length), members)


def pick(members: PyTree, which: Any) -> PyTree:
    """Return one member, those of a slice, or those of an array of numbers."""
    if isinstance(which, slice):
        return _at(members, which.start, which.stop - which.start)
    if np.ndim(which):
        return tree.map(lambda leaf: leaf[jnp.asarray(which)], members)
    return _at(members, which, None)


def join(results: list[PyTree]) -> PyTree:
    """Return the results, one a member, with a leading axis."""

    def stack(*leaves: Any) -> Any:
        if jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
            data = np.stack([np.asarray(jax.random.key_data(leaf)) for leaf in leaves])
            return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(leaves[0]))
        return jnp.asarray(np.stack([np.asarray(leaf) for leaf in leaves]))

    return jax.tree.map(stack, *results)


def _seconds(program: Callable[[PyTree, PyTree], PyTree], members: PyTree, shared: PyTree) -> float:
    start = time.perf_counter()
    jax.block_until_ready(program(members, shared))
    return time.perf_counter() - start


def _in_threads(one: Callable[[PyTree, PyTree], PyTree], members: PyTree, shared: PyTree) -> PyTree:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work = [pick(members, n) for n in range(size(members))]
        return join(list(pool.map(lambda member: jax.block_until_ready(one(member, shared)), work)))


def _over_devices(function: Function, members: PyTree, shared: PyTree) -> Callable[[PyTree, PyTree], PyTree]:
    devices = jax.devices()
    number = size(members)
    mesh = Mesh(np.array(devices), ("members",))
    rows, everywhere = NamedSharding(mesh, PartitionSpec("members")), NamedSharding(mesh, PartitionSpec())
    # The last member is repeated until the devices share evenly.
    padded = np.minimum(np.arange(-(-number // len(devices)) * len(devices)), number - 1)

    def place(members: PyTree, shared: PyTree) -> tuple[PyTree, PyTree]:
        return jax.device_put(pick(members, padded), rows), jax.device_put(shared, everywhere)

    def program(members: PyTree, shared: PyTree) -> PyTree:
        return jax.vmap(lambda member: function(member, shared))(members)

    whole = jax.jit(program).lower(*place(members, shared)).compile()

    def run(members: PyTree, shared: PyTree) -> PyTree:
        return pick(jax.device_put(whole(*place(members, shared)), devices[0]), slice(0, number))

    return run
