"""Laws say what their statements say: of small rates, of all arrays of a batch, of rows before, of weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import testing
from fnnet.testing.precision import x64

X = jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)
RATE = 1e-6


def falling(step):
    return RATE * (1 - jnp.minimum(jnp.float32(step), 10) / 10)


OFF = {
    "one percent off the formula": {"laws": "it_is_its_reference", "reference": lambda t: 1.01 * RATE * (1 - t / 10)},
    "one percent off the start": {"laws": "ends_are_as_declared", "start": 0.99 * RATE},
    "one percent above its bound": {"laws": "values_stay_within_bounds", "most": 0.99 * RATE},
    "falls where it is to rise": {"laws": "it_turns_one_way", "turns": "rises"},
}


@pytest.mark.parametrize("name", OFF)
def test_a_small_rate_is_compared_with_its_own_size(name):
    with pytest.raises(testing.LawError, match="expected:"):
        testing.check_schedule(falling, 10, profile=testing.Profile(50, 0), **OFF[name])


def test_a_schedule_that_fails_breaks_a_law_whatever_asks_first():
    def failing(step):
        return 1 / 0

    for law in ("one_number_a_step", "it_turns_one_way"):
        with pytest.raises(testing.LawError, match="ZeroDivisionError"):
            testing.check_schedule(failing, 10, laws=law, turns="falls")


def test_a_small_rate_that_is_as_declared_obeys():
    facts = {"start": RATE, "end": 0.0, "most": RATE, "turns": "falls", "stays": True}
    testing.check_schedule(falling, 10, reference=lambda t: RATE * (1 - min(t, 10) / 10), **facts)


def test_schedules_and_losses_of_double_precision_obey():
    with x64():
        testing.check_schedule(fn.schedules.cosine(0.1, steps=20), 20, laws="one_number_a_step")
        testing.check_loss(fn.losses.squared_error, jnp.ones((4, 2)), jnp.zeros((4, 2)), laws="one_value_an_example")


def noisy(key, x):
    return x + jax.random.normal(key, x.shape, x.dtype)


LAWFUL = {
    "an array": (noisy, X),
    "a dict": (lambda key, batch: {**batch, "x": noisy(key, batch["x"])}, {"x": X, "y": jnp.arange(3)}),
    "of labels": (lambda key, batch: (batch[0], noisy(key, batch[1])), (X, jnp.ones(3))),
    "one row": (noisy, X[:1]),
    "of NumPy": (noisy, np.asarray(X)),
}


@pytest.mark.parametrize("name", LAWFUL)
def test_batches_of_any_structure_are_asked(name):
    outcomes = [verdict.outcome for verdict in testing.check(testing.TransformSubject(*LAWFUL[name]))]
    assert outcomes.count("held") == 5


def test_a_row_that_depends_on_those_before_is_found():
    def summed(key, x):
        return jnp.cumsum(noisy(key, x), 0)

    with pytest.raises(testing.LawError, match="the rows after the first"):
        testing.check_transform(summed, X, laws="rows_are_apart")


def test_with_weights_a_pass_has_every_row():
    """Weights are there so that none is left out, of batches that do not divide the size either."""
    dropping = fn.sampling.epochs()

    def rows(key, step, size, batch_size):
        return dropping.rows(key, step, size, batch_size)[0], jnp.ones(batch_size)

    with pytest.raises(testing.LawError, match="at least 7 of 7, each once"):
        testing.check_sampler(dropping._replace(rows=rows), laws="a_pass_has_each_row_once")


def test_a_table_that_asks_nothing_is_an_error():
    """Else pytest skips it, and nobody sees it."""
    rows = {"dense": testing.layer_subject(fn.dense(3), X)}
    for given, laws in (({}, None), (rows, "it_is_its_reference")):
        with pytest.raises(ValueError, match="law_table: there is nothing to ask"):
            testing.law_table(given, laws=laws)


def stateless(update):
    return (lambda params: {}), update


def test_a_small_first_step_is_compared_with_its_own_size():
    with pytest.raises(testing.LawError, match="the first step, at bias"):
        testing.check_optimizer(
            fn.sgd(1e-6), laws="the_first_step_is_as_declared", first_step=lambda grads, params: -1.01e-6 * grads
        )


def test_a_leaf_that_moves_by_the_gradients_of_the_first_is_found():
    def update(grads, state, params):
        first = jax.tree.leaves(grads)[0].mean()
        leaves, treedef = jax.tree.flatten(grads)
        return jax.tree.unflatten(treedef, [leaves[0], *(-leaf * first for leaf in leaves[1:])]), state

    with pytest.raises(testing.LawError, match="the last leaf"):
        testing.check_optimizer(stateless(update), laws="leaves_are_apart")


def test_an_optimizer_that_changes_what_it_is_given_is_found():
    def update(grads, state, params):
        if isinstance(grads["bias"], np.ndarray):
            grads["bias"] *= 2
        return jax.tree.map(lambda leaf: -0.1 * leaf, grads), state

    with pytest.raises(testing.LawError, match="the arguments, afterwards, at 2/bias"):
        testing.check_optimizer(stateless(update), laws="update_is_pure")


def test_the_line_that_asks_again_has_no_name_that_was_not_given():
    optimizer = stateless(lambda grads, state, params: (grads, state))
    with pytest.raises(testing.LawError) as caught:
        testing.check_optimizer(optimizer)
    with pytest.raises(testing.LawError) as again:
        eval(caught.value.fix, {"fn": fn, "optimizer": optimizer})
    assert str(again.value) == str(caught.value)
    with pytest.raises(testing.LawError, match=r"\(schedule, steps, most=float\('inf'\), end=0.5, laws="):
        testing.check_schedule(falling, 10, most=np.inf, end=np.float64(0.5), laws="ends_are_as_declared")
