"""Freezing, rates by path and labels: who updates which leaf."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from transform_toys import GRADS, PARAMS, path_of, update

from fnnet import optimizers, schedules, transforms, tree
from fnnet.errors import PathError


@pytest.mark.row("transfer")
def test_frozen_leaves_keep_their_values_and_take_no_memory():
    """Frozen parameters stay to the bit; the state holds moments of the others alone; they train as if alone."""
    optimizer = transforms.freeze(optimizers.adam(0.1), "body")
    path, state = path_of(optimizer, [GRADS, GRADS])
    chex.assert_trees_all_equal(path[-1]["body"], PARAMS["body"])
    alone, alone_state = path_of(optimizers.adam(0.1), [{"head": GRADS["head"]}] * 2, {"head": PARAMS["head"]})
    chex.assert_trees_all_equal(path[-1]["head"], alone[-1]["head"])
    assert tree.nbytes(state) == tree.nbytes(alone_state)


def test_frozen_gradients_do_not_leak_into_the_clip_norm():
    """However large or wrong the frozen gradient, the other updates are the same to the bit."""
    optimizer = transforms.freeze(
        transforms.chain(transforms.clip_by_global_norm(1.0), optimizers.sgd(1.0)), ["body", "head/bias"]
    )
    updates, _ = update(optimizer)
    wild = GRADS | {"body": jax.tree.map(lambda g: g * jnp.inf, GRADS["body"])}
    chex.assert_trees_all_equal(update(optimizer, wild)[0], updates)
    np.testing.assert_allclose(tree.norm(updates["head"]["kernel"]), 1.0, rtol=1e-6)


def test_freezing_within_the_search_of_lbfgs():
    """An optimizer that needs the loss gets it as a function of its own leaves."""

    def loss(p):
        return jnp.sum((p["a"] - 1) ** 2) + jnp.sum((p["b"] - p["a"]) ** 2)

    params = {"a": jnp.zeros(2), "b": jnp.ones(2) * 3}
    optimizer = transforms.freeze(optimizers.lbfgs(), "a")
    state = optimizer.init(params)
    for _ in range(3):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state, params, value=value, grad=grads, value_fn=loss)
        params = tree.add(params, updates)
    chex.assert_trees_all_close(params, {"a": jnp.zeros(2), "b": jnp.zeros(2)}, atol=1e-5)


def test_per_path_multiplies_and_divides():
    """Multipliers scale the leaves that they match, first match first; optimizers each take their own leaves."""
    rates = transforms.per_path({"*/bias": 0.0, "body": 0.1})
    updates, _ = update(rates)
    chex.assert_trees_all_close(updates["body"]["kernel"], 0.1 * GRADS["body"]["kernel"])
    chex.assert_trees_all_equal(updates["head"]["kernel"], GRADS["head"]["kernel"])
    assert not updates["body"]["bias"].any()
    mixed = transforms.per_path({"body": optimizers.sgd(0.5), "*": optimizers.adam(0.1)})
    updates, state = update(mixed)
    chex.assert_trees_all_close(updates["body"], tree.scale(-0.5, GRADS["body"]))
    chex.assert_trees_all_close(updates["head"], update(optimizers.adam(0.1))[0]["head"])
    assert set(transforms.hyperparams(state)) >= {"body/0/learning_rate", "*/1/learning_rate"}


def test_labels_without_an_optimizer():
    """A label that no optimizer has is refused at init."""
    optimizer = transforms.route(lambda params: jax.tree.map(lambda p: "c", params), {"a": optimizers.sgd(0.1)})
    with pytest.raises(ValueError, match=re.escape("route: labels must be among ['a'], got 'c'")):
        optimizer.init(PARAMS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: transforms.freeze(optimizers.sgd(0.1), "bodi"),
            "freeze: no path matches 'bodi'\n  Fix: did you mean 'body'?",
        ),
        (lambda: transforms.per_path({"bodi": 0.1}), "per_path: no path matches 'bodi'\n  Fix: did you mean 'body'?"),
        (lambda: transforms.per_path({"body": optimizers.sgd(0.1)}), "per_path: no rule for 'head/bias'"),
        (
            lambda: optimizers.adamw(0.1, mask="*/kernal"),
            "add_decayed_weights: no path matches '*/kernal'\n  Fix: use one of 'body', 'body/bias'",
        ),
        (lambda: transforms.follow_schedules(optimizers.sgd(0.1), {"rate": schedules.constant(1.0)}), "'rate'"),
    ],
)
def test_unknown_paths(make, message):
    """A path that names nothing is refused at init, with the nearest."""
    with pytest.raises(PathError, match=re.escape(message)):
        make().init(PARAMS)


BOTH = "the rules must be all numbers or all optimizers, got both ('head' has an optimizer)"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"body": 0.1, "head": optimizers.sgd(0.1)}, BOTH),
        ({"head": optimizers.sgd(0.1), "body": 0.1}, BOTH),
        ({"body": 0.1, "head": -0.5}, "per_path: multiplier must be at least 0, got -0.5"),
        ({"body": float("nan")}, "per_path: multiplier must be at least 0, got nan"),
        ({"body": float("inf")}, "per_path: multiplier must be finite, got inf"),
        ({"body": jnp.ones(2)}, "per_path: multiplier must be one number, got an array of shape (2,)"),
        ({"body": "slow"}, "per_path: multiplier must be a real number, got 'slow'"),
        ({"body": None}, "per_path: multiplier must be a real number, got None"),
    ],
)
def test_rules_that_per_path_refuses(rules, message):
    """Numbers beside optimizers, and what is no multiplier of a step, are refused where the rules are made."""
    with pytest.raises(ValueError, match=re.escape(message)):
        transforms.per_path(rules)
