"""Multi-head attention: every step looks at every other, as much as their contents match."""

from __future__ import annotations

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet.core import Key, Layer, Masked, Params, Shaped, State
from fnnet.dtypes import at_least_float32, dtype_of
from fnnet.errors import ShapeError
from fnnet.initializers import Initializer, glorot_uniform, zeros
from fnnet.layers.affine import add_bias, init_affine
from fnnet.layers.positions import rotary as rotate
from fnnet.layers.sequences import repack, unpack, values_of
from fnnet.shapes import align, check_count, check_floating, check_last_axis, check_rank, parameter

PROJECTIONS = ("query", "key", "value", "out")


def attention(
    heads: int,
    *,
    head_features: int | None = None,
    kv_heads: int | None = None,
    causal: bool = False,
    rotary: float | None = None,
    kernel_init: Initializer | None = None,
    bias_init: Initializer | None = zeros,
    implementation: Literal["xla", "cudnn"] | None = None,
) -> Layer:
    r"""Multi-head attention (Vaswani et al. 2017, eq. 1), over ``jax.nn.dot_product_attention``.

    :math:`y = [\,\mathrm{softmax}(Q_h K_h^\top / \sqrt d)\,V_h\,]_h W_o + b_o`, :math:`Q_h = x W_{q,h} + b_{q,h}` and
    alike K, V, of the context in cross attention.

    Shapes: self attention takes x of (..., time, features); cross attention a tuple (queries, context). Each is an
    array or a ``Masked``, whose padding is not attended to and whose contents there have no influence. Returns what the
    queries are, of their shape. A query that sees no real step gets zeros from every head: its output is finite, the
    output bias.

    `head_features` is d, by default features / heads. `kv_heads` < heads shares keys and values among groups of
    consecutive heads (Ainslie et al. 2023). `causal`: step t sees steps 0 … t of the context. `rotary`: the base of
    rotary positions of queries and keys (``fnnet.layers.rotary``), usually 10000; None for none.

    Params: ``query (features, heads·d)``, ``key`` and ``value (context features, kv_heads·d)``, ``out (heads·d,
    features)``, each ``{"kernel", "bias"}``, without bias if `bias_init` is None. Kernels are Glorot uniform unless
    `kernel_init` is given. `implementation` is passed to ``jax.nn.dot_product_attention``; float64, whose softmax that
    function takes in float32, is computed here throughout, and so are 16-bit floats under strict dtype promotion.

    Laws: without positions or causality, permuting the context changes nothing and permuting the queries permutes the
    outputs; with causality, outputs before t do not depend on steps from t on.
    Raises: ValueError for numbers that do not divide; ShapeError for inputs unlike those of `init`.

    >>> layer = fn.layers.attention(2, causal=True)
    >>> params, _ = layer.init(jax.random.key(0), jnp.ones((3, 5, 8)))
    >>> layer(params, jnp.ones((3, 5, 8))).shape
    (3, 5, 8)
    """
    groups = heads if kv_heads is None else kv_heads
    _check_numbers(heads, head_features, groups, rotary)
    initializer = glorot_uniform() if kernel_init is None else kernel_init

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        queries, context = (values_of(part) for part in _split(x))
        for part in (queries, context):
            check_floating("attention", part)
            check_rank("attention", part, 2, "(..., time, features)")
        features = queries.shape[-1]
        d = _features_of_head(features, heads, head_features, rotary)
        inner = (context.shape[-1], groups * d)
        shapes = ((features, heads * d), inner, inner, (heads * d, features))
        return {
            name: init_affine(k, shape, dtype_of(queries), initializer, bias_init)
            for name, k, shape in zip(PROJECTIONS, jax.random.split(key, len(shapes)), shapes, strict=True)
        }, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        queries, context = _split(x)
        q, _ = unpack("attention", queries)
        kv, mask = unpack("attention", context)
        _check_inputs(params, q, kv, heads, groups, head_features)

        def project(name: str, x: Array) -> Array:
            return add_bias("attention", params[name], x @ params[name]["kernel"], bias_init)

        split = {
            name: _heads(project(name, source), count)
            for name, source, count in (("query", q, heads), ("key", kv, groups), ("value", kv, groups))
        }
        if rotary is not None:
            split |= {name: rotate(split[name], base=rotary, time_axis=-3) for name in ("query", "key")}
        y = _attend(split, mask, causal, implementation).reshape(*q.shape[:-1], params["out"]["kernel"].shape[0])
        return repack(project("out", y), queries), state

    return Layer("attention", init, apply)


def _attend(
    split: dict[str, Array], mask: Array | None, causal: bool, implementation: Literal["xla", "cudnn"] | None
) -> Array:
    """Return the heads' outputs (..., time, heads, d); zeros for a query that sees no real step."""
    lead = split["query"].shape[:-3]
    batch = math.prod(lead)
    flat = {name: part.reshape(batch, *part.shape[-3:]) for name, part in split.items()}
    time, steps = flat["query"].shape[1], flat["key"].shape[1]
    seen = None if mask is None else mask.reshape(batch, 1, 1, steps)
    if _beyond_jax(flat["query"].dtype):
        y = _attend_by_einsum(flat["query"], flat["key"], flat["value"], seen, causal)
    else:
        y = jax.nn.dot_product_attention(
            flat["query"],
            flat["key"],
            flat["value"],
            mask=seen,
            is_causal=causal,
            implementation=implementation,
        )
    if seen is not None:
        first = jnp.argmax(seen, axis=-1)  # of the real steps
        any_seen = seen.any(-1) & (first <= jnp.arange(time)[None, None, :] if causal else True)
        y = jnp.where(jnp.swapaxes(any_seen, 1, 2)[..., None], y, jnp.zeros((), y.dtype))
    return y.reshape(*lead, *y.shape[1:])


def _beyond_jax(dtype: Any) -> bool:
    """Return whether ``jax.nn.dot_product_attention`` cannot do it.

    It takes the softmax of float64 in float32, and promotes 16-bit floats implicitly, in its gradient's lowering too.
    """
    strict = jax.config.jax_numpy_dtype_promotion == "strict"  # type: ignore[attr-defined]
    return dtype == jnp.float64 or (strict and dtype != jnp.float32)


def _attend_by_einsum(q: Array, k: Array, v: Array, seen: Array | None, causal: bool) -> Array:
    """Return what ``jax.nn.dot_product_attention`` returns, computed in at least float32 throughout."""
    dtype = q.dtype
    q, k, v = (part.astype(at_least_float32(dtype)) for part in (q, k, v))
    grouped = q.reshape(*q.shape[:2], k.shape[2], q.shape[2] // k.shape[2], q.shape[3])
    logits = jnp.einsum("btkgd,bskd->bkgts", grouped, k) / q.shape[3] ** 0.5
    allowed = jnp.tri(q.shape[1], k.shape[1], dtype=bool) if causal else jnp.ones((q.shape[1], k.shape[1]), bool)
    allowed = align(allowed, logits)
    allowed = allowed if seen is None else allowed & seen[:, None]
    weights = jax.nn.softmax(jnp.where(allowed, logits, jnp.finfo(logits.dtype).min))
    return jnp.einsum("bkgts,bskd->btkgd", weights, v).reshape(q.shape).astype(dtype)


def _heads(x: Array, count: int) -> Array:
    return x.reshape(*x.shape[:-1], count, x.shape[-1] // count)


def _split(x: Any) -> tuple[Any, Any]:
    """Return queries and context: the same for self attention."""
    if isinstance(x, Masked) or not isinstance(x, tuple | list):
        return x, x
    if len(x) != 2:
        raise ShapeError(
            "attention",
            f"the input must be one sequence or (queries, context), got {len(x)} parts",
            "pass x for self attention, (queries, context) for cross attention.",
        )
    return x[0], x[1]


def _features_of_head(features: int, heads: int, head_features: int | None, rotary: float | None) -> int:
    if head_features is None and features % heads:
        raise ShapeError(
            "attention",
            f"the number of features must be a multiple of {heads} heads, got {features}",
            "change either, or give head_features.",
        )
    d = features // heads if head_features is None else head_features
    if rotary is not None and d % 2:
        raise ShapeError(
            "attention", f"rotary positions need an even number of features a head, got {d}", "give head_features."
        )
    return d


def _check_inputs(
    params: Params, queries: Array, context: Array, heads: int, groups: int, head_features: int | None
) -> None:
    inner = None if head_features is None else heads * head_features
    shared = None if head_features is None else groups * head_features
    shapes = {"query": (None, inner), "key": (None, shared), "value": (None, shared), "out": (inner, None)}
    kernels = {
        name: parameter("attention", parameter("attention", params, name), "kernel", shapes[name])
        for name in PROJECTIONS
    }
    check_last_axis("attention", queries, kernels["query"].shape[0])
    check_last_axis("attention", context, kernels["key"].shape[0])
    if queries.shape[:-2] != context.shape[:-2]:
        raise ShapeError(
            "attention",
            f"queries and context must have the same leading axes, got {queries.shape} and {context.shape}",
            "broadcast one to the other.",
        )


def _check_numbers(heads: int, head_features: int | None, groups: int, rotary: float | None) -> None:
    check_count("attention", "heads", heads)
    check_count("attention", "kv_heads", groups)
    if heads % groups:
        raise ValueError(f"attention: kv_heads must divide heads={heads}, got {groups}")
    if head_features is not None:
        check_count("attention", "head_features", head_features)
    if rotary is not None and not rotary > 0:
        raise ValueError(f"attention: rotary must be a positive base or None, got {rotary}")
