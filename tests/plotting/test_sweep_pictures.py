"""Pictures of sweeps show every record at the place that its values say."""

from __future__ import annotations

import io
import math

import numpy as np

from fnnet.plotting import heat_map, parallel_coordinates

RECORDS = [
    {"rate": rate, "hidden": hidden, "loss": loss}
    for rate, hidden, loss in [
        (1e-3, "64", 3.0), (1e-3, "128,64", 2.0), (1e-2, "64", 1.0), (1e-2, "128,64", 0.5), (1e-1, "64", math.nan),
        (1e-3, "64", 4.0),
    ]
]  # fmt: skip


def drawn(figure):
    file = io.BytesIO()
    figure.savefig(file)
    return file.getvalue().startswith(b"\x89PNG")


def test_a_line_a_record_with_logarithmic_rates():
    figure = parallel_coordinates(RECORDS, ["rate", "hidden"], "loss", title="digits_$")
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 1 and line.get_zorder() > 0]
    rows = sorted((list(line.get_ydata()) for line in lines), key=len)
    assert rows[0] == [1.0, 0.0]  # the one that diverged ends before the last axis
    by_loss = sorted(rows[1:], key=lambda row: row[-1])
    np.testing.assert_allclose(by_loss, [[0.5, 1, 0], [0.5, 0, 1 / 7], [0, 1, 3 / 7], [0, 0, 5 / 7], [0, 0, 1]])
    assert drawn(figure)


def test_labels_do_not_touch():
    """Of few values each is labelled that has the room, of many five places of the axis; the ends always."""
    few, many = [1.0, 1.01, 2.0, 5.0, 5.02], np.linspace(0.01, 1, 40)
    records = [{"few": few[n % 5], "many": float(v), "name": ["", "a"][n % 2], "loss": 2.0} for n, v in enumerate(many)]
    texts = parallel_coordinates(records, ["few", "many", "name"], "loss").axes[0].texts
    by_axis = [[text.get_text() for text in texts if text.xy[0] == x] for x in range(4)]
    assert by_axis == [["1", "2", "5.02"], ["0.01", "0.0316", "0.1", "0.316", "1"], ['""', "a"], ["2"]]


def test_a_cell_is_the_mean_of_its_records():
    figure = heat_map(RECORDS, "rate", "hidden", "loss")
    cells = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(cells.filled(-1), [[3.5, 1.0, -1], [2.0, 0.5, -1]])
    assert [text.get_text() for text in figure.axes[0].texts] == ["3.5", "1", "–", "2", "0.5", "–"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0.001", "0.01", "0.1"]
    assert drawn(figure)
