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


@pytest.mark.row("gradient-instabilities")
def test_deep_gradients(study):
    """Through ten layers the plain net's gradient fades, clipped or not; with skips it does not, and the net learns."""
    sizes = ("--depths", "10", "--seeds", "2", "--steps", "80", "--rates", "3")
    found = study("14_deep_gradients", *sizes, "--quick")[10]
    plain, skip = found["plain: sigmoid, small weights"], found["skip connections"]
    assert plain["ratio"].max() < 1e-5
    np.testing.assert_array_equal(found["clipping"]["ratio"], plain["ratio"])
    assert skip["ratio"].min() > 0.1
    assert skip["accuracy"].min() > plain["accuracy"].max() + 0.1
    assert found["ReLU, gain 8"]["ratio"].min() > 100
    assert found["ReLU, He's variance, bias -2"]["dead"].min() > 0.9 > found["ReLU, He's variance"]["dead"].max()


@pytest.mark.row("initialization")
def test_initialization(study):
    """Units that begin equal stay one unit; ReLU's variance stays with He's initializer, and not with LeCun's."""
    result = study("15_initialization", "--seeds", "2", "--steps", "100", "--depth", "30", "--quick")
    units = result["symmetry"]
    for name in ("zeros", "constant 0.1"):
        assert units[name]["distinct"] == 1
        assert units[name]["from one unit"] < 1e-4
        assert units[name]["accuracy"].max() < 0.6 < units["random"]["accuracy"].min()
    assert units["random"]["distinct"] == 16
    logs = {pair: both[0] for pair, both in result["variance"].items()}
    assert np.abs(logs["relu", "he_normal"]).max() < np.log10(200) < np.abs(logs["relu", "lecun_normal"]).min()
    assert np.isnan(logs["relu", "zeros"]).all()
    assert logs["relu", "normal 1"].min() > 20


@pytest.mark.row("batch-norm")
def test_batch_norm(study):
    """Normalized, the net learns at more rates; its answers at inference do not depend on the rest of the batch."""
    result = study("16_batch_norm", "--seeds", "2", "--steps", "120")
    without, normalized = result["widths"][0.7]
    assert (normalized > 2 * without).all()
    alone, paired = result["moved"]
    assert alone < 1e-4 < 1 < paired
    assert result["running"].min() > 0.85
    assert result["by_size"][0].max() < 0.3  # a batch of one has no variance


@pytest.mark.row("clipping")
def test_clipping(study):
    """Runs end in what is not finite without clipping alone; what is left of a gradient is within its bound."""
    result = study("17_clipping", "--seeds", "2", "--steps", "100")
    assert result["lost"][0].any()
    assert not result["lost"][1:].any()
    none, _, by_norm, by_leaf, _ = result["left"]
    np.testing.assert_allclose(none[np.isfinite(none)], 1, rtol=1e-3)
    assert (by_norm * result["norm"][2]).max() < 1.001
    assert (by_leaf * result["norm"][3]).max() < 1.001 * 5**0.5  # five leaves, each of at most 1
    assert (result["validation"][1:, -2].mean(-1) > result["validation"][0, -2].mean() + 0.1).all()


@pytest.mark.row("schedules")
def test_schedules(study):
    """A rate that falls to nothing bears a start at which a constant one is lost; the range test is below that."""
    result = study("18_schedules", "--steps", "200", "--seeds", "3", "--names", "cosine")
    constant, cosine = (result["rows"][name]["by peak"].mean(1) for name in ("constant", "cosine"))
    assert cosine[4] > constant[4] + 0.1
    assert constant[0] > cosine[0]
    assert 0.01 < result["suggested"] < 0.56
