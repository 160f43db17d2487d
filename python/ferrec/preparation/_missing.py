"""Missing values that are filled: the value of each column, found once and used on all data."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ferrec.errors import DataError, require
from ferrec.io.columns import present, read_numbers, select_rows
from ferrec.preparation.frames import EventReader, Scalar
from ferrec.preparation.settings import STATISTICS


def learn_fills(source: EventReader, missing: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """What stands in for what is missing, by column."""
    fills: dict[str, Scalar] = {}
    for name, policy in missing.items():
        if policy in STATISTICS:
            fills[name] = _statistic(source.read(name), str(policy), name)
        elif policy not in ("drop", "error"):
            fills[name] = policy
    return fills


def _statistic(values: object, policy: str, name: str) -> Scalar:
    what = f"column {name!r}"
    column, valid = present(values, what)
    if valid is not None:
        column = select_rows(column, valid)
    if not len(column):
        raise DataError(f"missing[{name!r}]", "the column holds no value to take it from", policy)
    if policy == "mode":
        return _mode(column, name)
    numbers = read_numbers(column, what)
    return float(numbers.mean() if policy == "mean" else np.median(numbers))


def _mode(column: Any, name: str) -> Scalar:
    """The most frequent value; of several the least."""
    if not isinstance(column, np.ndarray):
        counted = require("pyarrow.compute", "parquet").value_counts(column)
        values, counts = counted.field("values").to_pylist(), counted.field("counts").to_numpy()
    else:
        try:
            distinct, counts = np.unique(column, return_counts=True)
        except TypeError as error:
            raise DataError(f"missing[{name!r}]='mode'", f"the column mixes types: {error}") from error
        values = distinct.tolist()
    most = min(value for value, count in zip(values, counts, strict=True) if count == counts.max())
    if not isinstance(most, bool | int | float | str):
        kind = type(most).__name__
        raise DataError(f"missing[{name!r}]='mode'", f"the column holds {kind}, which cannot be filled in")
    return most
