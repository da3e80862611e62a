"""The bytes of a file, unpacked if it is gzipped, with one error for whatever stands in the way."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

from fnnet.errors import ReadError

_PART = 2**20  # bytes


def read_bytes(path: Path, limit: int = -1) -> bytes:
    """Return the file's content or its first `limit` bytes; ReadError if it is absent, empty, or a truncated gzip."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read() if limit < 0 else _at_most(file, limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReadError(str(path), f"is a damaged or truncated gzip file ({error})", "fetch the file again.") from error
    except OSError as error:
        raise ReadError(str(path), f"cannot be read ({error.strerror or error})", "check the path.") from error
    if not content:
        raise ReadError(str(path), "is empty (0 bytes)", "fetch or write the file again.")
    return content


def _at_most(file: io.BufferedIOBase, limit: int) -> bytes:
    """Return the first `limit` bytes, in no more memory than there are: ``read(limit)`` takes it all beforehand."""
    content = io.BytesIO()
    while part := file.read(min(_PART, limit - content.tell())):
        content.write(part)
    return content.getvalue()
