"""Mistakes that a beginner makes: each gets one error that says where, what was got, and what to do."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet.errors import DataError, DtypeError, KeyMissingError, ShapeError

KEY = jax.random.key(0)
X, Y = jnp.linspace(-1, 1, 48).reshape(12, 4), jnp.arange(12) % 3
TASK = fn.Task(fn.dense(3), fn.losses.cross_entropy, fn.sgd(0.1), (fn.metrics.accuracy(),))


def fit(task=TASK, data=(X, Y), **options):
    return lambda: fn.fit(task, data, **({"key": KEY, "steps": 1, "batch_size": 4} | options))


def state(task=TASK):
    return fn.init(task, KEY, X)


def with_net(*layers):
    return TASK._replace(net=fn.serial(*layers))


def broken(init, apply):
    layer = fn.Layer("broken", init, apply)
    return fn.serial(layer, fn.dense(3))


def init_nothing(key, x):
    return {}, {}


def same(params, state, x, *, key=None, train=False):
    return x, state


IMAGES = jnp.ones((12, 8, 8))
SEQUENCES = jnp.ones((2, 5, 4))
ROWS = (
    "net: its output must have a row for each of the 12 examples, got shape (3,)\n  Fix: give one example a batch axis"
)
MISTAKES = {
    "a net for a task": (TypeError, lambda: fn.init(TASK.net, KEY, X), "expected a Task, got Layer: fn.Task(net, loss"),
    "a net for a task, fitted": (TypeError, fit(TASK.net), "expected a Task, got Layer"),
    "a net for a task, run": (TypeError, lambda: fn.run(TASK.net, state(), (X, Y), steps=1, batch_size=2), "a Task"),
    "a task for a net": (
        TypeError,
        lambda: fn.summary(TASK, X),
        "summary: the net must have the functions init and app",
    ),
    "a shape for an array": (
        TypeError,
        lambda: fn.summary(TASK.net, (1, 4)),
        "summary: x must be an array, an example",
    ),
    "images without channels": (ShapeError, fit(with_net(fn.conv(4), fn.flatten(), fn.dense(3)), (IMAGES, Y)), ROWS),
    "one example": (
        ShapeError,
        lambda: fn.predict(TASK, state(), X[0]),
        "a row for each of the 4 examples, got shape (3",
    ),
    "one example in a step": (
        ShapeError,
        lambda: fn.step(TASK, state(), (X[0], Y[0])),
        "a row for each of the 4 examples",
    ),
    "one logit": (
        DtypeError,
        fit(with_net(fn.dense(1), lambda z: z[:, 0] > 0)),
        "targets (cross_entropy): the input must be floating-point, got bool",
    ),
    "a loss that counts": (
        DtypeError,
        fit(TASK._replace(loss=lambda z, y: z.argmax(-1) == y)),
        "loss: must be real fl",
    ),
    "labels from one": (
        DataError,
        lambda: fn.evaluate(TASK, state(), (X, np.asarray(Y) + 1)),
        "targets (cross_entropy): label 3 at",
    ),
    "lists": (
        DataError,
        fit(data=(X.tolist(), Y.tolist())),
        "a list is taken for several arrays, so make it one: np.a",
    ),
    "a fraction for validation": (
        DataError,
        fit(validation=0.2),
        "validation (data): expected (x, y) or (x, y, weight)",
    ),
    "one fraction": (
        ValueError,
        lambda: fn.data.split((X, Y), 0.8),
        "split: fractions must be one for each part, such",
    ),
    "half a row a batch": (ValueError, fit(batch_size=2.5), "fit: batch_size must be a whole number, got 2.5"),
    "no key": (
        KeyMissingError,
        lambda: fn.init(TASK, None, X),
        "init: needs a random key, got key=None\n  Fix: pass key=jax.random.key(seed).",
    ),
    "no key for copies": (
        KeyMissingError,
        lambda: fn.repeat(fn.dense(4), 2).init(None, X),
        "init: needs a random key, got key=None",
    ),
    "a mask of another length": (
        DataError,
        fit(data=(fn.Masked(jnp.ones((12, 3, 1)), jnp.ones((12, 4), bool)), Y)),
        "a mask must have the leading axes of its values, (12, 3, 1), got (12, 4)",
    ),
    "validation in jit": (
        TypeError,
        lambda: jax.jit(lambda x: fn.fit(TASK, (X, Y), key=KEY, steps=1, validation=(x, Y)))(X),
        "fit: is the host's loop",
    ),
    "attention of other sizes": (
        ShapeError,
        lambda: fn.attention(2, head_features=3)(fn.attention(2, head_features=2).init(KEY, SEQUENCES)[0], SEQUENCES),
        "attention: the parameter 'kernel' must have shape (_, 6), got (4, 4)",
    ),
    "many keys": (
        KeyMissingError,
        fit(key=jax.random.split(KEY)),
        "needs one random key, got an array of them of shape (2,)",
    ),
    "x in place of the key": (
        KeyMissingError,
        lambda: fn.serial(fn.dense(3)).init(X, KEY),
        "dense_0 (init): needs a random key, got an array of float32 of shape (12, 4)",
    ),
    "a layer as activation": (
        TypeError,
        lambda: fn.dense(3, activation=fn.layers.prelu()),
        "must be a function, not a la",
    ),
    "a factory as activation": (
        TypeError,
        lambda: fn.dense(3, activation=fn.layers.prelu),
        "not a layer: serial(dense(...), layer)",
    ),
    "class weights in a dict": (
        TypeError,
        lambda: fn.losses.cross_entropy(X, Y, class_weights={0: 1.0}),
        "cross_entropy: class_weights must be an array with one weight a class, in their order, got a dict",
    ),
    "a callback not made": (TypeError, fit(callbacks=[fn.callbacks.progress]), "progress(), to make the callback"),
    "a callback that counts": (
        TypeError,
        fit(callbacks=[lambda event: event.step]),
        "must return True (stop), False, None or a Decision",
    ),
    "no callback": (TypeError, fit(callbacks=[None]), "fit: a callback must be a function of an Event, got None"),
    "fit in jit": (
        TypeError,
        lambda: jax.jit(lambda x: fn.fit(TASK, (x, Y), key=KEY, steps=1))(X),
        "fit: is the host's loop, and cannot be inside jit, vmap or grad: use fn.run there",
    ),
    "an optimizer for its state": (
        TypeError,
        lambda: fn.hyperparams(fn.adam(0.1)),
        "got the optimizer: pass optimizer.in",
    ),
    "a Masked into a dense layer": (
        DtypeError,
        lambda: fn.dense(3).init(KEY, fn.Masked(X, jnp.ones(12, bool))),
        "dense: the input must be an array, got Masked\n  Fix: wrap the layer: fn.compose.on_values(dense(...)).",
    ),
    "an output without a state": (
        TypeError,
        lambda: broken(init_nothing, lambda params, state, x, **rest: x)({}, X),
        "broken: apply must return a pair (output, state), got ",
    ),
    "parameters without a state": (
        TypeError,
        lambda: broken(lambda key, x: {}, same).init(KEY, X),
        "broken: init must return a pair (params, state), got dict",
    ),
    "a state that grows": (
        ShapeError,
        lambda: fn.step(
            grown := TASK._replace(net=broken(init_nothing, lambda params, state, x, **rest: (x, {"n": jnp.ones(1)}))),
            state(grown),
            (X, Y),
        ),
        "net: the state that apply returns must be like that of init: unexpected 'broken_0/n'",
    ),
    "a directory that is not there": (
        FileNotFoundError,
        lambda: fn.checkpoints.save_weights("nowhere/weights.safetensors", {}),
        "no such directory to write a file in; make it first: 'nowhere'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error, act, message = MISTAKES[name]
    with pytest.raises(error, match=re.escape(message)):
        act()


OTHERS = {
    "dense": (fn.dense(2), fn.dense(3), X, "dense: the parameter 'kernel' must have shape (_, 2), got (4, 3)"),
    "conv": (
        fn.conv(2),
        fn.conv(3),
        IMAGES,
        "conv: the parameter 'kernel' must have shape (3, 3, _, 2), got (3, 3, 8, 3)",
    ),
    "transposed": (
        fn.conv_transpose(2, 2),
        fn.conv_transpose(2, 3),
        IMAGES,
        "must have shape (2, 2, _, 2), got (3, 3, 8, 2)",
    ),
    "embedding": (fn.embedding(3, 3), fn.embedding(5, 4), Y, "'table' must have shape (3, 3), got (5, 4)"),
    "rnn": (fn.rnn(3), fn.rnn(2), SEQUENCES, "rnn: the parameter 'kernel' must have shape (_, 3), got (4, 2)"),
    "lstm": (fn.lstm(3), fn.gru(4), SEQUENCES, "lstm: the parameter 'recurrent' must have shape (3, 12), got (4, 12)"),
    "positions": (fn.layers.learned_positions(5), fn.layers.learned_positions(7), SEQUENCES, "(5, _), got (7, 4)"),
    "repeat": (
        fn.repeat(fn.dense(4), 3),
        fn.repeat(fn.dense(4), 2),
        X,
        "'bias' must have a leading axis of 3 copies, got",
    ),
    "ensemble": (
        fn.ensemble(fn.dense(4), 3),
        fn.ensemble(fn.dense(4), 2),
        X,
        "ensemble: the parameter 'bias' must have a l",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_parameters_of_another_network_are_refused(name):
    """A new head with the weights of the old one would give plausible numbers."""
    layer, other, x, message = OTHERS[name]
    with pytest.raises(ShapeError, match=re.escape(message)):
        layer(other.init(KEY, x)[0], x)


def test_a_data_set_is_predicted_as_its_x():
    data = fn.data.Dataset(np.asarray(X), np.asarray(Y))
    np.testing.assert_array_equal(fn.predict(TASK, state(), data), fn.predict(TASK, state(), X))


def test_padding_may_hold_anything():
    """What is not real is not looked at, by the layers nor by the check of the data."""
    values, mask = jnp.ones((12, 3, 4)).at[:, 2].set(jnp.nan), jnp.ones((12, 3), bool).at[:, 2].set(False)
    task = TASK._replace(net=fn.serial(fn.gru(2), fn.layers.last_step(), fn.dense(3)))
    result = fit(task, (fn.Masked(values, mask), Y))()
    assert np.isfinite(result.history["loss"]).all()
    with pytest.raises(DataError, match="x/values must be finite, got nan at row 0"):
        fit(task, (fn.Masked(values, ~mask), Y))()


def test_callbacks_get_plain_numbers():
    """So that they can be written as they are."""
    seen = []
    fit(validation=(X, Y), callbacks=[lambda event: seen.append(event.logs)])()
    assert {type(value) for logs in seen for value in logs.values()} <= {int, float}
    assert any("val_accuracy" in logs for logs in seen)


def test_outputs_without_rows_stand_beside_those_with_them():
    """A net may return a number for its batch, such as a divergence; the loss's own errors are about the loss."""
    net = fn.parallel(z=fn.dense(3), kl=lambda x: (x**2).sum(), combine=lambda z, kl: {"z": z, "kl": kl})
    task = TASK._replace(net=net, loss=lambda out, y: fn.losses.cross_entropy(out["z"], y) + out["kl"], metrics=())
    assert np.isfinite(fn.evaluate(task, state(task), (X, np.asarray(Y)))["loss"])
    wrong = task._replace(loss=lambda out, y: fn.losses.cross_entropy(out["z"], y).mean())
    with pytest.raises(ShapeError, match=r"^loss: must return one value per example"):
        fn.evaluate(wrong, state(wrong), (X, np.asarray(Y)))


@pytest.mark.parametrize("answer", [True, np.True_, np.array(True), jnp.array(True)])
def test_a_callback_ends_the_run_by_any_true(answer):
    result = fit(steps=9, callbacks=[lambda event: answer if event.kind == "chunk" else None])()
    assert int(result.state.step) < 9
    assert result.ended == "callback"


def test_progress_passes_over_what_is_no_number(capsys):
    pair = TASK.metrics[0]._replace(name="pair", compute=lambda acc: {"a": jnp.ones(()), "b": jnp.ones(2)})
    fit(TASK._replace(metrics=(pair,)), validation=(X, Y), callbacks=[fn.callbacks.progress()])()
    assert "loss" in capsys.readouterr().err


def test_rates_of_noise_can_be_swept():
    """A layer made inside vmap takes a traced number, as optimizers and losses do."""
    dropped = jax.vmap(lambda rate: fn.dropout(rate).apply({}, {}, jnp.ones(8), key=KEY, train=True)[0])
    np.testing.assert_array_equal(dropped(jnp.array([0.0, 0.5]))[0], np.ones(8))
    x = jnp.ones(8, jnp.bfloat16)
    narrow = jax.jit(lambda rate: fn.dropout(rate).apply({}, {}, x, key=KEY, train=True)[0])
    assert narrow(jnp.array(0.5)).dtype == jnp.bfloat16
    params, held = fn.batch_norm().init(KEY, X)

    def normed(momentum):
        return fn.batch_norm(momentum=momentum).apply(params, held, X, train=True)[1]["mean"]

    np.testing.assert_array_equal(jax.vmap(normed)(jnp.array([1.0, 0.0]))[0], held["mean"])
