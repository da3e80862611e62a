"""Boxes in images: their formats, how alike two are, detections and objects, and non-maximum suppression.

Boxes are arrays ``(..., 4)`` of floats, ``xyxy`` unless said otherwise: (x1, y1) is the corner nearest 0.
"""

from fnnet.boxes.centers import (
    CenterMaps,
    CenterTargets,
    center_boxes,
    center_detections,
    center_targets,
)
from fnnet.boxes.formats import area, check_boxes, clip, convert, normalize, to_pixels
from fnnet.boxes.records import Detections, Objects, pad_objects
from fnnet.boxes.similarity import ciou, covered, diou, giou, iou, pairwise
from fnnet.boxes.suppression import soft_suppress, suppress

__all__ = [
    "CenterMaps",
    "CenterTargets",
    "Detections",
    "Objects",
    "area",
    "center_boxes",
    "center_detections",
    "center_targets",
    "check_boxes",
    "ciou",
    "clip",
    "convert",
    "covered",
    "diou",
    "giou",
    "iou",
    "normalize",
    "pad_objects",
    "pairwise",
    "soft_suppress",
    "suppress",
    "to_pixels",
]
