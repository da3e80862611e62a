"""Laws that every layer obeys: one row, every law."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import layers
from fnnet.core import Masked
from fnnet.errors import DtypeError, PathError, ShapeError
from fnnet.initializers import normal
from fnnet.testing import LayerSubject, Profile, Symmetry, law_table, permuted, rolled, scaled

pytestmark = pytest.mark.types

BATCH = 3
MOVES_ELEMENTS = ("flatten", "reshape")  # of any dtype


def row(layer, space, **facts):
    """Return the subject of a layer whose examples have the axes `space`: of distinct values, with no tie nor kink."""
    shape = (BATCH, *space)
    numbers = np.random.default_rng(0).permutation(np.prod(shape, dtype=int)).reshape(shape)
    return LayerSubject(layer, jnp.asarray(numbers / 7 - 1.03, jnp.float32), **facts)


def masked(layer, space, **facts):
    """Return the same of sequences, of which one has padding at its start, one less, one none."""
    subject = row(layer, space, **facts)
    return subject._replace(x=Masked(subject.x, jnp.asarray(np.arange(space[0]) + np.array([[0], [2], [1]]) > 1)))


def without_state(function):
    """Return the reference of a layer that has no state, and is in training what it is at inference."""
    return lambda params, state, x, train: (function(params, x), state)


def standard(x, axes=-1):
    """Return x less its mean, over its standard deviation."""
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-6)


def affine(params, x):
    return x * params["scale"] + params.get("bias", 0)


added = Symmetry("constant added", lambda rng, x: x + jnp.asarray(rng.normal(), x.dtype))
moved_in_space = (permuted(-2, output=-2), permuted(-3, output=-3))

everything = {"stride": 2, "dilation": 2, "groups": 2, "padding": "CIRCULAR"}

LAYERS = {
    "attention": row(layers.attention(2), (3, 4), symmetries=(permuted(-2, output=-2),)),
    "attention, masked": masked(layers.attention(2, kv_heads=1, causal=True, rotary=10.0), (3, 4)),
    "avg_pool": row(layers.avg_pool(2), (4, 4, 2), lipschitz=0.5, symmetries=(rolled(-2, output=-2, stride=2),)),
    "avg_pool, overlapping": row(layers.avg_pool(3, stride=2, padding="SAME"), (6, 6, 2)),
    "batch_norm": row(layers.batch_norm(), (4,), couples=True),
    "batch_norm, masked": masked(layers.batch_norm(), (3, 2), couples=True),
    "bidirectional": row(fn.compose.bidirectional(layers.gru(2)), (3, 4)),
    "channel_dropout": row(layers.channel_dropout(0.5), (2, 2, 4), unbiased=True, lipschitz=1.0),
    "conv": row(layers.conv(3, (3,), activation=jax.nn.relu), (5, 2)),
    "conv, circular": row(layers.conv(3, (3,), padding="CIRCULAR"), (5, 2), symmetries=(rolled(-2, output=-2),)),
    "conv, all": row(layers.conv(2, (2, 2), **everything), (5, 5, 4)),
    "conv_transpose": row(layers.conv_transpose(3, (2, 2), stride=2), (3, 3, 2)),
    "conv_transpose, all": row(layers.conv_transpose(2, (2, 2), **everything), (5, 5, 4)),
    "dense": row(
        layers.dense(3, activation=jnp.tanh),
        (4,),
        reference=without_state(lambda params, x: np.tanh(x @ params["kernel"] + params["bias"])),
    ),
    "drop_path": row(layers.drop_path(0.5), (2, 2, 4), unbiased=True, lipschitz=1.0),
    "dropout": row(layers.dropout(0.5), (4,), unbiased=True, lipschitz=1.0),
    "embedding": LayerSubject(
        layers.embedding(5, 3),
        jnp.arange(2 * BATCH).reshape(BATCH, 2) % 5,
        symmetries=(permuted(-1, output=-2),),
        reference=without_state(lambda params, x: params["table"][x]),
    ),
    "flatten": row(
        layers.flatten(), (2, 2, 4), lipschitz=1.0, reference=without_state(lambda params, x: x.reshape(len(x), -1))
    ),
    "global_pool": row(
        layers.global_pool("max"),
        (4, 4, 2),
        lipschitz=1.0,
        symmetries=(permuted(-2), permuted(-3), scaled(output=True)),
        reference=without_state(lambda params, x: x.max((-3, -2))),
    ),
    "group_norm": row(layers.group_norm(2), (2, 2, 4), symmetries=(*moved_in_space, added)),
    "gru": row(layers.gru(2), (3, 4)),
    "instance_norm": row(
        layers.instance_norm(),
        (2, 2, 4),
        symmetries=(*moved_in_space, added),
        reference=without_state(lambda params, x: affine(params, standard(x, (-3, -2)))),
    ),
    "last_step": row(layers.last_step(), (3, 4), lipschitz=1.0, reference=without_state(lambda params, x: x[:, -1])),
    "layer_norm": row(
        layers.layer_norm(),
        (4,),
        symmetries=(added,),
        reference=without_state(lambda params, x: affine(params, standard(x))),
    ),
    "learned_positions": row(layers.learned_positions(3), (3, 4), lipschitz=1.0),
    "gru, masked": masked(layers.gru(2), (3, 4)),
    "lstm": row(layers.lstm(2), (3, 4)),
    "lstm, masked": masked(layers.lstm(2), (3, 4)),
    "max_pool": row(
        layers.max_pool(2), (4, 4, 2), lipschitz=1.0, symmetries=(rolled(-2, output=-2, stride=2), scaled(output=True))
    ),
    "max_pool, overlapping": row(layers.max_pool(3, stride=2, padding="SAME"), (6, 6, 2), lipschitz=2.0),
    "max_pool, masked": masked(layers.max_pool(2, dims=1, padding="SAME"), (3, 2)),
    "mean_step": row(
        layers.mean_step(),
        (3, 4),
        lipschitz=1.0,
        symmetries=(permuted(-2),),
        reference=without_state(lambda params, x: x.mean(-2)),
    ),
    "prelu": row(layers.prelu(), (4,), lipschitz=1.0, symmetries=(scaled(output=True),)),
    "scale": row(layers.scale(scale_init=normal(1.0)), (4,), reference=without_state(affine)),
    "class_token": row(layers.class_token(), (3, 4), lipschitz=1.0),
    "reshape": row(
        layers.reshape((2, 2)), (4,), lipschitz=1.0, reference=without_state(lambda params, x: x.reshape(-1, 2, 2))
    ),
    "rms_norm": row(
        layers.rms_norm(),
        (4,),
        reference=without_state(lambda params, x: affine(params, x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6))),
    ),
    "rnn": row(layers.rnn(2), (3, 4)),
    "sinusoidal_positions": row(layers.sinusoidal_positions(), (3, 4), lipschitz=1.0),
}
NOT_LAYERS = {"rotary"}

ARRAYS = {name: case for name, case in LAYERS.items() if not isinstance(case.x, Masked)}
rows = pytest.mark.parametrize("case", ARRAYS.values(), ids=ARRAYS)


def takes_indices(case):
    return jnp.issubdtype(case.x.dtype, jnp.integer)


def test_every_layer_has_a_row():
    assert {name.split(",")[0] for name in LAYERS} - {"bidirectional"} == set(layers.__all__) - NOT_LAYERS
    assert layers.__all__ == sorted(layers.__all__)


@pytest.mark.untyped  # which takes long, and types are asked below
@pytest.mark.row("feedforward", "backpropagation")
@pytest.mark.usefixtures("quickly_compiled")
@law_table(LAYERS)
def test_it_obeys(law):
    law()


@pytest.mark.lowest
@pytest.mark.usefixtures("quickly_compiled")
@law_table(LAYERS, laws=["trees_are_kept", "leading_axes_are_batch", "gradients_are_slopes"], profile=Profile(1, 1))
def test_it_obeys_some_laws_whose_types_are_checked(law):
    """In one case more, and on the lowest JAX too."""
    law()


@pytest.mark.untyped  # the annotations say jax.Array
@rows
def test_numpy_doubles_are_taken_as_jax_takes_them(case, key):
    """float64 from NumPy, where JAX has none: the numbers of the same example in float32, without a warning."""
    if takes_indices(case):
        return
    x = np.asarray(case.x, np.float64)
    params, state = case.layer.init(key, x)
    expected = case.layer.init(key, case.x)
    chex.assert_trees_all_equal((params, state), expected)
    for train in (False, True):
        doubles = case.layer.apply(params, state, x, key=key, train=train)
        singles = case.layer.apply(params, state, case.x, key=key, train=train)
        chex.assert_trees_all_close(doubles, singles, rtol=1e-5, atol=1e-6)
        chex.assert_trees_all_equal_dtypes(*(jax.tree.map(jnp.asarray, tree) for tree in (doubles, singles)))


@rows
def test_an_absent_parameter_is_named(case, key):
    """Every entry that init made is needed: without it an error names the layer, the entry and what is there."""
    x = case.x
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
    x = case.x
    params, state = case.layer.init(key, x)
    name = "forward (gru)" if case.layer.name == "bidirectional" else case.layer.name
    if params and not takes_indices(case):
        with pytest.raises(ShapeError, match=f"^{re.escape(name)}: the last axis of the input must be"):
            case.layer(params, x[..., :-1], state)
    if case.layer.name not in MOVES_ELEMENTS:
        wrong, problem = case.x.astype(np.int32), "floating-point, got int32"
        if takes_indices(case):
            wrong, problem = jnp.ones(x.shape), "an array of integers, got float32"
        with pytest.raises(DtypeError, match=f"the input must be {problem}"):
            case.layer(params, wrong, state)
        if params:
            with pytest.raises(DtypeError, match=f"the input must be {problem}"):
                case.layer.init(key, wrong)
