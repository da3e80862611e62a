"""Data in memory: what is refused, and that a split is exact, disjoint and the same on every machine."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnnet import data
from fnnet.errors import DataError, DtypeError

X, Y = np.ones((6, 2), np.float32), np.array([0, 1, 0, 1, 0, 1])
NAN = np.where(np.arange(12).reshape(6, 2) == 5, np.nan, 1.0)
INF = np.where(np.arange(12).reshape(6, 2) > 8, np.inf, 1.0)

REFUSED = {
    "no array": ((), None, DataError, ["at least one array, got none"]),
    "empty": ((X[:0], Y[:0]), None, DataError, ["at least one example, got 0"]),
    "lengths": ((X, Y[:5]), None, DataError, ["data['x'] has 6", "data['y'] has 5"]),
    "weights": ((X, Y, np.ones(3)), None, DataError, ["data['weight'] has 3"]),
    "nested": (({"a": X, "b": X[:2]}, Y), None, DataError, ["data['x']['b'] has 2"]),
    "scalar": ((3.0, Y), None, DataError, ["data['x']", "got a scalar"]),
    "list": (([1.0, 2.0], Y), None, DataError, ["data['x'][0]", "got a scalar"]),
    "nan": ((NAN, Y), None, DataError, ["x must be finite, got nan at row 2, column 1; 1 such", "Fix: drop or fill"]),
    "inf": ((INF, Y), None, DataError, ["got inf at row 4, column 1; 3 such"]),
    "target": ((X, NAN[:, 1]), None, DataError, ["y must be finite, got nan at row 2; 1 such"]),
    "image": ((NAN.reshape(3, 2, 2), Y[:3]), None, DataError, ["got nan at row 1, position (0, 1)"]),
    "named": (data.Dataset(NAN, Y, None, ("age", "dose")), None, DataError, ["row 2, column 1 ('dose')"]),
    "text": ((X.astype(str), Y), None, DtypeError, ["x must hold numbers, got dtype <U"]),
    "batch": ((X, Y), 7, DataError, ["batch_size of at most the 6 examples, got 7", "batch_size=6 or less"]),
    "negative weights": (
        (X, Y, np.array([1.0, -1.0, 1.0, 1.0, 1.0, 1.0])),
        None,
        DataError,
        ["weights must be at least 0", "row 1"],
    ),
    "batch 0": ((X, Y), 0, ValueError, ["batch_size must be at least 1, got 0"]),
}


@pytest.mark.parametrize(("rows", "batch_size", "error", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_named(rows, batch_size, error, said):
    with pytest.raises(error) as raised:
        data.check(rows, batch_size)
    for part in said:
        assert part in str(raised.value)


@pytest.mark.parametrize(
    "rows",
    [
        (X, Y),
        (X, Y, np.ones(6)),
        data.Dataset(X, Y),
        data.Dataset(X, None),
        (jnp.asarray(X).astype(jnp.bfloat16), Y),
        ({"a": X, "b": Y}, Y),
        X,
    ],
)
def test_good_data_pass(rows):
    data.check(rows, 6)
    assert data.length(rows) == 6


def test_take_keeps_structure_and_names():
    dataset = data.Dataset({"a": np.arange(4), "b": np.array(list("wxyz"))}, np.arange(4) * 10, ("p", "q"), ("a", "b"))
    taken = data.take(dataset, np.array([3, 0]))
    assert taken.x["a"].tolist() == [3, 0]
    assert taken.x["b"].tolist() == ["z", "w"]
    assert taken.y.tolist() == [30, 0]
    assert (taken.classes, taken.features) == (dataset.classes, dataset.features)
    assert taken.arrays == (taken.x, taken.y)


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    fraction=st.floats(0.1, 0.9),
    seed=st.integers(0, 2**32),
)
def test_two_parts_are_within_one_row_of_every_class(counts, fraction, seed):
    """Each row is in one part; sizes and class counts are the exact shares, rounded."""
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(labels))
    if not 1 <= round(len(rows) * fraction) < len(rows) or len(rows) * min(fraction, 1 - fraction) < 1:
        return
    first, second = data.split((rows, labels), (fraction, 1 - fraction), seed=seed)
    assert sorted([*first[0], *second[0]]) == rows.tolist()
    assert (labels[first[0]] == first[1]).all()
    assert abs(len(first[0]) - len(rows) * fraction) < 1
    for label, count in enumerate(counts):
        assert abs((first[1] == label).sum() - count * fraction) < 1 + 1e-6


def test_proportions_that_divide_are_exact_in_three_parts():
    labels = np.repeat([0, 1, 2], [100, 60, 20])
    parts = data.split((labels, labels), (0.5, 0.25, 0.25), seed=3)
    assert [np.bincount(part[1]).tolist() for part in parts] == [[50, 30, 10], [25, 15, 5], [25, 15, 5]]


def test_a_split_is_a_function_of_its_seed():
    """The same seed gives the same parts, now and in the future; another seed gives others."""
    rows = np.arange(10.0)
    first, again, other = (data.split((rows, rows), seed=seed)[0][0].tolist() for seed in (0, 0, 1))
    assert first == again == [3, 2, 1, 8, 6, 0, 7, 4]
    assert first != other


def test_without_labels_or_when_told_the_split_is_plain():
    labels = np.repeat([0, 1], [50, 50])
    sums = {int(data.split((labels, labels), (0.5, 0.5), stratify=False, seed=n)[0][1].sum()) for n in range(9)}
    assert len(sums) > 1
    assert {data.split((labels, labels), (0.5, 0.5), seed=n)[0][1].sum() for n in range(9)} == {25}
    dataset = data.split(data.Dataset(np.ones((10, 1)), np.ones((10, 1))), (0.3, 0.7))
    assert [len(part.x) for part in dataset] == [3, 7]


@pytest.mark.parametrize("fractions", [(), (0.5, 0.6), (1.5, -0.5), (0.5,)])
def test_fractions_must_sum_to_one(fractions):
    with pytest.raises(ValueError, match="split: fractions must be positive with sum 1, got"):
        data.split((X, Y), fractions)


def test_a_split_that_cannot_be_is_refused():
    with pytest.raises(DataError, match=r"every part must have a row, got parts of \(6, 0\) of 6 rows"):
        data.split((X, Y), (0.99, 0.01))
    with pytest.raises(ValueError, match="stratify needs y to be integer labels"):
        data.split((X, X), stratify=True)
