"""Different rules for different leaves: freezing, rates by path, and any other division of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
from jaxtyping import PyTree

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.errors import PathError
from fnnet.transforms.chaining import InitUpdate, as_optimizer, chain
from fnnet.transforms.rate import scale
from fnnet.transforms.scalars import Number, as_leaves


def route(label: Callable[[Params], PyTree], optimizers: Mapping[str, InitUpdate]) -> Optimizer:
    """Give each leaf to the optimizer of its label; ``label(params)`` is a tree of names like the parameters.

    Each optimizer sees its own leaves alone, None in place of the others: it keeps no memory for them, and what it
    takes over all leaves (a norm) is over its own. State: a dict of the optimizers' states by label. `label` is also
    called with gradients in place of parameters, so it may look at paths, shapes and dtypes only.

    >>> by_rank = lambda params: jax.tree.map(lambda p: "matrix" if p.ndim == 2 else "other", params)
    >>> optimizer = route(by_rank, {"matrix": fn.transforms.scale(2.0), "other": fn.transforms.scale(1.0)})
    >>> params = {"w": jnp.ones((1, 1)), "b": jnp.ones(1)}
    >>> optimizer.update(params, optimizer.init(params))[0]
    {'b': Array([1.], dtype=float32), 'w': Array([[2.]], dtype=float32)}
    """
    members = {name: as_optimizer(optimizer) for name, optimizer in optimizers.items()}

    def init(params: Params) -> dict[str, Any]:
        labels = label(params)
        if unknown := sorted(set(map(str, jax.tree.leaves(labels))) - set(members)):
            raise ValueError(f"route: labels must be among {sorted(members)}, got {unknown[0]!r}")
        return {name: member.init(_select(params, labels, name)) for name, member in members.items()}

    def update(
        grads: Params, state: dict[str, Any], params: Params = None, **extra: Any
    ) -> tuple[Params, dict[str, Any]]:
        labels = label(grads)
        updates, new_state = {}, {}
        for name, member in members.items():
            own_params = None if params is None else _select(params, labels, name)
            own_extra = _select_extra(extra, params, labels, name)
            own_grads = _select(grads, labels, name)
            updates[name], new_state[name] = member.update(own_grads, state[name], own_params, **own_extra)
        return _merge(updates, labels), new_state

    return Optimizer(init, update)


def freeze(optimizer: InitUpdate, patterns: str | Iterable[str]) -> Optimizer:
    """Train by `optimizer` all but the parameters that any of the `patterns` matches: those stay as they are.

    A frozen leaf takes no memory for moments, and its gradient enters no norm: put clipping inside,
    ``freeze(chain(clip_by_global_norm(1.0), adam(1e-3)), "body")``. What a layer keeps in the network's state, as
    ``batch_norm`` its statistics, is no parameter and goes on changing, unless ``fn.compose.inference`` holds it.
    Raises: PathError, at init, if a pattern matches no leaf.

    >>> optimizer = freeze(fn.transforms.scale(2.0), "body")
    >>> params = {"body": jnp.ones(1), "head": jnp.ones(1)}
    >>> optimizer.update(params, optimizer.init(params))[0]
    {'body': Array([0.], dtype=float32), 'head': Array([2.], dtype=float32)}
    """
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)

    def label(params: Params) -> PyTree:
        frozen = tree.mask(params, patterns, where="freeze")
        return tree.map(lambda on: "frozen" if on else "trained", frozen)

    still = Optimizer(lambda params: (), lambda grads, state, params=None, **extra: (tree.zeros_like(grads), state))
    return route(label, {"trained": optimizer, "frozen": still})


def per_path(rules: Mapping[str, Number | InitUpdate]) -> Optimizer:
    """Treat each leaf by the first pattern of `rules` that matches its path: a number multiplies its update.

    Numbers are links of a chain, after the direction, ``chain(adam(1e-3), per_path({"body": 0.1}))``, and a leaf that
    no pattern matches keeps its update. Or optimizers: ``per_path({"body": sgd(0.01), "*": adam(1e-3)})``; then every
    leaf must be matched. A multiplier is the number ``<pattern>/factor`` of the state. Raises: ValueError for numbers
    beside optimizers; PathError, at init, if a pattern matches no leaf, or a leaf is left without an optimizer.

    >>> rates = per_path({"body": 0.1})
    >>> params = {"body": jnp.ones(1), "head": jnp.ones(1)}
    >>> rates.update(params, rates.init(params))[0]
    {'body': Array([0.1], dtype=float32), 'head': Array([1.], dtype=float32)}
    """
    rest = "/"  # no pattern that matches a path
    members: dict[str, InitUpdate] = {}
    for pattern, rule in rules.items():
        if isinstance(rule, InitUpdate):
            members[pattern] = rule
        else:
            as_leaves("per_path", multiplier=rule)
            members[pattern] = scale(rule)
    optimizers = [pattern for pattern, rule in rules.items() if isinstance(rule, InitUpdate)]
    if 0 < len(optimizers) < len(rules):
        raise ValueError(
            f"per_path: the rules must be all numbers or all optimizers, got both ({optimizers[0]!r} has an optimizer);"
            " a number multiplies an update that is there: chain(adam(1e-3), per_path({'body': 0.1}))"
        )

    def label(params: Params) -> PyTree:
        for pattern in rules:
            tree.mask(params, pattern, where="per_path")
        labels = tree.map_with_path(lambda path, _: next((p for p in rules if tree.matches(p, path)), rest), params)
        if optimizers:
            for path, name in tree.flatten(labels).items():
                if name == rest:
                    raise PathError("per_path", f"no rule for {path!r}", 'add one, e.g. "*": optimizer, at the end.')
        return labels

    return route(label, {**members, rest: chain()})


def _select(params: Params, labels: PyTree, name: str) -> Params:
    return tree.map(lambda leaf, own: leaf if own == name else None, params, labels)


def _merge(parts: Mapping[str, Params], labels: PyTree) -> Params:
    leaves = {name: iter(jax.tree.leaves(part)) for name, part in parts.items()}
    return tree.map(lambda name: next(leaves[name]), labels)


def _select_extra(extra: Mapping[str, Any], params: Params, labels: PyTree, name: str) -> dict[str, Any]:
    """Return the extras as seen from one label: its part of ``grad``, and ``value_fn`` as a function of its part."""
    own = dict(extra)
    if extra.get("grad") is not None:
        own["grad"] = _select(extra["grad"], labels, name)
    if extra.get("value_fn") is not None and params is not None:

        def value_fn(part: Params) -> Any:
            flat = iter(jax.tree.leaves(part))
            return extra["value_fn"](
                tree.map(lambda leaf, label: next(flat) if label == name else leaf, params, labels)
            )

        own["value_fn"] = value_fn
    return own
