"""A doctor for training that does not work: what was measured, where, and the cure by name."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from fnnet import sampling, training, tree
from fnnet.core import Optimizer, Task, TrainState, extras_taken
from fnnet.inspection.intermediates import activations, gradients
from fnnet.inspection.signals import dead_units, saturation, slopes
from fnnet.inspection.symptoms import CHECKS, ByHeart, Facts, Finding, Trial, not_finite
from fnnet.training import Record
from fnnet.training.checks import check_state, check_task, unpack
from fnnet.training.objectives import objective, terms
from fnnet.training.steps import step_key

_FACTORS = (1e-3, 10**-2.5, 1e-2, 10**-1.5, 0.1, 10**-0.5, 1.0, 10**0.5, 10.0, 10**1.5, 100.0, 10**2.5, 1e3)
_STEPS, _BATCH = 40, 32  # of the runs at these factors of the rate
_FEW = 16  # examples to learn by heart
_FLAT = 0.05  # a slope below which a unit is saturated


class Health(NamedTuple):
    """What was found, causes before effects, in how many examples, at which step. No finding is no proof of health."""

    findings: tuple[Finding, ...]
    examples: int
    step: int

    def __str__(self) -> str:
        count = {0: "nothing found", 1: "1 finding"}.get(len(self.findings), f"{len(self.findings)} findings")
        return "\n".join([f"{count} ({self.examples} examples, step {self.step})", *map(str, self.findings)])


def health(task: Task, ts: TrainState, batch: PyTree) -> Health:
    """Examine a training at `ts` on one batch ``(x, y)`` or ``(x, y, weight)``, best a few hundred examples.

    Looked for, each by a number and its limit: values that are not finite; inputs that are not normalised; labels out
    of range or imbalanced; a softmax or sigmoid before a loss that has its own; symmetric, dead and saturated units;
    gradients that vanish, explode or do not arrive; a first loss far above that of a guess, -log 1/k; a learning rate
    too high or too low, by 13 short runs at other rates, side by side; 16 examples that cannot be learnt by heart.
    `ts` is left as it is. Most is told best at step 0: ask before training, and again when in doubt.

    Raises: TypeError for another task or state; DataError for another batch, or of fewer than two examples.

    >>> net = fn.serial(fn.dense(32, activation=jax.nn.relu, bias_init=fn.initializers.constant(-99.0)), fn.dense(3))
    >>> task = fn.Task(net, fn.losses.cross_entropy, fn.adam(1e-2))
    >>> iris = fn.data.iris()
    >>> found = fn.inspection.health(task, fn.init(task, jax.random.key(0), iris.x), iris.arrays)
    >>> found.findings[0].problem, found.findings[0].where
    ('dead units', 'dense_0')
    """
    check_task(task)
    check_state("health", ts)
    unpack(batch)
    rows = sampling.length(batch)
    sampling.check_batch_size(rows, 2, where="health")
    batch = jax.tree.map(jnp.asarray, batch)
    findings = tuple(not_finite(batch, ts.params, ts.state))
    if not findings:  # of such values all else would be
        facts = _facts(task, ts, batch)
        findings = tuple(finding for check in CHECKS for finding in check(facts))
    return Health(findings, rows, int(ts.step))


def _facts(task: Task, ts: TrainState, batch: PyTree) -> Facts:
    x, y, weight = unpack(batch)
    values, derivatives = activations(task.net, ts.params, x, ts.state), gradients(task, ts, batch)
    slope = slopes(task.net, ts.params, x, ts.state)
    prediction, loss, guess, surprise = _outputs(task, ts, batch)
    trial, by_heart = _trials(task, ts, batch, float(loss))
    return Facts(
        step=int(ts.step),
        x=x,
        y=y,
        weighted=weight is not None,
        params=tree.flatten(ts.params),
        grads=derivatives.params,
        deltas={path: float(np.linalg.norm(np.ravel(delta))) for path, delta in derivatives.activations.items()},
        bounded={path: _flat_at_the_top(values[path], slope[path]) for path in slope},
        dead={path: float(np.mean(dead)) for path, dead in dead_units(task.net, ts.params, x, ts.state).items()},
        saturated={path: float(np.mean(s)) for path, s in saturation(task.net, ts.params, x, ts.state).items()},
        prediction=prediction,
        loss=float(loss),
        guess=float(guess),
        takes_floats=_takes_floats(task, ts, x),
        surprise=(float(surprise[0]), float(surprise[1])),
        trial=trial,
        by_heart=by_heart,
    )


def _flat_at_the_top(value: Array, slope: Array) -> bool:
    top = np.unravel_index(int(np.argmax(value)), value.shape)
    return bool(np.abs(slope[top]) < _FLAT)


def _takes_floats(task: Task, ts: TrainState, x: Any) -> bool:
    floats = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.result_type(float)), x)
    try:
        jax.eval_shape(task.net.apply, ts.params, ts.state, floats)
    except (TypeError, ValueError):
        return False
    return True


def _trials(task: Task, ts: TrainState, batch: PyTree, start: float) -> tuple[Trial, ByHeart]:
    """Return what short runs at other rates came to, on the batch, and on a few of its examples again and again."""
    rows = sampling.length(batch)
    count = min(_FEW, rows)
    # In as many rows as the batch has, so that they are learnt by the same program.
    few = jax.tree.map(lambda leaf: leaf[np.arange(rows) % count], batch)
    ts = ts._replace(opt_state=task.optimizer.init(ts.params))
    losses, by_heart = (np.asarray(_run_at_rates(task, ts, data), np.float64) for data in (batch, few))
    losses, by_heart = (np.where(np.isfinite(ended), ended, np.inf) for ended in (losses, by_heart))
    guess = float(_outputs(task, ts, few)[2])
    return Trial(_FACTORS, losses, start, _STEPS), ByHeart(count, _STEPS, float(by_heart.min()), guess)


@partial(jax.jit, static_argnums=0)
def _run_at_rates(task: Task, ts: TrainState, batch: PyTree) -> Float[Array, n]:
    """Return the losses of the batch after runs at factors of the rate."""
    size = min(_BATCH, sampling.length(batch))

    def one(factor: Float[Array, ""]) -> Float[Array, ""]:
        other = task._replace(optimizer=_scaled(task.optimizer, factor))
        after, _ = training.run(other, ts, batch, steps=_STEPS, batch_size=size, record=Record(every=0))
        return objective(task, after.params, after.state, batch, step_key(ts)).loss

    return jax.vmap(one)(jnp.asarray(_FACTORS))


def _scaled(optimizer: Optimizer, factor: Float[Array, ""]) -> Optimizer:
    """Return the optimizer whose updates are `factor` times as long: whatever it is, that is a factor of its rate."""

    def update(grads: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(grads, state, params, **extras_taken(optimizer.update, extra))
        return tree.map(lambda u: u * factor.astype(u.dtype), updates), state

    return Optimizer(optimizer.init, update)


@partial(jax.jit, static_argnums=0)
def _outputs(task: Task, ts: TrainState, batch: PyTree) -> tuple[Any, Array, Array, tuple[Array, Array]]:
    """Return the outputs; the objective; the loss of outputs of zero; and what tells outputs that are probabilities."""
    x, y, _ = unpack(batch)
    prediction = task.net.apply(ts.params, ts.state, x)[0]
    loss = objective(task, ts.params, ts.state, batch, step_key(ts)).loss

    def mean(prediction: Any) -> Array:
        losses, _ = terms(task.loss, prediction, y, sampling.length(x))
        return jnp.stack([values.mean() for values in losses.values()]).sum()

    nothing = tree.map(jnp.zeros_like, prediction)
    return prediction, loss, mean(nothing), _surprise(mean, prediction, y)


def _surprise(mean: Any, prediction: Any, y: Any) -> tuple[Array, Array]:
    """Return the loss of the logits of outputs that are probabilities, and their own -log p; nan of other outputs.

    If they are equal, the loss makes probabilities of logits itself.
    """
    nan = jnp.asarray(jnp.nan)
    if not (isinstance(prediction, jax.Array) and isinstance(y, jax.Array) and prediction.ndim > 1):
        return nan, nan
    p = jnp.clip(prediction.astype(jnp.float32), 1e-6, 1 - 1e-6)
    within = ((prediction >= 0) & (prediction <= 1)).all()
    labels = y.shape == prediction.shape[:-1] and jnp.issubdtype(y.dtype, jnp.integer)
    if prediction.shape[-1] > 1 and labels:
        are = within & (jnp.abs(prediction.sum(-1) - 1) < 1e-3).all()
        own = -jnp.log(jnp.take_along_axis(p, y[..., None], axis=-1)).mean()
        return jnp.where(are, mean(jnp.log(p)), jnp.nan), jnp.where(are, own, jnp.nan)
    if y.shape == prediction.shape and jnp.issubdtype(y.dtype, jnp.floating):
        own = -(y * jnp.log(p) + (1 - y) * jnp.log1p(-p)).mean()
        logits = (jnp.log(p) - jnp.log1p(-p)).astype(prediction.dtype)
        return jnp.where(within, mean(logits), jnp.nan), jnp.where(within, own, jnp.nan)
    return nan, nan
