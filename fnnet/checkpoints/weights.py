"""Weights as safetensors: flat names, plain bytes, and no code run in loading."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fnnet import tree
from fnnet.core import Params, State
from fnnet.dtypes import SAFETENSORS
from fnnet.errors import DataError, ReadError, needs_extra
from fnnet.writing import replacing

FORMAT = 1
"""The version of the layout of names and metadata; a file of a later one is refused."""


def save_weights(
    path: str | os.PathLike[str],
    params: Params,
    state: State = {},  # noqa: B006 - never mutated
    metadata: Mapping[str, str] = {},
) -> None:
    """Write parameters and state, nested dicts of arrays, as ``params/dense_0/kernel``; bit for bit, in their dtypes.

    A reader of the file sees the old one or the whole new one. Any safetensors library reads it.

    Raises: DataError for a tree that is not of dicts with text as keys, a key with ``/``, or a dtype without a name in
    the format; ExtraMissingError without safetensors.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> save_weights(path, {"dense_0": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}})
    >>> import safetensors.numpy
    >>> sorted(safetensors.numpy.load_file(path))
    ['params/dense_0/bias', 'params/dense_0/kernel']
    """
    with needs_extra("save_weights", "io"):
        from safetensors.numpy import save
    arrays = {**_flatten(params, "params"), **_flatten(state, "state")}
    empty = [name for root, part in (("params", params), ("state", state)) for name in _empty_dicts(part, root)]
    header = {**metadata, "fnnet.format": str(FORMAT), "fnnet.empty": json.dumps(empty)}
    for key, value in header.items():
        if not isinstance(value, str):
            raise DataError("save_weights", f"metadata must be text, got {type(value).__name__} under {key!r}")
    with replacing(path) as file:
        file.write(save(arrays, metadata=header))


def load_weights(path: str | os.PathLike[str]) -> tuple[Params, State, dict[str, str]]:
    """Return the parameters, the state and the metadata that `save_weights` wrote.

    In a process without x64, 64-bit arrays are refused rather than rounded.

    Raises: ReadError for a file that is absent, truncated, not safetensors, not fnnet's, or of a newer format;
    ExtraMissingError without safetensors.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> fn.checkpoints.save_weights(path, {"dense_0": {"bias": jnp.ones(2)}}, metadata={"note": "trial"})
    >>> fn.checkpoints.load_weights(path)
    ({'dense_0': {'bias': Array([1., 1.], dtype=float32)}}, {}, {'note': 'trial'})
    """
    with needs_extra("load_weights", "io"):
        from safetensors import SafetensorError, deserialize
    where = str(path)
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ReadError(where, f"cannot be read ({error.strerror or error})", "check the path.") from error
    try:
        tensors, metadata = deserialize(raw), _metadata(raw)
    except (SafetensorError, ValueError) as error:
        problem = f"is truncated or is not a safetensors file ({error})"
        raise ReadError(where, problem, "copy it again, or save the weights again.") from error
    _check_format(where, metadata)
    trees: dict[str, Any] = {"params": {}, "state": {}}
    for name in _empty_paths(where, metadata.pop("fnnet.empty", "[]")):
        _place(where, trees, name, {})
    for name, tensor in tensors:
        _place(where, trees, name, _array(where, name, tensor))
    metadata.pop("fnnet.format")
    return trees["params"], trees["state"], metadata


def _flatten(part: Any, root: str) -> dict[str, np.ndarray]:
    """Return the arrays by name; only what the names can rebuild is taken."""
    _check_dicts(part, root)
    leaves = {f"{root}/{name}": leaf for name, leaf in tree.flatten(part).items()}
    for name, leaf in leaves.items():
        if leaf.dtype.name not in SAFETENSORS.values():
            raise DataError("save_weights", f"{name} has dtype {leaf.dtype}, which safetensors has no name for")
    return {name: np.asarray(leaf, order="C") for name, leaf in leaves.items()}


def _check_dicts(part: Any, name: str) -> None:
    if isinstance(part, dict):
        for key, value in part.items():
            if not isinstance(key, str) or "/" in key or not key:
                raise DataError("save_weights", f"{name}: a key must be text without '/', got {key!r}", "rename it.")
            _check_dicts(value, f"{name}/{key}")
    elif not hasattr(part, "dtype") or name in ("params", "state"):
        got = type(part).__name__
        raise DataError(
            "save_weights", f"{name} must be nested dicts of arrays, got {got}", "pass params as init made them."
        )


def _empty_dicts(part: Any, name: str) -> list[str]:
    """Return the paths of empty dicts, which no tensor's name would bring back."""
    if not isinstance(part, dict):
        return []
    if not part:
        return [name] if "/" in name else []
    return [path for key, value in part.items() for path in _empty_dicts(value, f"{name}/{key}")]


def _metadata(raw: bytes) -> dict[str, str]:
    """Return the header's metadata: eight bytes of its length, little-endian, then JSON."""
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return dict(header.get("__metadata__") or {})


def _check_format(where: str, metadata: Mapping[str, str]) -> None:
    version = metadata.get("fnnet.format")
    if version is None or not version.isdecimal():
        raise ReadError(
            where,
            "is a safetensors file that fnnet did not write: no format version in its metadata",
            "read it with the safetensors library.",
        )
    if int(version) > FORMAT:
        raise ReadError(where, f"is of format {version}, expected at most {FORMAT}", "update fnnet to read it.")


def _empty_paths(where: str, text: str) -> list[str]:
    try:
        return [str(name) for name in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise ReadError(where, f"its metadata is damaged ({error})", "save the weights again.") from error


def _place(where: str, trees: dict[str, Any], name: str, value: Any) -> None:
    *parents, last = name.split("/")
    if not parents or parents[0] not in trees:
        raise ReadError(where, f"expected names under params/ or state/, got {name!r}", "save the weights again.")
    node = trees
    for key in parents:
        node = node.setdefault(key, {}) if isinstance(node, dict) else node
    if not isinstance(node, dict) or last in node:
        raise ReadError(where, f"{name!r} lies above or under another array", "save the weights again.")
    node[last] = value


def _array(where: str, name: str, tensor: Mapping[str, Any]) -> Array:
    if tensor["dtype"] not in SAFETENSORS:
        raise ReadError(where, f"{name} has dtype {tensor['dtype']}, which JAX does not have", "save it in another.")
    dtype = jnp.dtype(SAFETENSORS[tensor["dtype"]])
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ReadError(
            where, f"{name} is {dtype}, which needs x64", 'jax.config.update("jax_enable_x64", True) first.'
        )
    return jnp.asarray(np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"]))
