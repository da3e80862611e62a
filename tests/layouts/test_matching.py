"""Names are found where kinds, shapes and numbers leave one way; where they leave two, nothing is guessed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import layouts
from fnnet.errors import PathError

pytestmark = pytest.mark.types


def dense(n, m, seed=0):
    rng = np.random.default_rng([n, m, seed])
    return {"kernel": rng.normal(size=(n, m)).astype(np.float32), "bias": rng.normal(size=m).astype(np.float32)}


def equal(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: bool(jnp.array_equal(x, y)), a, b))


def test_layers_alike_are_taken_by_number_whatever_the_order():
    """Twelve layers of one shape: files are sorted by text, trees too, and dense_10 is still after dense_9."""
    params = {f"dense_{n}": dense(4, 4, n) for n in range(12)}
    flat = layouts.to_layout(params, {}, layouts.torch({f"dense_{n}": str(2 * n) for n in range(12)}))
    for order in (sorted(flat), sorted(flat, reverse=True), list(flat)):
        shuffled = {name: flat[name] for name in order}
        back, _ = layouts.from_layout(shuffled, layouts.torch(), like=(jax.tree.map(jnp.asarray, params), {}))
        assert equal(back, params)


def test_numbers_of_blocks_come_before_those_within():
    params = {
        f"residual_{n}": {
            "body": {f"conv_{m}": {"kernel": np.full((3, 3, 2, 2), 10 * n + m, np.float32)} for m in range(2)}
        }
        for n in range(2)
    }
    flat = {
        f"layer{n + 1}.conv{m + 1}.weight": np.full((2, 2, 3, 3), 10 * n + m, np.float32)
        for n in range(2)
        for m in range(2)
    }
    assert equal(layouts.from_layout(flat, layouts.torch(), like=(params, {}))[0], params)


def test_the_first_of_keras_has_no_number():
    params = {f"dense_{n}": dense(3, 3, n) for n in range(3)}
    for first in (0, 4):  # the numbers of a model that is not the first of its process begin where the last ended
        names = {f"dense_{n}": "net/dense" + (f"_{n + first}" if n + first else "") for n in range(3)}
        flat = layouts.to_layout(params, {}, layouts.keras(names))
        assert equal(layouts.from_layout(flat, layouts.keras(), like=(params, {}))[0], params)


def test_our_own_names_are_found():
    params = {"stem": dense(3, 3), "body": dense(3, 3, 1)}
    for layout in (layouts.torch, layouts.linen, layouts.nnx, layouts.keras):
        assert equal(
            layouts.from_layout(layouts.to_layout(params, {}, layout()), layout(), like=(params, {}))[0], params
        )


def test_a_layer_that_holds_more_is_another():
    """A norm of layers is not taken for the batch norm beside it, though it has arrays of the same names and shapes."""
    net = fn.serial(fn.layer_norm(), fn.batch_norm())
    like = net.init(jax.random.key(0), jnp.ones((2, 3)))
    layout = layouts.torch({"layer_norm_0": "b", "batch_norm_0": "a"})
    params, state = jax.tree.map(lambda leaf: leaf + 2, like)
    back = layouts.from_layout(layouts.to_layout(params, state, layout), layouts.torch(), like=like)
    assert equal(back, (params, state))


def flat_of(**layers):
    return {f"{name}.weight": np.ones(shape, np.float32) for name, shape in layers.items()}


UNCLEAR = {
    "two named by hand": (
        {"stem": {"kernel": np.ones((3, 3))}, "body": {"kernel": np.ones((3, 3))}},
        flat_of(fc1=(3, 3), fc2=(3, 3)),
        r"fc1, fc2 could be body, stem \(dense: kernel \(3, 3\)\)",
    ),
    "two of theirs": (
        {"dense_0": {"kernel": np.ones((3, 3))}, "dense_1": {"kernel": np.ones((3, 3))}},
        flat_of(first=(3, 3), last=(3, 3)),
        "first, last could be dense_0, dense_1",
    ),
    "an embedding or a dense layer": (
        {"embedding_0": {"table": np.ones((4, 3))}, "dense_0": {"kernel": np.ones((3, 4))}},
        flat_of(a=(4, 3), b=(4, 3)),
        "a, b could be embedding_0 ",
    ),
    "too few": (
        {"dense_0": {"kernel": np.ones((3, 3))}, "dense_1": {"kernel": np.ones((3, 3))}},
        flat_of(a=(3, 3)),
        r"a could be dense_0, dense_1",
    ),
    "none": (
        {"dense_0": {"kernel": np.ones((3, 2))}},
        flat_of(a=(3, 3)),
        r"nothing in theirs fits dense_0 \(dense: kernel \(3, 2\)\). Left in theirs: a.weight \(3, 3\)",
    ),
}


@pytest.mark.parametrize(("params", "flat", "said"), UNCLEAR.values(), ids=UNCLEAR)
def test_nothing_is_guessed(params, flat, said):
    params = jax.tree.map(lambda a: a.astype(np.float32), params)
    with pytest.raises(PathError, match=said) as raised:
        layouts.from_layout(flat, layouts.torch(), like=(params, {}))
    assert "Fix: say which is which, layouts.torch({" in str(raised.value)


def test_what_is_left_over_is_unexpected():
    params = {"dense_0": {"kernel": np.ones((3, 2), np.float32)}}
    with pytest.raises(PathError, match=r"unexpected 'b.weight' \(5, 3\)"):
        layouts.from_layout(flat_of(a=(2, 3), b=(5, 3)), layouts.torch(), like=(params, {}))
