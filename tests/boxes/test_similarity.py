"""How like boxes are: against counted cells, formulas in float64, finite differences and torchvision; and the laws."""

from __future__ import annotations

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from box_toys import PEER, drawn, pure
from hypothesis import given
from hypothesis.extra.numpy import arrays

from fnnet import boxes
from fnnet.errors import DtypeError, ShapeError

ALL = {"iou": boxes.iou, "giou": boxes.giou, "diou": boxes.diou, "ciou": boxes.ciou}
LEAST = {"iou": 0.0, "giou": -1.0, "diou": -1.0, "ciou": -1.5}
every = pytest.mark.parametrize("name", ALL)
assert_close = np.testing.assert_allclose

A, B = drawn(0, 40), drawn(1, 40)


def formula(name, a, b):
    """Return the similarity of boxes with an area, straight from the papers, in float64."""
    a, b = (np.moveaxis(np.asarray(x, np.float64), -1, 0) for x in (a, b))
    w, h = (np.maximum(np.minimum(a[i + 2], b[i + 2]) - np.maximum(a[i], b[i]), 0) for i in (0, 1))
    (wa, ha), (wb, hb) = (x[2:] - x[:2] for x in (a, b))
    cw, ch = (np.maximum(a[i + 2], b[i + 2]) - np.minimum(a[i], b[i]) for i in (0, 1))
    union = wa * ha + wb * hb - w * h
    iou = w * h / union
    if name == "iou":
        return iou
    if name == "giou":
        return iou - (cw * ch - union) / (cw * ch)
    shift = (((a[:2] + a[2:]) - (b[:2] + b[2:])) ** 2).sum(0) / 4
    diou = iou - shift / (cw**2 + ch**2)
    if name == "diou":
        return diou
    v = 4 / np.pi**2 * (np.arctan(wb / hb) - np.arctan(wa / ha)) ** 2
    return diou - v**2 / (1 - iou + v)


def cells(box, size=12):
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    return (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])


def test_whole_boxes_against_counted_cells():
    """On a raster: the intersection, the union, the cells of the hull, the share that is covered."""
    random = np.random.default_rng(3)
    corners = np.sort(random.integers(0, 12, (60, 2, 2, 2)), axis=-1)
    a, b = corners.transpose(1, 0, 3, 2).reshape(2, 60, 4)
    measures = [np.asarray(f(*np.float32((a, b)))) for f in (boxes.iou, boxes.giou, boxes.covered)]
    empty = 0
    for p, q, iou, giou, covered in zip(a, b, *measures, strict=True):
        P, Q = cells(p), cells(q)
        both, either = (P & Q).sum(), (P | Q).sum()
        hull = cells([*np.minimum(p, q)[:2], *np.maximum(p, q)[2:]]).sum()
        assert_close(iou, both / max(either, 1), rtol=1e-6)
        assert_close(covered, both / max(P.sum(), 1), rtol=1e-6)
        assert_close(giou, both / max(either, 1) - (hull - either) / max(hull, 1), rtol=1e-6, atol=1e-7)
        empty += P.sum() == 0
    assert empty > 3


@every
def test_equals_its_formula(name):
    """Values are those of the papers' formulas in float64, and the whole is pure and compiles."""
    got = pure(ALL[name], A, B)
    assert got.dtype == jnp.float32
    assert (np.asarray(boxes.iou(A, B)) > 0).sum() > 10
    assert_close(got, formula(name, A, B), rtol=1e-5, atol=1e-6)


@every
def test_equals_torchvision(name, x64):
    """Its similarities, and the gradients of its losses, α of the CIoU constant, within its ε of 1e-7."""
    a, b = jnp.array(PEER["a"]), jnp.array(PEER["b"])
    assert_close(ALL[name](a, b), PEER[name], atol=3e-7)
    if name != "iou":
        gradient = jax.grad(lambda a: -ALL[name](a, b).sum())(a)
        drawn = len(a) - PEER["edges"]
        assert_close(gradient[:drawn], np.array(PEER[f"{name} gradient"])[:drawn], rtol=1e-5, atol=3e-7)


@every
def test_gradient_is_that_of_finite_differences(name, x64):
    """In float64 and general position; of the CIoU, that of the rest plus α times that of v."""
    a, b, direction = np.float64(A), np.float64(B), np.random.default_rng(2).normal(size=A.shape)

    def slope(function):
        return (function(a + 1e-6 * direction) - function(a - 1e-6 * direction)) / 2e-6

    def v(a):
        return 4 / np.pi**2 * (np.arctan((a[:, 2] - a[:, 0]) / (a[:, 3] - a[:, 1])) - angle) ** 2

    got = (jax.grad(lambda a: ALL[name](a, b).sum())(a) * direction).sum(-1)
    if name == "ciou":
        angle = np.arctan((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1]))
        alpha = v(a) / (1 - formula("iou", a, b) + v(a))
        want = slope(lambda a: formula("diou", a, b)) - alpha * slope(v)
    else:
        want = slope(lambda a: ALL[name](a, b))
    assert_close(got, want, rtol=1e-5, atol=1e-8)


@every
def test_laws(name):
    """In range, symmetric, at most the simpler kind, the same for boxes moved and scaled together."""
    for a, b in ((A, B), (A, A[::-1].copy()), (A, A + 20)):
        values = ALL[name](a, b)
        assert (values >= LEAST[name] - 1e-6).all()
        assert (values < 1).all()
        assert_close(ALL[name](b, a), values, rtol=1e-6, atol=1e-7)
        assert (values <= boxes.iou(a, b)).all()
        assert (boxes.ciou(a, b) <= boxes.diou(a, b)).all()
        for moved in (lambda x: 4 * x, lambda x: x / 64, lambda x: x[:, [1, 0, 3, 2]]):
            assert_close(ALL[name](moved(a), moved(b)), values, rtol=1e-6, atol=1e-6)
        offset = np.float32([3, -7, 3, -7])
        assert_close(ALL[name](a + offset, b + offset), values, rtol=1e-4, atol=1e-5)


@every
def test_equal_boxes_give_exactly_one(name):
    """Eager, compiled and in pairs, near and far from 0, with gradient 0; and a box changed by a little gives less."""
    same = np.concatenate([A, A * 1e-3, A + 1e4, A * 1e4, drawn(2, 900, scale=512.0)])
    for function in (ALL[name], jax.jit(ALL[name])):
        assert (function(same, same) == 1).all()
    pairs = jax.jit(lambda x: boxes.pairwise(ALL[name], x, x))(same[-900:])
    assert (jnp.diagonal(pairs) == 1).all()
    assert ((pairs == 1).sum(-1) == 1).all()
    sizes = jnp.broadcast_to((same[:, 2:] - same[:, :2]).min(-1, keepdims=True), same.shape)
    assert (jnp.abs(jax.grad(lambda a: ALL[name](a, same).sum())(same) * sizes) < 1e-6).all()
    assert (ALL[name](A, A * np.float32([1, 1, 1.001, 1])) < 1).all()


UNIT = [0, 0, 4, 4]
EDGE_CASES = {
    "touching": [4, 0, 8, 4],
    "at a corner": [4, 4, 8, 8],
    "apart": [7, 9, 8, 10],
    "identical": UNIT,
    "within, three edges shared": [0, 0, 4, 2],
    "without width": [2, 0, 2, 4],
    "a line of the same edge": [4, 0, 4, 4],
    "a point within": [2, 2, 2, 2],
    "a point outside": [9, 9, 9, 9],
    "inverted": [3, 1, 1, 3],
    "inverted both ways": [9, 9, 6, 6],
    "far": [1e4, 1e4, 1e4 + 4, 1e4 + 4],
    "huge": [-1e4, -1e4, 1e4, 1e4],
    "tiny": [1, 1, 1 + 1e-6, 1 + 1e-6],
}


@every
def test_edge_cases_are_finite_and_in_range(name):
    """Values and gradients, by both boxes, of every case against an ordinary box, and against every other."""
    cases = np.array(list(EDGE_CASES.values()), np.float32)
    a, b = (x.reshape(-1, 4) for x in np.broadcast_arrays(cases[:, None], cases[None]))
    values = ALL[name](a, b)
    assert np.isfinite(values).all()
    assert (values >= LEAST[name]).all()
    assert (values <= 1).all()
    for gradient in jax.jit(jax.grad(lambda a, b: ALL[name](a, b).sum(), argnums=(0, 1)))(a, b):
        assert np.isfinite(gradient).all()


def test_edge_cases_by_hand():
    """What has no area has IoU 0 with all, itself too; the rest is arithmetic."""

    def value(name, case):
        return float(ALL[name](jnp.array(EDGE_CASES[case], jnp.float32), jnp.array(UNIT, jnp.float32)))

    for case in ("touching", "at a corner", "apart", "without width", "a point within", "inverted", "far"):
        assert value("iou", case) == 0
    assert value("giou", "touching") == 0
    assert value("giou", "at a corner") == -0.5
    assert value("giou", "inverted") == 0
    assert value("giou", "inverted both ways") == pytest.approx(16 / 81 - 1)
    assert value("diou", "touching") == pytest.approx(-16 / 80)
    assert value("diou", "a point within") == 0
    assert value("giou", "far") > -1
    point = jnp.ones(4)
    assert [float(f(point, point)) for f in ALL.values()] == [0, 0, 0, 0]


def test_gradients_point_the_right_way():
    """The gradient moves boxes together, widens a box without width, and brings corners back."""

    def gradient(name, case):
        a, b = (jnp.array(x, jnp.float32) for x in (EDGE_CASES[case], UNIT))
        return jax.grad(ALL[name])(a, b)

    for case in ("touching", "at a corner", "apart", "a point outside", "far", "inverted both ways"):
        for name in ("giou", "diou", "ciou"):
            assert gradient(name, case).sum() < 0
    for name in ALL:
        g = gradient(name, "without width")
        assert g[0] < 0 < g[2]
        assert not gradient(name, "identical").any()
    assert (gradient("giou", "inverted both ways")[:2] < 0).all()
    assert gradient("ciou", "within, three edges shared")[3] > 0


@every
@pytest.mark.parametrize("scale", [2.0**-45, 2.0**45])
def test_gradients_scale_though_the_square_of_an_area_does_not_fit(name, scale):
    """Of boxes s times as large the gradient is 1/s times that, for sides of 1e-13 and 1e14 too."""
    slope = jax.jit(jax.grad(lambda a, b: ALL[name](a, b).sum()))
    assert_close(slope(scale * A, scale * B) * scale, slope(A, B), rtol=1e-5, atol=1e-6)


coordinates = st.floats(-(2.0**20), 2.0**20, width=32)
both = {name: jax.jit(jax.value_and_grad(lambda p, f=f: f(p[0], p[1]).sum())) for name, f in ALL.items()}


@every
@given(pairs=arrays(np.float32, (2, 4, 4), elements=coordinates))
def test_any_box_gives_a_finite_value_and_gradient(name, pairs):
    """Inverted, thin, tiny and huge ones: whatever a network may predict."""
    value, gradient = both[name](pairs)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@every
def test_leading_axes_dtypes_and_pairs(name):
    """vmap and pairs are of single boxes; 16 bits are computed in float32; nan is passed on."""
    whole = ALL[name](A, B)
    assert_close(jax.vmap(ALL[name])(A, B), whole, rtol=1e-6, atol=1e-6)
    pairs = boxes.pairwise(ALL[name], A.reshape(2, 20, 4), B.reshape(2, 20, 4)[:, :7])
    assert pairs.shape == (2, 20, 7)
    assert_close(pairs[1, 3, 4], whole.at[0].set(ALL[name](A[23], B[24]))[0], rtol=1e-6, atol=1e-6)
    low = ALL[name](jnp.asarray(A * 50, jnp.float16), jnp.asarray(B * 50, jnp.float16))
    assert low.dtype == jnp.float32
    assert_close(low, formula(name, np.float16(A * 50), np.float16(B * 50)), rtol=1e-5, atol=1e-5)
    assert np.isnan(ALL[name](A[0] * np.float32([1, 1, np.nan, 1]), B[0]))


def test_covered_is_the_share_of_the_first():
    """|A ∩ B| / |A|: exactly 1 within, and IoU = 1 / (1/c + 1/c' - 1) of the two shares."""
    inner = np.concatenate([A[:, :2] + 0.25 * (A[:, 2:] - A[:, :2]), A[:, 2:]], -1)
    assert (boxes.covered(inner, A) == 1).all()
    assert_close(boxes.covered(A, inner), 0.75**2, rtol=1e-4)
    meet = np.asarray(boxes.iou(A, B)) > 0
    c, d = boxes.covered(A[meet], B[meet]), boxes.covered(B[meet], A[meet])
    assert_close(1 / (1 / c + 1 / d - 1), boxes.iou(A[meet], B[meet]), rtol=1e-4)


@pytest.mark.untyped
def test_wrong_arguments():
    for function in (*ALL.values(), boxes.covered):
        with pytest.raises(ShapeError, match=r"one shape, got \(40, 4\) and \(4,\)(?s:.*)pairwise"):
            function(A, B[0])
        with pytest.raises(ShapeError, match=r"shape \(..., 4\), got \(40, 3\)"):
            function(A[:, :3], B[:, :3])
        with pytest.raises(DtypeError, match="floating-point, got int32"):
            function(A, B.astype(np.int32))
    with pytest.raises(ShapeError, match=r"equal leading axes, got \(2, 20, 4\), \(40, 4\)"):
        boxes.pairwise(boxes.iou, A.reshape(2, 20, 4), B)
    with pytest.raises(ShapeError, match="pairwise: boxes must have shapes"):
        boxes.pairwise(boxes.iou, A[0], B)
