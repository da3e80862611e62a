"""What a check says: a sound thing holds, a broken one is named with its simplest case; what is refused, and how."""

from __future__ import annotations

import re
import types
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import testing
from fnnet.errors import DataError
from fnnet.testing import plugin, tables

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
DENSE = fn.dense(3)


def forgetful(forgets):
    """A dense layer that leaves out its bias in training, if it forgets."""

    def apply(params, state, x, *, key=None, train=False):
        y = x @ params["kernel"]
        bias = jnp.broadcast_to(params["bias"], y.shape)
        return (y if train and forgets else y + bias), state

    return fn.Layer("forgetful", DENSE.init, apply)


SOUND = {
    "layer": lambda **options: testing.check_layer(DENSE, X, **options),
    "loss": lambda **options: testing.check_loss(fn.losses.squared_error, X, X + 1, truth=lambda t: t, **options),
    "optimizer": lambda **options: testing.check_optimizer(fn.sgd(0.1), scale="linear", has_numbers=True, **options),
    "schedule": lambda **options: testing.check_schedule(fn.schedules.cosine(0.1, steps=9), 9, stays=True, **options),
    "metric": lambda **options: testing.check_metric(fn.metrics.accuracy(), jnp.eye(6), jnp.arange(6), **options),
    "transform": lambda **options: testing.check_transform(
        fn.augmentation.flip(), (X[:, :, None, None], jnp.arange(3)), random=False, **options
    ),
    "sampler": lambda **options: testing.check_sampler(fn.sampling.epochs("weigh"), **options),
    "run": lambda **options: testing.check_run(
        fn.Task(fn.serial(fn.dense(4), fn.dropout(0.5), fn.dense(1)), fn.losses.squared_error, fn.adam(0.1)),
        (jnp.asarray(np.random.default_rng(1).normal(size=(10, 3)), jnp.float32), jnp.ones((10, 1))),
        **options,
    ),
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_things_hold(kind):
    """Every law of the kind has a verdict: held in as many cases as the profile says or fewer, or not asked."""
    verdicts = SOUND[kind](profile=testing.Profile(cases=3, seed=0))
    assert {verdict.outcome for verdict in verdicts} <= {"held", "not asked"}
    held = [verdict for verdict in verdicts if verdict.outcome == "held"]
    assert len(held) >= 3
    assert all(1 <= verdict.cases <= 3 for verdict in held)
    assert len({verdict.law for verdict in verdicts}) == len(verdicts)


def test_a_broken_law_is_told_with_its_simplest_case():
    """Name, statement, case, got, expected, and a line that repeats it: which does, and holds once it is mended."""
    testing.check_layer(forgetful(False), X)
    with pytest.raises(testing.LawError) as caught:
        testing.check_layer(forgetful(True), X)
    said = str(caught.value)
    assert said.startswith("forgetful: breaks the law training_is_inference_without_key_or_state: ")
    assert "\n  case: init key = 0, move = 0, x = 'zeros', x seed = 0, key = 0\n" in said
    assert re.search(r"y in training\n +got: +shape \(3, 3\).*\n +expected: shape \(3, 3\)", said)
    assert caught.value.law == "training_is_inference_without_key_or_state"
    line = said.rpartition("Again: ")[2]
    assert line.startswith("fn.testing.check_layer(layer, x, laws='training_is_inference_without_key_or_state', case={")
    with pytest.raises(testing.LawError) as again:
        eval(line, {"fn": fn, "layer": forgetful(True), "x": X})
    assert str(again.value) == said
    assert eval(line, {"fn": fn, "layer": forgetful(False), "x": X})[0].outcome == "held"


def test_the_search_finds_what_few_cases_show():
    """A fault at one kind of values alone is found, and told by them and not by others."""

    def apply(params, state, x, *, key=None, train=False):
        size = jnp.sqrt((x**2).sum(-1, keepdims=True))
        return x / (size + 1e-6), state

    with pytest.raises(testing.LawError, match="finite_values_have_finite_gradients") as caught:
        testing.check_layer(fn.Layer("unit", lambda key, x: ({}, {}), apply), X)
    assert caught.value.case["x"] == "zeros"
    assert "nan" in str(caught.value)


def test_what_raises_breaks_the_law():
    """An error of the thing itself is told as one."""

    def apply(params, state, x, *, key=None, train=False):
        return (x if x.sum() > 0 else -x), state

    with pytest.raises(
        testing.LawError, match=r"breaks the law \w+: [^\n]+\n  case: [^\n]+\n  TracerBoolConversionError"
    ):
        testing.check_layer(fn.Layer("branches", lambda key, x: ({}, {}), apply), X)


def test_a_search_is_the_same_at_every_run_or_fresh():
    seen = []

    def apply(params, state, x, *, key=None, train=False):
        seen.append(np.asarray(x).tobytes() if not isinstance(x, jax.core.Tracer) else b"")
        return x, state

    layer = fn.Layer("same", lambda key, x: ({}, {}), apply)
    runs = []
    for profile in (testing.CI, testing.CI, testing.Profile(8, None), testing.Profile(8, None)):
        seen.clear()
        testing.check_layer(layer, X, laws="apply_is_pure", profile=profile)
        runs.append(tuple(seen))
    assert runs[0] == runs[1]
    assert runs[2] != runs[3]


def scaled_by(params, x):
    return x * jnp.broadcast_to(params["w"], x.shape)


PAIRS = {
    "two functions": (lambda key, x: {"w": jnp.ones(x.shape[-1:], x.dtype)}, scaled_by),
    "with options": (
        lambda key, x: {"w": jnp.ones(x.shape[-1:], x.dtype)},
        lambda params, x, key=None, train=False: scaled_by(params, x),
    ),
    "with state": (
        lambda key, x: ({"w": jnp.ones(x.shape[-1:], x.dtype)}, {}),
        lambda params, state, x, *, key=None, train=False: (scaled_by(params, x), state),
    ),
    "an object": types.SimpleNamespace(init=lambda key, x: {"w": jnp.ones(x.shape[-1:], x.dtype)}, apply=scaled_by),
    "a function": jnp.tanh,
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_anyone_are_taken(name):
    assert len(testing.check_layer(PAIRS[name], X, profile=testing.Profile(2, 0))) > 20


def test_optimizers_of_anyone_are_taken():
    pair = (lambda params: (), lambda grads, state, params=None: (jax.tree.map(lambda g: -0.1 * g, grads), state))
    for thing in (pair, types.SimpleNamespace(init=pair[0], update=pair[1])):
        testing.check_optimizer(
            thing, laws=["scale_of_the_gradient", "a_gradient_of_zero_moves_nothing"], scale="linear"
        )
    with pytest.raises(TypeError, match=r"an optimizer must be a pair of functions \(init, update\), got float"):
        testing.check_optimizer(0.1)


def test_symmetries_and_bounds_are_asked_where_they_are_declared():
    mean = (lambda key, x: {}, lambda params, x: x.mean(-1))
    first = (lambda key, x: {}, lambda params, x: x[..., 0])
    twice = (lambda key, x: {}, lambda params, x: 2 * x)
    testing.check_layer(mean, X, laws="symmetries_hold", symmetries=(testing.permuted(-1), testing.rolled(-1)))
    testing.check_layer(twice, X, laws="symmetries_hold", symmetries=(testing.scaled(output=True),))
    with pytest.raises(testing.LawError, match="the output after a permutation of axis -1"):
        testing.check_layer(first, X, laws="symmetries_hold", symmetries=(testing.permuted(-1),))
    testing.check_layer(twice, X, laws="distances_grow_no_more_than_declared", lipschitz=2.0)
    with pytest.raises(testing.LawError, match="‖y − y'‖") as caught:
        testing.check_layer(twice, X, laws="distances_grow_no_more_than_declared", lipschitz=1.9)
    line = str(caught.value).rpartition("Again: ")[2]  # says what was declared, so that the law is asked
    with pytest.raises(testing.LawError, match="‖y − y'‖"):
        eval(line, {"fn": fn, "layer": twice, "x": X})


def test_a_fix_within_the_cause_is_left_as_it_is():
    """The fix of an error that the thing itself raised is told as that, beside the line that repeats the case."""

    def apply(params, state, x, *, key=None, train=False):
        raise fn.errors.ShapeError("mine", "is wrong", "turn it.")

    with pytest.raises(testing.LawError, match=r"ShapeError: mine: is wrong\n +Fix: turn it\.\n  Again: fn\.testing"):
        testing.check_layer(fn.Layer("mine", lambda key, x: ({}, {}), apply), X, laws="jit_is_eager")


def test_a_law_is_excused_by_name_with_a_reason():
    excused = {
        "training_is_inference_without_key_or_state": "its bias is of inference",
        "every_parameter_matters": "so that it has no gradient",
    }
    verdicts = testing.check_layer(forgetful(True), X, excused=excused)
    told = [verdict for verdict in verdicts if verdict.outcome == "excused"]
    assert {verdict.law: verdict.reason for verdict in told} == excused


REFUSED = {
    "a layer must be a Layer or a function array -> array, got int": (TypeError, lambda: testing.check_layer(3, X)),
    r"dense: init fails on the example of its input \(DtypeError": (
        DataError,
        lambda: testing.check_layer(DENSE, jnp.arange(3)),
    ),
    r"dense: 'jit' is no law of this kind; they are init_reads": (
        ValueError,
        lambda: testing.check_layer(DENSE, X, laws="jit"),
    ),
    r"dense: the law 'symmetries_hold' does not fit it": (
        ValueError,
        lambda: testing.check_layer(DENSE, X, laws="symmetries_hold"),
    ),
    r"dense: the law 'jit_is_eager' is excused without a reason": (
        ValueError,
        lambda: testing.check_layer(DENSE, X, excused={"jit_is_eager": " "}),
    ),
    r"dense: excused 'jit' is no law of this kind": (
        ValueError,
        lambda: testing.check_layer(DENSE, X, excused={"jit": "why"}),
    ),
    r"check_layer: has no option 'symmetry'; they are couples, symmetries,": (
        TypeError,
        lambda: testing.check_layer(DENSE, X, symmetry=()),
    ),
    r"laws are asked of one of LayerSubject, .*, got Layer": (TypeError, lambda: testing.check(DENSE)),
    r"case: needs 'init key', has nothing": (
        ValueError,
        lambda: testing.check_layer(DENSE, X, laws="jit_is_eager", case={}),
    ),
    r"case: 'train' must be one of \[False, True\], got 2": (
        ValueError,
        lambda: testing.check_layer(DENSE, X, laws="jit_is_eager", case={"init key": 0, "move": 0, "train": 2}),
    ),
    r"case: 'init key' must be a whole number from 0 to 65535, got -1": (
        ValueError,
        lambda: testing.check_layer(DENSE, X, laws="jit_is_eager", case={"init key": -1}),
    ),
    r"law_table: excused 'conv' is no row; they are dense": (
        ValueError,
        lambda: testing.law_table(ROWS, excused={"conv": {}}),
    ),
    r"law_table: 'jit' is no law of these rows; they are \w+": (
        ValueError,
        lambda: testing.law_table(ROWS, laws=["jit_is_eager", "jit"]),
    ),
}
ROWS = {"dense": testing.LayerSubject(DENSE, X), "sgd": testing.OptimizerSubject(fn.sgd(0.1), {"w": jnp.ones(2)})}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused(message):
    error, act = REFUSED[message]
    with pytest.raises(error, match=message):
        act()


SCALE = {"sgd": {"structure_is_fixed": "an example of an excuse"}}


@testing.law_table(ROWS, excused=SCALE, profile=testing.Profile(2, 0))
def test_a_table_is_a_test_a_law_a_row(law):
    if law.reason:
        with pytest.raises(pytest.skip.Exception, match="sgd is excused from structure_is_fixed: an example"):
            law()
    else:
        law()


def test_a_table_may_ask_some_laws_alone():
    _, asked = testing.law_table(ROWS, laws=["jit_is_eager", "structure_is_fixed"]).args
    assert [parameter.id for parameter in asked] == ["dense-jit_is_eager", "sgd-structure_is_fixed", "sgd-jit_is_eager"]


def test_a_broken_law_of_a_table_is_told_with_its_row():
    wrong = testing.OptimizerSubject(fn.sgd(0.1), {"w": jnp.ones(2)}, first_step=lambda grads, params: grads)

    @testing.law_table({"of mine": wrong}, laws=["the_first_step_is_as_declared"])
    def asked(law):
        law()

    (parameter,) = asked.pytestmark[0].args[1]
    with pytest.raises(testing.LawError, match=r"^of mine: breaks the law the_first_step_is_as_declared"):
        asked(*parameter.values)


def test_tables_are_asked_as_pytest_was_started():
    """``--laws hunt`` searches long, unless a table says how long."""
    config = types.SimpleNamespace(getoption=lambda name: "hunt")
    plugin.pytest_configure(config)
    try:
        assert tables.asked_with(None) == testing.HUNT
        assert tables.asked_with(testing.CI) == testing.CI
    finally:
        plugin.pytest_unconfigure(config)
    assert tables.asked_with(None) == testing.CI
    added = []
    group = types.SimpleNamespace(addoption=lambda name, **options: added.append((name, options["choices"])))
    plugin.pytest_addoption(types.SimpleNamespace(getgroup=lambda *names: group))
    assert added == [("--laws", ("ci", "hunt"))]


BROKEN = {  # one for each kind beside layers: what is broken, and the law that says so
    "mean over the batch": (
        partial(testing.check_loss, lambda p, t: jnp.broadcast_to(((p - t) ** 2).mean(), p.shape), X, X + 1),
        "examples_are_apart",
    ),
    "no clipping": (
        partial(testing.check_loss, lambda p, t: -jnp.log(jax.nn.sigmoid(p)), X, X),
        "extremes_are_finite",
    ),
    "a rate that is applied to decay alone": (
        partial(testing.check_optimizer, (lambda p: (), lambda g, s, p: (jax.tree.map(lambda a: -0.1 * a, p), s))),
        "a_gradient_of_zero_moves_nothing",
    ),
    "one step late": (
        partial(testing.check_schedule, lambda t: 0.1 * (1 - jnp.float32(t) / 9), 9, end=0.0),
        "values_stay_within_bounds",
    ),
    "mean of means": (
        partial(
            testing.check_metric,
            fn.Metric(
                "mean_of_means",
                lambda: jnp.zeros(2),
                lambda acc, p, t, w=None: acc + jnp.stack([(p.argmax(-1) == t).mean() if len(t) else 0.0, 1.0]),
                lambda acc: acc[0] / acc[1],
            ),
            jnp.eye(6),
            jnp.arange(6),
            weights=False,
        ),
        "no_split_changes_the_value",
    ),
    "one draw for all": (
        partial(
            testing.check_transform,
            lambda key, batch: (jnp.where(jax.random.bernoulli(key), batch[0], -batch[0]), batch[1]),
            (X, jnp.arange(3)),
        ),
        "rows_are_drawn_apart",
    ),
    "with replacement": (partial(testing.check_sampler, fn.sampling.with_replacement()), "a_pass_has_each_row_once"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_things_are_found(name):
    check, law = BROKEN[name]
    with pytest.raises(testing.LawError, match=f"breaks the law {law}"):
        check()


def test_evaluation_that_sees_the_batch_is_found():
    """A net that normalises by the batch at inference: what evaluate gives depends on the size of batches."""

    def apply(params, state, x, *, key=None, train=False):
        return params["w"] * (x - x.mean(0, keepdims=True)).sum(-1, keepdims=True), state

    net = fn.Layer("centred", lambda key, x: ({"w": jnp.ones(())}, {}), apply)
    task = fn.Task(net, fn.losses.squared_error, fn.sgd(0.1))
    with pytest.raises(testing.LawError, match="breaks the law evaluation_does_not_depend_on_batches"):
        testing.check_run(task, (X, jnp.ones((3, 1))), batch_size=3, laws="evaluation_does_not_depend_on_batches")


def test_rounding_that_a_norm_makes_large_is_rounding():
    """Of examples that are all alike, a norm over the batch divides what rounding has left by the root of ε."""
    net = fn.serial(fn.dense(4), fn.batch_norm(), fn.dropout(0.25), jax.nn.silu, fn.dense(2))
    case = {"init key": 0, "move": 0, "train": True, "x": "zeros", "x seed": 0, "key": 0}
    for seed in range(9):
        testing.check_layer(net, jnp.ones((3, 4)), couples=True, laws="jit_is_eager", case=case | {"move": seed})


def test_what_is_more_than_rounding_is_none():
    """Where rounding is made a thousand times as large, a fault of one in a hundred still is one."""
    net = fn.serial(fn.dense(4), fn.batch_norm(), fn.dense(2))

    def apply(params, state, x, *, key=None, train=False):
        y, state = net.apply(params, state, x, key=key, train=train)
        return (y if isinstance(x, jax.core.Tracer) else 1.01 * y), state

    with pytest.raises(testing.LawError, match="breaks the law jit_is_eager"):
        testing.check_layer(fn.Layer("forgets", net.init, apply), X, couples=True, laws="jit_is_eager")


def test_a_kink_within_a_difference_has_the_slope_of_a_side():
    """Found by a search from fresh seeds: a unit whose threshold was less than a step away."""
    layer = fn.conv(3, (3,), activation=jax.nn.relu)
    x = jnp.ones((3, 5, 2))
    case = {"train": False, "init key": 1, "move": 870, "x": "normal", "x seed": 16495, "key": 0, "direction": 38268}
    testing.check_layer(layer, x, laws="gradients_are_slopes", case=case)


def test_a_slope_of_neither_side_is_told():
    @jax.custom_jvp
    def steep(x):
        return jax.nn.relu(x)

    steep.defjvps(lambda slope, y, x: 1.01 * slope * (x > 0))
    with pytest.raises(testing.LawError, match="breaks the law gradients_are_slopes"):
        testing.check_layer(fn.compose.as_layer(steep), X, laws="gradients_are_slopes")
