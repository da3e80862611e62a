"""The learning rate finder: one short run whose rate grows from step to step."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PyTree

from fnnet import training, tree
from fnnet.core import Key, Task, TrainState
from fnnet.data import Dataset, check
from fnnet.errors import DataError
from fnnet.shapes import check_count
from fnnet.training import Course, Record

_WINDOWS = 20  # the losses are smoothed over a twentieth of the steps
_DIVERGED = 4.0  # so many times its least value the smoothed loss ends the useful part


class RateFinding(NamedTuple):
    """`rates` and the smoothed `losses` at them, up to where training diverges; where they fall fastest."""

    rates: Float[np.ndarray, n]
    losses: Float[np.ndarray, n]
    suggestion: float


def find_learning_rate(
    task: Task,
    data: PyTree,
    *,
    key: Key,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 200,
    batch_size: int = 32,
) -> RateFinding:
    r"""Train for a few `steps` while the learning rate grows from `low` to `high`; see where the loss falls fastest.

    The rate of step t is :math:`low \, (high/low)^{t/(steps-1)}`; the losses are means over a twentieth of the steps;
    what follows the step at which they exceed four times their least is left out. The suggestion is the rate at which,
    before their least, they fall fastest by the logarithm of the rate (Smith 2017, the learning rate range test).
    The optimizer's state must hold one learning rate that is a number, not a schedule.

    Raises: ValueError unless ``0 < low < high``, for fewer than 10 steps, or if there is no such rate; DataError for
    data that `fit` would not take, or if the loss is not finite from the start.

    >>> task = fn.Task(fn.dense(3), fn.losses.cross_entropy, fn.sgd(1.0))
    >>> found = fn.find_learning_rate(task, fn.data.iris(), key=jax.random.key(0))
    >>> 1e-6 < found.suggestion < 10
    True
    """
    check_count("find_learning_rate", "steps", steps, least=10)
    if not 0 < low < high:
        raise ValueError(f"find_learning_rate: expected 0 < low < high, got low={low!r}, high={high!r}")
    check(data, batch_size=batch_size)
    arrays = jax.tree.map(jnp.asarray, data.arrays if isinstance(data, Dataset) else data)
    course = training.check_course(task, arrays, batch_size, None, None, 1, Record(every=0), "go_on")
    ts = training.init(task, key, jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), arrays[0]))
    paths = [path for path in tree.flatten(ts.opt_state) if path.endswith("hyperparams/learning_rate")]
    if len(paths) != 1:
        fix = "make the optimizer with a number as its learning rate"
        raise ValueError(f"find_learning_rate: the optimizer's state holds {len(paths)} rates, expected one; {fix}")
    rates = np.geomspace(low, high, steps)
    losses = np.asarray(_losses(task, course, paths[0], ts, arrays, jnp.asarray(rates, jnp.result_type(float))))
    return _finding(rates, losses.astype(np.float64))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _losses(
    task: Task, course: Course, path: str, ts: TrainState, data: PyTree, rates: Float[Array, n]
) -> Float[Array, n]:
    def body(ts: TrainState, rate: Float[Array, ""]) -> tuple[TrainState, Array]:
        set_rate = tree.map_with_path(
            lambda name, leaf: rate.astype(leaf.dtype) if name == path else leaf, ts.opt_state
        )
        ts = ts._replace(opt_state=set_rate)
        ts, logs = training.step(task, ts, training.batch_at(ts, data, course))
        return ts, logs["loss"]

    return lax.scan(body, ts, rates)[1]


def _finding(rates: np.ndarray, losses: np.ndarray) -> RateFinding:
    """Return the finding of raw losses at the rates."""
    if not np.isfinite(losses[0]):
        raise DataError("find_learning_rate", "the loss is not finite from the start", "check the data and the net.")
    finite = len(losses) if np.isfinite(losses).all() else int(np.argmin(np.isfinite(losses)))
    width = max(1, len(losses) // _WINDOWS)
    smooth = _means(losses[:finite], width)
    diverged = smooth > _DIVERGED * np.minimum.accumulate(smooth)
    end = int(np.argmax(diverged)) if diverged.any() else finite
    # The fall at a place is from the mean of the window before it to that of the window after. Beyond the least loss a
    # fall is but a return from a leap, and steeper than what was learnt before it.
    places = np.arange(width, min(int(np.argmin(smooth[:end])), end - width) + 1)
    falls = [losses[n - width : n].mean() - losses[n : n + width].mean() for n in places]
    best = int(places[np.argmax(falls)]) if falls else 0
    return RateFinding(rates[:end], smooth[:end], float(rates[best]))


def _means(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean of up to `width` values about each, of fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(len(values)) - width // 2, 0)
    high = np.minimum(np.arange(len(values)) + width // 2 + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
