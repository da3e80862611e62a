"""What the laws learnt from layers, losses and optimizers of others: no false alarms of them, and what is said."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet import testing
from fnnet.testing.drawing import VALUES
from fnnet.testing.saving import written_and_read

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
INDICES = jnp.asarray([[0, 1], [2, 3]])


def descend(key, state_of, step):
    """Return an optimizer whose state is a key's and a number."""

    def init(params):
        return {"key": jax.random.key(key), "number": state_of(params)}

    return init, step


def noisy(grads, state, params=None):
    key, new = jax.random.split(state["key"])
    leaves, treedef = jax.tree.flatten(grads)
    keys = jax.random.split(key, len(leaves))
    steps = [-0.1 * (g + 1e-3 * jax.random.normal(k, g.shape, g.dtype)) for g, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(treedef, steps), {**state, "key": new}


def test_an_optimizer_may_have_a_key_in_its_state():
    """It is compared by its numbers, and written and read."""
    optimizer = descend(0, lambda params: jnp.zeros(()), noisy)
    laws = ("structure_is_fixed", "update_is_pure", "one_trace_serves_all_values", "split_runs_are_whole_runs")
    verdicts = testing.check_optimizer(optimizer, laws=laws, decays=True, by_leaf=False)
    assert [verdict.outcome for verdict in verdicts] == ["held"] * 4


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_keys_are_written_and_read(impl):
    key = jax.random.key(3, impl=impl)
    again = written_and_read({"key": key, "x": X})["key"]
    assert again.dtype == key.dtype
    assert jnp.array_equal(jax.random.key_data(again), jax.random.key_data(key))


def polyak(grads, state, params=None, *, value):
    square = sum((leaf**2).sum() for leaf in jax.tree.leaves(grads))
    return jax.tree.map(lambda g: -0.5 * (value / square).astype(g.dtype) * g, grads), state


def searched(grads, state, params=None, *, value, grad, value_fn):
    """Take the longest of three steps that makes the value less."""
    sizes = jnp.asarray([1.0, 0.5, 0.1])
    ends = [jax.tree.map(lambda p, g, s=s: p - s.astype(p.dtype) * g, params, grads) for s in sizes]
    best = sizes[jnp.argmin(jnp.stack([value_fn(end) for end in ends]))]
    return jax.tree.map(lambda g: -best.astype(g.dtype) * g, grads), state


@pytest.mark.parametrize("update", [polyak, searched])
def test_gathered_gradients_have_the_value_of_the_large_batch(update):
    """An optimizer that reads the value, or searches along it, is given that of the union."""
    optimizer = (lambda params: (), update)
    law = "accumulated_gradients_are_one_of_a_large_batch"
    assert testing.check_optimizer(optimizer, laws=law, by_leaf=False)[0].outcome == "held"


def looked_up(params, x):
    return jax.vmap(lambda row: params["table"][row])(x)


def test_a_layer_need_not_take_the_arrays_of_numpy():
    """A table of NumPy has no row at what is traced: the law is asked with JAX's arrays."""
    layer = (lambda key, x: {"table": jax.random.normal(key, (4, 3))}, looked_up)
    with pytest.raises(jax.errors.TracerArrayConversionError):
        looked_up({"table": np.ones((4, 3))}, INDICES)
    assert testing.check_layer(layer, INDICES, laws="apply_is_pure")[0].outcome == "held"


def test_a_layer_that_changes_what_it_is_given_is_found():
    def apply(params, x):
        if isinstance(x, np.ndarray):
            x += 1
        return jnp.asarray(x)

    with pytest.raises(testing.LawError, match=r"the arguments, afterwards, at 2") as caught:
        testing.check_layer((lambda key, x: {}, apply), X, laws="apply_is_pure")
    assert caught.value.law == "apply_is_pure"


def test_a_slope_of_less_than_float64_is_said_to_be_one():
    layer = (lambda key, x: {}, lambda params, x: jnp.sin(x.astype(jnp.float32)))
    said = r"the slope in reverse mode, of y in float32 though all that it is made of is float64"
    with pytest.raises(testing.LawError, match=said):
        testing.check_layer(layer, X, laws="gradients_are_slopes")


def test_values_that_are_nan_have_no_slope():
    def root(prediction, target):
        return jnp.sqrt(prediction - target).sum(-1)

    with pytest.raises(testing.LawError, match=r"the values at either side\s+got:\s+differ by nan"):
        testing.check_loss(root, X, X + 1, laws="gradients_are_slopes")


@pytest.mark.parametrize("shape", [(5, 4), (3, 6, 6, 4)])
def test_distinct_values_are_at_no_kink(shape):
    """Of margins of 1, ½ and 2, around 0 and between two of them: a slope by differences is asked of these values."""
    values = VALUES["distinct"](np.random.default_rng(0), shape).ravel()
    apart = np.abs(values[:, None] - values[None])
    for margin in (0.0, 0.5, 1.0, 2.0):
        assert np.abs(np.abs(values) - margin).min() > 1e-4
        assert np.abs(apart[~np.eye(values.size, dtype=bool)] - margin).min() > 1e-4


def test_a_margin_of_one_has_slopes():
    def hinge(prediction, target):
        one_hot = jax.nn.one_hot(target, prediction.shape[-1], dtype=prediction.dtype)
        return (prediction + 1 - one_hot).max(-1) - (prediction * one_hot).sum(-1)

    labels = jnp.asarray([0, 1, 2, 3, 1])
    profile = testing.Profile(cases=40, seed=0)
    verdicts = testing.check_loss(hinge, jnp.ones((5, 4)), labels, laws="gradients_are_slopes", profile=profile)
    assert verdicts[0].outcome == "held"
