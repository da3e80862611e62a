"""The reference: a page a room, of what the room exports."""

from __future__ import annotations

import pathlib
from typing import Any

from names import Name, rooms


def pages(nav: Any) -> list[str]:
    """Return the pages of the reference that the navigation of mkdocs.yml asks for, at any depth."""
    if isinstance(nav, str):
        return [nav] if nav.startswith("reference/") else []
    return [name for item in (nav.values() if isinstance(nav, dict) else nav) for name in pages(item)]


def page(root: pathlib.Path, name: str) -> str:
    """Return the page called ``reference/room.md``; KeyError if there is no such room."""
    room = pathlib.PurePosixPath(name).stem
    names = [name for name in rooms(root)[room].values() if f"{room}.{name.public}" not in rooms(root)]
    documented = [name for name in names if name.docstring]
    others = ", ".join(f"`{name.public}`" for name in names if not name.docstring)
    parts = [f"# fn.{room}", f"::: fnnet.{room}\n    options:\n      members: false\n      heading_level: 2"]
    parts += [f"Also exported, as JAX or the types that it names have it: {others}."] if others else []
    return "\n\n".join([*parts, *map(_entry, documented)]) + "\n"


def _entry(name: Name) -> str:
    anchor = "" if name.entry == f"fnnet.{name.room}.{name.public}" else f"[](){{#fnnet.{name.room}.{name.public}}}\n\n"
    return f"{anchor}::: {name.entry}\n    options:\n      show_root_heading: true\n      show_root_toc_entry: true"
