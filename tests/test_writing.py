"""A file is replaced whole or not at all."""

from __future__ import annotations

import pytest

from fnnet.writing import replacing


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def _interrupted(path):
    with replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
