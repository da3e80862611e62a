"""Laws of whole runs: of a task and its data."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnnet import training
from fnnet.fitting import fit
from fnnet.testing.comparing import DifferenceError, assert_alike, assert_same, equal
from fnnet.testing.drawing import Draw
from fnnet.testing.searching import Holds, Law, law
from fnnet.testing.subjects import RunSubject

STEPS = 6


class _Itself(NamedTuple):
    """A subject, told from others by identity, since what it is made of may have no hash."""

    subject: RunSubject

    def __hash__(self) -> int:
        return id(self.subject)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.subject is self.subject


def runner(subject: RunSubject) -> Callable[..., Any]:
    """Return the compiled run of (state, steps), the same for every law."""
    return _runner(_Itself(subject))


@lru_cache(maxsize=4)
def _runner(of: _Itself) -> Callable[..., Any]:
    task, data, batch_size, options = of.subject

    def run(state: Any, steps: int) -> Any:
        return training.run(task, state, data, steps=steps, batch_size=batch_size, **options)

    return jax.jit(run, static_argnums=1)


def begun(subject: RunSubject, seed: int) -> Any:
    """Return the state that a run begins with."""
    return training.init(subject.task, jax.random.key(seed), jax.tree.map(lambda leaf: leaf[:2], subject.data[0]))


@law()
def split_runs_are_whole_runs(subject: RunSubject) -> Holds:
    """run of a steps, then of b steps, … = run of all of them, to the bit: the state, and what is told of each step."""
    run = runner(subject)
    record = subject.options.get("record", training.Record())
    held = {"grad_norm", "param_norm", "update_ratio", "layers", *(metric.name for metric in subject.task.metrics)}

    def holds(draw: Draw) -> None:
        state = begun(subject, draw.seed("seed"))
        whole, history = run(state, STEPS)
        rows = []
        for steps in draw.choose("pieces", ((3, 3), (1,) * STEPS)):
            state, row = run(state, steps)
            rows.append(row)
        assert_same("the state", state, whole)
        of_each = jax.tree.map(lambda *columns: np.concatenate(columns), *rows)
        for name in history.keys() - (set() if record.every == 1 else held):
            assert_same(name, of_each[name], history[name])

    return holds


@law()
def the_seed_determines_the_run(subject: RunSubject) -> Holds:
    """The same key gives the same run, to the bit, and some other keys others."""
    run = runner(subject)

    def holds(draw: Draw) -> None:
        seed = draw.seed("seed")
        once, again = (run(begun(subject, seed), STEPS)[0] for _ in range(2))
        assert_same("a second run", again, once)
        others = [run(begun(subject, seed + number), STEPS)[0].params for number in range(1, 5)]
        same = [equal(other, once.params) for other in others]
        if all(same):
            raise DifferenceError("the parameters of 5 seeds", "all the same", "some that differ")

    return holds


@law()
def chunks_do_not_matter(subject: RunSubject) -> Holds:
    """fit ends as a run does, whether it is told each epoch, gone on with, or left alone."""
    run = runner(subject)

    def holds(draw: Draw) -> None:
        seed, way = draw.seed("seed"), draw.choose("fit", ("left alone", "told each epoch", "gone on with"))
        whole, _ = run(begun(subject, seed), STEPS)
        callbacks = (_listen,) if way == "told each epoch" else ()
        first = STEPS // 2 if way == "gone on with" else STEPS
        options = {"batch_size": subject.batch_size, "callbacks": callbacks, **subject.options}
        go = partial(fit, subject.task, subject.data, **options)
        found = go(key=jax.random.key(seed), steps=first)
        if way == "gone on with":
            found = go(state=found.state, steps=STEPS - first)
        assert_alike("the parameters of fit", found.state.params, whole.params)

    return holds


def _listen(event: Any) -> None:
    """Be told, so that chunks end with their epochs."""


@law()
def evaluation_does_not_depend_on_batches(subject: RunSubject) -> Holds:
    """evaluate and predict give the same for every batch size, evaluate also of the rows in another order."""

    def holds(draw: Draw) -> None:
        state = begun(subject, draw.seed("seed"))
        rows = int(jax.tree.leaves(subject.data)[0].shape[0])
        sizes = [draw.choose(name, (rows, 1, 3, max(1, rows - 1))) for name in ("batch", "second batch")]
        found = [training.evaluate(subject.task, state, subject.data, batch_size=size) for size in sizes]
        assert_alike("what evaluate gives", found[1], found[0])
        turned = jax.tree.map(lambda leaf: leaf[::-1], subject.data)
        assert_alike(
            "what evaluate gives of the rows in another order",
            training.evaluate(subject.task, state, turned, batch_size=sizes[0]),
            found[0],
        )
        outputs = [training.predict(subject.task, state, subject.data[0], batch_size=size) for size in sizes]
        assert_alike("what predict gives", outputs[1], outputs[0])

    return holds


@law()
def vmapped_runs_are_runs(subject: RunSubject) -> Holds:
    """vmap(run) over seeds = each run alone, to rounding."""
    run = runner(subject)
    mapped = jax.jit(jax.vmap(lambda state: run(state, STEPS // 2)[0]))

    def holds(draw: Draw) -> None:
        seed = draw.seed("seed")
        states = [begun(subject, seed + number) for number in range(2)]
        alone = [run(state, STEPS // 2)[0].params for state in states]
        both = mapped(jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)).params
        assert_alike("the parameters", both, jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone), rtol=1e-4)

    return holds


LAWS: tuple[Law, ...] = (
    split_runs_are_whole_runs,
    the_seed_determines_the_run,
    chunks_do_not_matter,
    evaluation_does_not_depend_on_batches,
    vmapped_runs_are_runs,
)
