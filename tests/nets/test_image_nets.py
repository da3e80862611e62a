"""Networks for images: the papers' numbers of parameters, shapes, gradients that reach everything, and their parts."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet.errors import ShapeError

nets = fn.nets


def by_figure(widths, inputs, classes):
    """The parameters of a U-Net, level by level: of convolutions downwards, of those upwards, and of the last."""

    def conv(window, n, m):
        return window * window * n * m + m

    down = sum(conv(3, n, m) + conv(3, m, m) for n, m in pairwise((inputs, *widths)))
    up = sum(conv(2, below, m) + conv(3, 2 * m, m) + conv(3, m, m) for m, below in pairwise(widths))
    return down + up + conv(1, widths[0], classes)


COUNTS = {  # network, input, parameters: as published, or as counted from the paper's table
    "lenet": (nets.lenet(), (28, 28, 1), 61_706),
    "vgg11": (nets.vgg(11), (224, 224, 3), 132_863_336),
    "vgg13": (nets.vgg(13), (224, 224, 3), 133_047_848),
    "vgg16": (nets.vgg(16), (224, 224, 3), 138_357_544),
    "vgg19": (nets.vgg(19), (224, 224, 3), 143_667_240),
    "vgg16, norm": (nets.vgg(16, norm=True), (224, 224, 3), 138_361_768),
    "resnet18": (nets.resnet(18), (224, 224, 3), 11_689_512),
    "resnet34": (nets.resnet(34), (224, 224, 3), 21_797_672),
    "resnet50": (nets.resnet(50), (224, 224, 3), 25_557_032),
    "resnet101": (nets.resnet(101), (224, 224, 3), 44_549_160),
    "resnet20, CIFAR": (nets.resnet_cifar(20), (32, 32, 3), 269_722),
    "resnet56, CIFAR": (nets.resnet_cifar(56), (32, 32, 3), 853_018),
    "resnet110, CIFAR": (nets.resnet_cifar(110), (32, 32, 3), 1_727_962),
    "unet": (nets.unet(2), (512, 512, 1), by_figure((64, 128, 256, 512, 1024), 1, 2)),
    "unet, small": (nets.unet(5, (8, 16, 32)), (16, 24, 3), by_figure((8, 16, 32), 3, 5)),
    "convnext tiny": (nets.convnext(), (224, 224, 3), 28_589_128),
    "convnext small": (nets.convnext((3, 3, 27, 3)), (224, 224, 3), 50_223_688),
    "vit tiny": (nets.vit(), (224, 224, 3), 5_717_416),
    "vit small": (nets.vit(features=384, heads=6), (224, 224, 3), 22_050_664),
}


@pytest.mark.parametrize("case", COUNTS.values(), ids=COUNTS)
def test_the_parameters_are_as_many_as_published(case):
    net, shape, count = case
    params, _ = jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


BOTTLENECK = nets.residual_block(2, bottleneck=True, stride=2, shortcut=fn.conv(8, 1, stride=2))
SMALL = {
    "lenet": (nets.lenet(3), (28, 28, 1), (3,)),
    "vgg": (nets.vgg(11, 3, width=2, norm=True, drop=0.0), (32, 32, 3), (3,)),
    "resnet": (nets.resnet(18, 3, width=2), (32, 32, 3), (3,)),
    "bottleneck": (
        nets.residual_block(2, bottleneck=True, stride=2, shortcut=fn.conv(8, 1, stride=2)),
        (4, 4, 3),
        (2, 2, 8),
    ),
    "resnet_cifar": (nets.resnet_cifar(8, 3, width=2), (8, 8, 3), (3,)),
    "unet": (nets.unet(2, (2, 4, 4)), (8, 12, 1), (8, 12, 2)),
    "unet, norm": (nets.unet(2, (2, 4), norm=True), (4, 6, 1), (4, 6, 2)),
    "convnext": (nets.convnext((1, 1), (2, 4), 3, patch=2), (8, 8, 3), (3,)),
    "vit": (nets.vit(3, size=(4, 8), patch=2, features=4, depth=2, heads=2), (4, 8, 3), (3,)),
}


@pytest.mark.parametrize("case", SMALL.values(), ids=SMALL)
def test_shapes_and_gradients_that_reach_every_parameter(case):
    net, shape, outputs = case
    x = jax.random.normal(jax.random.key(1), (4, *shape))
    # Drawn here, not by init: γ of ConvNeXt begins at 1e-6, and what is random lets everything pass.
    rng = np.random.default_rng(0)
    params, state = jax.eval_shape(net.init, jax.random.key(0), x)
    params = fn.tree.map(lambda leaf: 0.5 * rng.standard_normal(leaf.shape, np.float32), params)
    state = fn.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), state)

    @jax.jit
    def both(params):
        y, _ = net.apply(params, state, x, key=jax.random.key(2), train=True)
        return jnp.sin(y + jnp.arange(float(y.size)).reshape(y.shape)).sum(), y

    gradient, y = jax.grad(both, has_aux=True)(params)
    assert y.shape == (4, *outputs)
    for path, leaf in fn.tree.flatten(gradient).items():
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0 or path.endswith(("/bias",)), path


def test_a_residual_block_whose_branch_is_zero_is_the_rectified_shortcut(key):
    block = nets.residual_block(4, bottleneck=False)
    x = jax.random.normal(jax.random.key(1), (2, 5, 5, 4))
    params, state = block.init(key, x)
    silent = fn.tree.map_with_path(lambda path, leaf: leaf * 0 if path.endswith("scale") else leaf, params)
    np.testing.assert_array_equal(block(silent, x, state), jax.nn.relu(x))


def test_the_shortcut_of_small_images_drops_places_and_adds_zeros(key):
    """With silent branches the two stages of stride two keep every fourth place, between features of zeros."""
    net = nets.resnet_cifar(8, None, width=4)
    x = jax.random.normal(jax.random.key(1), (1, 8, 8, 3))
    params, state = net.init(key, x)
    silent = fn.tree.map_with_path(
        lambda path, leaf: leaf * 0 if "body" in path and path.endswith("scale") else leaf, params
    )
    first = fn.serial(fn.conv(4, bias_init=None), fn.batch_norm(), jax.nn.relu)
    seen = first(params, x, {"batch_norm_0": state["batch_norm_0"]})
    kept = net(silent, x, state)
    assert not [path for path in fn.tree.flatten(params) if "shortcut" in path]
    np.testing.assert_allclose(kept, np.pad(seen[:, ::4, ::4], [(0, 0)] * 3 + [(6, 6)]), rtol=1e-6)


def test_convnext_begins_nearly_as_its_stem_and_drops_branches_more_and_more(key):
    block = nets.convnext_block(4)
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 4))
    params, _ = block.init(key, x)
    np.testing.assert_allclose(block(params, x), x, atol=1e-4)
    dropped = nets.convnext_block(4, drop=0.5, first_scale=1.0)
    rows = jnp.broadcast_to(x[:1], (64, 8, 8, 4))
    y, _ = dropped.apply(dropped.init(key, x)[0], {}, rows, key=key, train=True)
    kept = np.abs(np.asarray(y - rows)).max((1, 2, 3)) > 0
    assert 16 < kept.sum() < 48


def test_the_transformer_tells_places_apart_by_its_positions_alone(key):
    """Patches exchanged change the output; without positions they do not."""
    net = nets.vit(3, size=4, patch=2, features=8, depth=1, heads=2)
    x = jax.random.normal(jax.random.key(1), (4, 4, 3))
    swapped = jnp.concatenate([x[2:], x[:2]])
    params, _ = net.init(key, x)
    blind = fn.tree.map_with_path(lambda path, leaf: leaf * 0 if "positions" in path else leaf, params)
    np.testing.assert_allclose(net(blind, x), net(blind, swapped), atol=1e-5)
    assert np.abs(np.asarray(net(params, x) - net(params, swapped))).max() > 1e-5


MISTAKES = {
    "vgg": (lambda: nets.vgg(12), r"vgg: depth must be one of 11, 13, 16, 19, got 12"),
    "resnet": (lambda: nets.resnet(20), r"resnet: depth must be one of 18, 34, 50, 101, 152, got 20"),
    "cifar": (lambda: nets.resnet_cifar(18), r"resnet_cifar: depth must be 6 k \+ 2, .* got 18"),
    "classes": (lambda: nets.lenet(0), r"lenet: classes must be at least 1, got 0"),
    "unet": (lambda: nets.unet(2, ()), r"unet: widths must be at least one, got none"),
    "convnext": (lambda: nets.convnext((1,), (2, 4)), r"convnext: depths and widths must be as many"),
    "vit": (lambda: nets.vit(size=225), r"vit: size must be a multiple of patch=16, got 225"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistakes(mistake):
    make, message = mistake
    with pytest.raises(ValueError, match=message):
        make()


def test_sizes_that_do_not_halve_are_refused(key):
    message = r"\(concat\): the outputs must have one shape but for the last axis, got \(4, 4, 2\) and \(5, 4, 2\)"
    with pytest.raises(ShapeError, match=message):
        nets.unet(2, (2, 2)).init(key, jnp.ones((5, 4, 1)))
