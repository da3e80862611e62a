"""The objective and its gradient: of terms, in parts, at a scale."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_training import SIZE, make_data, make_task

import fnnet as fn


def two_terms(prediction, target):
    fit = fn.losses.cross_entropy(prediction, target)
    return fn.Terms({"fit": fit, "size": 0.1 * jnp.square(prediction)}, {"largest": jnp.max(prediction)})


def one_term(prediction, target):
    return fn.losses.cross_entropy(prediction, target) + 0.1 * jnp.square(prediction).mean(-1)


def test_terms_add_up():
    """The update is that of the sum of the terms; each mean and the auxiliary value are reported."""
    x, y = make_data()
    tasks = [make_task(loss=loss, optimizer=fn.sgd(0.1)) for loss in (two_terms, one_term)]
    ts = fn.init(tasks[0], jax.random.key(0), x)
    weight = jnp.arange(float(SIZE))
    (after, logs), (expected, whole) = (fn.step(task, ts, (x, y, weight)) for task in tasks)
    chex.assert_trees_all_close(after.params, expected.params, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(logs["loss"], whole["loss"], rtol=1e-6)
    np.testing.assert_allclose(logs["loss/fit"] + logs["loss/size"], logs["loss"], rtol=1e-6)
    np.testing.assert_allclose(logs["largest"], tasks[0].net(ts.params, x).max(), rtol=1e-6)
    values = fn.evaluate(tasks[0], ts, (x, y, weight), batch_size=7)
    np.testing.assert_allclose(values["loss"], logs["loss"], rtol=1e-5)
    np.testing.assert_allclose(values["loss/fit"], logs["loss/fit"], rtol=1e-5)


def test_terms_are_columns_of_the_history():
    x, y = make_data()
    task = make_task(loss=two_terms)
    _, history = fn.run(task, fn.init(task, jax.random.key(0), x), (x, y), steps=3, batch_size=8)
    assert {"loss", "loss/fit", "loss/size", "largest"} <= set(history)
    np.testing.assert_allclose(history["loss/fit"] + history["loss/size"], history["loss"], rtol=1e-6)


def test_a_penalty_is_learnt_and_not_evaluated():
    """Its gradient is added, its value reported; what evaluate measures is without it."""
    x, y = make_data()
    rate, strength = 0.1, 0.3

    def penalty(params):
        return strength * jnp.square(params["dense_0"]["kernel"]).sum()

    plain = make_task(optimizer=fn.sgd(rate))
    ts = fn.init(plain, jax.random.key(0), x)
    (after, logs), (bare, unpenalised) = (fn.step(plain._replace(penalty=p), ts, (x, y)) for p in (penalty, None))
    kernel = ts.params["dense_0"]["kernel"]
    expected = bare.params["dense_0"]["kernel"] - rate * 2 * strength * kernel
    np.testing.assert_allclose(after.params["dense_0"]["kernel"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logs["loss"], unpenalised["loss"] + penalty(ts.params), rtol=1e-6)
    np.testing.assert_allclose(logs["loss/data"], unpenalised["loss"], rtol=1e-6)
    evaluated = fn.evaluate(plain._replace(penalty=penalty), ts, (x, y))
    chex.assert_trees_all_equal(evaluated, fn.evaluate(plain, ts, (x, y)))
    named = plain._replace(penalty=lambda params: {"l2": penalty(params)})
    np.testing.assert_allclose(fn.step(named, ts, (x, y))[1]["loss/penalty/l2"], penalty(ts.params), rtol=1e-6)


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("parts", [2, 5])
def test_micro_batches_make_the_update_of_the_whole(parts, weighed):
    """Gradient, loss, terms and metrics are those of the batch at once, to rounding, with weights too."""
    x, y = make_data()
    weight = (jnp.arange(float(SIZE)) % 7,) if weighed else ()
    task = make_task(loss=two_terms, optimizer=fn.sgd(0.1), penalty=lambda p: jnp.square(p["dense_1"]["bias"]).sum())
    ts = fn.init(task, jax.random.key(0), x)
    (after, logs), (expected, whole) = (fn.step(task, ts, (x, y, *weight), micro_batches=n) for n in (parts, 1))
    chex.assert_trees_all_close(after.params, expected.params, rtol=1e-5, atol=1e-6)
    for name in whole.keys() - {"largest"}:  # an auxiliary value is averaged
        np.testing.assert_allclose(logs[name], whole[name], rtol=1e-5)
    record = fn.Record(every=1)
    rows = [
        fn.run(task, ts, (x, y, *weight), steps=1, batch_size=SIZE, micro_batches=n, record=record)[1]
        for n in (parts, 1)
    ]
    np.testing.assert_allclose(rows[0]["accuracy"], rows[1]["accuracy"], rtol=1e-6)


def test_micro_batches_hand_on_the_state_and_draw_anew():
    """Running statistics see every part in turn, and dropout differs between parts."""
    x, y = make_data()
    task = make_task(net=fn.serial(fn.batch_norm(), fn.dense(3)), optimizer=fn.sgd(0.0))
    ts = fn.init(task, jax.random.key(0), x)
    together, _ = fn.step(task, ts, (x, y), micro_batches=2)
    one = ts
    for part in (slice(0, 20), slice(20, 40)):
        one, _ = fn.step(task, one, (x[part], y[part]))
    chex.assert_trees_all_close(together.state, one.state, rtol=1e-5, atol=1e-6)
    noisy = make_task(net=fn.serial(fn.dropout(0.5)), loss=lambda z, t: fn.Terms({"a": z.mean(-1)}), metrics=())
    same = jnp.ones((4, 50))
    params = fn.init(noisy, jax.random.key(0), same)
    halves = fn.step(noisy, params, (same, same), micro_batches=2)[1]["loss"]
    whole = fn.step(noisy, params, (same[:2], same[:2]))[1]["loss"]
    assert halves != whole


def test_a_line_search_sees_the_objective_of_all_micro_batches():
    """`value_fn` is the loss of the union of the parts."""
    seen = {}

    def update(grads, state, params=None, **extra):
        seen["same"] = jnp.allclose(extra["value_fn"](params), extra["value"], rtol=1e-6)
        return jax.tree.map(jnp.zeros_like, grads), state

    x, y = make_data()
    task = make_task(optimizer=fn.Optimizer(lambda params: (), update))
    fn.step(task, fn.init(task, jax.random.key(0), x), (x, y, jnp.arange(float(SIZE))), micro_batches=4)
    assert seen["same"]


def test_a_scaled_loss_makes_the_same_update():
    """The scale is a power of two, so in float32 the updates are those without it, bit for bit."""
    x, y = make_data()
    plain = make_task(optimizer=fn.adam(0.01))
    scaled = make_task(optimizer=fn.transforms.dynamic_loss_scale(fn.adam(0.01), every=3))
    ends = []
    for task in (plain, scaled):
        ts = fn.init(task, jax.random.key(0), x)
        ends.append(fn.run(task, ts, (x, y), steps=8, batch_size=8))
    chex.assert_trees_all_equal(ends[0][0].params, ends[1][0].params)
    np.testing.assert_array_equal(ends[0][1]["grad_norm"], ends[1][1]["grad_norm"])
    assert float(ends[1][0].opt_state.loss_scale) == 2.0**17


def test_small_gradients_in_float16_are_kept_by_the_scale():
    """A loss whose gradient is below the least float16 moves the parameters only with a scale."""
    x = jnp.ones((4, 3))
    net = fn.precision(fn.dense(1, bias_init=None), compute=jnp.float16, output=jnp.float16)
    moved = []
    for wrap in (lambda rule: rule, fn.transforms.dynamic_loss_scale):
        task = fn.Task(net, lambda z, t: z[:, 0].astype(jnp.float32) * 1e-8, wrap(fn.sgd(1e8)))
        ts = fn.init(task, jax.random.key(0), x)
        after, _ = fn.step(task, ts, (x, x))
        moved.append(np.abs(after.params["kernel"] - ts.params["kernel"]))
    assert not moved[0].any()
    np.testing.assert_allclose(moved[1], 1, rtol=1e-2)


def test_an_overflow_halves_the_scale_and_makes_no_update():
    """The scale comes down until gradients are finite in float16, and training goes on."""
    x, y = make_data()
    net = fn.precision(fn.dense(3), compute=jnp.float16)
    task = make_task(net=net, optimizer=fn.transforms.dynamic_loss_scale(fn.sgd(0.1), initial=2.0**24))
    ts = fn.init(task, jax.random.key(0), x)
    first, _ = fn.step(task, ts, (x, y))
    chex.assert_trees_all_equal(first.params, ts.params)
    assert float(first.opt_state.loss_scale) == 2.0**23
    end, history = fn.run(task, ts, (x, y), steps=30, batch_size=8)
    assert 0 < int(end.opt_state.skipped) < 15
    assert history["loss"][-5:].mean() < history["loss"][:5].mean()


def test_a_scale_comes_down_to_one_and_no_further():
    optimizer = fn.transforms.dynamic_loss_scale(fn.sgd(0.1), initial=2.0)
    params = {"w": jnp.ones(1)}
    state = optimizer.init(params)
    for _ in range(3):
        _, state = optimizer.update({"w": jnp.array([jnp.nan])}, state, params)
    assert float(state.loss_scale) == 1
    assert int(state.skipped) == 3


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"loss": lambda z, t: {}}, TypeError, "loss: the terms must be a dict of at least one array by name"),
        ({"loss": lambda z, t: {"a": z.mean()}}, fn.errors.ShapeError, r"loss/a: must return one value per example"),
        ({"loss": lambda z, t: fn.Terms({"a": z}, {"loss": z})}, ValueError, "'loss' is the name of a column"),
        ({"loss": lambda z, t: fn.Terms({"a": z}, {"accuracy": z})}, ValueError, "'accuracy' is the name of a column"),
        ({"penalty": lambda p: jnp.ones(2)}, fn.errors.ShapeError, "penalty: must be one floating-point number"),
        ({"penalty": 0.1}, TypeError, r"task: penalty must be a function \(params\) -> number, or None, got 0.1"),
        (
            {"optimizer": fn.transforms.chain(*(fn.transforms.dynamic_loss_scale(fn.sgd(0.1)) for _ in range(2)))},
            ValueError,
            "the optimizer keeps 2 scales of the loss",
        ),
    ],
)
def test_wrong_parts_of_an_objective_are_named(parts, error, message):
    x, y = make_data()
    task = make_task(**parts)
    with pytest.raises(error, match=message):
        fn.step(task, fn.init(task, jax.random.key(0), x), (x, y))


@pytest.mark.parametrize(("name", "value"), [("initial", 0.0), ("factor", 1.0), ("every", 2.5)])
def test_numbers_of_a_loss_scale_are_checked(name, value):
    with pytest.raises(ValueError, match=f"dynamic_loss_scale: {name} must be"):
        fn.transforms.dynamic_loss_scale(fn.sgd(0.1), **{name: value})
