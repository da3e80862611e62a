"""What a value is in a few letters that are the same in every process, functions included."""

from __future__ import annotations

import hashlib
import inspect
import re
import types
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def digest(value: Any) -> str:
    """Return the start of the SHA-256 of `stable_text`, 16 hexadecimal digits.

    >>> from fnnet.fingerprints import digest
    >>> digest(None), digest(fn.sampling.epochs()) == digest(fn.sampling.in_order())
    ('dc937b59892604f5', False)
    """
    return hashlib.sha256(stable_text(value).encode()).hexdigest()[:16]


def stable_text(value: Any) -> str:
    """Return a text that is the same in every process and differs for values that do.

    Functions are told apart by module and name, by what they hold (cells, defaults, arguments of a ``partial``, the
    object of a method), and lambdas by their code too; objects that do not say what they are, by their attributes;
    arrays, by their bytes. The code of a function that has a name is not looked at.

    >>> from fnnet.fingerprints import stable_text
    >>> stable_text({"rate": 0.1, "net": (len, [None])})
    "dict(tuple('rate', 0.1), tuple('net', tuple(<built-in function len>, list(None))))"
    """
    return _text(value, {})


def _text(value: Any, seen: dict[int, tuple[int, Any]]) -> str:
    """Return the text of a value; of one that was met before, its number. `seen` holds it, so that its id stays its."""
    if isinstance(value, str | int | float | complex | bytes | None):
        return repr(value)
    if id(value) in seen:
        return f"#{seen[id(value)][0]}"
    seen[id(value)] = len(seen), value
    name, parts = _parts(value)
    return name if parts is None else f"{name}({', '.join(_text(part, seen) for part in parts)})"


def _parts(value: Any) -> tuple[str, list[Any] | None]:
    """Return the name of a value and what it is made of; None if its name says it all."""
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return kind, list(value.items())
    if isinstance(value, list | tuple):
        return kind, list(value)
    if isinstance(value, set | frozenset):
        return kind, sorted(map(stable_text, value))
    if isinstance(value, np.ndarray | jax.Array):
        return kind, [*_bytes_of(value)]
    if isinstance(value, partial):
        return kind, [value.func, value.args, value.keywords]
    if inspect.ismethod(value):
        return kind, [value.__func__, value.__self__]
    if isinstance(value, types.CodeType):
        return kind, [value.co_code, value.co_names, value.co_consts]
    if inspect.isfunction(value):
        code = [value.__code__] if value.__name__ == "<lambda>" else []
        held = [_content(cell) for cell in value.__closure__ or ()]
        return f"{value.__module__}.{value.__qualname__}", [*held, value.__defaults__, value.__kwdefaults__, *code]
    if inspect.ismodule(value) or inspect.isclass(value):
        return f"{getattr(value, '__module__', '')}.{value.__name__}", None
    if hasattr(value, "__wrapped__"):  # a compiled function, say
        return kind, [value.__wrapped__]
    if getattr(type(value), "__repr__", None) is object.__repr__ and hasattr(value, "__dict__"):
        return f"{type(value).__module__}.{kind}", [vars(value)]
    return _ADDRESS.sub("", repr(value)), None


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that nothing was given to
        return "nothing"


def _bytes_of(value: Any) -> tuple[str, str, str]:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.ascontiguousarray(value)
    return str(array.dtype), str(array.shape), hashlib.sha256(array.tobytes()).hexdigest()
