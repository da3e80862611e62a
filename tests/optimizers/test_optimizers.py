"""Every optimizer against rules written from the papers, and the laws that all of them obey."""

import re
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optimizer_oracle as oracle
import pytest
from jax.tree_util import tree_leaves

from fnnet import optimizers, schedules, transforms, tree
from fnnet.testing import OptimizerSubject, law_table

STEPS = 20
START = {"bias": np.array([0.5, -1.0, 0.3]), "kernel": np.array([[0.2, -0.7, 1.1], [-0.4, 0.9, -1.3]])}
HESSIAN = np.diag(np.arange(1.0, 10.0)) + 0.3
TARGET = np.linspace(-1.0, 1.0, 9)


class Row(NamedTuple):
    make: Any
    kernel: Any  # the oracle's rule of each leaf
    bias: Any
    facts: Any


def row(make, rule, bias=None, **facts):
    return Row(make, rule, rule if bias is None else bias, facts)


def reference(rules):
    """Return the path of the oracle's rules, of (parameters, gradients stacked): parameters stacked."""

    def path(params, each):
        steps = len(each["bias"])
        gradients = ({name: leaf[step] for name, leaf in each.items()} for step in range(steps))
        path = oracle.run(rules, params, lambda params: next(gradients), steps)
        return {name: np.stack([params[name] for params in path]) for name in params}

    return path


def subject(row):
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), START)
    rules = {"bias": row.bias, "kernel": row.kernel}
    path = None if row.kernel is None else reference(rules)
    facts = {"has_numbers": True, "by_leaf": row.bias is row.kernel, "reference": path} | row.facts
    return OptimizerSubject(row.make(), params, **facts)


def halving(t):
    return 0.1 * 0.5 ** (t // 5)


o = optimizers
ROWS = {
    "sgd": row(lambda: o.sgd(0.02), oracle.sgd(0.02), scale="linear", first_step=lambda g, p: -0.02 * g),
    "sgd, momentum": row(lambda: o.sgd(0.01, 0.8), oracle.sgd(0.01, 0.8), scale="linear"),
    "sgd, nesterov": row(lambda: o.sgd(0.01, 0.8, nesterov=True), oracle.sgd(0.01, 0.8, True), scale="linear"),
    "adagrad": row(lambda: o.adagrad(0.3), oracle.adagrad(0.3)),
    "adagrad, from 0": row(lambda: o.adagrad(0.3, 0.0, 1e-3), oracle.adagrad(0.3, 0.0, 1e-3), scale="invariant"),
    "rmsprop": row(lambda: o.rmsprop(0.02), oracle.rmsprop(0.02), scale="invariant"),
    "rmsprop, all": row(
        lambda: o.rmsprop(0.01, 0.8, 1e-3, centered=True, momentum=0.5, nesterov=True),
        oracle.rmsprop(0.01, 0.8, 1e-3, True, 0.5, True),
        scale="invariant",
    ),
    "rmsprop, momentum": row(
        lambda: o.rmsprop(0.01, momentum=0.5), oracle.rmsprop(0.01, momentum=0.5), scale="invariant"
    ),
    "adam": row(lambda: o.adam(0.05), oracle.adam(0.05), scale="invariant", first_step=lambda g, p: -0.05 * np.sign(g)),
    "adam, all": row(lambda: o.adam(0.05, 0.7, 0.9, 1e-2), oracle.adam(0.05, 0.7, 0.9, 1e-2), scale="invariant"),
    "adam, scheduled": row(
        lambda: o.adam(schedules.step(0.1, every=5, factor=0.5)),
        oracle.adam(halving),
        scale="invariant",
        has_numbers=False,
    ),
    "adamw": row(
        lambda: o.adamw(0.05, weight_decay=0.1, mask="kernel"),
        oracle.adam(0.05, decay=0.1),
        oracle.adam(0.05),
        decays=True,
        scale="invariant",
    ),
    "nadam": row(lambda: o.nadam(0.05, 0.8), oracle.adam(0.05, 0.8, nesterov=True), scale="invariant"),
    "nadamw": row(
        lambda: o.nadamw(0.05, weight_decay=0.1),
        oracle.adam(0.05, decay=0.1, nesterov=True),
        decays=True,
        scale="invariant",
    ),
    "adamax": row(lambda: o.adamax(0.05, eps=1e-3), oracle.adamax(0.05, eps=1e-3), scale="invariant"),
    "amsgrad": row(
        lambda: o.amsgrad(0.05, 0.8, 0.7), oracle.adam(0.05, 0.8, 0.7, keep_largest=True), scale="invariant"
    ),
    "radam": row(lambda: o.radam(0.02, b2=0.95), oracle.radam(0.02, b2=0.95)),
    "radam, threshold": row(lambda: o.radam(0.02, threshold=4.0), oracle.radam(0.02, threshold=4.0)),
    "adadelta": row(lambda: o.adadelta(2.0, 0.8, 1e-3), oracle.adadelta(2.0, 0.8, 1e-3)),
    "nadamw, masked": row(
        lambda: o.nadamw(0.05, weight_decay=0.1, mask="kernel"),
        oracle.adam(0.05, decay=0.1, nesterov=True),
        oracle.adam(0.05, nesterov=True),
        decays=True,
        scale="invariant",
    ),
    "lion, masked": row(
        lambda: o.lion(0.02, weight_decay=0.1, mask="kernel"),
        oracle.lion(0.02, decay=0.1),
        oracle.lion(0.02, decay=0.0),
        decays=True,
        scale="invariant",
    ),
    "muon, none chosen": row(
        lambda: o.muon(0.02, matrices="bias", fallback=o.sgd(0.01)), oracle.sgd(0.01), oracle.sgd(0.01)
    ),
    "lion": row(
        lambda: o.lion(0.02, 0.8, 0.95, 0.1), oracle.lion(0.02, 0.8, 0.95, 0.1), decays=True, scale="invariant"
    ),
    "lamb": row(
        lambda: o.lamb(0.02, weight_decay=0.1, mask="kernel"),
        oracle.lamb(0.02, decay=0.1),
        oracle.lamb(0.02),
        decays=True,
        scale="invariant",
    ),
    "lars": row(
        lambda: o.lars(0.3, 0.8, 0.1, 0.02, 1e-3, nesterov=True),
        oracle.lars(0.3, 0.8, 0.1, 0.02, 1e-3, True),
        decays=True,
    ),
    "lars, masked": row(lambda: o.lars(0.01, 0.5, mask="kernel"), oracle.lars(0.01, 0.5), oracle.sgd(0.01, 0.5)),
    "muon": row(
        lambda: o.muon(0.02, weight_decay=0.1, fallback=o.sgd(0.01)),
        oracle.muon(0.02, decay=0.1),
        oracle.sgd(0.01),
        decays=True,
    ),
    "muon, plain": row(
        lambda: o.muon(0.02, 0.5, nesterov=False, iterations=3),
        oracle.muon(0.02, 0.5, nesterov=False, iterations=3),
        oracle.adam(3e-4),
    ),
    "adafactor": row(lambda: o.adafactor(0.05), oracle.adafactor(0.05, factored=False)),
    "adafactor, all": row(
        lambda: o.adafactor(
            0.03, 0.7, 1e-4, max_rms=0.8, min_rms=None, momentum=0.5, weight_decay=0.1, mask="kernel", factor_from=2
        ),
        oracle.adafactor(0.03, 0.7, 1e-4, 0.8, None, 0.5, 0.1),
        oracle.adafactor(0.03, 0.7, 1e-4, 0.8, None, 0.5),
        decays=True,
    ),
    "lbfgs": row(o.lbfgs, None, by_leaf=False),
}
SUBJECTS = {name: subject(row) for name, row in ROWS.items()}
BY_LEAF = [name for name in ROWS if name != "lbfgs"]
each = partial(pytest.mark.parametrize, "name")


def test_every_optimizer_has_a_row():
    assert {name.split(",")[0] for name in ROWS} == set(optimizers.__all__)


def loss(params, quadratic, rosenbrock):
    x = jnp.concatenate([jnp.ravel(leaf) for leaf in tree_leaves(params)])
    d = x - jnp.asarray(TARGET, x.dtype)
    valley = jnp.sum(10 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    return quadratic * (d @ jnp.asarray(HESSIAN, x.dtype) @ d) / 2 + rosenbrock * valley


def numpy_loss(x, quadratic, rosenbrock):
    valley = sum(10 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(8))
    return quadratic * (x - TARGET) @ HESSIAN @ (x - TARGET) / 2 + rosenbrock * valley


def numpy_gradient(x, quadratic, rosenbrock):
    valley = np.zeros(9)
    for i in range(8):
        valley[i] += -40 * x[i] * (x[i + 1] - x[i] ** 2) - 2 * (1 - x[i])
        valley[i + 1] += 20 * (x[i + 1] - x[i] ** 2)
    return quadratic * HESSIAN @ (x - TARGET) + rosenbrock * valley


def by_leaf(x):
    return {"bias": x[:3], "kernel": x[3:].reshape(2, 3)}


def as_vector(params):
    return np.concatenate([params["bias"], np.ravel(params["kernel"])])


@jax.jit
def lbfgs_path(params, quadratic, rosenbrock):
    """Return parameters and state after steps of L-BFGS down the loss, and the parameters after each."""
    optimizer = optimizers.lbfgs()

    def value_fn(params):
        return loss(params, quadratic, rosenbrock)

    def step(carry, _):
        params, opt_state = carry
        value, grads = jax.value_and_grad(value_fn)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params, value=value, grad=grads, value_fn=value_fn)
        params = tree.add(params, updates)
        return (params, opt_state), params

    return jax.lax.scan(step, (params, optimizer.init(params)), None, length=STEPS)


SEARCHES = "it searches along the loss of the last gradients alone, of which accumulation knows nothing"


@pytest.mark.row("optimizers")
@pytest.mark.usefixtures("quickly_compiled")
@law_table(SUBJECTS, excused={"lbfgs": {"accumulated_gradients_are_one_of_a_large_batch": SEARCHES}})
def test_it_obeys(law):
    law()


@pytest.mark.row("optimizers")
@pytest.mark.parametrize("problem", [(1.0, 0.0), (0.0, 0.05)], ids=["quadratic", "rosenbrock"])
def test_lbfgs_path_is_that_of_dense_matrices(problem, x64):
    """The two loops and the search follow dense rank-two updates of the inverse Hessian, while rounding is small."""
    f, gradient = (partial(_on_vector, function, problem) for function in (numpy_loss, numpy_gradient))
    expected = oracle.lbfgs(f, gradient, as_vector(START), 12)
    _, path = lbfgs_path(jax.tree.map(jnp.asarray, START), *problem)
    whole = np.concatenate([path["bias"], path["kernel"].reshape(STEPS, 6)], axis=1)
    np.testing.assert_allclose(whole[:12], expected, rtol=1e-5, atol=1e-7)


def _on_vector(function, problem, x):
    return function(x, *problem)


def test_lbfgs_finds_the_minimum(x64):
    """Twenty steps solve the quadratic to seven digits; the state tells the length of the last step."""
    (params, opt_state), _ = lbfgs_path(jax.tree.map(jnp.asarray, START), 1.0, 0.0)
    np.testing.assert_allclose(as_vector(params), TARGET, atol=1e-7)
    assert opt_state[1].trials >= 0


@each(ROWS)
@pytest.mark.parametrize("dtype", ["bfloat16", "complex64"])
def test_structure_and_dtypes_stay(name, dtype):
    """The state's structure, shapes and dtypes are the same after an update; updates have the parameters' dtype.

    Moments of low-precision parameters are float32.
    """
    optimizer = ROWS[name].make()
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), START)

    def real_loss(params):
        return sum(jnp.sum(jnp.real(x * x.conj()).astype(jnp.float32)) for x in tree_leaves(params))

    def update(params):
        opt_state = optimizer.init(params)
        extra = {"value": real_loss(params), "grad": params, "value_fn": real_loss}
        return (opt_state, *optimizer.update(params, opt_state, params, **extra))

    before, updates, after = jax.eval_shape(update, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(before, after)
    assert [x.weak_type for x in tree_leaves(before)] == [x.weak_type for x in tree_leaves(after)]
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
    allowed = {"float32", "int32", *(["complex64"] if dtype == "complex64" else [])}
    assert {str(leaf.dtype) for leaf in tree_leaves(before)} <= allowed


@pytest.mark.leaks
def test_a_step_is_traced_once_for_all_rates():
    """A jitted step is traced once, whatever its numbers."""
    optimizer = transforms.chain(transforms.clip_by_global_norm(1.0), optimizers.adamw(1e-3))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(params, opt_state):
        return optimizer.update(params, opt_state, params)

    params = {"w": jnp.ones(3)}
    opt_state = optimizer.init(params)
    seen = []
    for rate in (0.1, 0.2, 0.4):
        opt_state = transforms.with_hyperparams(opt_state, {"learning_rate": rate, "weight_decay": 0.0, "b2": 0.99})
        updates, opt_state = step(params, opt_state)
        seen.append(float(updates["w"][0]))
    np.testing.assert_allclose(seen, [-0.1, -0.2, -0.4], rtol=1e-5)


@each(BY_LEAF)
def test_complex_parameters(name, x64):
    """Complex parameters follow the same rules with |g|² in place of g², matrices by their own singular values."""
    optimizer = ROWS[name].make()
    imaginary = np.triu(np.full((9, 9), 0.2j), 1)
    matrix = HESSIAN + imaginary + imaginary.conj().T
    start = {"bias": START["bias"] * (1 + 0.5j), "kernel": START["kernel"] * (0.8 - 1j)}

    @jax.jit
    def path(params):
        def step(carry, _):
            params, opt_state = carry
            x = jnp.concatenate([jnp.ravel(x) for x in tree_leaves(params)])
            grads = by_leaf(jnp.asarray(matrix) @ (x - TARGET.astype(complex)))
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (tree.add(params, updates), opt_state), tree.add(params, updates)

        return jax.lax.scan(step, (params, optimizer.init(params)), None, length=8)[1]

    rules = {"kernel": ROWS[name].kernel, "bias": ROWS[name].bias}
    expected = oracle.run(rules, start, lambda p: by_leaf(matrix @ (as_vector(p) - TARGET)), 8)
    got = path(jax.tree.map(jnp.asarray, start))
    for leaf in start:
        np.testing.assert_allclose(got[leaf], [params[leaf] for params in expected], rtol=1e-8, atol=1e-10)


@pytest.mark.leaks
def test_lbfgs_on_complex_parameters_and_a_kink(x64):
    """The minimum of |z − c|² is found, and from a kink (|x|, no smoothness) the loss falls."""

    def update(params, f):
        grads = jax.tree.map(jnp.conj, jax.grad(f)(params))
        opt = optimizers.lbfgs()
        opt_state = opt.init(params)
        for _ in range(3):
            updates, opt_state = opt.update(grads, opt_state, params, value_fn=f)
            params = tree.add(params, updates)
            grads = jax.tree.map(jnp.conj, jax.grad(f)(params))
        return params

    z = jax.jit(partial(update, f=lambda p: jnp.sum(jnp.abs(p["z"] - (2 - 1j)) ** 2)))({"z": jnp.zeros(1, complex)})
    np.testing.assert_allclose(z["z"], [2 - 1j], atol=1e-6)
    x = jax.jit(partial(update, f=lambda p: jnp.sum(jnp.abs(p["x"]))))({"x": jnp.array([3.0, -0.7])})
    assert jnp.sum(jnp.abs(x["x"])) < 3.7


def test_bfloat16_follows_float32():
    """One step of bfloat16 parameters is the float32 step, to the rounding of parameters and gradients."""
    for name in set(optimizers.__all__) - {"lbfgs"}:
        optimizer, steps = ROWS[name].make(), []
        for dtype in (jnp.bfloat16, jnp.float32):
            params = jax.tree.map(lambda x, dtype=dtype: jnp.asarray(x, dtype), START)
            steps.append(jax.jit(lambda p, o=optimizer: o.update(p, o.init(p), p)[0])(params))
        low = jax.tree.map(lambda x: x.astype(jnp.float32), steps[0])
        chex.assert_trees_all_close(low, steps[1], rtol=0.03, atol=2e-4)


@each(["adam", "lamb"])
def test_a_run_is_differentiable_in_its_numbers(name, x64):
    """d loss(end) / d (rate, b2) equals finite differences, also with a parameter whose gradient is always 0."""
    optimizer = ROWS[name].make()
    params = jax.tree.map(jnp.asarray, START) | {"unused": jnp.ones(2)}

    def used(params):
        return loss({leaf: params[leaf] for leaf in START}, 1.0, 0.0)

    def end(rate, b2):
        def step(carry, _):
            params, opt_state = carry
            updates, opt_state = optimizer.update(jax.grad(used)(params), opt_state, params)
            return (tree.add(params, updates), opt_state), None

        opt_state = transforms.with_hyperparams(optimizer.init(params), {"learning_rate": rate, "b2": b2})
        return used(jax.lax.scan(step, (params, opt_state), None, length=3)[0][0])

    value_and_slopes, h = jax.jit(jax.value_and_grad(end, argnums=(0, 1))), 1e-5
    _, slopes = value_and_slopes(0.02, 0.9)
    by_rate = value_and_slopes(0.02 + h, 0.9)[0] - value_and_slopes(0.02 - h, 0.9)[0]
    by_b2 = value_and_slopes(0.02, 0.9 + h)[0] - value_and_slopes(0.02, 0.9 - h)[0]
    np.testing.assert_allclose(slopes, [by_rate / (2 * h), by_b2 / (2 * h)], rtol=1e-5)


@each(["adam", "momentum"])
def test_rates_in_a_vmap_are_a_loop(name):
    """vmap over rates made into optimizers equals a loop over them."""

    def first_step(rate):
        optimizer = optimizers.adam(rate) if name == "adam" else optimizers.sgd(rate, 0.9)
        params = {"w": jnp.arange(1.0, 4.0)}
        return optimizer.update(params, optimizer.init(params), params)[0]["w"]

    rates = jnp.array([0.1, 0.2])
    np.testing.assert_allclose(jax.vmap(first_step)(rates), jnp.stack([first_step(r) for r in rates]), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: o.sgd(-0.1), "scale_by_learning_rate: learning_rate must be at least 0, got -0.1"),
        (lambda: o.adam(float("nan")), "learning_rate must be at least 0, got nan"),
        (lambda: o.adam(0.1, b1=1.0), "adam: b1 must be below 1, got 1.0"),
        (lambda: o.adam(0.1, eps=-1e-8), "adam: eps must be at least 0, got -1e-08"),
        (lambda: o.sgd(0.1, nesterov=True), "sgd: nesterov needs a momentum, got momentum=None"),
        (lambda: o.adamw(0.1, weight_decay=-1.0), "add_decayed_weights: weight_decay must be at least 0, got -1.0"),
        (lambda: o.lbfgs(0), "lbfgs: memory must be at least 1, got 0"),
        (lambda: o.lbfgs(max_trials=0), "scale_by_line_search: max_trials must be at least 1, got 0"),
        (lambda: o.muon(iterations=0), "muon: iterations must be at least 1, got 0"),
        (lambda: o.adafactor(0.1, factor_from=0), "adafactor: factor_from must be at least 1, got 0"),
    ],
)
def test_impossible_numbers(make, message):
    """A number that no rule can use is refused where the optimizer is made."""
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_lbfgs_says_what_it_needs():
    """Without the loss function there is nothing to search."""
    optimizer, params = optimizers.lbfgs(), {"w": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"_line_search: update needs value_fn; call update\(.*, value_fn=...\)"):
        optimizer.update(params, optimizer.init(params), params)
    with pytest.raises(ValueError, match="add_decayed_weights: update needs the parameters"):
        optimizers.adamw(0.1).update(params, optimizers.adamw(0.1).init(params))


def test_integer_parameters_are_refused():
    """Integers have no gradient."""
    with pytest.raises(TypeError, match="parameters and gradients must be floating-point, got int32"):
        optimizers.adam(0.1).init({"w": jnp.ones(2, jnp.int32)})
