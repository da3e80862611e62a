"""An error says where, by the path through the compositions, what was got and expected, and the fix."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import fnnet as fn
from fnnet import errors, shapes
from fnnet.errors import DtypeError, ExtraMissingError, FnnetError, KeyMissingError, ShapeError, inside, needs_extra


def test_the_path_of_a_layer_is_named():
    net = fn.serial(body=fn.serial(fn.dense(4), fn.dense(3)), head=fn.dense(2))
    params, _ = net.init(jax.random.key(0), jnp.ones((1, 5)))
    params["body"]["dense_1"]["kernel"] = jnp.ones((7, 3))
    with pytest.raises(ShapeError) as caught:
        net(params, jnp.ones((2, 5)))
    first, second = str(caught.value).splitlines()
    assert first == "body/dense_1: the last axis of the input must be 7 (as at init), got shape (2, 4)"
    assert second.startswith("  Fix: pass arrays of shape (..., 7)")


def test_a_layer_named_by_hand_says_its_kind():
    net = fn.serial(head=fn.dense(2))
    with pytest.raises(DtypeError, match=r"^head \(dense\): the input must be floating-point, got int32"):
        net.init(jax.random.key(0), jnp.ones((1, 5), jnp.int32))


def test_errors_are_of_the_built_in_kind_too():
    """Whoever catches the built-in class catches ours."""
    for ours, builtin in (
        (fn.errors.ShapeError, ValueError),
        (fn.errors.DataError, ValueError),
        (fn.errors.ReadError, ValueError),
        (fn.errors.DamageError, fn.errors.ReadError),
        (fn.errors.WriteError, OSError),
        (fn.errors.DtypeError, TypeError),
        (fn.errors.KeyMissingError, TypeError),
        (fn.errors.PathError, LookupError),
    ):
        assert issubclass(ours, builtin)
        assert issubclass(ours, FnnetError)


def test_inside_leaves_other_errors_alone():
    with pytest.raises(ZeroDivisionError), inside("dense_0"):
        raise ZeroDivisionError


def test_a_missing_extra_is_named():
    words = r"(?s)curves: needs the module 'no_such'.*fnnet\[plot\]"
    with pytest.raises(ExtraMissingError, match=words), needs_extra("curves", "plot"):
        import no_such  # noqa: F401


def test_a_missing_extra_is_named_before_it_is_needed():
    errors.check_extra("train", "all", "json", "math")
    with pytest.raises(ExtraMissingError, match=r"(?s)train: needs the module 'no_such'.*fnnet\[all\]"):
        errors.check_extra("train", "all", "json", "no_such")


def test_checks():
    with pytest.raises(ShapeError, match=r"conv: the input must have shape \(\.\.\., H, W, C\), got \(3,\)"):
        shapes.check_rank("conv", jnp.ones(3), 3, "(..., H, W, C)")
    with pytest.raises(KeyMissingError, match=r"(?s)dropout: needs a random key when train=True.*key=jax\.random\.key"):
        shapes.check_key("dropout", None)
    with pytest.raises(DtypeError, match="must be an array, got list"):
        shapes.check_floating("dense", [1.0])
    with pytest.raises(ShapeError, match=r"must be 3 .*got shape \(\)"):
        shapes.check_last_axis("dense", jnp.ones(()), 3)
    assert shapes.check_key("dropout", jax.random.key(0)) is not None


@pytest.mark.parametrize(
    ("shape", "axis", "aligned"), [((3,), -1, (1, 1, 3)), ((2,), 0, (2, 1, 1)), ((5,), 1, (1, 5, 1))]
)
def test_align(shape, axis, aligned):
    assert shapes.align(jnp.ones(shape), jnp.ones((2, 5, 3)), axis=axis).shape == aligned
