"""From tables to numbers: statistics of the training rows alone, by column name, saved as plain dicts."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest
import tomli_w
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fnnet import data
from fnnet.errors import DataError, ShapeError

RNG = np.random.default_rng(0)
TABLE = {
    "size": RNG.normal(1e4, 3, 50),
    "kind": RNG.choice(["cat", "dog", "eel"], 50),
    "legs": RNG.integers(0, 5, 50).astype(float),
    "flat": np.full(50, 0.1),
}
TRAIN = data.Dataset(TABLE, RNG.integers(0, 2, 50).astype(np.int32), ("no", "yes"), tuple(TABLE))


def test_a_table_is_as_scikit_learn_makes_it():
    """Standard scores and one-hot columns equal those of StandardScaler and OneHotEncoder."""
    out = data.apply_schema(data.fit_schema(TRAIN), TRAIN)
    numbers = np.column_stack([TABLE["size"], TABLE["legs"]])
    oracle = make_column_transformer((StandardScaler(), [0, 1])).fit_transform(numbers)
    hot = OneHotEncoder(sparse_output=False).fit_transform(TABLE["kind"][:, None])
    np.testing.assert_allclose(out.x[:, [0, 4]], oracle, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out.x[:, 1:4], hot)
    np.testing.assert_array_equal(out.x[:, 5], 0)  # a constant column says nothing
    assert out.x.dtype == np.float32
    assert out.features == ("size", "kind=cat", "kind=dog", "kind=eel", "legs", "flat")
    assert (out.y == TRAIN.y).all()


def test_statistics_are_of_the_training_rows_alone():
    train, test = data.split(TRAIN, (0.6, 0.4))
    schema = data.fit_schema(train)
    mean, scale = train.x["size"].mean(), train.x["size"].std()
    expected = (test.x["size"] - mean) / scale
    np.testing.assert_allclose(data.apply_schema(schema, test).x[:, 0], expected, rtol=1e-5)


def test_columns_are_found_by_name():
    """Another order of columns, and columns that training did not have, change nothing."""
    schema = data.fit_schema(TRAIN)
    other = data.Dataset({"id": np.arange(50), **dict(reversed(TABLE.items()))}, None)
    out = data.apply_schema(schema, other)
    np.testing.assert_array_equal(out.x, data.apply_schema(schema, TRAIN).x)
    assert out.y is None
    assert out.classes == ("no", "yes")


def test_unseen_and_missing_values_are_as_documented():
    schema = data.fit_schema(TRAIN)
    rows = {"size": np.array([np.nan, 1e4]), "kind": np.array(["yak", ""]), "legs": np.zeros(2), "flat": np.ones(2)}
    out = data.apply_schema(schema, data.Dataset(rows, None)).x
    np.testing.assert_array_equal(out[:, 1:4], 0)
    assert out[0, 0] == 0
    kept = data.fit_schema(data.Dataset({"a": np.array([1.0, np.nan, 3.0]), "b": np.array(["", "x", "y"])}, None))
    assert kept.columns == (data.Column("a", 2.0, 1.0), data.Column("b", categories=("x", "y")))


def test_categories_that_look_like_numbers_are_still_found():
    schema = data.Schema((data.Column("zone", categories=("1", "2.5", "A")),))
    out = data.apply_schema(schema, data.Dataset({"zone": np.array([2.5, 1.0])}, None))
    assert out.x.tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("dataset", "columns"), [(TRAIN, 4), (data.iris(), 4), (data.diabetes(), 10), (data.digits(images=True), 1)]
)
def test_a_saved_schema_is_the_same_schema(dataset, columns):
    """from_dict(to_dict(s)) = s to the bit, through TOML and through JSON."""
    schema = data.fit_schema(dataset)
    saved = data.schema_to_dict(schema)
    assert len(schema.columns) == columns
    assert data.schema_from_dict(tomllib.loads(tomli_w.dumps(saved))) == schema
    assert data.schema_from_dict(json.loads(json.dumps(saved))) == schema


def test_arrays_are_standardized_along_their_last_axis():
    x = RNG.normal(3, 2, (20, 4, 4, 2)).astype(np.float32)
    schema = data.fit_schema(data.Dataset(x, None))
    out = data.apply_schema(schema, data.Dataset(x, None)).x
    np.testing.assert_allclose(out, (x - x.mean((0, 1, 2))) / x.std((0, 1, 2)), rtol=1e-4, atol=1e-5)
    plain = data.fit_schema(data.Dataset(x, None), standardize=False)
    np.testing.assert_array_equal(data.apply_schema(plain, data.Dataset(x, None)).x, x)
    with pytest.raises(ShapeError, match=r"rows must have shape \(4, 4, 2\), as in training, got \(4, 2\)"):
        data.apply_schema(schema, data.Dataset(x[:, 0], None))


def test_nan_in_an_array_stays_for_check_to_find():
    x = np.array([[1.0, 2.0], [np.nan, 3.0], [2.0, 7.0]])
    out = data.apply_schema(data.fit_schema(data.Dataset(x, None)), data.Dataset(x, None))
    with pytest.raises(DataError, match="x must be finite, got nan at row 1, column 0"):
        data.check(out)


def test_the_whole_way_of_a_file(tmp_path):
    """Fit on one CSV, apply to another with other columns, labels and types: equal rows give equal numbers."""
    (tmp_path / "train.csv").write_text("size,kind,name\n1,cat,no\n2,dog,yes\n4,7,no\n")
    (tmp_path / "test.csv").write_text("note,name,kind,size\nx,yes,7,4\n3,yes,7,1\n")
    train = data.read(tmp_path / "train.csv", "name")
    schema = data.fit_schema(train)
    test = data.read(tmp_path / "test.csv", "name", columns=data.column_kinds(schema))
    a, b = data.apply_schema(schema, train), data.apply_schema(schema, test)
    np.testing.assert_array_equal(b.x[0], a.x[2])
    assert b.y.tolist() == [1, 1]
    assert data.feature_names(schema) == b.features == ("size", "kind=7", "kind=cat", "kind=dog")


REFUSED = {
    "absent": (
        lambda s: {k: TABLE[k] for k in ("size", "kind", "flat")} | {"leg": [1]},
        "has no column 'legs'\n  Fix: did you mean 'leg'",
    ),
    "text": (lambda s: TABLE | {"size": TABLE["kind"]}, "column 'size' was numbers in training, got text such as '"),
    "array": (lambda s: np.ones((2, 4)), "expected a table with named columns, as in training, got an array"),
}


@pytest.mark.parametrize(("table", "said"), REFUSED.values(), ids=REFUSED)
def test_a_table_unlike_that_of_training_is_refused(table, said):
    schema = data.fit_schema(TRAIN)
    with pytest.raises(DataError, match=said):
        data.apply_schema(schema, data.Dataset(table(schema), None))


UNFIT = {
    "names": ({"id": np.array([f"n{n}" for n in range(300)])}, "column 'id' has 300 categories, expected at most 256"),
    "no value": ({"a": np.full(3, np.nan)}, "column 'a' has no value in the training rows"),
    "infinite": ({"a": np.array([1, np.inf])}, "column 'a' must be finite, got infinity"),
    "one axis": (np.ones(3), r"x must have shape \(rows, ..., features\), got \(3,\)"),
    "empty": ({"a": np.ones(0)}, "at least one example, got 0"),
}


@pytest.mark.parametrize(("x", "said"), UNFIT.values(), ids=UNFIT)
def test_data_without_a_schema(x, said):
    with pytest.raises(DataError, match=said):
        data.fit_schema(data.Dataset(x, None))


def test_a_table_is_no_array():
    with pytest.raises(DataError, match="expected an array, as in training, got a table"):
        data.apply_schema(data.fit_schema(data.iris()), TRAIN)


@pytest.mark.parametrize(
    "saved", [{}, {"columns": [{"mean": 1}]}, {"columns": [{"name": "a", "mean": "x", "scale": 1}]}]
)
def test_what_is_no_saved_schema_is_refused(saved):
    with pytest.raises(DataError, match="schema: is not a saved schema"):
        data.schema_from_dict(saved)


def test_labels_are_renumbered_by_name():
    labels = data.Dataset(None, np.array([0, 1, 1]), ("dog", "eel"))
    assert data.relabel(labels, ("cat", "dog", "eel")).y.tolist() == [1, 2, 2]
    whole = data.Dataset(None, np.array([0, 1, 1]), ("3", "10"))
    assert data.relabel(whole, None).y.tolist() == [[3], [10], [10]]
    assert data.relabel(data.relabel(whole, None), ("10", "3")).y.tolist() == [1, 0, 0]
    assert data.relabel(labels, ("dog", "eel")) is not None
    with pytest.raises(
        DataError, match=r"the label 'eel' is not a class of the training data\n  Fix: did you mean 'eels'"
    ):
        data.relabel(labels, ("dog", "eels"))
    with pytest.raises(DataError, match="must be numbers for regression, got text such as 'dog'"):
        data.relabel(labels, None)
    with pytest.raises(DataError, match=r"must be one label for each row, got shape \(3, 2\)"):
        data.relabel(data.Dataset(None, np.ones((3, 2))), ("1",))


def test_categories_that_training_did_not_see_are_named():
    """Missing ones, of text or of numbers, are none."""
    schema = data.Schema(
        (data.Column("kind", categories=("1", "cat")), data.Column("size"), data.Column("absent", categories=("a",)))
    )
    text = {"kind": np.array(["cat", "cow", "", "ant"]), "size": np.ones(4)}
    assert data.unseen_categories(schema, data.Dataset(text, None)) == {"kind": ("ant", "cow")}
    assert data.unseen_categories(schema, data.Dataset({"kind": np.array([1.0, np.nan, 3.0])}, None)) == {
        "kind": ("3",)
    }
    assert data.unseen_categories(schema, data.Dataset({"kind": np.array(["1", None], object)}, None)) == {}
    assert data.unseen_categories(schema, data.Dataset(np.ones((2, 2)), None)) == {}
