"""What is said of images: its checks, masks of labels and of objects, and arrays to train on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from object_scenes import assert_same, scenes
from picture_files import encoded, put
from PIL import Image

import fnnet as fn
from fnnet.data import annotate, annotate_masks, load_objects, place_boxes, restore_boxes, semantic_mask
from fnnet.errors import DataError, DtypeError, ReadError, ShapeError

BOX = (np.array([[1.0, 1.0, 3.0, 4.0]]), np.array([1]))


@pytest.mark.types
def test_semantic_masks_come_back_from_a_file(tmp_path):
    masks = np.random.default_rng(0).integers(0, 4, (3, 7, 9))
    masks[1] = 0
    annotations = annotate_masks(["a", "b", "c"], masks, ("x", "y", "z"))
    fn.data.write_coco(tmp_path / "a.json", annotations)
    read = fn.data.read_coco(tmp_path / "a.json")
    assert_same(read, annotations)
    for place, mask in enumerate(masks):
        np.testing.assert_array_equal(semantic_mask(read, place), mask)
        each = fn.data.object_masks(read, place)
        labels = np.unique(mask[mask > 0])
        np.testing.assert_array_equal(each, mask[None] == labels[:, None, None])
        assert read.objects[place].areas.tolist() == each.sum((1, 2)).tolist()
        for one, box in zip(each, read.objects[place].boxes.astype(int), strict=True):
            assert one[box[1] : box[3], box[0] : box[2]].sum() == one.sum()


def test_the_smaller_object_is_in_front_and_crowds_have_their_label():
    big, small = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    small[1:3, 1:3] = True
    boxes = np.array([[1.0, 1, 3, 3], [0, 0, 4, 4], [0, 0, 1, 1]])
    objects = fn.boxes.Objects(boxes, np.array([0, 1, 0]), np.ones(3, bool), crowd=np.array([False, True, False]))
    outlines = [[fn.data.encode_mask(small), fn.data.encode_mask(big), None]]
    annotations = annotate(["a"], (4, 4), [objects], ("x", "y"), outlines=outlines)
    np.testing.assert_array_equal(semantic_mask(annotations, 0), np.where(small, 1, 2))
    np.testing.assert_array_equal(semantic_mask(annotations, 0, crowd=-1), np.where(small, 1, -1))
    assert fn.data.object_masks(annotations, 0).sum((1, 2)).tolist() == [4, 16, 1]
    for wrong in (fn.data.object_masks, semantic_mask):
        with pytest.raises(IndexError, match="there are 1 images, from 0 on, got image 1"):
            wrong(annotations, 1)
        with pytest.raises(ValueError, match="more than 9 pixels"):
            wrong(annotations, 0, pixels=9)


ONE = np.array([True])
NEGATIVE = fn.boxes.Objects(*BOX, ONE, areas=np.array([-1.0]))
OTHER = fn.data.encode_mask(np.ones((2, 2), bool))
MISTAKES = {
    "files": ({"files": ["a", "a"]}, DataError, "files must differ, got 'a' at 0 and at 1"),
    "empty": ({"files": ["a", ""]}, DataError, "files must not be empty, got '' at 1"),
    "leaving": ({"files": ["a", "../b"]}, DataError, "expected the name of a file within its folder, got '../b'"),
    "sizes": ({"sizes": (8.5, 8)}, ShapeError, r"whole numbers above 0, of 2 images, got shape \(2, 2\) of float64"),
    "objects": ({"objects": [BOX]}, ShapeError, "objects must be of 2 images, as files, got 1"),
    "ids": ({"image_ids": [3, 3]}, DataError, "image_ids must differ, got 3 at 0 and at 1"),
    "categories": ({"category_ids": [3]}, ShapeError, "expected 2 category_ids, got 1"),
    "classes": ({"classes": ["x", "x"]}, DataError, "classes must differ, got 'x'"),
    "label": ({"classes": ["x"]}, DataError, r"image 0 \(a\).*classes must be from 0 to 0, got 1 at object 0"),
    "outside": ({"sizes": (8, 2)}, DataError, r"image 0 \(a\).*object 0, \[1.0, 1.0, 3.0, 4.0\], must lie"),
    "inverted": ({"objects": [BOX, (BOX[0][:, ::-1], BOX[1])]}, DataError, "image 1.*a width and a height above 0"),
    "infinite": ({"objects": [BOX, (BOX[0] * np.inf, BOX[1])]}, DataError, "image 1.*must be finite"),
    "integers": ({"objects": [BOX, (BOX[0].astype(int), BOX[1])]}, DtypeError, "floating-point"),
    "outlines": ({"outlines": [[None], []]}, ShapeError, r"image 1 \(b\).*expected 1 outlines, one an object, got 0"),
    "outline": ({"outlines": [[None], [OTHER]]}, DataError, "outline of object 0.*is a mask"),
    "areas": ({"objects": [BOX, NEGATIVE]}, DataError, "areas must"),
    "one image": ({"objects": fn.boxes.Objects(*BOX, ONE)}, ShapeError, r"shape \(images, k, 4\), got \(1, 4\)"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error", "said"), MISTAKES.values(), ids=MISTAKES)
def test_annotations_that_are_none(change, error, said):
    given = {"files": ["a", "b"], "sizes": (8, 8), "objects": [BOX, BOX], "classes": ["x", "y"]} | change
    options = {name: given.pop(name) for name in ("outlines", "image_ids", "category_ids") if name in given}
    with pytest.raises(error, match=said):
        annotate(**given, **options)


def test_masks_of_labels_that_are_none():
    with pytest.raises(DataError, match="labels must be from 0 to 1, got 0 to 2"):
        annotate_masks(["a"], np.array([[[0, 2]]]), ["x"])
    with pytest.raises(ShapeError, match=r"integers of shape \(1, H, W\), got float64"):
        annotate_masks(["a"], np.ones((1, 2, 2)), ["x"])


SIDES = st.integers(1, 40)


@given(source=st.tuples(SIDES, SIDES), size=st.tuples(SIDES, SIDES), resize=st.sampled_from(["stretch", "crop", "pad"]))
def test_boxes_are_placed_and_restored(source, size, resize):
    """The whole image fills what it is put in, or all of the new; and back again."""
    height, width = source
    boxes = np.array([[0.0, 0.0, width, height], [0.25 * width, 0.5 * height, width, 0.75 * height]])
    placed = place_boxes(boxes, source, size, resize)
    np.testing.assert_allclose(restore_boxes(placed, source, size, resize), boxes, atol=1e-9)
    target = np.array([0, 0, size[1], size[0]])
    if resize == "stretch":
        np.testing.assert_allclose(placed[0], target)
    inside = placed[0] * [1, 1, -1, -1] + [0, 0, size[1], size[0]]
    assert (inside >= -1e-9).all() if resize == "pad" else (inside <= 1e-9).all()


@pytest.mark.types
@pytest.mark.parametrize("resize", ["stretch", "pad"])
@pytest.mark.parametrize("size", [(20, 20), (12, 30)])
def test_boxes_go_with_the_pixels(tmp_path, resize, size):
    """A white square on black lies where its box does, after both were moved."""
    image = Image.new("L", (40, 20))
    image.paste(255, (8, 4, 24, 16))
    image.save(tmp_path / "a.png")
    Image.new("L", (20, 40)).save(tmp_path / "b.png")
    box = (np.array([[8.0, 4.0, 24.0, 16.0]]), np.array([1]))
    none = (np.zeros((0, 4)), np.zeros(0, int))
    annotations = annotate(["a.png", "b.png"], [(20, 40), (40, 20)], [box, none], ["x", "y"])
    loaded = load_objects(annotations, images=tmp_path, size=size, resize=resize, mode="L", count=2)
    assert loaded.x.shape == (2, *size, 1)
    assert loaded.objects.valid.tolist() == [[True, False], [False, False]]
    assert loaded.objects.boxes.dtype == np.float32
    x1, y1, x2, y2 = loaded.objects.boxes[0, 0]
    total = loaded.x[0].sum()
    np.testing.assert_allclose(total, (x2 - x1) * (y2 - y1), rtol=0.05)
    np.testing.assert_allclose(loaded.objects.areas[0, 0], (x2 - x1) * (y2 - y1), rtol=1e-6)
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    centre = [(grid[..., None] * loaded.x[0]).sum() / total for grid in (columns, rows)]
    np.testing.assert_allclose(centre, [(x1 + x2) / 2, (y1 + y2) / 2], atol=0.2)


def test_images_that_cannot_be_loaded(tmp_path):
    put(tmp_path, "good.png", encoded())
    put(tmp_path, "other.png", encoded())
    put(tmp_path, "bad.png", b"broken")
    none = (np.zeros((0, 4)), np.zeros(0, int))
    sizes = [(6, 9), (9, 6), (6, 9)]
    annotations = annotate(["good.png", "other.png", "bad.png"], sizes, [none] * 3, ["x"])
    with pytest.raises(ReadError, match=r"other.png: is 6 × 9 \(height × width\), and its annotations say 9 × 6"):
        load_objects(annotations, images=tmp_path, size=(4, 4))
    loaded = load_objects(annotations, images=tmp_path, size=(4, 4), bad="skip")
    assert (loaded.kept.tolist(), len(loaded.skipped), loaded.objects.boxes.shape) == ([0], 2, (1, 0, 4))
    with pytest.raises(DataError, match="expected at least one image, got none"):
        load_objects(annotate([], (4, 4), [], ["x"]), images=tmp_path, size=(4, 4))
    with pytest.raises(ValueError, match="resize must be one of 'stretch', 'pad', got 'crop'"):
        load_objects(annotations, images=tmp_path, size=(4, 4), resize="crop")
    (tmp_path / "in").symlink_to(tmp_path.parent)
    with pytest.raises(DataError, match=r"load_objects: in/a\.png: the name 'in/a.png' leads out of"):
        load_objects(annotate(["in/a.png"], (4, 4), [none], ["x"]), images=tmp_path, size=(4, 4))


def test_boxes_that_are_none():
    with pytest.raises(ShapeError, match=r"boxes must have shape \(n, 4\), got \(4,\)"):
        place_boxes(np.ones(4), (4, 4), (8, 8))
    with pytest.raises(DtypeError, match="floating-point, got int64"):
        restore_boxes(np.ones((1, 4), np.int64), (4, 4), (8, 8))
    with pytest.raises(ValueError, match="the height must be at least 1, got 0"):
        place_boxes(np.ones((1, 4)), (0, 4), (8, 8))


def test_scenes_have_what_they_should():
    """The scenes of these tests have every kind of outline, crowds, and images without objects."""
    made = [scenes(seed) for seed in range(3)]
    kinds = {type(one) for each in made for row in each.outlines for one in row}
    assert kinds == {tuple, fn.data.Runs, type(None)}
    assert any(row.crowd.any() for each in made for row in each.objects)
    assert any(len(row.boxes) == 0 for each in made for row in each.objects)
