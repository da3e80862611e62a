"""What MkDocs calls while the site is built: pages made of the code, files from outside docs/, links, formulas."""

from __future__ import annotations

import html
import pathlib
import posixpath
import re
from collections.abc import Iterator
from typing import Any

import gallery
import lawbook
import reference
import rows
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parent.parent

# The site has these under the paths that they have in the repository, so that its pages can link to them.
OUTSIDE = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "pyproject.toml",
    "benchmarks/**/*",
    "examples/**/*",
    "tests/**/*.py",
)

_LINK = re.compile(r"\]\(([^)#\s:]+)((?:#[^)\s]*)?)\)")
_WORD = re.compile(r'(?:<mi mathvariant="normal">\w</mi>){2,}')  # \mathrm{word}, which comes letter by letter
_FUNCTION = re.compile(r"(<mi>(?:log|exp|sin|cos|tanh|min|max)</mi>)")  # MathML puts no space around a name
_THIN = '<mspace width="0.167em" />'
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and the files that pages link to."""
    for path in outside(ROOT):
        files.append(File(str(path), str(ROOT), config.site_dir, config.use_directory_urls))
    for name, text in made(config).items():
        files.append(File.generated(config, name, content=text))
    return files


def outside(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """Return the files outside docs/ that the site has too, relative to the root."""
    for pattern in OUTSIDE:
        for path in sorted(root.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(root)


def made(config: MkDocsConfig) -> dict[str, str]:
    """Return the pages that are made of the code, by name."""
    pages = {"rows.md": rows.page(ROOT), "laws.md": lawbook.page(ROOT), "gallery.md": gallery.page(ROOT)}
    return pages | {name: reference.page(ROOT, name) for name in reference.pages(config.nav)}


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links of the repository into those of the site, where docs/ is the root."""
    source = page.file.src_uri
    if page.file.generated_by is None and pathlib.Path(page.file.abs_src_path).is_relative_to(ROOT / "docs"):
        source = f"docs/{source}"

    def on_site(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        target = "index.md" if target == "README.md" else target.removeprefix("docs/")
        return f"]({posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or '.')}{match[2]})"

    return _LINK.sub(on_site, markdown)


def on_page_content(html_text: str, **_: Any) -> str:
    """Turn formulas into MathML, which browsers draw by themselves: no script is needed, nor any fetched."""

    def drawn(match: re.Match[str]) -> str:
        maths = convert(html.unescape(match[2]), display="block" if match[1] == "div" else "inline")
        maths = _WORD.sub(lambda word: f"<mi>{re.sub('<[^>]*>', '', word[0])}</mi>", maths)
        return _FUNCTION.sub(rf"{_THIN}\1{_THIN}", maths)

    return _FORMULA.sub(drawn, html_text)
