"""A task on which noise and not the data sets the loss, and the schedules that it is trained with."""

import functools

import jax
import numpy as np
from shifted.digits import placed

import fnnet as fn

BATCH, SHIFT = 16, 2  # examples a step, pixels from the middle
NET = fn.serial(fn.dense(64, activation=jax.nn.relu), fn.dense(10))


def schedules(steps):
    """Return by name what makes a schedule of a peak rate."""
    s = fn.schedules
    return {
        "constant": s.constant,
        "plateau": s.constant,  # and the rule that acts on it, in make_task
        "step": functools.partial(s.step, every=max(1, steps // 3), factor=0.2),
        "exponential": functools.partial(s.exponential, steps=steps, factor=0.02),
        "inverse time": functools.partial(s.inverse_time, steps=max(1, steps // 10)),
        "linear": functools.partial(s.polynomial, end=0.0, steps=steps),
        "cosine": functools.partial(s.cosine, steps=steps),
        "warm-up, cosine": lambda rate: s.warmup(s.cosine(rate, steps=steps - steps // 10), steps=max(1, steps // 10)),
        "one cycle": functools.partial(s.one_cycle, steps=steps),
    }


def make_task(name, rate, steps):
    rule = fn.sgd(schedules(steps)[name](rate) if name != "constant" else rate, momentum=0.9)
    if name == "plateau":
        plateau = fn.transforms.reduce_on_plateau(0.3, patience=2, every=max(1, steps // 20))
        rule = fn.transforms.chain(rule, plateau)
    return fn.Task(NET, fn.losses.cross_entropy, rule, (fn.metrics.accuracy(),))


def many(part, times, seed):
    """Return each digit so many times, every time in a place of its own."""
    return placed(np.tile(part.x, (times, 1)), SHIFT, seed), np.tile(part.y, times)


def data():
    """Return the parts for training, validation and test."""
    parts = fn.data.split(fn.data.digits(), (0.5, 0.2, 0.3), seed=0)
    return [many(part, times, seed) for seed, (part, times) in enumerate(zip(parts, (20, 3, 3), strict=True))]
