"""repeat, ensemble and shared: copies of a layer, and places of one."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import counter, linear, noise

from fnnet.compose import ensemble, parallel, repeat, residual, serial, shared
from fnnet.core import Layer, Masked
from fnnet.errors import KeyMissingError, ShapeError

pytestmark = pytest.mark.types

X = jnp.linspace(-1.0, 1.0, 15).reshape(3, 5)
BLOCK = serial(counter(), linear(5), noise(), jnp.tanh)
KEY = jax.random.key(7)


def stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def copies(params, n):
    return stack([params[f"serial_{i}"] for i in range(n)])


@pytest.mark.parametrize("unroll", [1, 3])
def test_repeat_is_serial_with_stacked_entries(unroll):
    """repeat(f, n) = serial(*[f] * n): initial values, outputs, state and random keys."""
    whole, spelled = repeat(BLOCK, 3, unroll=unroll), serial(*[BLOCK] * 3)
    (params, state), (p, s) = whole.init(KEY, X), spelled.init(KEY, X)
    chex.assert_trees_all_close(params, copies(p, 3), rtol=1e-6)
    chex.assert_trees_all_equal(state, copies(s, 3))
    for train in (False, True):
        y, new = whole.apply(params, state, X, key=KEY, train=train)
        expected, new_spelled = spelled.apply(p, s, X, key=KEY, train=train)
        chex.assert_trees_all_close(y, expected, rtol=1e-5)
        chex.assert_trees_all_close(new, copies(new_spelled, 3), rtol=1e-5)


def test_gradients_of_repeat_are_those_of_serial():
    whole, spelled = repeat(serial(linear(5), jnp.tanh), 3), serial(*[serial(linear(5), jnp.tanh)] * 3)
    p, _ = spelled.init(KEY, X)
    grad = jax.grad(lambda p: (whole(p, X) ** 2).sum())(copies(p, 3))
    expected = jax.grad(lambda p: (spelled(p, X) ** 2).sum())(p)
    chex.assert_trees_all_close(grad, copies(expected, 3), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("train", [False, True])
def test_the_body_of_repeat_is_traced_once_whatever_n(train):
    """Trace count and the size of the traced program do not depend on n."""
    traces = []

    def counted(n):
        layer = linear(5)

        def apply(*args, **kwargs):
            traces.append(n)
            return layer.apply(*args, **kwargs)

        net = repeat(serial(Layer("linear", layer.init, apply), noise()), n)
        params, state = net.init(KEY, jax.ShapeDtypeStruct(X.shape, X.dtype))
        traces.clear()

        def loss(params):
            return net.apply(params, state, X, key=KEY, train=train)[0].sum()

        jaxpr = jax.make_jaxpr(jax.grad(loss))(params)
        return len(traces), sum(1 for _ in _equations(jaxpr.jaxpr))

    assert counted(2) == counted(50)
    assert counted(2)[0] == 1


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values())):
            if hasattr(inner, "eqns"):
                yield from _equations(inner)


def test_layers_without_parameters_can_be_copied():
    chex.assert_trees_all_close(repeat(jnp.sin, 2)({}, X), jnp.sin(jnp.sin(X)), rtol=1e-6)
    chex.assert_trees_all_close(ensemble(jnp.sin, 2)({}, X), jnp.stack([jnp.sin(X)] * 2), rtol=1e-6)


def test_repeat_takes_masked_sequences():
    x = Masked(X, jnp.array([True, True, False]))
    y = repeat(lambda x: Masked(2 * x.values, x.mask), 3)({}, x)
    chex.assert_trees_all_equal(y, Masked(8 * X, x.mask))


def test_repeat_refuses_a_layer_that_changes_shape_or_dtype():
    net = serial(repeat(linear(4), 2))
    with pytest.raises(ShapeError) as caught:
        net.init(KEY, X)
    assert str(caught.value).startswith(
        "repeat_0: the layer must return the shape and dtype that it takes, got float32[3,5] -> float32[3,4]"
    )
    with pytest.raises(ShapeError, match=r"got float32\[3,5\] -> bfloat16\[3,5\]"):
        repeat(lambda x: x.astype(jnp.bfloat16), 2)({}, X)


def test_errors_inside_copies_keep_their_path():
    with pytest.raises(KeyMissingError, match=r"^repeat_0/noise_0: "):
        serial(repeat(serial(noise()), 2)).apply({}, {}, X, train=True)
    with pytest.raises(KeyMissingError, match=r"^ensemble_0/noise_0: "):
        serial(ensemble(serial(noise()), 2)).apply({}, {}, X, train=True)


@pytest.mark.parametrize("make", [repeat, ensemble])
def test_counts_are_checked(make):
    with pytest.raises(ValueError, match=f"{make.__name__}: n must be at least 1, got 0"):
        make(linear(2), 0)
    with pytest.raises(ValueError, match="repeat: unroll must be at least 1, got 0"):
        repeat(linear(2), 2, unroll=0)


def test_members_of_an_ensemble_are_branches():
    """ensemble(f, n) = stack(parallel(*[f] * n)): initial values, outputs, state and random keys."""
    whole, spelled = ensemble(BLOCK, 3), parallel(*[BLOCK] * 3)
    (params, state), (p, s) = whole.init(KEY, X), spelled.init(KEY, X)
    chex.assert_trees_all_close(params, copies(p, 3), rtol=1e-6)
    for train in (False, True):
        y, new = whole.apply(params, state, X, key=KEY, train=train)
        expected, new_spelled = spelled.apply(p, s, X, key=KEY, train=train)
        assert y.shape == (3, *X.shape)
        chex.assert_trees_all_close(y, jnp.stack(expected), rtol=1e-5, atol=1e-6)
        chex.assert_trees_all_close(new, copies(new_spelled, 3), rtol=1e-5, atol=1e-6)


PLACES = {
    "serial": (lambda f, g: serial(a=f, tanh=jnp.tanh, b=g), ("a", "b")),
    "parallel": (lambda f, g: parallel(a=f, b=serial(jnp.negative, g), combine=jnp.multiply), ("a", "b/linear_0")),
    "residual": (lambda f, g: serial(residual(serial(f, jnp.tanh)), b=g), ("residual_0/body/linear_0", "b")),
}


def at(tree, path):
    for name in path.split("/"):
        tree = tree[name]
    return tree


@pytest.mark.parametrize(("build", "paths"), PLACES.values(), ids=PLACES)
def test_shared_is_separate_layers_with_equal_parameters(build, paths):
    """Its output is theirs, and its gradient the sum of theirs."""
    tied, separate = shared(linear(5), lambda f: build(f, f)), build(linear(5), linear(5))
    params, _ = tied.init(KEY, X)
    assert set(params) == {"shared"}
    p, _ = separate.init(KEY, X)
    p = jax.tree.map(lambda leaf: params["shared"]["kernel" if leaf.ndim == 2 else "bias"], p)
    chex.assert_trees_all_close(tied(params, X), separate(p, X), rtol=1e-6)
    grad = jax.jit(jax.grad(lambda p: (tied(p, X) ** 2).sum()))(params)["shared"]
    grads = jax.grad(lambda p: (separate(p, X) ** 2).sum())(p)
    expected = jax.tree.map(jnp.add, *(at(grads, path) for path in paths))
    chex.assert_trees_all_close(grad, expected, rtol=1e-4, atol=1e-5)


def test_shared_layers_can_be_repeated_and_mapped():
    """Places inside scans and vmaps, and inits traced within them, see the same parameters."""
    net = shared(linear(5), lambda f: serial(f, repeat(serial(f, jnp.tanh), 3), ensemble(f, 2), linear(2)))
    params, _ = jax.jit(net.init)(KEY, X)
    assert set(params) == {"shared", "net"}
    assert set(params["net"]) == {"linear_1"}

    def by_hand(p, x):
        f = lambda x: linear(5)(p["shared"], x)  # noqa: E731
        x = f(x)
        for _ in range(3):
            x = jnp.tanh(f(x))
        return linear(2)(p["net"]["linear_1"], jnp.stack([f(x), f(x)]))

    chex.assert_trees_all_close(net(params, X), by_hand(params, X), rtol=1e-5)
    grad, expected = (jax.grad(lambda p, f=f: f(p, X).sum())(params) for f in (net, by_hand))
    chex.assert_trees_all_close(grad, expected, rtol=1e-4, atol=1e-5)


def test_places_of_a_shared_layer_have_their_own_state_and_keys():
    net = shared(serial(counter(), noise()), lambda f: serial(f, f))
    _, state = net.init(KEY, X)
    y, new = net.apply({}, state, X, key=KEY, train=True)
    assert [use["counter_0"]["uses"].item() for use in new["net"].values()] == [1.0, 1.0]
    means = [use["counter_0"]["mean"].item() for use in new["net"].values()]
    assert means[0] != means[1]
    noise_of_each = (y - X - 2).ravel()
    assert noise_of_each.std() > 0.5


def test_tied_embeddings_use_the_parameters_in_another_way():
    """f.using(function) is function(params, x) of the shared parameters."""
    net = shared(linear(4), lambda f: serial(f, jnp.tanh, f.using(lambda p, x: x @ p["kernel"].T)))
    params, _ = net.init(KEY, X)
    kernel = np.asarray(params["shared"]["kernel"])
    expected = np.tanh(np.asarray(X) @ kernel + np.asarray(params["shared"]["bias"])[None]) @ kernel.T
    np.testing.assert_allclose(net(params, X), expected, rtol=1e-5)


def test_a_shared_layer_must_be_placed():
    with pytest.raises(ValueError, match="shared: build must place the layer"):
        shared(linear(2), lambda f: jnp.tanh).init(KEY, X)


def test_a_shared_layer_that_does_not_fit_one_of_its_places_says_which():
    with pytest.raises(ShapeError, match=r"net/linear_1: the last axis of the input must be 5"):
        shared(linear(4), lambda f: serial(f, f)).init(KEY, X)
