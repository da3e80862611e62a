"""What a value is in a few letters that are the same in every process, functions included."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def digest(value: Any) -> str:
    """Return the start of the SHA-256 of `stable_text`, 16 hexadecimal digits.

    >>> from fnnet.fingerprints import digest
    >>> digest(None), digest(fn.sampling.epochs()) == digest(fn.sampling.in_order())
    ('dc937b59892604f5', False)
    """
    return hashlib.sha256(stable_text(value).encode()).hexdigest()[:16]


def stable_text(value: Any, around: tuple[int, ...] = ()) -> str:
    """Return a text that is the same in every process: functions by name, what they hold, and the code of lambdas.

    >>> from fnnet.fingerprints import stable_text
    >>> stable_text({"rate": 0.1, "net": (len, [None])})
    "list(tuple('rate', 0.1), tuple('net', tuple(<built-in function len>, list(None))))"
    """
    function = inspect.unwrap(value) if callable(value) and not isinstance(value, tuple) else value
    if id(function) in around:
        return "..."  # it holds itself
    around = (*around, id(function))
    if isinstance(value, Mapping):
        return stable_text(list(value.items()), around)
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(stable_text(part, around) for part in value)})"
    if isinstance(function, partial):
        return stable_text([function.func, function.args, function.keywords], around)
    if inspect.isfunction(function):
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        held = stable_text([cells, function.__defaults__, function.__kwdefaults__], around)
        unnamed = function.__name__ == "<lambda>"
        code = f"{function.__code__.co_code.hex()} {function.__code__.co_consts}" if unnamed else ""
        return f"{function.__module__}.{function.__qualname__}{held}{_ADDRESS.sub('', code)}"
    return _ADDRESS.sub("", repr(value))
