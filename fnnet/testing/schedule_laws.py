"""Laws of schedules: functions step -> number."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fnnet.testing.comparing import DifferenceError, assert_alike, assert_same, shown
from fnnet.testing.drawing import Draw
from fnnet.testing.searching import Holds, Law, law
from fnnet.testing.subjects import ScheduleSubject

FAR = (2**24 + 1, 2**31 - 1)
POINTS = 65  # steps that the size of a schedule is taken of


def drawn(draw: Draw, subject: ScheduleSubject, name: str = "step") -> int:
    """Return a step: the first, the last, one near either, far beyond, or any."""
    edges = (0, 1, subject.steps - 1, subject.steps, subject.steps + 1)
    kind = draw.choose(f"{name} at", ("an edge", "anywhere"))
    return max(0, int(draw.choose(name, edges))) if kind == "an edge" else draw.seed(name) % (2 * subject.steps + 2)


def size(subject: ScheduleSubject) -> float:
    """Return the largest value of a few steps: a difference is small beside it, not beside 1, since rates are."""
    steps = jnp.asarray(np.unique(np.linspace(0, subject.steps, POINTS).astype(np.int32)))
    values = np.abs(np.asarray(jax.vmap(subject.schedule)(steps), np.float64))
    return float(values[np.isfinite(values)].max(initial=0.0))


@law()
def one_number_a_step(subject: ScheduleSubject) -> Holds:
    """schedule(t) of one step, a whole number, is one number, float32, or JAX's default where that is float64."""

    def holds(draw: Draw) -> None:
        value = jnp.asarray(subject.schedule(drawn(draw, subject)))
        if value.shape != () or value.dtype not in (jnp.float32, jnp.zeros(()).dtype):
            raise DifferenceError("schedule(t)", f"{value.dtype}{list(value.shape)}", "float32[]")

    return holds


@law()
def jit_and_vmap_are_a_loop(subject: ScheduleSubject) -> Holds:
    """jit(schedule)(t) = vmap(schedule)([t])[0] = schedule(t), for t of int32."""
    compiled, mapped = jax.jit(subject.schedule), jax.jit(jax.vmap(subject.schedule))
    slack = 1e-6 * size(subject)

    def holds(draw: Draw) -> None:
        steps = [drawn(draw, subject, name) for name in ("step", "second step", "third step")]
        eager = np.array([subject.schedule(step) for step in steps], np.float64)
        alone = np.array([compiled(jnp.int32(step)) for step in steps], np.float64)
        assert_alike("jit(schedule)", alone, eager, atol=slack)
        assert_alike("vmap(schedule)", mapped(jnp.array(steps, jnp.int32)), eager, atol=slack)

    return holds


@law()
def one_trace_serves_all_steps(subject: ScheduleSubject) -> Holds:
    """All steps run one program, and the same step gives the same number again."""
    traces: list[int] = []

    @jax.jit
    def compiled(step: Array) -> Any:
        traces.append(1)
        return subject.schedule(step)

    def holds(draw: Draw) -> None:
        step = jnp.int32(drawn(draw, subject))
        assert_same("a second call", compiled(step), compiled(step))
        if len(traces) > 1:
            raise DifferenceError("traces", str(len(traces)), "1")

    return holds


@law()
def values_stay_within_bounds(subject: ScheduleSubject) -> Holds:
    """Least ≤ schedule(t) ≤ most, and finite, for every t up to 2³¹ − 1."""
    values = jax.jit(jax.vmap(subject.schedule))
    slack = 1e-6 * max(abs(subject.least), size(subject) if subject.most is None else abs(subject.most))

    def holds(draw: Draw) -> None:
        steps = jnp.array([drawn(draw, subject), draw.choose("far step", FAR)], jnp.int32)
        found = np.asarray(values(steps), np.float64)
        most = np.inf if subject.most is None else subject.most
        if not (np.isfinite(found) & (found >= subject.least - slack) & (found <= most + slack)).all():
            raise DifferenceError("schedule(t)", shown(found), f"numbers from {subject.least} to {most}")

    return holds


@law(lambda subject: subject.start is not None or subject.end is not None)
def ends_are_as_declared(subject: ScheduleSubject) -> Holds:
    """schedule(0) = start, and schedule(steps) = end."""
    slack = 1e-6 * size(subject)

    def holds(draw: Draw) -> None:
        places = {"start": (0, subject.start), "end": (subject.steps, subject.end)}
        place = draw.choose("place", tuple(name for name, (_, value) in places.items() if value is not None))
        step, value = places[place]
        assert_alike(f"schedule({step})", np.float64(subject.schedule(step)), np.float64(value), atol=slack)

    return holds


@law(lambda subject: subject.stays)
def it_stays_after_its_steps(subject: ScheduleSubject) -> Holds:
    """schedule(t) = schedule(steps) for t ≥ steps."""

    def holds(draw: Draw) -> None:
        later = subject.steps + draw.seed("later")
        last = np.float64(subject.schedule(subject.steps))
        assert_alike(f"schedule({later})", np.float64(subject.schedule(later)), last, atol=0.0)

    return holds


@law(lambda subject: subject.turns is not None)
def it_turns_one_way(subject: ScheduleSubject) -> Holds:
    """schedule(t + s) ≤ schedule(t) where it falls, ≥ where it rises, from 0 to steps."""
    values = jax.jit(jax.vmap(subject.schedule))
    slack = 1e-6 * size(subject)

    def holds(draw: Draw) -> None:
        pair = sorted(draw.seed(name) % (subject.steps + 1) for name in ("step", "second step"))
        first, second = np.asarray(values(jnp.array(pair, jnp.int32)), np.float64)
        sign = 1 if subject.turns == "rises" else -1
        if sign * (second - first) < -slack:
            raise DifferenceError(
                f"schedule({pair[1]})", f"{second:.7g}", f"not on the wrong side of {first:.7g} at {pair[0]}"
            )

    return holds


@law(lambda subject: subject.reference is not None)
def it_is_its_reference(subject: ScheduleSubject) -> Holds:
    """schedule(t) = the formula in float64."""
    compiled = jax.jit(subject.schedule)
    slack = 1e-6 * size(subject)

    def holds(draw: Draw) -> None:
        step = drawn(draw, subject)
        assert subject.reference is not None
        expected = np.float64(subject.reference(step))
        assert_alike(f"schedule({step})", np.float64(compiled(jnp.int32(step))), expected, atol=slack)

    return holds


LAWS: tuple[Law, ...] = (
    one_number_a_step,
    jit_and_vmap_are_a_loop,
    one_trace_serves_all_steps,
    values_stay_within_bounds,
    ends_are_as_declared,
    it_stays_after_its_steps,
    it_turns_one_way,
    it_is_its_reference,
)
