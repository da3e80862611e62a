"""What a checkpoint says of itself: the manifest, by which each array is rebuilt and every byte is checked."""

from __future__ import annotations

import hashlib
import importlib
import json
import platform
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnnet import tree
from fnnet.errors import DamageError, DataError, ReadError

FORMAT = 1
"""The version of the layout of a checkpoint; one of a later version is refused."""

_COMMON = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
}  # fmt: skip
"""Dtypes that are stored as they are: every reader of arrays has them."""


class Record(NamedTuple):
    """What is known of one array.

    `sha256` is of its bytes in C order; `key` names the implementation of a random key, whose data the array then is,
    and is empty for other arrays.
    """

    dtype: str
    shape: tuple[int, ...]
    sha256: str
    key: str = ""


class Manifest(NamedTuple):
    """Everything of a checkpoint but its arrays, which are in `records` by name.

    `history` and `metrics` are nested dicts with the names of arrays as leaves. `position` is as the user gave it.
    `scores` are the numbers by which the best checkpoint is chosen. `kept` are the names of further states.
    """

    step: int
    records: dict[str, Record]
    history: dict[str, Any]
    metrics: dict[str, Any]
    position: Mapping[str, Any] | None
    config: Mapping[str, Any]
    scores: dict[str, float]
    versions: dict[str, str]
    kept: Sequence[str] = ()
    format: int = FORMAT


@cache
def versions() -> dict[str, str]:
    """Return the versions of what wrote a checkpoint."""
    version = importlib.import_module("fnnet").__version__  # by name: the rooms below import nothing of the whole
    libraries = {name: metadata.version(name) for name in ("jax", "jaxlib", "numpy", "orbax-checkpoint")}
    return {"fnnet": version, "python": platform.python_version()} | libraries


def to_host(where: str, name: str, leaf: Any) -> tuple[np.ndarray, str]:
    """Return a copy of an array on the host, and the implementation if it is a random key (of which the data).

    A copy, since training gives its buffers away as soon as the next step starts.

    Raises: DataError for what is not numbers, or lies on other processes too.
    """
    leaf = leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf)
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        raise DataError(where, f"{name} lies on other processes too", "gather it to this process first.")
    key = ""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf, key = jax.random.key_data(leaf), str(jax.random.key_impl(leaf))
    dtype = np.dtype(leaf.dtype).newbyteorder("=")
    if dtype.name not in _COMMON and dtype.isbuiltin != 2:  # 2: one of the narrow dtypes that JAX adds to NumPy's
        raise DataError(where, f"{name} holds {dtype}, expected numbers", "leave it out, or put it in the config.")
    return np.array(leaf, dtype=dtype, order="C", copy=True), key


def record(array: np.ndarray, key: str = "") -> Record:
    """Return what the manifest says of an array in C order."""
    return Record(array.dtype.name, array.shape, digest(array), key)


def digest(array: np.ndarray) -> str:
    """Return the SHA-256 of the bytes of an array in C order."""
    return hashlib.sha256(array.reshape(-1).view(np.uint8).data).hexdigest()


def type_name(known: Record) -> str:
    """Return the dtype and shape that a record describes, as ``tree.type_name`` does those of an array.

    Raises: ReadError for a random key of an implementation that JAX does not have.

    >>> type_name(Record("uint32", (5, 2), "", "threefry2x32")), type_name(Record("bfloat16", (3,), ""))
    ('key<fry>[5]', 'bfloat16[3]')
    """
    if not known.key:
        return f"{known.dtype}[{','.join(str(n) for n in known.shape)}]"
    data = jax.ShapeDtypeStruct(known.shape, known.dtype)
    try:
        return tree.type_name(jax.eval_shape(partial(jax.random.wrap_key_data, impl=known.key), data))
    except (TypeError, ValueError) as error:
        raise ReadError("checkpoint", f"has a random key of {known.key!r}, which JAX does not have") from error


def stored(array: np.ndarray) -> np.ndarray | None:
    """Return the array as it is stored: None if it is empty, unsigned integers for a dtype that few readers have.

    >>> stored(np.ones(2, jnp.float8_e5m2)), stored(np.ones((0, 3)))
    (array([60, 60], dtype=uint8), None)
    """
    if not array.size:
        return None
    return array if array.dtype.name in _COMMON else array.view(f"u{array.dtype.itemsize}")


def rebuilt(name: str, known: Record, value: np.ndarray | None) -> np.ndarray:
    """Return the array that `stored` made `value` of, after a check of its bytes.

    Raises: DamageError unless it is the array of the record, bit for bit; ReadError for a dtype that JAX lacks.
    """
    dtype = dtype_of(name, known)
    array = np.empty(known.shape, dtype) if value is None and 0 in known.shape else value
    if array is None:
        raise DamageError("checkpoint", f"{name} is missing")
    if array.dtype.itemsize != dtype.itemsize or array.shape != known.shape:
        problem = f"{name} is {array.dtype}{list(array.shape)}, expected {known.dtype}{list(known.shape)}"
        raise DamageError("checkpoint", problem)
    array = np.ascontiguousarray(array).view(dtype).reshape(known.shape)
    if digest(array) != known.sha256:
        raise DamageError("checkpoint", f"the bytes of {name} are not those that were saved")
    return array


def dtype_of(name: str, known: Record) -> np.dtype:
    """Return the dtype of a record. Raises: ReadError if JAX does not have it."""
    try:
        return jnp.dtype(known.dtype)
    except TypeError as error:
        problem = f"{name} has dtype {known.dtype}, which this version of JAX does not have"
        raise ReadError("checkpoint", problem, "update jax.") from error


def dumped(manifest: Manifest) -> dict[str, str]:
    """Return a manifest as text with its digest: the outer two fields are the same in every format."""
    fields = manifest._asdict() | {"records": {name: list(known) for name, known in manifest.records.items()}}
    text = json.dumps(fields)
    return {"manifest": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def loaded(where: str, outer: Any) -> Manifest:
    """Return the manifest that `dumped` gave as `outer`.

    Raises: DamageError unless it is the text that was saved; ReadError for a newer format.
    """
    if not isinstance(outer, Mapping) or not all(isinstance(outer.get(name), str) for name in ("manifest", "sha256")):
        raise DamageError(where, "its manifest is damaged")
    text = outer["manifest"]
    if hashlib.sha256(text.encode()).hexdigest() != outer["sha256"]:
        raise DamageError(where, "its manifest is damaged: it is not the text that was saved")
    fields = json.loads(text)
    if fields["format"] > FORMAT:
        problem = f"is of format {fields['format']}, expected at most {FORMAT}"
        raise ReadError(where, problem, "update fnnet to read it.")
    records = {name: (known[0], tuple(known[1]), *known[2:]) for name, known in fields.pop("records").items()}
    return Manifest(records={name: Record(*known) for name, known in records.items()}, **fields)


def check_json(where: str, name: str, value: Any) -> None:
    """Raise DataError, naming the place, unless `value` is dicts by text, lists, text, numbers, booleans and None."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise DataError(where, f"{name}: a key must be text, got {key!r}", "JSON has no other: str(key).")
            check_json(where, f"{name}/{key}", inner)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            check_json(where, f"{name}/{number}", inner)
    elif value is not None and not isinstance(value, (str, int, float)):
        got = type(value).__name__
        raise DataError(where, f"{name} must be a value of JSON, got {got}", "make it a number, text or a list.")
