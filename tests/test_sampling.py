"""The order of an epoch is a bijection, uniform as far as statistics see, and needs no table; the laws of samplers."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fnnet import sampling, testing


@pytest.mark.lowest
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100, 1023, 1024, 1025, 60_000])
def test_it_is_a_bijection(size, key):
    """Every row comes once."""
    rows = jax.jit(sampling.shuffled, static_argnums=2)(key, jnp.arange(size), size)
    np.testing.assert_array_equal(np.sort(rows), np.arange(size))


def test_a_position_is_evaluated_alone(key):
    """Any positions give what the whole order has there."""
    whole = sampling.shuffled(key, jnp.arange(100), 100)
    places = jnp.asarray([99, 0, 41, 41])
    np.testing.assert_array_equal(sampling.shuffled(key, places, 100), whole[places])


def orders(size, count):
    keys = jax.random.split(jax.random.key(1), count)
    return np.asarray(jax.jit(jax.vmap(lambda k: sampling.shuffled(k, jnp.arange(size), size)))(keys))


def test_every_order_of_few_rows_comes_equally_often():
    """Chi-squared of the 24 orders of four rows over 24 000 keys."""
    names = {order: n for n, order in enumerate(itertools.permutations(range(4)))}
    counts = np.bincount([names[tuple(order)] for order in orders(4, 24_000).tolist()], minlength=24)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("size", [7, 129, 300])
def test_rows_and_neighbours_are_uniform(size):
    """Chi-squared of the row at a position, and of the step from one row to the next, over 40 000 keys."""
    drawn = orders(size, 40_000)
    for position in (0, 1, size - 1):
        assert stats.chisquare(np.bincount(drawn[:, position], minlength=size)).pvalue > 1e-4
    steps = (drawn[:, 1] - drawn[:, 0]) % size
    assert stats.chisquare(np.bincount(steps, minlength=size)[1:]).pvalue > 1e-4
    # Shuffled orders show no trend: the rank correlation with the identity has mean 0 and variance 1 / (n - 1).
    rho = np.array([np.corrcoef(order, np.arange(size))[0, 1] for order in drawn[:2000]])
    assert abs(rho.mean()) < 4 / np.sqrt(2000 * (size - 1))
    np.testing.assert_allclose(rho.var() * (size - 1), 1, atol=0.2)


SAMPLERS = {
    "epochs": testing.SamplerSubject(sampling.epochs()),
    "epochs, weighed": testing.SamplerSubject(sampling.epochs("weigh")),
    "in_order": testing.SamplerSubject(sampling.in_order(), shuffles=False),
    "in_order, weighed": testing.SamplerSubject(sampling.in_order("weigh"), shuffles=False),
    "with_replacement": testing.SamplerSubject(sampling.with_replacement(), whole=False),
}


def test_every_sampler_has_a_row():
    things = vars(sampling).items()
    made = {name for name, thing in things if getattr(thing, "__annotations__", {}).get("return") == "Sampler"}
    assert {name.split(",")[0] for name in SAMPLERS} == {name for name in made if not name.startswith("_")}


@testing.law_table(SAMPLERS)
def test_it_obeys(law, quickly_compiled):
    law()


def test_a_second_batch_compiles_nothing(programs_of):
    """Without ``jit`` too: the walk of many rows is one program."""

    def rows():
        return sampling.epochs().rows(jax.random.key(0), jnp.int32(3), 200, 16)

    rows()
    assert programs_of(rows) == 0
