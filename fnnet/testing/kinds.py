"""The kinds of things that laws are asked of: which laws each has, and how its check is called."""

from __future__ import annotations

from typing import Any, NamedTuple

from fnnet.testing import (
    data_laws,
    layer_laws,
    layer_number_laws,
    loss_laws,
    metric_laws,
    optimizer_laws,
    run_laws,
    schedule_laws,
)
from fnnet.testing.searching import Law
from fnnet.testing.subjects import (
    LayerSubject,
    LossSubject,
    MetricSubject,
    OptimizerSubject,
    RunSubject,
    SamplerSubject,
    ScheduleSubject,
    TransformSubject,
)


class Kind(NamedTuple):
    """A kind of things: its name, its laws, and the arguments of ``check_<name>`` in words."""

    name: str
    laws: tuple[Law, ...]
    arguments: str


KINDS: dict[type, Kind] = {
    LayerSubject: Kind("layer", (*layer_laws.LAWS, *layer_number_laws.LAWS), "layer, x"),
    LossSubject: Kind("loss", loss_laws.LAWS, "loss, prediction, target"),
    OptimizerSubject: Kind("optimizer", optimizer_laws.LAWS, "optimizer, params"),
    ScheduleSubject: Kind("schedule", schedule_laws.LAWS, "schedule, steps"),
    MetricSubject: Kind("metric", metric_laws.LAWS, "metric, prediction, target"),
    TransformSubject: Kind("transform", data_laws.TRANSFORM_LAWS, "transform, batch"),
    SamplerSubject: Kind("sampler", data_laws.SAMPLER_LAWS, "sampler"),
    RunSubject: Kind("run", run_laws.LAWS, "task, data"),
}


def kind_of(subject: Any) -> Kind:
    """Return the kind of a subject; TypeError for what is none."""
    if type(subject) not in KINDS:
        names = ", ".join(kind.__name__ for kind in KINDS)
        raise TypeError(f"laws are asked of one of {names}, got {type(subject).__name__}")
    return KINDS[type(subject)]
