"""From a table to the numbers a network takes, by statistics of the training data that are saved with the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fnnet.data.arrays import Dataset, length
from fnnet.data.targets import relabel
from fnnet.errors import DataError, ShapeError, near_matches

MOST_CATEGORIES = 256
"""A column of more categories than this is taken for names or free text, from which nothing general can be learnt."""


class Column(NamedTuple):
    """One column: ``(value - mean) / scale`` of a number, or one 0/1 column for each of its categories in order."""

    name: str
    mean: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] | None = None


class Schema(NamedTuple):
    """What training data looked like: its columns, its classes (None in regression), and, for arrays, a row's shape.

    For an array there is a column for each place of the last axis, so images are standardized by channel.
    """

    columns: tuple[Column, ...]
    classes: tuple[str, ...] | None = None
    shape: tuple[int, ...] | None = None


def fit_schema(train: Dataset, *, standardize: bool = True) -> Schema:
    """Return the schema of training data: a table from ``read`` (a dict of columns), or an array of shape (n, ..., f).

    Numbers get the mean and the standard deviation (that of the population) of the training rows, in float64; a
    constant column has scale 1. NaN, which tables read with ``missing="mean"`` hold, is left out of both. Text gets its
    categories in alphabetical order. Without `standardize`, mean 0 and scale 1.

    Raises: DataError for a column of more than 256 categories or without any value, or an array with one axis.

    >>> schema = fit_schema(Dataset({"size": jnp.array([1.0, 3.0])}, None))
    >>> schema.columns
    (Column(name='size', mean=2.0, scale=1.0, categories=None),)
    """
    length(train)
    if isinstance(train.x, dict):
        names = train.features or tuple(train.x)
        return Schema(tuple(_fit_column(name, train.x[name], standardize) for name in names), train.classes)
    x = np.asarray(train.x)
    if x.ndim < 2:
        raise DataError(
            "fit_schema", f"x must have shape (rows, ..., features), got {x.shape}", "add an axis: x[:, None]."
        )
    features = train.features if len(train.features) == x.shape[-1] else [str(n) for n in range(x.shape[-1])]
    rows = x.reshape(-1, x.shape[-1])
    columns = tuple(_fit_column(name, rows[:, n], standardize) for n, name in enumerate(features))
    return Schema(columns, train.classes, x.shape[1:])


def apply_schema(schema: Schema, dataset: Dataset) -> Dataset:
    """Return the data as the network takes it: ``x`` float32, labels numbered by the schema's classes.

    A table's columns are found by name, whatever their order; others are left out. A category that training did not
    see, and a missing one, is zero in every column of its own; a missing number (NaN) is the training mean, so zero.
    In an array NaN stays, for ``check`` to find. ``y`` may be None.

    Raises: DataError for an absent column (with near matches), text where numbers were, or a label of no class;
    ShapeError for an array whose rows have another shape.

    >>> train = Dataset({"size": jnp.array([1.0, 3.0])}, None)
    >>> apply_schema(fit_schema(train), train).x
    array([[-1.],
           [ 1.]], dtype=float32)
    """
    if schema.shape is None:
        if not isinstance(dataset.x, dict):
            raise DataError(
                "apply_schema", "expected a table with named columns, as in training, got an array", "pass a CSV file."
            )
        parts = [_apply_column(column, dataset.x) for column in schema.columns]
        x = np.concatenate(parts, axis=1).astype(np.float32)
    else:
        x = _apply_array(schema, dataset.x)
    return relabel(dataset._replace(x=x, features=feature_names(schema)), schema.classes)


def unseen_categories(schema: Schema, dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Return, by column, the categories of a table that training did not see; `apply_schema` makes them all zero.

    >>> schema = Schema((Column("kind", categories=("cat", "dog")),))
    >>> unseen_categories(schema, Dataset({"kind": np.array(["cat", "cow"])}, None))
    {'kind': ('cow',)}
    """
    unseen = {
        column.name: tuple(sorted(set(_as_text(_present(dataset.x[column.name])).tolist()) - {*column.categories}))
        for column in schema.columns
        if column.categories is not None and isinstance(dataset.x, dict) and column.name in dataset.x
    }
    return {name: categories for name, categories in unseen.items() if categories}


def feature_names(schema: Schema) -> tuple[str, ...]:
    """Return the names of the columns of ``x`` after `apply_schema`; a category's is ``column=category``.

    >>> feature_names(Schema((Column("size"), Column("kind", categories=("cat", "dog")))))
    ('size', 'kind=cat', 'kind=dog')
    """
    names: list[str] = []
    for column in schema.columns:
        names += [column.name] if column.categories is None else [f"{column.name}={c}" for c in column.categories]
    return tuple(names)


def column_kinds(schema: Schema) -> dict[str, str]:
    """Return ``"number"`` or ``"category"`` by column, for ``read(path, columns=...)`` to read as training did.

    >>> column_kinds(Schema((Column("size"), Column("kind", categories=("cat", "dog")))))
    {'size': 'number', 'kind': 'category'}
    """
    return {column.name: "number" if column.categories is None else "category" for column in schema.columns}


def schema_to_dict(schema: Schema) -> dict[str, Any]:
    """Return the schema as dicts, lists, numbers and text without None, as TOML and JSON take it.

    >>> schema_to_dict(Schema((Column("size", 2.0, 0.5),), ("no", "yes")))
    {'columns': [{'name': 'size', 'mean': 2.0, 'scale': 0.5}], 'classes': ['no', 'yes']}
    """
    columns = [
        {"name": column.name, "mean": column.mean, "scale": column.scale}
        if column.categories is None
        else {"name": column.name, "categories": list(column.categories)}
        for column in schema.columns
    ]
    result: dict[str, Any] = {"columns": columns}
    if schema.classes is not None:
        result["classes"] = list(schema.classes)
    if schema.shape is not None:
        result["shape"] = list(schema.shape)
    return result


def schema_from_dict(saved: Mapping[str, Any]) -> Schema:
    """Return the schema that `schema_to_dict` gave; DataError if it is not such a dict.

    >>> schema = Schema((Column("size", 2.0, 0.5), Column("kind", categories=("cat", "dog"))), ("no", "yes"))
    >>> schema_from_dict(schema_to_dict(schema)) == schema
    True
    """
    try:
        columns = tuple(
            Column(str(column["name"]), categories=tuple(str(c) for c in column["categories"]))
            if "categories" in column
            else Column(str(column["name"]), float(column["mean"]), float(column["scale"]))
            for column in saved["columns"]
        )
        classes = tuple(str(name) for name in saved["classes"]) if "classes" in saved else None
        shape = tuple(int(n) for n in saved["shape"]) if "shape" in saved else None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("schema", f"is not a saved schema ({error!r})", "train again, or restore the file.") from error
    return Schema(columns, classes, shape)


def _fit_column(name: str, values: Any, standardize: bool) -> Column:
    values = np.asarray(values)
    if values.dtype.kind in "UO":
        categories = tuple(str(category) for category in np.unique(values.astype(str)) if category != "")
        if len(categories) > MOST_CATEGORIES:
            raise DataError(
                "fit_schema",
                f"column {name!r} has {len(categories)} categories, expected at most {MOST_CATEGORIES}",
                "drop the column (names and free text say nothing about other rows), or group its values.",
            )
        return Column(name, categories=categories)
    values = values.astype(np.float64)
    values = values[~np.isnan(values)]
    if not values.size:
        raise DataError("fit_schema", f"column {name!r} has no value in the training rows", "drop the column.")
    if not standardize:
        return Column(name)
    if not np.isfinite(values).all():
        raise DataError("fit_schema", f"column {name!r} must be finite, got infinity", "drop or fill these rows.")
    if values.min() == values.max():  # by value: the rounded deviation of equal numbers need not be zero
        return Column(name, float(values[0]))
    return Column(name, float(values.mean()), float(values.std()))


def _apply_column(column: Column, table: Mapping[str, Any]) -> np.ndarray:
    if column.name not in table:
        raise DataError("apply_schema", f"has no column {column.name!r}", near_matches(column.name, table))
    values = np.asarray(table[column.name])
    if column.categories is None:
        if values.dtype.kind not in "biuf":
            raise DataError(
                "apply_schema",
                f"column {column.name!r} was numbers in training, got text such as {str(values[0])!r}",
                "correct the cells, or read with columns=column_kinds(schema) to find the line.",
            )
        scaled = (values.astype(np.float64) - column.mean) / column.scale
        return np.where(np.isnan(scaled), 0.0, scaled)[:, None]
    return (_as_text(values)[:, None] == np.array(column.categories, str)[None, :]).astype(np.float64)


def _present(values: Any) -> np.ndarray:
    """Return the values without the missing ones: empty text, None and NaN."""
    values = np.asarray(values)
    if values.dtype.kind == "f":
        return values[~np.isnan(values)]
    return values[[value not in ("", None) for value in values.tolist()]]


def _as_text(values: Any) -> np.ndarray:
    """Return categories as text, also those of a file in which all of them look like numbers."""
    values = np.asarray(values)
    if values.dtype.kind in "UO":
        return values.astype(str)
    return np.array([str(int(v)) if float(v).is_integer() else str(v) for v in values.tolist()])


def _apply_array(schema: Schema, x: Any) -> np.ndarray:
    if isinstance(x, dict):
        raise DataError("apply_schema", "expected an array, as in training, got a table", "pass an .npz or IDX file.")
    x = np.asarray(x)
    if x.shape[1:] != schema.shape:
        raise ShapeError(
            "apply_schema", f"rows must have shape {schema.shape}, as in training, got {x.shape[1:]}", "pass such rows."
        )
    mean, scale = (np.array([getattr(column, name) for column in schema.columns]) for name in ("mean", "scale"))
    return ((x.astype(np.float64) - mean) / scale).astype(np.float32)
