"""What ails a training run, told from what was measured: one function a symptom, with its limit and its cures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnnet import tree

_VANISHED, _EXPLODED = 1e-3, 1e3  # of the gradient by a layer's values beside that by the greatest, and by the output
_DEAD, _SATURATED = 0.5, 0.75  # shares of a layer's units, and of its pairs (example, unit)
_ALIKE = 0.5  # share of a layer's units that another one equals, in weights and in gradient
_LOSS = 3.0  # times that of a guess
_SCALE, _OFFSET, _UNEVEN = (0.01, 10.0), 10.0, 30.0
_EVENNESS = 0.7
_SURPRISE = 1e-3
_FELL, _HIGH, _LOW = 0.1, 0.25, 0.1  # possible fall as a share of the loss; shares of it at the rate as it is
_BY_HEART = 0.5


class Finding(NamedTuple):
    """One thing that is wrong: its name, the layer or array, the number measured, what it is of, and the cures."""

    problem: str
    where: str
    measured: float
    limit: float
    meaning: str
    cure: str

    def __str__(self) -> str:
        measured = f"{self.measured:.3g} {self.meaning} (limit {self.limit:g})"
        return f"- {self.problem} at {self.where}: {measured}\n    Cure: {self.cure}"


class Trial(NamedTuple):
    """The loss after short runs at factors of the learning rate, infinite where it is not finite, and at first."""

    factors: tuple[float, ...]
    losses: np.ndarray
    start: float
    steps: int


class ByHeart(NamedTuple):
    """The least loss after learning a few examples again and again, and that of a guess."""

    examples: int
    steps: int
    loss: float
    guess: float


class Facts(NamedTuple):
    """What was measured. Dicts are by path; of layers in the order in which they run."""

    step: int
    x: Any
    y: Any
    weighted: bool
    params: dict[str, Any]
    grads: dict[str, Any]
    deltas: dict[str, float]  # the length of the derivative of the objective by the values
    bounded: dict[str, bool]  # whether an activation is flat at its greatest value, as ReLU is not
    dead: dict[str, float]
    saturated: dict[str, float]
    prediction: Any
    loss: float
    guess: float  # the loss of outputs of zero
    takes_floats: bool  # whether the net takes floats in the place of whole numbers, as none that looks them up does
    surprise: tuple[float, float]  # if outputs are probabilities: the loss of their logits, and their own -log p
    trial: Trial
    by_heart: ByHeart


def not_finite(batch: Any, params: Any, state: Any) -> Iterator[Finding]:
    """Find values that are nan or infinite, before anything is computed from them."""
    parts = dict(zip(("x", "y", "weight"), batch, strict=False)) | {"params": params, "state": state}
    cures = {"params": "go back to an earlier state; fn.fit names the step and the layer of the first such value"}
    for path, leaf in tree.flatten(parts).items():
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not (finite := np.isfinite(np.asarray(leaf))).all():
            share, cure = 1 - finite.mean(), cures.get(path.partition("/")[0], "drop or fill these rows; fn.data.check")
            yield Finding("not finite", path, share, 0, "of the values are nan or infinite", cure)


def inputs(facts: Facts) -> Iterator[Finding]:
    """Find inputs far from size 1, far from 0, or of very different scales; of whole numbers those that are pixels."""
    cure = "standardise by training statistics: fn.data.fit_schema and apply_schema; or begin with fn.batch_norm()"
    for path, leaf in tree.flatten(facts.x).items():
        pixels = facts.takes_floats and (leaf.dtype == jnp.uint8 or leaf.ndim > 2)
        if not jnp.issubdtype(leaf.dtype, jnp.floating) and not pixels:
            continue
        where, values = path or "x", np.asarray(leaf, np.float64)
        size, mean, deviation = math.sqrt((values**2).mean()), values.mean(), values.std()
        if size and not _SCALE[0] <= size <= _SCALE[1]:
            limit = _SCALE[size > 1]
            yield Finding("inputs not normalised", where, size, limit, "is the root mean square of the inputs", cure)
        elif abs(mean) > _OFFSET * deviation > 0:
            meaning = "standard deviations is their mean away from 0"
            yield Finding("inputs not normalised", where, abs(mean) / deviation, _OFFSET, meaning, cure)
        if values.ndim == 2 and (spread := values.std(0)).any():
            uneven = spread.max() / np.median(spread[spread > 0])
            if uneven > _UNEVEN:
                meaning = "times the median is the greatest standard deviation of a feature"
                yield Finding("inputs not normalised", where, uneven, _UNEVEN, meaning, cure)


def labels(facts: Facts) -> Iterator[Finding]:
    """Find labels that no output is for, and, where no weights are given, labels most of which are of few classes."""
    y, outputs = facts.y, _last_axis(facts.prediction)
    if not isinstance(y, jax.Array) or not isinstance(facts.prediction, jax.Array) or facts.weighted:
        return
    labels, binary = np.asarray(y).ravel(), outputs == 1 and math.isclose(facts.guess, math.log(2), rel_tol=1e-3)
    if binary and np.isin(labels, (0, 1)).all():
        outputs = 2
    elif y.shape != facts.prediction.shape[:-1] or not jnp.issubdtype(y.dtype, jnp.integer) or outputs < 2:
        return
    elif (lost := labels[(labels < 0) | (labels >= outputs)]).size:
        meaning = f"of the labels are none of the {outputs} classes 0 to {outputs - 1}, as {lost[0]} is"
        cure = "number the classes from 0, or give the network one output for each class"
        yield Finding("labels out of range", "y", lost.size / labels.size, 0, meaning, cure)
        return
    yield from _imbalance(labels.astype(np.int64), outputs)


def _imbalance(labels: np.ndarray, classes: int) -> Iterator[Finding]:
    if labels.size < 4 * classes:
        return
    counts = np.bincount(labels, minlength=classes)
    shares = counts[counts > 0] / counts.sum()
    evenness = math.exp(-(shares * np.log(shares)).sum()) / classes
    if evenness < _EVENNESS:
        meaning = f"is the effective share of the {classes} classes; {shares.max():.0%} of the labels are of one"
        cure = "weigh by class (fn.data.balanced, fn.data.weigh) and watch fn.metrics.f1"
        yield Finding("labels imbalanced", "y", evenness, _EVENNESS, meaning, cure)


def outputs(facts: Facts) -> Iterator[Finding]:
    """Find probabilities given to a loss that takes logits."""
    by_logits, surprise = facts.surprise
    if math.isfinite(surprise) and abs(by_logits - surprise) < _SURPRISE:
        where, cure = next(reversed(facts.deltas)), "end with a linear layer"
        meaning = "is the loss of log p less -log p: it takes logits, and is given probabilities"
        yield Finding("softmax or sigmoid twice", where, abs(by_logits - surprise), _SURPRISE, meaning, cure)


def initial_loss(facts: Facts) -> Iterator[Finding]:
    """Find, at the beginning, a classifier that is far worse than one that says 1/k of everything."""
    guess, classes = facts.guess, _last_axis(facts.prediction)
    of_classes = any(math.isclose(guess, math.log(k), rel_tol=1e-3) for k in (2, max(2, classes)))
    if facts.step == 0 and of_classes and not facts.loss <= _LOSS * guess:
        where, meaning = next(reversed(facts.deltas)), f"times -log 1/k = {guess:.3g} is the first loss"
        cure = "a smaller kernel_init there (fn.initializers.variance_scaling), and normalised inputs to it"
        yield Finding("bad initial loss", where, facts.loss / guess, _LOSS, meaning, cure)


def symmetry(facts: Facts) -> Iterator[Finding]:
    """Find units with the same weights and the same gradient: they stay the same for ever."""
    for path, kernel in facts.params.items():
        units = kernel.shape[-1] if kernel.ndim else 1
        if kernel.ndim < 2 or units < 2 or path.rpartition("/")[2] != "kernel":
            continue
        rows = [np.asarray(part, np.float64).reshape(-1, units) for part in (kernel, facts.grads[path])]
        both = np.concatenate(rows)
        # Equal gradients may differ by the order of a sum.
        size = np.abs(both).max(1, keepdims=True)
        distinct = len(np.unique(np.round(both / np.where(size > 0, size, 1), 5).T, axis=0))
        alike = 1 - (distinct - 1) / (units - 1)
        if alike > _ALIKE:
            cure = "draw weights at random: leave out kernel_init, or take one of fn.initializers, e.g. he_normal()"
            where = path.rpartition("/")[0] or path
            yield Finding("symmetric units", where, alike, _ALIKE, "of the units equal another, gradient and all", cure)


def dead(facts: Facts) -> Iterator[Finding]:
    """Find units that no example moves."""
    for path, share in facts.dead.items():
        if share > _DEAD:
            cure = "a lower learning rate, bias_init=zeros, he_normal(); or fn.activations.leaky_relu, elu, gelu"
            yield Finding("dead units", path, share, _DEAD, "of the units have slope 0 on every example", cure)


def saturation(facts: Facts) -> Iterator[Finding]:
    """Find bounded activations at their ends, where next to no gradient passes."""
    for path, share in facts.saturated.items():
        if share > _SATURATED and facts.bounded[path] and facts.dead.get(path, 0) <= _DEAD:
            cure = "smaller weights (glorot_uniform()), normalised inputs, fn.batch_norm(); or fn.activations.relu"
            meaning = "of the pairs (example, unit) have a slope below 0.05"
            yield Finding("saturated units", path, share, _SATURATED, meaning, cure)


def gradients(facts: Facts) -> Iterator[Finding]:
    """Find gradients that fade or grow on their way back, and parameters that none reaches."""
    paths, lengths = list(facts.deltas), np.array(list(facts.deltas.values()))
    later = np.maximum.accumulate(lengths[::-1])[::-1]  # the greatest from there on
    left = np.divide(lengths, later, out=np.ones_like(lengths), where=lengths > 0)
    if (least := left.min()) < _VANISHED:
        cure, where = "fn.activations.relu with he_normal(), fn.batch_norm(), fn.residual", paths[int(left.argmin())]
        meaning = "of the gradient by later layers is left there"
        yield Finding("vanishing gradients", where, float(least), _VANISHED, meaning, cure)
    if 0 < _EXPLODED * lengths[-1] < (greatest := lengths.max()):
        cure = "the initializer of the activation (leave out kernel_init), fn.batch_norm(), clip_by_global_norm"
        where, meaning = paths[int(lengths.argmax())], "times that by the output is the gradient there"
        yield Finding("exploding gradients", where, float(greatest / lengths[-1]), _EXPLODED, meaning, cure)
    if lost := [path for path, grad in facts.grads.items() if grad.size and not np.asarray(grad).any()]:
        where = ", ".join(lost[:4]) + (f" and {len(lost) - 4} more" if len(lost) > 4 else "")
        share = sum(facts.grads[path].size for path in lost) / sum(grad.size for grad in facts.grads.values())
        cure = "look for stop_gradient, a step activation, dead units after it, or a loss that ignores this output"
        yield Finding("no gradient", where, share, 0, "of the parameters have a gradient of 0", cure)


def rate(facts: Facts) -> Iterator[Finding]:
    """Find a learning rate at which the loss rises, or hardly falls, where at another it falls."""
    trial = facts.trial
    falls = trial.start - trial.losses
    best, own = int(falls.argmax()), trial.factors.index(1.0)
    possible, share = falls[best], float(falls[own] / falls[best])
    if possible < _FELL * max(abs(trial.start), abs(facts.guess)):
        return
    cure = f"{trial.factors[best]:.2g} times the rate was the best of those tried; fn.find_learning_rate"
    meaning = f"of the fall of the loss at the best rate is that at this one, in {trial.steps} steps"
    if best < own and share < _HIGH:
        meaning += ": it rises" if share < 0 else ""
        yield Finding("learning rate too high", "learning_rate", share, _HIGH, meaning, cure)
    elif best > own + 1 and share < _LOW:
        yield Finding("learning rate too low", "learning_rate", share, _LOW, meaning, cure)


def by_heart(facts: Facts) -> Iterator[Finding]:
    """Find that a few examples cannot be learnt by heart: it is the net, the loss or the data."""
    examples, steps, loss, guess = facts.by_heart
    if guess > 0 and not loss <= _BY_HEART * guess:
        meaning = f"of the loss of a guess is left after {steps} steps on {examples} examples alone"
        cure = "look for labels that contradict each other or do not fit the loss, frozen layers, too small a net"
        yield Finding("not learnt by heart", "the net", loss / guess, _BY_HEART, meaning, cure)


CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    inputs, labels, outputs, symmetry, dead, saturation, gradients, initial_loss, rate, by_heart,
)  # fmt: skip
"""The symptoms, causes before their effects."""


def _last_axis(prediction: Any) -> int:
    shape = getattr(prediction, "shape", ())
    return shape[-1] if shape else 1
