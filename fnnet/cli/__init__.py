"""The command line: ``fnnet train | evaluate | predict | summary | sweep | doctor | laws``."""

from __future__ import annotations

import sys

from fnnet.errors import FnnetError, needs_extra


class Interrupted(Exception):  # noqa: N818 - it is none of a mistake
    """Ctrl-C ended the training, and what was learnt until then is saved."""


def main() -> None:
    """Run the command line. It exits with 1 for a mistake in the input, 2 for a wrong usage, and 130 after Ctrl-C."""
    try:
        with needs_extra("fnnet", "all"):
            from fnnet.cli.asking import app
        app()
    except (FnnetError, ValueError, OverflowError) as error:
        _end(1, f"error: {error}")
    except OSError as error:  # where the error knows no better, its own words: the system's and the path
        _end(1, f"error: {error.filename or 'system'}: {error.strerror or error}\n  Fix: choose another path.")
    except RuntimeError as error:  # of XLA: too large for this machine
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _end(1, f"error: {error}\n  Fix: pass smaller --hidden, --size or --batch-size.")
    except Interrupted as error:
        _end(130, str(error))
    except KeyboardInterrupt:
        _end(130, "interrupted")
    except SystemExit as end:  # typer's, which says nothing of Ctrl-C
        if end.code == 130:
            _end(130, "interrupted")
        raise


def _end(code: int, message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.exit(code)
