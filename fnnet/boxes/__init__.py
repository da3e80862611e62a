"""Boxes of detections and of objects."""

from fnnet.boxes.records import Detections, Objects

__all__ = ["Detections", "Objects"]
