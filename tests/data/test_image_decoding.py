"""Images: what Pillow decodes is what is read, of any format and mode; what is bad is named, skipped or raised."""

from __future__ import annotations

import builtins
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from picture_files import DEEP, SIZE, encoded, picture, put
from PIL import Image, ImageOps

import fnnet as fn
from fnnet.data import read_images
from fnnet.data.raw import read_bytes
from fnnet.errors import DataError, ExtraMissingError, ReadError


def one(path, **options):
    return read_images([path], **options).x[0]


KINDS = [
    ("PNG", "RGB"), ("PNG", "L"), ("PNG", "1"), ("PNG", "P"), ("PNG", "LA"), ("PNG", "RGBA"), ("JPEG", "RGB"),
    ("JPEG", "L"), ("JPEG", "CMYK"), ("GIF", "P"), ("BMP", "RGB"), ("PPM", "RGB"), ("TIFF", "RGB"), ("TIFF", "YCbCr"),
    ("WEBP", "RGB"), ("WEBP", "RGBA"),
]  # fmt: skip


@pytest.mark.types
@pytest.mark.parametrize(("kind", "stored"), KINDS)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_pixels_are_those_that_pillow_has(tmp_path, kind, stored, mode):
    """Of what is not transparent; bytes are shares of 255, to the bit."""
    path = put(tmp_path, "a.bin", encoded(kind, stored))
    with Image.open(path) as file:
        image = file.copy()
    if stored in ("LA", "RGBA") and mode != "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    expected = np.asarray(image.convert(mode)).reshape(*SIZE, -1) / np.float32(255)
    got = one(path, mode=mode)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)


def test_what_is_transparent_shows_the_background(tmp_path):
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    clear.putpixel((1, 0), (255, 0, 0, 255))
    clear.save(tmp_path / "clear.png")
    assert one(tmp_path / "clear.png")[0].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert one(tmp_path / "clear.png", background=0.0)[0].tolist() == [[0, 0, 0], [1, 0, 0]]
    assert one(tmp_path / "clear.png", mode="RGBA")[0].tolist() == [[1, 0, 0, 0], [1, 0, 0, 1]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png", transparency=0)
    assert one(tmp_path / "palette.png")[0].tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_sixteen_bits_are_kept(tmp_path, mode):
    path = put(tmp_path, "deep.png", encoded("PNG", "I;16"))
    grey = one(path, mode=mode)
    for channel in range(min(grey.shape[-1], 3)):
        np.testing.assert_allclose(grey[..., channel], DEEP / 65535, rtol=1e-6)
    assert mode != "RGBA" or (grey[..., 3] == 1).all()
    exact = np.asarray(Image.fromarray((DEEP / 65535).astype(np.float32)).resize((4, 3), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(one(path, mode=mode, size=(3, 4))[..., 0], exact, atol=1e-6)
    padded = one(path, mode="RGBA", size=(8, 8), resize="pad")
    assert (padded[:1] == 0).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_images_stand_upright(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = put(tmp_path, "turned", encoded(kind, exif=exif))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB")) / np.float32(255)
    np.testing.assert_array_equal(one(path), upright)
    if kind != "TIFF":  # Pillow turns those itself
        stored = np.asarray(Image.open(path).convert("RGB")) / np.float32(255)
        np.testing.assert_array_equal(one(path, upright=False), stored)
        assert orientation < 5 or one(path).shape[:2] == SIZE[::-1]


def test_three_ways_to_a_size(tmp_path):
    """Stretched as Pillow does; cut to the middle; padded on both sides with 0."""
    path = put(tmp_path, "a.png", encoded())
    image, bilinear = picture(), Image.Resampling.BILINEAR
    for resize, expected in (
        ("stretch", image.resize((4, 4), bilinear)),
        ("crop", image.resize((4, 4), bilinear, box=(1.5, 0, 7.5, 6))),
        ("pad", image.resize((4, 3), bilinear)),
    ):
        got = one(path, size=(4, 4), resize=resize)
        part = got[:3] if resize == "pad" else got
        np.testing.assert_array_equal(part, np.asarray(expected) / np.float32(255))
        assert resize != "pad" or (got[3:] == 0).all()
    np.testing.assert_array_equal(one(path, size=SIZE, resize="crop"), one(path))


def test_a_gif_that_moves_gives_its_first_frame(tmp_path):
    frames = [Image.new("L", (3, 2), grey) for grey in (10, 200)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(one(tmp_path / "moves.gif", mode="L"), 10 / 255, rtol=1e-6)


def bomb(width, height):
    """A PNG that says it has these sides, and holds next to nothing."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    )


def test_memory_is_taken_for_what_is_there_not_for_what_is_claimed(tmp_path):
    """A chunk that says it has 256 MiB, and a limit of 2 GiB, ask for neither."""
    raw = encoded()
    place = raw.index(b"IDAT") - 4
    claims = put(tmp_path, "claims.png", raw[:place] + struct.pack(">I", 2**28) + raw[place + 4 :])
    text = put(tmp_path, "a.json", b"{}")
    tracemalloc.start()
    read_images([claims, put(tmp_path, "good.png", raw)], bad="skip")
    assert read_bytes(text, 2**31) == b"{}"
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()
    long = put(tmp_path, "long.png", raw + bytes(2**24 + 2000))
    with pytest.raises(ReadError, match="bytes, and an image of at most 99 pixels has at most 16778800"):
        one(long, pixels=99)


def tiff(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    return file.getvalue()


BAD = {
    "empty": (b"", "is empty (0 bytes)"),
    "text": (b"no image at all", "is no image that is known: it begins with 6e 6f 20 69"),
    "truncated PNG": (encoded("PNG", compress_level=0)[:-60], "is a truncated or damaged image"),
    "truncated header": (encoded("JPEG")[:-80], "is a truncated or damaged image (Truncated File Read)"),
    "truncated JPEG": (encoded("JPEG")[:-20], "is a truncated or damaged image (image file is truncated"),
    "truncated GIF": (encoded("GIF", "P")[:-20], "is a truncated or damaged image"),
    "truncated BMP": (encoded("BMP")[:-20], "is a truncated or damaged image"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image that is known"),
    "large": (bomb(9000, 9000), "is 9000 × 9000 (height × width), 81000000 pixels, and at most 67108864 are decoded"),
    "bomb": (bomb(60000, 60000), "is too large an image to be decoded"),
    "no rows": (bomb(9, 0), "is "),
    "floats": (tiff(np.ones(SIZE, np.float32)), "has mode 'F', whose numbers have no known scale"),
    "32 bits": (tiff(np.full(SIZE, 70000, np.int32)), "has whole numbers from 70000 to 70000"),
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("raw", "said"), BAD.values(), ids=BAD)
def test_a_bad_file_is_raised_or_skipped_by_name(tmp_path, raw, said):
    good, bad = put(tmp_path, "good.png", encoded()), put(tmp_path, "bad.png", raw)
    with pytest.raises(ReadError) as raised:
        read_images([good, bad, good], size=(4, 4), workers=2)
    assert str(raised.value).startswith(f"{bad}: {said}")
    for paths in ([good, bad, good], [bad, good, good], [good, good, bad]):
        read = read_images(paths, bad="skip")
        assert [paths[number] for number in read.kept] == [good, good]
        assert len(read.skipped) == 1
        assert [tuple(size) for size in read.sizes] == [one(good).shape[:2]] * 2
        assert read.skipped[0].startswith(f"{bad}: {said}")
        np.testing.assert_array_equal(read.x, np.stack([one(good)] * 2))
    with pytest.raises(DataError, match=r"none of 2 image\(s\) can be read; the first: .*bad.png"):
        read_images([bad, bad], bad="skip")


def test_the_sizes_are_those_before_images_were_resized(tmp_path):
    """Upright, as the boxes of their annotations are."""
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = [tmp_path / "wide.png", tmp_path / "turned.png"]
    Image.new("L", (9, 4)).save(paths[0])
    Image.new("L", (9, 4)).save(paths[1], exif=exif)
    assert read_images(paths, size=(2, 2)).sizes.tolist() == [[4, 9], [9, 4]]


def test_paths_that_are_no_files(tmp_path):
    for path, said in ((tmp_path / "gone.png", "cannot be read"), (tmp_path, "is a directory, expected an image")):
        with pytest.raises(ReadError, match=said):
            read_images([path])
    with pytest.raises(ReadError, match="cannot be read"):
        read_images(["a\0b.png"])
    with pytest.raises(DataError, match="expected at least one path of an image, got none"):
        read_images([])


def test_images_of_two_sizes_need_one(tmp_path):
    small, large = put(tmp_path, "a.png", encoded()), tmp_path / "b.png"
    Image.new("RGB", (8, 4)).save(large)
    with pytest.raises(DataError) as raised:
        read_images([small, small, large], bad="skip")
    assert f"one size: {small} is 6 × 9 (height × width), {large} is 4 × 8 (height × width)" in str(raised.value)
    assert "pass size=(height, width)" in str(raised.value)
    assert read_images([small, large], size=(3, 3)).x.shape == (2, 3, 3, 3)


def test_the_order_is_that_of_the_paths_however_many_threads(tmp_path):
    greys = np.random.default_rng(0).permutation(60)
    for grey in greys:
        Image.new("L", (40, 40), int(grey)).save(tmp_path / f"{grey}.png")
    paths = [tmp_path / f"{grey}.png" for grey in greys]
    for workers in (1, 5):
        x = read_images(paths, mode="L", size=(2, 2), workers=workers).x
        np.testing.assert_allclose(x[:, 0, 0, 0] * 255, greys, rtol=1e-6)


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"mode": "CMYK"}, ValueError, "mode must be one of 'L', 'RGB', 'RGBA', got 'CMYK'"),
        ({"size": 4}, ValueError, r"size must be \(height, width\), got 4"),
        ({"size": (4, 0)}, ValueError, "the width must be at least 1, got 0"),
        ({"resize": "fit"}, ValueError, "resize must be one of 'stretch', 'crop', 'pad', got 'fit'"),
        ({"bad": "ignore"}, ValueError, "bad must be 'raise' or 'skip', got 'ignore'"),
        ({"background": 255}, ValueError, r"background must be a grey of \[0, 1\], got 255"),
        ({"pixels": 0}, ValueError, "pixels must be at least 1, got 0"),
        ({"workers": 0}, ValueError, "workers must be at least 1, got 0"),
    ],
)
def test_options_that_are_none(tmp_path, options, error, said):
    with pytest.raises(error, match=said):
        read_images([put(tmp_path, "a.png", encoded())], **options)


@pytest.mark.untyped
def test_one_path_is_not_many(tmp_path):
    with pytest.raises(TypeError, match="expected a list of paths, got one"):
        read_images(put(tmp_path, "a.png", encoded()))


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **options):
        if name.startswith("PIL"):
            raise ModuleNotFoundError("No module named 'PIL'", name="PIL")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ExtraMissingError, match=r"read_images: needs the module 'PIL'.*\n.*fnnet\[images\]"):
        fn.data.read_images([tmp_path / "a.png"])
