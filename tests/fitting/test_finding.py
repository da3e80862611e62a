"""The learning rate finder sees where the loss falls fastest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet.fitting.finding import _finding


def test_the_fastest_fall_of_a_known_curve():
    """A loss that falls about rate 0.01 and explodes beyond 1: the suggestion lies in the fall."""
    rates = np.geomspace(1e-6, 100, 400)
    losses = 2 - 1.5 / (1 + np.exp(-4 * (np.log(rates) - np.log(0.01)))) + np.where(rates > 1, rates**2, 0)
    found = _finding(rates, losses)
    assert 0.007 < found.suggestion < 0.014
    assert 1 < found.rates[-1] < 10
    assert len(found.rates) == len(found.losses) < 400


def test_training_with_the_suggestion_learns():
    """On iris it trains better than a hundredth of it, for plain descent and for Adam."""
    data = fn.data.iris()
    for rule in (fn.sgd, fn.adam):
        net = fn.serial(fn.dense(16, activation=jnp.tanh), fn.dense(3))
        task = fn.Task(net, fn.losses.cross_entropy, rule(1.0), metrics=(fn.metrics.accuracy(),))
        rate = fn.find_learning_rate(task, data, key=jax.random.key(0)).suggestion
        ends = []
        for factor in (1, 0.01):
            trained = fn.fit(task._replace(optimizer=rule(rate * factor)), data, key=jax.random.key(1), epochs=10)
            ends.append(float(trained.metrics["loss"][-1]))
        assert ends[0] < 0.7 < ends[1]


def test_rates_after_the_loss_is_lost_are_left_out():
    found = _finding(np.geomspace(1e-3, 1, 10), np.array([3.0, 2, 1, np.nan, 1, 1, 1, 1, 1, 1]))
    assert len(found.rates) == 3
    assert len(_finding(np.geomspace(1e-3, 1, 10), np.array([3.0, *[np.inf] * 9])).rates) == 1


@pytest.mark.parametrize(
    ("options", "rule", "error", "message"),
    [
        ({"low": 0.0}, fn.sgd(0.1), ValueError, "expected 0 < low < high, got low=0.0, high=10.0"),
        ({"steps": 3}, fn.sgd(0.1), ValueError, "steps must be at least 10, got 3"),
        ({}, fn.sgd(lambda count: jnp.array(0.1)), ValueError, "holds 0 rates, expected one; make the optimizer with"),
        ({"batch_size": 1000}, fn.sgd(0.1), fn.errors.DataError, "batch_size of at most the 150 examples, got 1000"),
    ],
)
def test_what_cannot_be_searched_is_named(options, rule, error, message):
    task = fn.Task(fn.dense(3), fn.losses.cross_entropy, rule)
    with pytest.raises(error, match=message):
        fn.find_learning_rate(task, fn.data.iris(), key=jax.random.key(0), **options)


def test_a_loss_that_is_lost_from_the_start_is_named():
    task = fn.Task(fn.dense(3), lambda z, y: jnp.log(-jnp.abs(z[:, 0])), fn.sgd(0.1))
    with pytest.raises(fn.errors.DataError, match="the loss is not finite from the start"):
        fn.find_learning_rate(task, fn.data.iris(), key=jax.random.key(0))


def test_a_fall_after_the_least_loss_is_no_suggestion():
    """The loss falls about 0.01, leaps to twice its least at 1 and falls back, more steeply than ever before."""
    rates = np.geomspace(1e-4, 100, 400)
    losses = 2.5 - 0.5 / (1 + np.exp(-2 * (np.log(rates) - np.log(0.01))))
    losses += np.where(rates > 1, np.where(rates < 10, 1.5, 0.1), 0)
    found = _finding(rates, losses)
    assert len(found.rates) == 400
    assert 0.003 < found.suggestion < 0.03
