"""Checks: every law that fits is asked of a thing, and the first that is broken is raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fnnet.core import Metric, Task
from fnnet.sampling import Sampler
from fnnet.testing.drawing import Case
from fnnet.testing.examples import check_example
from fnnet.testing.kinds import Kind, kind_of
from fnnet.testing.searching import CI, Law, LawError, Profile, ask, repeat
from fnnet.testing.subjects import (
    LayerSubject,
    LossSubject,
    MetricSubject,
    OptimizerSubject,
    RunSubject,
    SamplerSubject,
    ScheduleSubject,
    TransformSubject,
    has_made_params,
    layer_subject,
    named,
    optimizer_subject,
)

ASKING = ("laws", "case", "excused", "profile")  # the options of every check


class Verdict(NamedTuple):
    """What came of a law: `outcome` ``"held"`` in `cases` cases, ``"broken"``, ``"excused"`` or ``"not asked"``.

    `reason`: why it is excused; `error`: how it is broken.
    """

    law: str
    outcome: str
    cases: int = 0
    reason: str = ""
    error: LawError | None = None


def check_layer(layer: Any, x: PyTree, **options: Any) -> list[Verdict]:
    """Ask a layer every law of layers that fits it, and return what came of each; LawError for the first one broken.

    `layer`: a layer, a function, or a pair (init, apply) of anyone; `x`: an example of its input, whose first axis is
    the batch. `options`: those of ``check``, and what is declared of the layer, the fields of ``LayerSubject``.

    Raises: as ``check``; TypeError for what is no layer; DataError for an example that `init` fails on.

    >>> verdicts = check_layer(fn.dense(3), jnp.ones((2, 4)), laws="jit_is_eager")
    >>> [(verdict.law, verdict.outcome) for verdict in verdicts]
    [('jit_is_eager', 'held')]
    """
    return _check(LayerSubject, layer_subject(layer, x)[:2], options)


def check_loss(loss: Callable[[Any, Any], Any], prediction: PyTree, target: PyTree, **options: Any) -> list[Verdict]:
    """Ask a loss the laws of losses, as ``check_layer`` does; declared of it: the fields of ``LossSubject``.

    >>> verdicts = check_loss(fn.losses.squared_error, jnp.ones((4, 2)), jnp.zeros((4, 2)), laws="examples_are_apart")
    >>> verdicts[0].outcome
    'held'
    """
    return _check(LossSubject, (loss, _arrays(prediction), _arrays(target)), options)


def check_optimizer(optimizer: Any, params: PyTree = None, **options: Any) -> list[Verdict]:
    """Ask an optimizer, a pair (init, update) of anyone, the laws of optimizers, as ``check_layer`` does.

    `params`: an example of parameters; else a kernel and a bias. Declared of it: the fields of ``OptimizerSubject``.

    >>> check_optimizer(fn.sgd(0.1), laws="scale_of_the_gradient", scale="linear")[0].outcome
    'held'
    """
    return _check(OptimizerSubject, optimizer_subject(optimizer, params)[:2], options)


def check_schedule(schedule: Callable[[Any], Any], steps: int, **options: Any) -> list[Verdict]:
    """Ask a schedule the laws of schedules, as ``check_layer`` does; declared of it: the fields of ``ScheduleSubject``.

    >>> verdicts = check_schedule(fn.schedules.cosine(0.1, steps=20), 20, laws="it_turns_one_way", turns="falls")
    >>> verdicts[0].outcome
    'held'
    """
    return _check(ScheduleSubject, (schedule, steps), options)


def check_metric(metric: Metric, prediction: PyTree, target: PyTree, **options: Any) -> list[Verdict]:
    """Ask a metric the laws of metrics, as ``check_layer`` does; declared of it: the fields of ``MetricSubject``.

    >>> verdicts = check_metric(fn.metrics.accuracy(), jnp.eye(6), jnp.arange(6), laws="no_split_changes_the_value")
    >>> verdicts[0].outcome
    'held'
    """
    return _check(MetricSubject, (metric, _arrays(prediction), _arrays(target)), options)


def check_transform(transform: Callable[[Any, Any], Any], batch: PyTree, **options: Any) -> list[Verdict]:
    """Ask a random change of batches, (key, batch) -> batch, its laws; declared of it: as ``TransformSubject`` says.

    >>> batch = (jnp.ones((2, 4, 4, 1)), jnp.arange(2))
    >>> check_transform(fn.augmentation.flip(), batch, laws="shapes_and_dtypes_are_kept")[0].outcome
    'held'
    """
    return _check(TransformSubject, (transform, _arrays(batch)), options)


def check_sampler(sampler: Sampler, **options: Any) -> list[Verdict]:
    """Ask a sampler of rows its laws; declared of it: as ``SamplerSubject`` says.

    >>> check_sampler(fn.sampling.epochs(), laws="a_pass_has_each_row_once")[0].outcome
    'held'
    """
    return _check(SamplerSubject, (sampler,), options)


def check_run(task: Task, data: PyTree, **options: Any) -> list[Verdict]:
    """Ask whole runs of a task on data the laws of runs; `options` beside those of ``check``: as ``RunSubject`` says.

    >>> task = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.1))
    >>> check_run(task, (jnp.eye(8), jnp.ones((8, 1))), laws="split_runs_are_whole_runs")[0].outcome
    'held'
    """
    return _check(RunSubject, (task, _arrays(data)), options)


def check(
    subject: Any,
    *,
    laws: str | Sequence[str] | None = None,
    case: Case | None = None,
    excused: Mapping[str, str] | None = None,
    profile: Profile = CI,
) -> list[Verdict]:
    """Ask a subject the laws of its kind, and return what came of each; LawError for the first one broken.

    `laws`: the names of those to ask, if not all; `case`: the one case to ask, as an error prints it. `excused`: the
    reason, by law that is not asked. `profile`: how many cases are searched.

    Raises: LawError; ValueError for a law that is none or does not fit, and for an excuse without a reason; TypeError
    for what is no subject; DataError for an example that laws cannot be asked with.
    """
    __tracebackhide__ = True  # in what pytest shows
    verdicts = []
    for verdict in verdicts_of(subject, laws=laws, case=case, excused=excused, profile=profile):
        if verdict.error is not None:
            raise verdict.error from verdict.error.__cause__
        verdicts.append(verdict)
    return verdicts


def verdicts_of(
    subject: Any,
    *,
    laws: str | Sequence[str] | None = None,
    case: Case | None = None,
    excused: Mapping[str, str] | None = None,
    profile: Profile = CI,
) -> Iterator[Verdict]:
    """Yield what comes of each law, broken ones too; the arguments are those of ``check``."""
    kind = kind_of(subject)
    where = named(subject)
    reasons = check_excuses(where, excused, kind.laws)
    check_example(where, subject)
    if not isinstance(profile, Profile):
        raise TypeError(f"{where}: profile must be a Profile, such as CI or HUNT, got {profile!r}")
    for law in _wanted(where, subject, kind.laws, laws):
        if law.name in reasons:
            yield Verdict(law.name, "excused", reason=reasons[law.name])
        elif not law.fits(subject):
            yield Verdict(law.name, "not asked")
        else:
            yield _asked(where, law, subject, case, profile, _call(kind, subject))


def check_excuses(where: str, excused: Mapping[str, str] | None, laws: Sequence[Law]) -> dict[str, str]:
    """Return the reasons by law; ValueError for a law that is none, or no reason; TypeError for no dict."""
    names = [law.name for law in laws]
    if excused is not None and not isinstance(excused, Mapping):
        raise TypeError(f"{where}: excused must be a dict of reasons by law, got {excused!r}")
    for name, reason in (excused or {}).items():
        if name not in names:
            raise ValueError(f"{where}: excused {name!r} is no law of this kind; they are {', '.join(names)}")
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"{where}: the law {name!r} is excused without a reason; give it as text")
    return dict(excused or {})


def _call(kind: Kind, subject: Any) -> str:
    """Return the call of the check in words, open, with what was declared: functions and the like by their names."""
    declared = subject._asdict().items()
    defaults = subject._field_defaults
    facts = [(name, value) for name, value in declared if name in defaults and value is not defaults[name]]
    words = "".join(f", {name}={_literal(name, value)}" for name, value in facts)
    made = isinstance(subject, OptimizerSubject) and has_made_params(subject)
    return f"fn.testing.check_{kind.name}({'optimizer' if made else kind.arguments}{words}"


def _literal(name: str, value: Any) -> str:
    """Return a value as it is written, or its name."""
    if isinstance(value, float):
        return repr(float(value)) if np.isfinite(value) else f"float({str(float(value))!r})"
    return repr(value) if isinstance(value, bool | int | str) else name


def _asked(where: str, law: Law, subject: Any, case: Case | None, profile: Profile, again: str) -> Verdict:
    try:
        if case is not None:
            repeat(where, law, subject, case, again)
        return Verdict(law.name, "held", 1 if case is not None else ask(where, law, subject, profile, again))
    except LawError as error:
        return Verdict(law.name, "broken", error=error)


def _wanted(where: str, subject: Any, known: Sequence[Law], names: str | Sequence[str] | None) -> list[Law]:
    """Return the laws of these names; ValueError for one that is none, or is not asked of this subject."""
    if names is None:
        return list(known)
    by_name = {law.name: law for law in known}
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in by_name:
            raise ValueError(f"{where}: {name!r} is no law of this kind; they are {', '.join(by_name)}")
        if not by_name[name].fits(subject):
            raise ValueError(f"{where}: the law {name!r} does not fit it: {by_name[name].statement}")
    return [by_name[name] for name in names]


def _check(kind: type, parts: tuple[Any, ...], options: dict[str, Any]) -> list[Verdict]:
    """Check the subject of these parts, with what of the options is declared of it; the rest is how it is asked."""
    fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    asked = {name: options.pop(name) for name in ASKING if name in options}
    for name in options:
        if name not in fields[len(parts) :]:
            known = ", ".join((*fields[len(parts) :], *ASKING))
            raise TypeError(f"{kind_of_type(kind)}: has no option {name!r}; they are {known}")
    return check(kind(*parts, **options), **asked)


def kind_of_type(kind: type) -> str:
    """Return how the check of a kind of subjects is called."""
    return f"check_{kind.__name__.removesuffix('Subject').lower()}"


def _arrays(value: PyTree) -> PyTree:
    return jax.tree.map(jnp.asarray, value)
