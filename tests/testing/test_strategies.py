"""What the strategies draw is what they say, is simple where it breaks something, and fits together."""

from __future__ import annotations

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fnnet as fn
from fnnet import testing
from fnnet.testing import strategies
from fnnet.testing.drawing import VALUES

SIMPLEST = hypothesis.settings(database=None, derandomize=True, max_examples=500)


@given(strategies.shapes(1, 2, empty=True))
def test_shapes_have_the_axes_that_are_asked_for(shape):
    assert 1 <= len(shape) <= 2


def test_shapes_without_elements_are_drawn_if_asked_for():
    assert 0 in hypothesis.find(strategies.shapes(empty=True), lambda shape: 0 in shape, settings=SIMPLEST)
    with pytest.raises(ValueError, match="shapes: there is none of 7 to 9 axes"):
        strategies.shapes(7, 9)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@given(st.data())
def test_arrays_are_finite_and_of_their_dtype(dtype, data):
    x = data.draw(strategies.arrays(strategies.shapes(most=2), dtype))
    assert x.dtype == dtype
    assert jnp.isfinite(x).all()


WANTED = {
    "minus zero": lambda x: (np.signbit(x) & (x == 0)).any(),
    "subnormal": lambda x: ((x != 0) & (np.abs(x) < np.finfo(np.float32).tiny)).any(),
    "huge": lambda x: (np.abs(x) > 1e29).any(),
    "nearly equal": lambda x: 0 < np.ptp(x) < 1e-5 * np.abs(x).min(),
    "one-hot": lambda x: sorted(x) == [0, 0, 1],
    "constant": lambda x: np.ptp(x) == 0 and x[0] not in (0, 1),
}


@pytest.mark.parametrize("name", WANTED)
def test_the_floats_at_which_code_breaks_are_found(name):
    found = hypothesis.find(strategies.arrays((3,)), lambda x: WANTED[name](np.asarray(x)), settings=SIMPLEST)
    assert found.shape == (3,)


def test_kinds_of_numbers_may_be_chosen():
    zeros = strategies.arrays((2,), kinds=("zeros",))
    assert not hypothesis.find(zeros, lambda x: True, settings=SIMPLEST).any()
    with pytest.raises(ValueError, match=f"arrays: 'big' is no kind of numbers; they are {', '.join(VALUES)}"):
        strategies.arrays((2,), kinds=("big",))


def test_a_case_that_breaks_is_made_simple():
    """Of all arrays with a large number the simplest is told: a scalar."""
    found = hypothesis.find(strategies.arrays(), lambda x: bool((abs(x) > 100).any()), settings=SIMPLEST)
    assert found.shape == ()


@given(strategies.pytrees(), strategies.keys())
def test_pytrees_hold_arrays_and_keys_draw(tree, key):
    assert len(jax.tree.leaves(tree)) <= 4
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(tree))
    assert jax.random.normal(key).shape == ()


@given(strategies.classification_inputs(3, 2), strategies.binary_inputs((3,)), strategies.regression_inputs((3,)))
def test_losses_take_what_is_drawn_for_them(classes, binary, numbers):
    for loss, inputs in (
        (fn.losses.cross_entropy, classes),
        (fn.losses.binary_cross_entropy, binary),
        (fn.losses.absolute_error, numbers),
    ):
        assert (loss(*inputs) >= 0).all()


@given(strategies.boxes(5, size=10.0))
def test_boxes_are_within_the_image(boxes):
    assert boxes.shape == (5, 4)
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 10
    assert (fn.boxes.area(boxes) >= 0).all()


@pytest.mark.parametrize(
    "condition",
    [lambda m: m.all(), lambda m: not m.any(), lambda m: m[0] and not m[-1], lambda m: m[-1] and not m[0]],
    ids=["all", "none", "padding", "any"],
)
def test_masks_are_of_all_kinds(condition):
    assert hypothesis.find(strategies.masks((4,)), condition, settings=SIMPLEST).dtype == bool


@given(strategies.schedules(20), st.integers(0, 50))
def test_schedules_are_finite_and_not_negative(schedule, step):
    assert 0 <= schedule(step) < np.inf


@given(strategies.networks(), strategies.keys())
def test_networks_fit_their_input(network, key):
    """Parameters can be made, training keeps the state, and a gradient has the structure of the parameters."""

    def trained(key, x):
        params, state = network.layer.init(key, x)

        def loss(params):
            y, after = network.layer.apply(params, state, x, key=key, train=True)
            return y.sum(), after

        slopes, after = jax.grad(loss, has_aux=True)(params)
        return (params, state), (slopes, after)

    before, after = jax.eval_shape(trained, key, network.x)
    assert before == after


@pytest.mark.parametrize("kind", ["vectors", "sequences", "images", "tokens"])
@given(st.data())
def test_networks_are_of_the_kind_that_is_asked_for(kind, data):
    network = data.draw(strategies.networks((kind,), most=1))
    assert jnp.issubdtype(network.x.dtype, jnp.integer) == (kind == "tokens")
    assert network.x.ndim == {"vectors": 2, "sequences": 3, "images": 4, "tokens": 2}[kind]


def test_kinds_of_networks_are_checked():
    with pytest.raises(ValueError, match="networks: 'sound' is no kind of inputs; they are vectors, sequences, images"):
        strategies.networks(("vectors", "sound"))


def test_a_network_that_breaks_is_made_simple():
    """Of all networks that need a key the simplest is told: one layer."""
    found = hypothesis.find(strategies.networks(), _needs_a_key, settings=SIMPLEST)
    assert found.x.ndim == 2
    assert found.layer.init(jax.random.key(0), found.x) == ({}, {})


def _needs_a_key(network):
    def trained(key, x):
        params, state = network.layer.init(key, x)
        return network.layer.apply(params, state, x, train=True)[0]

    try:
        jax.eval_shape(trained, jax.random.key(0), network.x)
    except fn.errors.KeyMissingError:
        return True
    return False


WRONG = {
    "negative boxes": (lambda: strategies.boxes(-1), ValueError, "boxes: n must be a whole number, at least 0, got -1"),
    "an image of no size": (lambda: strategies.boxes(size=0.0), ValueError, "boxes: size must be a number above 0"),
    "no class": (lambda: strategies.classification_inputs(0), ValueError, "classes must be .* at least 1, got 0"),
    "no layer": (lambda: strategies.networks(most=0), ValueError, "networks: most must be .* at least 1, got 0"),
    "no kind": (lambda: strategies.networks(()), ValueError, "networks: needs a kind of inputs"),
    "a kind in no tuple": (lambda: strategies.networks("images"), TypeError, "kinds must be a tuple of them"),
    "no kind of numbers": (lambda: strategies.arrays(kinds=()), ValueError, "arrays: needs a kind of numbers"),
    "whole numbers": (lambda: strategies.arrays(dtype=int), TypeError, "arrays: dtype must be floating-point, got int"),
    "a size": (lambda: strategies.arrays(3), TypeError, "arrays: a shape must be a tuple of whole numbers, got 3"),
    "a negative size": (lambda: strategies.masks((2, -1)), ValueError, r"no size may be negative, got .*\(2, -1\)"),
    "no leaf": (lambda: strategies.pytrees(most=0), ValueError, "pytrees: most must be .* at least 1, got 0"),
    "no step": (lambda: strategies.schedules(0), ValueError, "schedules: steps must be .* at least 1, got 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_told_at_once(name):
    make, error, said = WRONG[name]
    with pytest.raises(error, match=said):
        make()


@given(strategies.masks(()), strategies.masks((2, 0)), strategies.boxes(0), strategies.labels(1, ()))
def test_the_smallest_of_all_may_be_drawn(mask, masks, boxes, label):
    assert mask.shape == label.shape == ()
    assert masks.shape == (2, 0)
    assert boxes.shape == (0, 4)


ASKED = ("trees_are_kept", "leading_axes_are_batch", "gradients_are_slopes", "inference_knows_no_key")


@hypothesis.settings(max_examples=4)
@given(strategies.networks(most=3))
def test_random_networks_obey(network):
    """Whatever is composed of fnnet's layers obeys the laws of layers."""
    testing.check(network, laws=ASKED, profile=testing.Profile(2, 0))


def test_what_is_broken_around_a_network_is_found_within_a_test_of_hypothesis():
    """The outer search is that of networks; the error has a case that repeats it."""

    def centred(layer):
        return fn.serial(layer, lambda y: y - jnp.broadcast_to(y.mean(0, keepdims=True), y.shape))

    @hypothesis.settings(max_examples=1, phases=[hypothesis.Phase.generate])
    @given(strategies.networks(("vectors",), most=1))
    def outer(network):
        testing.check(network._replace(layer=centred(network.layer)), laws="leading_axes_are_batch")

    with pytest.raises(testing.LawError, match="breaks the law leading_axes_are_batch") as caught:
        outer()
    assert set(caught.value.case) == {"init key", "move", "key", "x", "x seed"}
