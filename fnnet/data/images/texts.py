"""JSON that somebody else wrote: read within limits, and every value of it asked for with its place and its kind."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fnnet.data.raw import read_bytes
from fnnet.errors import DataError, ReadError

MOST_BYTES = 2**31
"""A longer text of JSON is refused, unless more is asked for."""

_KINDS: dict[type, str] = {
    str: "text",
    dict: "an object",
    list: "a list",
    bool: "true or false",
    type(None): "null",
    int: "a number",
}


def read_json(path: Path, limit: int = MOST_BYTES) -> Any:
    """Return what a file of JSON holds, gzipped or not.

    Raises: ReadError for what is absent, empty, longer than `limit` bytes, not UTF-8, not JSON, nested too deeply, or
    has the numbers NaN or Infinity, of which JSON has none, or one name twice in an object.
    """
    raw = read_bytes(path, limit + 1)
    if len(raw) > limit:
        raise ReadError(str(path), f"has more than {limit} bytes of JSON", "pass limit= if it is trusted.")
    try:
        text = raw.decode("utf-8-sig")
        del raw
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except RecursionError as error:
        raise ReadError(str(path), "is nested too deeply to be read", "check how the file was written.") from error
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text: byte {error.object[error.start]:#04x} at position {error.start}"
        raise ReadError(str(path), problem, "save it as UTF-8, or check that it is a JSON file.") from error
    except ValueError as error:
        said = str(error).split(";")[0]
        raise ReadError(str(path), f"is not valid JSON: {said}", "check how the file was written.") from error


def write_json(value: Any) -> bytes:
    """Return a value as JSON; ValueError for a number that is not finite."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def member(where: str, entry: Any, name: str, kind: type) -> Any:
    """Return ``entry[name]``; DataError if it is not there, or not of the kind.

    >>> member("images[3]", {"id": "7"}, "id", int)
    Traceback (most recent call last):
    ...
    fnnet.errors.DataError: images[3].id: must be a whole number, got text, '7'
      Fix: correct the entry.
    """
    if name not in as_kind(where, entry, dict):
        raise DataError(
            where or "the file",
            f"has no {name!r}",
            f"add it, or check that this is the right file; it has {_few(entry)}.",
        )
    return as_kind(f"{where}.{name}" if where else name, entry[name], kind)


def as_kind(where: str, value: Any, kind: type) -> Any:
    """Return `value`; DataError unless it is of the kind: dict, list, str, or int, of 64 bits at most."""
    whole = kind is not int or (type(value) is int and -(2**63) <= value < 2**63)
    if isinstance(value, kind) and whole:
        return value
    expected = {dict: "an object", list: "a list", str: "text", int: "a whole number"}[kind]
    raise DataError(where or "the file", f"must be {expected}, got {_said(value)}", "correct the entry.")


def numbers(where: str, value: Any, count: int | None = None) -> np.ndarray:
    """Return a list of finite numbers as float64; DataError unless it is one, of `count` if that is given."""
    given = as_kind(where, value, list)
    if count is not None and len(given) != count:
        raise DataError(where, f"must be {count} numbers, got {len(given)}", "correct the entry.")
    if set(map(type, given)) <= {int, float}:
        try:
            array = np.array(given, np.float64)
        except OverflowError:
            array = np.array([np.inf])
        if np.isfinite(array).all():
            return array
    return np.array([number(f"{where}[{place}]", entry) for place, entry in enumerate(given)], np.float64)


def number(where: str, value: Any) -> float:
    """Return a finite number as a float; DataError unless it is one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(where, f"must be a number, got {_said(value)}", "correct the entry.")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise DataError(where, f"must be finite, got {_said(value)}", "correct the entry.")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"the number {name}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"an object has {_short(repr(twice))} twice")
    return found


def _said(value: Any) -> str:
    kind = _KINDS.get(type(value), "a number")
    if type(value) is int and abs(value) >= 10**20:
        return "a number of more than 20 digits"
    return f"{kind}, {_short(repr(value))}" if type(value) in (str, float, int) else kind


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _few(entry: Mapping[str, Any]) -> str:
    names = [_short(repr(name)) for name in list(entry)[:6]]
    return (", ".join(names) or "nothing") + (", …" if len(entry) > 6 else "")
