"""Transforms and what is made of optimizers obey the laws of optimizers."""

import jax
import pytest
from transform_toys import PARAMS

from fnnet import optimizers as o
from fnnet import schedules
from fnnet import transforms as t
from fnnet.testing import OptimizerSubject, law_table


def row(*links, **facts):
    return OptimizerSubject(t.chain(*links), PARAMS["body"], **({"has_numbers": True} | facts))


def by_rank(params):
    return jax.tree.map(lambda leaf: "matrix" if leaf.ndim == 2 else "other", params)


whole = {"by_leaf": False}  # the norm is of all leaves
SGD = o.sgd(0.02)
ROWS = {
    "chain of nothing": row(has_numbers=False, descends=False),
    "accumulate": row(t.accumulate(o.adam(0.05), every=3)),
    "average": row(SGD, t.average(0.9), scale="linear"),
    "polyak_average": row(SGD, t.polyak_average(2), scale="linear"),
    "clip_adaptively": row(t.clip_adaptively(0.5), SGD),
    "clip_by_global_norm": row(t.clip_by_global_norm(1.0), SGD, **whole),
    "clip_by_leaf_norm": row(t.clip_by_leaf_norm(1.0), SGD),
    "clip_by_leaf_rms": row(SGD, t.clip_by_leaf_rms(0.5)),
    "clip_by_value": row(t.clip_by_value(0.5), SGD),
    "dynamic_loss_scale": row(t.dynamic_loss_scale(o.adam(0.05)), **whole),
    "follow_schedules": row(t.follow_schedules(o.adam(0.05), {"b1": schedules.polynomial(0.5, 0.9, steps=9)})),
    "freeze": row(t.freeze(SGD, "bias"), **whole, descends=False),
    "per_path": row(o.adam(0.05), t.per_path({"bias": 0.5}), **whole, scale="invariant"),
    "reduce_on_plateau": row(SGD, t.reduce_on_plateau(patience=2), **whole),
    "route": row(t.route(by_rank, {"matrix": o.adam(0.05), "other": SGD})),
    "skip_nonfinite": row(t.skip_nonfinite(o.adam(0.05)), scale="invariant"),
}


@pytest.mark.usefixtures("quickly_compiled")
@law_table(ROWS)
def test_it_obeys(law):
    law()
