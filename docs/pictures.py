"""Run the examples and keep what they print and draw for the gallery.

python docs/pictures.py [NAME ...]    of these, as 05_collapse, or of all
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

import gallery
from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent


def main(names: list[str]) -> None:
    """Run the examples that are called so, each in a process of its own, or all of them."""
    for example in gallery.examples(ROOT):
        if not names or example.stem in names:
            keep(example)


def keep(example: pathlib.Path) -> None:
    """Keep the pictures in 256 colours, which is a third of their size, and the text as it was printed."""
    picture, printed = gallery.kept(ROOT, example)
    with tempfile.TemporaryDirectory() as folder:
        drawn = pathlib.Path(folder, "picture.png")
        command = [sys.executable, str(example), "--plot", str(drawn)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        result = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        picture.parent.mkdir(exist_ok=True)
        for one in pathlib.Path(folder).glob("picture*.png"):  # some draw several: picture.png, picture_probe.png
            with Image.open(one) as image:
                reduced = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
                reduced.save(picture.with_name(picture.stem + one.stem.removeprefix("picture") + ".png"), optimize=True)
        printed.write_text(result.stdout, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
