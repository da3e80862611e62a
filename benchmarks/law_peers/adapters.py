"""Adapters: modules of flax.linen, flax.nnx and equinox as layers, which are pairs of pure functions.

They add nothing to what a module does: a key is passed on where one is given, and the error that says that one is
missing becomes ``KeyMissingError``; equinox's modules take one example, so that a batch goes by ``jax.vmap``.
"""

from __future__ import annotations

import contextlib
import math

import equinox as eqx
import flax.errors
import jax
import jax.numpy as jnp
from flax import nnx

import fnnet as fn
from fnnet.errors import KeyMissingError


@contextlib.contextmanager
def missing_key(name, kind, words):
    """Let an error of this kind with these words be that of a missing key."""
    try:
        yield
    except kind as error:
        if words not in str(error):
            raise
        raise KeyMissingError(name, "training needs a key", "pass one.") from error


def linen(module, mode=None, call=None):
    """Return a module of flax.linen as a layer.

    `mode`: ``train -> keyword arguments`` of its call; `call`: ``x -> its other arguments``, if that is not x alone.
    """
    mode, call = mode or (lambda train: {}), call or (lambda x: (x,))
    name = f"linen.{type(module).__name__}"

    def init(key, x):
        of_shapes = isinstance(jax.tree.leaves(x)[0], jax.ShapeDtypeStruct)
        make = module.lazy_init if of_shapes else module.init
        variables = dict(make({"params": key}, *call(x), **mode(False)))
        return variables.pop("params", {}), variables

    def apply(params, state, x, *, key=None, train=False):
        options = {"rngs": {} if key is None else {"dropout": key}, **mode(train)}
        with missing_key(name, flax.errors.InvalidRngError, "dropout"):
            if not (train and state):
                return module.apply({"params": params, **state}, *call(x), **options), state
            y, after = module.apply({"params": params, **state}, *call(x), mutable=list(state), **options)
            return y, dict(after)

    return fn.Layer(name, init, apply)


def of_nnx(name, make, call=None, keyed=False):
    """Return a module of flax.nnx, ``make(rngs, x)``, as a layer.

    `call`: ``(module, x, **options) -> y``, if that is not ``module(x)``; `keyed`: its call takes ``rngs``.
    """
    call = call or (lambda module, x, **options: module(x, **options))

    def split(key, x):
        return nnx.split(make(nnx.Rngs(key), x), nnx.Param, nnx.BatchStat, ...)

    def init(key, x):
        _, params, stats, _ = split(key, x)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(stats)

    def apply(params, state, x, *, key=None, train=False):
        graph, of_params, of_stats, rest = split(jax.random.key(0), x)
        nnx.replace_by_pure_dict(of_params, params)
        nnx.replace_by_pure_dict(of_stats, state)
        module = nnx.merge(graph, of_params, of_stats, rest)
        (module.train if train else module.eval)()
        options = {"rngs": nnx.Rngs(dropout=key)} if keyed and key is not None else {}
        with missing_key(name, ValueError, "no `rngs` argument"):
            y = call(module, x, **options)
        return y, nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)) if state else state

    return fn.Layer(f"nnx.{name}", init, apply)


def equinox(name, make, rank=1, call=None, keyed=False, modal=False):
    """Return a module of equinox, ``make(key, x)``, as a layer; its arrays of floats are the parameters, by path.

    `rank`: the number of axes of an example. `call`: ``(module, x, **options) -> y``. `keyed`: its call takes ``key``
    in training. `modal`: its call takes ``inference``.
    """
    call = call or (lambda module, x, **options: module(x, **options))

    def init(key, x):
        return by_path(eqx.filter(make(key, x), eqx.is_inexact_array)), {}

    def apply(params, state, x, *, key=None, train=False):
        module = with_paths(make(jax.random.key(0), x), params)
        modes = {"inference": not train} if modal else {}

        def one(x, key):
            return call(module, x, **modes, **({"key": key} if keyed and train else {}))

        with missing_key(name, RuntimeError, "requires a key"):
            return over_batch(one, rank)(x, key), state

    return fn.Layer(f"equinox.{name}", init, apply)


def stateful_equinox(name, make, rank=1):
    """Return a stateful module of equinox, whose ``make(key, x)`` takes the axis ``"batch"``, as a layer."""

    def both(key, x):
        return eqx.nn.make_with_state(make)(key, x)

    def init(key, x):
        module, state = both(key, x)
        return by_path(eqx.filter(module, eqx.is_inexact_array)), by_number(state)

    def apply(params, state, x, *, key=None, train=False):
        module, like = both(jax.random.key(0), x)
        module = with_paths(module, params)
        given = jax.tree.unflatten(jax.tree.structure(like), list(state.values()))

        def one(x):
            return module(x, given_again(given), inference=not train)

        lead = x.shape[: x.ndim - rank]
        flat = x.reshape(math.prod(lead), *x.shape[x.ndim - rank :])
        y, after = jax.vmap(one, axis_name="batch", out_axes=(0, None))(flat)
        return y.reshape(*lead, *y.shape[1:]), by_number(after)

    return fn.Layer(f"equinox.{name}", init, apply)


def given_again(state):
    """Return equinox's state as one that was not used yet: it is to be used once."""
    return jax.tree.unflatten(jax.tree.structure(state), jax.tree.leaves(state))


def by_path(module):
    """Return the arrays of a module by their paths."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(module)}


def by_number(state):
    """Return the arrays of a state by their numbers."""
    return {str(number): leaf for number, leaf in enumerate(jax.tree.leaves(state))}


def with_paths(module, params):
    """Return the module with these arrays at their paths."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: params.get(jax.tree_util.keystr(path), leaf), module)


def over_batch(function, rank):
    """Return ``function(x, key)`` of one example, of `rank` axes, over all further axes, each with a key of its own."""

    def mapped(x, key):
        lead = jax.tree.leaves(x)[0].shape
        lead = lead[: len(lead) - rank]
        if not lead:
            return function(x, key)
        count = math.prod(lead)
        flat = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[len(lead) :]), x)
        if key is None:
            y = jax.vmap(lambda x: function(x, None))(flat)
        else:
            y = jax.vmap(function)(flat, jax.random.split(key, count))
        return jax.tree.map(lambda leaf: jnp.reshape(leaf, (*lead, *leaf.shape[1:])), y)

    return mapped
