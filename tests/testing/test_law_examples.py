"""What laws are asked with: examples that have no batch are refused, and pairs in every signature are taken."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import fnnet as fn
from fnnet import testing

X = jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)
Y = jnp.array([0, 1, 1])


def init(key, x):
    return {"kernel": jax.random.normal(key, (x.shape[-1], 2), x.dtype)}


def apply(params, x):
    return x @ params["kernel"]


def absolute(prediction, target):
    return jnp.abs(prediction - target)


REFUSED = {
    "a scalar": (lambda: testing.check_layer((init, apply), 3.0), r"the example of its input is float32\[\]"),
    "no example": (lambda: testing.check_layer((init, apply), X[:0]), r"input is float32\[0,4\]"),
    "no array": (lambda: testing.check_layer((init, apply), None), "the example of its input has no array"),
    "a list": (
        lambda: testing.check_loss(absolute, X, X.tolist()),
        r"absolute: the target is float32\[\] at 0/0\n  Fix: give arrays whose first axis is the batch",
    ),
    "no rows": (lambda: testing.check_metric(fn.metrics.accuracy(), X[:0], Y[:0]), "accuracy: the prediction is"),
    "a batch of scalars": (lambda: testing.check_transform(fn.augmentation.flip(), 1.0), "the batch is float32"),
    "no parameters": (lambda: testing.check_optimizer(fn.sgd(0.1), {}), "the example of its parameters has no array"),
    "whole parameters": (lambda: testing.check_optimizer(fn.sgd(0.1), {"n": Y}), "parameters has int32 at n"),
    "a parameter that is no array": (
        lambda: testing.check_layer((lambda key, x: {"by": 2.0}, lambda params, x: x * params["by"]), X),
        "pair: init gives a float, 2.0, as the parameter by, not an array\n  Fix: make it one",
    ),
    "init of a key alone": (
        lambda: testing.check_layer((lambda key: {}, apply), X),
        r"takes 1 positional argument but 2 were given\)\n  Fix: it is called as init\(key, x\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_examples_that_laws_cannot_be_asked_with_are_refused(name):
    ask, said = REFUSED[name]
    with pytest.raises(fn.errors.DataError, match=said):
        ask()


WRONG = {
    "no loss": (lambda: testing.check_loss(3, X, X), TypeError, "int: a loss must be a function, got int: 3"),
    "no metric": (lambda: testing.check_metric(absolute, X, X), TypeError, "init of a metric must be a function"),
    "no schedule": (lambda: testing.check_schedule(0.1, 5), TypeError, "a schedule must be a function, got float"),
    "no steps": (lambda: testing.check_schedule(jnp.float32, 0), ValueError, "steps must be .*, at least 1, got 0"),
    "a turn that is none": (
        lambda: testing.check_schedule(jnp.float32, 3, turns="up"),
        ValueError,
        "turns must be one of 'falls', 'rises', None, got 'up'",
    ),
    "a scale that is none": (
        lambda: testing.check_optimizer(fn.sgd(0.1), scale="square"),
        ValueError,
        "scale must be one of 'invariant', 'linear', None, got 'square'",
    ),
    "a list of excuses": (
        lambda: testing.check_layer((init, apply), X, excused=["jit_is_eager"]),
        TypeError,
        r"pair: excused must be a dict of reasons by law, got \['jit_is_eager'\]",
    ),
    "a profile that is none": (
        lambda: testing.check_layer((init, apply), X, profile="hunt"),
        TypeError,
        "pair: profile must be a Profile, such as CI or HUNT, got 'hunt'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_declared_wrongly_is_told(name):
    ask, error, said = WRONG[name]
    with pytest.raises(error, match=said):
        ask()


def _noisy(params, x, key, train):
    """Drop half, with an error of jax.random where there is no key."""
    kept = jax.random.bernoulli(key, 0.5, x.shape) if train else jnp.ones(x.shape, bool)
    return jnp.where(kept, x, jnp.zeros((), x.dtype)) @ params["kernel"]


PAIRS = {
    "key and train, by place": _noisy,
    "train, by name": lambda params, x, *, train: x @ params["kernel"],
    "any options": lambda params, x, **options: x @ params["kernel"],
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_in_other_signatures_are_asked(name):
    outcomes = {verdict.law: verdict.outcome for verdict in testing.check_layer((init, PAIRS[name]), X)}
    needs_key = name == "key and train, by place"
    assert (outcomes["keys_matter_where_they_are_needed"] == "held") == needs_key
    assert (outcomes["keys_do_not_matter_where_none_is_needed"] == "held") != needs_key


def test_a_layer_that_fails_in_training_is_told_by_a_law():
    def fails(params, x, train=False):
        return 1 / 0 if train else x

    with pytest.raises(testing.LawError, match="ZeroDivisionError: division by zero"):
        testing.check_layer((init, fails), X)


@pytest.mark.parametrize("layer", [fn.dropout(0.5), fn.batch_norm()], ids=["dropout", "batch_norm"])
def test_an_example_of_one_row_is_enough(layer):
    """Laws of a batch make one of two of it: none is broken for want of others, and none holds for it."""
    testing.check_layer(layer, X[:1], couples=layer.name == "batch_norm")


def test_what_examples_have_to_do_with_one_another_is_found_with_one_row_too():
    def centred(params, x, train=False):
        y = x @ params["kernel"]
        return y - jnp.broadcast_to(y.mean(0), y.shape) if train else y

    with pytest.raises(testing.LawError, match="the other examples' output"):
        testing.check_layer((init, centred), X[:1], laws="training_takes_examples_apart")


def _keyed(changes):
    def layer_init(key, x):
        return init(key, x), {"key": jax.random.key(0)}

    def layer_apply(params, state, x, *, key=None, train=False):
        return apply(params, x), {"key": jax.random.split(state["key"])[0]} if train and changes else state

    return fn.Layer("keyed", layer_init, layer_apply)


def test_a_state_of_keys_is_asked_as_any_other():
    testing.check_layer(_keyed(changes=True), X)
    with pytest.raises(testing.LawError, match="the state after training"):
        testing.check_layer(_keyed(changes=False), X, laws="state_changes_in_training")
