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


@pytest.mark.parametrize(("state", "got"), [(((),), "1"), (((), (), ()), "3"), ([(), ()], "list"), (None, "NoneType")])
def test_a_state_of_another_chain_is_refused(state, got):
    optimizer = transforms.chain(transforms.scale(2.0), transforms.scale(0.5))
    with pytest.raises(ValueError, match=f"what init returned, a tuple of 2 parts, got {got}$"):
        optimizer.update(GRADS, state)
