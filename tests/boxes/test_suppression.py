"""Suppression is the greedy loop that the papers write, in fixed shapes: that loop, torchvision, and the laws."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from box_toys import PEER, drawn, pure

from fnnet import boxes
from fnnet.boxes import Detections
from fnnet.errors import DataError, DtypeError, ShapeError

pytestmark = pytest.mark.usefixtures("quickly_compiled")

N = 30


def detections(seed, *leading, digits=1, n=N):
    """Return overlapping boxes of three classes, with ties of their scores, and some padding of high scores."""
    random = np.random.default_rng(seed)
    scores = np.round(random.uniform(size=(*leading, n)), digits).astype(np.float32)
    classes, valid = random.integers(0, 3, (*leading, n)), random.uniform(size=(*leading, n)) < 0.8
    return Detections(
        drawn(seed, *leading, n, sides=(0.4, 0.8)),
        scores,
        classes.astype(np.int32),
        np.where(scores == 1, False, valid),
    )


def row(found, i):
    return jax.tree.map(lambda field: np.asarray(field)[i], found)


def assert_same(got, want):
    for name, a, b in zip(Detections._fields, got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)


def greedy(found, alike, overlap=0.5, similarity=None, class_wise=True, least_score=0.0, count=None):
    """Non-maximum suppression of one image, as a loop."""
    left = [i for i in range(len(found.scores)) if found.valid[i] and found.scores[i] >= least_score]
    kept = []
    for i in sorted(left, key=lambda i: (-found.scores[i], i)):
        ends = (alike[j, i] > overlap and (found.classes[i] == found.classes[j] or not class_wise) for j in kept)
        if not any(ends):
            kept.append(i)
    return taken(found, kept, found.scores[kept], count)


def soft(
    found,
    alike,
    method="gaussian",
    sigma=0.5,
    overlap=0.3,
    similarity=None,
    class_wise=True,
    least_score=0.001,
    count=None,
):
    """Algorithm 1 of Bodla et al. (2017), as a loop."""
    scores, kept = np.float64(found.scores), []
    left = [i for i in range(len(scores)) if found.valid[i]]
    while left:
        best = max(left, key=lambda i: (scores[i], -i))
        left.remove(best)
        kept.append(best)
        for i in left:
            if found.classes[i] == found.classes[best] or not class_wise:
                s = alike[best, i]
                scores[i] *= np.exp(-(s**2) / sigma) if method == "gaussian" else 1 - s if s > overlap else 1
    kept = [i for i in kept if scores[i] >= least_score]
    return taken(found, kept, scores[kept], count)


def taken(found, kept, scores, count):
    count = len(found.scores) if count is None else count
    kept, scores = kept[:count], scores[:count]
    out = Detections(np.zeros((count, 4)), np.zeros(count), np.zeros(count, int), np.arange(count) < len(kept))
    for field, values in zip(out[:3], (found.boxes[kept], scores, found.classes[kept]), strict=True):
        field[: len(kept)] = values
    return out


PAIRS = jax.jit(lambda similarity, x: boxes.pairwise(similarity, x, x), static_argnums=0)
OPTIONS = {
    "default": {},
    "a low limit, of another kind": {"overlap": 0.2, "similarity": boxes.diou},
    "all classes together": {"class_wise": False},
    "a least score": {"least_score": 0.5},
    "the best few": {"count": 4},
    "room for more": {"count": N + 5},
}
options = pytest.mark.parametrize("some", OPTIONS.values(), ids=OPTIONS)


@options
def test_it_is_the_greedy_loop(some):
    """Equal to the loop on random sets with ties: which, in what order, and nothing beside."""
    found = detections(0, 40)
    got = jax.tree.map(np.asarray, boxes.suppress(found, **some))
    alike, ended = np.asarray(PAIRS(some.get("similarity", boxes.iou), found.boxes)), 0
    for i in range(40):
        want = greedy(row(found, i), alike[i], **some)
        assert_same(row(got, i), want)
        ended += row(found, i).valid.sum() - want.valid.sum()
    assert ended > 40


@options
@pytest.mark.parametrize("method", ["gaussian", "linear"])
def test_soft_suppression_is_its_loop(some, method):
    """Equal to the algorithm of the paper in float64, whose scores have no ties after the first turn."""
    found = detections(1, 20, digits=6)
    got = jax.tree.map(np.asarray, boxes.soft_suppress(found, method=method, **some))
    alike = np.maximum(PAIRS(some.get("similarity", boxes.iou), found.boxes), 0)
    for i in range(20):
        assert_same(row(got, i), soft(row(found, i), alike[i], method, **some))


@pytest.mark.parametrize(
    ("name", "overlap", "class_wise"), [("iou > 0.5", 0.5, False), ("iou > 0.3, by class", 0.3, True)]
)
def test_equals_torchvision(name, overlap, class_wise):
    scores = jnp.array(PEER["scores"], jnp.float32)
    found = Detections(jnp.array(PEER["boxes"]), scores, jnp.array(PEER["classes"]), jnp.ones(scores.shape, bool))
    kept = boxes.suppress(found, overlap=overlap, class_wise=class_wise)
    best = np.array(PEER[name])
    assert kept.valid.sum() == len(best) < len(scores)
    np.testing.assert_array_equal(kept.boxes[: len(best)], found.boxes[best])
    np.testing.assert_array_equal(kept.classes[: len(best)], found.classes[best])


SUPPRESSIONS = {
    "hard": boxes.suppress,
    "gaussian": boxes.soft_suppress,
    "linear": partial(boxes.soft_suppress, method="linear"),
}
every = pytest.mark.parametrize("suppress", SUPPRESSIONS.values(), ids=SUPPRESSIONS)


@every
def test_leading_axes_are_batch(suppress):
    """vmap, twice, gives the batch's; it is pure and compiles; dtypes are kept."""
    found = detections(2, 2, 3)
    whole = pure(suppress, found)
    assert_same(jax.jit(jax.vmap(jax.vmap(suppress)))(jax.tree.map(jnp.asarray, found)), whole)
    low = suppress(Detections(*(jnp.asarray(field, jnp.bfloat16) for field in found[:2]), *map(jnp.asarray, found[2:])))
    assert [field.dtype for field in low] == [jnp.bfloat16, jnp.bfloat16, jnp.int32, jnp.bool_]


@every
def test_order_and_padding_do_not_matter(suppress):
    """Laws: detections in another order, with padding between, give the same; scores fall, and what is left is 0."""
    found = row(detections(3, 1, digits=6), 0)
    whole = suppress(found)
    order = np.random.default_rng(0).permutation(N)
    assert_same(suppress(row(found, order)), whole)
    padding = Detections(drawn(4, 5), np.ones(5, np.float32), np.zeros(5, np.int32), np.zeros(5, bool))
    more = jax.tree.map(lambda a, b: np.concatenate([a[:7], b, a[7:]]), found, padding)
    assert_same(suppress(more, count=N), whole)
    assert (np.diff(whole.scores) <= 0).all()
    for field in whole[:3]:
        assert not np.asarray(field)[~np.asarray(whole.valid)].any()


def test_twice_is_once_and_none_that_stay_overlap():
    """Laws: idempotent, to the bit; a part of what was found; of one class, no two above the limit, and each of the
    others is above it with one that stays."""
    found = detections(5, 10)
    kept = boxes.suppress(found, overlap=0.4)
    jax.tree.map(np.testing.assert_array_equal, boxes.suppress(kept, overlap=0.4), kept)
    alike = np.array(boxes.pairwise(boxes.iou, kept.boxes, kept.boxes)) > 0.4
    ended = np.array(boxes.pairwise(boxes.iou, found.boxes, kept.boxes)) > 0.4
    kept = jax.tree.map(np.asarray, kept)
    alike &= (kept.classes[:, :, None] == kept.classes[:, None]) & kept.valid[:, :, None] & kept.valid[:, None]
    assert not np.triu(alike, 1).any()
    ended &= (found.classes[:, :, None] == kept.classes[:, None]) & kept.valid[:, None]
    assert ended.any(-1)[found.valid].all()
    for i in range(10):
        one, whole = (
            {(*box, score, label) for box, score, label, valid in zip(*row(x, i), strict=True) if valid}
            for x in (kept, found)
        )
        assert one < whole


def test_the_lower_index_wins_a_tie():
    """Of two alike of one score the first stays; a chain of boxes loses every second."""
    pair = Detections(
        jnp.array([[0.0, 0, 4, 4], [0, 0, 4, 4.5]]), jnp.ones(2), jnp.zeros(2, jnp.int32), jnp.ones(2, bool)
    )
    for suppress in SUPPRESSIONS.values():
        assert suppress(pair).boxes[0].tolist() == [0, 0, 4, 4]
        assert suppress(row(pair, np.array([1, 0]))).boxes[0].tolist() == [0, 0, 4, 4.5]
    x = np.arange(N, dtype=np.float32) * 2
    chain = np.stack([x, 0 * x, x + 8, 0 * x + 1], -1)
    found = Detections(chain, np.linspace(1, 0.5, N, dtype=np.float32), np.zeros(N, np.int32), np.ones(N, bool))
    assert boxes.suppress(found).boxes[: N // 2, 0].tolist() == x[::2].tolist()


def test_limits_of_soft_suppression():
    """A sharp one is greedy suppression at overlap 0; a flat one, or a limit of 1, changes no score; none rises."""
    found = detections(6, 5, digits=6)
    assert_same(boxes.soft_suppress(found, sigma=1e-7), boxes.suppress(found, overlap=0.0, least_score=0.001))
    ordered = boxes.suppress(found, overlap=1.0, least_score=0.001)
    assert_same(boxes.soft_suppress(found, sigma=1e9), ordered)
    assert_same(boxes.soft_suppress(found, method="linear", overlap=1.0), ordered)
    for method in ("gaussian", "linear"):
        assert (boxes.soft_suppress(found, method=method).scores <= ordered.scores + 1e-6).all()


def test_gradients_pass(x64):
    """Of what stays, by scores and boxes; of rescored scores, that of finite differences."""
    found = row(detections(7, 1, digits=6), 0)
    found = Detections(*(jnp.asarray(field, jnp.float64) for field in found[:2]), *map(jnp.asarray, found[2:]))

    def total(scores, function):
        kept = function(found._replace(scores=scores))
        return (kept.scores * jnp.arange(1.0, N + 1)).sum() + kept.boxes.sum()

    g = jax.grad(total)(found.scores, boxes.suppress)
    kept = boxes.suppress(found)
    assert (g > 0).sum() == kept.valid.sum()
    weights = jnp.arange(1.0, N + 1)
    soft = jax.jit(lambda scores: (boxes.soft_suppress(found._replace(scores=scores)).scores * weights).sum())
    g, direction = jax.grad(soft)(found.scores), jnp.linspace(-1, 1, N)
    # A small step, in which the order stays.
    slope = (soft(found.scores + 1e-5 * direction) - soft(found.scores - 1e-5 * direction)) / 2e-5
    np.testing.assert_allclose(g @ direction, slope, rtol=1e-5)


def test_no_detections_and_no_room():
    """Images without any, all of them padding, none of them wanted."""
    for suppress in SUPPRESSIONS.values():
        none = row(detections(0, 1), 0)
        assert not suppress(none._replace(valid=np.zeros(N, bool))).valid.any()
        empty = row(none, slice(0, 0))
        assert suppress(empty).boxes.shape == (0, 4)
        assert suppress(empty, count=3).valid.tolist() == [False] * 3
        assert suppress(none, count=0).scores.shape == (0,)


def test_nan_is_noticed():
    """Where it is known it raises, unless it is padding; compiled it stays, valid, after the others."""
    found = row(detections(8, 1), 0)
    found.valid[:2] = True
    broken = jax.tree.map(np.copy, found)
    broken.scores[1] = np.nan
    for suppress in SUPPRESSIONS.values():
        with pytest.raises(DataError, match="score nan at index 1 is not a number"):
            suppress(broken)
        out = jax.jit(suppress)(broken)
        assert np.isnan(out.scores[out.valid.sum() - 1])
        assert np.isfinite(out.scores[: out.valid.sum() - 1]).all()
        padding = broken._replace(valid=np.arange(N) != 1)
        assert_same(suppress(padding), suppress(found._replace(valid=padding.valid)))
    broken = found._replace(boxes=np.where(np.arange(N)[:, None] == 0, np.nan, found.boxes).astype(np.float32))
    with pytest.raises(DataError, match=r"box .*nan.* at index 0"):
        boxes.suppress(broken)
    out = jax.jit(boxes.suppress)(broken)
    assert np.isnan(out.boxes[out.valid]).any()


@pytest.mark.untyped
def test_wrong_arguments():
    found = row(detections(0, 1), 0)
    for suppress in (boxes.suppress, boxes.soft_suppress):
        for change, error, problem in [
            ({"scores": found.scores[:3]}, ShapeError, r"scores must have shape \(30,\), got \(3,\)"),
            ({"boxes": found.boxes[0]}, ShapeError, r"shape \(..., n, 4\), got \(4,\)"),
            ({"boxes": found.boxes.astype(int)}, DtypeError, "floating-point, got int64"),
            ({"scores": found.scores.astype(int)}, DtypeError, "floating-point, got int64"),
            ({"classes": found.scores}, DtypeError, "classes must be integers .* got float32 and bool"),
            ({"valid": found.classes}, DtypeError, "valid truth values, got int32 and int32"),
        ]:
            with pytest.raises(error, match=problem):
                suppress(found._replace(**change))
        with pytest.raises(ShapeError, match=r"expected fn\.boxes\.Detections, got ndarray"):
            suppress(found.boxes)
        with pytest.raises(ValueError, match="overlap must be a number of at most 1, got 50"):
            suppress(found, overlap=50)
        with pytest.raises(ValueError, match="least_score must be a number, got nan"):
            suppress(found, least_score=float("nan"))
        with pytest.raises(ValueError, match="count must be at least 0"):
            suppress(found, count=-1)
    with pytest.raises(ValueError, match="method must be 'gaussian' or 'linear', got 'hard'"):
        boxes.soft_suppress(found, method="hard")
    with pytest.raises(ValueError, match="sigma must be a number above 0"):
        boxes.soft_suppress(found, sigma=0.0)
