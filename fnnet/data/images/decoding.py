"""One image file to an array, with Pillow: which formats and modes are taken, what is refused, and what is said."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from fnnet.data.images.placing import Resize, Size, check_resize, check_size, describe, placement
from fnnet.errors import FnnetError, ReadError, needs_extra
from fnnet.shapes import check_count

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

Mode: TypeAlias = Literal["L", "RGB", "RGBA"]
"""Grey, colours, colours with what is transparent: 1, 3 and 4 channels."""

CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}

MOST_PIXELS = 2**26
"""An image of more pixels is refused before it is decoded, unless more are asked for: 8192 × 8192."""

# Some of Pillow's other formats start programs, and most have decoders that few have looked at.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_WIDEST, _BESIDE = 16, 2**24  # bytes of a file for a pixel, and for all that is no pixel
_BYTES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")


class Wanted(NamedTuple):
    """What an image is made into; `size` None leaves it as it is."""

    size: Size | None
    mode: Mode
    resize: Resize
    background: float
    upright: bool
    pixels: int


def wanted(
    where: str, size: Size | None, mode: str, resize: str, background: float, upright: bool, pixels: int
) -> Wanted:
    """Check what is asked for; ValueError for what is none of it, ExtraMissingError without Pillow."""
    if mode not in get_args(Mode):
        raise ValueError(f"{where}: mode must be one of 'L', 'RGB', 'RGBA', got {mode!r}")
    check_resize(where, resize)
    if isinstance(background, bool) or not isinstance(background, int | float) or not 0 <= background <= 1:
        raise ValueError(f"{where}: background must be a grey of [0, 1], got {background!r}")
    check_count(where, "pixels", pixels)
    with needs_extra(where, "images"):
        import PIL.Image  # noqa: F401
    size = None if size is None else check_size(where, size)
    return Wanted(size, mode, resize, float(background), upright, pixels)  # type: ignore[arg-type]


def decoded(path: Path, want: Wanted, check: Callable[[Size], None] | None = None) -> np.ndarray:
    """Return one image (H, W, channels): bytes, or float32 of [0, 1] where the file has 16 bits of grey.

    `check` is given its size, upright, before it is resized.

    Raises: ReadError, with the reason, for what is absent, empty, no image, truncated, too large, or of a mode whose
    numbers have no known scale.
    """
    image = loaded(path, want)
    if check is not None:
        check((image.height, image.width))
    with _named(path):
        return _of_sixteen_bits(path, image, want) if image.mode in _SIXTEEN_BITS else _of_bytes(image, want)


def loaded(path: Path, want: Wanted) -> Image:
    """Return the first frame, decoded, and turned as its EXIF orientation says."""
    from PIL import Image as pillow  # noqa: N813
    from PIL import UnidentifiedImageError

    content = _content(path, want.pixels)
    try:
        opened = pillow.open(io.BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError as error:
        fix = f"expected one of {', '.join(_FORMATS)}; convert it, or take it out."
        raise ReadError(str(path), f"is no image that is known: it begins with {content[:4].hex(' ')}", fix) from error
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        fix = "make it smaller; or, if it is trusted, raise PIL.Image.MAX_IMAGE_PIXELS and pass pixels=."
        raise ReadError(str(path), f"is too large an image to be decoded ({error})", fix) from error
    except Exception as error:
        raise _damaged(path, error) from error
    with _named(path):
        pixels = opened.width * opened.height
        if not 0 < pixels <= want.pixels:
            size = describe((opened.height, opened.width))
            problem = f"is {size}, {pixels} pixels, and at most {want.pixels} are decoded"
            raise ReadError(str(path), problem, "make it smaller; or, if it is trusted, pass pixels=.")
        if opened.mode not in (*_BYTES, *_SIXTEEN_BITS):
            problem = f"has mode {opened.mode!r}, whose numbers have no known scale"
            raise ReadError(str(path), problem, "save it with 8 or 16 bits a channel.")
        opened.load()
        turn = _turn(opened) if want.upright else None
        return opened if turn is None else opened.transpose(turn)


def _content(path: Path, pixels: int) -> bytes:
    """Return the bytes of a file: Pillow, reading it itself, would take the memory that a damaged one asks for."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for
            kind = "a directory" if stat.S_ISDIR(about.st_mode) else "no ordinary file"
            raise ReadError(str(path), f"is {kind}, expected an image", "pass the paths of image files.")
        if about.st_size > (most := _BESIDE + _WIDEST * pixels):
            problem = f"has {about.st_size} bytes, and an image of at most {pixels} pixels has at most {most}"
            raise ReadError(str(path), problem, "make it smaller; or, if it is trusted, pass pixels=.")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, ReadError):
            raise
        said = getattr(error, "strerror", None) or error
        raise ReadError(str(path), f"cannot be read ({said})", "check the path.") from error
    if not content:
        raise ReadError(str(path), "is empty (0 bytes)", "fetch or write the file again.")
    return content


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn whatever Pillow raises within into a ReadError of the file: damaged bytes raise errors of many kinds."""
    try:
        yield
    except FnnetError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ReadError:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return ReadError(str(path), f"is a truncated or damaged image ({said})", "fetch the file again, or take it out.")


def _turn(image: Image) -> Transpose | None:
    """Return how an image is turned upright; None for one that is, or whose EXIF data cannot be read."""
    from PIL.Image import Transpose

    try:
        orientation = int(image.getexif().get(0x0112, 1))
    except Exception:
        return None
    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)


def _of_bytes(image: Image, want: Wanted) -> np.ndarray:
    from PIL import Image as pillow  # noqa: N813

    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        if want.mode != "RGBA":
            grey = round(255 * want.background)
            image = pillow.alpha_composite(pillow.new("RGBA", image.size, (grey, grey, grey, 255)), image)
    return _sized(image.convert(want.mode), want)


def _of_sixteen_bits(path: Path, image: Image, want: Wanted) -> np.ndarray:
    from PIL import Image as pillow  # noqa: N813

    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        problem = f"has whole numbers from {low} to {high}, expected 16 bits, 0 to 65535"
        raise ReadError(str(path), problem, "save it with 8 or 16 bits a channel.")
    grey = _sized(pillow.fromarray(values.astype(np.float32) / np.float32(65535)), want)
    whole = np.repeat(grey, CHANNELS[want.mode], axis=2)
    if want.mode == "RGBA":
        whole[..., 3] = _sized(pillow.new("F", image.size, 1.0), want)[..., 0]
    return whole


def _sized(image: Image, want: Wanted) -> np.ndarray:
    """Return an image as an array (H, W, channels) of the size asked for: bilinear, over all pixels that one covers."""
    from PIL.Image import Resampling

    if want.size is None or (want.size == (image.height, image.width)):
        array = np.asarray(image)
        return array.reshape(*array.shape[:2], -1)
    at = placement((image.height, image.width), want.size, want.resize)
    left, top, right, bottom = at.target
    part = np.asarray(image.resize((right - left, bottom - top), Resampling.BILINEAR, box=at.source))
    part = part.reshape(*part.shape[:2], -1)
    if part.shape[:2] == want.size:
        return part
    whole = np.zeros((*want.size, part.shape[2]), part.dtype)
    whole[top:bottom, left:right] = part
    return whole
