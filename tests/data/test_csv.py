"""CSV: types from the cells, one clear error for each way in which a file can be wrong, and back again."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnnet import data
from fnnet.errors import DataError, ReadError

PETS = "size,kind,legs,name\n1.5,cat,4,no\n2,dog,4,yes\n-3e1,cat,3,no\n"


def write(directory, text, name="file.csv"):
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_types_are_found_from_the_cells(tmp_path):
    pets = data.read(write(tmp_path, PETS), "name")
    assert {name: column.dtype.kind for name, column in pets.x.items()} == {"size": "f", "kind": "U", "legs": "f"}
    assert pets.x["size"].tolist() == [1.5, 2, -30]
    assert pets.x["kind"].tolist() == ["cat", "dog", "cat"]
    assert (pets.y.tolist(), pets.y.dtype) == ([0, 1, 0], np.int32)
    assert (pets.classes, pets.features) == (("no", "yes"), ("size", "kind", "legs"))
    data.length(pets)


VARIANTS = {
    "semicolons": PETS.replace(",", ";"),
    "tabs": PETS.replace(",", "\t"),
    "byte order mark": b"\xef\xbb\xbf" + PETS.encode(),
    "blank lines and blanks": "\n" + PETS.replace(",", " , ").replace("\n", "\n\n"),
    "windows": PETS.replace("\n", "\r\n"),
    "no last newline": PETS.rstrip(),
    "quotes": PETS.replace("cat", '"cat"'),
    "gzip": gzip.compress(PETS.encode()),
}


@pytest.mark.parametrize("text", VARIANTS.values(), ids=VARIANTS)
def test_spellings_of_one_table_read_the_same(tmp_path, text):
    plain, other = data.read(write(tmp_path, PETS), "name"), data.read(write(tmp_path, text, "other.txt"), "name")
    assert other.classes == plain.classes
    for name in plain.x:
        np.testing.assert_array_equal(other.x[name], plain.x[name])


TARGETS = {
    "text": (["b", "a", "b"], None, [1, 0, 1], ("a", "b")),
    "whole": (["10", "9", "10"], None, [1, 0, 1], ("9", "10")),
    "whole as numbers": (["10", "9", "10"], True, [[10.0], [9.0], [10.0]], None),
    "floats": (["0.5", "2", "1e2"], None, [[0.5], [2.0], [100.0]], None),
    "floats as classes": (["0.5", "2", "0.5"], False, [0, 1, 0], ("0.5", "2.0")),
    "whole floats as classes": (["1.0", "0.0", "1"], False, [1, 0, 1], ("0", "1")),
    "many whole": ([str(n) for n in range(101)], None, [[float(n)] for n in range(101)], None),
}


@pytest.mark.parametrize(("cells", "regression", "y", "classes"), TARGETS.values(), ids=TARGETS)
def test_targets_are_classes_or_numbers(tmp_path, cells, regression, y, classes):
    text = "x,t\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells))
    dataset = data.read(write(tmp_path, text), "t", regression=regression)
    assert dataset.y.tolist() == y
    assert dataset.classes == classes
    assert dataset.y.dtype == (np.float32 if classes is None else np.int32)


MALFORMED = {
    "empty": ("", ReadError, ["is empty (0 bytes)"]),
    "blank": ("\n\n", ReadError, ["holds only blank lines"]),
    "no rows": ("a,b\n", ReadError, ["a header and no rows"]),
    "ragged, short": ("a,b\n1,2\n3\n", ReadError, ["line 3: expected 2 fields as in the header, got 1"]),
    "ragged, long": ("a,b\n\n1,2,3\n", ReadError, ["line 3: expected 2 fields as in the header, got 3", "quote"]),
    "truncated quote": ('a,b\n1,2\n3,"4', ReadError, ["line 3: a quoted field is never closed"]),
    "no header": ("1,2\n3,4\n", ReadError, ["must name the columns, got only numbers (1, 2", "header line"]),
    "nameless": (",b\n1,2\n", ReadError, ["column 1 has no name", "index=False"]),
    "twice": ("a,b,a\n1,2,3\n", ReadError, ["names 'a' 2 times"]),
    "not text": (b"a,b\n1,\xff\n", ReadError, ["not UTF-8 text: byte 0xff at position 6"]),
    "huge field": ("a,b\n1," + "2" * 140_000 + "\n", ReadError, ["line 2: field larger than field limit"]),
    "missing": ("a,t\n1,2\n,3\n", DataError, ["column 'a', line 3: the cell is missing (''); 1", "missing='mean'"]),
    "nan": ("a,t\n1,2\nNaN,3\n", DataError, ["column 'a', line 3: the cell is missing ('NaN')"]),
    "other nan": ("a,t\n1,2\n-NAN,3\n", DataError, ["column 'a', line 3: the cell is missing ('-NAN')"]),
    "missing target": ("a,t\n1,2\n2,?\n", DataError, ["column 't', line 3: the cell is missing ('?')"]),
    "not a number": (
        "a,t\n1,2\n2,3\n1O,4\n", DataError,
        ["column 'a', line 4: expected a number, got '1O'; 2 of 3 cells are numbers", "categorical=['a']"],
    ),
    "only target": ("t\nx\ny\n", DataError, ["no column beside the target"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "error", "said"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_files_say_where(tmp_path, text, error, said):
    path = write(tmp_path, text)
    with pytest.raises(error) as raised:
        data.read(path, "t" if b"t\n" in path.read_bytes()[:5] else None)
    assert str(path) in str(raised.value)
    for part in said:
        assert part in str(raised.value)


def test_an_absent_target_is_named_with_its_neighbours(tmp_path):
    with pytest.raises(DataError, match=r"has no target column 'kinds'\n  Fix: did you mean 'kind'\?"):
        data.read(write(tmp_path, PETS), "kinds")
    with pytest.raises(DataError, match="use one of 'kind', 'legs', 'name', 'size'"):
        data.read(write(tmp_path, PETS), "price")
    with pytest.raises(DataError, match="has no column 'leg'"):
        data.read(write(tmp_path, PETS), "name", categorical=["leg"])


def test_text_is_no_target_of_regression(tmp_path):
    with pytest.raises(DataError, match="column 'kind': must be numbers for regression, got text such as 'cat'"):
        data.read(write(tmp_path, PETS), "kind", regression=True)


def test_columns_told_decide_over_cells(tmp_path):
    path = write(tmp_path, PETS)
    assert data.read(path, "name", categorical=["legs"]).x["legs"].tolist() == ["4", "4", "3"]
    told = data.read(path, columns={"legs": "category", "size": "number"})
    assert list(told.x) == ["legs", "size"]
    assert told.y is None
    with pytest.raises(DataError, match="column 'kind', line 2: expected a number, got 'cat'; 0 of 3"):
        data.read(path, columns={"kind": "number"})


def test_missing_cells_can_be_kept(tmp_path):
    path = write(tmp_path, "a,kind,t\n1,cat,0\nNA,,1\n")
    kept = data.read(path, "t", missing="mean")
    np.testing.assert_array_equal(kept.x["a"], [1, np.nan])
    assert kept.x["kind"].tolist() == ["cat", ""]
    with pytest.raises(ValueError, match="missing must be 'error' or 'mean', got 'drop'"):
        data.read(path, "t", missing="drop")


def test_many_rows_and_long_text_read_as_the_csv_module_does(tmp_path):
    """Blocks are an implementation detail: the columns equal those of a plain loop, across block borders."""
    rows = [[str(n / 8), f"{'long' * 60 if n == 7 else n % 3}x"] for n in range(9000)]
    text = "a,b\n" + "".join(",".join(row) + "\n" for row in rows)
    dataset = data.read(write(tmp_path, text))
    assert dataset.x["a"].tolist() == [float(row[0]) for row in rows]
    assert dataset.x["b"].tolist() == [row[1] for row in rows]
    with pytest.raises(ReadError, match="line 9002: expected 2 fields"):
        data.read(write(tmp_path, text + "1\n"))


@given(
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6),
    words=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1), min_size=6),
)
def test_written_columns_are_read_back(tmp_path_factory, numbers, words):
    """read(write(columns)) = columns, to the bit for numbers; text comes back without the blanks around it."""
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    words = ["w" + word for word in words[: len(numbers)]]
    data.write_csv(path, {"number": np.array(numbers), "word, or two": words})
    back = data.read(path)
    assert back.x["number"].tolist() == numbers
    assert back.x["word, or two"].tolist() == [word.strip() for word in words]
    with path.open(encoding="utf-8", newline="") as file:
        assert [row[1] for row in csv.reader(file)][1:] == words


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write(tmp_path, "old")
    with pytest.raises(DataError, match="columns must be of one length, got 'a': 1, 'b': 2"):
        data.write_csv(path, {"a": [1], "b": [1, 2]})
    with pytest.raises(UnicodeEncodeError):
        data.write_csv(path, {"a": ["\ud800"]})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
