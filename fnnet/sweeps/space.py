"""The search space: lists of points, each a dict of hyperparameters by name."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from fnnet.core import Key
from fnnet.shapes import check_count, check_key

Point: TypeAlias = dict[str, Any]
"""Hyperparameters by name, as `make_task` takes them."""

Axes: TypeAlias = Mapping[str, Sequence[Any] | np.ndarray | jax.Array]
"""The values of each hyperparameter by name."""

Draw: TypeAlias = Callable[[Key], Any]
"""A distribution of one hyperparameter: a pure function of a key that returns a value."""


def grid(axes: Axes) -> list[Point]:
    """Return every combination of the values, the last name changing first.

    Raises: ValueError for a name without values; TypeError for values that are not in a list, tuple or array.

    >>> fn.sweeps.grid({"width": [8, 16], "learning_rate": [0.1]})
    [{'width': 8, 'learning_rate': 0.1}, {'width': 16, 'learning_rate': 0.1}]
    """
    columns = {name: _column(name, values) for name, values in axes.items()}
    return [dict(zip(columns, row, strict=True)) for row in itertools.product(*columns.values())]


def sample(key: Key, n: int, draws: Mapping[str, Draw]) -> list[Point]:
    """Return `n` points, each hyperparameter drawn on its own: a function of the key, the name's place and the number.

    Law: the first points of a larger sample are those of a smaller one.

    >>> points = fn.sweeps.sample(jax.random.key(0), 3, {"width": fn.sweeps.choice(8, 16)})
    >>> len(points), {point["width"] for point in points} <= {8, 16}
    (3, True)
    """
    check_key("sample", key, when="")
    check_count("sample", "n", n)
    for name, draw in draws.items():
        if not callable(draw):
            raise TypeError(f"sample: {name} must be a distribution such as fn.sweeps.uniform(0, 1), got {draw!r}")
    keys = [jax.random.fold_in(key, place) for place in range(len(draws))]
    return [
        {name: draw(jax.random.fold_in(root, number)) for root, (name, draw) in zip(keys, draws.items(), strict=True)}
        for number in range(n)
    ]


def uniform(low: float, high: float) -> Draw:
    """Return the distribution of equal density on [low, high).

    >>> 1 <= fn.sweeps.uniform(1, 3)(jax.random.key(0)) < 3
    True
    """
    _check_bounds("uniform", low, high)
    return lambda key: low + (high - low) * float(jax.random.uniform(key))


def log_uniform(low: float, high: float) -> Draw:
    """Return the distribution whose logarithm is uniform on [log low, log high): for rates and decays.

    >>> 1e-4 <= fn.sweeps.log_uniform(1e-4, 1e-1)(jax.random.key(0)) < 1e-1
    True
    """
    _check_bounds("log_uniform", low, high)
    if low <= 0:
        raise ValueError(f"log_uniform: low must be above 0, got {low}")
    exponent = uniform(math.log(low), math.log(high))
    return lambda key: math.exp(exponent(key))


def choice(*values: Any) -> Draw:
    """Return the distribution that takes each of the values equally often.

    >>> fn.sweeps.choice("adam")(jax.random.key(0))
    'adam'
    """
    if not values:
        raise ValueError("choice: expected at least one value")
    return lambda key: values[int(jax.random.randint(key, (), 0, len(values)))]


def as_points(space: Any) -> list[Point]:
    """Return the points of a dict (a grid) or of a list of dicts; ValueError unless all have the same names."""
    points = grid(space) if isinstance(space, Mapping) else [dict(point) for point in space]
    if not points:
        raise ValueError("sweep: expected at least one point")
    for number, point in enumerate(points):
        if set(point) != set(points[0]):
            raise ValueError(f"sweep: point {number} has the names {sorted(point)}, the first {sorted(points[0])}")
    if taken := sorted(set(points[0]) & {"member", "seed", "steps", "loss"}):
        raise ValueError(f"sweep: {taken[0]!r} is the name of a column of the table; rename the hyperparameter")
    return points


def _column(name: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise TypeError(f"grid: {name} must be a list of values, got {values!r}")
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    if not values:
        raise ValueError(f"grid: {name} has no values")
    return values


def _check_bounds(where: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{where}: expected finite bounds, low below high, got {low} and {high}")
