"""Laws of mean average precision: splits, orders, scales, perfection, false alarms; and the input that it refuses."""

from __future__ import annotations

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from detection_scenes import Scene, rows_of, scene, scored
from hypothesis import given

import fnnet as fn
from fnnet import metrics
from fnnet.boxes import Detections, Objects
from fnnet.errors import DataError, DtypeError, ShapeError

IMAGES = 6
METRICS = {
    "coco": metrics.mean_average_precision(3),
    "voc": metrics.mean_average_precision(3, style="voc"),
    "voc11": metrics.mean_average_precision(3, style="voc11"),
}
every = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
seeds = st.integers(0, 2**20)


def flat(value):
    return np.concatenate([np.atleast_1d(part) for part in value.values()])


def assert_equal(a, b):
    assert list(a) == list(b)
    np.testing.assert_array_equal(flat(a), flat(b))


@every
@given(seed=seeds, cuts=st.tuples(st.integers(0, IMAGES), st.integers(0, IMAGES)))
def test_the_split_does_not_matter(metric, seed, cuts):
    """Parts, which may be empty, merged in either grouping and with nothing, give the value of the whole to the bit."""
    records = scene(seed, images=IMAGES)
    first, second = sorted(cuts)
    a, b, c = (
        metric.update(metric.init(), *rows_of(records, rows))
        for rows in (slice(first), slice(first, second), slice(second, None))
    )
    whole = scored(metric, records)
    left, right = metric.merge(metric.merge(a, b), c), metric.merge(a, metric.merge(b, c))
    assert left == right
    for acc in (left, metric.merge(metric.init(), left), metric.merge(left, metric.init())):
        assert_equal(metric.compute(acc), whole)


@every
@given(seed=seeds, order=st.permutations(range(IMAGES)))
def test_the_order_of_images_does_not_matter(metric, seed, order):
    """Of images whose scores differ; of any, if they are numbered."""
    records = scene(seed, images=IMAGES, levels=0)
    assert_equal(scored(metric, rows_of(records, order)), scored(metric, records))
    tied = scene(seed, images=IMAGES, levels=2)
    numbered = scored(metric, rows_of(tied, order), image=np.array(order))
    assert_equal(numbered, scored(metric, tied, image=np.arange(IMAGES)))
    assert_equal(numbered, scored(metric, tied))


@every
@given(seed=seeds)
def test_one_image_is_a_batch_of_one_and_padding_is_nothing(metric, seed):
    """Images one by one, or with more padding, or beside images that weigh nothing, give the value of the batch."""
    records = scene(seed, images=IMAGES)
    one_by_one = metric.init()
    for row in range(IMAGES):
        one_by_one = metric.update(one_by_one, *rows_of(records, row))
    whole = scored(metric, records)
    assert_equal(metric.compute(one_by_one), whole)
    weight = np.arange(IMAGES) % 2
    rubbish = Detections(*(np.where(weight.reshape(-1, *[1] * (x.ndim - 1)), x, x[:1] * 0 - 5) for x in records[0]))
    rubbish = rubbish._replace(valid=records.detections.valid)
    half = scored(metric, rows_of(records, weight == 1))
    assert_equal(scored(metric, (rubbish, records.objects), weight=weight), half)
    wide = [type(part)(*(np.concatenate([x, x], 1) for x in part)) for part in records]
    wide = [
        part._replace(valid=part.valid & (np.arange(part.valid.shape[1]) < part.valid.shape[1] // 2)) for part in wide
    ]
    assert_equal(scored(metric, wide), whole)


@every
@given(seed=seeds)
def test_perfect_detections_have_precision_and_recall_1(metric, seed):
    """The objects themselves, in any order, whatever the scores; for VOC, unless two of them are nearly one."""
    _, there = scene(seed, images=IMAGES, areas=False, twins=0.3 if metric is METRICS["coco"] else 0)
    scores = np.random.default_rng(seed).random(there.valid.shape)
    value = scored(metric, (Detections(there.boxes, scores, there.classes, there.valid), there))
    for name in value:
        known = np.atleast_1d(value[name])
        known = known[~np.isnan(known)]
        if name != "AR1":
            np.testing.assert_allclose(known, 1, rtol=1e-15, err_msg=name)


@every
@given(seed=seeds)
def test_a_last_false_alarm_raises_nothing(metric, seed):
    """A detection of the lowest score that overlaps nothing leaves every number where it is, or lower."""
    found, there = scene(seed, images=IMAGES)
    label = seed % 3
    extra = (np.array([900.0, 900, 950, 950]), -1.0, label, True)
    longer = Detections(
        *(
            np.concatenate([x, np.broadcast_to(np.asarray(one), (IMAGES, 1, *x.shape[2:]))], 1)
            for x, one in zip(found, extra, strict=True)
        )
    )
    before, after = (flat(scored(metric, (part, there))) for part in (found, longer))
    np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
    assert (after[~np.isnan(after)] <= before[~np.isnan(after)] + 1e-15).all()


@pytest.mark.parametrize("style", METRICS)
@given(seed=seeds, power=st.integers(-8, 8))
def test_a_common_scale_changes_nothing(style, seed, power):
    """Boxes in other units (a power of two, which rounds nothing) have the same value, without ranges of areas."""
    metric = metrics.mean_average_precision(3, style=style, areas={} if style == "coco" else None)
    found, there = scene(seed, images=IMAGES, areas=False)
    scaled = (part._replace(boxes=part.boxes * 2.0**power) for part in (found, there))
    assert_equal(scored(metric, tuple(scaled)), scored(metric, (found, there)))


def test_arrays_of_jax_and_more_leading_axes():
    """JAX arrays, in float32 or bfloat16, are as those of NumPy; leading axes are batch."""
    found, there = scene(3, images=IMAGES)
    found = found._replace(boxes=np.nan_to_num(found.boxes), scores=np.nan_to_num(found.scores))
    there = there._replace(boxes=np.nan_to_num(there.boxes))
    metric = METRICS["coco"]
    value = scored(metric, (found, there))
    assert_equal(scored(metric, (jax.tree.map(jnp.asarray, found), jax.tree.map(jnp.asarray, there))), value)
    folded = jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), Scene(found, there))
    assert_equal(scored(metric, folded, weight=np.ones((2, 3)), image=np.arange(IMAGES).reshape(2, 3)), value)
    half = found._replace(scores=jnp.asarray(found.scores, jnp.bfloat16))
    exact = found._replace(scores=np.asarray(half.scores).astype(np.float64))
    assert_equal(scored(metric, (half, there)), scored(metric, (exact, there)))


def test_nothing_has_no_precision():
    """No image, no object, or no detection: NaN, NaN and 0."""
    metric = METRICS["coco"]
    assert np.isnan(flat(metric.compute(metric.init()))).all()
    found, there = scene(0)
    none = there._replace(valid=np.zeros_like(there.valid))
    assert np.isnan(flat(scored(metric, (found, none)))).all()
    value = scored(metric, (found._replace(valid=np.zeros_like(found.valid)), there))
    assert (value["AP"], value["AR100"]) == (0, 0)
    for shape in ((0, 5), (2, 0), (0, 0)):
        empty = Detections(np.zeros((*shape, 4)), np.zeros(shape), np.zeros(shape, int), np.zeros(shape, bool))
        assert np.isnan(scored(metric, (empty, Objects(empty.boxes, empty.classes, empty.valid)))["AP"])


def test_names_and_keys():
    """Names tell the styles apart; keys follow the options."""
    assert [metric.name[22:] for metric in METRICS.values()] == ["", "_voc", "_voc11"]
    options = {"overlaps": [0.5, 0.75], "areas": {"tiny": (0, 64)}, "max_detections": [7, 3]}
    value = scored(metrics.mean_average_precision(3, **options), scene(0))
    assert list(value) == ["AP", "AP50", "AP75", "AP_tiny", "AR3", "AR7", "AR_tiny", "AP_per_class"]
    assert all(isinstance(value[name], float) for name in list(value)[:-1])


def test_many_pairs_are_looked_at_in_parts(monkeypatch):
    """However few pairs are looked at in one go, the value is the same."""
    records = scene(1, classes=1, objects=12, detections=30)
    metric = metrics.mean_average_precision(1)
    whole = scored(metric, records)
    for pairs in (1, 7, 100):
        monkeypatch.setattr("fnnet.metrics.detection.matching._PAIRS", pairs)
        assert_equal(scored(metric, records), whole)


GOOD = scene(0, images=2)
FOUND, THERE = GOOD


def at(x, value, owner):
    """The array with one value changed, that of the first valid entry."""
    changed = np.array(x)
    changed[tuple(np.argwhere(owner.valid)[0])] = value
    return changed


def found(**fields):
    return FOUND._replace(**fields), THERE


def there(**fields):
    return FOUND, THERE._replace(**fields)


BAD = {
    r"the prediction's boxes must be finite, got \[nan, 0.0, 1.0, 1.0\] in image 0 of the batch \(1 such\)": (
        DataError,
        found(boxes=at(FOUND.boxes, (np.nan, 0, 1, 1), FOUND)),
    ),
    r"the target's boxes must be finite, got \[0.0, 0.0, inf": (
        DataError,
        there(boxes=at(THERE.boxes, (0, 0, np.inf, 1), THERE)),
    ),
    r"the target's boxes must be corners \(x1, y1, x2, y2\), x1 <= x2 and y1 <= y2, got \[3.0, 0.0, 1.0, 1.0\]": (
        DataError,
        there(boxes=at(THERE.boxes, (3, 0, 1, 1), THERE)),
    ),
    r"the prediction's scores must be numbers, got nan": (DataError, found(scores=at(FOUND.scores, np.nan, FOUND))),
    r"the prediction's classes must be in 0 … 2, got 3": (DataError, found(classes=at(FOUND.classes, 3, FOUND))),
    r"the target's classes must be in 0 … 2, got -1": (DataError, there(classes=at(THERE.classes, -1, THERE))),
    r"the target's areas must be finite and at least 0, got -1.0": (DataError, there(areas=at(THERE.areas, -1, THERE))),
    r"the prediction's classes must be integers, got float64": (DtypeError, found(classes=FOUND.scores)),
    r"the target's valid must be bool, got int64": (DtypeError, there(valid=THERE.classes)),
    r"the prediction's boxes must be real numbers, got complex": (DtypeError, found(boxes=FOUND.boxes * 1j)),
    r"the prediction's boxes must have shape \(..., n, 4\), got \(4,\)": (ShapeError, found(boxes=np.zeros(4))),
    r"the target's boxes must have shape \(..., n, 4\), got \(2, 6, 5\)": (
        ShapeError,
        there(boxes=np.zeros((2, 6, 5))),
    ),
    r"the prediction's scores must have shape \(2, 11\), as its boxes \(2, 11, 4\) have, got \(2, 10\)": (
        ShapeError,
        found(scores=FOUND.scores[:, 1:]),
    ),
    r"must have the same images, got leading axes \(1,\) and \(2,\)": (ShapeError, (rows_of(FOUND, [0]), THERE)),
    r"the prediction must be fn.boxes.Detections, got Objects": (TypeError, (THERE, THERE)),
    r"the target must have valid, got None": (TypeError, there(valid=None)),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_raises(message):
    """It says which field, what was got, where and what to do; before anything is accumulated."""
    kind, records = BAD[message]
    with pytest.raises(kind, match=f"mean_average_precision: .*{message}"):
        METRICS["coco"].update((), *records)


BAD_ARGUMENTS = {
    r"a weight must be 0 or 1, got 0.5": (DataError, {"weight": np.array([1, 0.5])}),
    r"the weight must have one value an image, shape \(2,\), got \(3,\)": (ShapeError, {"weight": np.ones(3)}),
    r"image must be integers of shape \(2,\), got float64": (ShapeError, {"image": np.ones(2)}),
    r"the number of an image must be at least 0, got -3": (DataError, {"image": np.array([1, -3])}),
}


@pytest.mark.parametrize("message", BAD_ARGUMENTS)
def test_bad_arguments_raise(message):
    kind, arguments = BAD_ARGUMENTS[message]
    with pytest.raises(kind, match=message):
        METRICS["voc"].update((), *GOOD, **arguments)


def test_an_image_twice_raises():
    acc = METRICS["coco"].update((), *GOOD, image=np.array([4, 4]))
    with pytest.raises(DataError, match="image 4 is there twice"):
        METRICS["coco"].compute(acc)


BAD_OPTIONS = {
    "classes must be at least 1, got 0": {"classes": 0},
    "classes must be at least 1, got -2": {"classes": -2},
    "style must be 'coco', 'voc' or 'voc11', got 'lvis'": {"style": "lvis"},
    r"overlaps must be numbers above 0 and at most 1, got \(0.0, 0.5\)": {"overlaps": [0, 0.5]},
    r"overlaps must be numbers above 0 and at most 1, got \(\)": {"overlaps": []},
    "areas are for style='coco' alone": {"style": "voc", "areas": {}},
    r"areas must be \(least, largest\) with 0 <= least < largest, got \(5, 2\) for 'odd'": {"areas": {"odd": (5, 2)}},
    "max_detections must be at least 1, got 0": {"max_detections": [0, 1]},
    "max_detections must hold at least one number": {"max_detections": []},
}


@pytest.mark.parametrize("message", BAD_OPTIONS)
def test_bad_options_raise(message):
    with pytest.raises(ValueError, match=message):
        metrics.mean_average_precision(**{"classes": 3} | BAD_OPTIONS[message])


def test_under_jit_it_says_what_to_do():
    """Traced arrays are refused: it is computed on the host."""
    records = jax.tree.map(jnp.asarray, GOOD)
    message = r"computed on the host, .*\n  Fix: predict first \(fn.predict\)"
    with pytest.raises(DataError, match=message):
        jax.jit(fn.metrics.mean_average_precision(3).update)((), *records)
