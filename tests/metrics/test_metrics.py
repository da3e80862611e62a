"""Every metric against scikit-learn, and the laws of accumulators: any split, any order, any weight."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics as sk
from mask_toys import ROWS as SEGMENTATION
from metric_toys import GUESS, MANY_S, MANY_T, REAL, N, S, T, W, Y, Z
from scipy import special

from fnnet import losses, metrics, testing
from fnnet.errors import DataError, DtypeError, ShapeError


def probabilities(z):
    return special.softmax(z.astype(np.float64), -1)


def calibration_error(z, y, sample_weight=None, bins=15):
    p = probabilities(z)
    w = np.ones(len(y)) if sample_weight is None else sample_weight
    confidence, right = p.max(-1), p.argmax(-1) == y
    error = 0.0
    for low, high in zip(np.arange(bins) / bins, np.arange(1, bins + 1) / bins, strict=True):
        inside = (confidence > low) & (confidence <= high)
        error += abs((w * right)[inside].sum() - (w * confidence)[inside].sum())
    return error / w.sum()


def brier(z, y, sample_weight=None):
    return np.average(((probabilities(z) - np.eye(z.shape[-1])[y]) ** 2).sum(-1), weights=sample_weight)


def by_class(score, **options):
    return lambda z, y, sample_weight=None: score(y, z.argmax(-1), sample_weight=sample_weight, **options)


def doubles(*arrays):
    return [array.astype(np.float64) for array in arrays]


def two(z):
    return np.stack([np.zeros_like(z), z], -1)


LABELS = {"labels": range(4), "zero_division": 0}


def row(metric, oracle, prediction, target, **facts):
    """`oracle(prediction, target, sample_weight=None)` is the reference; values are its, to 1e-6."""

    def reference(p, t, weight):
        return oracle(p, t, sample_weight=weight)

    return testing.MetricSubject(metric, prediction, target, reference=reference, rtol=1e-6, **facts)


def chosen(classes, size=1.0):
    """Return target -> the logits of which that of the target is `size`, and the others 0."""
    return lambda target: size * jax.nn.one_hot(target, classes)


def signs(size):
    """Return target -> the logits `size` and -`size` for 1 and 0."""
    return lambda target: size * (2.0 * target.astype(jnp.float32) - 1)


SHARE = {"least": 0.0, "most": 1.0}
RIGHT = SHARE | {"perfect": (chosen(4), 1.0)}
KAPPA = {"least": -1.0, "most": 1.0, "perfect": (chosen(4), 1.0)}
SURE = {"least": 0.0, "perfect": (chosen(4, 100.0), 0.0)}
SURE_OF_TWO = {"least": 0.0, "perfect": (signs(100.0), 0.0)}
MET = {"least": 0.0, "perfect": (lambda target: target, 0.0)}
EXPLAINED = {"most": 1.0, "perfect": (lambda target: target, 1.0)}

METRICS = {  # one row buys every law
    "mean": row(
        metrics.mean(losses.squared_error),
        lambda p, t, sample_weight=None: sk.mean_squared_error(t, p, sample_weight=sample_weight),
        GUESS,
        REAL,
        **MET,
    ),
    "accuracy": row(metrics.accuracy(), by_class(sk.accuracy_score), Z, Y, **RIGHT),
    "accuracy, one-hot": row(
        metrics.accuracy(),
        lambda z, y, sample_weight=None: sk.accuracy_score(y.argmax(-1), z.argmax(-1), sample_weight=sample_weight),
        Z,
        np.eye(4, dtype=np.float32)[Y],
        **SHARE,
        perfect=(lambda target: target, 1.0),
    ),
    "binary_accuracy": row(
        metrics.binary_accuracy(),
        lambda z, t, sample_weight=None: np.average(((z > 0) == t).mean(-1), weights=sample_weight),
        MANY_S,
        MANY_T,
        **SHARE,
        perfect=(signs(1.0), 1.0),
    ),
    "top_k_accuracy": row(
        metrics.top_k_accuracy(2),
        lambda z, y, sample_weight=None: sk.top_k_accuracy_score(
            y, z, k=2, sample_weight=sample_weight, labels=range(4)
        ),
        Z,
        Y,
        **RIGHT,
    ),
    "confusion_matrix": row(
        metrics.confusion_matrix(4), by_class(sk.confusion_matrix, labels=range(4)), Z, Y, least=0.0
    ),
    "confusion_matrix, classes": row(
        metrics.confusion_matrix(4),
        lambda z, y, sample_weight=None: sk.confusion_matrix(y, z, labels=range(4), sample_weight=sample_weight),
        Z.argmax(-1),
        Y,
        least=0.0,
    ),
    "cohens_kappa": row(metrics.cohens_kappa(4), by_class(sk.cohen_kappa_score, labels=range(4)), Z, Y, **KAPPA),
    "cohens_kappa, quadratic": row(
        metrics.cohens_kappa(4, weighting="quadratic"),
        by_class(sk.cohen_kappa_score, labels=range(4), weights="quadratic"),
        Z,
        Y,
        **KAPPA,
    ),
    "cohens_kappa, linear": row(
        metrics.cohens_kappa(4, weighting="linear"),
        by_class(sk.cohen_kappa_score, labels=range(4), weights="linear"),
        Z,
        Y,
        **KAPPA,
    ),
    "f1, one logit": row(
        metrics.f1(2, threshold=0.5, average=None),
        lambda z, t, sample_weight=None: sk.f1_score(t, z > 0.5, average=None, sample_weight=sample_weight),
        S,
        T,
        **SHARE,
        perfect=(signs(1.0), 1.0),
    ),
    "log_loss": row(
        metrics.log_loss(),
        lambda z, y, sample_weight=None: sk.log_loss(y, probabilities(z), sample_weight=sample_weight, labels=range(4)),
        Z,
        Y,
        **SURE,
    ),
    "log_loss, binary": row(
        metrics.log_loss(binary=True),
        lambda z, t, sample_weight=None: sk.log_loss(t, special.expit(z.astype(float)), sample_weight=sample_weight),
        S,
        T,
        **SURE_OF_TWO,
    ),
    "brier": row(metrics.brier(), brier, Z, Y, most=2.0, **SURE),
    "brier, binary": row(
        metrics.brier(binary=True),
        lambda z, t, sample_weight=None: sk.brier_score_loss(
            t, special.expit(z.astype(float)), sample_weight=sample_weight
        ),
        S,
        T,
        most=1.0,
        **SURE_OF_TWO,
    ),
    "expected_calibration_error": row(metrics.expected_calibration_error(), calibration_error, Z, Y, most=1.0, **SURE),
    "expected_calibration_error, binary": row(
        metrics.expected_calibration_error(10, binary=True),
        lambda z, t, sample_weight=None: calibration_error(two(z), t, sample_weight, bins=10),
        S,
        T,
        most=1.0,
        **SURE_OF_TWO,
    ),
    "mean_squared_error": row(
        metrics.mean_squared_error(),
        lambda p, t, sample_weight=None: sk.mean_squared_error(t, p, sample_weight=sample_weight),
        GUESS,
        REAL,
        **MET,
    ),
    "mean_absolute_error": row(
        metrics.mean_absolute_error(),
        lambda p, t, sample_weight=None: sk.mean_absolute_error(t, p, sample_weight=sample_weight),
        GUESS,
        REAL,
        **MET,
    ),
    "r2": row(
        metrics.r2(),
        lambda p, t, sample_weight=None: sk.r2_score(*doubles(t, p), sample_weight=sample_weight),
        GUESS[:, 0],
        REAL[:, 0],
        **EXPLAINED,
    ),
    "r2, outputs": row(
        metrics.r2(2),
        lambda p, t, sample_weight=None: sk.r2_score(*doubles(t, p), sample_weight=sample_weight),
        GUESS,
        REAL,
        **EXPLAINED,
    ),
}
for score, ours in (
    (sk.precision_score, metrics.precision),
    (sk.recall_score, metrics.recall),
    (sk.f1_score, metrics.f1),
):
    for average in ("macro", "micro", None):
        METRICS[f"{ours.__name__}, {average}"] = row(
            ours(4, average=average), by_class(score, average=average, **LABELS), Z, Y, **RIGHT
        )
METRICS |= {
    name: row(*parts, **SHARE, perfect=(lambda t: t, 1.0) if parts[2].ndim == 3 else (chosen(3), 1.0))
    for name, parts in SEGMENTATION.items()
}
COARSE = {  # binned: their values are in test_curves.py
    "roc_auc": testing.MetricSubject(metrics.roc_auc(8), S, T, **SHARE, rtol=1e-6),
    "average_precision": testing.MetricSubject(metrics.average_precision(8), S, T, **SHARE, rtol=1e-6),
}
# Their accumulator is that of another row: the rates all stand on the confusion matrix.
SAME_ACCUMULATOR = (
    "mean",
    "accuracy, one-hot",
    "cohens_kappa",
    "precision",
    "recall",
    "f1, macro",
    "f1, micro",
    "f1, None",
    "pixel_accuracy",
    "mean_iou",
    "dice",
)
OWN = {
    name: subject
    for name, subject in METRICS.items()
    if name == "mean_squared_error" or not name.startswith(SAME_ACCUMULATOR)
} | COARSE
# The laws of accumulators are asked of one row of each kind: these are of a kind that has another.
ALIKE = (
    *("top_k_accuracy", "log_loss", "log_loss, binary", "brier", "brier, binary", "mean_absolute_error"),
    "confusion_matrix, classes",
    "expected_calibration_error, binary",
)
LAWFUL = {name: subject for name, subject in OWN.items() if name not in ALIKE}

# Functions of arrays in memory, in NumPy, and bounds read from accumulators: they are in test_curves.py.
NOT_METRICS = {"roc_curve", "precision_recall_curve", "exact_roc_auc", "exact_average_precision"}
NOT_METRICS |= {"roc_auc_error", "average_precision_error"}
# Computed on the host of records, not of arrays: test_detection_*.py.
NOT_METRICS |= {"mean_average_precision", "detection_curve"}


def test_every_metric_has_a_row():
    assert {name.split(",")[0] for name in METRICS | COARSE} == set(metrics.__all__) - NOT_METRICS


every = pytest.mark.parametrize("case", METRICS.values(), ids=METRICS)
every_binned_too = pytest.mark.parametrize("case", OWN.values(), ids=OWN)


def of(case, rows=slice(None), weight=W):
    """The accumulator of some rows; the update is compiled once for each metric and size."""
    return jax.jit(case.metric.update)(case.metric.init(), case.prediction[rows], case.target[rows], weight[rows])


@every
def test_equals_scikit_learn(case):
    """Values are those of float64 on the same float32 inputs, to 1e-6, with weights and without."""
    is_compiled = any(case is other for other in OWN.values())  # others, by programs that they share
    update, compute = map(jax.jit, case.metric[2:4]) if is_compiled else case.metric[2:4]
    plain, weighted = (update(case.metric.init(), case.prediction, case.target, *w) for w in ((), (W,)))
    np.testing.assert_allclose(compute(plain), case.reference(case.prediction, case.target, None), rtol=1e-6, atol=1e-7)
    want = case.reference(case.prediction, case.target, W.astype(np.float64))
    got = compute(weighted)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


@every_binned_too
def test_batches_in_a_scan_with_a_ragged_end(case):
    """A scan over batches, the last one filled up with garbage that weighs nothing, gives the value of the whole."""
    size = 20
    filled = -(-N // size) * size

    def batches(x, filler):
        return np.concatenate([x, np.full((filled - N, *x.shape[1:]), filler, x.dtype)]).reshape(-1, size, *x.shape[1:])

    compute = jax.jit(case.metric.compute)
    garbage = 99 if np.issubdtype(case.prediction.dtype, np.integer) else np.nan
    labels = 99 if np.issubdtype(case.target.dtype, np.integer) else np.nan
    data = batches(case.prediction, garbage), batches(case.target, labels), batches(W, 0)
    scan = jax.jit(lambda acc, data: jax.lax.scan(lambda acc, row: (case.metric.update(acc, *row), None), acc, data)[0])
    np.testing.assert_allclose(compute(scan(case.metric.init(), data)), compute(of(case)), rtol=1e-6, atol=1e-6)


@every_binned_too
def test_nothing_is_the_identity_of_merging(case):
    """merge(init(), acc) = acc = merge(acc, init()), to the bit."""
    acc, none = of(case), case.metric.init()
    merge = jax.jit(case.metric.merge)
    for merged in (merge(none, acc), merge(acc, none)):
        jax.tree.map(np.testing.assert_array_equal, merged, acc)


@every_binned_too
def test_a_bad_label_is_noticed_under_jit_unless_it_weighs_nothing(case):
    """A label of -1, or a NaN prediction, makes the value NaN; with weight 0 it does not."""
    bad_target, bad_prediction = case.target.copy(), case.prediction.copy()
    bad_target[0] = -1
    integers = np.issubdtype(case.prediction.dtype, np.integer)
    bad_prediction[0] = -1 if integers else np.nan
    weight, without = np.ones(N, np.float32), np.ones(N, np.float32)
    without[0] = 0
    reals = case.target.dtype == np.float32
    compute = jax.jit(case.metric.compute)
    for prediction, target in ((bad_prediction, case.target), *(() if reals else ((case.prediction, bad_target),))):
        bad = case._replace(prediction=prediction, target=target)
        assert np.isnan(compute(of(bad, weight=weight))).any()
        np.testing.assert_array_equal(compute(of(bad, weight=without)), compute(of(case, weight=without)))


@testing.law_table(LAWFUL)
def test_it_obeys(law, quickly_compiled):
    law()


@testing.law_table(
    {name: case for name, case in METRICS.items() if name not in LAWFUL},
    laws=["values_stay_within_bounds", "the_truth_is_perfect", "it_is_its_reference"],
)
def test_its_value_obeys(law, quickly_compiled):
    """Where the accumulator is that of another row."""
    law()


def test_accumulators_keep_their_dtype_under_x64(x64):
    """float32 predictions beside labels of 64 bits leave every accumulator in float64: it can be carried in a scan."""
    for case in (METRICS | COARSE).values():
        none, target = case.metric.init(), case.target.astype(np.float64 if case.target.dtype.kind == "f" else np.int64)
        acc = jax.eval_shape(case.metric.update, none, case.prediction, target, W)
        chex.assert_trees_all_equal_shapes_and_dtypes(acc, none)
        assert {leaf.dtype for leaf in jax.tree.leaves(acc)} == {jnp.dtype("float64")}
        assert jax.eval_shape(case.metric.compute, acc).dtype == jnp.float64


def test_in_float64_values_are_those_of_float64(x64):
    """Under x64 the accumulators are float64 and agree with scikit-learn to 1e-12, float32 predictions or not."""
    for name in ("log_loss", "brier, binary", "mean_squared_error", "r2, outputs", "f1, micro"):
        case = METRICS[name]
        prediction = case.prediction.astype(np.float64)
        got = jax.jit(lambda *args, m=case.metric: m.compute(m.update(m.init(), *args)))(prediction, case.target, W)
        assert got.dtype == jnp.float64
        np.testing.assert_allclose(got, case.reference(prediction, case.target, W.astype(float)), rtol=1e-11)


def test_names_tell_metrics_apart():
    """Two averages of one rate have two names: a task may hold both."""
    assert metrics.f1(3).name == "f1_macro"
    assert metrics.recall(3, average=None).name == "recall_per_class"
    assert metrics.top_k_accuracy(5).name == "top_5_accuracy"
    assert metrics.mean(losses.huber).name == "huber"
    assert metrics.mean(partial(losses.huber, delta=2.0), name="huber_2").name == "huber_2"
    assert metrics.mean(partial(losses.huber, delta=2.0)).name == "mean"


BAD_OPTIONS = {
    "top_k_accuracy: k must be at least 1, got 0": lambda: metrics.top_k_accuracy(0),
    "confusion_matrix: n must be at least 2, got 1": lambda: metrics.confusion_matrix(1),
    "threshold is for n=2 and one logit an example, got n=3": lambda: metrics.f1(3, threshold=0.0),
    "precision: average must be 'macro', 'micro' or None, got 'weighted'": lambda: metrics.precision(
        3, average="weighted"
    ),
    "cohens_kappa: weighting must be None, 'linear' or 'quadratic'": lambda: metrics.cohens_kappa(3, weighting="cubic"),
    "expected_calibration_error: bins must be at least 1, got 0": lambda: metrics.expected_calibration_error(0),
    "roc_auc: bins must be at least 2, got 1": lambda: metrics.roc_auc(1),
    "r2: outputs must be at least 1, got 0": lambda: metrics.r2(0),
}


@pytest.mark.parametrize("message", BAD_OPTIONS)
def test_bad_options_raise(message):
    """A number or name out of range is a ValueError that says so."""
    with pytest.raises(ValueError, match=message):
        BAD_OPTIONS[message]()


def update(metric, *args):
    return lambda: metric.update(metric.init(), *args)


BAD_INPUT = {
    r"accuracy: label 9 at index 0 is not one of the 4 classes": (
        DataError,
        update(metrics.accuracy(), Z[:1], np.array([9])),
    ),
    r"accuracy: labels .* must be integers, got float32": (
        DtypeError,
        update(metrics.accuracy(), Z[:1], np.ones(1, np.float32)),
    ),
    r"accuracy: rows of whole numbers must be one-hot, got \[1, 1, 0, 0\] at row 0\n  Fix: .* binary_accuracy": (
        DataError,
        update(metrics.accuracy(), Z[:1], np.array([[1, 1, 0, 0]])),
    ),
    r"log_loss: rows of whole numbers must be one-hot, got \[0, 0, 0, 0\] at row 0": (
        DataError,
        update(metrics.log_loss(), Z[:1], np.zeros((1, 4), np.int32)),
    ),
    r"accuracy: the target must be an array of numbers, got dtype object": (
        DtypeError,
        update(metrics.accuracy(), Z, None),
    ),
    r"confusion_matrix: the target must be an array of numbers, got dtype <U1": (
        DtypeError,
        update(metrics.confusion_matrix(4), Z[:2], ["a", "b"]),
    ),
    r"for logits \(48, 4\) the target must": (ShapeError, update(metrics.accuracy(), Z, Y[:, None])),
    r"needs at least 5 classes, got logits \(48, 4\)": (ShapeError, update(metrics.top_k_accuracy(5), Z, Y)),
    r"logits must have shape \(..., 3\), got \(48, 4\)": (ShapeError, update(metrics.confusion_matrix(3), Z, Y)),
    r"binary_accuracy: the target must have the prediction's shape \(48, 3\), got \(48,\)": (
        ShapeError,
        update(metrics.binary_accuracy(), MANY_S, T),
    ),
    r"roc_auc: targets must lie between 0 and 1, got 2": (DataError, update(metrics.roc_auc(), S[:1], np.array([2]))),
    r"mean_squared_error: the target must .*\(48, 2\), got \(48,\)": (
        ShapeError,
        update(metrics.mean_squared_error(), GUESS, REAL[:, 0]),
    ),
    r"r2: the last axis must be 3 \(outputs\), got shape \(48, 2\)": (ShapeError, update(metrics.r2(3), GUESS, REAL)),
    r"accuracy: the weight must have the leading axes of \(48,\), got \(3,\)": (
        ShapeError,
        update(metrics.accuracy(), Z, Y, np.ones(3, np.float32)),
    ),
    "roc_curve: needs at least one score, got none": (DataError, lambda: metrics.roc_curve([], [])),
    "precision_recall_curve: needs at least one score, got none": (
        DataError,
        lambda: metrics.precision_recall_curve([0.0, 1.0], [0, 1], [0, 0]),
    ),
    "roc_curve: scores must be numbers, got nan at index 1": (
        DataError,
        lambda: metrics.exact_roc_auc([0.0, np.nan], [0, 1]),
    ),
    "labels must be 0 or 1, got -1 at index 0": (
        DataError,
        lambda: metrics.exact_average_precision([0.0, 1.0], [-1, 1]),
    ),
    r"roc_curve: the target must have the prediction's shape \(2,\), got \(1,\)": (
        ShapeError,
        lambda: metrics.exact_roc_auc([0.0, 1.0], [1]),
    ),
}


@pytest.mark.parametrize("message", BAD_INPUT)
def test_bad_input_raises(message):
    """Each message says where, what was got and what was expected."""
    error, act = BAD_INPUT[message]
    with pytest.raises(error, match=message):
        act()
