"""Each study runs at small size, draws its picture, and what it returns bears out the fact that it is about."""

from __future__ import annotations

import pathlib
import runpy

import jax
import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


@pytest.fixture
def study(tmp_path, capsys):
    """Give a function that runs a study with arguments and returns what its main does.

    Its programs run for a moment: they are compiled without most optimizations, which takes less.
    """
    jax.config.update("jax_disable_most_optimizations", True)

    def run(name, *arguments):
        picture = tmp_path / "picture.png"
        text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        assert len(text.splitlines()) < 120
        result = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]([*arguments, "--plot", str(picture)])
        assert capsys.readouterr().out
        assert picture.stat().st_size > 5000
        return result

    yield run
    jax.config.update("jax_disable_most_optimizations", False)


def test_collapse(study):
    """The linear layers are one layer to rounding and cannot do XOR; with ReLU the same net does."""
    result = study("05_collapse", "--seeds", "2", "--steps", "200")
    assert max(result["difference"].values()) < 1e-4
    assert result["accuracy"]["XOR", "linear"].max() < 0.8
    assert result["accuracy"]["XOR", "ReLU"].min() > 0.9


def test_kernels(study):
    """On spirals the linear machine is near chance; Gaussian kernel and network, which bend, are not."""
    accuracy = study("07_kernels", "--seeds", "2", "--steps", "400", "--size", "200")["accuracy"]
    assert accuracy["spirals", "linear"].max() < 0.7
    assert min(accuracy["spirals", name].min() for name in ("Gaussian", "network")) > 0.8
    assert min(accuracy["digits", name].min() for name in ("linear", "polynomial", "Gaussian", "network")) > 0.85


@pytest.mark.usefixtures("x64")
def test_backpropagation(study):
    """In float64 the recursion is reverse mode to rounding; differences come near it and depart as the step squared."""
    result = study("10_backpropagation", "--examples", "8")
    for name in ("two layers", "six layers"):
        assert max(result["exact"]["float64", name].values()) < 1e-13
        assert all(errors.min() < 1e-8 for errors in result["numeric"]["float64", name].values())
        assert result["exponent"]["float64", name] == pytest.approx(2, abs=0.1)
        assert max(result["exact"]["float32", name].values()) < 1e-5


def test_widths(study):
    """Rules are compared at equal parameters, to 5%, over as many seeds, and both learn far beyond chance."""
    rule, uniform = study("09_widths", "--seeds", "2", "--steps", "300", "--scales", "1", "--tasks", "spirals")["rows"]
    assert (rule["rule"], uniform["rule"]) == ("expand", "uniform")
    assert rule["parameters"] == pytest.approx(uniform["parameters"], rel=0.05)
    assert rule["accuracy"].shape == uniform["accuracy"].shape == (2,)
    assert min(rule["accuracy"].min(), uniform["accuracy"].min()) > 0.5


def test_transfer(study):
    """Where digits stand in any place, a frozen body that has seen other digits beats training from scratch."""
    arguments = ("--seeds", "4", "--before", "400", "--steps", "100")
    accuracy = study("19_transfer", *arguments)["accuracy"]
    head, _, alone = (accuracy["shifted", 10, arm] for arm in dict.fromkeys(arm for *_, arm in accuracy))
    assert (head - alone).mean() > 0.03
    assert accuracy["centred", 10, "from scratch"].min() > 0.8


def test_scaling(study):
    """More data and more compute leave less error and less loss; the exponents and their intervals are below zero."""
    result = study("20_scaling", "--seeds", "3", "--parts", "10")
    assert result["error"][:, -1].max() < result["error"][:, 0].min() / 2
    assert (result["loss"][:, -1] < result["loss"][:, 0]).all()
    for power, low, high in result["powers"].values():
        assert low <= power <= high < -0.1
