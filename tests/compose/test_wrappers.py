"""remat, precision, stop_gradient, inference, named, on_values and collapse."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import counter, linear, noise

from fnnet.compose import (
    collapse,
    inference,
    named,
    on_values,
    precision,
    remat,
    repeat,
    residual,
    serial,
    stop_gradient,
)
from fnnet.core import Masked
from fnnet.errors import DataError, ShapeError

X = jnp.linspace(-1.0, 1.0, 15).reshape(3, 5)
KEY = jax.random.key(7)
BODY = serial(linear(6), counter(), jnp.tanh, noise(), linear(2))

TRANSPARENT = {
    "remat": remat,
    "remat keeping one": lambda f: remat(f, policy=jax.checkpoint_policies.save_only_these_names("linear_0")),
    "precision of float32": lambda f: precision(f, compute=jnp.float32),
    "precision of nothing": lambda f: precision(f, compute=None, params=None, output=None),
    "stop_gradient": stop_gradient,
    "stop_gradient of params": lambda f: stop_gradient(f, of="params"),
    "named": lambda f: named(f, "block"),
    "on_values": on_values,
}


@pytest.mark.parametrize("wrap", TRANSPARENT.values(), ids=TRANSPARENT)
def test_a_wrapped_layer_computes_what_the_layer_computes(wrap):
    """Initial values, outputs, state and random keys are the layer's, in training and at inference."""
    net = wrap(BODY)
    chex.assert_trees_all_equal(net.init(KEY, X), BODY.init(KEY, X))
    params, state = BODY.init(KEY, X)
    for train in (False, True):
        got = net.apply(params, state, X, key=KEY, train=train)
        chex.assert_trees_all_close(got, BODY.apply(params, state, X, key=KEY, train=train), rtol=1e-6)


@pytest.mark.parametrize("name", ["remat", "remat keeping one", "named", "on_values", "precision of float32"])
def test_a_wrapped_layer_has_the_gradients_of_the_layer(name):
    net, (params, _) = TRANSPARENT[name](BODY), BODY.init(KEY, X)
    state = BODY.init(KEY, X)[1]
    grad, expected = (
        jax.grad(lambda p, x, f=f: (f(p, x, state) ** 2).sum(), argnums=(0, 1))(params, X) for f in (net, BODY)
    )
    chex.assert_trees_all_close(grad, expected, rtol=1e-5)


def saved_shapes(net, params):
    residuals = jax.eval_shape(lambda p: jax.vjp(lambda q: net(q, X).sum(), p)[1], params)
    return sorted(leaf.shape for leaf in jax.tree.leaves(residuals))


def test_remat_keeps_less_for_the_backward_pass():
    """Without remat the tanh is kept; with it nothing of the body's width is, unless the policy names it."""
    net = serial(linear(6), jnp.tanh, linear(2))
    params, _ = net.init(KEY, X)
    count = {
        name: saved_shapes(wrapped, params).count((3, 6))
        for name, wrapped in (
            ("plain", net),
            ("remat", remat(net)),
            ("named", remat(net, policy=jax.checkpoint_policies.save_only_these_names("linear_0"))),
        )
    }
    assert count["plain"] > 0
    assert count["remat"] == 0
    assert count["named"] == 1


def test_repeated_remat_keeps_one_input_a_block():
    net = repeat(serial(linear(5), jnp.tanh, linear(5), jnp.tanh), 4)
    lean = repeat(remat(serial(linear(5), jnp.tanh, linear(5), jnp.tanh)), 4)
    params, _ = net.init(KEY, X)
    assert saved_shapes(lean, params).count((4, 3, 5)) == 1 < saved_shapes(net, params).count((4, 3, 5))
    chex.assert_trees_all_close(lean(params, X), net(params, X), rtol=1e-6)


def test_precision_computes_in_one_dtype_and_keeps_another():
    """Inside: bfloat16. Outside: float32 parameters, gradients, state and output."""
    seen = []

    def spy(x):
        seen.append(x.dtype)
        return x

    net = precision(serial(linear(6), counter(), spy, linear(2)))
    params, state = net.init(KEY, X.astype(jnp.float16))
    seen.clear()
    y, new = net.apply(params, state, X, train=True)
    assert seen == [jnp.bfloat16]
    chex.assert_trees_all_equal_dtypes(y, X)
    chex.assert_tree_all_finite(new)
    assert {leaf.dtype.name for leaf in jax.tree.leaves((params, new))} == {"float32"}
    grad = jax.grad(lambda p: net(p, X, state).sum())(params)
    chex.assert_trees_all_equal_shapes_and_dtypes(grad, params)
    exact = serial(linear(6), counter(), linear(2)).apply(params, state, X, train=True)[0]
    np.testing.assert_allclose(y, exact, rtol=0.05, atol=0.05)
    assert not np.allclose(y, exact, rtol=1e-6, atol=1e-6)


def test_precision_leaves_integers_and_what_it_is_not_told():
    table = jnp.linspace(0.0, 1.0, 5)
    net = precision(lambda tokens: table[tokens], output=None)
    assert net({}, jnp.array([1, 2])).dtype == jnp.float32
    assert precision(linear(2), output=None)(linear(2).init(KEY, X)[0], X).dtype == jnp.bfloat16
    assert precision(lambda x: {"n": jnp.argmax(x), "x": x})({}, X)["n"].dtype == jnp.int32


def test_precision_takes_floating_dtypes_only():
    with pytest.raises(ValueError, match="precision: compute must be a floating-point dtype or None, got 'int8'"):
        precision(linear(2), compute="int8")


def test_inference_is_the_layer_out_of_training():
    """Its statistics, its noise and its key play no part; nor does training change its state."""
    layer = serial(counter(), noise(), linear(2))
    params, state = layer.init(KEY, X)
    y, kept = inference(layer).apply(params, state, X, train=True)
    chex.assert_trees_all_equal((y, kept), layer.apply(params, state, X))
    moved, changed = layer.apply(params, state, X, key=KEY, train=True)
    assert not jnp.allclose(y, moved)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(changed, state)


def test_stop_gradient_stops_what_it_says():
    """Of the output: all gradients are zero. Of the params: only theirs."""
    layer = linear(2)
    params, _ = layer.init(KEY, X)

    def grads(f):
        return jax.grad(lambda p, x: (f(p, x) ** 2).sum(), argnums=(0, 1))(params, X)

    zero, plain = jax.tree.map(jnp.zeros_like, (params, X)), grads(layer)
    chex.assert_trees_all_equal(grads(stop_gradient(layer)), zero)
    chex.assert_trees_all_close(grads(stop_gradient(layer, of="params")), (zero[0], plain[1]))
    with pytest.raises(ValueError, match="stop_gradient: of must be 'output' or 'params', got 'input'"):
        stop_gradient(layer, of="input")


def test_named_gives_the_kind_that_entries_are_named_by():
    net = serial(named(linear(2), "hidden"), named(jnp.tanh, "squash"), named(linear(2), "hidden"))
    assert list(net.init(KEY, X)[0]) == ["hidden_0", "hidden_1"]
    for name in ("", "a/b"):
        with pytest.raises(ValueError, match=f"named: name must be text without '/', got '{name}'"):
            named(linear(2), name)


def test_on_values_keeps_the_mask():
    """on_values(f)(Masked(v, m)) = Masked(f(v), m), with zeros for what stands in padding."""
    x = Masked(X, jnp.array([True, False, True]))
    net = on_values(serial(linear(2), counter()))
    params, state = net.init(KEY, x)
    y, new = net.apply(params, state, x, train=True)
    expected, _ = serial(linear(2), counter()).apply(params, state, X.at[1].set(0), train=True)
    chex.assert_trees_all_close(y, Masked(expected, x.mask))
    assert new["counter_0"]["uses"].item() == 1.0


def test_what_stands_in_padding_reaches_no_gradient():
    """The layer sees zeros there: a NaN would make the gradient of the kernel NaN, though its row counts nothing."""
    layer = on_values(linear(4))
    values = X.at[1].set(jnp.nan)
    params, _ = layer.init(KEY, X)

    def total(params):
        y = layer(params, Masked(values, jnp.array([True, False, True])))
        return jnp.where(y.mask[:, None], y.values, 0).sum()

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.grad(total)(params)))
    assert jnp.isfinite(layer(params, Masked(values, jnp.array([True, False, True]))).values).all()


AFFINE = {
    "deep": serial(linear(8), linear(3), linear(4)),
    "residual": serial(residual(linear(5)), linear(2), lambda x: 2 * x - 1),
    "repeated": repeat(linear(5), 6),
    "without parameters": serial(jnp.flip),
}


@pytest.mark.row("collapse")
@pytest.mark.lowest
@pytest.mark.parametrize("net", AFFINE.values(), ids=AFFINE)
def test_an_affine_net_collapses_into_one_layer(net):
    """layer(collapsed, x) = net(params, x), over any leading axes."""
    params, state = net.init(KEY, X)
    layer, collapsed = collapse(net, params, jax.ShapeDtypeStruct(X.shape, X.dtype), state)
    assert collapsed["kernel"].shape == (5, collapsed["bias"].shape[0])
    expected = net(params, X) if net is not AFFINE["without parameters"] else X[:, ::-1]
    chex.assert_trees_all_close(layer(collapsed, X), expected, rtol=1e-4, atol=1e-4)
    chex.assert_trees_all_equal_shapes_and_dtypes(layer.init(KEY, X)[0], collapsed)


CURVED = {
    "relu": (serial(linear(8), body=serial(linear(4), jax.nn.relu), head=linear(3)), "body/relu_0"),
    "tanh": (serial(linear(8), jnp.tanh, linear(3)), "tanh_0"),
    "kink at zero": (serial(linear(5), jnp.sign), "sign_0"),
    "square": (jnp.square, "its output"),
    "nan": (lambda x: x * jnp.nan, "its output"),
}


@pytest.mark.lowest
@pytest.mark.parametrize(("net", "where"), CURVED.values(), ids=CURVED)
def test_what_is_not_affine_does_not_collapse(net, where):
    """The error names the first layer whose output departs from an affine map."""
    layer = serial(net) if where == "its output" else net
    params, _ = layer.init(KEY, X)
    with pytest.raises(DataError) as caught:
        collapse(net, params, X)
    message = str(caught.value)
    assert message.startswith(f"collapse: the net must be affine, got {where} which departs")
    assert "Fix: collapse the layers before and after it" in message


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_in_16_bits_a_bend_is_seen_too(dtype):
    """The check is made in float32; the layer that is returned is of the net's dtype."""
    x = X.astype(dtype)
    curved = serial(linear(8), jax.nn.relu, linear(3))
    with pytest.raises(DataError, match="got relu_0 which departs"):
        collapse(curved, curved.init(KEY, x)[0], x)
    net = serial(linear(8), linear(3))
    params, _ = net.init(KEY, x)
    layer, collapsed = collapse(net, params, x)
    assert collapsed["kernel"].dtype == dtype
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (params, collapsed))
    chex.assert_trees_all_close(layer(wide[1], X), net(wide[0], X), rtol=0.05, atol=0.05)


def test_what_maps_no_vectors_does_not_collapse():
    with pytest.raises(ShapeError, match=r"collapse: the net must map a vector to a vector, got \(5,\) -> \(\)"):
        collapse(jnp.sum, {}, X)
    layer, collapsed = collapse(lambda x: 2 * x, {}, X)
    with pytest.raises(ShapeError, match=r"affine: the last axis of the input must be 5"):
        layer(collapsed, X[:, :4])
