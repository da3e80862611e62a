"""serial, parallel, residual and what joins their outputs."""

import collections.abc
import typing

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Pair, counter, double_pair, linear, noise

from fnnet import layers
from fnnet.compose import InitApply, LayerLike, add, as_layer, child_key, concat, identity, parallel, residual, serial
from fnnet.core import Masked
from fnnet.errors import KeyMissingError, ShapeError

X = jnp.linspace(-1.0, 1.0, 15).reshape(3, 5)

COMPOSITIONS = {
    "serial": lambda f: serial(f),
    "parallel": lambda f: parallel(f),
    "residual": lambda f: residual(f, combine=concat),
}


def test_a_pair_from_elsewhere_is_a_layer():
    """Anything with init and apply composes; without a name it has its type's."""
    net = serial(double_pair(), linear(2))
    params, state = net.init(jax.random.key(0), X)
    assert list(params) == ["pair_0", "linear_0"]
    chex.assert_trees_all_close(net(params, X, state), linear(2)(params["linear_0"], 2 * X))
    assert as_layer(Pair(None, None)).name == "pair"


def test_what_is_a_pair_is_known_to_a_type_checker_and_at_run_time():
    """``InitApply`` is what has init and apply: layers and pairs from elsewhere, no functions."""
    assert isinstance(linear(2), InitApply)
    assert isinstance(double_pair(), InitApply)
    assert not isinstance(jnp.tanh, InitApply)
    assert set(typing.get_args(LayerLike)) == {InitApply, collections.abc.Callable[[typing.Any], typing.Any]}


def test_a_factory_must_be_called():
    """`serial(flatten, ...)` is a slip: what makes a layer is taken for none."""
    for factory in (layers.flatten, layers.dense, serial):
        with pytest.raises(
            TypeError, match=rf"{factory.__name__} makes a layer and is none: call it, e\.g\. {factory.__name__}"
        ):
            serial(factory)


def test_names_have_no_slash():
    with pytest.raises(ValueError, match=r"serial: a name must be text without '/', .*, got 'a/b'"):
        serial(**{"a/b": linear(2)})


def test_what_is_no_layer_is_refused():
    with pytest.raises(TypeError, match=r"a layer must be a Layer or a function array -> array, got int: 3"):
        serial(3)


@pytest.mark.parametrize(("make", "name"), [(serial, "serial"), (parallel, "parallel")], ids=["serial", "parallel"])
def test_names_are_distinct(make, name):
    with pytest.raises(ValueError, match=f"{name}: names must be distinct, got 'linear_0'"):
        make(linear(2), linear_0=linear(2))


@pytest.mark.row("composition")
def test_serial_is_associative_and_has_an_identity():
    """serial(serial(f, g), h) = serial(f, serial(g, h)) and serial() is neutral."""
    f, g, h = linear(4), jnp.tanh, linear(2)
    p = serial(f=f, g=g, h=h).init(jax.random.key(1), X)[0]
    expected = serial(f=f, g=g, h=h)(p, X)
    left = serial(fg=serial(f=f, g=g), h=h)({"fg": {"f": p["f"]}, "h": p["h"]}, X)
    right = serial(serial(), f=f, gh=serial(g=g, h=h))({"f": p["f"], "gh": {"h": p["h"]}}, X)
    chex.assert_trees_all_equal(left, expected)
    chex.assert_trees_all_equal(right, expected)
    by_hand = np.tanh(np.asarray(X) @ p["f"]["kernel"] + p["f"]["bias"][None]) @ p["h"]["kernel"] + p["h"]["bias"][None]
    np.testing.assert_allclose(expected, by_hand, rtol=1e-5)


@pytest.mark.row("composition")
def test_the_derivative_of_serial_is_the_chain_rule(x64):
    """D serial(f, g, h)(x) = Dh(g(f(x))) Dg(f(x)) Df(x), of matrices worked out by hand; so by parameters of f."""
    f, g, h = linear(4), jnp.tanh, linear(2)
    net = serial(f=f, g=g, h=h)
    x = jnp.array([0.5, -1.0, 2.0])
    p = net.init(jax.random.key(1), x)[0]
    bend = np.diag(1 - np.tanh(np.asarray(x) @ p["f"]["kernel"] + p["f"]["bias"]) ** 2)
    after = np.asarray(p["h"]["kernel"]).T @ bend
    np.testing.assert_allclose(jax.jacrev(net, argnums=1)(p, x), after @ np.asarray(p["f"]["kernel"]).T, rtol=1e-12)
    by_kernel = jax.jacrev(net.__call__)(p, x)["f"]["kernel"]  # ∂yₖ / ∂Wᵢⱼ = xᵢ (Dh Dg)ₖⱼ
    np.testing.assert_allclose(by_kernel, np.einsum("i,kj->kij", x, after), rtol=1e-12)


def test_initial_parameters_depend_on_name_and_key_alone():
    """Adding a layer without parameters changes no initial value."""
    plain = serial(linear(4), linear(2)).init(jax.random.key(0), X)[0]
    more = serial(linear(4), jnp.tanh, noise(), linear(2)).init(jax.random.key(0), X)[0]
    chex.assert_trees_all_equal(plain, more)
    assert not np.allclose(plain["linear_0"]["bias"][:2], plain["linear_1"]["bias"])


def test_parallel_applies_each_branch_to_the_input():
    """parallel(f, g)(x) = (f(x), g(x)), with the entries that serial would make."""
    net = parallel(linear(2), jnp.tanh, wide=linear(4))
    params, _ = net.init(jax.random.key(0), X)
    assert list(params) == ["linear_0", "wide"]
    a, b, c = net(params, X)
    chex.assert_trees_all_equal(a, linear(2)(params["linear_0"], X))
    chex.assert_trees_all_equal(b, jnp.tanh(X))
    chex.assert_trees_all_equal(c, linear(4)(params["wide"], X))
    chex.assert_trees_all_equal(params["linear_0"], serial(linear(2)).init(jax.random.key(0), X)[0]["linear_0"])


def test_parallel_picks_among_several_inputs_and_gates():
    net = parallel(lambda x: x[0], lambda x: jax.nn.sigmoid(x[1]), combine=jnp.multiply)
    chex.assert_trees_all_close(net({}, (X, -X)), X * jax.nn.sigmoid(-X))


def test_joining_needs_an_output():
    for join in (add, concat):
        with pytest.raises(ValueError, match=f"{join.__name__}: needs at least one output, got none"):
            join()


def test_parallel_needs_a_branch():
    with pytest.raises(ValueError, match="parallel: needs at least one branch, got none"):
        parallel()


def test_residual_adds_the_input_and_the_identity_to_the_jacobian():
    """y = f(x) + x; dy/dx = df/dx + I."""
    net = residual(linear(5))
    params, _ = net.init(jax.random.key(0), X)
    assert list(params) == ["body"]
    chex.assert_trees_all_close(net(params, X), linear(5)(params["body"], X) + X)
    jacobian = jax.jacobian(lambda x: net(params, x))(X[0])
    chex.assert_trees_all_close(jacobian, params["body"]["kernel"].T + jnp.eye(5), rtol=1e-6)


def test_residual_with_a_shortcut_changes_shape():
    net = residual(linear(2), shortcut=linear(2))
    params, _ = net.init(jax.random.key(0), X)
    expected = linear(2)(params["body"], X) + linear(2)(params["shortcut"], X)
    chex.assert_trees_all_close(net(params, X), expected)
    assert not np.allclose(params["body"]["kernel"], params["shortcut"]["kernel"])


def test_a_u_net_is_nested_residuals_that_concatenate():
    """Each level sees its own input beside what comes up from below."""
    inner = residual(linear(3), combine=concat)
    net = residual(serial(linear(4), inner, linear(2)), combine=concat)
    params, _ = net.init(jax.random.key(0), X)
    body = params["body"]
    down = linear(4)(body["linear_0"], X)
    below = jnp.concatenate([linear(3)(body["residual_0"]["body"], down), down], -1)
    up = linear(2)(body["linear_1"], below)
    chex.assert_trees_all_close(net(params, X), jnp.concatenate([up, X], -1), rtol=1e-6)


def test_shapes_that_cannot_be_joined_are_reported_with_their_place():
    """The error says which composition, both shapes, and what to change."""
    net = serial(block=residual(linear(4)))
    with pytest.raises(ShapeError) as caught:
        net.init(jax.random.key(0), X)
    message = str(caught.value)
    assert message.startswith("block (add): the outputs must have one shape, got (3, 4) and (3, 5)")
    assert "Fix: change a branch (the shortcut of a residual)" in message
    with pytest.raises(ShapeError, match=r"concat: .* shape but for the last axis, got \(3, 5\) and \(5,\)"):
        concat(X, X[0])
    with pytest.raises(ShapeError, match=r"concat: .*got \(\) and \(\)"):
        concat(jnp.ones(()), jnp.ones(()))
    with pytest.raises(ShapeError, match=r"add: the outputs must have one structure"):
        add(X, (X, X))


def test_masked_outputs_join_over_their_values():
    """Sums and joins of Masked are real where all are."""
    a = Masked(X, jnp.array([True, True, False]))
    b = Masked(2 * X, jnp.array([True, False, True]))
    mask = jnp.array([True, False, False])
    chex.assert_trees_all_close(add(a, b), Masked(3 * X, mask))
    chex.assert_trees_all_close(concat(a, b), Masked(jnp.concatenate([X, 2 * X], -1), mask))
    chex.assert_trees_all_close(add({"a": X}, {"a": X}), {"a": 2 * X})
    chex.assert_trees_all_equal(residual(identity)({}, a), Masked(2 * X, a.mask))


@pytest.mark.parametrize("make", COMPOSITIONS.values(), ids=COMPOSITIONS)
def test_state_key_and_train_reach_the_children(make):
    """State is threaded under the child's name; keys are made of its name; train is passed on."""
    net = make(serial(counter(), noise()))
    _, state = net.init(jax.random.key(0), X)
    assert [leaf.item() for leaf in jax.tree.leaves(state)] == [0.0, 0.0]
    _, new = net.apply({}, state, X, key=jax.random.key(1), train=True)
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert jax.tree.leaves(new)[1].item() == 1.0
    chex.assert_trees_all_equal(net.apply({}, state, X)[1], state)
    with pytest.raises(KeyMissingError, match=r"noise_0: needs a random key"):
        net.apply({}, state, X, train=True)


def test_keys_are_made_of_names():
    """A child's noise is that of its own name's key."""
    key = jax.random.key(3)
    y, _ = serial(jnp.negative, noise()).apply({}, {}, X, key=key, train=True)
    expected, _ = noise().apply({}, {}, -X, key=child_key(key, "noise_0"), train=True)
    chex.assert_trees_all_equal(y, expected)
    a, b = parallel(noise(), noise()).apply({}, {}, X, key=key, train=True)[0]
    assert not np.allclose(a, b)


@pytest.mark.parametrize(
    ("net", "path"),
    [
        (serial(body=serial(linear(4), linear(3))), "body/linear_1"),
        (parallel(jnp.tanh, head=linear(3)), "head"),
        (residual(serial(linear(5), linear(5))), "body/linear_0"),
    ],
    ids=["serial", "parallel", "residual"],
)
def test_errors_name_the_path(net, path):
    params, _ = net.init(jax.random.key(0), X)
    at = params
    for name in path.split("/"):
        at = at[name]
    at["kernel"] = jnp.ones((7, 4))
    with pytest.raises(ShapeError) as caught:
        net(params, X)
    assert caught.value.path == path
    assert "must be 7 (as at init), got shape (3," in str(caught.value)
