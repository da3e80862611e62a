"""Data: arrays in memory, small real data sets, toys, files, images, and what turns a table into numbers."""

from fnnet.data.archives import write_npz
from fnnet.data.arrays import Dataset, check, length, split, take
from fnnet.data.datasets import breast_cancer, diabetes, digits, iris, wine
from fnnet.data.delimited import write_csv
from fnnet.data.files import read
from fnnet.data.images.annotations import Annotations, annotate, annotate_masks, object_masks, semantic_mask
from fnnet.data.images.batches import image_stream
from fnnet.data.images.coco import read_coco, write_coco
from fnnet.data.images.detections import read_coco_results, write_coco_results
from fnnet.data.images.folders import ImageFiles, image_files
from fnnet.data.images.loading import ObjectImages, load_objects
from fnnet.data.images.masks import read_masks
from fnnet.data.images.outlines import Runs, decode_mask, encode_mask
from fnnet.data.images.placing import place_boxes, restore_boxes
from fnnet.data.images.reading import Images, read_images
from fnnet.data.images.voc import read_voc, write_voc
from fnnet.data.pictures import mnist_digits, photographs
from fnnet.data.placing import Scenes, scenes
from fnnet.data.preprocessing import (
    Column,
    Schema,
    apply_schema,
    column_kinds,
    feature_names,
    fit_schema,
    schema_from_dict,
    schema_to_dict,
    unseen_categories,
)
from fnnet.data.streams import Stream, stream
from fnnet.data.targets import relabel
from fnnet.data.toys import blobs, circles, moons, spirals, xor
from fnnet.data.weights import balanced, weigh

__all__ = [
    "Annotations",
    "Column",
    "Dataset",
    "ImageFiles",
    "Images",
    "ObjectImages",
    "Runs",
    "Scenes",
    "Schema",
    "Stream",
    "annotate",
    "annotate_masks",
    "apply_schema",
    "balanced",
    "blobs",
    "breast_cancer",
    "check",
    "circles",
    "column_kinds",
    "decode_mask",
    "diabetes",
    "digits",
    "encode_mask",
    "feature_names",
    "fit_schema",
    "image_files",
    "image_stream",
    "iris",
    "length",
    "load_objects",
    "mnist_digits",
    "moons",
    "object_masks",
    "photographs",
    "place_boxes",
    "read",
    "read_coco",
    "read_coco_results",
    "read_images",
    "read_masks",
    "read_voc",
    "relabel",
    "restore_boxes",
    "scenes",
    "schema_from_dict",
    "schema_to_dict",
    "semantic_mask",
    "spirals",
    "split",
    "stream",
    "take",
    "unseen_categories",
    "weigh",
    "wine",
    "write_coco",
    "write_coco_results",
    "write_csv",
    "write_npz",
    "write_voc",
    "xor",
]
