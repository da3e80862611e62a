"""COCO's JSON: as pycocotools reads it, back to the bit, and every mistake named by its place or left out."""

from __future__ import annotations

import copy
import gzip
import json

import numpy as np
import pytest
from object_scenes import CLASSES, assert_same, scenes
from picture_files import encoded, put
from pycocotools.coco import COCO

import fnnet as fn
from fnnet.data import read_coco, write_coco
from fnnet.errors import DataError, FnnetError, ReadError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools


@pytest.mark.types
@pytest.mark.parametrize("seed", range(4))
def test_what_was_written_comes_back_to_the_bit(tmp_path, seed):
    annotations = scenes(seed, outlines=seed > 1)
    write_coco(tmp_path / "a.json", annotations)
    assert_same(read_coco(tmp_path / "a.json"), annotations)
    write_coco(tmp_path / "b.json", read_coco(tmp_path / "a.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_any_float64_comes_back_but_for_the_last_bit(tmp_path):
    annotations = scenes(2, images=40, dtype=np.float64)
    write_coco(tmp_path / "a.json", annotations)
    for got, expected in zip(read_coco(tmp_path / "a.json").objects, annotations.objects, strict=True):
        np.testing.assert_array_max_ulp(got.boxes, expected.boxes, 1)


def test_padded_float32_objects_come_back(tmp_path):
    rng = np.random.default_rng(0)
    start = rng.random((3, 2, 2)).astype(np.float32) * 20
    boxes = np.concatenate([start, start + 1 + rng.random((3, 2, 2)).astype(np.float32) * 9], -1)
    valid = np.array([[True, True], [True, False], [False, False]])
    padded = fn.boxes.Objects(boxes, np.array([[0, 1], [2, 0], [0, 0]], np.int32), valid)
    write_coco(tmp_path / "a.json", fn.data.annotate(["a", "b", "c"], (32, 32), padded, CLASSES))
    back = fn.boxes.pad_objects(read_coco(tmp_path / "a.json").objects)
    np.testing.assert_array_equal(back.valid, valid)
    np.testing.assert_array_equal(back.boxes.astype(np.float32)[valid], boxes[valid])
    np.testing.assert_array_equal(back.classes[valid], padded.classes[valid])


@pytest.mark.parametrize("seed", range(3))
def test_pycocotools_reads_the_same(tmp_path, seed, capsys):
    annotations = scenes(seed)
    write_coco(tmp_path / "a.json", annotations)
    theirs = COCO(tmp_path / "a.json")
    read = read_coco(tmp_path / "a.json")
    assert [theirs.cats[i]["name"] for i in read.category_ids] == list(read.classes)
    for place, image_id in enumerate(read.image_ids):
        row, about = read.objects[place], theirs.imgs[image_id]
        assert (about["file_name"], about["height"], about["width"]) == (read.files[place], *read.sizes[place])
        objects = theirs.loadAnns(theirs.getAnnIds(imgIds=[image_id]))
        boxes = np.array([one["bbox"] for one in objects]).reshape(-1, 4)
        np.testing.assert_array_equal(row.boxes, np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1))
        assert [read.category_ids[label] for label in row.classes] == [one["category_id"] for one in objects]
        assert row.areas.tolist() == [one["area"] for one in objects]
        masks = fn.data.object_masks(read, place)
        for one, outline, mask in zip(objects, read.outlines[place], masks, strict=True):
            if isinstance(outline, fn.data.Runs):
                np.testing.assert_array_equal(mask, theirs.annToMask(one).astype(bool))
    capsys.readouterr()


GOOD = {
    "info": {"year": 2017},
    "images": [
        {"id": 9, "file_name": "a.png", "height": 10, "width": 20, "flickr_url": "…"},
        {"id": 4, "file_name": "in/b.png", "height": 8, "width": 8},
    ],
    "annotations": [
        {"id": 1, "image_id": 4, "category_id": 7, "bbox": [0, 1, 2.5, 3], "area": 5.0, "iscrowd": 0, "score": 1},
        {"id": 2, "image_id": 9, "category_id": 3, "bbox": [1, 1, 19.5, 9]},
        {"id": 3, "image_id": 4, "category_id": 3, "bbox": [0, 0, 8, 8], "iscrowd": 1,
         "segmentation": {"size": [8, 8], "counts": [60, 4]}},
    ],
    "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
}  # fmt: skip


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_what_a_file_says(tmp_path):
    """Categories in the order of the file; objects by image; what reaches out by a pixel at most is cut."""
    read = read_coco(write(tmp_path / "a.json", GOOD))
    assert (read.files, read.classes, read.category_ids, read.image_ids) == (
        ("a.png", "in/b.png"), ("cat", "dog"), (7, 3), (9, 4),
    )  # fmt: skip
    assert read.objects[0].boxes.tolist() == [[1, 1, 20, 10]]
    assert read.objects[1].boxes.tolist() == [[0, 1, 2.5, 4], [0, 0, 8, 8]]
    assert read.objects[1].classes.tolist() == [0, 1]
    assert read.objects[1].crowd.tolist() == [False, True]
    assert read.objects[1].areas.tolist() == [5.0, 64.0]
    assert read.outlines[1][0] is None
    assert fn.data.decode_mask(read.outlines[1][1]).sum() == 4
    assert read_coco(tmp_path / "a.json", outlines=False).outlines == ((None,), (None, None))
    (tmp_path / "a.json.gz").write_bytes(gzip.compress((tmp_path / "a.json").read_bytes()))
    assert_same(read_coco(tmp_path / "a.json.gz"), read)


def changed(path, value):
    """Return GOOD with the value at a path such as ``("annotations", 0, "bbox")``; None takes it out."""
    text = copy.deepcopy(GOOD)
    *above, last = path
    entry = text
    for step in above:
        entry = entry[step]
    if value is None:
        del entry[last]
    else:
        entry[last] = value
    return text


FILES = {
    "cut": (json.dumps(GOOD)[:-1], "is not valid JSON: Expecting"),
    "text": ("hello", "is not valid JSON: Expecting value"),
    "empty": ("", r"is empty \(0 bytes\)"),
    "nested": ("[" * 200_000, "is nested too deeply to be read"),
    "nan": (json.dumps(GOOD).replace("2.5", "NaN"), "is not valid JSON: the number NaN"),
    "infinity": (json.dumps(GOOD).replace("2.5", "-Infinity"), "is not valid JSON: the number -Infinity"),
    "digits": (json.dumps(GOOD).replace("2.5", "9" * 5000), "is not valid JSON: Exceeds the limit"),
    "name twice": (json.dumps(GOOD).replace('"area"', '"bbox"'), "is not valid JSON: an object has 'bbox' twice"),
    "list": ("[]", "the file.*: must be an object, got a list"),
    "no images": (changed(("images",), None), "has no 'images'"),
    "images": (changed(("images",), {}), "images.*: must be a list, got an object"),
    "categories": (changed(("categories", 0, "id"), 3), "categories.*: id must differ, got 3 at 0 and at 1"),
    "names": (changed(("categories", 0, "name"), "dog"), "name must differ, got 'dog' at 0 and at 1"),
    "no name": (changed(("categories", 0, "name"), ""), "name must not be empty"),
    "kind of name": (changed(("categories", 1, "name"), 7), r"categories\[1\]\.name.*: must be text, got a number, 7"),
}


@pytest.mark.parametrize(("text", "said"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("bad", ["raise", "skip"])
def test_a_file_that_cannot_be_used_is_an_error(tmp_path, text, said, bad):
    path = write(tmp_path / "a.json", text)
    with pytest.raises((ReadError, DataError), match=said) as raised:
        read_coco(path, bad=bad)
    assert str(path) in str(raised.value)


def test_a_file_that_is_too_long_is_not_read(tmp_path):
    with pytest.raises(ReadError, match="has more than 99 bytes of JSON"):
        read_coco(write(tmp_path / "a.json", GOOD), limit=99)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(ReadError, match="has more than 1000 bytes of JSON"):
        read_coco(tmp_path / "bomb.json.gz", limit=1000)
    write(tmp_path / "latin.json", GOOD).write_bytes(b'{"images": "\xe9"}')
    with pytest.raises(ReadError, match="is not UTF-8 text: byte 0xe9 at position 12"):
        read_coco(tmp_path / "latin.json")


SEGMENTATION = ("annotations", 2, "segmentation")
ENTRIES = {
    "type": (("annotations", 0), 5, r"annotations[0]: must be an object, got a number, 5"),
    "id": (("annotations", 0, "id"), "1", "annotations[0].id: must be a whole number, got text, '1'"),
    "id twice": (("annotations", 1, "id"), 1, "annotations[1].id: 1 is of an object before"),
    "image": (("annotations", 0, "image_id"), 5, "annotations[0].image_id: there is no image of the number 5"),
    "category": (("annotations", 0, "category_id"), 1, "category_id: there is no category of the number 1"),
    "bool": (("annotations", 0, "category_id"), True, "category_id: must be a whole number, got true or false"),
    "no box": (("annotations", 0, "bbox"), None, "annotations[0]: has no 'bbox'"),
    "kind of box": (("annotations", 0, "bbox"), {"x": 1}, "annotations[0].bbox: must be a list, got an object"),
    "length": (("annotations", 0, "bbox"), [1, 2, 3], "annotations[0].bbox: must be 4 numbers, got 3"),
    "text": (("annotations", 0, "bbox", 2), "3", "annotations[0].bbox[2]: must be a number, got text, '3'"),
    "null": (("annotations", 0, "bbox"), [1, 2, None, 3], "annotations[0].bbox[2]: must be a number, got null"),
    "infinite": (("annotations", 0, "bbox", 2), float("1e400"), "bbox[2]: must be finite, got a number, inf"),
    "huge": (("annotations", 0, "bbox", 2), 10**400, "must be finite, got a number of more than 20 digits"),
    "zero": (("annotations", 0, "bbox", 2), 0, "bbox: [0.0, 1.0, 0.0, 3.0] (x, y, width, height) must have"),
    "inverted": (("annotations", 0, "bbox", 3), -2, "bbox: [0.0, 1.0, 2.5, -2.0] (x, y, width, height) must have"),
    "outside": (("annotations", 0, "bbox", 0), 7, "must lie within the image of 8 × 8 (height × width)"),
    "left": (("annotations", 0, "bbox", 0), -1.5, "must lie within the image of 8 × 8 (height × width)"),
    "vanishing": (("annotations", 0, "bbox"), [8, 0, 1, 1], "must have a width and a height above 0"),
    "area": (("annotations", 0, "area"), -1, "annotations[0].area: must be at least 0, got -1.0"),
    "crowd": (("annotations", 0, "iscrowd"), 2, "annotations[0].iscrowd: must be 0 or 1"),
    "file": (("images", 0, "file_name"), "../a.png", "images[0].file_name: expected the name of a file"),
    "files twice": (("images", 0, "file_name"), "in/b.png", "images[1].file_name: 'in/b.png' is of an image before"),
    "images twice": (("images", 0, "id"), 4, "images[1].id: 4 is of an image before"),
    "width": (("images", 0, "width"), 0, "images[0]: an image must have sides of 1 to 1048576 pixels, got 10 × 0"),
    "height": (("images", 0, "height"), 9.5, "images[0].height: must be a whole number, got a number, 9.5"),
    "other size": ((*SEGMENTATION, "size"), [8, 9], "segmentation: is a mask of 8 × 9 (height × width), and"),
    "runs": ((*SEGMENTATION, "counts"), [60, 5], "segmentation: the runs of a mask of 8 × 8"),
    "runs below": ((*SEGMENTATION, "counts"), [65, -1], "must be whole numbers of at least 0"),
    "kind of runs": ((*SEGMENTATION, "counts"), [1.5], "segmentation.counts[0]: must be a whole number, got"),
    "no runs": ((*SEGMENTATION, "counts"), None, "segmentation.counts: must be a list, got null"),
    "compressed": ((*SEGMENTATION, "counts"), "~~", "segmentation.counts: is not a compressed mask"),
    "sides": ((*SEGMENTATION, "size"), [8], "segmentation.size: must be [height, width], got 1 entries"),
    "odd": (SEGMENTATION, [[1, 2, 3, 4, 5]], "segmentation[0]: must be x and y by turns, got 5 numbers"),
    "two points": (SEGMENTATION, [[1, 2, 3, 4]], "segmentation: a polygon must have shape (points, 2), got (2, 2)"),
    "kind of outline": (SEGMENTATION, "…", "segmentation: must be an object, got text"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "value", "said"), ENTRIES.values(), ids=ENTRIES)
def test_an_entry_that_cannot_be_used_is_raised_or_left_out(tmp_path, path, value, said):
    file = write(tmp_path / "a.json", json.dumps(changed(path, value)).replace("Infinity", "1e400"))
    with pytest.raises(FnnetError) as raised:
        read_coco(file)
    where, _, what = said.partition(": ")
    assert str(raised.value).startswith(str(file))
    assert where in str(raised.value)
    assert what in str(raised.value)
    read = read_coco(file, bad="skip")
    assert said in read.skipped[0]
    left = len(read.skipped) + len(read.files) + sum(len(row.boxes) for row in read.objects)
    assert left == len(GOOD["images"]) + len(GOOD["annotations"])
    fn.data.write_coco(tmp_path / "b.json", read)
    assert_same(read_coco(tmp_path / "b.json"), read)


def test_files_must_be_in_their_folder(tmp_path):
    path = write(tmp_path / "a.json", GOOD)
    put(tmp_path / "images", "a.png", encoded())
    with pytest.raises(ReadError, match=r"images\[1\].file_name.*: there is no file 'in/b.png' in"):
        read_coco(path, images=tmp_path / "images")
    assert read_coco(path, images=tmp_path / "images", bad="skip").files == ("a.png",)
    with pytest.raises(ValueError, match="bad must be 'raise' or 'skip', got 'warn'"):
        read_coco(path, bad="warn")


def test_what_cannot_be_read_back_is_not_written(tmp_path):
    good = scenes(1)
    box = good.objects[1]._replace(boxes=np.array([[3.0, 3.0, 1.0, 5.0]]))
    number = next(n for n, row in enumerate(good.objects) if len(row.boxes))
    for change, error, said in (
        ({"files": ("a", "a", *good.files[2:])}, DataError, "files must differ, got 'a' at 0 and at 1"),
        ({"image_ids": (1, 1, *good.image_ids[2:])}, DataError, "image_ids must differ"),
        ({"classes": good.classes[:3]}, ShapeError, "expected 3 category_ids, got 4"),
        ({"objects": good.objects[1:]}, ShapeError, "objects must be of 6 images, as files, got 5"),
        ({"sizes": good.sizes * 0}, ShapeError, "whole numbers above 0"),
        ({"sizes": good.sizes * 0 + 1}, DataError, rf"image {number} .*the box of object 0, .*lie within"),
        ({"objects": (box, *good.objects[1:])}, (DataError, ShapeError), "."),
    ):
        with pytest.raises(error, match=said):
            write_coco(tmp_path / "a.json", good._replace(**change))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ShapeError, match="expected Annotations, got dict"):
        write_coco(tmp_path / "a.json", {})


def test_composed_scenes_come_back_with_boxes_and_masks(tmp_path):
    """Scenes, written as COCO's JSON and as semantic masks in it, and read."""
    digits = (np.random.default_rng(0).random((20, 9, 9, 1)) < 0.6).astype(np.float32)
    made = fn.data.scenes(digits, np.arange(20) % 4, 5, seed=0, size=(40, 48), objects=(1, 3))
    files = [f"{n}.png" for n in range(5)]
    write_coco(tmp_path / "a.json", fn.data.annotate(files, (40, 48), made.objects, CLASSES))
    back = fn.boxes.pad_objects(read_coco(tmp_path / "a.json").objects, made.objects.boxes.shape[1])
    for name in ("boxes", "classes", "valid"):
        np.testing.assert_array_equal(getattr(back, name), getattr(made.objects, name))
    write_coco(tmp_path / "b.json", fn.data.annotate_masks(files, made.masks, CLASSES))
    read = read_coco(tmp_path / "b.json")
    np.testing.assert_array_equal([fn.data.semantic_mask(read, n) for n in range(5)], made.masks)
