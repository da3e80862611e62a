"""The laws of whole runs, of tasks of several kinds and of every option."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import sampling, testing

pytestmark = pytest.mark.usefixtures("quickly_compiled")

X = jnp.asarray(np.random.default_rng(0).normal(size=(10, 3)), jnp.float32)
NUMBERS = X[:, :1] - X[:, 1:2] ** 2
LABELS = (X[:, 0] > 0).astype(jnp.int32) + (X[:, 1] > 0).astype(jnp.int32)
LITTLE = fn.Record(every=0)  # since what is recorded beside takes long to compile
REGRESSION = fn.Task(fn.dense(1), fn.losses.squared_error, fn.sgd(0.1))
NORMED = fn.serial(fn.dense(4), fn.batch_norm(), jax.nn.relu, fn.dropout(0.25), fn.dense(1))
AVERAGED = fn.transforms.chain(fn.adam(0.05), fn.transforms.average(0.9))
CLASSES = fn.Task(fn.dense(3), fn.losses.cross_entropy, AVERAGED, (fn.metrics.accuracy(),))
TASKS = {
    "regression": testing.RunSubject(REGRESSION, (X, NUMBERS), batch_size=5, options={"record": LITTLE}),
    "normed, dropped out": testing.RunSubject(
        fn.Task(NORMED, fn.losses.squared_error, fn.adam(0.05)), (X, NUMBERS), options={"record": LITTLE}
    ),
    "averaged, ragged, of weighted rows": testing.RunSubject(
        CLASSES, (X, LABELS, jnp.arange(10.0) % 3), options={"sampler": sampling.epochs("weigh")}
    ),
}


def jitter(key, batch):
    x, *rest = batch
    return (x + 0.1 * jax.random.normal(key, x.shape), *rest)


SMALL = fn.Task(fn.dense(3), fn.losses.cross_entropy, fn.sgd(0.1, momentum=0.9), (fn.metrics.accuracy(),))
OPTIONS = {
    "in order": {"sampler": sampling.in_order(), "record": LITTLE},
    "with replacement": {"sampler": sampling.with_replacement(), "record": LITTLE},
    "transform": {"transform": jitter, "record": LITTLE},
    "micro-batches": {"micro_batches": 2, "record": LITTLE},
    "skip": {"on_nonfinite": "skip", "record": LITTLE},
    "stop": {"on_nonfinite": "stop", "record": LITTLE},
    "everything recorded": {"record": fn.Record(every=1, updates=True, layers=True)},
}


@testing.law_table(TASKS)
def test_it_obeys(law):
    law()


@testing.law_table(
    {name: testing.RunSubject(SMALL, (X, LABELS), options=options) for name, options in OPTIONS.items()},
    laws=["split_runs_are_whole_runs"],
)
def test_runs_with_options_may_be_split(law):
    law()
