"""Losses, unreduced and in at least float32: ``loss(prediction, target, ...)``, of which training takes the mean.

Those of classes (``cross_entropy``, ``focal``, ``hinge``: logits ``(..., classes)``), of vectors and of boxes consume
the last axis and give one value for each example. Those of regression and the ``binary_`` ones, with one logit for each
0-or-1, work element by element; the mean over everything is the mean over examples of the mean over outputs. So each is
a function of its trailing axes alone, and ``vmap`` over a leading axis changes nothing.
"""

from fnnet.losses.classification import (
    binary_cross_entropy,
    binary_focal,
    binary_hinge,
    cross_entropy,
    focal,
    hinge,
    kl_divergence,
)
from fnnet.losses.localisation import ciou, diou, giou, iou
from fnnet.losses.regression import absolute_error, huber, log_cosh, poisson, quantile, squared_error
from fnnet.losses.similarity import contrastive, cosine, triplet

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "binary_focal",
    "binary_hinge",
    "ciou",
    "contrastive",
    "cosine",
    "cross_entropy",
    "diou",
    "focal",
    "giou",
    "hinge",
    "huber",
    "iou",
    "kl_divergence",
    "log_cosh",
    "poisson",
    "quantile",
    "squared_error",
    "triplet",
]
