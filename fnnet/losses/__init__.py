"""Losses, unreduced and in at least float32: ``loss(prediction, target, ...)``, of which training takes the mean.

Those of classes (``cross_entropy``, ``focal``, ``hinge``: logits ``(..., classes)``), of vectors and of boxes consume
the last axis and give one value for each example. Those of regression and the ``binary_`` ones, with one logit for
each 0-or-1, work element by element; the mean over everything is the mean over examples of the mean over outputs.
Those of segmentation consume the pixels too, (..., H, W, classes), and the ``binary_`` ones of them (..., H, W): one
value for each image, in which pixels labelled `ignore` are as if they were not there; a volume is reshaped to an
image, since places are not used. ``cross_entropy`` and ``focal`` of pixels give a value for each pixel. So each is a
function of its trailing axes alone, and ``vmap`` over a leading axis changes nothing.
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
from fnnet.losses.detection import centers, gaussian_focal
from fnnet.losses.localisation import ciou, diou, giou, iou
from fnnet.losses.pixels import binary_pixel_cross_entropy, pixel_cross_entropy
from fnnet.losses.regression import absolute_error, huber, log_cosh, poisson, quantile, squared_error
from fnnet.losses.segmentation import (
    binary_dice,
    binary_jaccard,
    binary_lovasz,
    binary_tversky,
    dice,
    jaccard,
    lovasz,
    tversky,
)
from fnnet.losses.similarity import contrastive, cosine, triplet

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "binary_dice",
    "binary_focal",
    "binary_hinge",
    "binary_jaccard",
    "binary_lovasz",
    "binary_pixel_cross_entropy",
    "binary_tversky",
    "centers",
    "ciou",
    "contrastive",
    "cosine",
    "cross_entropy",
    "dice",
    "diou",
    "focal",
    "gaussian_focal",
    "giou",
    "hinge",
    "huber",
    "iou",
    "jaccard",
    "kl_divergence",
    "log_cosh",
    "lovasz",
    "pixel_cross_entropy",
    "poisson",
    "quantile",
    "squared_error",
    "triplet",
    "tversky",
]
