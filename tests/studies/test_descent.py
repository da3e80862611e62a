"""The studies of training: what each returns bears out the fact that it is about."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.row("hierarchy")
def test_representations(study):
    """A linear classifier does better on every trained layer's outputs than on those at the start."""
    result = study("06_representations", "--epochs", "3", "--seeds", "1")
    assert result["paths"] == ("input", "dense_0", "dense_1", "dense_2", "dense_3")
    start, trained = result["at the start"][0], result["trained"][0]
    assert start[0] == trained[0]
    assert (trained[1:] > start[1:]).all()


@pytest.mark.row("batches")
def test_batches(study):
    """The variance of the gradient of a batch goes as one over its size; all examples need most of them to be seen."""
    result = study("11_batches", "--steps", "500", "--seeds", "1")
    assert result["slope"] == pytest.approx(-1, abs=0.05)
    seen = {size: size * steps[0] for size, steps in result["updates"][0.1].items() if steps[0] is not None}
    assert max(seen, key=seen.get) == max(seen) == 569


@pytest.mark.row("optimizer-table")
def test_optimizers(study):
    """On a quadratic that is ill-conditioned momentum beats plain descent, at rates tuned on other seeds."""
    result = study("12_optimizers", "--quick", "--seeds", "3", "--rates", "5")
    names = [record["name"] for record in result["speed"]]
    assert sorted(names) == sorted(record["name"] for record in result["quality"])
    assert names.index("momentum") < names.index("SGD")
    for record in (*result["speed"], *result["quality"]):
        assert 1 <= record["low"] <= record["rank"] <= record["high"] <= len(names)
    assert result["worth"].shape == result["log_steps"].shape == (len(names), 1, 2)
    assert np.isfinite(result["log_steps"]).all()


@pytest.mark.row("activations")
def test_activations(study):
    """What the table says of range, saturation and derivative is what the functions do."""
    result = study("13_activations", "--size", "1000", "--rounds", "1")
    assert set(result["checks"]) == set(result["ratios"])
    for name, own in result["checks"].items():
        assert own["inside"], name
        assert own["reverse"] < 1e-6, name
    assert result["ratios"]["relu"] == (1, 1)


@pytest.mark.row("schedules")
def test_schedules(study):
    """A rate that falls to nothing bears a start at which a constant one is lost; the range test is below that."""
    result = study("18_schedules", "--steps", "200", "--seeds", "3", "--names", "cosine")
    constant, cosine = (result["rows"][name]["by peak"].mean(1) for name in ("constant", "cosine"))
    assert cosine[4] > constant[4] + 0.1
    assert constant[0] > cosine[0]
    assert 0.01 < result["suggested"] < 0.56
