"""Tables of any kind behind one face: read a column, fill its gaps, keep some rows and set some columns."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec.errors import DataError, ParameterTypeError, ShapeError, require
from ferrec.io.columns import present
from ferrec.io.files import open_parquet, parquet_batches
from ferrec.io.tables import PathLike, Table, refuse_repeated

Scalar: TypeAlias = bool | int | float | str
Made: TypeAlias = Mapping[str, NDArray[Any]]

_EXTRA = "parquet"


class ColumnReader(Protocol):
    """What is read of a table."""

    @property
    def names(self) -> Sequence[str]:
        """The columns, as often as they occur."""
        ...

    def read(self, name: str) -> object:
        """Return one column, for the readers of `ferrec.io.columns`."""
        ...


class EventReader(ColumnReader, Protocol):
    """A table whose gaps can be filled."""

    def filled(self, fills: Mapping[str, Scalar]) -> Self:
        """The same table with other values where some are missing."""
        ...


class Frame(EventReader, Protocol):
    """A table in memory."""

    def rebuild(self, alive: NDArray[np.bool_], columns: Made) -> Any:
        """A table of the caller's kind with the rows that are alive, and these columns for them."""
        ...


def open_frame(table: object) -> Frame:
    """A table in memory: a dictionary of columns, a structured array, or what narwhals understands."""
    if isinstance(table, Mapping):
        return _Dict(dict(table))
    if isinstance(table, np.ndarray) and table.dtype.names is not None:
        return _Dict({name: table[name] for name in table.dtype.names})
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(table, pyarrow.RecordBatch):
        table = pyarrow.Table.from_batches([table])
    refuse_repeated(_native_names(table))
    narwhals = require("narwhals", _EXTRA)
    try:
        frame = narwhals.from_native(table)
    except TypeError as error:
        raise ParameterTypeError(
            "source",
            "expected a pandas, polars or pyarrow table, a dictionary of columns, or the path of Parquet files",
            type(table),
        ) from error
    return _Native(frame.collect() if isinstance(frame, narwhals.LazyFrame) else frame)


def is_path(table: object) -> bool:
    """Whether the table is named by its path."""
    return isinstance(table, str | os.PathLike)


def _native_names(table: Any) -> list[str]:
    """The columns of tables that may repeat a name, which narwhals refuses in words of its own."""
    for module, kind in (("pandas", "DataFrame"), ("pyarrow", "Table")):
        library = sys.modules.get(module)
        if library is not None and isinstance(table, getattr(library, kind)):
            return list(table.columns if module == "pandas" else table.column_names)
    return []


@dataclass(frozen=True, slots=True)
class _Native:
    """A narwhals `DataFrame`."""

    frame: Any

    @property
    def names(self) -> list[str]:
        return list(self.frame.columns)

    def read(self, name: str) -> object:
        return self.frame[name]

    def filled(self, fills: Mapping[str, Scalar]) -> "_Native":
        columns = [_fill(self.frame[name], value, name) for name, value in fills.items()]
        return _Native(self.frame.with_columns(*columns)) if columns else self

    def rebuild(self, alive: NDArray[np.bool_], columns: Made) -> Any:
        narwhals, backend = require("narwhals", _EXTRA), self.frame.implementation
        frame = self.frame
        if not alive.all():
            frame = frame.filter(narwhals.new_series("alive", alive, narwhals.Boolean, backend=backend))
        made = [narwhals.new_series(name, values, backend=backend) for name, values in columns.items()]
        return (frame.with_columns(*made) if made else frame).to_native()


@dataclass(frozen=True, slots=True)
class _Dict:
    """A dictionary of columns; it comes back as one of NumPy arrays."""

    columns: dict[str, Any]

    @property
    def names(self) -> list[str]:
        return list(self.columns)

    def read(self, name: str) -> object:
        return self.columns[name]

    def filled(self, fills: Mapping[str, Scalar]) -> "_Dict":
        columns = dict(self.columns)
        for name, value in fills.items():
            columns[name] = _fill_column(columns[name], value, name)
        return _Dict(columns)

    def rebuild(self, alive: NDArray[np.bool_], columns: Made) -> dict[str, NDArray[Any]]:
        kept = {name: _as_numpy(self.columns[name]) for name in self.columns if name not in columns}
        for name, values in kept.items():
            if len(values) != len(alive):
                raise ShapeError(
                    f"column {name!r}", f"must have {len(alive):,} rows like others", len(values)
                )
        order = dict.fromkeys([*self.columns, *columns])
        return {name: columns[name] if name in columns else kept[name][alive] for name in order}


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """Parquet files: read column by column for the decisions, and batch by batch for the result."""

    path: PathLike
    table: Table
    fills: Mapping[str, Scalar]

    @classmethod
    def open(cls, path: PathLike) -> "ParquetSource":
        """Open a file or a folder; the rows stay there."""
        table = open_parquet(path)
        refuse_repeated(table.names)
        return cls(path, table, {})

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.table.names)

    def read(self, name: str) -> object:
        """Read one column, filled."""
        column = self.table.read(name)
        return _fill_column(column, self.fills[name], name) if name in self.fills else column

    def filled(self, fills: Mapping[str, Scalar]) -> "ParquetSource":
        """Return the same source with these fills of missing values."""
        return ParquetSource(self.path, self.table, fills)

    def frames(self, size: int, columns: Sequence[str] | None = None) -> Iterator[tuple[Frame, int]]:
        """The rows in order, at most so many at once, and how many; first a frame of none, for the schema."""
        for batch in parquet_batches(self.path, size, columns):
            yield open_frame(batch).filled(self.fills), batch.num_rows


def _fill(series: Any, value: Scalar, name: str) -> Any:
    """A narwhals series whose gaps, null or NaN, hold the value; one of gaps alone takes the value's type."""
    narwhals = require("narwhals", _EXTRA)
    kind = series.dtype
    if kind in (narwhals.Categorical, narwhals.Enum):
        series, kind = series.cast(narwhals.String), narwhals.String
    if not _suits(kind, value):
        gaps = series.is_null() | series.is_nan() if kind.is_float() else series.is_null()
        _refuse_kind(bool(gaps.all()), value, name, str(kind))
        types = {bool: narwhals.Boolean, int: narwhals.Int64, float: narwhals.Float64, str: narwhals.String}
        return narwhals.new_series(
            name, [value] * len(series), types[type(value)], backend=series.implementation
        )
    if kind.is_integer() and isinstance(value, float):
        series = series.cast(narwhals.Float64)
    filled = series.fill_null(value)
    return filled.fill_nan(value) if kind.is_float() else filled


def _suits(kind: Any, value: Scalar) -> bool:
    """Whether a column of this type can hold the value."""
    narwhals = require("narwhals", _EXTRA)
    if kind.is_numeric():
        return type(value) in (int, float)
    wanted = {narwhals.Boolean: bool, narwhals.String: str, narwhals.Object: object}
    return any(kind == one and isinstance(value, holds) for one, holds in wanted.items())


def _fill_column(values: object, value: Scalar, name: str) -> Any:
    column, valid = present(values, f"column {name!r}")
    if not isinstance(column, np.ndarray):
        narwhals = require("narwhals", _EXTRA)
        return _fill(narwhals.from_native(column, series_only=True).alias(name), value, name).to_native()
    if valid is None:
        return column
    if column.dtype.kind == "f" and type(value) not in (int, float):
        _refuse_kind(not valid.any(), value, name, "numbers")
        return np.full(len(column), value)
    return np.where(valid, column, np.asarray(value, column.dtype))


def _refuse_kind(fits: bool, value: Scalar, name: str, holds: str) -> None:
    if not fits:
        raise DataError("missing", f"column {name!r} holds {holds}, which {value!r} cannot fill")


def _as_numpy(values: Any) -> NDArray[Any]:
    """A column as NumPy has it; a list of mixed values, or of integers that no dtype holds, as one of objects."""
    if isinstance(values, list | tuple):
        kinds = set(map(type, values))
        array = np.asarray(values) if len(kinds) <= 1 else None
        if array is None or array.ndim != 1 or (kinds == {int} and array.dtype.kind == "f"):
            array = np.fromiter(values, object, len(values))
        return array
    to_numpy = getattr(values, "to_numpy", None)
    return np.asarray(values if to_numpy is None else to_numpy())
