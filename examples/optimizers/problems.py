"""The rules and the problems of the comparison of optimizers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

RULES = {  # by name: the rule as a function of its rate, and the middle of the grid of rates
    "SGD": (fn.sgd, 0.1),
    "momentum": (lambda rate: fn.sgd(rate, momentum=0.9), 0.03),
    "Nesterov": (lambda rate: fn.sgd(rate, momentum=0.9, nesterov=True), 0.03),
    "Adagrad": (fn.optimizers.adagrad, 0.1),
    "RMSprop": (fn.rmsprop, 0.01),
    "Adam": (fn.adam, 0.01),
    "Nadam": (fn.nadam, 0.01),
    "AdaMax": (fn.optimizers.adamax, 0.01),
    "AdamW": (fn.adamw, 0.01),
    "AMSGrad": (fn.optimizers.amsgrad, 0.01),
    "RAdam": (fn.optimizers.radam, 0.01),
    "Adadelta": (fn.optimizers.adadelta, 10.0),
    "Lion": (fn.lion, 0.001),
    "LAMB": (fn.optimizers.lamb, 0.03),
    "LARS": (lambda rate: fn.optimizers.lars(rate, trust_coefficient=1.0, mask="*kernel"), 0.03),
    "Muon": (lambda rate: fn.muon(rate, fallback=fn.adam(0.1 * rate)), 0.1),
}
# The lecture's stars of speed and of quality; it has none for the rules after AdaMax.
LECTURE = {
    "SGD": ((1,), (3,)),
    "momentum": ((2,), (3,)),
    "Nesterov": ((2,), (3,)),
    "Adagrad": ((3,), (1,)),
    "RMSprop": ((3,), (2, 3)),
    "Adam": ((3,), (2, 3)),
    "Nadam": ((3,), (2, 3)),
    "AdaMax": ((3,), (2, 3)),
}


class Problem(NamedTuple):
    """A network and its data, for how many steps, and the training loss at which a run has arrived."""

    net: fn.Layer
    loss: Any
    parts: tuple  # training, validation, test
    steps: int
    batch_size: int
    target: float
    quality: str = "accuracy"


def quadratic(features=32, rows=64, condition=1000.0):
    """Return least squares whose Hessian's eigenvalues go from 1 to 1/condition; each direction adds equal loss."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((n, features)))[0] for n in (rows, features))
    scale = condition ** -np.linspace(0, 0.5, features)
    x = np.sqrt(rows) * (left * scale) @ right.T
    y = np.sqrt(rows / features) * left @ rng.choice([-1.0, 1.0], (features, 1))
    parts = 3 * ((x.astype(np.float32), y.astype(np.float32)),)
    return Problem(fn.dense(1, bias_init=None), fn.losses.squared_error, parts, 1000, rows, 0.01, "loss")


def classification(net, data, steps, target):
    parts = tuple(part.arrays for part in fn.data.split(data, (0.5, 0.25, 0.25), seed=0))
    return Problem(net, fn.losses.cross_entropy, parts, steps, 32, target)


def hidden(*widths, activation):
    return [fn.dense(width, activation=activation) for width in widths]


CONVOLUTIONS = [layer for width in (4, 8) for layer in (fn.conv(width, 3, activation=jax.nn.relu), fn.max_pool(2))]
PROBLEMS = {
    "quadratic": quadratic(),
    "digits MLP": classification(
        fn.serial(*hidden(32, 32, activation=jax.nn.relu), fn.dense(10)), fn.data.digits(), 400, 0.1
    ),
    "digits CNN": classification(
        fn.serial(*CONVOLUTIONS, fn.flatten(), fn.dense(10)), fn.data.digits(images=True), 300, 0.2
    ),
    "spirals": classification(
        fn.serial(*hidden(32, 32, activation=jnp.tanh), fn.dense(2)),
        fn.data.spirals(800, turns=1.0, noise=0.03),
        600,
        0.1,
    ),
}
