"""Tables of any library, column by column."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from ferrec.errors import DataError, MissingExtraError, ParameterTypeError, did_you_mean, require

# pyarrow, pandas and polars are optional, so their types cannot be named here.
Arrow: TypeAlias = Any


PathLike: TypeAlias = str | os.PathLike[str]


def as_path(name: str, value: object) -> Path:
    """The value as a path; TypeError names the argument and the value."""
    if not isinstance(value, str | os.PathLike):
        raise ParameterTypeError(name, "expected a path", value)
    return Path(value)


EXTRA = "parquet"  # brings both pyarrow and narwhals


@dataclass(frozen=True, slots=True)
class Table:
    """A table that reads one column at a time, so that only one at a time need be in memory twice."""

    names: Sequence[str]
    read: Callable[[str], object]

    def check(self, name: str) -> None:
        """Refuse a name that is missing, and list those there are, or that is there twice."""
        count = list(self.names).count(name)
        if count == 1:
            return
        if count > 1:
            raise DataError(f"column {name!r}", f"appears {count} times", advice="rename or drop the others")
        raise missing_column(name, self.names)


def missing_column(name: object, names: Iterable[str], where: str = "the table") -> DataError:
    """The error about a column that is not there: lists those there are, and says which may be meant."""
    listed = f"its columns are {', '.join(map(repr, names)) or 'none'}"
    advice = did_you_mean(name, names)
    return DataError(
        f"column {name!r}", f"is not in {where}", advice=f"{listed}; {advice}" if advice else listed
    )


def refuse_repeated(names: Sequence[str]) -> None:
    """No two columns may have one name: nobody could say which is meant."""
    repeated = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if repeated:
        listed = ", ".join(map(repr, repeated))
        raise DataError(
            "source", f"columns appear more than once: {listed}", advice="rename or drop the others"
        )


def open_table(table: object, needed: Sequence[str] | None) -> Table:
    """A dictionary of columns, a structured NumPy array, a pyarrow table, or what narwhals understands.

    `needed` are the columns that will be read, None for any.
    """
    if isinstance(table, Mapping):
        return Table(list(table), table.__getitem__)
    if isinstance(table, np.ndarray) and table.dtype.names is not None:
        return Table(table.dtype.names, table.__getitem__)
    if isinstance(table, str | os.PathLike):
        raise ParameterTypeError(
            "source", "expected a table, not a path", str(table), advice="use from_parquet or from_csv"
        )
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(table, pyarrow.RecordBatch):
        table = pyarrow.Table.from_batches([table])
    if pyarrow is not None and isinstance(table, pyarrow.Table):
        return Table(table.column_names, table.column)
    return _open_frame(table, needed)


def _open_frame(table: object, needed: Sequence[str] | None) -> Table:
    narwhals = require("narwhals", EXTRA)
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(table, pandas.DataFrame) and not table.columns.is_unique:
        # narwhals refuses a frame with repeated names even where the columns asked for are not repeated.
        names = list(table.columns)
        rest = [name for name in (names if needed is None else needed) if names.count(name) == 1]
        return Table(names, _open_frame(table[rest], rest).read)
    try:
        frame = narwhals.from_native(table)
    except TypeError as error:
        raise ParameterTypeError(
            "source", "expected a pandas, polars or pyarrow table, or a dictionary of columns", type(table)
        ) from error
    names = list(frame.collect_schema().names())
    if isinstance(frame, narwhals.LazyFrame):
        frame = (frame if needed is None else frame.select([n for n in needed if n in names])).collect()
    return Table(names, frame.__getitem__)


def pyarrow_if_there() -> ModuleType | None:
    """The module where it is installed: it is faster on strings, and columns can do without it."""
    try:
        return require("pyarrow", EXTRA)
    except MissingExtraError:
        return None
