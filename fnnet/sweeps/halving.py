"""Successive halving: many points for a few steps, the best of them for more (Jamieson & Talwalkar 2016)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import PyTree

from fnnet.core import Key, Task, TrainState
from fnnet.errors import near_matches
from fnnet.shapes import check_count
from fnnet.sweeps import layouts
from fnnet.sweeps.groups import Group
from fnnet.sweeps.layouts import LayoutName
from fnnet.sweeps.members import LEAN
from fnnet.sweeps.space import Axes, Point
from fnnet.sweeps.sweeping import Sweep, advance, measures, open_directory, prepare, tabulate
from fnnet.sweeps.table import TableRecord
from fnnet.training import Record


class Halving(NamedTuple):
    """The rungs of successive halving, and which points each had: a rung is a ``Sweep`` of those, numbered anew."""

    rungs: tuple[Sweep, ...]
    points: tuple[tuple[int, ...], ...]
    by: str
    mode: Literal["min", "max"]

    def best(self) -> TableRecord:
        """Return the best point of the last rung, with its mean and standard deviation over the seeds."""
        return self.rungs[-1].best(self.by, self.mode)

    def table(self) -> list[TableRecord]:
        """Return the records of all rungs, each with the number of its ``rung`` and of its ``point`` in the space."""
        return [
            {"rung": rung, "point": points[record["member"] // sweep.seeds]} | record
            for rung, (sweep, points) in enumerate(zip(self.rungs, self.points, strict=True))
            for record in sweep.table
        ]


def halving(
    make_task: Callable[..., Task],
    space: Axes | Sequence[Point],
    data: PyTree,
    *,
    key: Key,
    steps: int,
    batch_size: int,
    eta: int = 3,
    rungs: int | None = None,
    seeds: int = 1,
    validation: PyTree | None = None,
    by: str | None = None,
    mode: Literal["min", "max"] = "min",
    layout: LayoutName | None = None,
    static: Sequence[str] = (),
    record: Record = LEAN,
    directory: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Halving:
    r"""Train all points for `steps`, and the best :math:`1/\eta` for :math:`\eta` times as many, again and again.

    Rung r ends after :math:`steps \cdot \eta^r` steps in all, and its points go on from their states, so that it costs
    the further steps alone; the last is the one of a single point, or the `rungs`-th. What goes on is a function of the
    rung's table alone: see `survivors`. With a `directory` each finished group of a rung is written there, and a call
    of the same halving takes from it what is there. All else is as in ``sweep``.

    Law: a survivor's state is that of one run of all its steps, up to rounding.

    >>> def make_task(learning_rate):
    ...     return fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(learning_rate))
    >>> x, y = jnp.array([[1.0], [2.0]]), jnp.array([[2.0], [4.0]])
    >>> grid, key = {"learning_rate": [1e-4, 1e-3, 0.1]}, jax.random.key(0)
    >>> result = halving(make_task, grid, (x, y), key=key, steps=5, batch_size=2, eta=2, layout="vmap")
    >>> result.points, [rung.table[0]["steps"] for rung in result.rungs]
    (((0, 1, 2), (1, 2), (2,)), [5, 10, 20])
    """
    check_count("halving", "eta", eta, least=2)
    if rungs is not None:
        check_count("halving", "rungs", rungs)
    by = by or ("loss" if validation is None else "val_loss")
    options = {"record": record, **options}
    setting, groups = prepare(
        make_task, space, data, key, steps, batch_size, seeds, validation, layout, static, options
    )
    place = None
    if directory is not None:
        settings = {"steps": steps, "eta": eta, "rungs": rungs, "by": by, "mode": mode, "static": list(static)}
        place = open_directory(directory, setting, settings)
    alive, made = tuple(range(len(setting.points))), 0
    states: list[TrainState | None] = [None] * len(groups)
    swept: list[Sweep] = []
    lives: list[tuple[int, ...]] = []
    while True:
        total = steps * eta ** len(swept)
        files = [place and place / f"rung_{len(swept):02d}_group_{n:05d}.npz" for n in range(len(groups))]
        outcomes = [
            advance(setting, group, total - made, states=state, file=file)
            for group, state, file in zip(groups, states, files, strict=True)
        ]
        made, results = total, [result for result, _ in outcomes]
        here = [setting.points[n] for n in alive]
        local = [group._replace(points=tuple(alive.index(n) for n in group.points)) for group in groups]
        table = tabulate(here, seeds, local, [measures(result) for result in results], [total] * len(local))
        reports = tuple(report for _, report in outcomes)
        swept.append(Sweep(tuple(here), seeds, table, tuple(local), tuple(results), reports))
        lives.append(alive)
        if len(alive) == 1 or len(swept) == rungs:
            return Halving(tuple(swept), tuple(lives), by, mode)
        kept = survivors(table, seeds, keep=math.ceil(len(alive) / eta), by=by, mode=mode)
        alive = tuple(alive[n] for n in kept)
        shrunk = [_shrunk(group, result.state, alive, seeds) for group, result in zip(groups, results, strict=True)]
        groups, states = [group for group, _ in shrunk if group.points], [s for group, s in shrunk if group.points]


def survivors(
    table: Sequence[TableRecord], seeds: int, *, keep: int, by: str = "val_loss", mode: Literal["min", "max"] = "min"
) -> list[int]:
    """Return the numbers, in order, of the `keep` points with the best mean of `by` over the seeds.

    What is not finite is worst; of equals the first goes on. Raises: ValueError for another column or mode.

    >>> survivors([{"loss": 3.0}, {"loss": float("nan")}, {"loss": 1.0}], 1, keep=2, by="loss")
    [0, 2]
    """
    if mode not in ("min", "max"):
        raise ValueError(f"halving: mode must be 'min' or 'max', got {mode!r}")
    if by not in table[0]:
        raise ValueError(f"halving: the table has no column {by!r}; {near_matches(by, table[0])}")
    values = np.array([record[by] for record in table], np.float64).reshape(-1, seeds).mean(1)
    costs = np.where(np.isfinite(values), values if mode == "min" else -values, np.inf)
    return sorted(int(n) for n in np.argsort(costs, kind="stable")[:keep])


def _shrunk(group: Group, states: TrainState, alive: tuple[int, ...], seeds: int) -> tuple[Group, TrainState]:
    places = [place for place, point in enumerate(group.points) if point in alive]
    which = (np.array(places, int)[:, None] * seeds + np.arange(seeds)).ravel()
    return group._replace(points=tuple(group.points[place] for place in places)), layouts.rows(states, which)
