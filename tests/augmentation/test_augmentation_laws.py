"""The laws of every transform: pure, of the key alone by row, the identity where nothing is drawn, part of a run."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from augmentation_toys import ALL, KEY, MIXING, TRANSFORMS, H, N, W, batch, photographs

import fnnet as fn
from fnnet import augmentation
from fnnet.fingerprints import digest

pytestmark = pytest.mark.types


@pytest.mark.parametrize("name", TRANSFORMS)
def test_nothing_drawn_is_the_identity(name):
    """Law: probability 0, or ranges that are points, change neither images nor any target, to the bit."""
    given = batch(name)
    changed = jax.jit(TRANSFORMS[name][1]())(KEY, given)
    if name == "resized_crop":  # 2 logs and roots are drawn: the window is the image to rounding
        chex.assert_trees_all_close(changed, given, atol=1e-4)
    else:
        chex.assert_trees_all_equal(changed, given)


@pytest.mark.parametrize("name", ALL)
def test_it_is_a_function_of_the_key(name):
    """Compiled it gives the same to rounding, and the same again; another key another; dtypes and shapes are kept."""
    transform, given = ALL[name](), batch(name)
    compiled = jax.jit(transform)
    once = compiled(KEY, given)
    chex.assert_trees_all_equal(compiled(KEY, given), once)
    if name in ("flip", "affine"):
        chex.assert_trees_all_close(transform(KEY, given), once, atol=2e-5)
    assert (compiled(jax.random.key(9), given)[0] != once[0]).any()
    if name not in MIXING:
        chex.assert_trees_all_equal_shapes_and_dtypes(once, given)
        chex.assert_trees_all_equal(once[2], given[2])
        assert (once[1]["label"] == given[1]["label"]).all()
    if name in ("flip", "color", "mixup"):
        low = compiled(KEY, (given[0].astype(jnp.bfloat16), *given[1:]))[0]
        assert low.dtype == jnp.bfloat16
        chex.assert_trees_all_close(low.astype(jnp.float32), once[0], atol=0.02)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_rows_are_independent(name):
    """Law: row i is a function of the key, of i and of its own row: in a smaller batch it is the same."""
    transform = jax.jit(TRANSFORMS[name][0]())
    given = (jnp.broadcast_to(jnp.asarray(photographs()[:1]), (N, H, W, 3)), *batch(name)[1:])
    whole, part = transform(KEY, given), transform(KEY, jax.tree.map(lambda leaf: leaf[:2], given))
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[:2], whole), part, atol=1e-5)
    assert (whole[0][:1] != whole[0][1:]).any()


def test_a_chain_draws_by_place():
    """Each part has a key of its own, the same for a part whatever follows it."""
    first, second = augmentation.rotation(30), augmentation.rotation(30)
    given = batch("rotation")
    both = jax.jit(augmentation.chain(first, second))(KEY, given)
    one = jax.jit(augmentation.chain(first))(KEY, given)
    chex.assert_trees_all_close(both, jax.jit(second)(jax.random.fold_in(KEY, 1), one), atol=1e-5)
    assert (both[0] != jax.jit(second)(jax.random.fold_in(KEY, 0), one)[0]).any()
    chex.assert_trees_all_equal(augmentation.chain()(KEY, given), given)


@pytest.mark.parametrize("name", ["affine", "mixup"])
def test_runs_may_be_cut(name):
    """Law: a run of a + b steps with a transform is a run of a, then of b."""
    net = fn.serial(fn.conv(2, 3), fn.global_pool(), fn.dense(5))
    task = fn.Task(net, fn.losses.cross_entropy, fn.sgd(0.1), (fn.metrics.accuracy(),))
    x, y = photographs()[:, :8, :8], np.arange(N) % 5
    run = jax.jit(fn.run, static_argnames=("task", "steps", "batch_size", "transform", "sampler"))
    options = {"batch_size": 4, "transform": ALL[name](), "sampler": fn.sampling.epochs("weigh")}
    start = fn.init(task, KEY, x)
    whole, _ = run(task, start, (x, y), steps=4, **options)
    half, _ = run(task, start, (x, y), steps=2, **options)
    chex.assert_trees_all_equal(run(task, half, (x, y), steps=2, **options)[0], whole)


def test_what_they_are_is_told_apart():
    """A resumed run is refused if its transform changed: by kind, by amount, and not by identity."""
    made = [factory() for factory in ALL.values()] + [augmentation.rotation(31), augmentation.mixup(2.0, classes=5)]
    assert len({digest(transform) for transform in made}) == len(made)
    assert digest(augmentation.rotation(31)) == digest(augmentation.rotation(31))
