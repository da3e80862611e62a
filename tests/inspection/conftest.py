"""Networks that are looked at once."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _compiled_at_once(quickly_compiled):
    """All programs here run for a moment."""
