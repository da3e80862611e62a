"""Accumulation: what several micro-batches equal."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from transform_toys import GRADS, PARAMS, Pair, path_of

from fnnet import optimizers, schedules, transforms, tree


def test_accumulated_micro_batches_are_one_batch():
    """k micro-batches with every=k make the update of their mean; those between are zero, uncounted by schedules."""
    rate = schedules.step(0.1, every=1, factor=0.5)
    whole = optimizers.adamw(rate, weight_decay=0.1)
    micro = transforms.accumulate(whole, every=3)
    gradients = [jax.tree.map(lambda x, s=s: x * s + s, GRADS) for s in (1.0, -2.0, 0.5, 4.0, 1.0, -1.0)]
    means = [jax.tree.map(lambda *g: sum(g) / 3, *gradients[i : i + 3]) for i in (0, 3)]
    fine, _ = path_of(micro, gradients)
    coarse, _ = path_of(whole, means)
    chex.assert_trees_all_equal(fine[1], PARAMS)
    chex.assert_trees_all_close((fine[2], fine[5]), tuple(coarse), rtol=1e-5)
    chex.assert_trees_all_equal(fine[3], fine[2])


def test_accumulation_takes_the_mean_loss_and_a_new_length():
    """`value` reaches the inner optimizer as a mean; `every` is a number like another, changed without compiling."""
    optimizer = transforms.accumulate(transforms.reduce_on_plateau(0.5, patience=1), every=2)
    step = jax.jit(chex.assert_max_traces(lambda g, s, p, v: optimizer.update(g, s, p, value=v, grad=g), n=1))
    state = optimizer.init(PARAMS)
    for value in (1.0, 3.0):
        _, state = step(GRADS, state, PARAMS, jnp.asarray(value))
    assert state.inner.best == 2.0
    assert {"every", "inner/every"} <= set(transforms.hyperparams(state))
    state = transforms.with_hyperparams(state, {"every": 1})
    updates, state = step(GRADS, state, PARAMS, jnp.asarray(5.0))
    chex.assert_trees_all_close(updates, tree.scale(0.5, GRADS))


def test_a_bad_micro_batch_spoils_one_batch_alone():
    """At the boundary the means start again, from zero: no nan of one batch is left in the next."""
    inner = transforms.skip_nonfinite(transforms.chain(optimizers.sgd(1.0), transforms.reduce_on_plateau(0.5)))
    optimizer = transforms.accumulate(inner, every=2)
    step = jax.jit(lambda g, s, v: optimizer.update({"w": g}, s, {"w": g}, value=v))
    state, updates = optimizer.init({"w": jnp.zeros(2)}), []
    for value in (jnp.nan, 1.0, 2.0, 4.0):
        made, state = step(jnp.full(2, value), state, jnp.asarray(value))
        updates.append(made["w"])
    np.testing.assert_array_equal(updates, [[0, 0], [0, 0], [0, 0], [-3, -3]])
    assert state.inner.inner[1].best == 3.0
    chex.assert_trees_all_equal((state.mean, state.value), ({"w": jnp.zeros(2)}, jnp.zeros(())))


def test_extras_reach_the_inner_optimizer_as_means():
    """`value` and `grad` are the means of the micro-batches, in their own dtypes; any other extra is the last one."""

    def keep(grads, state, params=None, *, value, grad, rate):
        return grads, {"value": value, "grad": grad, "rate": rate}

    first = {"value": jnp.zeros((), jnp.float16), "grad": {"w": jnp.zeros(1)}, "rate": jnp.zeros(())}
    optimizer = transforms.accumulate(Pair(lambda params: first, keep), every=2)
    state = optimizer.init({"w": jnp.zeros(1)})
    for x in (1.0, 2.0):
        extra = {"value": jnp.asarray(x, jnp.float16), "grad": {"w": jnp.full(1, x)}, "rate": jnp.asarray(x)}
        updates, state = optimizer.update({"w": jnp.full(1, x)}, state, **extra)
    expected = {"value": jnp.asarray(1.5, jnp.float16), "grad": {"w": jnp.full(1, 1.5)}, "rate": jnp.asarray(2.0)}
    chex.assert_trees_all_equal((updates, state.inner), ({"w": jnp.full(1, 1.5)}, expected))
    chex.assert_trees_all_equal_dtypes(state.inner, expected)


def test_losses_that_are_whole_or_absent():
    """The mean of whole losses is not rounded; a value of None is none."""
    seen = Pair(lambda params: jnp.zeros(()), lambda grads, state, params=None, *, value=None: (grads, value))
    optimizer = transforms.accumulate(seen, every=2)
    state = optimizer.init({"w": jnp.zeros(1)})
    for value in (1, 2):
        _, state = optimizer.update({"w": jnp.ones(1)}, state, value=value)
    assert state.inner == 1.5
    plain = transforms.accumulate(transforms.scale(1.0), every=1)
    updates, _ = plain.update({"w": jnp.ones(1)}, plain.init({"w": jnp.zeros(1)}), value=None, grad=None)
    assert updates["w"] == 1
