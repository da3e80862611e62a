"""Folders of images by class: what is seen, in which order, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from picture_files import encoded, put

import fnnet as fn
from fnnet.data import image_files, read_images
from fnnet.data.images.folders import within
from fnnet.errors import DataError, ReadError

NAMES = ("dog/2.png", "dog/10.png", "cat/z.png", "cat/a.jpg")


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        put(tmp_path / "pets", name, encoded("JPEG" if name.endswith("jpg") else "PNG"))
    return tmp_path / "pets"


@pytest.mark.types
def test_classes_and_files_are_in_the_order_of_their_names(folder):
    put(folder, ".git/config", b"")
    put(folder, ".DS_Store", b"")
    put(folder, "cat/.hidden.png", b"")
    files = image_files(folder)
    assert [str(path.relative_to(folder)) for path in files.paths] == [
        "cat/a.jpg",
        "cat/z.png",
        "dog/10.png",
        "dog/2.png",
    ]
    assert (files.labels.tolist(), files.labels.dtype, files.classes) == ([0, 0, 1, 1], np.int32, ("cat", "dog"))


def test_a_folder_is_a_data_set(folder):
    dataset = fn.data.read(folder, size=(4, 5), mode="L", resize="crop")
    assert dataset.x.shape == (4, 4, 5, 1)
    assert (dataset.y.tolist(), dataset.classes) == ([0, 0, 1, 1], ("cat", "dog"))
    expected = read_images(image_files(folder).paths, size=(4, 5), mode="L", resize="crop").x
    np.testing.assert_array_equal(dataset.x, expected)
    put(folder, "cat/b.png", b"broken")
    with pytest.raises(ReadError, match=r"b\.png: is no image"):
        fn.data.read(folder)
    skipped = fn.data.read(folder, bad="skip")
    assert (skipped.y.tolist(), skipped.x.shape[0]) == ([0, 0, 1, 1], 4)
    with pytest.raises(DataError, match="a folder of images has no columns to choose 'kind' from"):
        fn.data.read(folder, "kind")


def test_parts_have_folders_of_their_own(folder, tmp_path):
    folder.rename(tmp_path / "train")
    put(tmp_path / "test", "cat/1.png", encoded())
    assert fn.data.read(tmp_path).x.shape[0] == 4
    assert fn.data.read(tmp_path, part="test").classes == ("cat",)
    with pytest.raises(ReadError, match="holds no IDX images of the train part, and no folder of images"):
        fn.data.read(tmp_path / "test" / "cat")


def beside(folder):
    put(folder, "labels.csv", b"a")


def nested(folder):
    put(folder, "cat/more/1.png", b"a")


def empty_class(folder):
    (folder / "emu").mkdir()


def no_class(folder):
    for path in [*folder.glob("*/*"), *folder.glob("*")]:
        path.unlink() if path.is_file() else path.rmdir()


def leaving_file(folder):
    (folder / "cat" / "link.png").symlink_to(put(folder.parent, "secret.png", encoded()))


def leaving_class(folder):
    put(folder.parent, "other/1.png", encoded())
    (folder / "emu").symlink_to(folder.parent / "other")


def gone(folder):
    folder.rename(folder.parent / "elsewhere")


MISTAKES = {
    beside: r"pets: has 1 file\(s\) beside its classes' folders: 'labels.csv'",
    nested: r"cat/more: is a folder within a class",
    empty_class: "emu: is a class without images",
    no_class: "pets: holds no folder",
    leaving_file: r"cat/link\.png: is a link that leads out of",
    leaving_class: "emu: is a link that leads out of",
    gone: "pets: cannot be read",
}


@pytest.mark.parametrize(("make", "said"), MISTAKES.items(), ids=lambda part: getattr(part, "__name__", ""))
def test_a_folder_that_is_not_so(folder, make, said):
    make(folder)
    with pytest.raises(ReadError, match=said):
        image_files(folder)


def test_links_within_the_folder_are_followed(folder):
    (folder / "cat" / "same.png").symlink_to(folder / "dog" / "2.png")
    assert len(image_files(folder).paths) == 5


@pytest.mark.parametrize(
    "name",
    ["../a.png", "b/../../a.png", "/etc/passwd", "C:\\a.png", "..\\a.png", "\\\\host\\a.png", "", ".", "a\0.png"],
)
def test_a_name_stays_in_its_folder(tmp_path, name):
    with pytest.raises(DataError, match="expected the name of a file within its folder"):
        within("file_name", tmp_path, name)


def test_a_link_does_not_leave_the_folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "out").symlink_to(tmp_path)
    with pytest.raises(DataError, match="leads out of"):
        within("file_name", tmp_path / "images", "out/a.png")
    assert within("file_name", tmp_path / "images", "in/a.png").name == "a.png"
