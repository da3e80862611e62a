"""To a layout and back every bit comes back; what has no place on one side is listed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import layouts
from fnnet.errors import DataError, DtypeError, PathError, ShapeError

pytestmark = pytest.mark.types


class Row:
    def __init__(self, net, shape, dtype=jnp.float32, without=(), **options):
        self.net, self.without, self.options = net, without, options
        self.x = jax.ShapeDtypeStruct(shape, dtype)

    def like(self):
        return jax.eval_shape(self.net.init, jax.random.key(0), self.x)


NETS = {
    "mlp": Row(fn.serial(fn.dense(4), jax.nn.relu, fn.dense(3, bias_init=None)), (2, 5)),
    "cnn": Row(
        fn.serial(fn.conv(4, 3), fn.batch_norm(), fn.flatten(), fn.dense(3)),
        (2, 3, 2, 2),
        flattened={"dense_0": (4, 3, 2)},
    ),
    "convolutions": Row(
        fn.serial(fn.conv(6, (3,), groups=2), fn.conv_transpose(4, (3,)), fn.group_norm(2, dims=1)), (2, 5, 4)
    ),
    "grouped": Row(
        fn.serial(fn.conv_transpose(6, 3, groups=2)), (2, 5, 5, 4), without=("keras",), groups={"conv_transpose_0": 2}
    ),
    "depthwise": Row(
        fn.serial(fn.conv(6, 3, groups=3)),
        (2, 5, 5, 3),
        without=("torch", "linen", "nnx"),
        kinds={"conv_0": "depthwise_conv"},
        groups=3,
    ),
    "norms": Row(fn.serial(fn.layer_norm(), fn.rms_norm(), fn.batch_norm(scale_init=None)), (2, 4)),
    "prelu": Row(fn.serial(fn.layers.prelu(shared=True), fn.dense(3), fn.layers.prelu()), (2, 4), without=("linen",)),
    "embedding": Row(fn.serial(fn.embedding(7, 4), fn.lstm(3)), (2, 5), jnp.int32),
    "recurrent": Row(fn.serial(fn.rnn(3), fn.bidirectional(fn.lstm(2))), (2, 5, 4)),
    "gru": Row(fn.serial(fn.gru(3)), (2, 5, 4), without=("nnx",)),
    "no biases": Row(fn.serial(fn.gru(3, bias_init=None), fn.lstm(2, bias_init=None)), (2, 5, 4)),
    "attention": Row(fn.residual(fn.attention(2)), (2, 5, 4), heads={"body": 2}),
    "by hand": Row(
        fn.serial(stem=fn.conv(3, 2), up=fn.conv_transpose(2, 2)), (4, 4, 1), kinds={"up": "conv_transpose"}
    ),
}
LAYOUTS = {"torch": layouts.torch, "linen": layouts.linen, "nnx": layouts.nnx, "keras": layouts.keras}
TAKES = {"torch": {"flattened", "groups", "kinds"}, "linen": {"heads", "kinds"}, "nnx": {"heads", "kinds"}}
TAKES["keras"] = {"heads", "groups", "kinds"}


def made(library, row, names=None):
    return LAYOUTS[library](names, **{name: v for name, v in row.options.items() if name in TAKES[library]})


def any_bits(shapes):
    """Return arrays of random bits: NaN of every payload, infinities, subnormals and -0 among them."""
    rng = np.random.default_rng(0)

    def bits(leaf):
        values = rng.integers(0, 256, (*leaf.shape, 4), np.uint8).view(np.float32)[..., 0]
        return jnp.asarray(np.where(rng.random(leaf.shape) < 0.2, np.float32(-0.0), values).astype(np.float32))

    return jax.tree.map(bits, shapes)


CASES = [(name, library) for name, row in NETS.items() for library in LAYOUTS if library not in row.without]


@pytest.mark.parametrize(("name", "library"), CASES)
def test_every_bit_comes_back(name, library):
    """from(to(params, state)) = (params, state), by our own names, given names, and with shapes alone as `like`."""
    row = NETS[name]
    params, state = any_bits(row.like())
    names = {path: f"net_{n}" for n, path in enumerate([*params, *(s for s in state if s not in params)])}
    for layout in (made(library, row), made(library, row, names)):
        flat = layouts.to_layout(params, state, layout)
        assert all(isinstance(array, np.ndarray) and array.flags.c_contiguous for array in flat.values())
        back = layouts.from_layout(flat, layout, like=row.like())
        assert jax.tree.structure(back) == jax.tree.structure((params, state))
        for one, other in zip(jax.tree.leaves(back), jax.tree.leaves((params, state)), strict=True):
            assert isinstance(one, jax.Array)
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_the_image_before_flatten_is_taken_channels_first():
    """Row (h, w, c) of our kernel is column (c, h, w) of theirs."""
    kernel = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2 * 3 * 4, 5)
    layout = layouts.torch({"": "head"}, flattened={"": (4, 2, 3)})
    weight = layouts.to_layout({"kernel": kernel}, {}, layout)["head.weight"].reshape(5, 4, 2, 3)
    ours = kernel.reshape(2, 3, 4, 5)
    for c, h, w in np.ndindex(4, 2, 3):
        np.testing.assert_array_equal(weight[:, c, h, w], ours[h, w, c])


@pytest.mark.parametrize("library", LAYOUTS)
def test_copies_have_a_name_each(library):
    """A repeated layer is to(serial of n layers), and from stacks them again."""
    block = fn.serial(fn.dense(4), fn.batch_norm())
    net = fn.repeat(block, 3)
    x = jnp.ones((2, 4))
    params, state = net.init(jax.random.key(0), x)
    names = {path: [f"blocks.{n}.{path}" for n in range(3)] for path in ("dense_0", "batch_norm_0")}
    flat = layouts.to_layout(params, state, LAYOUTS[library](names))
    for n in range(3):
        p, s = jax.tree.map(lambda leaf, n=n: leaf[n], (params, state))
        single = LAYOUTS[library]({path: f"blocks.{n}.{path}" for path in names})
        for name, array in layouts.to_layout(p, s, single).items():
            np.testing.assert_array_equal(flat.pop(name), array)
    assert not flat
    flat = layouts.to_layout(params, state, LAYOUTS[library](names))
    back = layouts.from_layout(flat, LAYOUTS[library](names), like=(params, state))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, back, (params, state)))


def test_a_parent_names_all_below():
    net = fn.serial(body=fn.serial(fn.dense(2), fn.dense(2)), head=fn.dense(1))
    params, state = net.init(jax.random.key(0), jnp.ones((1, 3)))
    names = {"body": "backbone", "body/dense_1": "last", "head": "fc"}
    flat = layouts.to_layout(params, state, layouts.torch(names))
    assert {name.rpartition(".")[0] for name in flat} == {"backbone.dense_0", "last", "fc"}


def test_the_two_biases_of_torch_are_added():
    net = fn.lstm(2)
    params, state = net.init(jax.random.key(0), jnp.ones((1, 3, 2)))
    flat = layouts.to_layout(params, state, layouts.torch({"": "rnn.l0"}))
    assert set(flat) == {f"rnn.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    assert not flat["rnn.bias_hh_l0"].any()
    flat["rnn.bias_hh_l0"] = np.arange(8, dtype=np.float32)
    back, _ = layouts.from_layout(flat, layouts.torch({"": "rnn.l0"}), like=(params, state))
    np.testing.assert_array_equal(back["bias"], params["bias"] + jnp.arange(8.0))


def test_a_kind_of_ones_own():
    """A layer that the table does not know travels by a rule that is given."""
    layout = layouts.torch({"scale_0": "gain"})
    layout = layout._replace(kinds={**layout.kinds, "scale": (layouts.move("factor", "value", lambda rank: (1, 0)),)})
    params = {"scale_0": {"factor": jnp.arange(6.0).reshape(2, 3)}}
    flat = layouts.to_layout(params, {}, layout)
    np.testing.assert_array_equal(flat["gain.value"], np.arange(6).reshape(2, 3).T)
    np.testing.assert_array_equal(
        layouts.from_layout(flat, layout, like=(params, {}))[0]["scale_0"]["factor"], [[0, 1, 2], [3, 4, 5]]
    )


def test_what_holds_no_weights_is_left_out():
    net = fn.batch_norm()
    params, state = net.init(jax.random.key(0), jnp.ones((2, 3)))
    flat = layouts.to_layout(params, state, layouts.torch({"": ""})) | {"num_batches_tracked": np.array(7)}
    back = layouts.from_layout(flat, layouts.torch({"": ""}), like=(params, state))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, back, (params, state)))


def test_narrower_numbers_are_widened_and_wider_ones_refused():
    params = {"dense_0": {"kernel": jnp.ones((2, 3), jnp.bfloat16)}}
    flat = layouts.to_layout(params, {}, layouts.torch())
    assert flat["dense_0.weight"].dtype == jnp.bfloat16
    wide, _ = layouts.from_layout(
        flat, layouts.torch(), like=(jax.tree.map(lambda a: a.astype(jnp.float32), params), {})
    )
    assert wide["dense_0"]["kernel"].dtype == jnp.float32
    flat = {name: array.astype(np.float64) for name, array in flat.items()}
    with pytest.raises(DtypeError, match="'dense_0/kernel' would be rounded: theirs is float64, ours bfloat16"):
        layouts.from_layout(flat, layouts.torch(), like=(params, {}))


MLP = {
    "dense_0": {"kernel": np.ones((4, 3), np.float32), "bias": np.ones(3, np.float32)},
    "dense_1": {"kernel": np.ones((3, 2), np.float32)},
}
FLAT = {
    "a.weight": np.ones((3, 4), np.float32),
    "a.bias": np.ones(3, np.float32),
    "b.weight": np.ones((2, 3), np.float32),
}
NAMES = {"dense_0": "a", "dense_1": "b"}
GIVEN = layouts.torch(NAMES)
WRONG = {
    "missing": ({"a.weight": 0}, GIVEN, PathError, r"missing 'a.weight' \(for 'dense_0/kernel'\)$"),
    "unexpected": ({"c.weight": np.ones(2)}, GIVEN, PathError, r"unexpected 'c.weight' \(2,\)$"),
    "renamed": (
        {"b.weight": 0, "b.kernel": np.ones((2, 3))},
        GIVEN,
        PathError,
        r"missing 'b.weight' .*; unexpected 'b.kernel'",
    ),
    "reshaped": (
        {"a.weight": np.ones((3, 5), np.float32)},
        GIVEN,
        ShapeError,
        r"'a.weight' \(3, 5\) gives \(5, 3\) for 'dense_0/kernel', expected \(4, 3\)$",
    ),
    "not named": ({}, layouts.torch({"dense_0": "a"}), PathError, "names must have dense_1, or a parent, got dense_0"),
    "no such layer": ({}, layouts.torch(NAMES | {"dense_2": "c"}), PathError, "the network has no layer 'dense_2'"),
    "option of no layer": ({}, layouts.torch(NAMES, flattened={"dense": (1, 2, 2)}), PathError, "no layer 'dense'"),
    "another image": (
        {},
        layouts.torch(NAMES, flattened={"dense_0": (1, 2, 3)}),
        ShapeError,
        r"must have as many rows as the image has values, got 4 and flattened=\(1, 2, 3\), of 6 values",
    ),
    "not an array": ({"a.weight": {"nested": 1}}, GIVEN, DataError, "'a.weight' must be an array, got dict"),
    "ragged": ({"a.weight": [[1], [1, 2]]}, GIVEN, DataError, "'a.weight' cannot be made an array"),
}


@pytest.mark.parametrize(("change", "layout", "kind", "said"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_listed(change, layout, kind, said):
    flat = {name: a for name, a in (FLAT | change).items() if not (isinstance(a, int) and a == 0)}
    with pytest.raises(kind) as raised:
        layouts.from_layout(flat, layout, like=(MLP, {}))
    assert raised.match(said if not said.endswith("$") else said[:-1])
    assert "Fix: " in str(raised.value)


def test_all_that_is_wrong_is_said_at_once():
    flat = {"a.weight": np.ones((4, 3), np.float32), "a.bias": np.ones(3, np.float32), "c.weight": np.ones(1)}
    with pytest.raises(PathError) as raised:
        layouts.from_layout(flat, GIVEN, like=(MLP, {}))
    for said in (
        "missing 'b.weight'",
        "unexpected 'c.weight' (1,)",
        "'a.weight' (4, 3) gives (3, 4) for 'dense_0/kernel'",
    ):
        assert said in str(raised.value)


OURS_WRONG = {
    "unknown kind": (
        {"fourier_0": {"phase": np.ones(2)}},
        layouts.torch(),
        PathError,
        "no rule for phase of 'fourier_0'",
    ),
    "unknown entry": (
        {"dense_0": {"kernel": np.ones((2, 2)), "mask": np.ones(2)}},
        layouts.torch(),
        PathError,
        "no rule for mask of 'dense_0', taken for dense",
    ),
    "half a layer": (
        {"gru_0": {"reset_bias": np.ones(2)}},
        layouts.torch(),
        PathError,
        "a layer without bias of 'gru_0'",
    ),
    "two of one name": (
        MLP,
        layouts.torch({"dense_0": "a", "dense_1": "a"}),
        DataError,
        "'a.weight' is the name of two",
    ),
    "heads": (
        {"attention_0": {p: {"kernel": np.ones((4, 4))} for p in ("query", "key", "value", "out")}},
        layouts.linen(),
        DataError,
        r"attention_0 \(query/kernel\): the number of heads is not in the arrays",
    ),
    "groups": (
        {"conv_transpose_0": {"kernel": np.ones((2, 2, 4))}},
        layouts.torch(groups=3),
        ShapeError,
        r"conv_transpose_0 \(kernel\): groups=3 must divide the features, 4",
    ),
    "reset bias": (
        {
            "gru_0": {
                "kernel": np.ones((2, 6)),
                "recurrent": np.ones((2, 6)),
                "bias": np.ones(6),
                "reset_bias": np.ones(2),
            }
        },
        layouts.nnx(),
        DataError,
        "must be zero: an nnx.GRUCell has none",
    ),
    "copies": (
        {"repeat_0": {"kernel": np.ones((5, 2, 2)), "bias": np.ones((5, 2))}},
        layouts.torch(),
        ShapeError,
        r"'repeat_0/bias' has shape \(5, 2\), of copies or of another layer",
    ),
    "number of copies": (
        {"repeat_0": {"kernel": np.ones((5, 2, 2))}},
        layouts.torch({"repeat_0": ["a", "b"]}),
        PathError,
        "'repeat_0' has 5 copies, got 2 names: a, b",
    ),
}


@pytest.mark.parametrize(("params", "layout", "kind", "said"), OURS_WRONG.values(), ids=OURS_WRONG)
def test_what_a_layout_cannot_hold_is_named(params, layout, kind, said):
    with pytest.raises(kind, match=said):
        layouts.to_layout(params, {}, layout)


@pytest.mark.untyped
def test_like_is_a_pair():
    with pytest.raises(DataError, match=r"like must be \(params, state\), got dict"):
        layouts.from_layout(FLAT, GIVEN, like=MLP)


def test_arrays_and_paths_are_of_one_network():
    flat = {"params/a/kernel": np.ones((2, 3), np.float32), "a/kernel": np.ones((2, 3), np.float32)}
    with pytest.raises(DataError, match="'a/kernel' is there twice"):
        layouts.from_layout(flat, layouts.linen(), like=({"dense_0": {"kernel": np.ones((2, 3), np.float32)}}, {}))
    twice = {"batch_norm_0": {"mean": np.ones(3)}}
    with pytest.raises(DataError, match="parameters and state have a path in common"):
        layouts.to_layout(twice, twice, layouts.torch())


def test_what_cannot_be_split_is_said():
    params = {part: {"kernel": np.ones((4, 4), np.float32)} for part in ("query", "key", "value", "out")}
    flat = layouts.to_layout(params, {}, layouts.torch({"": "attn"}))
    flat["attn.in_proj_weight"] = np.ones((11, 4), np.float32)
    with pytest.raises(ShapeError, match=r"'attn.in_proj_weight' \(11, 4\) for '' cannot be split or joined"):
        layouts.from_layout(flat, layouts.torch({"": "attn"}), like=(params, {}))


def test_a_gru_without_a_reset_bias_travels_to_nnx():
    net = fn.gru(3)
    params, state = net.init(jax.random.key(0), jnp.ones((1, 2, 4)))  # whose biases are zero
    params = params | {"bias": jnp.arange(9.0)}
    flat = layouts.to_layout(params, state, layouts.nnx({"": "cell"}))
    assert set(flat) == {"cell/dense_i/kernel", "cell/dense_i/bias", "cell/dense_h/kernel"}
    back, _ = layouts.from_layout(flat, layouts.nnx({"": "cell"}), like=(params, state))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, back, params))
