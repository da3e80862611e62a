"""Numbers as leaves of the state: read, set, refused."""

import inspect
import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves
from transform_toys import GRADS, PARAMS

from fnnet import optimizers, transforms, tree
from fnnet.errors import PathError


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"learning_rat": 0.1}, PathError, "no number is called 'learning_rat'\n  Fix: did you mean 'learning_rate'?"),
        ({"1/1/learning_rat": 0.1}, PathError, "did you mean '1/1/learning_rate'"),
        ({"b1": 0.1}, PathError, "'b1' names several numbers\n  Fix: use one of '0/b1', '1/0/b1'."),
        ({"learning_rate": -0.1}, ValueError, "with_hyperparams: learning_rate must be at least 0, got -0.1"),
        ({"learning_rate": jnp.ones(2)}, ValueError, "'1/1/learning_rate' must be one number or of shape (), got (2,)"),
        ({"1/0/b2": 1.5}, ValueError, "with_hyperparams: b2 must be below 1, got 1.5"),
    ],
)
def test_numbers_that_cannot_be_set(values, error, message):
    """An unknown, shared or impossible number is refused, with the nearest names."""
    state = transforms.chain(transforms.scale_by_adam(), optimizers.adam(0.1)).init(PARAMS)
    with pytest.raises(error, match=re.escape(message)):
        transforms.with_hyperparams(state, values)


def test_numbers_of_a_stack_of_states():
    """In a vmapped state one value is set for all members, or one for each."""
    optimizer = optimizers.sgd(0.1)
    state = jax.vmap(lambda p: optimizer.init({"w": p}))(jnp.ones((3, 2)))
    each = transforms.with_hyperparams(state, {"learning_rate": jnp.array([0.1, 0.2, 0.3])})
    np.testing.assert_allclose(transforms.hyperparams(each)["0/learning_rate"], [0.1, 0.2, 0.3])
    assert transforms.hyperparams(transforms.with_hyperparams(state, {"learning_rate": 1}))["0/learning_rate"].all()


def test_setting_a_number_compiles_nothing_where_the_state_is_bound_to_a_device():
    """The new value lies where the old one did: another placement would be another program."""
    optimizer = optimizers.sgd(0.5)
    step = jax.jit(optimizer.update)
    state, grads = jax.device_put((optimizer.init(PARAMS), GRADS), jax.devices()[0])
    step(grads, state)
    for rate in (0.25, 2, np.float64(0.125), jnp.float32(1.0)):
        updates, _ = step(grads, transforms.with_hyperparams(state, {"learning_rate": rate}))
        chex.assert_trees_all_close(updates, tree.scale(-rate, GRADS))
    assert step._cache_size() == 1


def test_two_states_share_no_buffer():
    """Each init makes its own arrays, so donating one state leaves the other."""
    rate = jnp.asarray(0.1)
    optimizer = optimizers.adam(rate)
    first, second = optimizer.init(PARAMS), optimizer.init(PARAMS)
    pointers = [x.unsafe_buffer_pointer() for x in (*tree_leaves(first), *tree_leaves(second), rate)]
    assert len(set(pointers)) == len(pointers)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transforms.clip_by_global_norm(0.0), "clip_by_global_norm: max_norm must be above 0, got 0.0"),
        (lambda: transforms.clip_by_value(-1.0), "clip_by_value: max_value must be above 0, got -1.0"),
        (lambda: transforms.accumulate(optimizers.sgd(0.1), 0), "accumulate: every must be above 0, got 0"),
        (lambda: transforms.average(1.0), "average: decay must be below 1, got 1.0"),
        (lambda: transforms.scale("1"), "scale: factor must be a real number, got '1'"),
        (lambda: transforms.scale(jnp.ones(2)), "scale: factor must be one number, got an array of shape (2,)"),
        (lambda: transforms.scale(float("inf")), "scale: factor must be finite, got inf"),
        (lambda: transforms.per_path({"body": -1.0}), "per_path: multiplier must be at least 0, got -1.0"),
        (
            lambda: transforms.reduce_on_plateau(-0.1),
            "factor must be at least 0 and below 1, got -0.1",
        ),
        (
            lambda: transforms.reduce_on_plateau(1.0),
            "factor must be at least 0 and below 1, got 1.0",
        ),
        (lambda: optimizers.lbfgs(c1=0.5, c2=0.5), "c1 must be below c2, got c1=0.5 and c2=0.5"),
        (lambda: transforms.accumulate(optimizers.sgd(0.1), 2.5), "accumulate: every must be a whole number, got 2.5"),
        (lambda: transforms.reduce_on_plateau(1j), "reduce_on_plateau: factor must be a real number, got 1j"),
        (lambda: transforms.reduce_on_plateau("a"), "reduce_on_plateau: factor must be a real number, got 'a'"),
        (lambda: transforms.reduce_on_plateau(jnp.ones(2)), "reduce_on_plateau: factor must be one number"),
        (lambda: optimizers.sgd(1j), "scale_by_learning_rate: learning_rate must be a real number, got 1j"),
        (lambda: optimizers.sgd(float("inf")), "scale_by_learning_rate: learning_rate must be finite, got inf"),
        (lambda: optimizers.sgd(float("nan")), "scale_by_learning_rate: learning_rate must be at least 0, got nan"),
        (lambda: optimizers.adam(0.1, eps=float("inf")), "adam: eps must be finite, got inf"),
    ],
)
def test_impossible_numbers_of_transforms(make, message):
    """A number that no transform can use is refused where it is made."""
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_a_state_without_numbers():
    """Nothing to set is set; a name is refused, with no nearest to propose."""
    empty = transforms.chain().init(PARAMS)
    assert transforms.hyperparams(empty) == {}
    assert transforms.with_hyperparams(empty, {}) == empty
    with pytest.raises(PathError, match="with_hyperparams: no number is called 'rate'\n  Fix: there is none"):
        transforms.with_hyperparams(empty, {"rate": 0.1})


def taking_eps():
    """Return every factory of the library that has an ε, with ε = 0, nothing to start from and no decay."""
    options = {"eps": 0.0, "initial_accumulator": 0.0, "weight_decay": 0.0, "learning_rate": 0.1}
    rows = {}
    for room in (transforms, optimizers):
        for name in room.__all__:
            make = getattr(room, name)
            known = inspect.signature(make).parameters if inspect.isfunction(make) else {}
            if "eps" in known and name != "orthogonalize":
                rows[name] = partial(make, **{option: x for option, x in options.items() if option in known})
    return rows | {
        "scale_by_rms, centered": partial(transforms.scale_by_rms, eps=0.0, centered=True),
        "scale_by_adam, nesterov": partial(transforms.scale_by_adam, eps=0.0, nesterov=True),
        "scale_by_factored_rms, factored": partial(transforms.scale_by_factored_rms, eps=0.0, factor_from=2),
        "scale_by_radam, adaptive": partial(transforms.scale_by_radam, b2=0.5, eps=0.0, threshold=0.0),
    }


EPSILONS = taking_eps()


@pytest.mark.parametrize("name", EPSILONS)
def test_no_epsilon_and_no_gradient_is_no_step(name):
    """With ε = 0, a weight whose gradient has been 0 from the start stays where it is: 0 / 0 is no step."""
    optimizer, params = EPSILONS[name](), {"w": jnp.ones((2, 2)), "zero": jnp.zeros((2, 2))}
    grads, state = tree.zeros_like(params), optimizer.init(params)
    for _ in range(2):
        updates, state = optimizer.update(grads, state, params)
        chex.assert_trees_all_equal(updates, grads)
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in tree_leaves(state))
    updates, _ = optimizer.update({"w": jnp.array([[0.0, 0.0], [0.0, 3.0]]), "zero": grads["zero"]}, state, params)
    assert jnp.all(jnp.isfinite(updates["w"]))
