"""Dropout by element, by channel and by example: what is dropped together, how often, and what is left."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.errors import DtypeError, KeyMissingError, ShapeError
from fnnet.layers import channel_dropout, drop_path, dropout

SHAPE = (50, 4, 3, 20)
KINDS = {  # the axes along which one draw serves
    "elements": (dropout, {}, ()),
    "channels": (channel_dropout, {}, (1, 2)),
    "channels 1d": (channel_dropout, {"dims": 1}, (2,)),
    "examples": (drop_path, {}, (1, 2, 3)),
    "vectors": (drop_path, {"dims": 0}, (3,)),
}


@pytest.mark.parametrize(("make", "options", "shared"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("rate", [0.2, 0.75])
def test_what_is_dropped_and_how_often(make, options, shared, rate, key):
    """Each draw is alike along the shared axes and apart along the rest; 1 - rate are kept, within five deviations."""
    x = jnp.full(SHAPE, 3.0)
    layer = make(rate, **options)
    y, state = jax.jit(lambda x: layer.apply({}, {}, x, key=key, train=True))(x)
    kept = np.asarray(y) != 0
    np.testing.assert_allclose(y[kept], 3.0 / (1 - rate), rtol=1e-6)
    np.testing.assert_array_equal(kept, np.broadcast_to(kept.any(shared, keepdims=True), SHAPE))
    draws = kept.any(shared)
    for axis in range(draws.ndim):
        assert (draws != np.roll(draws, 1, axis)).any()
    deviation = np.sqrt(rate * (1 - rate) / draws.size)
    assert abs(draws.mean() - (1 - rate)) < 5 * deviation
    assert state == {}


@pytest.mark.parametrize(("make", "options", "shared"), KINDS.values(), ids=KINDS)
def test_inference_is_the_identity_and_needs_no_key(make, options, shared):
    x = jnp.ones((2, 3, 4, 5))
    assert make(0.5, **options)({}, x) is x
    assert make(0.0, **options).apply({}, {}, x, train=True)[0] is x


@pytest.mark.parametrize(("make", "options", "shared"), KINDS.values(), ids=KINDS)
def test_gradient_flows_through_what_is_kept(make, options, shared, key):
    layer = make(0.5, **options)
    y, pullback = jax.vjp(jax.jit(lambda x: layer.apply({}, {}, x, key=key, train=True)[0]), jnp.ones((4, 2, 2, 5)))
    np.testing.assert_array_equal(pullback(jnp.ones_like(y))[0], y)


@pytest.mark.parametrize(
    ("make", "name"), [(dropout, "dropout"), (channel_dropout, "channel_dropout"), (drop_path, "drop_path")]
)
def test_errors(make, name, key):
    x = jnp.ones((2, 2, 3))
    with pytest.raises(
        KeyMissingError, match=rf"{name}: needs a random key when train=True, got key=None\n  Fix: pass"
    ):
        make(0.5).apply({}, {}, x, train=True)
    for rate in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=f"{name}: rate must be at least 0 and less than 1, got {rate}"):
            make(rate)
    with pytest.raises(DtypeError, match=f"{name}: the input must be floating-point, got int32"):
        make(0.5).init(key, jnp.ones((2, 2, 3), int))


@pytest.mark.parametrize("make", [channel_dropout, drop_path])
def test_spatial_axes_are_needed(make, key):
    with pytest.raises(ShapeError, match=r"the input must have shape \(..., height, width, features\), got \(2, 3\)"):
        make(0.5).init(key, jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="dims must be at least"):
        make(0.5, dims=-1)
