"""CSV: columns of numbers or of categories, found from the cells, and one column as the target."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fnnet.data.arrays import Dataset
from fnnet.data.raw import read_bytes
from fnnet.data.targets import encode
from fnnet.errors import DataError, ReadError, near_matches
from fnnet.writing import replacing

MISSING = ("", "NA", "N/A", "?")
"""Cells that stand for no value; so do nan, -nan, +nan and null, in capitals or not."""

_BLOCK = 4096  # rows turned into arrays at a time: Python strings take ten times the memory
_WIDE = 200  # characters; a longer cell would widen every cell of its block


class Cells(NamedTuple):
    """A file's text by column, and the line on which each row ends."""

    path: str
    columns: dict[str, np.ndarray]
    lines: np.ndarray


def read_csv(
    path: Path,
    target: str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    categorical: Collection[str] = (),
    missing: str = "error",
    regression: bool | None = None,
) -> Dataset:
    """Return a table: ``x`` is a dict of columns, float64 numbers or text; ``y`` is the column `target`.

    The first line names the columns. Fields are parted by the commonest of ``, ; tab |`` in it; the text is UTF-8.
    A column whose cells are all numbers is one of numbers, unless named in `categorical`; if only most of them are, the
    first that is not is an error; any other column is of categories. `columns`, name to ``"number"`` or ``"category"``,
    decides instead, and leaves other columns out. Without `target`, ``y`` is None.

    Empty cells, NA, N/A, NaN, null and ? are missing: an error, or with ``missing="mean"`` kept as NaN and as empty
    text, for `apply_schema` to put the training mean and no category. A missing target is always an error.

    Raises: ReadError for a file that is absent, empty, ragged, not text, or without header; DataError for a column that
    is not there (with near matches), a missing cell, and a cell that must be a number and is none.
    """
    if missing not in ("error", "mean"):
        raise ValueError(f"read: missing must be 'error' or 'mean', got {missing!r}")
    cells = read_cells(path)
    for name in [*categorical, *(columns or ()), *([] if target is None else [target])]:
        if name not in cells.columns:
            what = "target " if name == target else ""
            raise DataError(cells.path, f"has no {what}column {name!r}", near_matches(name, cells.columns))
    y, classes = None, None
    if target is not None:
        text = cells.columns[target]
        _check_present(cells, target)
        y, classes = encode(text, regression, where=f"{cells.path}, column {target!r}")
        if classes is None:
            _check_finite(cells, target, text.astype(np.float64))
    kinds = columns or {name: "category" if name in categorical else "" for name in cells.columns if name != target}
    x = {name: _column(cells, name, kind, missing) for name, kind in kinds.items()}
    if not x:
        raise DataError(cells.path, "has no column beside the target", "add columns to learn from.")
    return Dataset(x, y, classes, tuple(x))


def read_cells(path: Path) -> Cells:
    """Return the text of every cell, stripped of blanks around it."""
    where = str(path)
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text: byte {error.object[error.start]:#04x} at position {error.start}"
        raise ReadError(where, problem, "save it as UTF-8, or check that it is a CSV file.") from error
    start = text.lstrip("\r\n ")[:65536].split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t|", key=start.count), strict=True)
    rows = _rows(where, reader)
    names = [name.strip() for name in next(rows, (0, []))[1]]
    _check_header(where, names)
    blocks, lines = [], []
    while block := list(islice(_of_width(where, rows, len(names)), _BLOCK)):
        lines.append(np.array([line for line, _ in block]))
        blocks.append([_array(column) for column in zip(*(row for _, row in block), strict=True)])
    if not blocks:
        raise ReadError(where, "has a header and no rows", "check how the file was written.")
    columns = {name: np.concatenate(parts) for name, parts in zip(names, zip(*blocks, strict=True), strict=True)}
    return Cells(where, columns, np.concatenate(lines))


def write_csv(path: str | os.PathLike[str], columns: Mapping[str, Sequence[object] | np.ndarray]) -> None:
    """Write columns by name, of equal lengths; a reader sees the old file or the whole new one.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.csv"
    >>> write_csv(path, {"class": ["cat", "dog"], "probability": [0.75, 0.5]})
    >>> path.read_text().split()
    ['class,probability', 'cat,0.75', 'dog,0.5']
    """
    lists = [values.tolist() if hasattr(values, "tolist") else list(values) for values in columns.values()]
    if len({len(values) for values in lists}) > 1:
        got = ", ".join(f"{name!r}: {len(values)}" for name, values in zip(columns, lists, strict=True))
        raise DataError(str(path), f"columns must be of one length, got {got}", "align them.")
    with replacing(path) as file:
        writer = csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*lists, strict=True))


def _rows(where: str, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with its line; blank lines are passed over."""
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            line = getattr(reader, "line_num", 0)
            problem = "a quoted field is never closed" if "unexpected end" in str(error) else str(error)
            raise ReadError(where, f"line {line}: {problem}", "correct the file, or write it again.") from error
        if row:
            yield getattr(reader, "line_num", 0), row


def _of_width(where: str, rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[tuple[int, list[str]]]:
    for line, row in rows:
        if len(row) != width:
            problem = f"line {line}: expected {width} fields as in the header, got {len(row)}"
            raise ReadError(where, problem, "complete the line, quote fields that hold a delimiter, or drop it.")
        yield line, row


def _check_header(where: str, names: Sequence[str]) -> None:
    if not names:
        raise ReadError(where, "holds only blank lines", "check how the file was written.")
    if all(_is_number(name) for name in names):
        problem = f"the first line must name the columns, got only numbers ({', '.join(names[:4])}, …)"
        raise ReadError(where, problem, "put a header line before the data.")
    if "" in names:
        problem = f"column {names.index('') + 1} has no name in the header"
        raise ReadError(where, problem, "name it, or drop it (pandas: to_csv(path, index=False)).")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ReadError(
            where, f"the header names {twice[0]!r} {names.count(twice[0])} times", "give each its own name."
        )


def _column(cells: Cells, name: str, kind: str, missing: str) -> np.ndarray:
    """Return a column as float64 or, if of categories, as text; `kind` is empty where the cells decide."""
    text = cells.columns[name]
    if kind != "category":
        try:
            values = text.astype(np.float64)
            if np.isfinite(values).all():
                return values
        except ValueError:
            pass  # text, or missing cells among numbers: what follows tells, and takes longer
    if missing == "error":
        _check_present(cells, name)
    absent = _absent(text)
    if kind != "category":
        try:
            values = np.where(absent, "nan", text).astype(np.float64)
        except ValueError:
            numeric = np.array([_is_number(cell) for cell in text])
            present = max(1, int((~absent).sum()))
            if kind == "number" or (numeric & ~absent).sum() > present / 2:
                row = int(np.flatnonzero(~numeric & ~absent)[0])
                raise DataError(
                    cells.path,
                    f"column {name!r}, line {cells.lines[row]}: expected a number, got {str(text[row])!r}; "
                    f"{int((numeric & ~absent).sum())} of {present} cells are numbers",
                    f"correct the cell, or read the column as categories: categorical=[{name!r}].",
                ) from None
        else:
            _check_finite(cells, name, values)
            return values
    return np.where(absent, "", text)


def _check_present(cells: Cells, name: str) -> None:
    absent = _absent(cells.columns[name])
    if absent.any():
        row = int(np.flatnonzero(absent)[0])
        raise DataError(
            cells.path,
            f"column {name!r}, line {cells.lines[row]}: the cell is missing ({str(cells.columns[name][row])!r}); "
            f"{int(absent.sum())} of {len(absent)} cells of this column are",
            "fill or drop these rows, or, for a column that is not the target, read with missing='mean'.",
        )


def _check_finite(cells: Cells, name: str, values: np.ndarray) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.flatnonzero(infinite)[0])
        problem = (
            f"column {name!r}, line {cells.lines[row]}: expected a finite number, got {str(cells.columns[name][row])!r}"
        )
        raise DataError(cells.path, problem, "correct the cell, or drop the row.")


def _absent(text: np.ndarray) -> np.ndarray:
    named = ("nan", "+nan", "-nan", "null")
    return np.array([cell in MISSING or cell.lower() in named for cell in text.tolist()], bool)


def _array(cells: Sequence[str]) -> np.ndarray:
    """Return cells as text of fixed width, or as objects where one long cell would widen them all."""
    stripped = [cell.strip() for cell in cells]
    array = np.array(stripped, str)
    return array if array.itemsize <= 4 * _WIDE else np.array(stripped, object)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
