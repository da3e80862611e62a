"""The lecture's rows: what holds, the names for it, its example, and the tests that are marked as holding it.

``python docs/rows.py`` prints what is wrong with the rows, and exits with 1 if anything is. Nothing is imported of the
package or of its tests.
"""

from __future__ import annotations

import ast
import pathlib
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

import gallery
from names import look_up, rooms

HEAD = """# The lecture's rows

fnnet covers a lecture, "Basics of neural networks" (deep-learning fundamentals for astronomers, 2023), row by row.
Each row has names in the library, an example, and tests that state what holds as a law or a fact; this page is made of
them, and is not made where one is missing.
{done} of {all} rows are done.
"""


class Row(NamedTuple):
    """A row of the lecture: `planned` says what it lacks, empty if nothing."""

    part: str
    slug: str
    title: str
    holds: str
    api: tuple[str, ...] = ()
    example: str = ""
    planned: str = ""


class Test(NamedTuple):
    """A test that holds the row called `slug`."""

    slug: str
    path: pathlib.PurePosixPath
    line: int
    name: str
    source: str


def read(root: pathlib.Path) -> list[Row]:
    """Return the rows of docs/rows.toml in their order."""
    parts = tomllib.loads((root / "docs" / "rows.toml").read_text(encoding="utf-8"))["part"]
    return [
        Row(part["title"], **row | {"api": tuple(row.get("api", ()))}) for part in parts for row in part.get("row", ())
    ]


def marked(root: pathlib.Path) -> Iterator[Test]:
    """Return the tests that bear ``@pytest.mark.row(...)``, one for each slug of the mark."""
    for path in sorted((root / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.row(" not in text:
            continue
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            for slug in _slugs(node):
                source = textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
                yield Test(slug, _relative(path, root), node.lineno, node.name, source)


def faults(root: pathlib.Path) -> list[str]:
    """Return what is wrong, a line each: nothing if every row is as it says."""
    rows, tests = read(root), list(marked(root))
    slugs = [row.slug for row in rows]
    found = [f"{slug}: two rows have this slug" for slug in sorted({slug for slug in slugs if slugs.count(slug) > 1})]
    found += [f"{test.path}:{test.line}: there is no row {test.slug!r}" for test in tests if test.slug not in slugs]
    for row in rows:
        lacks = _missing(root, row, tests)
        if row.planned and not lacks:
            found.append(f"{row.slug}: it is planned, and nothing is missing: remove `planned`")
        found += [] if row.planned else [f"{row.slug}: {what}" for what in lacks]
    return found


def page(root: pathlib.Path) -> str:
    """Return the page; ValueError with every fault if there are any."""
    if wrong := faults(root):
        raise ValueError("docs/rows.toml and the marked tests must agree:\n" + "\n".join(wrong))
    rows, tests = read(root), list(marked(root))
    parts = [HEAD.format(done=sum(not row.planned for row in rows), all=len(rows))]
    for row, before in zip(rows, [None, *rows], strict=False):
        if before is None or before.part != row.part:
            parts.append(f"## {row.part}")
        parts.append(_section(root, row, [test for test in tests if test.slug == row.slug]))
    return "\n\n".join(parts) + "\n"


def _missing(root: pathlib.Path, row: Row, tests: list[Test]) -> list[str]:
    """Return what a row lacks of names, example and tests."""
    lacks = [f"there is no public name {name}" for name in row.api if not _link(root, name)]
    lacks += [] if row.api else ["it names nothing of the library"]
    if not row.example or not (root / "examples" / row.example).exists():
        lacks.append(f"there is no examples/{row.example}")
    if row.slug not in {test.slug for test in tests}:
        lacks.append(f'no test is marked @pytest.mark.row("{row.slug}")')
    return lacks


def _section(root: pathlib.Path, row: Row, tests: list[Test]) -> str:
    api = ", ".join(_link(root, name) or f"`{name}`" for name in row.api)
    there = row.example and (root / "examples" / row.example).exists()
    lines = [f"### {row.title} {{#{row.slug}}}", row.holds]
    lines += [f"*Planned: {row.planned}.*"] if row.planned else []
    lines += [f"Names: {api}"] if api else []
    lines += [f"Example: [{row.example}](gallery.md#{gallery.anchor(row.example)})"] if there else []
    if tests:
        lines.append(f'??? success "Held by {", ".join(test.name for test in tests)}"')
    for test in tests:
        code = f"[{test.path}]({test.path}), line {test.line}\n\n```python\n{test.source}```"
        lines.append(textwrap.indent(code, "    "))
    return "\n\n".join(lines)


def _link(root: pathlib.Path, name: str) -> str:
    """Return the link to the reference of a name, or of a room; empty if there is no such name."""
    if name.startswith("fn.") and (room := name.removeprefix("fn.")) in rooms(root):
        return f"[`{name}`](reference/{room}.md)"
    found = look_up(root, name)
    if found is None:
        return ""
    return f"[`{name}`][{found.entry}]" if found.docstring else f"[`{name}`](reference/{found.room}.md)"


def _slugs(node: ast.AST) -> list[str]:
    """Return the slugs that a function is marked with."""
    marks = []
    for mark in getattr(node, "decorator_list", ()):
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.row":
            marks += [str(ast.literal_eval(slug)) for slug in mark.args]
    return marks


def _relative(path: pathlib.Path, root: pathlib.Path) -> pathlib.PurePosixPath:
    return pathlib.PurePosixPath(path.relative_to(root).as_posix())


if __name__ == "__main__":
    wrong = faults(pathlib.Path(__file__).parent.parent)
    print("\n".join(wrong) or "every row is as it says")  # noqa: T201 - it is what the script is for
    sys.exit(bool(wrong))
