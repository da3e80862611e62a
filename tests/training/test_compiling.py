"""The options that programs are compiled with are those that the compiler knows."""

from __future__ import annotations

import pytest

import fnnet as fn
from fnnet.training import compiling


@pytest.mark.lowest
def test_every_option_is_taken():
    assert all(compiling._is_known(name, value) for name, value in fn.compiler_options().items())


def test_an_option_that_is_not_known_is_left_out():
    """A later compiler may have dropped one: what it says of it is not an error of the user's."""
    assert not compiling._is_known("xla_cpu_no_such_option", True)
