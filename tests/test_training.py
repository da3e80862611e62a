"""A run is a function of (task, key, data): the same, however it is cut, compiled or mapped."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import log_softmax

import fnnet as fn
from fnnet import training
from fnnet.training import evaluation

pytestmark = pytest.mark.types

SIZE, BATCH = 40, 8


def make_data(seed=0):
    x = np.random.default_rng(seed).normal(size=(SIZE, 4)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray((x[:, 0] > 0).astype(np.int32) + (x[:, 1] > 0).astype(np.int32))


def make_task(**overrides):
    parts = {
        "net": fn.serial(fn.dense(6), jax.nn.relu, fn.dense(3)),
        "loss": fn.losses.cross_entropy,
        "optimizer": fn.adam(0.01),
        "metrics": (fn.metrics.accuracy(),),
    }
    return fn.Task(**(parts | overrides))


TASK = make_task()
STATIC = (*("task", "steps", "batch_size", "sampler", "transform", "micro_batches", "record", "on_nonfinite", "remat"),)
run = jax.jit(fn.run, static_argnames=STATIC)


@pytest.mark.row("gradient-descent")
def test_step_is_a_gradient_step(x64):
    """One step of sgd moves the parameters by -rate times the gradient, taken here by finite differences."""
    task = make_task(optimizer=fn.sgd(0.5))
    x, y = (jnp.asarray(np.asarray(a), d) for a, d in zip(make_data(), (jnp.float64, jnp.int32), strict=True))
    ts = fn.init(task, jax.random.key(0), x)
    after, logs = fn.step(task, ts, (x, y))

    def objective(params):
        z = np.maximum(x @ params["dense_0"]["kernel"] + params["dense_0"]["bias"][None], 0)
        z = z @ params["dense_1"]["kernel"] + params["dense_1"]["bias"][None]
        return -log_softmax(z, axis=1)[np.arange(SIZE), y].mean()

    params = jax.tree.map(np.array, ts.params)
    np.testing.assert_allclose(logs["loss"], objective(params), rtol=1e-12)
    for layer, name, place in [("dense_0", "kernel", (1, 2)), ("dense_1", "bias", (0,)), ("dense_1", "kernel", (3, 1))]:
        moved = after.params[layer][name][place] - ts.params[layer][name][place]
        sides = []
        for sign in (1, -1):
            nudged = jax.tree.map(np.array, ts.params)
            nudged[layer][name][place] += sign * 1e-6
            sides.append(objective(nudged))
        np.testing.assert_allclose(moved, -0.5 * (sides[0] - sides[1]) / 2e-6, rtol=1e-6, atol=1e-9)


@pytest.mark.row("training")
def test_the_objective_is_not_convex():
    """Hidden units that are exchanged compute the same network; halfway between the two the loss is greater than there.

    A convex objective is nowhere greater between two points than at both.
    """
    data = make_data()
    ts, _ = run(TASK, fn.init(TASK, jax.random.key(0), data[0]), data, steps=200, batch_size=BATCH)
    hidden, head = ts.params["dense_0"], ts.params["dense_1"]
    exchanged = {
        "dense_0": jax.tree.map(lambda leaf: leaf[..., ::-1], hidden),
        "dense_1": {"kernel": head["kernel"][::-1], "bias": head["bias"]},
    }
    between = jax.tree.map(lambda a, b: (a + b) / 2, ts.params, exchanged)
    here, there, middle = (
        float(fn.losses.cross_entropy(TASK.net(params, data[0]), data[1]).mean())
        for params in (ts.params, exchanged, between)
    )
    np.testing.assert_allclose(there, here, rtol=1e-5)
    assert middle > 1.5 * here


def test_weights_are_repetitions():
    """A batch where row i weighs w_i gives the update of the batch where row i stands w_i times."""
    x, y = make_data()
    task = make_task(optimizer=fn.sgd(0.1))
    ts = fn.init(task, jax.random.key(0), x)
    weight = np.arange(SIZE) % 3
    weighted, _ = fn.step(task, ts, (x, y, jnp.asarray(weight, jnp.float32)))
    repeated, _ = fn.step(task, ts, (jnp.repeat(x, weight, axis=0), jnp.repeat(y, weight)))
    chex.assert_trees_all_close(weighted.params, repeated.params, rtol=1e-5, atol=1e-7)


def test_what_weighs_nothing_adds_nothing():
    """An infinite loss of weight 0 leaves the update as it is, and a batch that weighs nothing makes none."""
    x, y = make_data()
    task = make_task(optimizer=fn.sgd(0.1))
    ts = fn.init(task, jax.random.key(0), x)

    def infinite_at_first(prediction, target):
        return fn.losses.cross_entropy(prediction, target).at[0].set(jnp.inf)

    without, logs = fn.step(task._replace(loss=infinite_at_first), ts, (x, y, jnp.ones(SIZE).at[0].set(0)))
    rest, expected = fn.step(task, ts, (x[1:], y[1:]))
    chex.assert_trees_all_close((without.params, logs), (rest.params, expected), rtol=1e-5, atol=1e-7)
    nothing, logs = fn.step(task, ts, (x, y, jnp.zeros(SIZE)))
    chex.assert_trees_all_equal(nothing.params, ts.params)
    assert logs["loss"] == 0


@pytest.mark.leaks
@pytest.mark.lowest
def test_run_of_a_plus_b_is_run_of_a_then_b():
    """run(a + b) = run(b) after run(a), bit for bit."""
    data, ts = make_data(), fn.init(TASK, jax.random.key(1), make_data()[0])
    whole, logs = run(TASK, ts, data, steps=13, batch_size=BATCH)
    middle, first = run(TASK, ts, data, steps=6, batch_size=BATCH)
    end, second = run(TASK, middle, data, steps=7, batch_size=BATCH)
    chex.assert_trees_all_equal(whole, end)
    np.testing.assert_array_equal(logs["loss"], np.concatenate([first["loss"], second["loss"]]))


@pytest.mark.lowest
def test_run_over_seeds_is_vmapped():
    """vmap of a run over keys is the runs of each key, to rounding."""
    data, keys = make_data(), jax.random.split(jax.random.key(3), 3)

    def trained(key):
        ts, history = fn.run(TASK, fn.init(TASK, key, data[0]), data, steps=10, batch_size=BATCH)
        return ts.params, history["loss"]

    together = jax.jit(jax.vmap(trained))(keys)
    alone = fn.tree.map(lambda *leaves: jnp.stack(leaves), *(jax.jit(trained)(key) for key in keys))
    chex.assert_trees_all_close(together, alone, rtol=1e-5, atol=1e-6)
    assert len(np.unique(together[1][:, 0])) == 3


@pytest.mark.leaks
def test_gradient_through_a_run(x64):
    """d(last loss)/d(initial parameter) through a whole run equals finite differences."""
    x, y = make_data()
    data = (x.astype(jnp.float64), y)
    task = make_task(optimizer=fn.sgd(0.1), net=fn.serial(fn.dense(5), jnp.tanh, fn.dense(3)), metrics=())
    ts = fn.init(task, jax.random.key(0), data[0])

    @jax.jit
    def last_loss(params):
        end, _ = fn.run(task, ts._replace(params=params), data, steps=5, batch_size=BATCH)
        return fn.evaluate(task, end, data)["loss"]

    check_grads(last_loss, (ts.params,), order=1, modes=["rev"], rtol=1e-5, atol=1e-7)


@pytest.mark.row("batches")
def test_an_epoch_sees_every_row_once():
    """The batches of an epoch are disjoint and together all rows, in another order each epoch."""
    ts = fn.init(TASK, jax.random.key(5), make_data()[0])
    rows = jnp.arange(SIZE)
    steps = jnp.arange(3 * SIZE // BATCH)
    course = training.check_course(TASK, make_data(), BATCH, None, None, 1, fn.Record(), "go_on")
    batches = jax.vmap(lambda step: training.batch_at(ts._replace(step=step), rows, course))(steps).reshape(3, SIZE)
    for epoch in batches:
        np.testing.assert_array_equal(np.sort(epoch), rows)
    assert not np.array_equal(batches[0], batches[1])


@pytest.mark.parametrize("batch_size", [7, 8, 40, 100])
def test_evaluate_is_exact_over_any_batches(batch_size):
    """The loss and the metrics are those of the whole data at once, however ragged the last batch."""
    x, y = make_data()
    ts = fn.init(TASK, jax.random.key(2), x)
    values = fn.evaluate(TASK, ts, (x, y), batch_size=batch_size)
    logits = TASK.net(ts.params, x)
    np.testing.assert_allclose(values["loss"], TASK.loss(logits, y).mean(), rtol=1e-6)
    np.testing.assert_allclose(values["accuracy"], np.mean(np.argmax(logits, 1) == y), rtol=1e-6)
    chex.assert_trees_all_close(fn.predict(TASK, ts, x, batch_size=batch_size), logits, rtol=1e-5, atol=1e-6)


def test_validation_and_evaluate_are_one_program():
    """For data of the same shape; and one for batches that come one by one, whatever their sizes."""
    data = make_data()
    test = make_data(seed=1)
    task = make_task()
    before = evaluation._evaluate._cache_size()
    result = fn.fit(task, data, key=jax.random.key(0), epochs=2, batch_size=BATCH, validation=data)
    values = fn.evaluate(task, result.state, data)
    assert float(values["loss"]) == result.metrics["val_loss"][-1]
    fn.evaluate(task, result.state, test)
    assert evaluation._evaluate._cache_size() == before + 1
    before = evaluation._add_batch._cache_size()
    cuts = [(0, 16), (16, 25), (25, 39), (39, 40)]
    for make in (jnp.asarray, np.asarray):
        batches = [tuple(make(part)[start:stop] for part in data) for start, stop in cuts]
        ragged = fn.evaluate(task, result.state, iter(batches))
        chex.assert_trees_all_close(ragged, values, rtol=1e-6)
    assert evaluation._add_batch._cache_size() == before + 1


def test_evaluate_weighs_rows():
    """Rows of weight zero do not count, even where their loss is not finite."""
    x, y = make_data()
    ts = fn.init(TASK, jax.random.key(2), x)
    weight = jnp.asarray(np.arange(SIZE) < 30, jnp.float32)
    bad = x.at[30:].set(jnp.nan)
    whole = fn.evaluate(TASK, ts, (bad, y, weight), batch_size=16)
    part = fn.evaluate(TASK, ts, (x[:30], y[:30]), batch_size=16)
    chex.assert_trees_all_close(whole, part, rtol=1e-6)


def test_any_pair_of_init_and_apply_and_of_init_and_update():
    """A task takes pairs that are not ours: an update without extra arguments, a net with state of its own."""
    data = make_data()

    class Pair:
        name = "mine"

        @staticmethod
        def init(key, x):
            return (jnp.zeros((x.shape[-1], 3)),), ()

        @staticmethod
        def apply(params, state, x, *, key=None, train=False):
            return x @ params[0], state

    rule = fn.Optimizer(lambda params: (), lambda grads, state, params=None: (jax.tree.map(lambda g: -g, grads), state))
    task = fn.Task(fn.serial(Pair(), head=fn.dense(3)), fn.losses.cross_entropy, rule)
    ts = fn.init(task, jax.random.key(0), data[0])
    _, logs = fn.run(task, ts, data, steps=20, batch_size=BATCH)
    assert logs["loss"][-1] < logs["loss"][0]


def test_the_optimizer_is_given_the_objective():
    """`value_fn` of the parameters is `value`, and its gradient is `grad`."""
    seen = {}

    def update(grads, state, params=None, **extra):
        seen["same"] = jnp.allclose(extra["value_fn"](params), extra["value"])
        seen["gradient"] = jax.tree.map(jnp.allclose, jax.grad(extra["value_fn"])(params), extra["grad"])
        return jax.tree.map(jnp.zeros_like, grads), state

    task = make_task(optimizer=fn.Optimizer(lambda params: (), update))
    fn.step(task, fn.init(task, jax.random.key(0), make_data()[0]), make_data())
    assert all(jax.tree.leaves(seen))


@pytest.mark.parametrize("wrap", [lambda pair: pair, fn.transforms.chain, fn.transforms.skip_nonfinite])
def test_a_foreign_update_is_given_what_its_signature_names(wrap):
    """Named extras arrive, bare and in a chain, even where the gradients have the name of an extra."""

    def update(grad, state, params=None, *, value):
        return jax.tree.map(lambda g: jnp.full_like(g, value), grad), state

    task = make_task(optimizer=wrap(fn.Optimizer(lambda params: (), update)))
    ts = fn.init(task, jax.random.key(0), make_data()[0])
    after, logs = fn.step(task, ts, make_data())
    np.testing.assert_allclose(after.params["dense_0"]["bias"], logs["loss"] * np.ones(6), rtol=1e-6)


def test_a_weight_an_element_averages_over_the_labels_not_ignored():
    """With ``labels != ignore`` as weight, training and evaluation take the mean over the other elements alone."""
    x = np.random.default_rng(0).normal(size=(10, 4, 3)).astype(np.float32)
    y = np.where(np.arange(40).reshape(10, 4) % 3 == 0, -1, np.arange(40).reshape(10, 4) % 2)
    task = fn.Task(fn.dense(2), lambda z, y: fn.losses.cross_entropy(z, y, ignore=-1), fn.sgd(0.1))
    ts = fn.init(task, jax.random.key(0), x)
    data = tuple(map(jnp.asarray, (x, y, (y != -1).astype(np.float32))))
    log_p = log_softmax(np.asarray(task.net(ts.params, data[0]), np.float64), axis=-1)
    expected = -np.take_along_axis(log_p, np.maximum(y, 0)[..., None], -1)[..., 0][y != -1].mean()
    np.testing.assert_allclose(fn.step(task, ts, data)[1]["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(fn.evaluate(task, ts, data, batch_size=4)["loss"], expected, rtol=1e-5)
    with pytest.raises(fn.errors.ShapeError, match=r"leading axes of \(10, 4\), got \(10, 3\)"):
        fn.step(task, ts, (*data[:2], data[2][:, :3]))


def test_complex_parameters_descend():
    """With complex parameters a step of sgd lowers |w z - t|^2, and reaches its minimum."""
    z = jnp.asarray([1 + 1j, 2 - 1j, -1j], jnp.complex64)
    target = (0.5 - 2j) * z
    net = fn.Layer(
        "mul", lambda key, x: ({"w": jnp.zeros((), jnp.complex64)}, {}), lambda p, s, x, **_: (p["w"] * x, s)
    )
    task = fn.Task(net, lambda y, t: jnp.abs(y - t) ** 2, fn.sgd(0.1))
    ts, _ = run(task, fn.init(task, jax.random.key(0), z), (z, target), steps=60, batch_size=3)
    np.testing.assert_allclose(ts.params["w"], 0.5 - 2j, atol=1e-3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((jnp.ones((4, 2)), jnp.ones(3)), ["data[0] has 4", "data[1] has 3"]),
        ((jnp.ones((0, 2)), jnp.ones(0)), ["at least one example", "got 0"]),
        ((jnp.ones((4, 2)), jnp.ones(4)), ["batch_size of at most the 4", "got 5", "batch_size=4"]),
        ((jnp.ones((4, 2)), jnp.ones(())), ["data[1]", "scalar"]),
        ((), ["expected (x, y) or (x, y, weight), got a tuple of 0"]),
        (fn.data.xor(), ["got Dataset", "dataset.arrays"]),
        (jnp.ones((4, 2)), ["expected (x, y)"]),
    ],
)
def test_bad_data_is_named(data, words):
    """Data that cannot be run on is refused with what was expected and what was got."""
    ts = fn.init(TASK, jax.random.key(0), jnp.ones((1, 2)))
    with pytest.raises(fn.errors.DataError) as caught:
        fn.run(TASK, ts, data, steps=1, batch_size=5)
    for word in words:
        assert word in str(caught.value)
    if "batch_size" not in str(caught.value) and not isinstance(data, fn.data.Dataset):
        with pytest.raises(fn.errors.DataError):
            fn.evaluate(TASK, ts, data)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ts, data: fn.run(TASK, ts, data, steps=-1, batch_size=2), "run: steps must be at least 0, got -1"),
        (lambda ts, data: fn.run(TASK, ts, data, steps=2, batch_size=0), "data: batch_size must be at least 1, got 0"),
        (lambda ts, data: fn.evaluate(TASK, ts, data, batch_size=0), "evaluate: batch_size must be at least 1, got 0"),
        (lambda ts, data: fn.predict(TASK, ts, data[0], batch_size=-1), "predict: batch_size must be at least 1"),
    ],
)
def test_impossible_counts(call, message):
    x, y = make_data()
    with pytest.raises(ValueError, match=message):
        call(fn.init(TASK, jax.random.key(0), x), (x, y))


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"net": jnp.sin}, TypeError, r"net must have the functions init and apply, got .*sin.*fn\.as_layer"),
        ({"optimizer": 0.1}, TypeError, "optimizer must have the functions init and update, got 0.1"),
        ({"loss": "mse"}, TypeError, r"loss must be a function \(prediction, target\) -> values, got 'mse'"),
        ({"metrics": [fn.metrics.accuracy()]}, TypeError, r"metrics must be a tuple of metrics, .*, got \[Metric"),
        ({"metrics": (fn.metrics.accuracy,)}, TypeError, "metrics must be a tuple of metrics"),
        ({"metrics": (fn.metrics.accuracy(),) * 2}, ValueError, "'accuracy' is the name of two metrics"),
        ({"metrics": (fn.metrics.accuracy()._replace(name="loss"),)}, ValueError, "'loss' is the name of a column"),
        ({"metrics": (fn.metrics.accuracy()._replace(name="step"),)}, ValueError, "'step' is the name of a column"),
    ],
)
def test_a_task_of_wrong_parts_is_named(parts, error, message):
    """Before anything is traced or compiled, in init, evaluate, predict and fit."""
    x, y = make_data()
    ts, task = fn.init(TASK, jax.random.key(0), x), TASK._replace(**parts)
    for call in (
        lambda: fn.init(task, jax.random.key(0), x),
        lambda: fn.evaluate(task, ts, (x, y)),
        lambda: fn.predict(task, ts, x),
        lambda: fn.fit(task, (x, y), key=jax.random.key(0), steps=1),
    ):
        with pytest.raises(error, match=f"^task: {message}"):
            call()


def test_a_loss_that_is_a_mean_is_refused():
    """The step takes the mean, weighted; of one number there is nothing to weigh."""
    x, y = make_data()
    task = make_task(loss=lambda z, t: fn.losses.cross_entropy(z, t).mean())
    ts = fn.init(task, jax.random.key(0), x)
    message = r"(?s)loss.*must return one value per example, .*, got shape \(\).*drop the \.mean\(\)"
    with pytest.raises(fn.errors.ShapeError, match=message):
        fn.step(task, ts, (x, y))
    with pytest.raises(fn.errors.ShapeError, match=message):
        fn.evaluate(task, ts, (x, y))


def test_outputs_that_are_no_rows_are_refused():
    """An ensemble has its members in front of its rows: what is taken row by row would depend on the batch size."""
    x, y = make_data()
    task = make_task(net=fn.ensemble(fn.dense(3), BATCH))
    ts = fn.init(task, jax.random.key(0), x)
    with pytest.raises(fn.errors.ShapeError, match=r"a row for each of the 4 examples, got shape"):
        fn.predict(task, ts, x, batch_size=4)
    every = task._replace(loss=lambda z, t: fn.losses.cross_entropy(z, jnp.broadcast_to(t, z.shape[:-1])))
    with pytest.raises(fn.errors.ShapeError, match=r"net: its output must have a row .* got shape \(8, 40, 3\)"):
        fn.step(every, ts, (x, y))


def test_a_weight_is_an_array():
    x, y = make_data()
    with pytest.raises(fn.errors.DataError, match="the weight must be an array, got list"):
        fn.step(TASK, fn.init(TASK, jax.random.key(0), x), (x, y, [1.0] * SIZE))


def test_a_run_over_rates_is_a_loop_over_rates():
    """vmap of whole runs over a number of the optimizer's state gives what each run gives alone, to rounding."""
    x, y = make_data()
    start = fn.init(TASK, jax.random.key(0), x)
    rates = jnp.array([0.001, 0.01, 0.1])

    def trained(rate):
        opt_state = fn.with_hyperparams(start.opt_state, {"learning_rate": rate})
        return run(TASK, start._replace(opt_state=opt_state), (x, y), steps=6, batch_size=BATCH)[0].params

    alone = [trained(rate) for rate in rates]
    chex.assert_trees_all_close(
        jax.vmap(trained)(rates), jax.tree.map(lambda *p: jnp.stack(p), *alone), rtol=1e-5, atol=1e-6
    )
    assert not np.allclose(alone[0]["dense_0"]["kernel"], alone[2]["dense_0"]["kernel"], atol=1e-3)


@pytest.mark.untyped
def test_a_key_is_a_key():
    with pytest.raises(fn.errors.KeyMissingError, match=r"(?s)init: needs a random key, got 0.*jax\.random\.key"):
        fn.init(TASK, 0, jnp.ones((1, 4)))


def test_a_data_set_is_evaluated_as_its_arrays():
    data = fn.data.moons(30)
    task = make_task(net=fn.dense(2))
    ts = fn.init(task, jax.random.key(0), data.x)
    chex.assert_trees_all_equal(fn.evaluate(task, ts, data), fn.evaluate(task, ts, data.arrays))


def test_a_batch_is_a_tuple():
    ts = fn.init(TASK, jax.random.key(0), jnp.ones((1, 2)))
    with pytest.raises(fn.errors.DataError, match=r"expected \(x, y\) or \(x, y, weight\), got a tuple of 4"):
        fn.step(TASK, ts, (1, 2, 3, 4))
