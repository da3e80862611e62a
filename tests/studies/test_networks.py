"""The studies of networks: what each returns bears out the fact that it is about."""

from __future__ import annotations

import math

import numpy as np
import pytest


@pytest.mark.row("collapse")
def test_collapse(study):
    """The linear layers are one layer to rounding and cannot do XOR; with ReLU the same net does."""
    result = study("05_collapse", "--seeds", "2", "--steps", "200")
    assert max(result["difference"].values()) < 1e-4
    assert result["accuracy"]["XOR", "linear"].max() < 0.8
    assert result["accuracy"]["XOR", "ReLU"].min() > 0.9


@pytest.mark.row("features")
def test_features(study):
    """The layer of histograms of gradients is the sum of votes, pixel by pixel; on enough digits all three do well."""
    result = study("08_features", "--seeds", "2", "--steps", "60")
    images = np.random.default_rng(0).random((2, 6, 8, 1)).astype(np.float32)
    found = result["hog"](images)
    assert found.shape == (2, 2 * 3 * 4 * 9)
    np.testing.assert_allclose(found, [histograms(image[..., 0].astype(np.float64)) for image in images], atol=2e-5)
    assert min(values.min() for (_, size), values in result["accuracy"].items() if size == 675) > 0.7


def histograms(image, cell=2, bins=9, eps=0.01, most=0.2):
    """Compute the histograms of gradients of one image by loops over pixels, cells and blocks."""
    height, width = image.shape
    votes = np.zeros((height // cell, width // cell, bins))
    for i in range(height):
        for j in range(width):
            dx = image[i, min(j + 1, width - 1)] - image[i, max(j - 1, 0)]
            dy = image[min(i + 1, height - 1), j] - image[max(i - 1, 0), j]
            place = (math.atan2(dy, dx) % math.pi) / math.pi * bins - 0.5
            for n in (math.floor(place), math.floor(place) + 1):
                votes[i // cell, j // cell, n % bins] += math.hypot(dx, dy) * (1 - abs(place - n))
    features = []
    for i in range(votes.shape[0] - 1):
        for j in range(votes.shape[1] - 1):
            block = votes[i : i + 2, j : j + 2].ravel()
            block = np.minimum(block / math.sqrt(block @ block + eps**2), most)
            features.append(block / math.sqrt(block @ block + eps**2))
    return np.concatenate(features)


@pytest.mark.row("kernels")
def test_kernels(study):
    """On spirals the linear machine is near chance; Gaussian kernel and network, which bend, are not."""
    accuracy = study("07_kernels", "--seeds", "2", "--steps", "400", "--size", "200")["accuracy"]
    assert accuracy["spirals", "linear"].max() < 0.7
    assert min(accuracy["spirals", name].min() for name in ("Gaussian", "network")) > 0.8
    assert min(accuracy["digits", name].min() for name in ("linear", "polynomial", "Gaussian", "network")) > 0.85


@pytest.mark.row("backpropagation")
@pytest.mark.usefixtures("x64")
def test_backpropagation(study):
    """In float64 the recursion is reverse mode to rounding; differences come near it and depart as the step squared."""
    result = study("10_backpropagation", "--examples", "8")
    for name in ("two layers", "six layers"):
        assert max(result["exact"]["float64", name].values()) < 1e-13
        assert all(errors.min() < 1e-8 for errors in result["numeric"]["float64", name].values())
        assert result["exponent"]["float64", name] == pytest.approx(2, abs=0.1)
        assert max(result["exact"]["float32", name].values()) < 1e-5


@pytest.mark.row("widths")
def test_widths(study):
    """Rules are compared at equal parameters, to 5%, over as many seeds, and both learn far beyond chance."""
    rule, uniform = study("09_widths", "--seeds", "2", "--steps", "300", "--scales", "1", "--tasks", "spirals")["rows"]
    assert (rule["rule"], uniform["rule"]) == ("expand", "uniform")
    assert rule["parameters"] == pytest.approx(uniform["parameters"], rel=0.05)
    assert rule["accuracy"].shape == uniform["accuracy"].shape == (2,)
    assert min(rule["accuracy"].min(), uniform["accuracy"].min()) > 0.5


@pytest.mark.row("transfer")
def test_transfer(study):
    """Where digits stand in any place, a frozen body that has seen other digits beats training from scratch."""
    arguments = ("--seeds", "4", "--before", "400", "--steps", "100")
    accuracy = study("19_transfer", *arguments)["accuracy"]
    head, _, alone = (accuracy["shifted", 10, arm] for arm in dict.fromkeys(arm for *_, arm in accuracy))
    assert (head - alone).mean() > 0.03
    assert accuracy["centred", 10, "from scratch"].min() > 0.8


@pytest.mark.row("data-and-compute")
def test_scaling(study):
    """More data and more compute leave less error and less loss; the exponents and their intervals are below zero."""
    result = study("20_scaling", "--seeds", "3", "--parts", "10")
    assert result["error"][:, -1].max() < result["error"][:, 0].min() / 2
    assert (result["loss"][:, -1] < result["loss"][:, 0]).all()
    for power, low, high in result["powers"].values():
        assert low <= power <= high < -0.1
