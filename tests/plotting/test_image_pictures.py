"""Pictures of images show the pixels, boxes, masks, counts and kernels that they are given, where they are."""

from __future__ import annotations

import io

import jax.numpy as jnp
import numpy as np
import pytest

from fnnet.boxes import Detections, Objects
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.plotting import confusion, feature_maps, filters, heat_over, images, masks, objects

GREY = np.linspace(0, 1, 2 * 6 * 8).reshape(2, 6, 8, 1)


def drawn(figure):
    file = io.BytesIO()
    figure.savefig(file)
    return file.getvalue().startswith(b"\x89PNG")


def pixels(axes, n=0):
    return np.ma.filled(axes.images[n].get_array(), np.nan)


def test_images_are_shown_as_they_are():
    """From 0 to 1 or, of bytes, to 255; from least to greatest where they are others. Pixels are cells."""
    figure = images(GREY, ["first", 2], columns=1, title="two $")
    assert [axes.get_title() for axes in figure.axes] == ["first", "2"]
    for axes, image in zip(figure.axes, GREY, strict=True):
        np.testing.assert_array_equal(pixels(axes), image[..., 0])
        assert axes.images[0].get_extent() == [0, 8, 6, 0]
        assert axes.images[0].get_clim() == (0, 1)
    assert drawn(figure)
    colours = np.stack([GREY[0, ..., 0], 1 - GREY[0, ..., 0], 0 * GREY[0, ..., 0]], -1)
    np.testing.assert_array_equal(pixels(images(colours).axes[0]), colours)
    np.testing.assert_array_equal(
        pixels(images((colours * 255).astype(np.uint8)).axes[0]) * 255 // 1, colours * 255 // 1
    )
    np.testing.assert_allclose(pixels(images(GREY * 4 - 2).axes[1]), GREY[1, ..., 0])
    np.testing.assert_array_equal(pixels(images(jnp.asarray(GREY[..., 0], jnp.bfloat16)).axes[0])[0, 0], 0)
    assert len(images(np.ones((6, 8))).axes) == len(images(np.full((6, 8, 1), 5.0)).axes) == 1


def there():
    boxes = np.array([[[1.0, 1, 4, 5], [2, 2, 8, 6]], [[0, 0, 3, 3], [0, 0, 0, 0]]])
    return Objects(boxes, np.array([[1, 2], [9, 0]]), np.array([[True, True], [True, False]]))


def found():
    boxes = np.array([[[1.0, 1, 5, 5], [0, 0, 1, 1]], [[0, 0, 3, 4], [0, 0, 0, 0]]])
    scores, valid = np.array([[0.9, 0.1], [0.75, 0.0]]), np.array([[True, True], [True, False]])
    return Detections(boxes, scores, np.array([[1, 0], [3, 0]]), valid)


def rectangles(axes, *, dashed):
    """The boxes of the coloured lines, solid or dashed, and their colours."""
    lines = [line for line in axes.get_lines() if line.get_color() != "black" and line.is_dashed() == dashed]
    return [(min(x), min(y), max(x), max(y), line.get_color()) for line in lines for x, y in [line.get_data()]]


def test_boxes_are_where_they_are():
    """True ones dashed, found ones solid, of one colour a class; padding and what scores too little are left out."""
    figure = objects(GREY, there(), found(), score=0.5, title="boxes")
    first, second = figure.axes
    assert [box[:4] for box in rectangles(first, dashed=True)] == [(1, 1, 4, 5), (2, 2, 8, 6)]
    assert [box[:4] for box in rectangles(first, dashed=False)] == [(1, 1, 5, 5)]
    assert [box[:4] for box in rectangles(second, dashed=True)] == [(0, 0, 3, 3)]
    assert rectangles(first, dashed=True)[0][4] == rectangles(first, dashed=False)[0][4]
    assert rectangles(first, dashed=True)[1][4] != rectangles(first, dashed=False)[0][4]
    assert [text.get_text() for text in first.texts] == ["1", "2", "1 0.90"]
    assert [text.get_text() for text in second.texts] == ["9", "3 0.75"]
    assert drawn(figure)
    named = objects(GREY, found=found(), classes=["a_$", "b", "c", "d"])
    assert [text.get_text() for text in named.axes[0].texts] == ["b 0.90", "a_$ 0.10"]
    assert drawn(named)
    alone = Objects(*(part[0] for part in there()[:3]))
    assert len(rectangles(objects(GREY[0], alone).axes[0], dashed=True)) == 2


def test_masks_are_coloured_by_class():
    """The background stays grey; a region has its name at one of its pixels; the ignored are black and do not count."""
    truth = np.zeros((2, 6, 8), int)
    truth[0, 2:4, 3:6], truth[0, 5, 7] = 2, 255
    predicted = np.where(truth == 255, 1, truth)
    predicted[0, 0, :4] = 1
    figure = masks(GREY, truth, predicted, classes=["ground", "one", "two"], ignore=255, title="masks")
    assert [axes.get_title() for axes in figure.axes] == [
        "image", "true", f"predicted, {43 / 47:.1%} right", "image", "true", "predicted, 100.0% right",
    ]  # fmt: skip
    _, true, guess, *_ = figure.axes
    assert [text.get_text() for text in true.texts] == ["two"]
    assert sorted(text.get_text() for text in guess.texts) == ["one", "two"]
    x, y = true.texts[0].get_position()
    assert truth[0, int(y), int(x)] == 2
    shown = pixels(true)
    grey = (np.ptp(shown, axis=-1) < 1e-9) & (shown[..., 0] > 0)
    np.testing.assert_array_equal(grey, truth[0] == 0)
    np.testing.assert_array_equal(shown[5, 7], 0)
    assert drawn(figure)
    assert [axes.get_title() for axes in masks(GREY[0], predicted=predicted[0]).axes] == ["image", "predicted"]


def test_counts_of_a_confusion_matrix():
    """Each cell its number and its share of the row as colour; frames along the diagonal; none of either for many."""
    matrix = np.array([[8, 2, 0], [0, 0, 0], [1, 2, 1]])
    figure = confusion(jnp.asarray(matrix), ["cat", "dog_$", "fish"], title="animals")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == [str(count) for count in matrix.ravel()]
    assert [text.get_position() for text in axes.texts[:2]] == [(0, 0), (1, 0)]
    np.testing.assert_allclose(pixels(axes), [[0.8, 0.2, 0], [0, 0, 0], [0.25, 0.5, 0.25]])
    assert [tuple(np.mean(line.get_data(), 1)[:1].round(1)) for line in axes.get_lines()] == [(-0.1,), (0.9,), (1.9,)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog_$", "fish"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert drawn(figure)
    assert [text.get_text() for text in confusion(np.eye(2) / 2).axes[0].texts] == ["0.50", "0.00", "0.00", "0.50"]
    assert not confusion(np.eye(30)).axes[0].texts


def test_kernels_are_tiles():
    """One input: in order, row by row; three: in colours about grey; more: rows are outputs and columns inputs."""
    one = np.arange(2 * 3 * 5.0).reshape(2, 3, 1, 5)
    tiles = pixels(filters(one).axes[0])
    np.testing.assert_array_equal(tiles[:2, :3], one[..., 0, 0])
    np.testing.assert_array_equal(tiles[:2, 4:7], one[..., 0, 1])
    np.testing.assert_array_equal(tiles[3:5, :3], one[..., 0, 2])
    assert np.isnan(tiles[2]).all()
    assert filters(one).axes[0].images[0].get_clim() == (-29, 29)
    three = np.linspace(-1, 0.5, 2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    figure = filters(three, title="conv_0")
    np.testing.assert_allclose(pixels(figure.axes[0])[:2, 3:5], 0.5 + three[..., 1] / 2)
    assert drawn(figure)
    more = np.arange(2 * 2 * 4 * 5.0).reshape(2, 2, 4, 5)
    figure = filters(more, most=4)
    tiles = pixels(figure.axes[0])
    assert tiles.shape == (4 * 3 - 1, 4 * 3 - 1)
    np.testing.assert_array_equal(tiles[6:8, 3:5], more[..., 1, 2])
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("input", "output")
    assert drawn(filters(jnp.zeros((3, 3, 1, 2))))


def test_maps_are_tiles():
    """Of one scale, or each from 0 to 1."""
    maps = np.arange(4 * 4 * 4.0).reshape(4, 4, 4) * np.array([1.0, 2, 3, 0])
    figure = feature_maps(maps, title="conv_0")
    np.testing.assert_array_equal(pixels(figure.axes[0])[5:9, :4], maps[..., 2])
    assert figure.axes[0].images[0].get_clim() == (0, maps.max())
    assert drawn(figure)
    own = pixels(feature_maps(maps, shared=False).axes[0])
    np.testing.assert_allclose(own[:4, :4], maps[..., 0] / maps[..., 0].max())
    np.testing.assert_array_equal(own[5:9, 5:9], 0)
    assert pixels(feature_maps(maps, most=1).axes[0]).shape == (4, 4)


def test_heat_covers_what_is_hot():
    """Of its own image's scale; what is cold lets the image through, which is grey."""
    heat = np.zeros((2, 6, 8))
    heat[0, 2, 3], heat[0, 0, 0] = 4.0, 1.0
    figure = heat_over(np.repeat(GREY, 3, -1), heat, ["a", "b"], strength=0.5, title="heat")
    first, second = figure.axes
    np.testing.assert_array_equal(pixels(first, 1), heat[0] / 4)
    np.testing.assert_array_equal(first.images[1].get_alpha(), heat[0] / 8)
    assert not second.images[1].get_alpha().any()
    assert first.images[1].get_extent() == first.images[0].get_extent()
    assert drawn(figure)
    assert len(heat_over(GREY[0], heat[0]).axes) == 1


@pytest.mark.parametrize(
    ("draw", "error", "said"),
    [
        (lambda: images(np.ones((2, 6, 8, 2))), ShapeError, r"with C = 1 or 3, got \(2, 6, 8, 2\)"),
        (lambda: images(np.ones((0, 6, 8, 1))), ShapeError, r"got \(0, 6, 8, 1\)"),
        (lambda: images(GREY * np.nan), DataError, "images: the values must be finite"),
        (lambda: images(GREY, ["one"]), ShapeError, "expected 2 titles, got 1"),
        (lambda: images(GREY, columns=0), ValueError, "images: columns must be at least 1, got 0"),
        (lambda: images(np.array([["a"]])), DtypeError, "must be numbers, got <U1"),
        (lambda: objects(GREY[:1], there()), ShapeError, r"truth must have shape \(1, k, 4\), got \(2, 2, 4\)"),
        (lambda: objects(GREY, found=found(), classes=["a", "b"]), DataError, "class 3 is not one of the 2 that are"),
        (lambda: masks(GREY, np.zeros((2, 6, 7), int)), ShapeError, r"shape \(2, 6, 8\), got \(2, 6, 7\)"),
        (lambda: masks(GREY, np.zeros((2, 6, 8))), DtypeError, "true mask must hold whole numbers, got float64"),
        (lambda: masks(GREY, np.full((2, 6, 8), 3), classes=["a"]), DataError, "class 3 is not one of the 1"),
        (lambda: confusion(np.ones((2, 3))), ShapeError, r"must have shape \(n, n\), got \(2, 3\)"),
        (lambda: confusion(np.eye(2), ["a"]), ShapeError, "expected 2 classes, got 1"),
        (lambda: confusion(-np.eye(2)), DataError, "finite and at least 0"),
        (lambda: filters(np.ones((3, 3))), ShapeError, r"\(h, w, inputs, outputs\), got \(3, 3\)"),
        (lambda: filters(np.full((3, 3, 1, 1), np.inf)), DataError, "filters: the values must be finite"),
        (lambda: feature_maps(np.ones((1, 6, 8, 2))), ShapeError, r"\(H, W, C\), got \(1, 6, 8, 2\)"),
        (lambda: heat_over(GREY, np.ones((2, 8, 6))), ShapeError, r"shape \(2, 6, 8\), got \(2, 8, 6\)"),
        (lambda: heat_over(GREY, -np.ones((2, 6, 8))), DataError, "heat must be at least 0, got -1"),
        (
            lambda: heat_over(GREY, np.ones((2, 6, 8)), strength=2.0),
            ValueError,
            "strength must be from 0 to 1, got 2.0",
        ),
    ],
)
def test_what_cannot_be_drawn(draw, error, said):
    with pytest.raises(error, match=said):
        draw()
