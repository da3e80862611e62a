"""How fast a rule is and how good its result, at rates tuned on some seeds and measured on others; ranks; stars."""

from typing import NamedTuple

import jax
import numpy as np

import fnnet as fn

WINDOW = 16  # steps over which the training loss is averaged, as batches differ


class Runs(NamedTuple):
    """Of every rate and seed: the steps to the target, and the worth of the end on validation and on test data.

    Worth is accuracy, or less the logarithm of the loss: more is better.
    """

    rates: np.ndarray
    steps: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def runs(rule, rates, problem, seeds):
    metrics = (fn.metrics.accuracy(),) if problem.quality == "accuracy" else ()

    def make_task(learning_rate):
        return fn.Task(problem.net, problem.loss, rule(learning_rate), metrics)

    train, validation, test = problem.parts
    settings = {"steps": problem.steps, "batch_size": problem.batch_size, "seeds": seeds, "layout": "vmap"}
    space = {"learning_rate": rates}
    key, record = jax.random.key(0), fn.Record(every=0)
    result = fn.sweep(make_task, space, train, key=key, validation=validation, record=record, **settings).results[0]
    task = make_task(rates[0])
    tested = jax.vmap(lambda state: fn.evaluate(task, state, test))(result.state)
    shape = (len(rates), seeds)
    steps = arrival(np.asarray(result.history["loss"]), problem.target).reshape(shape)
    return Runs(rates, steps, *(worth(of, problem.quality).reshape(shape) for of in (result.validation, tested)))


def worth(values, quality):
    if quality == "accuracy":  # none, of a run that diverged
        return np.nan_to_num(np.asarray(values["accuracy"], np.float64), nan=0.0)
    loss = np.nan_to_num(np.asarray(values["loss"], np.float64), nan=np.inf)
    return -np.log10(np.clip(loss, 1e-12, 1e12))


def arrival(losses, target):
    """Return after how many steps the mean loss of the last few is at most `target`; the number of steps if never."""
    losses = np.nan_to_num(losses.astype(np.float64), nan=1e30, posinf=1e30)
    sums = np.cumsum(np.pad(losses, ((0, 0), (1, 0))), axis=1)
    arrived = (sums[:, WINDOW:] - sums[:, :-WINDOW]) / WINDOW <= target
    return np.where(arrived.any(1), arrived.argmax(1) + WINDOW, losses.shape[1])


def tuned(found, tuning):
    """Return the numbers of the rate that is quickest and of that whose end is best, both by the first seeds."""
    quick, good = np.log(found.steps[:, :tuning]).mean(1), found.validation[:, :tuning].mean(1)
    return np.lexsort((-good, quick))[0], np.argmax(good)


def ranks(scores):
    """Return the rank of each rule by problem and its mean over problems, of scores (rules, problems), least first."""
    below = (scores[:, None] > scores[None]).sum(1)
    equal = (scores[:, None] == scores[None]).sum(1)
    return (below + (equal + 1) / 2).mean(-1)


def bootstrap(values, draws=2000, seed=0):
    """Return the mean ranks, and the 2.5 and 97.5 % points of those of seeds drawn anew for each rule and problem.

    `values`: (rules, problems, seeds), less is better.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, values.shape[-1], (draws, *values.shape))
    again = [ranks(np.take_along_axis(values, rows, -1).mean(-1)) for rows in drawn]
    return ranks(values.mean(-1)), *np.percentile(again, [2.5, 97.5], axis=0)


def stars(rank, rules):
    """Return 3, 2 or 1: whether a mean rank is in the first, second or last third of the ranks from 1 to `rules`."""
    return 3 - int(min(2, 3 * (rank - 1) / (rules - 1)))
