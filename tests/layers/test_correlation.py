"""Every formulation of a correlation against XLA's in float64: values, gradients, both modes, batches, second order."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.layers import conv, conv_transpose
from fnnet.layers.correlation import FORMULATIONS, Geometry, columns, correlate, fits, transpose_correlate
from fnnet.layers.correlation import choice as choosing
from fnnet.layers.correlation.choice import choice

RNG = np.random.default_rng(0)
NAMED = [name for name in FORMULATIONS if name not in ("auto", "xla")]
BOUNDS = {"columns": 1e-6, "depthwise": 1e-6, "winograd2": 2e-6, "winograd4": 2e-5}  # as the docstring of conv has them

GEOMETRIES = {  # geometry, input and output features
    "3x3": (Geometry((7, 6), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))), 4, 6),
    "3x3 cropped": (Geometry((8, 9), (3, 3), (1, 1), (1, 1), ((-1, 3), (2, -1))), 3, 5),
    "3x3 valid, less than a block": (Geometry((4, 3), (3, 3), (1, 1), (1, 1), ((0, 0), (0, 0))), 2, 3),
    "1x1 strided": (Geometry((5, 6), (1, 1), (2, 2), (1, 1), ((0, 0), (0, 0))), 3, 4),
    "strided": (Geometry((7, 6), (3, 3), (2, 2), (1, 1), ((1, 1), (0, 1))), 4, 6),
    "stride beyond window": (Geometry((7, 8), (2, 1), (3, 2), (1, 1), ((0, 1), (0, 0))), 2, 3),
    "grouped, dilated, strided": (Geometry((7, 9), (3, 2), (2, 3), (2, 1), ((1, 1), (0, 1)), 2), 4, 6),
    "depthwise": (Geometry((6, 5), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 3), 3, 3),
    "depthwise, doubled, dilated": (Geometry((7, 9), (3, 3), (2, 3), (3, 2), ((3, 4), (0, 1)), 4), 4, 8),
    "1d": (Geometry((9,), (4,), (3,), (2,), ((3, 1),)), 4, 8),
    "3d": (Geometry((5, 6, 4), (2, 3, 1), (1, 2, 2), (1, 1, 1), ((1, 1), (1, 0), (0, 0)), 2), 4, 8),
}
CASES = pytest.mark.parametrize("case", GEOMETRIES.values(), ids=GEOMETRIES)
pytestmark = pytest.mark.usefixtures("quickly_compiled")
MAPS = ("forward", "input_gradient", "kernel_gradient")


@partial(jax.jit, static_argnums=(0, 3, 4))
def computed(name, a, b, geometry, formulation):
    return choosing.computed(name, a, b, geometry, formulation, platform="cpu")


def drawn(case, dtype=np.float32):
    geometry, n, features = case
    x = RNG.standard_normal((2, *geometry.sizes, n))
    kernel = RNG.standard_normal((*geometry.window, n // geometry.groups, features))
    y = RNG.standard_normal((2, *geometry.outputs, features))
    return tuple(a.astype(dtype) for a in (x, kernel, y))


def arguments(name, x, kernel, y):
    return {"forward": (x, kernel), "input_gradient": (y, kernel), "kernel_gradient": (x, y)}[name]


def exact(name, geometry, *args):
    """XLA's map in float64."""
    with jax.enable_x64(True):
        wide = [jnp.asarray(a, jnp.float64) for a in args]
        return np.asarray(computed(name, *wide, geometry, "xla"))


@CASES
def test_every_formulation_is_within_its_bound(case):
    geometry, n, _ = case
    x, kernel, y = drawn(case)
    for name in MAPS:
        args = arguments(name, x, kernel, y)
        expected = exact(name, geometry, *args)
        scale = exact(name, geometry, *map(np.abs, args)).max()
        assert scale > 0
        for formulation in NAMED:
            if not fits(formulation, geometry, n, jnp.float32):
                continue
            got = computed(name, *map(jnp.asarray, args), geometry, formulation)
            assert got.shape == expected.shape
            error = np.abs(np.asarray(got, np.float64) - expected).max() / scale
            assert error < BOUNDS[formulation], (name, formulation)


@CASES
def test_of_no_examples_there_are_maps_too(case):
    geometry, n, _ = case
    x, kernel, y = drawn(case)
    for name in MAPS:
        args = arguments(name, x[:0], kernel, y[:0])
        for formulation in NAMED:
            if fits(formulation, geometry, n, jnp.float32):
                of = partial(choosing.computed, geometry=geometry, formulation=formulation, platform="cpu")
                assert jax.eval_shape(partial(of, name), *args).shape == exact(name, geometry, *args).shape


@pytest.mark.parametrize("formulation", ["columns", "winograd2", "winograd4"])
def test_the_bound_holds_for_many_features(formulation):
    geometry, (x, kernel) = Geometry((20, 20), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))), (None, None)
    x = RNG.standard_normal((2, 20, 20, 256)).astype(np.float32)
    kernel = RNG.standard_normal((3, 3, 256, 16)).astype(np.float32)
    scale = exact("forward", geometry, np.abs(x), np.abs(kernel)).max()
    got = correlate(jnp.asarray(x), jnp.asarray(kernel), geometry, formulation)
    error = np.abs(np.asarray(got, np.float64) - exact("forward", geometry, x, kernel)).max() / scale
    assert error < BOUNDS[formulation]


def of_library(geometry):
    return lambda x, kernel: computed("forward", x, kernel, geometry, "xla")


def assert_all_close(got, expected, rtol=2e-5):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=rtol * float(np.abs(b).max()) + 1e-12)


@CASES
def test_derivatives_of_both_modes_and_of_the_second_order(case):
    """A Hessian times a vector is the forward derivative of the reverse: all nine rules of the maps take part."""
    geometry = case[0]
    x, kernel, _ = map(jnp.asarray, drawn(case))
    dx, dk, _ = map(jnp.asarray, drawn(case))

    def hessian_times(correlation):
        def energy(x, kernel):
            return jnp.sin(correlation(x, kernel)).sum()

        return jax.jit(lambda *args: jax.jvp(jax.grad(energy, (0, 1)), args, (dx, dk)))(x, kernel)

    assert_all_close(hessian_times(lambda x, k: correlate(x, k, geometry)), hessian_times(of_library(geometry)), 1e-4)


@pytest.mark.parametrize("axes", [(0, None), (None, 1), (1, 0)])
@pytest.mark.parametrize("case", ["3x3", "grouped, dilated, strided", "depthwise, doubled, dilated"])
def test_vmap_is_a_loop(case, axes):
    geometry = GEOMETRIES[case][0]
    members = [drawn(GEOMETRIES[case]) for _ in range(3)]
    stacked = [
        jnp.asarray(members[0][n] if axis is None else np.stack([member[n] for member in members], axis))
        for n, axis in enumerate(axes)
    ]

    def value_and_gradients(correlation):
        def energy(x, kernel):
            y = jax.vmap(correlation, axes)(x, kernel)
            return jnp.sin(y).sum(), y

        return jax.jit(jax.grad(energy, (0, 1), has_aux=True))(*stacked)

    got = value_and_gradients(lambda x, k: correlate(x, k, geometry))
    assert_all_close(got, value_and_gradients(of_library(geometry)), 1e-4)


@CASES
def test_the_transpose_is_the_adjoint(case):
    geometry = case[0]
    x, kernel, y = map(jnp.asarray, drawn(case))
    forward, back = correlate(x, kernel, geometry), transpose_correlate(y, kernel, geometry)
    np.testing.assert_allclose((forward * y).sum(), (x * back).sum(), rtol=1e-4, atol=1e-3)


def test_the_choice_by_platform_shape_and_dtype():
    dense = GEOMETRIES["3x3"][0]
    assert choice(64, 64, dense, jnp.float32, "gpu") == choice(3, 3, dense, jnp.float32, "tpu") == "xla"
    assert choice(64, 64, dense, jnp.float32, "cpu") == "winograd4"
    assert choice(1, 64, dense, jnp.float32, "cpu") == choice(64, 64, dense, jnp.bfloat16, "cpu") == "columns"
    assert choice(64, 64, GEOMETRIES["strided"][0], jnp.float32, "cpu") == "columns"
    assert choice(3, 3, GEOMETRIES["depthwise"][0], jnp.float32, "cpu") == "depthwise"


def test_the_program_of_another_platform_is_xlas():
    geometry = GEOMETRIES["3x3"][0]
    x, kernel, _ = map(jnp.asarray, drawn(GEOMETRIES["3x3"]))
    traced = jax.jit(lambda x, k: correlate(x, k, geometry)).trace(x, kernel)
    assert "stablehlo.convolution" in traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo.convolution" not in traced.lower(lowering_platforms=("cpu",)).as_text()


@pytest.mark.parametrize("formulation", ["winograd2", "winograd4"])
def test_a_formulation_that_vmap_makes_unfit_gives_way(formulation):
    """Kernels that differ become groups, which Winograd's filtering has none of."""
    geometry = GEOMETRIES["3x3"][0]
    x, kernel, _ = map(jnp.asarray, drawn(GEOMETRIES["3x3"]))
    kernels = jnp.stack([kernel, 2 * kernel])
    y = jax.vmap(lambda k: correlate(x, k, geometry, formulation))(kernels)
    assert_all_close(y, jnp.stack([of_library(geometry)(x, k) for k in kernels]))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.complex64])
def test_other_dtypes_stay(dtype):
    geometry = GEOMETRIES["3x3"][0]
    x, kernel, _ = (jnp.asarray(a).astype(dtype) for a in drawn(GEOMETRIES["3x3"]))
    y = correlate(x, kernel, geometry)
    assert y.dtype == dtype
    expected = of_library(geometry)(x, kernel)
    wide = jnp.complex64 if dtype == jnp.complex64 else jnp.float32
    assert_all_close(y.astype(wide), expected.astype(wide), 2e-2)


def test_what_is_put_side_by_side_is_bounded(monkeypatch):
    """In portions of one tap or two the sums are those of all taps at once."""
    case = GEOMETRIES["grouped, dilated, strided"]
    geometry = case[0]
    x, kernel, y = map(jnp.asarray, drawn(case))
    whole = [getattr(columns, name)(*arguments(name, x, kernel, y), geometry) for name in MAPS]
    tap = x[:, : geometry.outputs[0], : geometry.outputs[1]]
    for most in (1, 2 * tap.nbytes):
        monkeypatch.setattr(columns, "_MOST", most)
        parts = [getattr(columns, name)(*arguments(name, x, kernel, y), geometry) for name in MAPS]
        assert_all_close(parts, whole, 1e-6)


def test_without_jit_it_is_the_same():
    geometry = GEOMETRIES["strided"][0]
    x, kernel, _ = map(jnp.asarray, drawn(GEOMETRIES["strided"]))
    compiled = correlate(x, kernel, geometry)
    with jax.disable_jit():
        assert_all_close(correlate(x, kernel, geometry), compiled, 1e-6)


@pytest.mark.parametrize("layer", [conv, conv_transpose])
def test_a_layer_computes_as_it_is_told(layer, key):
    x = jnp.asarray(RNG.standard_normal((2, 6, 5, 3)), jnp.float32)
    params, _ = layer(4, bias_init=None).init(key, x)
    outputs = {
        name: layer(4, bias_init=None, formulation=name)(params, x) for name in FORMULATIONS if name != "depthwise"
    }
    for name, y in outputs.items():
        assert_all_close(y, outputs["xla"])
        text = str(jax.make_jaxpr(layer(4, bias_init=None, formulation=name).__call__)(params, x))
        assert f"formulation={name}" in text


MISTAKES = {
    "name": (lambda: conv(4, formulation="fast"), r"conv: formulation must be one of 'auto', .*, got 'fast'"),
    "stride": (
        lambda: conv(4, stride=2, formulation="winograd2")(PARAMS, jnp.ones((1, 6, 6, 3))),
        r"conv: formulation 'winograd2' is for float32 and a window 3 × 3 .* stride \(2, 2\)",
    ),
    "groups": (
        lambda: conv_transpose(4, formulation="depthwise")(PARAMS, jnp.ones((1, 6, 6, 3))),
        r"conv_transpose: formulation 'depthwise' is for as many groups as input features, got .* groups 1",
    ),
}
PARAMS = {"kernel": jnp.ones((3, 3, 3, 4)), "bias": jnp.zeros(4)}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistakes(mistake):
    make, message = mistake
    with pytest.raises(ValueError, match=message):
        make()


def test_blocks_cover_every_size():
    """Sizes around the blocks of Winograd's filtering, each against columns."""
    kernel = jnp.asarray(RNG.standard_normal((3, 3, 2, 2)), jnp.float32)
    for high, wide in ((1, 2), (4, 3), (5, 8)):
        geometry = Geometry((high, wide), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))
        x = jnp.asarray(RNG.standard_normal((1, high, wide, 2)), jnp.float32)
        expected = computed("forward", x, kernel, geometry, "columns")
        for formulation in ("winograd2", "winograd4"):
            assert_all_close(computed("forward", x, kernel, geometry, formulation), expected, 3e-5)
