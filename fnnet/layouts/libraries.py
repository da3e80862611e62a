"""Layouts: how torch, Flax and Keras name and shape the weights of a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from fnnet.layouts.kinds import KERAS, LINEN, NNX, TORCH, Kinds

Names: TypeAlias = Mapping[str, str | Sequence[str]]
"""Their name for each path of ours, or for a parent of it; several names for the copies of a ``repeat``."""


class Layout(NamedTuple):
    """How a library names and shapes weights: the rules of each kind of layer, and which layer of its is which of ours.

    `names` may be None: then they are found. `chosen` gives the kind of a layer by its path, `options` what its arrays
    do not tell. ``read_name`` and ``spell_name`` map a name of theirs to layer + `separator` + entry, and back.
    `ignored` is a pattern of names that hold no weights.
    A layer of one's own has a kind of one's own: ``layout._replace(kinds={**layout.kinds, "mine": (rule, ...)})``.
    """

    library: str
    kinds: Kinds
    separator: str
    names: Names | None
    chosen: Mapping[str, str]
    options: Mapping[str, Any]
    read_name: Callable[[str], str]
    spell_name: Callable[[str], str]
    ignored: str


def torch(
    names: Names | None = None,
    *,
    flattened: Mapping[str, Sequence[int]] = {},
    groups: int | Mapping[str, int] = {},
    kinds: Mapping[str, str] = {},
) -> Layout:
    r"""Return the layout of torch: names ``fc1.weight``, kernels (out, in, \*space), channels before space.

    `names`: theirs by ours, ``{"dense_0": "fc1"}``. Layers of a recurrent module are ``rnn.l0``, ``rnn.l1``,
    ``rnn.l0_reverse``, after ``weight_ih_l0``; a cell is ``cell``. Its two biases are one here: their sum.

    `flattened`: a dense layer after ``flatten`` takes its inputs in another order, since torch flattens (C, H, W) and
    we (H, W, C): ``{"dense_0": (16, 5, 5)}`` is the shape that goes into torch's flatten. *Arrays do not show it: where
    it is left out, the weights load and the outputs are wrong.*
    `groups`: of a transposed convolution, for ``to_layout``. `kinds`: of layers named by hand whose arrays do not tell:
    ``{"up": "conv_transpose"}``.

    What is no weight is to be set by hand: ε (1e-5 in torch), padding (``[(1, 1), (1, 1)]`` for ``padding=1``; "SAME"
    with stride 2 pads otherwise), activations.

    >>> sorted(fn.layouts.to_layout({"kernel": np.ones((2, 3)), "bias": np.ones(3)}, {}, torch({"": "fc"})))
    ['fc.bias', 'fc.weight']
    """
    options = {"flattened": flattened, "groups": groups}
    return Layout("torch", TORCH, ".", names, kinds, options, _read_torch, _spell_torch, r"(^|\.)num_batches_tracked$")


def linen(names: Names | None = None, *, heads: int | Mapping[str, int] = {}, kinds: Mapping[str, str] = {}) -> Layout:
    """Return the layout of Flax's linen: ``params/Dense_0/kernel``, ``batch_stats/BatchNorm_0/mean``.

    Its variables are ``fn.tree.flatten(variables)``, and ``flax.traverse_util.unflatten_dict(flat, sep="/")`` the way
    back. `names` are theirs by ours, without the collection: ``{"dense_0": "Dense_0"}``; a recurrent layer is its cell.
    `heads`: of attention, for ``to_layout``, since only their kernels tell. `kinds`: as for ``torch``.

    What is no weight is to be set by hand; Flax's ε and "SAME" padding are ours.

    >>> sorted(fn.layouts.to_layout({"kernel": np.ones((2, 3)), "bias": np.ones(3)}, {}, linen({"": "Dense_0"})))
    ['params/Dense_0/bias', 'params/Dense_0/kernel']
    """
    return Layout("linen", LINEN, "/", names, kinds, {"heads": heads}, _read_linen, _spell_linen, "^$")


def nnx(names: Names | None = None, *, heads: int | Mapping[str, int] = {}, kinds: Mapping[str, str] = {}) -> Layout:
    """Return the layout of Flax's nnx: ``layers/0/kernel``, ``norm/mean``.

    Its variables are ``fn.tree.flatten(nnx.to_pure_dict(nnx.state(model)))``. `names`, `heads`, `kinds`: as for
    ``linen``; an ``nnx.OptimizedLSTMCell`` is the kind ``optimized_lstm``. An ``nnx.GRUCell`` has no reset bias: a GRU
    has this layout only where that is zero.

    >>> list(fn.layouts.to_layout({"table": np.ones((2, 3))}, {}, nnx({"": "embed"})))
    ['embed/embedding']
    """
    ignored = r"(^|/)(rngs/.*|count|key)$"
    return Layout("nnx", NNX, "/", names, kinds, {"heads": heads}, _same, _same, ignored)


def keras(
    names: Names | None = None,
    *,
    heads: int | Mapping[str, int] = {},
    groups: int | Mapping[str, int] = {},
    kinds: Mapping[str, str] = {},
) -> Layout:
    """Return the layout of Keras: ``dense/kernel``, ``batch_normalization/moving_mean``.

    Its variables are ``{v.path: v.numpy() for v in model.variables}``, and ``v.assign(flat[v.path])`` the way back.
    `names`, `heads`: as for ``linen``; a recurrent layer is its cell, ``lstm/lstm_cell``. A GRU is that of Keras'
    default, ``reset_after=True``. A depthwise convolution is the kind ``depthwise_conv`` and needs `groups` for
    ``to_layout``; a PReLU must be shared over space there. What is no weight is to be set by hand: ε is 1e-3 in Keras.

    >>> sorted(fn.layouts.to_layout({"scale": np.ones(2), "bias": np.ones(2)}, {}, keras({"": "norm"})))
    ['norm/beta', 'norm/gamma']
    """
    ignored = r"(^|/)seed_generator(_\d+)?/.*$"
    return Layout("keras", KERAS, "/", names, kinds, {"heads": heads, "groups": groups}, _same, _same, ignored)


_IN_MODULE = re.compile(r"(?P<module>(?:.*\.)?)(?P<entry>(?:weight|bias)_[ih]h)_(?P<layer>l\d+(?:_reverse)?)")
_AS_LAYER = re.compile(r"(?P<module>(?:.*\.)?)(?P<layer>l\d+(?:_reverse)?)\.(?P<entry>(?:weight|bias)_[ih]h)")


def _read_torch(name: str) -> str:
    found = _IN_MODULE.fullmatch(name)
    return name if found is None else "{module}{layer}.{entry}".format(**found.groupdict())


def _spell_torch(name: str) -> str:
    found = _AS_LAYER.fullmatch(name)
    return name if found is None else "{module}{entry}_{layer}".format(**found.groupdict())


def _read_linen(name: str) -> str:
    return re.sub("^(params|batch_stats)/", "", name)


def _spell_linen(name: str) -> str:
    root = "batch_stats" if name.rpartition("/")[2] in ("mean", "var") else "params"
    return f"{root}/{name}"


def _same(name: str) -> str:
    return name
