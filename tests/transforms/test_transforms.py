"""Laws of the transforms: what clipping bounds, what accumulation equals, what freezing costs, what is skipped."""

import re
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax.tree_util import tree_leaves, tree_structure

from fnnet import optimizers, schedules, transforms, tree
from fnnet.errors import PathError
from fnnet.transforms.arithmetic import bias_correction

PARAMS = {
    "body": {"kernel": jnp.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]]), "bias": jnp.array([0.5, -1.0, 2.0])},
    "head": {"kernel": jnp.array([[2.0, -1.0, 0.25], [1.5, 0.5, -0.5]]), "bias": jnp.array([1.0, 1.0, -3.0])},
}
GRADS = jax.tree.map(lambda x: 3 * x + 1, PARAMS)


def update(optimizer, grads=GRADS, params=PARAMS, state=None, **extra):
    """Return the updates and state of one jitted call."""
    state = optimizer.init(params) if state is None else state
    return jax.jit(lambda *args: optimizer.update(*args, **extra))(grads, state, params)


def path_of(optimizer, gradients, params=PARAMS):
    """Return the parameters after each of a list of gradients."""
    step = jax.jit(optimizer.update)
    state, path = optimizer.init(params), []
    for grads in gradients:
        updates, state = step(grads, state, params)
        params = tree.add(params, updates)
        path.append(params)
    return path, state


elements = arrays(np.float32, (2, 3), elements=st.floats(-100, 100, width=32))
CLIPS = {
    "value": transforms.clip_by_value(0.7),
    "global": transforms.clip_by_global_norm(0.7),
    "leaf": transforms.clip_by_leaf_norm(0.7),
    "adaptive": transforms.clip_adaptively(0.2, 0.1),
    "rms": transforms.clip_by_leaf_rms(0.7),
}
CLIPPED = {name: jax.jit(clip.update) for name, clip in CLIPS.items()}


def numpy_clip(name, g, w):
    """Clip a dict of float64 arrays by the formula."""
    if name == "value":
        return {k: np.clip(x, -0.7, 0.7) for k, x in g.items()}
    if name == "global":
        norm = np.sqrt(sum(np.sum(x**2) for x in g.values()))
        return {k: x * min(1, 0.7 / norm) if norm else x for k, x in g.items()}
    if name == "rms":
        return {k: x / max(1, np.sqrt(np.mean(x**2)) / 0.7) for k, x in g.items()}
    if name == "leaf":
        return {k: x * min(1, 0.7 / np.linalg.norm(x)) if x.any() else x for k, x in g.items()}
    limit = {k: 0.2 * np.maximum(np.linalg.norm(x, axis=0), 0.1) for k, x in w.items()}
    norm = {k: np.maximum(np.linalg.norm(x, axis=0), 1e-30) for k, x in g.items()}
    return {k: x * np.minimum(1, limit[k] / norm[k]) for k, x in g.items()}


@pytest.mark.parametrize("name", CLIPS)
@given(elements, elements, elements, elements)
def test_clipping_is_its_formula(name, a, b, wa, wb):
    """The clipped gradient is the formula's in float64, whatever the gradient; below the bound it does not change."""
    grads, params = {"a": a, "b": b}, {"a": wa, "b": wb}
    clipped, _ = CLIPPED[name](grads, CLIPS[name].init(params), params)
    expected = numpy_clip(name, *({k: x.astype(np.float64) for k, x in t.items()} for t in (grads, params)))
    chex.assert_trees_all_close(clipped, expected, rtol=1e-5, atol=1e-6)


def test_clipping_complex_and_low_precision():
    """A complex value is clipped by parts and by magnitude; a bfloat16 norm is summed in float32."""
    z = {"w": jnp.array([3 + 4j])}
    chex.assert_trees_all_close(update(transforms.clip_by_value(2.0), z, z)[0], {"w": jnp.array([2 + 2j])})
    chex.assert_trees_all_close(update(transforms.clip_by_global_norm(1.0), z, z)[0], {"w": jnp.array([0.6 + 0.8j])})
    low = {"w": jnp.ones(4096, jnp.bfloat16)}
    clipped, _ = update(transforms.clip_by_global_norm(32.0), low, low)
    chex.assert_trees_all_equal(clipped, {"w": jnp.full(4096, 0.5, jnp.bfloat16)})


def test_clipping_to_nothing():
    """Zero parameters with eps = 0 hold their unit still; a zero gradient stays zero, not nan."""
    grads = {"w": jnp.array([[1.0, 0.0]])}
    clipped, _ = update(transforms.clip_adaptively(0.1, 0.0), grads, {"w": jnp.zeros((1, 2))})
    chex.assert_trees_all_equal(clipped, {"w": jnp.zeros((1, 2))})


@pytest.mark.parametrize(
    "clip",
    [
        transforms.clip_by_value(jnp.inf),
        transforms.clip_by_global_norm(jnp.inf),
        transforms.clip_by_leaf_norm(jnp.inf),
        transforms.clip_adaptively(jnp.inf),
        transforms.clip_by_leaf_rms(jnp.inf),
    ],
)
def test_an_infinite_bound_never_acts(clip):
    """A bound is a number of the state: set to infinity, it switches the clipping off."""
    grads = {"w": jnp.array([[3.0, -4.0]]), "zero": jnp.zeros(2)}
    chex.assert_trees_all_equal(update(clip, grads, {"w": jnp.ones((1, 2)), "zero": jnp.ones(2)})[0], grads)


def test_a_norm_that_is_not_finite_is_not_hidden():
    """Clipping a gradient with a nan gives nan, for `skip_nonfinite` to find."""
    clipped, _ = update(transforms.clip_by_global_norm(1.0), {"w": jnp.array([1.0, jnp.nan])}, {"w": jnp.ones(2)})
    assert jnp.all(jnp.isnan(clipped["w"]))


def test_chain_is_associative_and_has_an_identity():
    """chain(chain(f, g), h), chain(f, chain(g, h)) and chain(f, g, chain(), h) make the same updates."""
    f, g, h = transforms.clip_by_global_norm(1.0), transforms.scale_by_adam(), transforms.scale(0.3)
    one, _ = update(transforms.chain(transforms.chain(f, g), h))
    chex.assert_trees_all_equal(one, update(transforms.chain(f, transforms.chain(g, h)))[0])
    chex.assert_trees_all_equal(one, update(transforms.chain(f, g, transforms.chain(), h))[0])
    chex.assert_trees_all_equal(update(transforms.chain())[0], GRADS)


def test_pairs_from_elsewhere():
    """Any pair of functions init and update is a link, with or without extra arguments; anything else is refused."""

    class Pair(NamedTuple):
        init: object
        update: object

    double = Pair(lambda params: (), lambda grads, state, params=None: (tree.scale(2.0, grads), state))
    updates, _ = update(transforms.chain(double, transforms.scale(0.5)), value=1.0)
    chex.assert_trees_all_equal(updates, GRADS)
    with pytest.raises(TypeError, match="must have the functions init and update, got float"):
        transforms.chain(0.1)


def test_accumulated_micro_batches_are_one_batch():
    """k micro-batches with every=k make the update of their mean; those between are zero, uncounted by schedules."""
    rate = schedules.step(0.1, every=1, factor=0.5)
    whole = optimizers.adamw(rate, weight_decay=0.1)
    micro = transforms.accumulate(whole, every=3)
    gradients = [jax.tree.map(lambda x, s=s: x * s + s, GRADS) for s in (1.0, -2.0, 0.5, 4.0, 1.0, -1.0)]
    means = [jax.tree.map(lambda *g: sum(g) / 3, *gradients[i : i + 3]) for i in (0, 3)]
    fine, _ = path_of(micro, gradients)
    coarse, _ = path_of(whole, means)
    chex.assert_trees_all_equal(fine[1], PARAMS)
    chex.assert_trees_all_close((fine[2], fine[5]), tuple(coarse), rtol=1e-5)
    chex.assert_trees_all_equal(fine[3], fine[2])


def test_accumulation_takes_the_mean_loss_and_a_new_length():
    """`value` reaches the inner optimizer as a mean; `every` is a number like another, changed without compiling."""
    optimizer = transforms.accumulate(transforms.reduce_on_plateau(0.5, patience=1), every=2)
    step = jax.jit(chex.assert_max_traces(lambda g, s, p, v: optimizer.update(g, s, p, value=v, grad=g), n=1))
    state = optimizer.init(PARAMS)
    for value in (1.0, 3.0):
        _, state = step(GRADS, state, PARAMS, jnp.asarray(value))
    assert state.inner.best == 2.0
    assert {"every", "inner/every"} <= set(transforms.hyperparams(state))
    state = transforms.with_hyperparams(state, {"every": 1})
    updates, state = step(GRADS, state, PARAMS, jnp.asarray(5.0))
    chex.assert_trees_all_close(updates, tree.scale(0.5, GRADS))


def test_frozen_leaves_keep_their_values_and_take_no_memory():
    """Frozen parameters stay to the bit; the state holds moments of the others alone; they train as if alone."""
    optimizer = transforms.freeze(optimizers.adam(0.1), "body")
    path, state = path_of(optimizer, [GRADS, GRADS])
    chex.assert_trees_all_equal(path[-1]["body"], PARAMS["body"])
    alone, alone_state = path_of(optimizers.adam(0.1), [{"head": GRADS["head"]}] * 2, {"head": PARAMS["head"]})
    chex.assert_trees_all_equal(path[-1]["head"], alone[-1]["head"])
    assert tree.nbytes(state) == tree.nbytes(alone_state)


def test_frozen_gradients_do_not_leak_into_the_clip_norm():
    """However large or wrong the frozen gradient, the other updates are the same to the bit."""
    optimizer = transforms.freeze(
        transforms.chain(transforms.clip_by_global_norm(1.0), optimizers.sgd(1.0)), ["body", "head/bias"]
    )
    updates, _ = update(optimizer)
    wild = GRADS | {"body": jax.tree.map(lambda g: g * jnp.inf, GRADS["body"])}
    chex.assert_trees_all_equal(update(optimizer, wild)[0], updates)
    np.testing.assert_allclose(tree.norm(updates["head"]["kernel"]), 1.0, rtol=1e-6)


def test_freezing_within_the_search_of_lbfgs():
    """An optimizer that needs the loss gets it as a function of its own leaves."""

    def loss(p):
        return jnp.sum((p["a"] - 1) ** 2) + jnp.sum((p["b"] - p["a"]) ** 2)

    params = {"a": jnp.zeros(2), "b": jnp.ones(2) * 3}
    optimizer = transforms.freeze(optimizers.lbfgs(), "a")
    state = optimizer.init(params)
    for _ in range(3):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state, params, value=value, grad=grads, value_fn=loss)
        params = tree.add(params, updates)
    chex.assert_trees_all_close(params, {"a": jnp.zeros(2), "b": jnp.zeros(2)}, atol=1e-5)


def test_per_path_multiplies_and_divides():
    """Multipliers scale the leaves that they match, first match first; optimizers each take their own leaves."""
    rates = transforms.per_path({"*/bias": 0.0, "body": 0.1})
    updates, _ = update(rates)
    chex.assert_trees_all_close(updates["body"]["kernel"], 0.1 * GRADS["body"]["kernel"])
    chex.assert_trees_all_equal(updates["head"]["kernel"], GRADS["head"]["kernel"])
    assert not updates["body"]["bias"].any()
    mixed = transforms.per_path({"body": optimizers.sgd(0.5), "*": optimizers.adam(0.1)})
    updates, state = update(mixed)
    chex.assert_trees_all_close(updates["body"], tree.scale(-0.5, GRADS["body"]))
    chex.assert_trees_all_close(updates["head"], update(optimizers.adam(0.1))[0]["head"])
    assert set(transforms.hyperparams(state)) >= {"body/0/learning_rate", "*/1/learning_rate"}


def test_decay_masks():
    """A pattern, a list, a tree and a function choose the same leaves; inside freeze a tree still fits."""
    chosen = tree.mask(PARAMS, "*/kernel")
    for mask in ("*/kernel", ["body/kernel", "head/kernel"], chosen, lambda p: tree.mask(p, "*/kernel")):
        updates, _ = update(transforms.add_decayed_weights(0.1, mask), tree.zeros_like(GRADS))
        chex.assert_trees_all_close(updates["body"]["kernel"], 0.1 * PARAMS["body"]["kernel"])
        assert not updates["body"]["bias"].any()
    frozen = transforms.freeze(transforms.add_decayed_weights(0.1, chosen), "body")
    chex.assert_trees_all_close(
        update(frozen, tree.zeros_like(GRADS))[0]["head"]["kernel"], 0.1 * PARAMS["head"]["kernel"]
    )
    with pytest.raises(PathError, match="the mask must have the structure of the parameters"):
        transforms.add_decayed_weights(0.1, {"body": True}).init(PARAMS)


def test_decay_is_decoupled():
    """After the direction, decay is the same for every gradient; before it, Adam's division takes it."""
    decayed, _ = update(optimizers.adamw(0.1, weight_decay=0.5))
    plain, _ = update(optimizers.adam(0.1))
    chex.assert_trees_all_close(tree.add(plain, tree.scale(-0.05, PARAMS)), decayed, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_average_is_the_weighted_mean(decay):
    """The average is Σ βᵗ⁻ⁱ θᵢ / Σ βᵗ⁻ⁱ over the parameters after each update; at first it is the parameters."""
    optimizer = transforms.chain(optimizers.sgd(0.1), transforms.average(decay))
    chex.assert_trees_all_equal(transforms.averaged(optimizer.init(PARAMS)), PARAMS)
    path, state = path_of(optimizer, [GRADS, PARAMS, GRADS, GRADS])
    weights = decay ** np.arange(3.0, -1, -1)
    expected = jax.tree.map(lambda *x: np.average(np.stack(x), axis=0, weights=weights), *path)
    chex.assert_trees_all_close(transforms.averaged(state), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("start", [0, 1, 2, 9])
def test_polyak_average_is_the_mean_after_the_start(start):
    """The average is the mean of the parameters after the first `start` updates, and the latest until then."""
    optimizer = transforms.chain(optimizers.sgd(0.1), transforms.polyak_average(start))
    path, state = path_of(optimizer, [GRADS, PARAMS, GRADS, GRADS])
    kept = path[start:] or path[-1:]
    expected = jax.tree.map(lambda *x: np.mean(np.stack(x), axis=0), *kept)
    chex.assert_trees_all_close(transforms.averaged(state), expected, rtol=1e-5, atol=1e-6)


def test_averages_of_low_precision_and_their_absence():
    """bfloat16 parameters are averaged in float32, read in their own dtype on request; no average says what to add."""
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    state = transforms.average().init(low)
    assert {leaf.dtype for leaf in tree_leaves(transforms.averaged(state))} == {jnp.dtype("float32")}
    chex.assert_trees_all_equal(transforms.averaged(state, like=low), low)
    with pytest.raises(ValueError, match=r"must keep one average of the parameters, got 0; put .*average\(\) last"):
        transforms.averaged(optimizers.sgd(0.1).init(low))


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_updates_that_are_not_finite_are_skipped(bad):
    """A bad gradient changes neither parameters nor moments; the next good one goes on as if it had not been."""
    optimizer = transforms.skip_nonfinite(optimizers.adam(0.1))
    wrong = GRADS | {"head": jax.tree.map(lambda g: g.at[0].set(bad), GRADS["head"])}
    path, state = path_of(optimizer, [GRADS, wrong, wrong, GRADS])
    clean, clean_state = path_of(optimizers.adam(0.1), [GRADS, GRADS])
    chex.assert_trees_all_equal(path[2], path[0])
    chex.assert_trees_all_close((path[-1], state.inner), (clean[-1], clean_state))
    assert (int(state.skipped), int(state.in_a_row)) == (2, 0)


def numpy_plateau(losses, factor, patience, rtol, cooldown, every, least):
    """Return the scale after each loss."""
    scale, best, since, wait, scales = 1.0, np.inf, 0, 0, []
    for i in range(len(losses)):
        if (i + 1) % every == 0:
            mean = np.mean(losses[i + 1 - every : i + 1])
            resting, wait = wait > 0, max(wait - 1, 0)
            if mean < best * (1 - rtol):
                best, since = mean, 0
            else:
                since = 0 if resting else since + 1
            if since >= patience:
                scale, since, wait = max(scale * factor, least), 0, cooldown
        scales.append(scale)
    return scales


@pytest.mark.parametrize("options", [(0.5, 2, 1e-4, 0, 1, 0.0), (0.1, 1, 0.1, 2, 1, 0.05), (0.5, 2, 0.0, 1, 3, 0.2)])
def test_plateau_is_its_rule(options):
    """The scale follows the rule through falls, rests and means, and never goes below its least."""
    names = ("factor", "patience", "rtol", "cooldown", "every", "min_scale")
    optimizer = transforms.reduce_on_plateau(**dict(zip(names, options, strict=True)))
    losses = [5, 4, 4.2, 3, 3.1, 3, 3, 2.9, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2]

    @jax.jit
    def run(values):
        state = optimizer.init({"w": jnp.ones(())})
        step = lambda s, v: optimizer.update({"w": jnp.ones(())}, s, value=v)[::-1]  # noqa: E731
        return jax.lax.scan(step, state, values)

    state, updates = run(jnp.array(losses, jnp.float32))
    np.testing.assert_allclose(updates["w"], numpy_plateau(losses, *options), rtol=1e-6)
    np.testing.assert_allclose(transforms.hyperparams(state)["scale"], updates["w"][-1])


def test_plateau_needs_the_loss():
    """Without the loss there is nothing to judge; a nan is no improvement."""
    optimizer = transforms.reduce_on_plateau(0.5, patience=1)
    with pytest.raises(ValueError, match=r"reduce_on_plateau: update needs value; call update\(.*value=...\)"):
        optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS)
    _, state = optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS, value=jnp.nan)
    assert state.scheduled["scale"] == 0.5


def test_numbers_follow_schedules():
    """A momentum on a schedule acts and is read in the state; the structure of the state does not change."""
    optimizer = transforms.follow_schedules(
        optimizers.sgd(1.0, 0.9), {"momentum": schedules.piecewise([0.0, 0.5], [1])}
    )
    state = optimizer.init({"w": jnp.ones(1)})
    seen = []
    for _ in range(3):
        updates, new_state = update(optimizer, {"w": jnp.ones(1)}, {"w": jnp.ones(1)}, state)
        chex.assert_trees_all_equal_shapes_and_dtypes(state, new_state)
        state = new_state
        seen.append((float(updates["w"][0]), float(transforms.hyperparams(state)["inner/0/momentum"])))
    assert seen == [(-1.0, 0.0), (-1.5, 0.5), (-1.75, 0.5)]


def test_a_scheduled_rate_is_read_in_the_state_and_not_set():
    """The state tells the rate that the last update used; setting it is refused: the next update would undo it."""
    optimizer = optimizers.sgd(schedules.piecewise([0.5, 0.25], [1]))
    path, state = path_of(optimizer, [GRADS, GRADS])
    assert transforms.hyperparams(state) == {"0/learning_rate": 0.25}
    chex.assert_trees_all_close(path[1], jax.tree.map(lambda p, g: p - 0.75 * g, PARAMS, GRADS), rtol=1e-6)
    with pytest.raises(ValueError, match="'0/learning_rate' follows a schedule, so a value set here would be lost"):
        transforms.with_hyperparams(state, {"learning_rate": 0.1})


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


def test_labels_without_an_optimizer():
    """A label that no optimizer has is refused at init."""
    optimizer = transforms.route(lambda params: jax.tree.map(lambda p: "c", params), {"a": optimizers.sgd(0.1)})
    with pytest.raises(ValueError, match=re.escape("route: labels must be among ['a'], got 'c'")):
        optimizer.init(PARAMS)


def test_bias_correction_has_its_derivative_at_zero(x64):
    """d(1 - βᵗ)/dβ = -t βᵗ⁻¹, at β = 0 too, where momentum is being tried."""
    for decay, count, slope in ((0.0, 1, -1.0), (0.0, 2, 0.0), (0.5, 3, -0.75), (0.999, 2, -1.998)):
        derivative = jax.grad(bias_correction)(jnp.asarray(decay), jnp.asarray(count))
        np.testing.assert_allclose(derivative, slope, rtol=1e-12)


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
        (
            lambda: transforms.freeze(optimizers.sgd(0.1), "bodi"),
            "freeze: no path matches 'bodi'\n  Fix: did you mean 'body'?",
        ),
        (lambda: transforms.per_path({"bodi": 0.1}), "per_path: no path matches 'bodi'\n  Fix: did you mean 'body'?"),
        (lambda: transforms.per_path({"body": optimizers.sgd(0.1)}), "per_path: no rule for 'head/bias'"),
        (
            lambda: optimizers.adamw(0.1, mask="*/kernal"),
            "add_decayed_weights: no path matches '*/kernal'\n  Fix: use one of 'body', 'body/bias'",
        ),
        (lambda: transforms.follow_schedules(optimizers.sgd(0.1), {"rate": schedules.constant(1.0)}), "'rate'"),
    ],
)
def test_unknown_paths(make, message):
    """A path that names nothing is refused at init, with the nearest."""
    with pytest.raises(PathError, match=re.escape(message)):
        make().init(PARAMS)


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
        (lambda: transforms.per_path({"body": -1.0}), "per_path: factor must be at least 0, got -1.0"),
        (lambda: transforms.reduce_on_plateau(-0.1), "reduce_on_plateau: factor must be at least 0, got -0.1"),
        (lambda: optimizers.sgd(float("inf")), "scale_by_learning_rate: learning_rate must be finite, got inf"),
        (lambda: optimizers.sgd(float("nan")), "scale_by_learning_rate: learning_rate must be at least 0, got nan"),
        (lambda: optimizers.adam(0.1, eps=float("inf")), "adam: eps must be finite, got inf"),
    ],
)
def test_impossible_numbers_of_transforms(make, message):
    """A number that no transform can use is refused where it is made."""
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


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


def test_orthogonalize_brings_singular_values_near_one():
    """Singular values become about 1 in real and complex matrices, tall and wide; the singular vectors stay."""
    for shape in ((4, 7), (7, 4)):
        g = jax.random.normal(jax.random.key(0), (2, *shape))
        q = transforms.orthogonalize(jax.lax.complex(g[0], g[1]))
        u, _, vh = np.linalg.svd(np.asarray(jax.lax.complex(g[0], g[1])), full_matrices=False)
        assert np.all(np.abs(np.linalg.svd(np.asarray(q))[1] - 1) < 0.35)
        inner = u.conj().T @ np.asarray(q) @ vh.conj().T
        np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-4)
