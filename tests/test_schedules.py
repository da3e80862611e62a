"""Schedules against formulas in float64, at their boundaries, and the laws of schedules."""

import inspect
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnnet import schedules, testing


def half_cosine(start, end, fraction):
    return end + (start - end) * (1 + math.cos(math.pi * min(fraction, 1))) / 2


def restarts(t):
    """Three cycles of 10, 20 and 40 steps from 1, 0.5 and 0.25 to 0.1."""
    for first, length, peak in ((0, 10, 1.0), (10, 20, 0.5), (30, 40, 0.25)):
        if t < first + length:
            return half_cosine(peak, 0.1, (t - first) / length)
    return 0.1


def one_cycle(t):
    return half_cosine(0.02, 0.5, t / 30) if t < 30 else half_cosine(0.5, 0.02 / 1e4, (t - 30) / 70)


def ours(schedule, steps, reference, **facts):
    return testing.ScheduleSubject(schedule, steps, reference=reference, **facts)


FALLS = {"stays": True, "turns": "falls", "start": 0.3, "end": 0.1, "least": 0.1, "most": 0.3}
SCHEDULES = {  # one row buys every law
    "constant": ours(schedules.constant(0.3), 20, lambda t: 0.3, stays=True, start=0.3, least=0.3, most=0.3),
    "step": ours(
        schedules.step(0.3, every=7, factor=0.5),
        20,
        lambda t: 0.3 * 0.5 ** (t // 7),
        turns="falls",
        start=0.3,
        most=0.3,
    ),
    "piecewise": ours(
        schedules.piecewise([0.3, 0.2, 0.7], [5, 9]),
        9,
        lambda t: 0.3 if t < 5 else 0.2 if t < 9 else 0.7,
        stays=True,
        start=0.3,
        end=0.7,
        least=0.2,
        most=0.7,
    ),
    "exponential": ours(
        schedules.exponential(0.3, steps=10, factor=0.5),
        10,
        lambda t: 0.3 * 0.5 ** (t / 10),
        turns="falls",
        start=0.3,
        end=0.15,
        most=0.3,
    ),
    "polynomial, line": ours(
        schedules.polynomial(0.3, 0.1, steps=20), 20, lambda t: 0.3 - 0.2 * min(t / 20, 1), **FALLS
    ),
    "polynomial": ours(
        schedules.polynomial(0.3, 0.1, steps=20, power=2.5),
        20,
        lambda t: 0.1 + 0.2 * (1 - min(t / 20, 1)) ** 2.5,
        **FALLS,
    ),
    "inverse_time": ours(
        schedules.inverse_time(0.3, steps=4, factor=0.5),
        4,
        lambda t: 0.3 / (1 + 0.5 * t / 4),
        turns="falls",
        start=0.3,
        end=0.2,
        most=0.3,
    ),
    "cosine": ours(schedules.cosine(0.3, steps=20, end=0.1), 20, lambda t: half_cosine(0.3, 0.1, t / 20), **FALLS),
    "cosine, restarts": ours(
        schedules.cosine(1.0, steps=10, end=0.1, cycles=3, growth=2.0, factor=0.5),
        70,
        restarts,
        stays=True,
        start=1.0,
        end=0.1,
        least=0.1,
        most=1.0,
    ),
    "warmup": ours(
        schedules.warmup(schedules.exponential(0.4, steps=10, factor=0.5), steps=8, start=0.1),
        8,
        lambda t: 0.1 + 0.3 * t / 8 if t < 8 else 0.4 * 0.5 ** ((t - 8) / 10),
        turns="rises",
        start=0.1,
        end=0.4,
        most=0.4,
    ),
    "warmup, to constant": ours(
        schedules.warmup(0.4, steps=8),
        8,
        lambda t: 0.4 * min(t / 8, 1),
        stays=True,
        turns="rises",
        start=0.0,
        end=0.4,
        most=0.4,
    ),
    "one_cycle": ours(
        schedules.one_cycle(0.5, steps=100), 100, one_cycle, stays=True, start=0.02, end=2e-6, least=2e-6, most=0.5
    ),
    "join": ours(
        schedules.join([0.2, schedules.polynomial(1.0, 0.0, steps=4), schedules.constant(0.3)], [3, 11]),
        11,
        lambda t: 0.2 if t < 3 else 1 - min((t - 3) / 4, 1) if t < 11 else 0.3,
        stays=True,
        start=0.2,
        end=0.3,
        most=1.0,
    ),
}
each = pytest.mark.parametrize("row", SCHEDULES.values(), ids=SCHEDULES)
TIMES = np.arange(130)


def test_every_schedule_has_a_row():
    public = {name for name, thing in vars(schedules).items() if inspect.isfunction(thing) and not name.startswith("_")}
    assert {name.split(",")[0] for name in SCHEDULES} == public - {"check_count"}


@pytest.mark.row("schedules")
@testing.law_table(SCHEDULES)
def test_it_obeys(law):
    law()


@pytest.mark.row("schedules")
@each
def test_values_are_the_formula(row):
    """schedule(t) is the formula, in float32, for every t at once, whole or not as its dtype may be."""
    values, of_floats = jax.jit(lambda t: (row.schedule(t), row.schedule(t.astype(jnp.float32).reshape(2, -1))))(TIMES)
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, [row.reference(int(t)) for t in TIMES], rtol=3e-6, atol=1e-7)
    np.testing.assert_array_equal(of_floats.ravel(), values)


@each
def test_values_in_float64(row, x64):
    """In double precision the formula holds to double precision."""
    values = jax.jit(row.schedule)(TIMES)
    np.testing.assert_allclose(values, [row.reference(int(t)) for t in TIMES], rtol=1e-12, atol=1e-14)


def test_boundaries_are_exact():
    """Start, end and restart are the given numbers to the bit, also where float32 cannot tell steps apart."""
    assert schedules.polynomial(0.3, 0.1, steps=7)(7) == jnp.float32(0.1)
    wave = schedules.cosine(0.3, steps=7, end=0.1, cycles=2)
    assert [wave(t) for t in (0, 7, 14, 15)] == [jnp.float32(x) for x in (0.3, 0.3, 0.1, 0.1)]
    assert schedules.one_cycle(0.5, steps=10)(3) == 0.5
    edge = 2**24 + 1
    rates = schedules.piecewise([1.0, 2.0], [edge])
    assert [float(rates(edge - 1)), float(rates(edge))] == [1.0, 2.0]
    joined = schedules.join([1.0, schedules.polynomial(2.0, 3.0, steps=2)], [edge])
    assert [float(joined(t)) for t in (edge - 1, edge, edge + 1)] == [1.0, 2.0, 2.5]


def test_the_last_boundary_may_be_the_last_int32():
    """The largest step that can be counted is in the part that begins there."""
    last = 2**31 - 1
    rates, joined = schedules.piecewise([1.0, 2.0], [last]), schedules.join([1.0, 2.0], [last])
    assert [float(rates(last - 1)), float(rates(last))] == [1.0, 2.0]
    assert [float(joined(last - 1)), float(joined(last))] == [1.0, 2.0]


def test_numbers_of_numpy_make_the_same_schedule():
    """Scalars of NumPy are numbers, and its integers whole ones."""
    rates = schedules.step(np.float32(0.25), every=np.int64(2), factor=np.float64(0.5))
    assert [float(rates(np.int64(t))) for t in (1, 2, 4)] == [0.25, 0.125, 0.0625]


@pytest.mark.row("schedules")
@given(st.integers(1, 50), st.integers(0, 100))
def test_join_counts_from_the_boundary(boundary, t):
    """join([f, g], [b])(t) = f(t) for t < b, else g(t − b)."""
    f, g = schedules.inverse_time(0.3, steps=4), schedules.exponential(0.5, steps=3, factor=0.9)
    assert schedules.join([f, g], [boundary])(t) == (f(t) if t < boundary else g(t - boundary))


def test_values_may_be_traced():
    """A schedule made of a traced rate is differentiable in it and can be vmapped over it."""
    slope = jax.grad(lambda peak: schedules.warmup(schedules.cosine(peak, steps=10), steps=4)(2))(0.3)
    np.testing.assert_allclose(slope, 0.5)
    rates = jax.vmap(lambda value: schedules.step(value, every=2, factor=0.5)(4))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(rates, [0.25, 0.5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.constant(-0.1), "constant: value must be finite and at least 0, got -0.1"),
        (lambda: schedules.cosine(math.nan, steps=3), "cosine: value must be finite and at least 0, got nan"),
        (lambda: schedules.polynomial(0.1, math.inf, steps=3), "polynomial: end must be finite"),
        (lambda: schedules.step(0.1, every=0), "step: every must be at least 1, got 0"),
        (lambda: schedules.exponential(0.1, steps=-1, factor=0.5), "exponential: steps must be at least 1, got -1"),
        (lambda: schedules.cosine(0.1, steps=3, cycles=0), "cosine: cycles must be at least 1, got 0"),
        (lambda: schedules.warmup(-0.1, steps=3), "warmup: schedule must be finite and at least 0, got -0.1"),
        (lambda: schedules.one_cycle(0.1, steps=9, rise=1.5), "one_cycle: rise must be between 0 and 1, got 1.5"),
        (lambda: schedules.one_cycle(0.1, steps=9, final_divisor=0.0), "one_cycle: divisors must be above 0"),
        (
            lambda: schedules.piecewise([0.1], [3]),
            "piecewise: there must be one boundary fewer than values, got 1 and 1",
        ),
        (lambda: schedules.piecewise([0.1, -0.2], [3]), "piecewise: values must be finite and at least 0, got -0.2"),
        (
            lambda: schedules.join([0.1, 0.2, 0.3], [5, 5]),
            "join: boundaries must increase from above 0, got [5, 5]",
        ),
        (
            lambda: schedules.join([0.1, 0.2], [2**31]),
            "join: the last part must begin within the steps of an int32, got",
        ),
        (lambda: schedules.piecewise([0.1, 0.2], [2**31]), "piecewise: the last part must begin within the steps of"),
        (lambda: schedules.cosine(0.1, steps=2**30, cycles=3), "cosine: the last part must begin within the steps of"),
        (lambda: schedules.warmup(0.1, steps=2**31), "warmup: steps must be within an int32, got 2147483648"),
        (lambda: schedules.step(0.1, every=2**31), "step: every must be within an int32, got 2147483648"),
        (lambda: schedules.join([0.1, 0.2], [2.5]), "join: boundaries must be a whole number, got 2.5"),
        (lambda: schedules.one_cycle(0.1, steps=9, rise="a"), "one_cycle: rise must be a number, got 'a'"),
        (lambda: schedules.constant("a"), "constant: value must be a number, got 'a'"),
        (lambda: schedules.constant(True), "constant: value must be a number, got True"),
        (lambda: schedules.warmup(None, steps=3), "warmup: schedule must be a number, got None"),
        (lambda: schedules.cosine(np.ones(2), steps=3), "cosine: value must be a number, got array([1., 1.])"),
        (lambda: schedules.step(0.1, every=2.5), "step: every must be a whole number, got 2.5"),
        (lambda: schedules.warmup(0.1, steps=True), "warmup: steps must be a whole number, got True"),
    ],
)
def test_impossible_schedules(make, message):
    """What cannot be a schedule is refused where it is made."""
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_a_step_of_few_bits_counts_as_any_other():
    """uint8 holds no more than 255, which is no bound on the numbers of a schedule."""
    for schedule in (
        schedules.cosine(0.1, steps=200, cycles=3),
        schedules.step(0.1, every=300),
        schedules.piecewise([0.1, 0.2], [300]),
        schedules.join([0.1, 0.2], [300]),
    ):
        assert schedule(np.uint8(5)) == schedule(5)
