"""Masks from image files: the numbers that were written, in the places of the images' pixels; what is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from fnnet import data
from fnnet.errors import DataError, ReadError, ShapeError

MASK = np.random.default_rng(0).integers(0, 5, (12, 18)).astype(np.uint8)


def saved(folder, name, mask, *, palette=None, mode=None):
    image = Image.fromarray(mask)
    if palette is not None:
        image.putpalette(palette)
    if mode is not None:
        image = image.convert(mode)
    path = folder / name
    image.save(path)
    return path


def mode_of(path):
    with Image.open(path) as image:
        return image.mode


def test_numbers_are_those_that_were_written(tmp_path):
    """Of grey of 8 and 16 bits, of palettes whatever their colours, and of one bit."""
    colours = np.random.default_rng(1).integers(0, 256, 768).tolist()
    paths = [
        saved(tmp_path, "grey.png", MASK),
        saved(tmp_path, "palette.png", MASK, palette=colours),
        saved(tmp_path, "deep.png", MASK.astype(np.uint16)),
        saved(tmp_path, "grey.tiff", MASK),
    ]
    assert [mode_of(path) for path in paths] == ["L", "P", "I;16", "L"]
    found = data.read_masks(paths, classes=5)
    assert (found.dtype, found.shape) == (np.int32, (4, 12, 18))
    np.testing.assert_array_equal(found, np.stack([MASK] * 4))
    many = MASK.astype(np.uint16) + 1000
    np.testing.assert_array_equal(data.read_masks([saved(tmp_path, "many.png", many)])[0], many)
    bit = saved(tmp_path, "bit.png", (255 * (MASK > 2)).astype(np.uint8), mode="1")
    np.testing.assert_array_equal(data.read_masks([bit], classes=2)[0], MASK > 2)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(24, 36), (6, 9), (12, 12), (20, 7)])
def test_masks_are_resized_as_images_are(tmp_path, size, resize):
    """A mask of large areas, and the image of the same grey, are alike but at borders, where the image is blurred."""
    areas = np.kron(np.array([[0, 1, 2], [3, 1, 0]], np.uint8), np.ones((60, 60), np.uint8))
    path = saved(tmp_path, "areas.png", areas)
    found = data.read_masks([path], size=size, resize=resize)[0]
    image = 255 * data.read_images([path], size=size, resize=resize, mode="L").x[0, ..., 0]
    assert found.shape == size
    around = np.lib.stride_tricks.sliding_window_view(found, (3, 3)).reshape(size[0] - 2, size[1] - 2, 9)
    inside = (around == around[..., :1]).all(-1)
    assert inside.sum() > 5
    np.testing.assert_allclose(image[1:-1, 1:-1][inside], found[1:-1, 1:-1][inside], atol=1e-4)


def test_a_resized_mask_has_the_pixel_that_the_centre_is_in(tmp_path):
    """Halved and then doubled, by hand; what is put around is `fill`."""
    path = saved(tmp_path, "mask.png", MASK)
    np.testing.assert_array_equal(data.read_masks([path], size=(6, 9))[0], MASK[1::2, 1::2])
    np.testing.assert_array_equal(data.read_masks([path], size=(24, 36))[0], MASK.repeat(2, 0).repeat(2, 1))
    padded = data.read_masks([path], size=(18, 18), resize="pad", fill=255)[0]
    np.testing.assert_array_equal(padded[3:15], MASK)
    assert (padded[:3] == 255).all()
    assert (padded[15:] == 255).all()


def test_masks_lie_on_their_images_when_the_file_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(MASK).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(data.read_masks([tmp_path / "turned.png"])[0], np.rot90(MASK, -1))
    np.testing.assert_array_equal(data.read_masks([tmp_path / "turned.png"], upright=False)[0], MASK)


def test_masks_of_other_sizes_than_their_images_are_refused(tmp_path):
    mask, other = saved(tmp_path, "a.png", MASK), saved(tmp_path, "b.png", MASK[:, :9])
    image = tmp_path / "image.png"
    Image.fromarray(np.zeros((12, 18, 3), np.uint8)).save(image)
    sizes = data.read_images([image, image], size=(6, 6)).sizes
    assert data.read_masks([mask, mask], sizes=sizes, size=(6, 6)).shape == (2, 6, 6)
    with pytest.raises(ReadError, match=r"b\.png: is 12 × 9 .*, and its image is 12 × 18"):
        data.read_masks([mask, other], sizes=sizes, size=(6, 6))
    with pytest.raises(DataError, match=r"masks must be of one size: .*a\.png is 12 × 18 .*b\.png is 12 × 9"):
        data.read_masks([mask, other])
    with pytest.raises(ShapeError, match=r"sizes must have shape \(1, 2\), got \(2, 2\)"):
        data.read_masks([mask], sizes=sizes)


def test_numbers_that_are_no_classes_are_refused_but_for_those_to_ignore(tmp_path):
    marked = MASK.copy()
    marked[3, 4] = 255
    path = saved(tmp_path, "marked.png", marked)
    with pytest.raises(ReadError, match=r"marked\.png: has the number 255 in row 3, column 4, expected 0 to 4"):
        data.read_masks([path], classes=5)
    np.testing.assert_array_equal(data.read_masks([path], classes=5, ignore=255)[0], marked)
    np.testing.assert_array_equal(data.read_masks([path])[0], marked)
    below = tmp_path / "below.tiff"
    Image.fromarray(MASK.astype(np.int32) - 1).save(below)
    with pytest.raises(ReadError, match=r"has the number -1 in row .*, expected 0 or more"):
        data.read_masks([below])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_no_classes(tmp_path, mode):
    path = saved(tmp_path, "colours.png", MASK, mode=mode)
    with pytest.raises(ReadError, match=rf"has mode '{mode}', whose pixels are colours, expected numbers of classes"):
        data.read_masks([path])


def test_files_that_are_none_are_refused(tmp_path):
    whole = saved(tmp_path, "whole.png", MASK).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError, match=r"cut\.png: is a truncated or damaged image"):
        data.read_masks([tmp_path / "whole.png", tmp_path / "cut.png"])
    with pytest.raises(ReadError, match=r"absent\.png: cannot be read"):
        data.read_masks([tmp_path / "absent.png"])
    with pytest.raises(DataError, match="expected at least one path of an image, got none"):
        data.read_masks([])
    for options in ({"classes": 0}, {"fill": -1}, {"fill": 0.5}, {"ignore": -1}):
        with pytest.raises((ValueError, TypeError), match=f"{next(iter(options))} must be"):
            data.read_masks([tmp_path / "whole.png"], **options)


def test_masks_are_held_once(tmp_path):
    """Beside the array that is returned, each thread holds one mask."""
    path = saved(tmp_path, "large.png", MASK.repeat(20, 0).repeat(20, 1))
    data.read_masks([path])  # what is imported at the first use is not counted
    tracemalloc.start()
    masks = data.read_masks([path] * 60, workers=4)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert masks.nbytes < most < 1.4 * masks.nbytes


def test_what_is_read_is_learnt_from(tmp_path):
    """Files to images and masks, and of both a loss and a metric."""
    import fnnet as fn

    digits = data.digits()
    scenes = data.scenes(digits.x[:50].reshape(-1, 8, 8) / 16, digits.y[:50], 3, size=(24, 24), channels=1)
    images, masks = [], []
    for number, (image, mask) in enumerate(zip(scenes.x, scenes.masks, strict=True)):
        images.append(saved(tmp_path, f"{number}.png", np.round(255 * image[..., 0]).astype(np.uint8)))
        masks.append(saved(tmp_path, f"{number}_mask.png", mask.astype(np.uint8)))
    read = data.read_images(images, mode="L")
    found = data.read_masks(masks, sizes=read.sizes, classes=11)
    np.testing.assert_array_equal(found, scenes.masks)
    np.testing.assert_allclose(read.x, scenes.x, atol=0.51 / 255)
    metric = fn.metrics.mean_iou(11)
    assert metric.compute(metric.update(metric.init(), found, scenes.masks)) == 1
