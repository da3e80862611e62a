"""What a case is made of: shapes, keys and arrays, each told by a word and a seed, so that it can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

Case: TypeAlias = dict[str, Any]
"""The parts of a case by name: words, whole numbers, and tuples of them."""

Make: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape)


def _ones(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape)


def _constant(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, rng.normal())


def _one_hot(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    flat = np.zeros(int(np.prod(shape)))
    if flat.size:
        flat[rng.integers(flat.size)] = 1
    return flat.reshape(shape)


def _distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    # No two are 1, ½ or 2 apart, nor any of these from 0: there losses have their kinks.
    return rng.permutation(int(np.prod(shape))).reshape(shape) / 7.3 - 1.03


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape)


def _near_equal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal() * (1 + 2.0**-22 * rng.integers(-4, 5, shape))


def _among(*magnitudes: float) -> Make:
    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.choice([-1.0, 1.0], shape) * rng.choice(magnitudes, shape)

    return make


VALUES: dict[str, Make] = {
    "zeros": _zeros,
    "ones": _ones,
    "one-hot": _one_hot,
    "constant": _constant,
    "distinct": _distinct,
    "normal": _normal,
    "near-equal": _near_equal,
    "signed zeros": _among(0.0),
    "subnormal": _among(1e-40, 1e-45),
    "tiny": _among(1e-30, 1e-12),
    "large": _among(1e3, 1e4),
    "huge": _among(1e18, 1e30),
    "mixed": _among(0.0, 1e-40, 1e-12, 1.0, 1.0000001, 1e4),
}
"""Arrays by kind, the simplest first: a case that breaks a law is told by the first of them that does."""

TAME = ("zeros", "ones", "one-hot", "constant", "distinct", "normal")
NASTY = ("zeros", "constant", "normal", "near-equal", "signed zeros", "subnormal", "tiny", "large", "mixed")
SMOOTH = ("distinct", "normal")  # no ties, and nothing at a kink but by chance
SEEDS = 2**16


@runtime_checkable
class Source(Protocol):
    """Where the parts of a case come from: a search, or a case that is repeated."""

    def choose(self, name: str, options: Sequence[Any]) -> Any:
        """Return one of the options, of which the first is the simplest."""

    def seed(self, name: str) -> int:
        """Return a whole number from 0 to SEEDS - 1."""


class Draw:
    """Draws the parts of a case by name, and keeps them in `case`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.case: Case = {}

    def choose(self, name: str, options: Sequence[Any]) -> Any:
        """Return one of the options."""
        self.case[name] = self.source.choose(name, options)
        return self.case[name]

    def seed(self, name: str) -> int:
        """Return a seed."""
        self.case[name] = self.source.seed(name)
        return self.case[name]

    def key(self, name: str = "key") -> Array:
        """Return a random key."""
        return jax.random.key(self.seed(name))

    def like(
        self, name: str, tree: PyTree, kinds: Sequence[str] = TAME, *, batch: tuple[int, ...] | None = None
    ) -> PyTree:
        """Return arrays of the shapes and dtypes of `tree`: floats of one of the kinds; whole numbers among its own.

        With `batch`, of these axes in place of the first. Booleans are those of `tree`, again and again.
        """
        kind, seed = self.choose(name, kinds), self.seed(f"{name} seed")
        rng = np.random.default_rng(seed)

        def drawn(leaf: Any) -> Array:
            shape = leaf.shape if batch is None else (*batch, *leaf.shape[1:])
            if jnp.issubdtype(leaf.dtype, jnp.inexact):
                return jnp.asarray(VALUES[kind](rng, shape), leaf.dtype)
            if jnp.issubdtype(leaf.dtype, jnp.bool_):
                return jnp.asarray(np.resize(np.asarray(leaf), shape))
            return jnp.asarray(rng.choice(np.unique(leaf), shape), leaf.dtype)

        return jax.tree.map(drawn, tree)

    def moved(self, name: str, tree: PyTree, size: float = 0.5) -> PyTree:
        """Return the arrays of `tree`, the floats moved by normal numbers of `size`: none stays at a chosen start."""
        rng = np.random.default_rng(self.seed(name))

        def one(leaf: Any) -> Any:
            if not hasattr(leaf, "dtype") or not jnp.issubdtype(leaf.dtype, jnp.floating):
                return leaf
            return jnp.asarray(np.asarray(leaf, np.float64) + size * rng.normal(size=leaf.shape), leaf.dtype)

        return jax.tree.map(one, tree)


class CaseError(ValueError):
    """A case that is to be repeated is none of the law's."""


class Repeated:
    """The parts of a case that is given."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        self.given = dict(case)

    def choose(self, name: str, options: Sequence[Any]) -> Any:
        """Return the option that the case has; CaseError if it has none or another."""
        value = self._part(name)
        value = tuple(value) if isinstance(value, list) else value
        if value not in options:
            raise CaseError(f"case: {name!r} must be one of {list(options)}, got {value!r}")
        return value

    def seed(self, name: str) -> int:
        """Return the seed that the case has."""
        value = self._part(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < SEEDS:
            raise CaseError(f"case: {name!r} must be a whole number from 0 to {SEEDS - 1}, got {value!r}")
        return value

    def _part(self, name: str) -> Any:
        if name not in self.given:
            raise CaseError(f"case: needs {name!r}, has {', '.join(map(repr, self.given)) or 'nothing'}")
        return self.given[name]
