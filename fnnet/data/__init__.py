"""Data: arrays in memory, small real data sets, toys, files, and what turns a table into numbers."""

from fnnet.data.archives import write_npz
from fnnet.data.arrays import Dataset, check, length, split, take
from fnnet.data.datasets import breast_cancer, diabetes, digits, iris, wine
from fnnet.data.delimited import write_csv
from fnnet.data.files import read
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
    "Column",
    "Dataset",
    "Scenes",
    "Schema",
    "Stream",
    "apply_schema",
    "balanced",
    "blobs",
    "breast_cancer",
    "check",
    "circles",
    "column_kinds",
    "diabetes",
    "digits",
    "feature_names",
    "fit_schema",
    "iris",
    "length",
    "mnist_digits",
    "moons",
    "photographs",
    "read",
    "relabel",
    "scenes",
    "schema_from_dict",
    "schema_to_dict",
    "spirals",
    "split",
    "stream",
    "take",
    "unseen_categories",
    "weigh",
    "wine",
    "write_csv",
    "write_npz",
    "xor",
]
