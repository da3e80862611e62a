"""The public names of the package, read from its source: nothing is imported."""

from __future__ import annotations

import ast
import functools
import pathlib
from typing import NamedTuple

Node = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


class Name(NamedTuple):
    """A public name: the room that exports it, and the module and the name that define it."""

    room: str
    public: str
    home: str
    defined: str
    docstring: str  # empty for what comes from JAX or is a plain alias: the reference has no entry of it

    @property
    def entry(self) -> str:
        """The identifier of its entry in the reference."""
        shadowed = self.home == f"fnnet.{self.room}.{self.public}"  # a function in a module of its own name
        return f"{self.home}.{self.defined}" if shadowed else f"fnnet.{self.room}.{self.public}"


@functools.cache
def rooms(root: pathlib.Path) -> dict[str, dict[str, Name]]:
    """Return the public names of every room, in the order of its ``__all__``; a module among them is a room too."""
    paths = sorted(path for path in (root / "fnnet").iterdir() if not path.stem.startswith("_"))
    stems = [path.stem for path in paths if path.suffix == ".py" or (path / "__init__.py").exists()]
    within = [
        f"{room}.{name}" for room in stems for name in _exported(root, f"fnnet.{room}") if _is_room(root, room, name)
    ]
    return {
        room: {name: _name(root, room, name) for name in _exported(root, f"fnnet.{room}")} for room in stems + within
    }


def look_up(root: pathlib.Path, name: str) -> Name | None:
    """Return what ``fn.room.name`` or ``fn.name`` is, None if there is no such public name."""
    parts = name.split(".")
    if parts[0] == "fn" and len(parts) in (3, 4):
        return rooms(root).get(".".join(parts[1:-1]), {}).get(parts[-1])
    if parts[0] == "fn" and len(parts) == 2 and parts[1] in _exported(root, "fnnet"):
        home, defined = _definition(root, "fnnet", parts[1])
        alike = (n for names in rooms(root).values() for n in names.values() if (n.home, n.defined) == (home, defined))
        return next(alike, None)
    return None


def _name(root: pathlib.Path, room: str, name: str) -> Name:
    home, defined = _definition(root, f"fnnet.{room}", name)
    return Name(room, name, home, defined, _docstrings(root, home).get(defined, ""))


def _is_room(root: pathlib.Path, room: str, name: str) -> bool:
    """Whether a room has a module by ``from fnnet.room import name``."""
    imports = (node for node in _tree(root, f"fnnet.{room}").body if isinstance(node, ast.ImportFrom))
    return any(node.module == f"fnnet.{room}" and name in [a.name for a in node.names] for node in imports)


def _exported(root: pathlib.Path, module: str) -> list[str]:
    """Return a module's ``__all__``, else what it defines without an underscore."""
    body = _tree(root, module).body
    for node in body:
        if isinstance(node, ast.Assign) and _targets(node) == ["__all__"]:
            return list(ast.literal_eval(node.value))
    names = [name for node in body for name in _targets(node)]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def _definition(root: pathlib.Path, module: str, name: str) -> tuple[str, str]:
    """Follow the imports of a name within the package to the module and the name that define it."""
    for node in ast.walk(_tree(root, module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fnnet"):
            for alias in node.names if node.module != module else ():
                if (alias.asname or alias.name) == name and _path(root, node.module or ""):
                    return _definition(root, node.module or "", alias.name)
    return module, name


@functools.cache
def _docstrings(root: pathlib.Path, module: str) -> dict[str, str]:
    """Return the docstrings of functions, classes and assigned names at the top of a module."""
    if not _path(root, module):
        return {}
    body = _tree(root, module).body
    found = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ast.get_docstring(node) or ""
        elif (
            isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
        ):
            found |= dict.fromkeys(_targets(node), after.value.value)
    return found


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _path(root: pathlib.Path, module: str) -> pathlib.Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.exists()), None)


@functools.cache
def _tree(root: pathlib.Path, module: str) -> ast.Module:
    path = _path(root, module)
    return ast.parse(path.read_text(encoding="utf-8") if path else "")
