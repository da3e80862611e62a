"""Every activation against its row of the table, and the table's initializers through fifty layers."""

import functools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
from hypothesis import strategies as st

import fnnet.activations
from fnnet import initializers, testing
from fnnet.activations import TABLE, matching_initializer
from fnnet.compose import serial
from fnnet.layers import dense

ROWS = {row.name: row for row in TABLE}
# Off the kinks at integers; dense about zero, where the least values are.
GRID = np.concatenate([np.linspace(-12.03, 12.04, 601), np.linspace(-3.0001, 0.0002, 600)])

FORMULAS = {  # in NumPy, from the papers
    "identity": lambda x: x,
    "step": lambda x: np.heaviside(x, 1),
    "sign": lambda x: np.where(x < 0, -1, 1),
    "straight_through_step": lambda x: np.heaviside(x, 1),
    "straight_through_sign": lambda x: np.where(x < 0, -1, 1),
    "sigmoid": scipy.special.expit,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x < 0, 0.01 * x, x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.05070098735548 * np.where(x > 0, x, 1.673263242354377 * np.expm1(x)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * scipy.special.expit(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
}


@pytest.fixture(scope="module")
def values():
    """Each function's values and derivatives on the grid, in float64, from one compiled program."""
    jax.config.update("jax_enable_x64", True)
    grid = jnp.asarray(GRID)

    @jax.jit
    def all_rows(x):
        return {
            name: (row.function(x), jax.vmap(jax.grad(row.function))(x), row.derivative(x))
            for name, row in ROWS.items()
        }

    result = jax.tree.map(np.asarray, all_rows(grid))
    jax.config.update("jax_enable_x64", False)
    return result


@pytest.mark.row("activations")
@pytest.mark.parametrize("name", ROWS)
def test_function_is_its_formula(name, values):
    y, _, _ = values[name]
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, FORMULAS[name](GRID), rtol=1e-12, atol=1e-12)


@pytest.mark.row("activations")
@pytest.mark.parametrize("name", ROWS)
def test_derivative_is_that_of_autodiff(name, values):
    _, gradient, derivative = values[name]
    np.testing.assert_allclose(derivative, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.row("activations")
@pytest.mark.parametrize("name", ROWS)
def test_range_is_the_least_interval_of_values(name, values):
    """All values are within, and they come as near to a finite end as they do at infinity or at the minimum."""
    y, _, _ = values[name]
    low, high = ROWS[name].range
    assert low - 1e-7 <= y.min()
    assert y.max() <= high + 1e-8
    assert y.min() < -0.1 if math.isinf(low) else y.min() - low < 2e-5
    assert y.max() > 10 if math.isinf(high) else high - y.max() < 2e-5


@pytest.mark.row("activations")
@pytest.mark.parametrize("name", ROWS)
def test_saturates_where_the_derivative_vanishes(name):
    left, right = (abs(float(ROWS[name].derivative(jnp.float32(x)))) < 1e-6 for x in (-50.0, 50.0))
    assert (left, right) == {"nowhere": (False, False), "left": (True, False), "both": (True, True)}[
        ROWS[name].saturates
    ]


@pytest.mark.parametrize("name", ROWS)
def test_row_bears_the_name_of_its_function(name):
    assert getattr(fnnet.activations, name) is ROWS[name].function
    assert ROWS[name].formula.count("{") == ROWS[name].formula.count("}")


def of_all(part):
    """The layer of all functions side by side, by name, so that a law is asked of all in one program."""
    functions = {name: getattr(row, part) for name, row in ROWS.items()}

    def apply(params, x):
        return {name: function(x) for name, function in functions.items()}

    return testing.layer_subject((lambda key, x: {}, apply), jnp.zeros((2, 20)))


@testing.law_table(
    {"functions": of_all("function"), "derivatives": of_all("derivative")},
    laws=(
        *("jit_is_eager", "apply_is_pure", "one_trace_serves_all_values"),
        *("dtype_is_that_of_the_input", "finite_inputs_give_numbers", "finite_values_have_finite_gradients"),
    ),
)
def test_they_obey(law, quickly_compiled):
    """A function is a layer without parameters."""
    law()


def test_every_activation_of_the_module_has_a_row():
    """But softmax and its logarithm, which are not elementwise; swish is silu."""
    functions = {name for name in fnnet.activations.__all__ if name.islower() and name != "matching_initializer"}
    assert functions - set(ROWS) == {"softmax", "log_softmax", "swish"}
    assert fnnet.activations.swish is ROWS["silu"].function


@pytest.mark.row("multiclass-output")
@hypothesis.given(seed=st.integers(0, 2**31), scale=st.sampled_from([0.1, 3.0, 50.0]))
def test_softmax_is_a_distribution(seed, scale):
    """Not negative, with sum 1, ordered as the logits, unchanged where all are shifted; exp(z) over its sum."""
    z = (scale * np.random.default_rng(seed).normal(size=(5, 4))).astype(np.float32)
    p = np.asarray(fnnet.activations.softmax(jnp.asarray(z)))
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(p.argmax(-1), z.argmax(-1))
    powers = np.exp(z.astype(np.float64) - z.max(-1, keepdims=True))
    np.testing.assert_allclose(p, powers / powers.sum(-1, keepdims=True), rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(fnnet.activations.softmax(jnp.asarray(z) + 8.0), p, rtol=1e-4, atol=1e-30)


def test_numbers_are_taken_too():
    """A Python number gives the function's value there."""
    for name, row in ROWS.items():
        np.testing.assert_allclose(row.function(0.5), FORMULAS[name](0.5), rtol=1e-6)


def test_straight_through_sign_is_twice_the_step_less_one(values):
    """Gradients included."""
    for i in (0, 1):
        step, sign = values["straight_through_step"][i], values["straight_through_sign"][i]
        np.testing.assert_array_equal(sign, 2 * step - (1 - i))


@pytest.mark.row("activations")
def test_matching_initializer_is_that_of_the_row():
    for row in TABLE:
        assert matching_initializer(row.function) is row.initializer
    leaky = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    for wrapped in (leaky, functools.partial(leaky)):
        assert matching_initializer(wrapped) is ROWS["leaky_relu"].initializer
    draw = functools.partial(initializers.lecun_normal(), jax.random.key(0), (4, 4), jnp.float32)
    for unknown in (None, jax.nn.softmax, lambda x: x):
        np.testing.assert_array_equal(matching_initializer(unknown)(jax.random.key(0), (4, 4), jnp.float32), draw())


def test_elu_gain_keeps_variance_one():
    """1 / E[elu(z)²] of a standard normal z, by quadrature."""

    def density(z):
        return FORMULAS["elu"](z) ** 2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    gain = 1 / (scipy.integrate.quad(density, -12, 0)[0] + scipy.integrate.quad(density, 0, 12)[0])
    kernel = ROWS["elu"].initializer(jax.random.key(0), (400, 400), jnp.float32)
    np.testing.assert_allclose(kernel.var() * 400, gain, rtol=0.02)


DEPTH, WIDTH, BOUND = 50, 200, 200.0
PASSING_ON = ("gelu", "silu", "mish", "hard_swish")


@functools.cache
def variance_after_fifty_layers(name, initializer=None):
    """The variance of the last activations, over units and examples, for inputs of variance 1."""
    layer = dense(WIDTH, activation=ROWS[name].function, kernel_init=initializer)
    x = jax.random.normal(jax.random.key(1), (20, WIDTH))

    @jax.jit
    def deep(x):
        def body(x, key):
            return layer(layer.init(key, x)[0], x), None

        return jax.lax.scan(body, x, jax.random.split(jax.random.key(0), DEPTH))[0]

    return float(deep(x).var())


@pytest.mark.row("initialization")
@pytest.mark.parametrize("name", sorted(set(ROWS) - set(PASSING_ON)))
def test_variance_stays_within_bounds_through_fifty_layers(name, quickly_compiled):
    """With the matching initializer, which dense picks when told its activation."""
    assert 1 / BOUND < variance_after_fifty_layers(name) < BOUND


WRONG = {
    "identity": initializers.he_normal(),
    "relu": initializers.lecun_normal(),
    "relu6": initializers.lecun_normal(),
    "leaky_relu": initializers.glorot_uniform(),
    "selu": initializers.he_normal(),
    "elu": initializers.normal(0.01),
    "tanh": initializers.normal(0.01),
    "hard_tanh": initializers.normal(0.01),
    "softplus": initializers.normal(1.0),
}


@pytest.mark.parametrize("name", WRONG)
def test_variance_leaves_the_bounds_with_the_wrong_initializer(name, quickly_compiled):
    variance = variance_after_fifty_layers(name, WRONG[name])
    assert not 1 / BOUND < variance < BOUND


@pytest.mark.parametrize("name", PASSING_ON)
def test_no_scale_holds_the_smooth_successors_of_relu(name, quickly_compiled):
    """The variance vanishes with He's, and with a gain of four, which makes up for large losses, it explodes."""
    assert variance_after_fifty_layers(name) < 1 / BOUND
    assert variance_after_fifty_layers(name, initializers.variance_scaling(4.0, "fan_in", "normal")) > BOUND


@pytest.mark.row("initialization")
def test_zeros_do_not_break_symmetry():
    """From zero kernels every unit of a hidden layer stays as every other: the lecture's warning."""
    net = serial(dense(5, kernel_init=initializers.constant(0.3), activation=jnp.tanh), dense(1))
    x = jax.random.normal(jax.random.key(0), (8, 3))
    params, _ = net.init(jax.random.key(1), x)
    params["dense_1"]["kernel"] = jnp.full((5, 1), 0.1)
    gradient = jax.jit(jax.grad(lambda p: (net(p, x) ** 2).sum()))(params)["dense_0"]["kernel"]
    np.testing.assert_allclose(gradient, np.repeat(gradient[:, :1], 5, axis=1), rtol=1e-6)
    zero = serial(
        dense(5, kernel_init=initializers.zeros, activation=jnp.tanh), dense(1, kernel_init=initializers.zeros)
    )
    params, _ = zero.init(jax.random.key(1), x)
    gradient = jax.jit(jax.grad(lambda p: ((zero(p, x) - 1) ** 2).sum()))(params)
    assert not any(np.any(g) for g in jax.tree.leaves((gradient["dense_0"], gradient["dense_1"]["kernel"])))
