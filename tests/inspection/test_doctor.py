"""The doctor finds each planted fault, by its name and place, and none in healthy nets."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet.errors import DataError
from fnnet.inspection import health

ROWS = 128
DIGITS = fn.data.take(fn.data.digits().arrays, np.arange(ROWS))
IMAGES = DIGITS[0].reshape(ROWS, 8, 8, 1), DIGITS[1]
TUMOURS = fn.data.take(fn.data.breast_cancer().arrays, np.arange(ROWS))
ROWS_OF_PIXELS = DIGITS[0].reshape(ROWS, 8, 8), DIGITS[1]
BYTES = (255 * DIGITS[0]).astype(np.uint8)
TOKENS = np.random.default_rng(0).integers(0, 20, (ROWS, 6)).astype(np.int32)
CROSS_ENTROPY = fn.losses.cross_entropy


def normal(scale):
    return fn.initializers.normal(scale)


def constant(value):
    return fn.initializers.constant(value)


def hidden(**options):
    return fn.dense(32, **({"activation": jax.nn.relu} | options))


def examine(net, data=DIGITS, *, optimizer=None, loss=CROSS_ENTROPY, change=lambda params: params):
    """The report on a network at its beginning, its parameters changed."""
    task = fn.Task(net, loss, optimizer or fn.adam(1e-2))
    ts = fn.init(task, jax.random.key(0), data[0])
    return health(task, ts._replace(params=change(ts.params)), data)


def mlp(*body, **head):
    return fn.serial(*body, head=fn.dense(10, **head))


def with_nan(x):
    return np.where(np.arange(x.size).reshape(x.shape) == 70, np.nan, x)


# What is planted, what it is called, and where it is found.
PLANTED = {
    "twelve sigmoids": (
        lambda: examine(mlp(*(fn.dense(16, activation=jax.nn.sigmoid) for _ in range(12)))),
        "vanishing gradients",
        "dense_0/z",
    ),
    "large weights": (
        lambda: examine(mlp(*(hidden(kernel_init=normal(1.0)) for _ in range(8)))),
        "exploding gradients",
        "dense_0",
    ),
    "units pushed below zero": (
        lambda: examine(mlp(hidden(), hidden(bias_init=constant(-20.0)))),
        "dead units",
        "dense_1",
    ),
    "tanh of large sums": (
        lambda: examine(mlp(hidden(activation=jnp.tanh, kernel_init=normal(5.0)))),
        "saturated units",
        "dense_0",
    ),
    "zero weights": (lambda: examine(mlp(hidden(kernel_init=fn.initializers.zeros))), "symmetric units", "dense_0"),
    "equal weights": (
        lambda: examine(
            mlp(hidden(activation=jnp.tanh, kernel_init=constant(0.1)), kernel_init=constant(0.1)),
        ),
        "symmetric units",
        "dense_0",
    ),
    "confident at first": (lambda: examine(mlp(hidden(), kernel_init=normal(3.0))), "bad initial loss", "head"),
    "rate too high": (
        lambda: examine(mlp(hidden()), optimizer=fn.adam(1.0)),
        "learning rate too high",
        "learning_rate",
    ),
    "rate too low": (lambda: examine(mlp(hidden()), optimizer=fn.sgd(1e-4)), "learning rate too low", "learning_rate"),
    "bytes of pixels": (lambda: examine(mlp(hidden()), (255 * DIGITS[0], DIGITS[1])), "inputs not normalised", "x"),
    "years": (
        lambda: examine(mlp(hidden()), (DIGITS[0] / 100 + 1.0, DIGITS[1])),
        "inputs not normalised",
        "x",
    ),
    "features of many scales": (
        lambda: examine(fn.serial(hidden(), fn.dense(2)), (TUMOURS[0] / 250, TUMOURS[1])),
        "inputs not normalised",
        "x",
    ),
    "few of a class": (
        lambda: examine(mlp(hidden()), (DIGITS[0], np.where(np.arange(ROWS) % 12, 3, DIGITS[1]).astype(np.int32))),
        "labels imbalanced",
        "y",
    ),
    "softmax before its loss": (
        lambda: examine(fn.serial(hidden(), fn.dense(10), jax.nn.softmax)),
        "softmax or sigmoid twice",
        "softmax_0",
    ),
    "sigmoid before its loss": (
        lambda: examine(
            fn.serial(hidden(), fn.dense(1), jax.nn.sigmoid),
            (DIGITS[0], (DIGITS[1] % 2).astype(np.float32)[:, None]),
            loss=fn.losses.binary_cross_entropy,
        ),
        "softmax or sigmoid twice",
        "sigmoid_0",
    ),
    "a body cut off": (
        lambda: examine(fn.serial(fn.stop_gradient(hidden()), fn.dense(10))),
        "no gradient",
        "dense_0/bias, dense_0/kernel",
    ),
    "nan in the data": (lambda: examine(mlp(hidden()), (with_nan(DIGITS[0]), DIGITS[1])), "not finite", "x"),
    "nan in a layer": (
        lambda: examine(mlp(hidden()), change=lambda p: p | {"head": {**p["head"], "bias": jnp.full(10, jnp.nan)}}),
        "not finite",
        "params/head/bias",
    ),
    "a repeated layer pushed below zero": (
        lambda: examine(mlp(hidden(), fn.repeat(hidden(bias_init=constant(-20.0)), 3))),
        "dead units",
        "repeat_0/a",
    ),
    "a scaled tanh of large sums": (
        lambda: examine(mlp(hidden(activation=lambda v: 1.7159 * jnp.tanh(2 / 3 * v), kernel_init=normal(20.0)))),
        "saturated units",
        "dense_0",
    ),
    "a recurrent net of large sums": (
        lambda: examine(mlp(fn.rnn(16, kernel_init=normal(30.0)), fn.layers.last_step()), ROWS_OF_PIXELS),
        "saturated units",
        "rnn_0/a",
    ),
    "images as bytes": (
        lambda: examine(mlp(lambda v: v.astype(jnp.float32), hidden()), (BYTES, DIGITS[1])),
        "inputs not normalised",
        "x",
    ),
    "softmax of each token": (
        lambda: examine(fn.serial(fn.embedding(20, 8), fn.dense(20), jax.nn.softmax), (TOKENS, TOKENS[:, ::-1])),
        "softmax or sigmoid twice",
        "softmax_0",
    ),
    "few of two classes": (
        lambda: examine(
            fn.serial(hidden(), fn.dense(1)),
            (DIGITS[0], (np.arange(ROWS) % 32 == 0).astype(np.float32)[:, None]),
            loss=fn.losses.binary_cross_entropy,
        ),
        "labels imbalanced",
        "y",
    ),
    "classes from 5": (lambda: examine(mlp(hidden()), (DIGITS[0], DIGITS[1] + 5)), "labels out of range", "y"),
    "labels that contradict": (
        lambda: examine(mlp(hidden()), (np.repeat(DIGITS[0][:1], ROWS, axis=0), DIGITS[1])),
        "not learnt by heart",
        "the net",
    ),
}


@pytest.mark.row("gradient-instabilities")
@pytest.mark.parametrize("fault", PLANTED)
def test_each_planted_fault_is_found(fault):
    """By its name, at its place, with a number on the wrong side of its limit and a cure."""
    plant, problem, where = PLANTED[fault]
    report = plant()
    found = [finding for finding in report.findings if finding.problem == problem and finding.where == where]
    assert found, str(report)
    assert found[0].measured != found[0].limit
    assert found[0].cure
    assert f"{problem} at {where}: " in str(report)


def trained():
    task = fn.Task(mlp(hidden(), hidden()), CROSS_ENTROPY, fn.adam(1e-2))
    result = fn.fit(task, DIGITS, key=jax.random.key(0), steps=300, batch_size=32)
    return health(task, result.state, DIGITS)


def deep():
    blocks = (fn.residual(fn.serial(fn.layer_norm(), fn.dense(32, activation=jax.nn.gelu))) for _ in range(4))
    return examine(mlp(fn.dense(32), *blocks, fn.layer_norm()))


def regression():
    dataset = fn.data.diabetes()
    x, y = (np.asarray(a[:ROWS], np.float32) for a in dataset.arrays)
    data = (x - x.mean(0)) / x.std(0), (y - y.mean(0)) / y.std(0)
    return examine(fn.serial(hidden(activation=jnp.tanh), fn.dense(1)), data, loss=fn.losses.squared_error)


def alike():
    """Blocks before which values are normalised, the head's initializer for larger values than it is given."""
    block = fn.residual(fn.serial(fn.layer_norm(), hidden()))
    return examine(mlp(fn.dense(32), fn.repeat(block, 4)))


def without_forward_derivative():
    bent = jax.custom_vjp(jnp.tanh)
    bent.defvjp(lambda v: (jnp.tanh(v), v), lambda v, g: (g * (1 - jnp.tanh(v) ** 2),))
    return examine(mlp(hidden(activation=bent)))


HEALTHY = {
    "normalised blocks": alike,
    "a function with a custom_vjp": without_forward_derivative,
    "tokens": lambda: examine(
        fn.serial(fn.embedding(200, 8), fn.flatten(2), fn.dense(10)), (10 * TOKENS, TOKENS[:, 0] % 10)
    ),
    "beginning": lambda: examine(mlp(hidden(), hidden())),
    "trained": trained,
    "convolutions": lambda: examine(
        mlp(fn.conv(8, 3, activation=jax.nn.relu), fn.batch_norm(), fn.max_pool(2), fn.flatten(3)), IMAGES
    ),
    "residual": deep,
    "regression": regression,
}


@pytest.mark.parametrize("net", HEALTHY)
def test_nothing_is_found_in_healthy_nets(net):
    report = HEALTHY[net]()
    assert report.findings == (), str(report)
    assert str(report).startswith("nothing found (128 examples, step")


def test_nothing_of_the_state_is_changed_and_weights_are_taken():
    """The same state gives the same report again; a batch with weights is not called imbalanced."""
    task = fn.Task(mlp(hidden()), CROSS_ENTROPY, fn.adam(1e-2))
    ts = fn.init(task, jax.random.key(0), DIGITS[0])
    labels = np.where(np.arange(ROWS) % 12, 3, DIGITS[1]).astype(np.int32)
    data = fn.data.weigh((DIGITS[0], labels), fn.data.balanced(labels, 10))
    first, second = (health(task, ts, data) for _ in range(2))
    assert first == second
    assert "labels imbalanced" not in str(first)
    assert int(ts.step) == 0


def test_bad_input():
    task = fn.Task(mlp(hidden()), CROSS_ENTROPY, fn.adam(1e-2))
    ts = fn.init(task, jax.random.key(0), DIGITS[0])
    with pytest.raises(TypeError, match="expected a Task"):
        health(mlp(), ts, DIGITS)
    with pytest.raises(TypeError, match="health: expected a TrainState"):
        health(task, ts.params, DIGITS)
    with pytest.raises(DataError, match=r"expected \(x, y\)"):
        health(task, ts, DIGITS[0])
    with pytest.raises(DataError, match="health"):
        health(task, ts, fn.data.take(DIGITS, np.arange(1)))
