"""Boxes drawn over images: where they lie, in what colours, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import fnnet as fn
from fnnet.data.images.drawing import write_overlay


@pytest.fixture
def grey(tmp_path):
    """An image of 100 × 200 (height × width), of which each pixel is 2 × 2 of its overlay."""
    Image.new("L", (200, 100), 128).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def drawn(path, boxes, words, colours):
    write_overlay(path.with_name("out.png"), path, np.array(boxes, np.float64), words, np.array(colours))
    return np.asarray(Image.open(path.with_name("out.png")))


def test_a_box_is_a_frame_around_its_pixels(grey):
    """Outside of the frame and of the plate of its word, above it, all stays; within it too."""
    pixels = drawn(grey, [[20.0, 40.0, 60.0, 80.0]], ["cat 0.9"], [1])
    assert pixels.shape == (200, 400, 3)
    frame = (pixels[:, :] == [86, 180, 233]).all(-1)
    rows, columns = np.nonzero(frame)
    assert (rows.max(), columns.min()) == (159, 40)
    assert frame[80:160, 40].all()
    assert frame[80:160, 119].all()
    assert frame[159, 40:120].all()
    assert (pixels[82:158, 42:118] == 128).all()
    assert (pixels[:, 130:] == 128).all()
    assert (pixels[160:] == 128).all()
    assert 60 < rows.min() < 80


def test_the_first_box_is_in_front_and_colours_come_again(grey):
    box = [20.0, 40.0, 60.0, 80.0]
    both = drawn(grey, [box, box], ["a", "a"], [8, 0])
    np.testing.assert_array_equal(both, drawn(grey, [box], ["a"], [1]))


def test_nothing_to_draw_is_the_image_upright_and_large_enough(tmp_path):
    turned = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    pixels = drawn(tmp_path / "turned.png", np.zeros((0, 4)), [], [])
    want = np.rot90(np.asarray(turned), -1).repeat(128, 0).repeat(128, 1)
    np.testing.assert_array_equal(pixels, np.repeat(want[..., None], 3, 2))
    large = Image.new("RGB", (500, 3))
    large.save(tmp_path / "large.png")
    assert drawn(tmp_path / "large.png", np.zeros((0, 4)), [], []).shape == (3, 500, 3)


@pytest.mark.parametrize("word", ["Ärger", "猫", "a\nb", ""])
def test_any_word_can_be_said(grey, word):
    assert (drawn(grey, [[0.0, 0.0, 200.0, 100.0]], [word], [0]) != 128).any()


def test_sixteen_bits_of_grey_are_shown_as_eight(tmp_path):
    Image.fromarray(np.full((4, 4), 65535, np.uint16)).save(tmp_path / "deep.png")
    assert (drawn(tmp_path / "deep.png", np.zeros((0, 4)), [], []) == 255).all()


def test_what_does_not_belong_together_is_refused(grey):
    with pytest.raises(fn.errors.ShapeError, match="k words and k colours, got"):
        write_overlay(grey, grey, np.zeros((1, 4)), ["a", "b"], np.array([0]))
    with pytest.raises(fn.errors.ReadError, match=r"absent\.png: cannot be read"):
        write_overlay(grey, grey.with_name("absent.png"), np.zeros((0, 4)), [], np.zeros(0, int))
