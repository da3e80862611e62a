"""Schedules: pure functions of the number of updates made so far, for a learning rate or any other number.

Each factory returns ``schedule(step) -> value``: `step` is an int or an array (an array gives an array of values), the
value is of JAX's default float type. Pass one as an optimizer's ``learning_rate``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fnnet.shapes import check_count

Schedule: TypeAlias = Callable[[Any], Array]
"""step -> value."""

_LAST = np.iinfo(np.int32).max  # the largest count of updates


def constant(value: float) -> Schedule:
    """Return the schedule that is `value` at every step.

    >>> float(constant(0.5)(1000))
    0.5
    """
    _check_values("constant", value=value)
    return lambda step: _float(value) * jnp.ones_like(_float(step))


def step(value: float, *, every: int, factor: float = 0.1) -> Schedule:
    r"""Multiply by `factor` after each `every` steps: :math:`v f^{\lfloor t/n \rfloor}`.

    >>> decay = step(1.0, every=10, factor=0.5)
    >>> float(decay(9)), float(decay(10)), float(decay(20))
    (1.0, 0.5, 0.25)
    """
    _check_steps("step", every=every)
    _check_values("step", value=value, factor=factor)
    return lambda step: _float(value) * _float(factor) ** _float(jnp.maximum(_count(step), 0) // every)


def piecewise(values: Sequence[float], boundaries: Sequence[int]) -> Schedule:
    """Hold ``values[0]`` before ``boundaries[0]``, and ``values[i]`` from ``boundaries[i - 1]`` on, itself included.

    Raises: ValueError unless there is one value more than boundaries, and these increase.

    >>> rates = piecewise([0.5, 0.25], [100])
    >>> float(rates(99)), float(rates(100))
    (0.5, 0.25)
    """
    _check_boundaries("piecewise", boundaries, len(values), "values")
    for value in values:
        _check_values("piecewise", values=value)
    return lambda step: jnp.take(jnp.stack([_float(value) for value in values]), _segment(step, boundaries))


def exponential(value: float, *, steps: int, factor: float) -> Schedule:
    r"""Multiply by `factor` over each `steps` steps, smoothly: :math:`v f^{t/n}`. In jumps, this is `step`.

    >>> decay = exponential(1.0, steps=2, factor=0.25)
    >>> [float(decay(t)) for t in (0, 1, 2)]
    [1.0, 0.5, 0.25]
    """
    _check_steps("exponential", steps=steps)
    _check_values("exponential", value=value, factor=factor)
    return lambda step: _float(value) * _float(factor) ** (jnp.maximum(_float(step), 0) / steps)


def polynomial(start: float, end: float, *, steps: int, power: float = 1.0) -> Schedule:
    r"""Go from `start` to `end` in `steps` steps and stay: :math:`e + (s - e)(1 - t/n)^p`; a line for power 1.

    >>> line = polynomial(1.0, 0.5, steps=10)
    >>> float(line(0)), float(line(5)), float(line(10)), float(line(99))
    (1.0, 0.75, 0.5, 0.5)
    """
    _check_steps("polynomial", steps=steps)
    _check_values("polynomial", start=start, end=end, power=power)

    def schedule(step: Any) -> Array:
        return _between(_float(start), _float(end), 1 - (1 - _progress(step, steps)) ** _float(power))

    return schedule


def inverse_time(value: float, *, steps: int, factor: float = 1.0) -> Schedule:
    r"""Decay as :math:`v / (1 + f t/n)`, which satisfies the conditions of Robbins & Monro (1951).

    >>> float(inverse_time(1.0, steps=10)(10))
    0.5
    """
    _check_steps("inverse_time", steps=steps)
    _check_values("inverse_time", value=value, factor=factor)
    return lambda step: _float(value) / (1 + _float(factor) * jnp.maximum(_float(step), 0) / steps)


def cosine(
    value: float, *, steps: int, end: float = 0.0, cycles: int = 1, growth: float = 1.0, factor: float = 1.0
) -> Schedule:
    r"""Go from `value` to `end` along half a cosine in `steps` steps; with `cycles`, start again.

    :math:`e + (v - e)(1 + \cos \pi t/n)/2` (Loshchilov & Hutter 2017, equation 5). Cycle i lasts
    ``round(steps · growthⁱ)`` steps and starts at ``value · factorⁱ``; the step after the last cycle, and every later
    one, is at `end`.

    >>> wave = cosine(1.0, steps=10, cycles=2, factor=0.5)
    >>> [round(float(wave(t)), 3) for t in (0, 5, 10, 20, 99)]
    [1.0, 0.5, 0.5, 0.0, 0.0]
    """
    _check_steps("cosine", steps=steps, cycles=cycles)
    _check_values("cosine", value=value, end=end, growth=growth, factor=factor)
    lengths = [max(1, round(steps * growth**i)) for i in range(cycles)]
    starts = [sum(lengths[:i]) for i in range(cycles)]
    _check_last("cosine", starts[-1])

    def schedule(step: Any) -> Array:
        step = _count(step)
        cycle = _segment(step, starts[1:])
        since = step - jnp.take(jnp.asarray(starts, step.dtype), cycle)
        fraction = jnp.clip(_float(since) / jnp.take(_float(lengths), cycle), 0, 1)
        peak = _float(value) * _float(factor) ** _float(cycle)
        return _between(peak, _float(end), (1 - jnp.cos(jnp.pi * fraction)) / 2)

    return schedule


def warmup(schedule: float | Schedule, *, steps: int, start: float = 0.0) -> Schedule:
    """Rise in a line from `start` to the schedule's first value in `steps` steps, then follow it from its step 0.

    With ``start=0`` the update at step 0 is zero.

    >>> rate = warmup(cosine(1.0, steps=10), steps=4)
    >>> [round(float(rate(t)), 3) for t in (0, 2, 4, 14)]
    [0.0, 0.5, 1.0, 0.0]
    """
    _check_steps("warmup", steps=steps)
    _check_values("warmup", start=start)
    after = _as_schedule("warmup", schedule)
    return join(
        [lambda step: _between(_float(start), after(jnp.zeros_like(step)), _progress(step, steps)), after], [steps]
    )


def one_cycle(
    peak: float, *, steps: int, rise: float = 0.3, initial_divisor: float = 25.0, final_divisor: float = 1e4
) -> Schedule:
    """Rise from ``peak / initial_divisor`` to `peak` and fall to almost nothing, along half cosines.

    After Smith & Topin (2018). The rise takes ``round(rise · steps)`` steps; the last value is ``peak /
    (initial_divisor · final_divisor)``.

    >>> rate = one_cycle(1.0, steps=100)
    >>> [round(float(rate(t)), 3) for t in (0, 30, 100)]
    [0.04, 1.0, 0.0]
    """
    _check_steps("one_cycle", steps=steps)
    _check_values("one_cycle", peak=peak, rise=rise, initial_divisor=initial_divisor, final_divisor=final_divisor)
    if not 0 < rise < 1:
        raise ValueError(f"one_cycle: rise must be between 0 and 1, got {rise}")
    if not (initial_divisor > 0 and final_divisor > 0):
        raise ValueError(f"one_cycle: divisors must be above 0, got {initial_divisor} and {final_divisor}")
    top = min(max(1, round(rise * steps)), max(1, steps - 1))
    low = peak / initial_divisor
    fall = cosine(peak, steps=max(1, steps - top), end=low / final_divisor)
    return join([cosine(low, steps=top, end=peak), fall], [top])


def join(schedules: Sequence[float | Schedule], boundaries: Sequence[int]) -> Schedule:
    """Follow ``schedules[0]`` before ``boundaries[0]``, then each next one from its boundary on, counted from there.

    Law: ``join([f, g], [b])(t)`` is ``f(t)`` for t < b and ``g(t - b)`` for t ≥ b.
    Raises: ValueError unless there is one schedule more than boundaries, and these increase.

    >>> rate = join([0.5, polynomial(1.0, 0.0, steps=4)], [10])
    >>> float(rate(9)), float(rate(10)), float(rate(12))
    (0.5, 1.0, 0.5)
    """
    _check_boundaries("join", boundaries, len(schedules), "schedules")
    members = [_as_schedule("join", schedule) for schedule in schedules]

    def joined(step: Any) -> Array:
        step = _count(step)
        value = members[0](step)
        for member, boundary in zip(members[1:], boundaries, strict=True):
            value = jnp.where(step >= boundary, member(jnp.maximum(step - boundary, 0)), value)
        return value

    return joined


def _count(step: Any) -> Array:
    """Return `step` as an array whose dtype, if of integers, holds the steps of an int32."""
    step = jnp.asarray(step)
    narrow = jnp.issubdtype(step.dtype, jnp.integer) and step.dtype.itemsize < 4
    return step.astype(jnp.int32) if narrow else step


def _float(value: Any) -> Array:
    return jnp.asarray(value).astype(jnp.result_type(float))


def _progress(step: Any, steps: int) -> Array:
    return jnp.clip(_float(step) / steps, 0, 1)


def _between(start: Array, end: Array, fraction: Array) -> Array:
    """Return start where the fraction is 0 and end where it is 1, both exactly."""
    return (1 - fraction) * start + fraction * end


def _segment(step: Any, boundaries: Sequence[int]) -> Array:
    """Return how many boundaries are at or before `step`, compared as integers so that none is missed by rounding."""
    step = _count(step)
    return sum(((step >= boundary).astype(jnp.int32) for boundary in boundaries), jnp.zeros(step.shape, jnp.int32))


def _as_schedule(where: str, schedule: float | Schedule) -> Schedule:
    if callable(schedule):
        return schedule
    _check_values(where, schedule=schedule)
    return constant(schedule)


def _check_values(where: str, **values: Any) -> None:
    for name, value in values.items():
        if isinstance(value, jax.core.Tracer):
            continue
        number = np.asarray(value)
        if number.ndim or number.dtype.kind not in "iuf":
            raise ValueError(f"{where}: {name} must be a number, got {value!r}")
        if not (number >= 0 and np.isfinite(number)):
            raise ValueError(f"{where}: {name} must be finite and at least 0, got {value}")


def _check_steps(where: str, **counts: int) -> None:
    for name, count in counts.items():
        if check_count(where, name, count) > _LAST:
            raise ValueError(f"{where}: {name} must be within an int32, got {count}")


def _check_boundaries(where: str, boundaries: Sequence[int], parts: int, name: str) -> None:
    if len(boundaries) != parts - 1:
        raise ValueError(f"{where}: there must be one boundary fewer than {name}, got {len(boundaries)} and {parts}")
    for boundary in boundaries:
        check_count(where, "boundaries", boundary)
    if any(b <= a for a, b in zip([0, *boundaries], boundaries, strict=False)):
        raise ValueError(f"{where}: boundaries must increase from above 0, got {list(boundaries)}")
    _check_last(where, boundaries[-1] if boundaries else 0)


def _check_last(where: str, step: int) -> None:
    if step > _LAST:
        raise ValueError(f"{where}: the last part must begin within the steps of an int32, got {step}")
