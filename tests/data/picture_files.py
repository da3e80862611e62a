"""Image files of every kind that is read, made with Pillow, for the tests of readers."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

SIZE = (6, 9)
PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE, 4), np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, SIZE, np.uint16)


def picture(mode="RGB"):
    if mode == "I;16":
        return Image.fromarray(DEEP)
    return Image.fromarray(PIXELS).convert("RGB" if mode in ("P", "CMYK", "YCbCr") else mode).convert(mode)


def encoded(kind="PNG", mode="RGB", **options):
    file = io.BytesIO()
    picture(mode).save(file, kind, **options)
    return file.getvalue()


def put(folder, name, raw):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path
