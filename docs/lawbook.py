"""The page of laws: those that the docstrings of public names state, by room."""

from __future__ import annotations

import pathlib

import docstrings
import names

HEAD = """# Laws

What the library promises, in the words of its docstrings. A law is held by tests that ask it of random values, against
an independent calculation, or of every layer, loss, metric, schedule and optimizer in turn: each has one table,
and a test fails while a row is missing ([layers](tests/layers/test_layer_laws.py),
[losses](tests/losses/test_losses.py), [metrics](tests/metrics/test_metrics.py),
[optimizers](tests/optimizers/test_optimizers.py), [schedules](tests/test_schedules.py)).
"""


def page(root: pathlib.Path) -> str:
    """Return the page, in which each law stands beside the name that it is of."""
    parts = [HEAD]
    for room, found in names.rooms(root).items():
        # A name is listed where it is defined: `compose.identity` is that of `activations`.
        laws = {
            name: stated
            for name in found.values()
            if name.home.split(".")[1] == room and (stated := docstrings.laws(name.docstring))
        }
        if laws:
            parts.append(f"## fn.{room}\n")
            parts += [f"[`{name.public}`][{name.entry}]\n:   {' '.join(stated)}\n" for name, stated in laws.items()]
    return "\n".join(parts)
