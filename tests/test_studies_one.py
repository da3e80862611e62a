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
    rows = study("09_widths", "--seeds", "2", "--steps", "200", "--scales", "1")["rows"]
    for rule, uniform in (rows[:2], rows[2:]):
        assert rule["parameters"] == pytest.approx(uniform["parameters"], rel=0.05)
        assert rule["rule"] != uniform["rule"] == "uniform"
        assert rule["accuracy"].shape == uniform["accuracy"].shape == (2,)
    assert all(row["accuracy"].min() > {"spirals": 0.4, "digits": 0.8}[row["task"]] for row in rows)
