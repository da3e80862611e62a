"""The fuzzer of all readers, for a moment; ``python tests/data/fuzz_readers.py`` is the long one."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).with_name("fuzz_readers.py")


@pytest.mark.hunt
@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_are_read_or_refused(seed):
    command = [sys.executable, str(SCRIPT), "--inputs", "3000", "--seed", str(seed)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
    assert f"seed {seed}: 0 failures" in ended.stdout
