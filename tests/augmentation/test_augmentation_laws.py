"""The laws of every transform: pure, of the key alone by row, the identity where nothing is drawn, part of a run."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from augmentation_toys import ALL, KEY, SUBJECTS, TRANSFORMS, N, batch, photographs

import fnnet as fn
from fnnet import augmentation, testing
from fnnet.fingerprints import digest


@pytest.mark.types
@pytest.mark.parametrize("name", TRANSFORMS)
def test_nothing_drawn_is_the_identity(name):
    """Law: probability 0, or ranges that are points, change neither images nor any target, to the bit."""
    given = batch(name)
    changed = jax.jit(TRANSFORMS[name][1]())(KEY, given)
    if name == "resized_crop":  # 2 logs and roots are drawn: the window is the image to rounding
        chex.assert_trees_all_close(changed, given, atol=1e-4)
    else:
        chex.assert_trees_all_equal(changed, given)


PURE = "it_is_a_function_of_key_and_batch"
OTHERS = [law.name for law in testing.KINDS[testing.TransformSubject].laws if law.name != PURE]


@testing.law_table(SUBJECTS, laws=OTHERS)
def test_it_obeys(law, quickly_compiled):
    law()


@testing.law_table({name: SUBJECTS[name] for name in ("flip", "affine", "color", "erasing", "mixup")}, laws=[PURE])
def test_it_is_pure(law, quickly_compiled):
    """Without ``jit`` each operation is compiled by itself, so it is asked of one of a kind."""
    law()


@pytest.mark.types
@pytest.mark.parametrize("name", TRANSFORMS)
def test_labels_and_weights_stay(name, quickly_compiled):
    """Of images that are changed each by itself."""
    given = SUBJECTS[name].batch
    changed = jax.jit(SUBJECTS[name].transform)(KEY, given)
    chex.assert_trees_all_equal(changed[2], given[2])
    assert (changed[1]["label"] == given[1]["label"]).all()


@pytest.mark.types
@pytest.mark.parametrize("name", ["flip", "color", "mixup"])
def test_in_few_bits_it_is_the_same(name, quickly_compiled):
    """Drawn as in float32, so that numbers of bfloat16 are those, rounded."""
    transform, (x, *rest) = jax.jit(SUBJECTS[name].transform), SUBJECTS[name].batch
    low = transform(KEY, (x.astype(jnp.bfloat16), *rest))[0]
    assert low.dtype == jnp.bfloat16
    chex.assert_trees_all_close(low.astype(jnp.float32), transform(KEY, (x, *rest))[0], atol=0.02)


@pytest.mark.types
def test_a_chain_draws_by_place(quickly_compiled):
    """Each part has a key of its own, the same for a part whatever follows it."""
    first, second = augmentation.rotation(30), augmentation.rotation(30)
    given = batch("rotation")
    both = jax.jit(augmentation.chain(first, second))(KEY, given)
    one = jax.jit(augmentation.chain(first))(KEY, given)
    chex.assert_trees_all_close(both, jax.jit(second)(jax.random.fold_in(KEY, 1), one), atol=1e-5)
    assert (both[0] != jax.jit(second)(jax.random.fold_in(KEY, 0), one)[0]).any()
    chex.assert_trees_all_equal(augmentation.chain()(KEY, given), given)


@pytest.mark.types
@pytest.mark.parametrize("name", ["affine", "mixup"])
def test_runs_may_be_cut(name, quickly_compiled):
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


@pytest.mark.types
def test_what_they_are_is_told_apart():
    """A resumed run is refused if its transform changed: by kind, by amount, and not by identity."""
    made = [factory() for factory in ALL.values()] + [augmentation.rotation(31), augmentation.mixup(2.0, classes=5)]
    assert len({digest(transform) for transform in made}) == len(made)
    assert digest(augmentation.rotation(31)) == digest(augmentation.rotation(31))
