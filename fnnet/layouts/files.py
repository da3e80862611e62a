"""Weights of any library in a safetensors file, which holds bytes and no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from fnnet.dtypes import SAFETENSORS
from fnnet.errors import DataError, ReadError, needs_extra
from fnnet.writing import replacing

_PICKLE = "is a pickle, which can run code"
_TORCH_FIX = "save it with safetensors.torch.save_file(model.state_dict(), path)."
_KERAS_FIX = "pass {v.path: v.numpy() for v in model.variables} instead of a file, or save that as safetensors."
_FOREIGN = {
    b"PK\x03\x04": ("is a zip archive, as torch.save and Keras write: the first holds a pickle, which can run code",
                    f"{_TORCH_FIX[:-1]}; of Keras, {_KERAS_FIX}"),
    b"\x80": (_PICKLE, _TORCH_FIX),
    b"\x89HDF": ("is HDF5", _KERAS_FIX),
}  # fmt: skip


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file by name, whoever wrote it; nothing in the file is run.

    Raises: ReadError for a file that is absent, truncated, or not safetensors, a pickle (``.pt``, ``.pth``) above all;
    ExtraMissingError without safetensors.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "theirs.safetensors"
    >>> fn.layouts.write(path, {"0.weight": np.ones((3, 2), np.float32)})
    >>> {name: array.shape for name, array in fn.layouts.read(path).items()}
    {'0.weight': (3, 2)}
    """
    with needs_extra("layouts.read", "io"):
        from safetensors import SafetensorError, deserialize
    where = str(path)
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ReadError(where, f"cannot be read ({error.strerror or error})", "check the path.") from error
    try:
        tensors = deserialize(raw)
    except (SafetensorError, ValueError) as error:
        for start, (problem, fix) in _FOREIGN.items():
            if raw.startswith(start):
                raise ReadError(where, problem, fix) from error
        problem = f"is truncated or is not a safetensors file ({error})"
        raise ReadError(where, problem, f"copy it again; of torch, {_TORCH_FIX}") from error
    return {name: _array(where, name, tensor) for name, tensor in sorted(tensors)}


def write(path: str | os.PathLike[str], flat: Mapping[str, Any], metadata: Mapping[str, str] = {}) -> None:
    """Write arrays by name as a safetensors file; a reader sees the old file or the whole new one.

    What `to_layout` returned is read elsewhere by ``safetensors.torch.load_file`` or ``safetensors.numpy.load_file``.

    Raises: DataError for a dtype without a name in the format; ExtraMissingError without safetensors.

    >>> import pathlib, tempfile, safetensors.numpy
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ours.safetensors"
    >>> write(path, {"0.bias": np.zeros(2, np.float32)})
    >>> safetensors.numpy.load_file(path)
    {'0.bias': array([0., 0.], dtype=float32)}
    """
    with needs_extra("layouts.write", "io"):
        from safetensors.numpy import save
    arrays = {name: np.asarray(array, order="C") for name, array in flat.items()}
    for name, array in arrays.items():
        if array.dtype.name not in SAFETENSORS.values():
            raise DataError("layouts.write", f"{name} has dtype {array.dtype}, which safetensors has no name for")
    with replacing(path) as file:
        file.write(save(arrays, metadata=dict(metadata) or None))


def _array(where: str, name: str, tensor: Mapping[str, Any]) -> np.ndarray:
    if tensor["dtype"] not in SAFETENSORS:
        raise ReadError(where, f"{name} has dtype {tensor['dtype']}, which NumPy does not have", "save it in another.")
    return np.frombuffer(tensor["data"], jnp.dtype(SAFETENSORS[tensor["dtype"]])).reshape(tensor["shape"])
