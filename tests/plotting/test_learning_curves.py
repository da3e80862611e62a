"""Learning curves have a panel a metric and a line a part."""

from __future__ import annotations

import io

import numpy as np

from fnnet.plotting import learning_curves


def test_a_panel_a_metric_and_a_line_a_part():
    metrics = {
        "epoch": np.array([1.0, 2.0, 3.0]),
        "step": np.array([10, 20, 30]),
        "loss": np.array([3.0, 2.0, 1.0]),
        "val_loss": np.array([3.5, 2.5, 2.0]),
        "val_accuracy": np.array([0.1, 0.5, 0.9]),
        "val_f1": np.ones((3, 4)),
    }
    figure = learning_curves(metrics, title="digits")
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert [line.get_label() for line in loss.get_lines()] == ["training", "validation"]
    np.testing.assert_array_equal(loss.get_lines()[1].get_ydata(), metrics["val_loss"])
    assert [line.get_label() for line in accuracy.get_lines()] == ["validation"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch"}
    assert figure.get_suptitle() == "digits"
    file = io.BytesIO()
    figure.savefig(file)
    assert file.getvalue().startswith(b"\x89PNG")
