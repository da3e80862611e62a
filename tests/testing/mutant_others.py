"""Schedules, metrics, augmentations, samplers and runs with one fault each, beside the sound one of each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn
from fnnet import testing
from fnnet.sampling import Sampler

rng = np.random.default_rng(0)
LOGITS = jnp.asarray(rng.normal(size=(12, 3)), jnp.float32)
LABELS = jnp.asarray(rng.integers(0, 3, 12), jnp.int32)


def cosine(fault=""):
    """Warm-up over 4 steps from 0 to 1, then half a cosine to 0.1 at step 20."""

    def schedule(t):
        if fault == "branches on the step" and t < 4:
            return jnp.float32(t / 4)
        t = jnp.asarray(t).astype(jnp.float32) + (1 if fault == "one step early" else 0)
        t = t - 1 if fault == "one step late" else t
        if fault == "whole steps are divided":
            rise = jnp.floor(t / 4)
        else:
            rise = t / 4 if fault != "warm-up from a step" else (t + 1) / 4
        share = (t - 4) / 16
        if fault != "it turns back after its end":
            share = jnp.clip(share, 0, 1)
        angle = share * (2 * jnp.pi if fault == "a whole turn" else jnp.pi)
        end = 0.0 if fault == "it ends at zero" else 0.1
        fall = end + (1 - end) * (1 + jnp.cos(angle)) / 2
        if fault == "the root of what is negative":
            fall = 0.1 + 0.9 * (1 - (t - 4) / 16) ** 0.5
        value = jnp.where(t < 4, rise, fall)
        if fault == "a list of one":
            return value[None]
        if fault == "sixteen bits":
            return value.astype(jnp.bfloat16)
        return value

    def formula(t):
        return t / 4 if t < 4 else 0.1 + 0.9 * (1 + np.cos(np.pi * min((t - 4) / 16, 1))) / 2

    facts = {"stays": True, "most": 1.0, "start": 0.0, "end": 0.1, "reference": formula}
    return testing.ScheduleSubject(schedule, 20, **facts)


def accuracy(fault=""):
    """The weighted share of rows whose largest logit is the label's."""

    def init():
        if fault == "it begins with a row":
            return {"right": jnp.ones(()), "rows": jnp.ones(())}
        return {"right": jnp.zeros(()), "rows": jnp.zeros(())}

    def update(acc, prediction, target, weight=None):
        w = jnp.ones(target.shape) if weight is None else weight
        if fault == "weights are not used" or (fault == "weights count above alone" and weight is None):
            w = jnp.ones(target.shape)
        below = jnp.ones(target.shape) if fault == "weights count above alone" else w
        right = (prediction.argmin(-1) if fault == "the smallest logit" else prediction.argmax(-1)) == target
        if fault == "any class that is not below":
            own = jnp.take_along_axis(prediction, target[:, None], -1)
            right = (prediction >= own).sum(-1) <= 2
        if fault == "the first row is left out" and len(target):
            right = right.at[0].set(False)
        one, all_rows = (w * right.astype(w.dtype)).sum(), below.sum()
        if fault == "the mean of batch means":
            one, all_rows = one / jnp.maximum(all_rows, 1), jnp.ones(()) if len(target) else jnp.zeros(())
        if fault == "the last batch alone":
            return {"right": one, "rows": all_rows}
        if fault == "the accumulator changes its dtype":
            all_rows = all_rows.astype(jnp.int32)
            return {"right": acc["right"] + one, "rows": acc["rows"].astype(jnp.int32) + all_rows}
        return {"right": acc["right"] + one, "rows": acc["rows"] + all_rows}

    def compute(acc):
        share = acc["right"] / acc["rows"]
        return 100 * share if fault == "per cent" else share

    def merge(a, b):
        if fault == "the second is forgotten":
            return a
        if fault == "the first weighs double":
            return jax.tree.map(lambda x, y: 2 * x + y, a, b)
        if fault == "the mean of two":
            return jax.tree.map(lambda x, y: (x + y) / 2, a, b)
        return jax.tree.map(jnp.add, a, b)

    def reference(prediction, target, weight):
        return np.average(prediction.argmax(-1) == target, weights=weight)

    metric = fn.Metric("accuracy", init, update, compute, merge)
    perfect = (lambda target: jax.nn.one_hot(target, 3), 1.0)
    facts = {"least": 0.0, "most": 1.0, "perfect": perfect, "reference": reference}
    return testing.MetricSubject(metric, LOGITS, LABELS, **facts)


def brightness(fault=""):
    """Brightness by a factor of each image, cut to [0, 1]; images are mirrored beside."""
    images = jnp.asarray(np.random.default_rng(3).random((4, 5, 6, 1)), jnp.float32)
    counted = []

    def transform(key, batch):
        x, y = batch
        if fault == "the key is not used":
            key = jax.random.key(0)
        shape = () if fault == "one factor for all" else (x.shape[0],)
        if fault == "drawn of the whole batch":
            factor = jnp.full(shape, jax.random.uniform(jax.random.key(x.shape[0]), (), jnp.float32, 0.5, 1.5))
            factor = factor * jax.random.uniform(key, shape, jnp.float32, 0.9, 1.1)
        else:
            keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(x.shape[0]))
            factor = jax.vmap(lambda k: jax.random.uniform(k, (), jnp.float32, 0.5, 1.5))(keys)
            factor = factor[0] if shape == () else factor
        if fault == "a list outside counts the calls":
            counted.append(1)
            factor = factor * len(counted)
        factor = jnp.broadcast_to(jnp.reshape(factor, (-1, 1, 1, 1)), (x.shape[0], 1, 1, 1))
        low = jnp.float32 if fault == "always float32" else x.dtype
        bright = x.astype(low) * jnp.broadcast_to(factor.astype(low), x.shape)
        bright = bright if fault == "not cut" else jnp.clip(bright, 0, 1)
        if fault == "rows change their places":
            order = jax.random.permutation(key, x.shape[0])
            bright, y = bright[order], y[order]
        if fault == "an edge is lost":
            bright = bright[:, 1:]
        return bright, y

    return testing.TransformSubject(transform, (images, jnp.arange(4)), least=0.0, most=1.0)


def epochs(fault=""):
    sound = fn.sampling.epochs("weigh")

    def rows(key, step, size, batch_size):
        if fault == "every pass has one order":
            step = step % sound.per_epoch(size, batch_size)
        if fault == "the key is not used":
            key = jax.random.key(0)
        taken, weight = sound.rows(key, step, size, batch_size)
        if fault == "one too far":
            taken = taken + 1
        if fault == "a row twice":
            taken = taken.at[0].set(taken[-1])
        if fault == "the rest weighs too":
            weight = None
        if fault == "the last row is never seen":
            taken = jnp.minimum(taken, size - 2)
        return taken, weight

    def per_epoch(size, batch_size):
        return sound.per_epoch(size, batch_size) - (1 if fault == "a batch is left out" else 0)

    return testing.SamplerSubject(Sampler(per_epoch, rows))


def training(fault=""):
    """A small network with dropout, and what of a task breaks the laws of its runs."""
    x = jnp.asarray(np.random.default_rng(5).normal(size=(10, 3)), jnp.float32)
    y = x[:, :1] - x[:, 1:2]
    counted, noise = [], np.random.default_rng()
    sound = fn.serial(fn.dense(4), fn.dropout(0.25), fn.dense(1))

    def apply(params, state, x, *, key=None, train=False):
        out, state = sound.apply(params, state, x, key=key, train=train)
        if fault == "inference looks at the batch" and not train:
            out = out - jnp.broadcast_to(out.mean(0, keepdims=True), out.shape)
        if fault == "noise when it is traced":
            out = out + jnp.float32(noise.normal())
        return out, state

    def init(key, x):
        if fault == "init does not use the key":
            key = jax.random.key(0)
        return sound.init(key, x)

    def loss(prediction, target):
        value = fn.losses.squared_error(prediction, target).mean(-1)
        if fault == "the loss counts its calls":
            counted.append(1)
            value = value * (1 + len(counted))
        if fault == "the loss is of the whole batch":
            value = value / jnp.maximum(value.max(), 1e-3)
        return value

    adam = fn.adam(0.1)

    def update(grads, state, params=None):
        if fault == "the optimizer counts its calls":
            counted.append(1)
            grads = jax.tree.map(lambda g: g * len(counted), grads)
        return adam.update(grads, state, params)

    net = sound if not fault else fn.Layer("net", init, apply)
    keyless = fault == "init does not use the key"
    if keyless:
        net = fn.Layer("net", init, lambda p, s, x, *, key=None, train=False: (sound.apply(p, s, x)[0], s))
    task = fn.Task(net, loss, fn.Optimizer(adam.init, update))
    return testing.RunSubject(task, (x, y), batch_size=10 if keyless else 4)


FAULTS = {
    cosine: (
        "branches on the step",
        "one step early",
        "one step late",
        "whole steps are divided",
        "warm-up from a step",
        "it turns back after its end",
        "a whole turn",
        "it ends at zero",
        "the root of what is negative",
        "a list of one",
        "sixteen bits",
    ),
    accuracy: (
        "it begins with a row",
        "weights are not used",
        "weights count above alone",
        "the smallest logit",
        "any class that is not below",
        "the first row is left out",
        "the mean of batch means",
        "the last batch alone",
        "the accumulator changes its dtype",
        "per cent",
        "the second is forgotten",
        "the first weighs double",
        "the mean of two",
    ),
    brightness: (
        "the key is not used",
        "one factor for all",
        "drawn of the whole batch",
        "a list outside counts the calls",
        "always float32",
        "not cut",
        "rows change their places",
        "an edge is lost",
    ),
    epochs: (
        "every pass has one order",
        "the key is not used",
        "one too far",
        "a row twice",
        "the rest weighs too",
        "the last row is never seen",
        "a batch is left out",
    ),
    training: (
        "inference looks at the batch",
        "noise when it is traced",
        "init does not use the key",
        "the loss counts its calls",
        "the loss is of the whole batch",
        "the optimizer counts its calls",
    ),
}
