"""The perceptron's rule against loops in NumPy, and the theorem that bounds its mistakes."""

from __future__ import annotations

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import neurons
from fnnet.errors import DataError, DtypeError, ShapeError

BITS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR = np.array([0, 1, 1, 0])


def points(seed, rows=20, n=3):
    """Whole numbers, whose sums are exact in float32."""
    return np.random.default_rng(seed).integers(-8, 9, (rows, n)).astype(np.float64)


def halves(seed, x):
    """Labels by a random plane, both there."""
    scores = x @ np.random.default_rng(seed).normal(size=x.shape[1])
    return (scores > np.median(scores)).astype(int)


def by_hand(x, y, passes, classes=None):
    """The rule in NumPy: the weights after each example, mistakes, passes, and whether the last made none."""
    inputs = np.concatenate([np.ones((len(x), 1)), x], axis=1)
    w = np.zeros((inputs.shape[1], classes or 1))
    mistakes, course = 0, []
    for done in range(1, passes + 1):
        wrong = 0
        for row, label in zip(inputs, y, strict=True):
            scores = row @ w
            guess = int(np.argmax(scores)) if classes else int(scores[0] >= 0)
            if guess != label:
                wrong += 1
                if classes:
                    w[:, label] += row
                    w[:, guess] -= row
                else:
                    w[:, 0] += (label - guess) * row
            course.append(w.copy())
        mistakes += wrong
        if not wrong:
            return course, mistakes, done, True
    return course, mistakes, passes, False


def assert_is(learnt, w, mistakes, passes, converged):
    np.testing.assert_allclose(np.concatenate([learnt.bias[None], learnt.kernel]), w, rtol=1e-5, atol=1e-5)
    assert (int(learnt.mistakes), int(learnt.passes), bool(learnt.converged)) == (mistakes, passes, converged)


@pytest.mark.row("learning-rule")
@hypothesis.given(seed=st.integers(0, 2**31))
def test_the_rule(seed):
    """Weights and counts are those of the loop in NumPy, on data that a plane separates and on those that none does."""
    x = points(seed)
    for y in (halves(seed, x), np.random.default_rng(seed).permutation(np.arange(20) % 2)):
        course, *counts = by_hand(x, y, 30)
        assert_is(neurons.perceptron(x, y, passes=30), course[-1], *counts)
        assert_is(neurons.averaged_perceptron(x, y, passes=30), np.mean(course, axis=0), *counts)


@pytest.mark.row("convergence")
@hypothesis.given(seed=st.integers(0, 2**31))
def test_the_pocket(seed):
    """It holds the first of the best of all weights that were had."""
    x, y = points(seed), np.random.default_rng(seed).permutation(np.arange(20) % 2)
    course, *counts = by_hand(x, y, 30)
    inputs = np.concatenate([np.ones((len(x), 1)), x], axis=1)
    rights = [((inputs @ w)[:, 0] >= 0).astype(int).__eq__(y).sum() for w in (np.zeros_like(course[0]), *course)]
    best = [np.zeros_like(course[0]), *course][int(np.argmax(rights))]
    assert_is(neurons.pocket_perceptron(x, y, passes=30), best, *counts)


@hypothesis.given(seed=st.integers(0, 2**31))
def test_several_classes(seed):
    x = points(seed)
    y = np.argmax(x @ np.random.default_rng(seed).normal(size=(3, 3)), axis=1)
    y[:3] = 0, 1, 2
    course, *counts = by_hand(x, y, 30, classes=3)
    assert_is(neurons.multiclass_perceptron(x, y, 3, passes=30), course[-1], *counts)


@hypothesis.given(seed=st.integers(0, 2**31))
def test_the_linear_kernel(seed):
    """With k(x, z) = 1 + x·z the mistakes, and the decisions, are those of the perceptron."""
    x = points(seed)
    y = halves(seed, x)
    plain = neurons.perceptron(x, y, passes=30)
    dual = neurons.kernel_perceptron(x, y, lambda a, b: 1 + a @ b, passes=30)
    chex.assert_trees_all_equal(dual[2:], plain[2:])
    np.testing.assert_allclose(dual.coefficients @ x.astype(np.float32), plain.kernel[:, 0], atol=1e-4)


@pytest.mark.row("convergence")
@hypothesis.given(seed=st.integers(0, 2**31), order=st.integers(0, 2**31))
def test_the_bound_of_the_theorem(seed, order):
    """Separable data cost at most (R/γ)² mistakes, whatever their order."""
    x = np.random.default_rng(seed).normal(size=(20, 2)).astype(np.float32)
    y = halves(seed, x)
    bound = neurons.margin(x, y).bound
    hypothesis.assume(bound < 1e5)
    learnt = neurons.perceptron(x, y, passes=200_000, key=jax.random.key(order))
    assert bool(learnt.converged)
    assert int(learnt.mistakes) <= bound
    layer, params = neurons.as_layer(learnt)
    np.testing.assert_array_equal(layer(params, x)[:, 0], y)


@pytest.mark.row("convergence")
def test_data_that_no_plane_separates_end_at_the_bound_given():
    learnt = neurons.perceptron(BITS, XOR, passes=17)
    assert (int(learnt.passes), bool(learnt.converged)) == (17, False)
    assert str(learnt).startswith("did not converge in 17 passes")


def test_the_rate_scales_the_weights_and_changes_no_decision():
    x = points(3)
    y = halves(3, x)
    one, four = (neurons.perceptron(x, y, learning_rate=rate) for rate in (1.0, 4.0))
    chex.assert_trees_all_equal(four[2:], one[2:])
    np.testing.assert_allclose(four.kernel, 4 * one.kernel)
    np.testing.assert_allclose(four.theta, -4 * one.bias)


def test_orders_are_drawn_anew_by_key_and_vmapped():
    """A batch of keys learns what each learns alone; labels may be ±1 too."""
    x = points(5)
    y = halves(5, x)
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda key: neurons.perceptron(x, y, key=key))(keys)
    for n, key in enumerate(keys):
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf, n=n: leaf[n], together), neurons.perceptron(x, 2 * y - 1, key=key)
        )
    assert len(set(together.mistakes.tolist())) > 1


def test_real_data():
    """Setosa is separable from the other irises; ten digits are by ten units, as the converged run proves."""
    iris = fn.data.iris()
    setosa = (iris.y == 0).astype(int)
    learnt = neurons.perceptron(iris.x, setosa)
    assert int(learnt.mistakes) <= neurons.margin(iris.x, setosa).bound
    digits = fn.data.digits()
    learnt = neurons.multiclass_perceptron(digits.x, digits.y, 10, key=jax.random.key(0))
    layer, params = neurons.as_layer(learnt)
    assert bool(learnt.converged)
    assert (layer(params, digits.x).argmax(-1) == digits.y).all()


@pytest.mark.row("kernels")
def test_a_kernel_separates_xor():
    def kernel(a, b):
        return (1 + a @ b) ** 2

    learnt = neurons.kernel_perceptron(BITS, XOR, kernel)
    layer, params = neurons.as_layer(learnt, kernel)
    assert str(learnt).startswith("converged")
    assert layer(params, BITS)[:, 0].tolist() == XOR.tolist()
    assert layer(params, BITS.reshape(2, 2, 2)).shape == (2, 2, 1)


@pytest.mark.row("theta-as-weight")
@hypothesis.given(seed=st.integers(0, 2**31))
def test_theta_as_a_weight(seed):
    """w·x ≥ θ decides as (-θ, w)·(1, x) ≥ 0, on whole numbers, where both are exact."""
    x, w = points(seed), points(seed + 1, rows=1)[0]
    theta = float(np.random.default_rng(seed).integers(-30, 30))
    folded = neurons.append_one(x.astype(np.float32)) @ neurons.theta_as_weight(w.astype(np.float32), theta)
    np.testing.assert_array_equal(folded >= 0, x @ w >= theta)


@pytest.mark.row("theta-as-weight")
def test_theta_keeps_its_fraction_and_its_sign():
    """Whole weights, with a sign or without, are promoted; those of floating point keep their dtype."""
    assert neurons.theta_as_weight([1, 1], 1.5).tolist() == [-1.5, 1, 1]
    assert neurons.theta_as_weight(np.array([1, 1], np.uint8), 2).tolist() == [-2, 1, 1]
    assert neurons.theta_as_weight(jnp.ones(2, jnp.bfloat16), 1.5).dtype == jnp.bfloat16


def test_adaline_is_the_delta_rule():
    """Weights and losses are those of the loop in NumPy, and an update is one of SGD on ½(t - z)²."""
    x = points(2) / 8
    y = halves(2, x)
    learnt = neurons.adaline(x, y, learning_rate=0.05, passes=3)
    w, inputs, losses = np.zeros(4), np.concatenate([np.ones((20, 1)), x], axis=1), []
    for _ in range(3):
        errors = []
        for row, target in zip(inputs, 2 * y - 1, strict=True):
            errors.append(target - row @ w)
            w = w + 0.05 * errors[-1] * row
        losses.append(np.mean(np.square(errors)) / 2)
    np.testing.assert_allclose(np.r_[learnt.bias, learnt.kernel[:, 0]], w, rtol=1e-4)
    np.testing.assert_allclose(learnt.losses, losses, rtol=1e-4)

    task = fn.Task(
        fn.dense(1, kernel_init=fn.initializers.zeros), lambda z, t: fn.losses.squared_error(z, t) / 2, fn.sgd(0.05)
    )
    x, targets = jnp.asarray(x, jnp.float32), jnp.asarray(2 * y - 1, jnp.float32)[:, None]
    state = fn.init(task, jax.random.key(0), x)
    for n in range(20):
        state, _ = fn.step(task, state, (x[n : n + 1], targets[n : n + 1]))
    once = neurons.adaline(x, y, learning_rate=0.05, passes=1)
    chex.assert_trees_all_close(state.params, {"kernel": once.kernel, "bias": once.bias}, rtol=1e-5)


def test_adaline_tends_to_least_squares():
    """With a small rate it comes near to the least-squares plane, also where no plane separates."""
    x, y = points(7) / 8, np.arange(20) % 2
    learnt = neurons.adaline(x, y, learning_rate=0.002, passes=5000, key=jax.random.key(0))
    plane = np.linalg.lstsq(np.concatenate([np.ones((20, 1)), x], axis=1), 2.0 * y - 1, rcond=None)[0]
    np.testing.assert_allclose(np.r_[learnt.bias, learnt.kernel[:, 0]], plane, atol=0.02)


def test_adaline_stays_bounded_below_the_rate_of_the_law():
    """2/R², also where no plane separates; far above it the losses end at what is not finite."""
    bound = 2 / 3  # the longest row with its 1 is (1, 1, 1)
    assert neurons.adaline(BITS, XOR, learning_rate=0.99 * bound, passes=2000).losses.max() < 100
    assert not np.isfinite(neurons.adaline(BITS, XOR, learning_rate=3 * bound, passes=500).losses[-1])


def test_what_many_runs_learnt_is_told():
    """Counts over the runs that vmap made; inside jit and vmap, where none are known, the fields."""
    keys = jax.random.split(jax.random.key(0), 3)
    runs = jax.vmap(lambda key: neurons.perceptron(BITS, BITS[:, 0].astype(int), key=key))(keys)
    most = f"at most {runs.passes.max()} passes with at most {runs.mistakes.max()} mistakes"
    assert str(runs) == f"3 of 3 converged, in {most}"
    dual = jax.vmap(lambda key: neurons.kernel_perceptron(BITS, XOR, jnp.dot, passes=2, key=key))(keys)
    assert str(dual).startswith("0 of 3 converged, in at most 2 passes")
    told = []
    jax.vmap(lambda key: told.append(str(neurons.perceptron(BITS, XOR, key=key))))(keys)
    assert told[0].startswith("Perceptron(kernel=")


@pytest.mark.parametrize("find", [neurons.margin, neurons.separable])
def test_a_plane_that_was_found_is_a_unit(find):
    layer, params = neurons.as_layer(find(BITS, np.array([0, 1, 1, 1])))
    assert layer(params, BITS).tolist() == [[0], [1], [1], [1]]


RULES = {
    "perceptron": neurons.perceptron,
    "averaged": neurons.averaged_perceptron,
    "pocket": neurons.pocket_perceptron,
    "kernel": lambda x, y, **options: neurons.kernel_perceptron(x, y, jnp.dot, **options),
    "adaline": neurons.adaline,
    "separable": neurons.separable,
    "margin": neurons.margin,
}


@pytest.mark.parametrize("rule", RULES)
def test_bad_input(rule):
    learn = RULES[rule]
    with pytest.raises(DataError, match="must be 0 and 1, or -1 and 1, got 1, 2"):
        learn(BITS, np.array([1, 2, 1, 2]))
    with pytest.raises(DataError, match="must be 0 and 1, or -1 and 1, got 0, 1, 2"):
        learn(BITS, np.array([0, 1, 2, 0]))
    with pytest.raises(DataError, match="two classes, got 1 alone"):
        learn(BITS, np.ones(4, int))
    with pytest.raises(DataError, match="empty"):
        learn(BITS[:0], XOR[:0])
    with pytest.raises(DataError, match=r"finite, got \[nan, 1.0\] in row 1"):
        learn(np.where(np.arange(8).reshape(4, 2) == 2, np.nan, BITS), XOR)
    with pytest.raises(ShapeError, match=r"got \(4, 2\) and \(3,\)"):
        learn(BITS, XOR[:3])
    with pytest.raises(DtypeError, match="real numbers, got complex64"):
        learn(BITS.astype(np.complex64), XOR)
    with pytest.raises(DtypeError, match="y must hold numbers, got <U1"):
        learn(BITS, np.array(["a", "b", "b", "a"]))
    with pytest.raises(DtypeError, match="x must hold numbers, got <U32"):
        learn(BITS.astype(str), XOR)
    if rule in ("separable", "margin"):
        with pytest.raises(TypeError, match="must hold known values, got traced ones"):
            jax.jit(lambda x: learn(x, XOR))(BITS)
        return
    with pytest.raises(ValueError, match="passes must be at least 1"):
        learn(BITS, XOR, passes=0)
    for rate in (0, -1.0, np.nan, np.inf) if rule != "kernel" else ():
        with pytest.raises(ValueError, match="learning_rate must be a finite number above 0"):
            learn(BITS, XOR, learning_rate=rate)


def test_bad_input_of_several_classes():
    with pytest.raises(DataError, match="must be 0 to 1, got 2"):
        neurons.multiclass_perceptron(BITS, np.array([0, 1, 2, 0]), 2)
    with pytest.raises(DataError, match="must be 0 to 1, got -1"):
        neurons.multiclass_perceptron(BITS, np.array([0, 1, -1, 0]), 2)
    with pytest.raises(DataError, match="two classes or more, got 1 alone"):
        neurons.multiclass_perceptron(BITS, np.ones(4, int), 2)
    with pytest.raises(DtypeError, match="whole numbers, got float32"):
        neurons.multiclass_perceptron(BITS, XOR.astype(np.float32), 2)
    with pytest.raises(ValueError, match="classes must be at least 2"):
        neurons.multiclass_perceptron(BITS, XOR, 1)
    with pytest.raises(ValueError, match="learning_rate must be a finite number above 0, got 0"):
        neurons.multiclass_perceptron(BITS, XOR, 2, learning_rate=0)


def test_bad_input_of_kernels_and_forms():
    learnt = neurons.kernel_perceptron(BITS, XOR, lambda a, b: (1 + a @ b) ** 2)
    with pytest.raises(TypeError, match="needs the kernel that it was learnt with"):
        neurons.as_layer(learnt)
    with pytest.raises(TypeError, match="learnt without a kernel"):
        neurons.as_layer(neurons.perceptron(BITS, XOR), jnp.dot)
    with pytest.raises(TypeError, match="a Certificate that no plane separates holds no unit"):
        neurons.as_layer(neurons.separable(BITS, XOR))
    with pytest.raises(TypeError, match="none to begin with"):
        neurons.as_layer(learnt, jnp.dot)[0].init(jax.random.key(0), BITS)
    with pytest.raises(ShapeError, match=r"must return one number, got an array of shape \(2,\)"):
        neurons.kernel_perceptron(BITS, XOR, lambda a, b: a * b)
    with pytest.raises(ShapeError, match=r"got \(\)"):
        neurons.append_one(1.0)
    with pytest.raises(ShapeError, match="one theta"):
        neurons.theta_as_weight(jnp.ones((2, 2)), 1.0)
