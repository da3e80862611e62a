"""The command line on folders of images: train, look, evaluate, predict, and what is said of bad files."""

from __future__ import annotations

import csv
import pathlib
import tomllib

import jax
import numpy as np
import pytest
from PIL import Image

import fnnet as fn
from fnnet.cli import images


@pytest.fixture
def stripes(tmp_path):
    """A folder of 40 grey images of 12 × 8, with stripes across or down, each class in a folder of its own."""
    rng = np.random.default_rng(0)
    for number in range(40):
        name = ("across", "down")[number % 2]
        wave = np.sin(np.arange(12 if name == "across" else 8) * 2 + rng.uniform(0, 6)) * 60 + 128
        pixels = np.broadcast_to(wave[:, None] if name == "across" else wave[None], (12, 8))
        path = tmp_path / "stripes" / name / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels + rng.normal(0, 5, (12, 8))).clip(0, 255).astype(np.uint8)).save(path)
    return tmp_path / "stripes"


TRAIN = ("train", "stripes", "--mode", "L", "--size", "16x12", "--batch-size", "8", "--quiet", "--out", "run")


@pytest.mark.row("image-classification")
def test_a_folder_is_learnt_and_used(fnnet, stripes, tmp_path):
    """Changes of every kind are made in training; classes are told right, for a folder of classes or of files."""
    changes = ("--flip", "--crop", "1", "--rotate", "5", "--color", "0.1", "--erase", "0.1", "--mixup", "0.1")
    code, _, err = fnnet(*TRAIN, "--net", "cnn", *changes, "--epochs", "10", "--learning-rate", "0.003")
    assert code == 0, err
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert config["settings"]["reading"] == {"size": [16, 12], "mode": "L", "skip_bad": False}
    assert config["settings"]["changes"]["rotate"] == 5
    assert config["schema"]["shape"] == [16, 12, 1]
    code, out, err = fnnet("evaluate", "run", "stripes")
    assert code == 0, err
    assert "40 examples" in out
    assert float(next(line for line in out.splitlines() if "accuracy" in line).split("│")[2]) > 0.9
    (tmp_path / "new").mkdir()
    for name, number in (("across", "00"), ("down", "01")):
        (stripes / name / f"{number}.png").rename(tmp_path / "new" / f"{name}.png")
    code, out, err = fnnet("predict", "run", "new")
    assert code == 0, err
    rows = list(csv.DictReader(out.splitlines()))
    assert [(row["file"], row["class"]) for row in rows] == [("new/across.png", "across"), ("new/down.png", "down")]


def test_bad_files_are_named_or_left_out(fnnet, stripes):
    (stripes / "down" / "99.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, _, err = fnnet(*TRAIN, "--epochs", "1", "--hidden", "4")
    assert code == 1
    assert "stripes/down/99.png" in err
    code, _, err = fnnet(*TRAIN, "--epochs", "1", "--hidden", "4", "--skip-bad")
    assert code == 0
    assert err.startswith("warning: left out 1 of 41 images:\n  stripes/down/99.png: ")
    assert err.count("\n") == 2
    code, out, err = fnnet("evaluate", "run", "stripes")
    assert "40 examples" in out
    assert "left out 1 of 41 images" in err


def test_many_files_left_out_are_counted_and_the_first_named():
    dataset = fn.data.Dataset(np.zeros((3, 2, 2, 1), np.float32), None)
    said = images.left_out(images.Folder(dataset, (pathlib.Path("a"),) * 3, tuple("bcdefgh")))
    assert said.splitlines() == ["left out 7 of 10 images:", "  b", "  c", "  d", "  e", "  f", "  and 2 more"]
    assert images.left_out(images.Folder(dataset, (), ())) == ""


def test_images_of_several_sizes_need_one(fnnet, stripes):
    Image.new("L", (9, 9)).save(stripes / "down" / "odd.png")
    code, _, err = fnnet("train", "stripes", "--quiet")
    assert code == 1
    assert "size" in err
    assert "odd.png" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("train", "stripes", "--size", "0"), 2, "must be one or two sides such as 32 or 32x48, got '0'"),
        (("train", "stripes", "--size", "8x8x8"), 2, "must be one or two sides"),
        (("train", "stripes", "--target", "kind"), 1, "is a folder of images, which has no columns"),
        (("train", "iris", "--size", "8"), 1, "iris: is no folder of images"),
        (("train", "iris", "--flip"), 1, "iris: has no images (height, width, channels) to change"),
        (("train", "stripes", "--net", "cnn", "--hidden", "128"), 2, "--hidden: has no effect on --net cnn"),
        (("summary", "stripes", "--net", "lenet", "--activation", "relu"), 2, "--activation: has no effect on --net"),
        (("train", "diabetes", "--net", "cnn"), 1, "cnn tells classes, and the target is numbers"),
        (("train", "stripes/down"), 1, "put the images of each class into a folder of its own"),
        (("train", "nothing"), 1, "or of a folder of images"),
    ],
)
def test_mistakes_get_one_clear_line(fnnet, stripes, arguments, code, message):
    got, _, err = fnnet(*arguments)
    assert got == code
    assert message in " ".join(err.replace("│", " ").split())


def test_a_run_of_tables_is_not_for_images(fnnet, stripes):
    assert fnnet("train", "iris", "--epochs", "2", "--hidden", "4", "--quiet", "--out", "table")[0] == 0
    code, _, err = fnnet("evaluate", "table", "stripes")
    assert code == 1
    assert "is a folder of images, and the run was trained on other data" in err


def test_changes_are_made_in_the_order_of_their_options():
    """None are no transform; numbers as targets mix as they are."""
    assert images.transform(images.Changes(), 3) is None
    x, y = np.linspace(0, 1, 32, dtype=np.float32).reshape(2, 4, 4, 1), np.float32([[0.0], [8.0]])
    key = jax.random.key(0)
    (_, mixed), (_, want) = (f(key, (x, y)) for f in (
        images.transform(images.Changes(flip=True, mixup=0.4), None),
        fn.augmentation.chain(fn.augmentation.flip(), fn.augmentation.mixup(0.4)),
    ))  # fmt: skip
    np.testing.assert_array_equal(mixed, want)
    assert 0 < float(mixed[0, 0]) < 8
