"""The page of laws: those that the docstrings of public names state, by room."""

from __future__ import annotations

import ast
import pathlib

import docstrings
import names

HEAD = """# Laws

What the library promises, in the words of its docstrings. A law is held by tests that ask it of random values, against
an independent calculation, or of every layer, loss, metric, schedule and optimizer in turn: each has one table,
and a test fails while a row is missing ([layers](tests/layers/test_layer_laws.py),
[compositions](tests/compose/test_composition_laws.py), [losses](tests/losses/test_losses.py),
[metrics](tests/metrics/test_metrics.py), [optimizers](tests/optimizers/test_optimizers.py),
[transforms](tests/transforms/test_transform_laws.py), [schedules](tests/test_schedules.py),
[augmentations](tests/augmentation/test_augmentation_laws.py), [samplers](tests/test_sampling.py),
[runs](tests/training/test_run_laws.py)). What `fn.testing` asks is at the end.
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
    return "\n".join([*parts, *kit(root)])


KIT = """## What `fn.testing` asks

Laws that are asked of any layer, loss or optimizer, whoever wrote it: `fn.testing.check_layer(layer, x)` asks all that
fit, `fn.testing.check_layer(layer, x, laws="jit_is_eager")` one. An error names the law and the simplest case found.
[Which planted faults each finds](docs/mutants.md).
"""


def kit(root: pathlib.Path) -> list[str]:
    """Return the tables of the laws that ``fn.testing`` asks: a line a law, read from the source."""
    kinds: dict[str, list[str]] = {}
    for path in sorted((root / "fnnet" / "testing").glob("*_laws.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any(_is_law(decorator) for decorator in node.decorator_list):
                kind = ast.unparse(node.args.args[0].annotation or ast.Constant("")).removesuffix("Subject").lower()
                kinds.setdefault(kind, []).append(_row(node))
    head = "### Of a {0}: `fn.testing.check_{0}`\n\n| law | what it says |\n| --- | --- |\n"
    return [KIT, *(head.format(kind) + "".join(rows) for kind, rows in kinds.items())]


def _is_law(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "law"


def _row(node: ast.FunctionDef) -> str:
    statement = " ".join((ast.get_docstring(node) or "").split()).replace("|", "\\|")
    return f"| `{node.name}` | {statement} |\n"
