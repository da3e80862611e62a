"""The gallery: every example with its picture, what it prints, and the command that makes both."""

from __future__ import annotations

import ast
import pathlib

HEAD = """# Gallery

Every example, in the lecture's order and then the others, with what it prints and draws.
Pictures and text are kept beside this page; `python docs/pictures.py` makes them anew.
"""


def examples(root: pathlib.Path) -> list[pathlib.Path]:
    """Return the examples, the numbered ones first."""
    return sorted((root / "examples").glob("*.py"))


def anchor(name: str) -> str:
    """Return the anchor of an example on the page.

    >>> anchor("01_threshold_units.py")
    'threshold-units'
    """
    return pathlib.PurePosixPath(name).stem.lstrip("0123456789_").replace("_", "-")


def kept(root: pathlib.Path, example: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Return where an example's picture and what it prints are kept."""
    return root / "docs" / "gallery" / f"{example.stem}.png", root / "docs" / "gallery" / f"{example.stem}.txt"


def pictures(root: pathlib.Path, example: pathlib.Path) -> list[pathlib.Path]:
    """Return the pictures of an example that are kept: its own, and others that it draws, by what follows its name."""
    picture, _ = kept(root, example)
    return [one for one in (picture, *sorted(picture.parent.glob(f"{picture.stem}_*.png"))) if one.exists()]


def page(root: pathlib.Path) -> str:
    """Return the page."""
    return "\n\n".join([HEAD, *(_section(root, example) for example in examples(root))]) + "\n"


def _section(root: pathlib.Path, example: pathlib.Path) -> str:
    text = example.read_text(encoding="utf-8")
    said = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")
    about = [paragraph for paragraph in said[1:] if not paragraph.startswith("python ")]
    lines = [f"## {anchor(example.name).replace('-', ' ').capitalize()} {{#{anchor(example.name)}}}", said[0], *about]
    _, printed = kept(root, example)
    lines += [f"![{said[0].rstrip('.')}](gallery/{picture.name})" for picture in pictures(root, example)]
    if printed.exists():
        lines.append(f"```text\n{printed.read_text(encoding='utf-8').rstrip()}\n```")
    lines.append(f"`python examples/{example.name} --plot picture.png` · [the code](examples/{example.name})")
    return "\n\n".join(lines)
