"""Nets of two hidden layers of tanh from equal weights and from random ones: how many of their units ever differ."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

UNITS = 16  # a multiple of what a processor adds at once: it would add up the units that are over in another order
STARTS = {  # units of a layer, and their initializer; None: that which matches the activation
    "zeros": (UNITS, fn.initializers.zeros),
    "constant 0.1": (UNITS, fn.initializers.constant(0.1)),
    "random": (UNITS, None),
    "random, one unit a layer": (1, None),
}
PARTS = 10  # of a run, after each of which units are counted


def classifier(units, initializer=None):
    hidden = [fn.dense(units, activation=jnp.tanh, kernel_init=initializer) for _ in range(2)]
    net = fn.serial(*hidden, fn.dense(10, kernel_init=initializer))
    return fn.Task(net, fn.losses.cross_entropy, fn.adam(0.01))


@partial(jax.jit, static_argnums=(0, 1))
def begin(task, seeds, x):
    return jax.vmap(lambda key: fn.init(task, key, x))(jax.random.split(jax.random.key(0), seeds))


@partial(jax.jit, static_argnums=(0, 3))
def trained(task, starts, data, steps):
    """Return the parameters of each run after each of its parts."""

    def part(ts, _):
        ts, _ = fn.run(task, ts, data, steps=steps // PARTS, batch_size=32, record=fn.Record(every=0))
        return ts, ts.params

    return jax.vmap(lambda ts: jax.lax.scan(part, ts, None, PARTS)[1])(starts)


def distinct(course):
    """Return how many units of a hidden layer differ in a weight or the bias, to the bit, at most."""
    hidden = [
        np.concatenate([course[name]["kernel"], course[name]["bias"][:, :, None]], 2) for name in list(course)[:-1]
    ]
    return max(np.unique(units, axis=1).shape[1] for layer in hidden for run in layer for units in run)


def narrowed(params):
    """Return the net of one unit a layer that computes what one of equal units does."""
    first, second, last = params.values()
    kernels = (
        first["kernel"][:, :1],
        second["kernel"][:, :1].sum(0, keepdims=True),
        last["kernel"].sum(0, keepdims=True),
    )
    biases = first["bias"][:1], second["bias"][:1], last["bias"]
    return {name: {"kernel": k, "bias": b} for name, k, b in zip(params, kernels, biases, strict=True)}


def symmetry(seeds, steps):
    """Return for each start how many units differ, the accuracies, and how far the outputs are from one unit's."""
    train, test = (part.arrays for part in fn.data.split(fn.data.digits(), (0.7, 0.3), seed=0))
    tasks, found = {units: classifier(units) for units in (1, UNITS)}, {}
    for name, (units, initializer) in STARTS.items():
        starts = begin(classifier(units, initializer), seeds, train[0])
        course = jax.tree.map(np.asarray, trained(tasks[units], starts, train, steps))
        ends = [jax.tree.map(lambda leaf, n=n: leaf[n, -1], course) for n in range(seeds)]
        logits = np.stack([tasks[units].net(end, test[0]) for end in ends])
        one = np.stack([tasks[1].net(narrowed(end), test[0]) for end in ends])
        accuracy = (logits.argmax(-1) == test[1]).mean(1)
        found[name] = {"distinct": distinct(course), "accuracy": accuracy, "from one unit": np.abs(logits - one).max()}
    return found


def spread(values):
    """Return the mean over seeds and its standard error."""
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))
