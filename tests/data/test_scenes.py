"""Scenes: labels are exact, held to a painter who works from the boxes; a scene is a function of its seed and place."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from fnnet import data
from fnnet.boxes import check_boxes
from fnnet.data.textures import piece, resampled, texture, weights
from fnnet.errors import DataError, DtypeError, ShapeError

pytestmark = pytest.mark.types
PLAIN = np.full((64, 64, 3), 0.5, np.float32)


@pytest.fixture(scope="module")
def digits():
    whole = data.mnist_digits()
    return data.take(whole, np.arange(0, 5000, 25))


@pytest.fixture(scope="module")
def found(digits):
    return data.scenes(digits.x, digits.y, 40, seed=3)


def blocks():
    """Ten filled rectangles of several forms, whose ink is known wherever they are: all of the box."""
    images = np.zeros((10, 20, 20, 1), np.float32)
    for n in range(10):
        images[n, 3 : 6 + n, 2 : 18 - n] = 1
    return images, np.arange(10)


def one_by_one(found, n):
    objects = found.objects
    return [
        (*np.round(box).astype(int).tolist(), kind)
        for box, kind, valid in zip(objects.boxes[n], objects.classes[n].tolist(), objects.valid[n], strict=True)
        if valid
    ]


def test_shapes_and_dtypes(found):
    assert (found.x.shape, found.x.dtype) == ((40, 64, 64, 3), np.float32)
    assert (found.masks.shape, found.masks.dtype) == ((40, 64, 64), np.int32)
    assert (found.objects.boxes.shape, found.objects.boxes.dtype) == ((40, 4, 4), np.float32)
    assert (found.objects.classes.dtype, found.objects.valid.dtype) == (np.int32, np.bool_)
    assert 0 <= found.x.min() < found.x.max() <= 1
    counts = found.objects.valid.sum(1)
    assert set(counts.tolist()) == {1, 2, 3, 4}
    assert (found.objects.valid[:, :-1] >= found.objects.valid[:, 1:]).all()  # padding comes last
    assert not found.objects.boxes[~found.objects.valid].any()
    check_boxes(jnp.asarray(found.objects.boxes[found.objects.valid]))


def test_a_single_box_is_the_hull_of_its_mask(digits):
    """Exactly, for real digits in every size: the first and the last row and column with ink, of the right class."""
    found = data.scenes(digits.x, digits.y, 60, objects=(1, 1), scale=(0.1, 1.0), channels=1)
    for n, mask in enumerate(found.masks):
        ((x1, y1, x2, y2, kind),) = one_by_one(found, n)
        rows, columns = np.nonzero(mask)
        assert (x1, y1, x2, y2) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert set(np.unique(mask)) == {0, 1 + kind}
    sides = found.objects.boxes[:, 0, 2:] - found.objects.boxes[:, 0, :2]
    assert sides.max(1).min() < 12
    assert sides.max(1).max() > 55


@pytest.mark.parametrize("overlap", [0.0, 0.4, 1.0])
def test_masks_are_those_of_a_painter(overlap):
    """Of filled rectangles the ink is the box: painted from back to front they give the mask, and hide no more."""
    images, labels = blocks()
    found = data.scenes(images, labels, 40, objects=(2, 5), scale=(0.2, 0.6), overlap=overlap)
    hidden = []
    for n, mask in enumerate(found.masks):
        front = np.zeros((64, 64), int)
        placed = one_by_one(found, n)
        for k, (x1, y1, x2, y2, _) in enumerate(placed, 1):
            front[y1:y2, x1:x2] = k
        kinds = np.array([0, *(1 + kind for *_, kind in placed)])
        np.testing.assert_array_equal(mask, kinds[front])
        wholes = np.array([(x2 - x1) * (y2 - y1) for x1, y1, x2, y2, _ in placed])
        hidden += (1 - np.bincount(front.ravel(), minlength=len(placed) + 1)[1:] / wholes).tolist()
    assert max(hidden) <= overlap + 1e-6
    assert max(hidden) >= 0.6 * overlap  # and those that hide some are not left out
    assert len(hidden) > 2.5 * 40


def test_crowded_scenes_have_fewer():
    images, labels = blocks()
    found = data.scenes(images, labels, 10, objects=(6, 6), scale=(0.6, 0.9), overlap=0.0)
    assert 1 <= found.objects.valid.sum(1).min() < 6


def test_what_is_in_front_is_seen(digits):
    """Real digits on a plain ground without a class twice: of each the visible pixels lie in its box and differ."""
    found = data.scenes(digits.x, digits.y, 60, background=PLAIN, overlap=0.3)
    for n, mask in enumerate(found.masks):
        placed = one_by_one(found, n)
        assert set(np.unique(mask)) - {0} == {1 + kind for *_, kind in placed}
        inside = np.zeros((64, 64), bool)
        for x1, y1, x2, y2, _ in placed:
            inside[y1:y2, x1:x2] = True
        assert not mask[~inside].any()
        away = np.abs(found.x[n].mean(-1) - 0.5)
        assert away[~inside].max() < 0.15  # noise
        x1, y1, x2, y2, kind = placed[-1]  # nothing is in front of it
        seen = mask[y1:y2, x1:x2] == 1 + kind
        assert np.flatnonzero(seen.any(0))[[0, -1]].tolist() == [0, x2 - x1 - 1]


def test_a_scene_is_a_function_of_seed_and_place(digits, found):
    again = data.scenes(digits.x, digits.y, 7, seed=3)
    np.testing.assert_array_equal(again.x, found.x[:7])
    np.testing.assert_array_equal(again.masks, found.masks[:7])
    np.testing.assert_array_equal(again.objects.boxes, found.objects.boxes[:7])
    other = data.scenes(digits.x, digits.y, 7, seed=4)
    assert not (other.objects.boxes[:, 0] == found.objects.boxes[:7, 0]).all(1).any()
    elsewhere = data.scenes(jnp.asarray(digits.x), jnp.asarray(digits.y), 7, seed=3, background=PLAIN)
    np.testing.assert_array_equal(elsewhere.masks, found.masks[:7])
    assert not (elsewhere.x == found.x[:7]).all()


def test_digits_can_be_read_and_no_threshold_finds_them(found):
    """Ink differs from what is around it; yet the best of many thresholds, either way, has an IoU far from 1."""
    grey, ink = found.x.mean(-1), found.masks > 0
    differences = []
    for n in range(40):
        for x1, y1, x2, y2, kind in one_by_one(found, n):
            cut, mask = grey[n, y1:y2, x1:x2], found.masks[n, y1:y2, x1:x2]
            differences.append(cut[mask == 1 + kind].mean() - cut[mask == 0].mean())
    assert (np.abs(differences) > 0.15).mean() > 0.9
    assert 0.25 < (np.array(differences) > 0).mean() < 0.75

    def iou(guess):
        return (guess & ink).sum() / (guess | ink).sum()

    best = max(max(iou(grey > t), iou(grey < t)) for t in np.linspace(0, 1, 41))
    assert best < 0.3


def test_pieces_of_photographs():
    """Of a slope across, seen near or from afar, each piece is a slope too, no steeper than its contrast allows."""
    wide = np.broadcast_to(np.linspace(0, 1, 200, dtype=np.float32)[:, None, None], (200, 150, 1))
    cut = piece(np.random.default_rng(1), [wide], (32, 16))
    assert cut.shape == (32, 16, 1)
    np.testing.assert_allclose(cut, np.broadcast_to(cut[:, :1], cut.shape), atol=1e-6)
    steps = np.diff(cut[2:-2, 0, 0])
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.03)
    images, labels = blocks()
    pictures = data.photographs()
    found = data.scenes(images, labels, 3, size=(48, 96), background=pictures)
    assert found.x.shape == (3, 48, 96, 3)
    assert data.scenes(images, labels, 2, background=np.zeros((2, 64, 70, 1), np.float32), channels=1).x.shape[-1] == 1


def test_resampling_keeps_what_it_should():
    """Rows of weights sum to 1; the same size is the identity; halves are those of areas; a slope remains one."""
    for target, source in ((5, 9), (9, 5), (4, 4), (1, 7), (7, 1)):
        np.testing.assert_allclose(weights(target, source).sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(weights(4, 4), np.eye(4))
    line = np.arange(12, dtype=np.float32)[None] * np.ones((3, 1), np.float32)
    np.testing.assert_allclose(resampled(line, 3, 6)[:, 1:-1], [[2.5, 4.5, 6.5, 8.5]] * 3, rtol=1e-6)
    np.testing.assert_allclose(np.diff(resampled(line, 3, 24)[0, 1:-1]), 0.5, rtol=1e-5)


def test_textures_vary():
    several = [texture(np.random.default_rng(n), (32, 32), 3) for n in range(30)]
    levels, spreads = [t.mean() for t in several], [t.mean(-1).std() for t in several]
    assert np.std(levels) > 0.1
    assert min(spreads) > 0.02
    assert max(spreads) <= 0.181


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"count": 0}, ValueError, "scenes: count must be at least 1, got 0"),
        ({"seed": -1}, ValueError, "scenes: seed must be at least 0, got -1"),
        ({"size": 64}, ValueError, "scenes: size must be two whole numbers, got 64"),
        ({"objects": (3, 1)}, ValueError, r"objects must be \(least, most\) with most at least 1, got \(3, 1\)"),
        ({"objects": (0, 0)}, ValueError, r"with most at least 1, got \(0, 0\)"),
        ({"scale": (0.5, 1.5)}, ValueError, r"scale must be \(least, most\) above 0, up to 1, got \(0.5, 1.5\)"),
        ({"scale": 0.5}, ValueError, r"scale must be \(least, most\) above 0, up to 1, got 0.5"),
        ({"overlap": -0.5}, ValueError, "overlap must be from 0 to 1, got -0.5"),
        ({"background": "stripes"}, ValueError, "background must be 'texture' or images, got 'stripes'"),
        ({"background": []}, DataError, "there is no background"),
        ({"background": 0.5}, ValueError, "background must be 'texture' or images, got 0.5"),
        ({"background": PLAIN[:30]}, ShapeError, r"\(64 or more, 64 or more, 3\), got \(30, 64, 3\)"),
        ({"background": PLAIN[..., :1]}, ShapeError, r"got \(64, 64, 1\)"),
        ({"background": PLAIN * 255}, DataError, "backgrounds must lie between 0 and 1"),
        ({"images": np.ones((10, 20, 20, 3), np.float32)}, ShapeError, r"\(n, h, w, 1\), got \(10, 20, 20, 3\)"),
        ({"images": np.ones((10, 20, 20), np.uint8)}, DtypeError, "images must be floating-point, got uint8"),
        ({"images": np.full((10, 20, 20), np.nan)}, DataError, "images must lie between 0 and 1, got nan"),
        ({"images": np.zeros((10, 20, 20))}, DataError, "image 0 has no ink, all are 0"),
        ({"labels": np.zeros(9, int)}, ShapeError, r"the labels must have shape \(10,\), got \(9,\)"),
        ({"labels": np.arange(10) - 1}, DataError, "label -1 at index 0"),
        ({"labels": np.ones(10)}, DtypeError, "labels must be integers, got float64"),
    ],
)
def test_what_cannot_be_composed(change, error, said):
    images, labels = blocks()
    with pytest.raises(error, match=said):
        data.scenes(**{"images": images, "labels": labels, "count": 1} | change)
