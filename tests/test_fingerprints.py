"""Texts of values that are the same in every process, and differ where the values do."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.fingerprints import digest, stable_text


class Noise:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, key, batch):
        return batch

    def draw(self, key, batch):
        return batch


def scaled(key, batch, scale=1.0):
    return batch


def held(value):
    return lambda key, batch: (value, batch)


def wrapped(rate):
    @functools.wraps(scaled)
    def wrapper(key, batch):
        return rate, scaled(key, batch)

    return wrapper


def named(value):
    def transform(key, batch):
        return value, batch

    return transform


def without():
    if not os:
        nothing = 1
    return lambda: nothing


def array(at):
    values = np.zeros(2000)
    values[at] = 1e-10
    return values


def partial(scale):
    return functools.update_wrapper(functools.partial(scaled, scale=scale), scaled)


PAIRS = {
    "names in the code of a lambda": (lambda k, b: jnp.sin(b), lambda k, b: jnp.cos(b)),
    "a lambda in a lambda": (lambda k, b: (lambda v: v + 1)(b), lambda k, b: (lambda v: v + 2)(b)),
    "a constant set": (lambda k: k in {"a", "b"}, lambda k: k in {"a", "c"}),
    "what is held": (named(1), named(2)),
    "a set that is held": (held({"a", "b", "c"}), held({"a", "b", "d"})),
    "arrays": (held(array(3)), held(array(4))),
    "arrays on the device": (held(jnp.ones(3)), held(jnp.zeros(3))),
    "keys": (held(jax.random.key(0)), held(jax.random.key(1))),
    "a wrapper": (wrapped(0.1), wrapped(0.9)),
    "partial": (partial(1.0), partial(9.0)),
    "compiled": (jax.jit(named(1)), jax.jit(named(2))),
    "objects": (Noise(1.0), Noise(9.0)),
    "methods": (Noise(1.0).draw, Noise(9.0).draw),
    "defaults": (functools.partial(scaled), functools.partial(named(1))),
    "twice the same": ([f := named(1), f], [named(1), named(2)]),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_values_that_differ_have_other_texts(pair):
    one, other = pair
    assert digest(one) == digest(one) != digest(other)


def test_equal_values_have_one_text():
    """Made twice, they are told by what they are, not by where they lie."""
    for make in (lambda: named(array(3)), lambda: Noise(2.0).draw, lambda: jax.jit(wrapped(0.5)), lambda: partial(2.0)):
        assert stable_text(make()) == stable_text(make())


def test_what_holds_itself_or_nothing_has_a_text():
    def again(n):
        return again(n - 1)

    value: list = []
    value.append(value)
    assert stable_text(value) == "list(#0)"
    assert "again" in stable_text(again)
    assert "nothing" in stable_text(without())


def test_what_is_shared_is_looked_at_once():
    """Sixty functions, each of which holds the one before twice."""
    function = named(1)
    for _ in range(60):
        function = named((function, function))
    assert len(stable_text(function)) < 100_000


def test_other_processes_agree():
    """Whatever the order of their sets and their addresses."""
    script = "import test_fingerprints as t; print([[t.digest(v) for v in pair] for pair in t.PAIRS.values()])"
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert texts == {f"{[[digest(v) for v in pair] for pair in PAIRS.values()]}\n"}
