"""Docstrings as Markdown: formulas, examples and the paragraphs that have a name, for the site's reference."""

from __future__ import annotations

import re
import textwrap
from typing import Any

try:
    import griffe
except ImportError:  # only the site needs it: rows, laws and their tests do without
    griffe = None

NAMED = "Shapes|Params|State|Raises|Laws|Law"
_PARAGRAPH = re.compile(rf"(?:^|(?<=[.)`]) )({NAMED}): ", re.MULTILINE)
_MATH = re.compile(r":math:`([^`]+)`")


def markdown(docstring: str) -> str:
    r"""Return the Markdown of a docstring: ``:math:`` as ``\(…\)``, doctests fenced, named paragraphs on their own."""
    blocks = []
    for block in re.split(r"\n\s*\n", textwrap.dedent(docstring).strip()):
        if block.lstrip().startswith(">>>"):
            blocks.append(f"```pycon\n{textwrap.dedent(block)}\n```")
        else:
            block = _PARAGRAPH.sub(r"\n\n**\1:** ", block).strip()
            blocks.append(_MATH.sub(lambda match: rf"\({' '.join(match[1].split())}\)", block))
    return re.sub(r"\n```\n\n```pycon\n", "\n\n", "\n\n".join(blocks))


def laws(docstring: str) -> list[str]:
    r"""Return the laws that a docstring states, as Markdown, each a paragraph.

    >>> laws("Add. Law: x + y is y + x.\nRaises: never.")
    ['x + y is y + x.']
    """
    paragraphs = re.split(r"\n\n+", markdown(docstring))
    return [
        " ".join(found[1].split()) for text in paragraphs if (found := re.match(r"\*\*Laws?:\*\* (.*)", text, re.S))
    ]


if griffe:

    class Docstrings(griffe.Extension):
        """Griffe's way to have each docstring rewritten as it is read."""

        def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
            """Rewrite the docstring of one object, where it has one."""
            if obj.docstring is not None:
                obj.docstring.value = markdown(obj.docstring.value)
