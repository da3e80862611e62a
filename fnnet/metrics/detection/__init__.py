"""Exact mean average precision of detected boxes, as COCO and PASCAL VOC define it, on the host in float64."""

from fnnet.metrics.detection.evaluation import detection_curve, mean_average_precision

__all__ = ["detection_curve", "mean_average_precision"]
