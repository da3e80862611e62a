"""The command line: ``fnnet train | evaluate | predict | summary``."""

from __future__ import annotations

import sys

from fnnet.errors import ExtraMissingError, FnnetError, needs_extra


def main() -> None:
    """Run the command line; a mistake in the input prints its error and exits with 1, a wrong usage with 2."""
    try:
        with needs_extra("fnnet", "all"):
            from fnnet.cli.commands import app
        app()
    except (FnnetError, ExtraMissingError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
