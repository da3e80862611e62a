"""Chains: their laws, what they take, and a chain of everything in a scan."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_structure
from transform_toys import GRADS, PARAMS, Pair, update

from fnnet import optimizers, schedules, transforms, tree


def test_chain_is_associative_and_has_an_identity():
    """chain(chain(f, g), h), chain(f, chain(g, h)) and chain(f, g, chain(), h) make the same updates."""
    f, g, h = transforms.clip_by_global_norm(1.0), transforms.scale_by_adam(), transforms.scale(0.3)
    one, _ = update(transforms.chain(transforms.chain(f, g), h))
    chex.assert_trees_all_equal(one, update(transforms.chain(f, transforms.chain(g, h)))[0])
    chex.assert_trees_all_equal(one, update(transforms.chain(f, g, transforms.chain(), h))[0])
    chex.assert_trees_all_equal(update(transforms.chain())[0], GRADS)


def test_pairs_from_elsewhere():
    """Any pair of functions init and update is a link, with or without extra arguments; anything else is refused."""
    double = Pair(lambda params: (), lambda grads, state, params=None: (tree.scale(2.0, grads), state))
    updates, _ = update(transforms.chain(double, transforms.scale(0.5)), value=1.0)
    chex.assert_trees_all_equal(updates, GRADS)
    with pytest.raises(TypeError, match="must have the functions init and update, got float"):
        transforms.chain(0.1)


@pytest.mark.parametrize(
    "make", [transforms.clip_adaptively, transforms.average, transforms.scale_by_trust_ratio, optimizers.lbfgs]
)
def test_missing_parameters(make):
    """A rule that needs the parameters says so."""
    optimizer = make()
    with pytest.raises(ValueError, match=r"update needs the parameters; call update\(grads, opt_state, params\)"):
        optimizer.update(GRADS, optimizer.init(PARAMS))


@pytest.mark.leaks
def test_structures_stay_in_a_scan():
    """A chain of everything keeps its structure, so that a run is one scan; and runs with every wrapper around it."""
    inner = transforms.chain(
        transforms.clip_by_global_norm(1.0),
        optimizers.adamw(schedules.cosine(0.1, steps=10), mask="*/kernel"),
        transforms.reduce_on_plateau(),
        transforms.average(0.9),
    )
    optimizer = transforms.skip_nonfinite(transforms.accumulate(transforms.freeze(inner, "body/bias"), every=2))

    @jax.jit
    def run(params):
        def step(carry, _):
            updates, state = optimizer.update(GRADS, carry[1], carry[0], value=1.0)
            return (tree.add(carry[0], updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), None, length=4)[0]

    params, state = run(PARAMS)
    assert tree_structure(state) == tree_structure(optimizer.init(PARAMS))
    chex.assert_trees_all_equal(params["body"]["bias"], PARAMS["body"]["bias"])
    assert jnp.all(params["body"]["kernel"] != PARAMS["body"]["kernel"])


def test_sixteen_bits_neither_overflow_nor_vanish_between_links():
    """A sum of momentum beyond the largest float16, and a rate below the smallest, are float32 from link to link."""
    grads = {"w": jnp.full(1, 3e4, jnp.float16)}
    optimizer = optimizers.sgd(1e-4, momentum=0.9)
    state = optimizer.init(grads)
    for total in (3e4, 5.7e4, 8.13e4, 1.0317e5):
        updates, state = optimizer.update(grads, state)
        np.testing.assert_allclose(updates["w"].astype(jnp.float32), [-1e-4 * total], rtol=1e-3)
    small = optimizers.sgd(1e-8)
    updates, _ = small.update({"w": jnp.full(1, 1e4, jnp.float16)}, small.init(grads))
    assert updates["w"].dtype == jnp.float16
    np.testing.assert_allclose(updates["w"].astype(jnp.float32), [-1e-4], rtol=1e-3)


def test_pairs_from_elsewhere_see_sixteen_bits():
    """A pair that is not ours gets the gradients in the dtype of the parameters, which is what its state is made of."""
    seen = []

    def spy(grads, state, params=None):
        seen.append(grads["w"].dtype)
        return grads, state

    optimizer = transforms.chain(transforms.scale(2.0), Pair(lambda params: (), spy))
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32):
        grads = {"w": jnp.ones(1, dtype)}
        updates, _ = optimizer.update(grads, optimizer.init(grads))
        chex.assert_trees_all_equal(updates, {"w": jnp.full(1, 2.0, dtype)})
    assert seen == [jnp.float16, jnp.bfloat16, jnp.float32]


WITHIN = {
    "chain": transforms.chain,
    "skip_nonfinite": transforms.skip_nonfinite,
    "freeze": lambda pair: transforms.freeze(pair, "b"),
    "accumulate": lambda pair: transforms.accumulate(pair, every=1),
}


@pytest.mark.parametrize("name", WITHIN)
def test_pairs_from_elsewhere_see_sixteen_bits_within_a_wrapper_too(name):
    """A momentum kept in the dtype of the parameters adds up, however deep its pair lies in a chain."""

    def momentum(grads, state, params=None):
        state = tree.map(lambda m, g: m + g, state, grads)
        return state, state

    optimizer = transforms.chain(transforms.scale(1.0), WITHIN[name](Pair(tree.zeros_like, momentum)))
    params = {"w": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(1, jnp.bfloat16)}
    state = optimizer.init(params)
    for total in (1, 2):
        updates, state = optimizer.update(params, state, params)
        chex.assert_trees_all_equal(updates["w"], jnp.full(2, total, jnp.bfloat16))


def test_links_after_a_pair_from_elsewhere_are_wide_again():
    same = Pair(lambda params: (), lambda grads, state, params=None: (grads, state))
    optimizer = transforms.chain(same, transforms.scale(10.0), transforms.scale(0.01))
    grads = {"w": jnp.full(1, 3e4, jnp.float16)}
    updates, _ = optimizer.update(grads, optimizer.init(grads))
    chex.assert_trees_all_equal(updates, {"w": jnp.full(1, 3e3, jnp.float16)})


LARGE = {
    "clip_by_global_norm": transforms.clip_by_global_norm(5.0),
    "clip_by_leaf_norm": transforms.clip_by_leaf_norm(5.0),
    "clip_adaptively": transforms.clip_adaptively(1.0),
    "clip_by_leaf_rms": transforms.clip_by_leaf_rms(5 / 2**0.5),
    "scale_by_trust_ratio": transforms.scale_by_trust_ratio(),
    "scale_by_lbfgs": transforms.scale_by_lbfgs(),
}


@pytest.mark.parametrize("size", [1e20, 1e-25])
@pytest.mark.parametrize("name", LARGE)
def test_norms_whose_squares_overflow_or_vanish_keep_the_direction(name, size):
    """What makes a step of length 5 of any gradient makes it of one whose square is infinite or 0 in float32 too."""
    params = {"w": jnp.array([[0.0], [5.0]])}
    grads = {"w": size * jnp.array([[3.0], [4.0]])}
    updates, _ = update(LARGE[name], grads, params)
    expected = grads["w"] if size < 1 else [[3.0], [4.0]]
    if name == "scale_by_trust_ratio":
        expected = [[3.0], [4.0]]
    if name == "scale_by_lbfgs" and size > 1:
        expected = [[0.6], [0.8]]
    np.testing.assert_allclose(updates["w"], expected, rtol=1e-5)


@pytest.mark.parametrize(("state", "got"), [(((),), "1"), (((), (), ()), "3"), ([(), ()], "list"), (None, "NoneType")])
def test_a_state_of_another_chain_is_refused(state, got):
    optimizer = transforms.chain(transforms.scale(2.0), transforms.scale(0.5))
    with pytest.raises(ValueError, match=f"what init returned, a tuple of 2 parts, got {got}$"):
        optimizer.update(GRADS, state)


def test_a_pair_from_elsewhere_may_see_what_is_no_array():
    """None for a leaf without gradient, and a Python number, go through as they are."""
    pair = Pair(lambda params: (), lambda grads, state, params=None: (grads, state))
    grads, params = {"a": None, "b": jnp.ones(2), "c": 1.0}, {"a": jnp.ones(2), "b": jnp.ones(2), "c": jnp.ones(())}
    assert transforms.as_optimizer(pair).update(grads, (), params)[0] == grads


INFINITE = {
    "clip_by_leaf_norm": transforms.clip_by_leaf_norm(1.0),
    "clip_by_global_norm": transforms.clip_by_global_norm(1.0),
    "clip_by_leaf_rms": transforms.clip_by_leaf_rms(1.0),
    "scale_by_trust_ratio": transforms.scale_by_trust_ratio(),
}


@pytest.mark.parametrize("name", INFINITE)
def test_one_infinity_is_not_hidden_and_the_rest_stands_still(name):
    """The norm is infinite: what is finite becomes 0, what is not becomes nan."""
    updates, _ = update(INFINITE[name], {"w": jnp.array([1.0, jnp.inf])}, {"w": jnp.ones(2)})
    np.testing.assert_array_equal(updates["w"], [0.0, jnp.nan])
