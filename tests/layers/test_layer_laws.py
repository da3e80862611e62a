"""Laws that every layer obeys: one row, every law."""

import re
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_pure_and_compilable

import fnnet as fn
from fnnet import layers
from fnnet.errors import DtypeError, PathError, ShapeError
from fnnet.initializers import normal

pytestmark = pytest.mark.types


class Case(NamedTuple):
    layer: Any
    space: tuple[int, ...]  # the trailing axes of one example
    takes_indices: bool = False
    any_dtype: bool = False  # only moves elements


LAYERS = {
    "attention": Case(layers.attention(2), (3, 4)),
    "avg_pool": Case(layers.avg_pool(2), (4, 4, 2)),
    "batch_norm": Case(layers.batch_norm(), (4,)),
    "bidirectional": Case(fn.compose.bidirectional(layers.gru(2)), (3, 4)),
    "channel_dropout": Case(layers.channel_dropout(0.5), (2, 2, 4)),
    "conv": Case(layers.conv(3, (3,), activation=jax.nn.relu), (5, 2)),
    "conv_transpose": Case(layers.conv_transpose(3, (2, 2), stride=2), (3, 3, 2)),
    "dense": Case(layers.dense(3, activation=jnp.tanh), (4,)),
    "drop_path": Case(layers.drop_path(0.5), (2, 2, 4)),
    "dropout": Case(layers.dropout(0.5), (4,)),
    "embedding": Case(layers.embedding(5, 3), (2,), takes_indices=True),
    "flatten": Case(layers.flatten(), (2, 2, 4), any_dtype=True),
    "global_pool": Case(layers.global_pool("max"), (4, 4, 2)),
    "group_norm": Case(layers.group_norm(2), (2, 2, 4)),
    "gru": Case(layers.gru(2), (3, 4)),
    "instance_norm": Case(layers.instance_norm(), (2, 2, 4)),
    "last_step": Case(layers.last_step(), (3, 4)),
    "layer_norm": Case(layers.layer_norm(), (4,)),
    "learned_positions": Case(layers.learned_positions(3), (3, 4)),
    "lstm": Case(layers.lstm(2), (3, 4)),
    "max_pool": Case(layers.max_pool(2), (4, 4, 2)),
    "mean_step": Case(layers.mean_step(), (3, 4)),
    "prelu": Case(layers.prelu(), (4,)),
    "scale": Case(layers.scale(scale_init=normal(1.0)), (4,)),
    "class_token": Case(layers.class_token(), (3, 4)),
    "reshape": Case(layers.reshape((2, 2)), (4,), any_dtype=True),
    "rms_norm": Case(layers.rms_norm(), (4,)),
    "rnn": Case(layers.rnn(2), (3, 4)),
    "sinusoidal_positions": Case(layers.sinusoidal_positions(), (3, 4)),
}
NOT_LAYERS = {"rotary"}
BATCHES = ((), (2,), (3, 2))

rows = pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)


def example(case, batch=(2,), dtype=np.float32):
    """Distinct values, so that nothing sits on a tie or a kink."""
    shape = (*batch, *case.space)
    if case.takes_indices:
        return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(np.int32) % 5
    return jnp.asarray(np.random.default_rng(0).permutation(np.prod(shape, dtype=int)).reshape(shape) / 7 - 1.03, dtype)


def test_every_layer_has_a_row():
    assert set(LAYERS) - {"bidirectional"} == set(layers.__all__) - NOT_LAYERS
    assert layers.__all__ == sorted(layers.__all__)


@rows
def test_leading_axes_are_batch(case, key):
    """One example, a batch, a batch of batches: apply(stack(xs)) = stack(apply(x) for x in xs)."""
    x = example(case, BATCHES[-1])
    params, state = case.layer.init(key, x)
    apply = jax.jit(case.layer.__call__)
    whole = apply(params, x, state)
    one_by_one = jax.vmap(jax.vmap(lambda x: case.layer(params, x, state)))(x)
    chex.assert_trees_all_close(whole, one_by_one, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(apply(params, x[0], state), whole[0], rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal_shapes(case.layer.init(key, x[0, 0]), (params, state))


@rows
def test_an_empty_batch_gives_an_empty_output(case, key):
    """Zero examples have the output of two, cut to none."""
    x = example(case)
    params, state = case.layer.init(key, x)
    y = case.layer(params, x[:0], state)
    assert y.shape == (0, *jax.eval_shape(case.layer.__call__, params, x, state).shape[1:])


@rows
def test_init_needs_shapes_alone_and_apply_keeps_the_tree(case, key):
    """From a ShapeDtypeStruct the same parameters are drawn; training's state has inference's structure and dtypes."""
    x = example(case)
    params, state = case.layer.init(key, x)
    chex.assert_trees_all_equal(case.layer.init(key, jax.ShapeDtypeStruct(x.shape, x.dtype)), (params, state))
    results = {}
    for train in (False, True):
        results[train] = jax.eval_shape(
            lambda p, s, x, t=train: case.layer.apply(p, s, x, key=key, train=t), params, state, x
        )
        chex.assert_trees_all_equal_shapes_and_dtypes(results[train][1], state)
    chex.assert_trees_all_equal_shapes_and_dtypes(results[False][0], results[True][0])
    assert isinstance(case.layer.name, str)


@rows
def test_training_is_a_pure_function_of_its_arguments(case, key):
    """The same key gives the same output, compiled or not; inference ignores the key."""
    x = example(case)
    params, state = case.layer.init(key, x)

    def train(key):
        return case.layer.apply(params, state, x, key=key, train=True)

    chex.assert_trees_all_close(jax.jit(train)(key), train(key), rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal(case.layer.apply(params, state, x, key=key)[0], case.layer.apply(params, state, x)[0])


@pytest.mark.row("feedforward")
@pytest.mark.lowest
@rows
@pytest.mark.parametrize("train", [False, True])
def test_it_is_pure_and_compiles(case, train, key):
    """The same twice, arguments untouched, jit as eager, one trace for all values, shapes as foretold."""
    x = example(case)
    params, state = case.layer.init(key, x)

    def apply(params, state, x):
        return case.layer.apply(params, state, x, key=key, train=train)

    assert_pure_and_compilable(apply, params, state, x)


@pytest.mark.row("backpropagation")
@rows
def test_gradients_are_those_of_finite_differences(case, x64, key):
    """In float64, along one random direction of parameters and input, in training."""
    x = example(case, dtype=jnp.float64)
    params, state = case.layer.init(key, x)
    params = jax.tree.map(lambda p: p.astype(jnp.float64), params)
    at = (params, None if case.takes_indices else x)
    leaves, treedef = jax.tree.flatten(at)
    if not leaves:
        return
    direction = treedef.unflatten(
        [jax.random.normal(jax.random.fold_in(key, i), v.shape) for i, v in enumerate(leaves)]
    )

    @jax.jit
    def loss(size):
        p, v = jax.tree.map(lambda a, d: a + size * d, at, direction)
        y, _ = case.layer.apply(p, state, x if v is None else v, key=key, train=True)
        return sum((leaf * jnp.cos(jnp.arange(leaf.size).reshape(leaf.shape))).sum() for leaf in jax.tree.leaves(y))

    h = 1e-6
    slope = jax.grad(loss)(0.0)
    np.testing.assert_allclose(slope, (loss(h) - loss(-h)) / (2 * h), rtol=1e-5, atol=1e-7)
    assert abs(slope) > 1e-6


DRAWN = {
    "dense": (layers.dense(3, kernel_init=normal(1.0), bias_init=normal(1.0)), (4,)),
    "conv": (layers.conv(3, (3,), kernel_init=normal(1.0), bias_init=normal(1.0)), (5, 3)),
    "attention": (layers.attention(2, kernel_init=normal(1.0), bias_init=normal(1.0)), (3, 4)),
    "layer_norm": (layers.layer_norm(scale_init=normal(1.0), bias_init=normal(1.0)), (4,)),
    "gru": (layers.gru(2, kernel_init=normal(1.0), recurrent_init=normal(1.0), bias_init=normal(1.0)), (3, 4)),
}


@pytest.mark.parametrize(("layer", "space"), DRAWN.values(), ids=DRAWN)
def test_no_number_is_drawn_twice(layer, space, key):
    """Each parameter has a key of its own: drawn from one distribution, all the numbers of a layer are distinct."""
    numbers = np.concatenate([np.ravel(p) for p in jax.tree.leaves(layer.init(key, jnp.ones(space))[0])])
    assert len(np.unique(numbers)) == len(numbers)


@rows
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_output_has_the_dtype_of_the_input(case, dtype, key):
    if case.takes_indices:
        return
    x = example(case, dtype=dtype)
    params, state = jax.eval_shape(case.layer.init, key, x)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(params))
    y = jax.eval_shape(lambda p, s, x: case.layer.apply(p, s, x, key=key, train=True)[0], params, state, x)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(y))


@pytest.mark.untyped  # the annotations say jax.Array
@rows
def test_numpy_doubles_are_taken_as_jax_takes_them(case, key):
    """float64 from NumPy, where JAX has none: the numbers of the same example in float32, without a warning."""
    if case.takes_indices:
        return
    x = np.asarray(example(case), np.float64)
    params, state = case.layer.init(key, x)
    expected = case.layer.init(key, example(case))
    chex.assert_trees_all_equal((params, state), expected)
    for train in (False, True):
        doubles = case.layer.apply(params, state, x, key=key, train=train)
        singles = case.layer.apply(params, state, example(case), key=key, train=train)
        chex.assert_trees_all_close(doubles, singles, rtol=1e-5, atol=1e-6)
        chex.assert_trees_all_equal_dtypes(*(jax.tree.map(jnp.asarray, tree) for tree in (doubles, singles)))


@rows
def test_an_absent_parameter_is_named(case, key):
    """Every entry that init made is needed: without it an error names the layer, the entry and what is there."""
    x = example(case)
    params, state = case.layer.init(key, x)
    for path in fn.tree.flatten(params):
        *parents, last = path.split("/")
        fewer = jax.tree.map(lambda leaf: leaf, params)
        node = fewer
        for parent in parents:
            node = node[parent]
        del node[last]
        with pytest.raises(PathError, match=rf"the parameters must have the entry '{last}', got "):
            case.layer(fewer, x, state)


@rows
def test_bad_inputs_are_named(case, key):
    """A number of features that init did not see, and a wrong dtype, are errors that bear the layer's name."""
    x = example(case)
    params, state = case.layer.init(key, x)
    name = "forward (gru)" if case.layer.name == "bidirectional" else case.layer.name
    if params and not case.takes_indices:
        with pytest.raises(ShapeError, match=f"^{re.escape(name)}: the last axis of the input must be"):
            case.layer(params, x[..., :-1], state)
    if not case.any_dtype:
        wrong, problem = example(case, dtype=np.int32), "floating-point, got int32"
        if case.takes_indices:
            wrong, problem = jnp.ones(x.shape), "an array of integers, got float32"
        with pytest.raises(DtypeError, match=f"the input must be {problem}"):
            case.layer(params, wrong, state)
        if params:
            with pytest.raises(DtypeError, match=f"the input must be {problem}"):
                case.layer.init(key, wrong)
