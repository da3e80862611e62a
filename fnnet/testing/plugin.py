"""The pytest plug-in: ``--laws ci|hunt`` says how long the laws of tables are searched."""

from __future__ import annotations

from typing import Any

PROFILES = ("ci", "hunt")


def pytest_addoption(parser: Any) -> None:
    """Add the option ``--laws``."""
    group = parser.getgroup("laws", "laws of fnnet.testing")
    said = "search each law of a law_table in a few cases that are the same at every run, or in many fresh ones"
    group.addoption("--laws", choices=PROFILES, default="ci", help=said)


def pytest_configure(config: Any) -> None:
    """Choose the profile that was asked for."""
    from fnnet.testing.searching import CI, HUNT
    from fnnet.testing.tables import choose_profile

    choose_profile(HUNT if config.getoption("--laws") == "hunt" else CI)


def pytest_unconfigure(config: Any) -> None:
    """Forget it."""
    from fnnet.testing.tables import choose_profile

    choose_profile(None)
