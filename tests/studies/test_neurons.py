"""The studies of single neurons: each finds what it claims."""

from __future__ import annotations

import pytest


def test_threshold_units(study):
    """Units count bits on all rows; votes of equal weight tell most tumours rightly, at the θ that is best."""
    result = study("01_threshold_units")
    assert result["counted"] == 32
    assert result["shares"].max() == result["shares"][result["best"]] > 0.85
    assert result["shares"][0] < 0.5


def test_perceptron(study):
    """No order makes more mistakes than the bound; what keeps the best weights ends no worse than the last ones."""
    result = study("02_perceptron", "--orders", "50")
    assert result["mistakes"].max() <= result["bound"]
    assert all(mistakes <= bound for mistakes, bound in result["pairs"].values())
    assert result["shares"]["pocket"].min() >= result["shares"]["last weights"].max()


@pytest.mark.row("xor")
def test_xor(study):
    """No single unit learns it, as the certificate says; of 100 nets of eight hidden units at least 95 do."""
    result = study("03_xor", "--steps", "300", "--hidden", "0", "8")
    assert not result["certificate"].separable
    assert result["solved"][0] == 0
    assert result["solved"][8] >= 95


@pytest.mark.row("yes-no-questions")
def test_three_neurons(study):
    """The lecture's units make four bands; any labelling of them is decided in (a₁, a₂, a₃), few in the plane."""
    result = study("04_three_neurons", "--points", "200")
    assert result["corners"] == [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]
    assert result["separable"] == {"x": 6, "a": result["labelings"]}
    assert bool(result["learnt"].converged)
