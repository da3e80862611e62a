"""Small real data sets, those that scikit-learn ships: no download."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnnet.data.arrays import Dataset
from fnnet.errors import needs_extra


def digits(*, images: bool = False) -> Dataset:
    """Return 1797 handwritten digits of 8 × 8 pixels, scaled from 0 … 16 to [0, 1], in ten classes.

    ``x`` is (1797, 64), pixels row by row, or (1797, 8, 8, 1), channels last, with `images`. Alpaydin & Kaynak 1998
    (UCI); these are its test part.

    >>> digits().x.shape, digits(images=True).x.shape, digits().classes[:3]
    ((1797, 64), (1797, 8, 8, 1), ('0', '1', '2'))
    """
    bunch = _load("digits")
    x = np.asarray(bunch.data / 16.0, np.float32)
    labels = np.asarray(bunch.target, np.int32)
    return Dataset(
        x.reshape(-1, 8, 8, 1) if images else x,
        labels,
        tuple(str(digit) for digit in range(10)),
        () if images else tuple(str(name) for name in bunch.feature_names),
    )


def iris() -> Dataset:
    """Return 150 irises of three species by four lengths in cm (Fisher 1936), not standardized.

    >>> iris().classes
    ('setosa', 'versicolor', 'virginica')
    """
    return _classification("iris")


def wine() -> Dataset:
    """Return 178 Italian wines of three cultivars by 13 chemical measurements (UCI), not standardized.

    >>> wine().x.shape
    (178, 13)
    """
    return _classification("wine")


def breast_cancer() -> Dataset:
    """Return 569 breast tumours, malignant or benign, by 30 measurements of cell nuclei (UCI), not standardized.

    >>> breast_cancer().classes
    ('malignant', 'benign')
    """
    return _classification("breast_cancer")


def diabetes() -> Dataset:
    """Return 442 patients by ten raw measurements, and the disease's progress a year later (Efron et al. 2004).

    Regression: ``y`` is (442, 1), a column a target, to meet the output of ``dense(1)``. Not standardized.

    >>> diabetes().y.shape, diabetes().features[:3]
    ((442, 1), ('age', 'sex', 'bmi'))
    """
    bunch = _load("diabetes", scaled=False)
    y = np.asarray(bunch.target, np.float32)[:, None]
    return Dataset(np.asarray(bunch.data, np.float32), y, None, tuple(bunch.feature_names))


def _classification(name: str) -> Dataset:
    bunch = _load(name)
    classes = tuple(str(label) for label in bunch.target_names)
    features = tuple(str(feature) for feature in bunch.feature_names)
    return Dataset(np.asarray(bunch.data, np.float32), np.asarray(bunch.target, np.int32), classes, features)


def _load(name: str, **options: Any) -> Any:
    with needs_extra(name, "data"):
        from sklearn import datasets
    return getattr(datasets, f"load_{name}")(**options)
