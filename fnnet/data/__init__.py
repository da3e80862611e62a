"""Data: arrays in memory, small real data sets, toys, files, and what turns a table into numbers."""

from fnnet.data.arrays import Dataset, check, length, split, take
from fnnet.data.datasets import breast_cancer, diabetes, digits, iris, wine

__all__ = [
    "Dataset",
    "breast_cancer",
    "check",
    "diabetes",
    "digits",
    "iris",
    "length",
    "split",
    "take",
    "wine",
]
