"""Metrics: mergeable accumulators, exact over ragged batches, over any split of the data, and over devices.

Each is a ``core.Metric``. Its ``merge`` is a compensated sum, associative and commutative up to the last digit of the
result, with ``init()`` as its identity; what weighs nothing adds nothing, whatever it holds. The ``exact_`` functions,
the curves and ``mean_average_precision`` are NumPy in float64, for arrays in memory.
"""

from fnnet.metrics.accumulators import mean
from fnnet.metrics.calibration import brier, expected_calibration_error, log_loss
from fnnet.metrics.classification import (
    accuracy,
    binary_accuracy,
    cohens_kappa,
    confusion_matrix,
    f1,
    precision,
    recall,
    top_k_accuracy,
)
from fnnet.metrics.curves import (
    average_precision,
    average_precision_error,
    exact_average_precision,
    exact_roc_auc,
    precision_recall_curve,
    roc_auc,
    roc_auc_error,
    roc_curve,
)
from fnnet.metrics.detection import detection_curve, mean_average_precision
from fnnet.metrics.regression import mean_absolute_error, mean_squared_error, r2
from fnnet.metrics.segmentation import boundary_f1, dice, image_dice, mean_iou, pixel_accuracy

__all__ = [
    "accuracy",
    "average_precision",
    "average_precision_error",
    "binary_accuracy",
    "boundary_f1",
    "brier",
    "cohens_kappa",
    "confusion_matrix",
    "detection_curve",
    "dice",
    "exact_average_precision",
    "exact_roc_auc",
    "expected_calibration_error",
    "f1",
    "image_dice",
    "log_loss",
    "mean",
    "mean_absolute_error",
    "mean_average_precision",
    "mean_iou",
    "mean_squared_error",
    "pixel_accuracy",
    "precision",
    "precision_recall_curve",
    "r2",
    "recall",
    "roc_auc",
    "roc_auc_error",
    "roc_curve",
    "top_k_accuracy",
]
