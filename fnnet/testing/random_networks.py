"""Random compositions of layers whose shapes fit, as a strategy for hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet import compose, layers
from fnnet.core import Layer, Shaped
from fnnet.errors import needs_extra
from fnnet.testing.drawing import SEEDS, SMOOTH, VALUES
from fnnet.testing.subjects import LayerSubject, layer_subject

with needs_extra("fn.testing.strategies", "testing"):
    import hypothesis.strategies as st
    from hypothesis.strategies import SearchStrategy

import numpy as np

VOCABULARY = 5
BATCH = 3
INPUTS = {"vectors": (BATCH, 4), "sequences": (BATCH, 3, 4), "images": (BATCH, 4, 4, 2), "tokens": (BATCH, 3)}
"""The shapes of inputs by kind, the simplest first."""


class Part(NamedTuple):
    """A layer that may be drawn: the strategy of it, and whether it looks at other examples in training."""

    made: SearchStrategy[Any]
    couples: bool = False


def networks(kinds: tuple[str, ...] = tuple(INPUTS), *, most: int = 4) -> SearchStrategy[LayerSubject]:
    """Draw networks of up to `most` parts with an input that fits them, as what ``check`` asks laws of.

    `kinds`: of inputs: ``"vectors"`` (n, features), ``"sequences"`` (n, time, features), ``"images"`` (n, height,
    width, channels), ``"tokens"`` (n, time) of whole numbers. What is drawn has ``layer``, ``x`` and ``couples``.
    Raises: ValueError for a kind that is none, for no kind, and for less than one part.

    >>> import hypothesis
    >>> network = hypothesis.find(networks(("images",)), lambda network: True)
    >>> network.layer.name, network.x.shape
    ('serial', (3, 4, 4, 2))
    """
    check_kinds("networks", "inputs", kinds, INPUTS)
    check_least("networks", "most", most, 1)
    return _networks(tuple(kinds), most)


def check_kinds(what: str, of: str, kinds: Sequence[str], known: Mapping[str, Any]) -> None:
    """Raise ValueError for a kind that is none of those known, and for none at all; TypeError for a string."""
    if isinstance(kinds, str):
        raise TypeError(f"{what}: kinds must be a tuple of them, ({kinds!r},), got a string")
    for kind in kinds:
        if kind not in known:
            raise ValueError(f"{what}: {kind!r} is no kind of {of}; they are {', '.join(known)}")
    if not kinds:
        raise ValueError(f"{what}: needs a kind of {of}; they are {', '.join(known)}")


def check_least(what: str, name: str, value: Any, least: int) -> None:
    """Raise ValueError unless a value is a whole number that is at least so large."""
    if not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{what}: {name} must be a whole number, at least {least}, got {value!r}")


@st.composite
def _networks(draw: Callable[[SearchStrategy[Any]], Any], kinds: tuple[str, ...], most: int) -> LayerSubject:
    kind, count = draw(st.sampled_from(kinds)), draw(st.integers(1, most))
    x = draw(st.builds(_example, st.just(kind), st.sampled_from(SMOOTH), st.integers(0, SEEDS - 1)))
    chosen, couples, shape = [], False, jax.ShapeDtypeStruct(x.shape, x.dtype)
    for _ in range(count):
        part = draw(_parts(shape.shape, str(shape.dtype)))
        layer = draw(part.made)
        after = _after(layer, shape)
        chosen.append(draw(_KEEPING if after == shape else _OTHER)(layer))
        couples, shape = couples or part.couples, after
    whole = st.builds(compose.serial, *map(st.just, chosen))
    return draw(st.builds(layer_subject, whole, st.just(x), couples=st.just(couples)))


def _example(kind: str, values: str, seed: int) -> Array:
    rng, shape = np.random.default_rng(seed), INPUTS[kind]
    if kind == "tokens":
        return jnp.asarray(rng.integers(0, VOCABULARY, shape), jnp.int32)
    return jnp.asarray(VALUES[values](rng, shape), jnp.float32)


def _after(layer: Layer, x: Shaped) -> jax.ShapeDtypeStruct:
    """Return the shape and dtype of a layer's output."""

    def applied(x: Array) -> Array:
        params, state = layer.init(jax.random.key(0), x)
        return layer.apply(params, state, x)[0]

    return jax.eval_shape(applied, x)


_OTHER = st.sampled_from((compose.as_layer, compose.remat))
_KEEPING = st.sampled_from((compose.as_layer, compose.residual, lambda layer: compose.repeat(layer, 2), compose.remat))
"""What is made of a layer, that keeps the shape of its input or not."""


@cache
def _parts(shape: tuple[int, ...], dtype: str) -> SearchStrategy[Part]:
    """Return what may come next, the simplest first."""
    if dtype == "int32":
        return st.just(_of(layers.embedding, VOCABULARY, (4, 2)))
    more = _BY_RANK.get(len(shape))
    return st.sampled_from([*_ON_ALL, *(more(shape) if more else [])])


def _of(factory: Callable[..., Layer], *args: Any, couples: bool = False, **options: Any) -> Part:
    """Return the part that calls a factory with values, each one of those given in a tuple."""
    drawn = [st.sampled_from(value) if isinstance(value, tuple) else st.just(value) for value in args]
    chosen = {name: st.sampled_from(v) if isinstance(v, tuple) else st.just(v) for name, v in options.items()}
    return Part(st.builds(factory, *drawn, **chosen), couples)


_ACTIVATIONS = (jax.nn.relu, jnp.tanh, jax.nn.gelu, jax.nn.silu)
_ON_ALL = (
    _of(layers.dense, (4, 2), activation=(None, *_ACTIVATIONS)),
    Part(st.sampled_from([compose.as_layer(activation) for activation in _ACTIVATIONS])),
    _of(layers.layer_norm),
    _of(layers.rms_norm),
    _of(layers.batch_norm, couples=True),
    _of(layers.dropout, 0.5),
    _of(layers.scale),
)


def _on_sequences(shape: tuple[int, ...]) -> list[Part]:
    return [
        _of(layers.mean_step),
        _of(layers.last_step),
        _of(layers.flatten, 2),
        _of(layers.rnn, (4, 2)),
        _of(layers.gru, (4, 2)),
        _of(layers.lstm, (4, 2)),
        _of(lambda features: compose.bidirectional(layers.gru(features)), 2),
        _of(layers.conv, (4, 2), 3, dims=1),
        _of(layers.attention, 1),
        _of(layers.sinusoidal_positions),
        _of(layers.learned_positions, shape[-2]),
        _of(layers.class_token),
    ]


def _on_images(shape: tuple[int, ...]) -> list[Part]:
    parts = [
        _of(layers.global_pool, ("mean", "max")),
        _of(layers.flatten),
        _of(layers.conv, (4, 2), 3, stride=(1, 2), padding=("SAME", "CIRCULAR")),
        _of(layers.conv_transpose, 2, 2, stride=2),
        _of(layers.group_norm, 1),
        _of(layers.instance_norm),
        _of(layers.channel_dropout, 0.5),
        _of(layers.drop_path, 0.5),
    ]
    pools = [_of(layers.max_pool, 2), _of(layers.avg_pool, 2)] if min(shape[-3:-1]) >= 2 else []
    return [*parts, *pools]


_BY_RANK = {3: _on_sequences, 4: _on_images}
