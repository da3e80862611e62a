"""Losses of optax, with what is declared of each; the references are their formulas, in float64 NumPy."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fnnet.testing import LossSubject

RNG = np.random.default_rng(1)
LOGITS = jnp.asarray(RNG.normal(size=(5, 4)), jnp.float32)
LABELS = jnp.asarray([3, 0, 1, 2, 1])
ONE_HOT = jax.nn.one_hot(LABELS, 4)
SOFT = jax.nn.softmax(jnp.asarray(RNG.normal(size=(5, 4)), jnp.float32))
BITS = jnp.asarray(RNG.integers(0, 2, (5, 4)), jnp.float32)
SIGNS = 2 * BITS - 1
VALUES = jnp.asarray(RNG.normal(size=(5, 4)), jnp.float32)
PIXELS = jnp.asarray(RNG.normal(size=(3, 4, 4, 3)), jnp.float32)
CLASSES = jax.nn.one_hot(jnp.asarray(RNG.integers(0, 3, (3, 4, 4))), 3)
FRAMES = jnp.asarray(RNG.normal(size=(3, 7, 5)), jnp.float32)
WORDS = jnp.asarray([[1, 2, 2], [3, 1, 4], [4, 4, 4]])


def log_softmax(x):
    """Return x - log Σ exp x."""
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def entropies(x):
    """Return log σ(x) and log σ(-x)."""
    return -np.logaddexp(0, -x), -np.logaddexp(0, x)


def cross_entropy(p, t):
    """Return -Σ t log softmax p."""
    return -(t * log_softmax(p)).sum(-1)


def binary_cross_entropy(p, t):
    """Return -t log σ(p) - (1 - t) log σ(-p)."""
    yes, no = entropies(p)
    return -t * yes - (1 - t) * no


def focal(p, t):
    """Return the binary cross-entropy times (1 - p of the target)²."""
    yes, no = entropies(p)
    return binary_cross_entropy(p, t) * (t * np.exp(no) + (1 - t) * np.exp(yes)) ** 2


def poly(p, t):
    """Return the cross-entropy and twice 1 - p of the target."""
    return cross_entropy(p, t) + 2 * (t * (1 - np.exp(log_softmax(p)))).sum(-1)


def huber(p, t):
    """Return ½ e² up to an error of 1, and |e| - ½ beyond."""
    error = np.abs(p - t)
    return np.where(error <= 1, error**2 / 2, error - 0.5)


def log_cosh(p, t):
    """Return log cosh of the error."""
    error = np.abs(p - t)
    return error + np.log1p(np.exp(-2 * error)) - np.log(2)


def cosine(p, t, floor=0.0):
    """Return 1 - the cosine, with norms of at least `floor`."""
    norms = [np.maximum(np.linalg.norm(v, axis=-1), floor) for v in (p, t)]
    with np.errstate(all="ignore"):
        return 1 - (p * t).sum(-1) / (norms[0] * norms[1])


def divergence(p, t):
    """Return Σ t (log t - p), of logarithms p."""
    return (t * (np.log(t) - p)).sum(-1)


def hinge_of_classes(p, t):
    """Return max over classes of p + 1 where it is not the target, less that of the target."""
    one_hot = np.eye(p.shape[-1])[t]
    return (p + 1 - one_hot).max(-1) - (p * one_hot).sum(-1)


def projected(x):
    """Return the point of the simplex that is nearest to x, for each row."""
    ordered = -np.sort(-x, -1)
    above = (ordered.cumsum(-1) - 1) / np.arange(1, x.shape[-1] + 1)
    count = (ordered > above).sum(-1, keepdims=True)
    return np.maximum(x - np.take_along_axis(above, count - 1, -1), 0)


def sparsemax(p, t):
    """Return Σ over the support (p² - τ²) / 2 + ½ - p of the target (Martins & Astudillo 2016)."""
    chosen = projected(p)
    tau = ((p - chosen) * (chosen > 0)).max(-1, keepdims=True, initial=-np.inf, where=chosen > 0)
    return (np.where(chosen > 0, p**2 - tau**2, 0).sum(-1) + 1) / 2 - np.take_along_axis(p, t[:, None], -1)[:, 0]


def triplet(p, t, degree):
    """Return max(0, ‖a - p‖ - ‖a - n‖ + 1), in the norm of the degree, with optax's ε in the root."""
    ends = (p["positive"], p["negative"])
    near, far = (((np.abs(p["anchor"] - end) ** degree).sum(-1) + 1e-6) ** (1 / degree) for end in ends)
    return np.maximum(near - far + 1, 0)


def dice(p, t):
    """Return 1 - (I + 1) / (½ P + ½ T + 1), the mean over classes, of sums over pixels of softmax p."""
    p = np.exp(log_softmax(p))
    i, of_p, of_t = ((v).sum((1, 2)) for v in (p * t, p, t))
    return (1 - (i + 1) / (of_p / 2 + of_t / 2 + 1)).mean(-1)


def temporal(p, t):
    """Return -log of the probability of the words, over all alignments with blanks, class 0 (Graves et al. 2006)."""
    return np.array([_temporal(log_softmax(frames), words) for frames, words in zip(p, t, strict=True)])


def _temporal(logs, words):
    blanked = [0, *(symbol for word in words for symbol in (word, 0))]
    alpha = np.full(len(blanked), -np.inf)
    alpha[:2] = logs[0, blanked[:2]]
    for frame in logs[1:]:
        moved = np.logaddexp(alpha, np.r_[-np.inf, alpha[:-1]])
        skips = [s > 1 and blanked[s] != 0 and blanked[s] != blanked[s - 2] for s in range(len(blanked))]
        moved = np.where(skips, np.logaddexp(moved, np.r_[-np.inf, -np.inf, alpha[:-2]]), moved)
        alpha = moved + frame[blanked]
    return -np.logaddexp(alpha[-1], alpha[-2])


def optax_temporal(logits, labels):
    """Return optax's CTC loss without padding."""
    paddings = (jnp.zeros(v.shape[:2], logits.dtype) for v in (logits, labels))
    return optax.losses.ctc_loss(logits, next(paddings), labels, next(paddings))


def optax_triplet(prediction, target, **options):
    """Return optax's triplet loss; there is no target."""
    return optax.losses.triplet_margin_loss(*(prediction[k] for k in ("anchor", "positive", "negative")), **options)


def contrasted(embeddings, labels):
    """Return the NT-Xent loss, over pairs of one label, each against those of other labels (Chen et al. 2020)."""
    unit = embeddings / np.sqrt(np.maximum((embeddings**2).sum(-1, keepdims=True), np.finfo(np.float32).eps))
    scores = np.exp(unit @ unit.T / 0.07)
    same = (labels[:, None] == labels[None]) & ~np.eye(len(labels), dtype=bool)
    other = (scores * (labels[:, None] != labels[None])).sum(1, keepdims=True)
    return -np.log(scores / (scores + other))[same].mean()


def same(t):
    """Return the target, where that is the prediction of the least loss."""
    return t


def losses():
    """Return the subjects by name."""
    o = optax.losses
    triple = {"anchor": VALUES, "positive": VALUES + 0.3, "negative": VALUES - 0.5}
    found = {
        "softmax_cross_entropy": (o.softmax_cross_entropy, LOGITS, SOFT, {"convex": True, "reference": cross_entropy}),
        "softmax_cross_entropy_with_integer_labels": (
            o.softmax_cross_entropy_with_integer_labels,
            LOGITS,
            LABELS,
            {"convex": True, "reference": lambda p, t: cross_entropy(p, np.eye(4)[t])},
        ),
        "safe_softmax_cross_entropy": (
            o.safe_softmax_cross_entropy,
            LOGITS,
            ONE_HOT,
            {"convex": True, "reference": cross_entropy},
        ),
        "sigmoid_binary_cross_entropy": (
            o.sigmoid_binary_cross_entropy,
            LOGITS,
            BITS,
            {"convex": True, "reference": binary_cross_entropy},
        ),
        "sigmoid_focal_loss": (o.sigmoid_focal_loss, LOGITS, BITS, {"reference": focal}),
        "poly_loss_cross_entropy": (o.poly_loss_cross_entropy, LOGITS, ONE_HOT, {"reference": poly}),
        "hinge_loss": (
            o.hinge_loss,
            LOGITS,
            SIGNS,
            {"convex": True, "truth": same, "reference": lambda p, t: np.maximum(0, 1 - p * t)},
        ),
        "perceptron_loss": (
            o.perceptron_loss,
            LOGITS,
            SIGNS,
            {"convex": True, "truth": same, "reference": lambda p, t: np.maximum(0, -p * t)},
        ),
        "sparsemax_loss": (o.sparsemax_loss, LOGITS, BITS, {"convex": True, "truth": lambda t: 4 * t - 2}),
        "multiclass_hinge_loss": (
            o.multiclass_hinge_loss,
            LOGITS,
            LABELS,
            {"convex": True, "truth": lambda t: 2 * jax.nn.one_hot(t, 4), "reference": hinge_of_classes},
        ),
        "multiclass_perceptron_loss": (
            o.multiclass_perceptron_loss,
            LOGITS,
            LABELS,
            {"convex": True, "truth": lambda t: jax.nn.one_hot(t, 4)},
        ),
        "multiclass_sparsemax_loss": (
            o.multiclass_sparsemax_loss,
            LOGITS,
            LABELS,
            {"convex": True, "truth": lambda t: 2 * jax.nn.one_hot(t, 4), "reference": sparsemax},
        ),
        "squared_error": (
            o.squared_error,
            VALUES,
            VALUES + 1,
            {"convex": True, "truth": same, "reference": lambda p, t: (p - t) ** 2},
        ),
        "l2_loss": (
            o.l2_loss,
            VALUES,
            VALUES + 1,
            {"convex": True, "truth": same, "reference": lambda p, t: (p - t) ** 2 / 2},
        ),
        "huber_loss": (o.huber_loss, VALUES, VALUES + 1, {"convex": True, "truth": same, "reference": huber}),
        "log_cosh": (o.log_cosh, VALUES, VALUES + 1, {"convex": True, "truth": same, "reference": log_cosh}),
        "cosine_distance": (o.cosine_distance, VALUES, VALUES + 1, {"truth": same, "reference": cosine}),
        "cosine_distance, epsilon": (
            partial(o.cosine_distance, epsilon=0.01),
            VALUES,
            0.02 * VALUES,
            {"reference": partial(cosine, floor=0.01)},
        ),
        "kl_divergence": (
            o.kl_divergence,
            LOGITS,
            SOFT,
            {"convex": True, "truth": jnp.log, "as_prediction": jax.nn.log_softmax, "reference": divergence},
        ),
        "kl_divergence_with_log_targets": (
            o.kl_divergence_with_log_targets,
            LOGITS,
            jnp.log(SOFT),
            {"truth": same, "as_prediction": jax.nn.log_softmax, "reference": lambda p, t: divergence(p, np.exp(t))},
        ),
        "generalized_kl_divergence": (
            o.generalized_kl_divergence,
            LOGITS,
            2 * SOFT,
            {
                "convex": True,
                "truth": jnp.log,
                "reference": lambda p, t: divergence(p, t) + (np.exp(p) - t).sum(-1),
            },
        ),
        "ctc_loss": (optax_temporal, FRAMES, WORDS, {"reference": temporal}),
        "triplet_margin_loss": (optax_triplet, triple, VALUES, {"reference": partial(triplet, degree=2)}),
        "triplet_margin_loss, norm_degree=1": (
            partial(optax_triplet, norm_degree=1),
            triple,
            VALUES,
            {"reference": partial(triplet, degree=1)},
        ),
        "triplet_margin_loss, norm_degree=3": (
            partial(optax_triplet, norm_degree=3),
            triple,
            VALUES,
            {"reference": partial(triplet, degree=3)},
        ),
        "ntxent": (o.ntxent, VALUES, jnp.asarray([0, 0, 1, 1, 0]), {"reference": contrasted}),
        "dice_loss": (o.dice_loss, PIXELS, CLASSES, {"reference": dice}),
        "binary_dice_loss": (
            o.binary_dice_loss,
            PIXELS[..., 0],
            CLASSES[..., 0],
            {"reference": lambda p, t: _binary_dice(p, t)},
        ),
        "multiclass_generalized_dice_loss": (o.multiclass_generalized_dice_loss, PIXELS, CLASSES, {}),
        "ranking_softmax_loss": (
            partial(o.ranking_softmax_loss, reduce_fn=None),
            LOGITS,
            BITS,
            {"convex": True, "reference": cross_entropy},
        ),
        "make_fenchel_young_loss, logsumexp": (
            o.make_fenchel_young_loss(jax.nn.logsumexp),
            LOGITS,
            ONE_HOT,
            {"convex": True, "reference": cross_entropy},
        ),
    }
    return {f"optax.{name}": LossSubject(loss, p, t, **facts) for name, (loss, p, t, facts) in found.items()}


def _binary_dice(p, t):
    p = np.exp(entropies(p)[0])
    i, of_p, of_t = (v.sum((1, 2)) for v in (p * t, p, t))
    return 1 - (i + 1) / (of_p / 2 + of_t / 2 + 1)
