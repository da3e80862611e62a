"""What is no stream is told of where it is made."""

from __future__ import annotations

import numpy as np
import pytest

import fnnet as fn


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([],), None, ""),
        ((3,), TypeError, "expected a function step -> batch, an iterable or an iterator of batches, got int"),
        (("digits.csv",), TypeError, "got str"),
        (({"x": np.ones(3)},), TypeError, "got dict"),
        (([], {"per_epoch": 0}), ValueError, "per_epoch must be"),
        (([], {"last": "keep"}), ValueError, "last must be 'weigh' or 'drop', got 'keep'"),
    ],
)
def test_what_a_stream_is_made_of(arguments, error, words):
    source, options = (*arguments, {})[:2]
    if error is None:
        assert fn.data.stream(source, **options).per_epoch is None
        return
    with pytest.raises(error, match=words):
        fn.data.stream(source, **options)


def test_a_function_gives_whole_batches():
    """A step cannot be left out, so that a shorter batch of a function is an error where it is read."""
    x = np.ones((5, 1), np.float32)
    reader = fn.data.stream(lambda step: (x[: 5 - step], x[: 5 - step]), last="drop").begin(0, None)
    assert len(next(reader.batches)[0]) == 5
    with pytest.raises(fn.errors.DataError, match="batch 1: has fewer rows than the first"):
        next(reader.batches)


def test_filling_repeats_the_rows_of_the_batch():
    """So a ragged batch's statistics are near its own; the filling weighs nothing."""
    x = np.arange(4, dtype=np.float32).reshape(4, 1)
    batches = fn.data.stream([(x, x), (x[:3], x[:3])]).begin(0, None).batches
    next(batches)
    filled, _, weight = next(batches)
    assert filled.ravel().tolist() == [0, 1, 2, 0]
    assert weight.tolist() == [1, 1, 1, 0]
