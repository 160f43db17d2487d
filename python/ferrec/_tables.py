"""Readers: any table or path into columns, and any column into ids, weights or times.

Everything that knows a table library lives here. A column arrives as a NumPy array or, where pyarrow is
installed, as an Arrow column; Python never loops over its rows, save to explain a column that is refused.
In every message rows count from 0.
"""

import glob
import os
import sys
from calendar import timegm
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise, repeat, starmap
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.errors import DataError, MissingExtraError, require

# pyarrow, pandas and polars are optional, so their types cannot be named here.
Arrow: TypeAlias = Any
Ints: TypeAlias = NDArray[np.integer[Any]]
PathLike: TypeAlias = str | os.PathLike[str]

_EXTRA = "parquet"  # brings both pyarrow and narwhals
INT64, INT32, FLOAT32 = np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float32)
# Shorter arrays are quicker as Python lists than through NumPy, whose reductions take microseconds to begin.
_SHORT = 32
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_IDS = "ids must be integers or strings"


# --- Strings ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """Strings as Arrow holds them: string i is ``data[offsets[i]:offsets[i + 1]]`` in UTF-8."""

    offsets: NDArray[np.int64]
    data: NDArray[np.uint8]

    def __post_init__(self) -> None:
        object.__setattr__(self, "offsets", read_only(self.offsets))
        object.__setattr__(self, "data", read_only(self.data))

    @classmethod
    def from_list(cls, strings: Sequence[str]) -> "Strings":
        encoded = list(map(str.encode, strings))
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(encoded), np.uint8))

    @classmethod
    def from_arrow(cls, strings: Arrow) -> "Strings":
        """A `LargeStringArray` without nulls; shares its memory."""
        if not len(strings):
            return cls.from_list([])
        _, offsets, data = strings.buffers()
        bounds = np.frombuffer(offsets, np.int64)[strings.offset : strings.offset + len(strings) + 1]
        size = int(bounds[-1] - bounds[0])
        # A column of empty strings may come without a buffer of bytes.
        text = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]] if size else np.empty(0, np.uint8)
        return cls(bounds - bounds[0], text)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        """Every string, cut and decoded by iterators in C; `UnicodeDecodeError` if one is not UTF-8."""
        cut = map(self.data.data.__getitem__, starmap(slice, pairwise(self.offsets.data)))
        return map(str, cut, repeat("utf-8"))

    def raw(self, i: int) -> bytes:
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes()

    def decode(self) -> NDArray[Any]:
        return np.fromiter(iter(self), object, len(self))

    def take(self, at: NDArray[np.integer[Any]]) -> "Strings":
        starts = self.offsets[at]
        lengths = self.offsets[at + 1] - starts
        offsets = np.zeros(len(at) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        # Byte j of the result comes from its string's start, plus how far j is into that string.
        source = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Strings(offsets, self.data[source])


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A column of strings: the code of each row, and the distinct strings sorted ascending."""

    codes: NDArray[np.int32]
    uniques: Strings

    def label(self, row: int) -> str:
        return self.uniques.raw(int(self.codes[row])).decode()


def is_flat(array: NDArray[Any], dtype: "np.dtype[Any]") -> bool:
    """Whether the compiled side can take the array as it is: of this dtype, one run of memory, aligned."""
    flags = array.flags
    return array.dtype == dtype and array.ndim == 1 and flags.c_contiguous and flags.aligned


def span(array: NDArray[Any]) -> tuple[Any, Any]:
    """The smallest and the greatest of some integers."""
    if array.size > _SHORT:
        return array.min(), array.max()
    values = array.tolist()
    return min(values), max(values)


def ascends(array: NDArray[Any]) -> bool:
    """Whether integers never fall."""
    if array.size > _SHORT:
        return not (array[1:] < array[:-1]).any()
    values: list[int] = array.tolist()
    return values == sorted(values)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view."""
    view = array.view()
    view.flags.writeable = False
    return view


# --- Tables ----------------------------------------------------------------------------------------------


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
            raise DataError(f"column {name!r} appears {count} times: rename or drop the others")
        listed = ", ".join(map(repr, self.names)) or "none"
        raise DataError(f"column {name!r} is not in the table; its columns are {listed}")


def refuse_repeated(names: Sequence[str]) -> None:
    """No two columns may have one name: nobody could say which is meant."""
    repeated = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if repeated:
        listed = ", ".join(map(repr, repeated))
        raise DataError(f"columns appear more than once: {listed}: rename or drop the others")


def open_table(table: object, needed: Sequence[str] | None) -> Table:
    """A dictionary of columns, a structured NumPy array, a pyarrow table, or what narwhals understands.

    `needed` are the columns that will be read, None for any.
    """
    if isinstance(table, Mapping):
        return Table(list(table), table.__getitem__)
    if isinstance(table, np.ndarray) and table.dtype.names is not None:
        return Table(table.dtype.names, table.__getitem__)
    if isinstance(table, str | os.PathLike):
        raise TypeError(f"table={str(table)!r} is a path: use from_parquet or from_csv")
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(table, pyarrow.RecordBatch):
        table = pyarrow.Table.from_batches([table])
    if pyarrow is not None and isinstance(table, pyarrow.Table):
        return Table(table.column_names, table.column)
    return _open_frame(table, needed)


def _open_frame(table: object, needed: Sequence[str] | None) -> Table:
    narwhals = require("narwhals", _EXTRA)
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(table, pandas.DataFrame) and not table.columns.is_unique:
        # narwhals refuses a frame with repeated names even where the columns asked for are not repeated.
        names = list(table.columns)
        rest = [name for name in (names if needed is None else needed) if names.count(name) == 1]
        return Table(names, _open_frame(table[rest], rest).read)
    try:
        frame = narwhals.from_native(table)
    except TypeError as error:
        raise TypeError(
            f"table is a {type(table).__name__}: expected a pandas, polars or pyarrow table, "
            "or a dictionary of columns"
        ) from error
    names = list(frame.collect_schema().names())
    if isinstance(frame, narwhals.LazyFrame):
        frame = (frame if needed is None else frame.select([n for n in needed if n in names])).collect()
    return Table(names, frame.__getitem__)


def open_parquet(path: PathLike) -> Table:
    """A Parquet file, a folder of them (read in the order of their names, hive partitions too), or a glob."""
    pyarrow = require("pyarrow", _EXTRA)
    files = _expand(path, (".parquet", ".parq", ".pq"), "Parquet")

    def read(name: str) -> object:
        # A column of strings comes as codes and a dictionary: it is never spelled out row by row.
        as_codes = {name} if is_text(pyarrow, schema.field(name).type) else set()
        with _Reading(pyarrow, path, "Parquet"):
            # Each batch brings its own dictionary and they must be united, so batches are whole row groups.
            return _dataset(*files, as_codes).to_table(columns=[name], batch_size=1 << 24).column(0)

    with _Reading(pyarrow, path, "Parquet"):
        try:
            schema = _dataset(*files, set()).schema
        except pyarrow.ArrowInvalid:  # which does not say the names of columns that are repeated
            for file in files[0]:
                refuse_repeated(require("pyarrow.parquet", _EXTRA).read_schema(file).names)
            raise
    return Table(schema.names, read)


def parquet_batches(path: PathLike, size: int, columns: Sequence[str] | None = None) -> Iterator[Arrow]:
    """The rows of Parquet files in order, as pyarrow tables of at most `size`; first one without rows."""
    pyarrow = require("pyarrow", _EXTRA)
    parquet = require("pyarrow.parquet", _EXTRA)
    partition_keys = require("pyarrow.dataset", _EXTRA).get_partition_keys
    with _Reading(pyarrow, path, "Parquet"):
        dataset = _dataset(*_expand(path, (".parquet", ".parq", ".pq"), "Parquet"), set())
        schema = dataset.schema
        if columns is not None:
            schema = pyarrow.schema([schema.field(name) for name in columns])
        yield schema.empty_table()
        for fragment in dataset.get_fragments():
            keys = partition_keys(fragment.partition_expression)
            # A scan of the dataset would hold whole row groups, and some of the next.
            with parquet.ParquetFile(fragment.path, buffer_size=1 << 20, pre_buffer=False) as file:
                there = [name for name in schema.names if name in file.schema_arrow.names]
                for batch in file.iter_batches(size, columns=there):
                    arrays = [
                        batch.column(field.name)
                        if field.name in there
                        else pyarrow.repeat(pyarrow.scalar(keys.get(field.name), field.type), batch.num_rows)
                        for field in schema
                    ]
                    yield pyarrow.Table.from_arrays(arrays, names=schema.names).cast(schema)


def _dataset(files: list[str], root: str | None, dictionary: set[str]) -> Any:
    """Parquet files as one table, some columns as codes and a dictionary."""
    dataset = require("pyarrow.dataset", _EXTRA)
    options = dataset.ParquetReadOptions(dictionary_columns=dictionary)
    return dataset.dataset(
        files,
        format=dataset.ParquetFileFormat(read_options=options),
        partitioning="hive",
        partition_base_dir=root,
    )


def open_csv(path: PathLike, *, ids: Sequence[str], others: Sequence[str] | None, delimiter: str) -> Table:
    """CSV files with a header. Ids stay text unless every one of them is an integer as Python writes it.

    Of the `others` that are read, None for all, pyarrow infers the type.
    """
    names, table = read_csv(path, ids, delimiter, None if others is None else [*ids, *others])
    return Table(names, table.column)


def csv_delimiter(path: PathLike) -> str | None:
    """The delimiter of CSV files, by their names; None for other files."""
    place = Path(path)
    names = sorted(place.rglob("*")) if place.is_dir() else [place]
    kinds = {suffix for name in names for suffix in name.suffixes[-2:] if suffix in _DELIMITERS}
    return _DELIMITERS[min(kinds)] if kinds else None


def read_csv(
    path: PathLike, ids: Sequence[str], delimiter: str, columns: Sequence[str] | None = None
) -> tuple[list[str], Arrow]:
    """The names in the header, and a pyarrow table of some columns or all, but no repeated ones."""
    pyarrow = require("pyarrow", _EXTRA)
    csv = require("pyarrow.csv", _EXTRA)
    files, _ = _expand(path, (".csv", ".tsv", ".csv.gz", ".tsv.gz"), "CSV")
    parse = csv.ParseOptions(delimiter=delimiter)
    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())

    def read_file(file: str, wanted: list[str]) -> Any:
        convert = csv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(ids, text),
            null_values=[""],
            strings_can_be_null=True,
        )
        return csv.read_csv(file, parse_options=parse, convert_options=convert)

    with _Reading(pyarrow, path, "CSV"):
        with csv.open_csv(files[0], parse_options=parse) as reader:
            names = reader.schema.names
        wanted = list(
            dict.fromkeys(n for n in (names if columns is None else columns) if names.count(n) == 1)
        )
        parts = [read_file(file, wanted) for file in files]
        table = pyarrow.concat_tables(parts, promote_options="permissive")
    for name in ids:
        if name in wanted:
            column = _plain_integers(table.column(name), pyarrow)
            table = table.set_column(table.column_names.index(name), name, column)
    return names, table


def _plain_integers(column: Arrow, pyarrow: ModuleType) -> Arrow:
    """A dictionary column of text as one of integers, where nothing is lost: "7" is 7, but "007" is text."""
    column = column.unify_dictionaries()
    if not column.num_chunks:
        return column
    texts = column.chunk(0).dictionary
    written = require("pyarrow.compute", _EXTRA).match_substring_regex(texts, "^(0|-?[1-9][0-9]*)$")
    if not (len(texts) and all(written.to_pylist())):
        return column
    for kind in (pyarrow.int64(), pyarrow.uint64()):
        try:
            integers = texts.cast(kind)
        except pyarrow.ArrowInvalid:
            continue
        chunks = [pyarrow.DictionaryArray.from_arrays(c.indices, integers) for c in column.chunks]
        return pyarrow.chunked_array(chunks)
    return column


def _expand(path: PathLike, suffixes: tuple[str, ...], what: str) -> tuple[list[str], str | None]:
    """The files of a path, and the folder that partition names are relative to."""
    place = Path(path).expanduser()
    if place.is_file():
        return [str(place)], str(place.parent)
    if place.is_dir():
        found = (f for f in sorted(place.rglob("*")) if f.name.endswith(suffixes) and f.is_file())
        # Spark and its like leave _SUCCESS, .crc and temporary files beside the data.
        files = [str(f) for f in found if not any(part[0] in "._" for part in f.relative_to(place).parts)]
        if not files:
            raise DataError(f"{path}: the folder holds no {what} files (*{', *'.join(suffixes)})")
        return files, str(place)
    matches = sorted(glob.glob(str(place), recursive=True))  # noqa: PTH207  # Path takes no absolute pattern
    files = [match for match in matches if Path(match).is_file()]
    if not files:
        raise FileNotFoundError(f"{path}: no such file or folder, and no file matches it as a pattern")
    return files, None


@dataclass(frozen=True, slots=True)
class _Reading:
    """A context that turns what pyarrow raises on a bad file into a `DataError` that names the path."""

    pyarrow: ModuleType
    path: PathLike
    what: str

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        # Reading errors of pyarrow are ArrowException or a bare OSError; a missing file stays what it is.
        if isinstance(error, FileNotFoundError | PermissionError):
            return
        if isinstance(error, self.pyarrow.ArrowException | OSError):
            raise DataError(f"{self.path}: cannot be read as {self.what}: {error}") from error


# --- Columns ---------------------------------------------------------------------------------------------


def read_ids(values: object, what: str) -> Ints | Coded:
    """A column of ids: integers in the caller's dtype, or strings as codes."""
    if isinstance(values, list) and len(values) <= _SHORT and all(type(v) is int for v in values):
        with suppress(OverflowError):
            return np.array(values, np.int64)
    column = as_column(values, what)
    if not isinstance(column, np.ndarray):
        return _arrow_ids(column, what)
    if column.dtype.kind in "iu":
        return column.astype(column.dtype.newbyteorder("="), copy=False)
    if column.dtype.kind in "OUT":
        return _object_ids(column, what)
    if not len(column):
        return np.empty(0, np.int64)  # without rows, a table library may have guessed any type
    _refuse_nulls(numpy_nulls(column), what)
    _refuse_ids(column.dtype.name, what, column if column.dtype.kind == "f" else None)


def read_weights(values: object, what: str) -> NDArray[np.float32]:
    """A column of numbers as float32; null, NaN and infinite rows are refused."""
    column = as_column(values, what)
    weights = numbers(column, np.float32, what)
    finite = np.isfinite(weights)
    if not finite.all():
        _refuse_rows(~finite, what, "null or not a finite 32-bit number", "", column)
    return _owned(weights, column)


def read_times(values: object, what: str) -> NDArray[np.int64]:
    """A column of times as unix seconds: numbers are seconds; dates and datetimes are converted."""
    column = as_column(values, what)
    seconds = datetimes(column, what)
    if seconds is None:
        seconds = _whole_seconds(column, what)
        before = seconds < 0
        if before.any():
            _refuse_rows(before, what, "negative", "; times are unix seconds", column)
        return _owned(seconds, column)
    before = seconds < 0
    if before.any():
        _refuse_rows(before, what, "before 1970", "; times are unix seconds", seconds.view("datetime64[s]"))
    return _owned(seconds, column)


def read_numbers(values: object, what: str) -> NDArray[np.float64]:
    """A column of numbers as float64, with NaN for null; infinite rows are refused."""
    column = as_column(values, what)
    found = numbers(column, np.float64, what)
    infinite = np.isinf(found)
    if infinite.any():
        _refuse_rows(infinite, what, "infinite", "", column)
    return found


def read_kinds(values: object, what: str) -> tuple[NDArray[np.int32], list[Any]]:
    """The code of each row of a column of few different values, and these, ascending."""
    ids = read_ids(values, what)
    if isinstance(ids, Coded):
        return ids.codes, list(ids.uniques)
    codes, uniques = factorize_ints(ids)
    return codes, uniques.tolist()


def present(values: object, what: str) -> tuple[Any, NDArray[np.bool_] | None]:
    """A column, and which of its rows hold a value where some do not: null, None, NaN."""
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        return values.data, ~mask if mask.any() else None
    column = as_column(values, what)
    if not isinstance(column, np.ndarray):
        compute = require("pyarrow.compute", _EXTRA)
        types = require("pyarrow", _EXTRA).types
        if types.is_dictionary(column.type) and any(chunk.dictionary.null_count for chunk in column.chunks):
            column = _plain(column)
        null = compute.is_null(column, nan_is_null=True).to_numpy()
        if is_text(require("pyarrow", _EXTRA), column.type) and null.any():
            column = column.dictionary_encode()  # of which rows are cheap to leave out
    elif column.dtype.kind == "O":
        null = np.fromiter(map(is_null, column.tolist()), np.bool_, len(column))
    else:
        null = numpy_nulls(column)
    return column, ~null if null.any() else None


def rows_of(column: Any, mask: NDArray[np.bool_]) -> Any:
    """Some rows of a column that `present` gave."""
    return column[mask] if isinstance(column, np.ndarray) else column.filter(mask)


def is_float(column: Any) -> bool:
    """Whether a column that `present` gave holds floats."""
    if isinstance(column, np.ndarray):
        return bool(column.dtype.kind == "f")
    return bool(require("pyarrow", _EXTRA).types.is_floating(column.type))


def whole_ids(column: Any) -> Any:
    """Ids that came as floats, as pandas has them where some are missing: integers again, if all are whole."""
    if not is_float(column):
        return column
    floats = column if isinstance(column, np.ndarray) else _to_numpy(column)
    exact = bool((np.abs(floats) < 2.0**53).all() and (np.floor(floats) == floats).all())
    return floats.astype(np.int64) if exact else column


def _owned(array: NDArray[Any], column: object) -> NDArray[Any]:
    """The array, copied where it may be the caller's own memory: what is kept must not change later."""
    return array.copy() if array is column or array.base is not None else array


def read_event_weights(values: object, weights: Mapping[Any, float], what: str) -> NDArray[np.float32]:
    """The weight of each row's event type."""
    codes, kinds = read_kinds(values, what)
    return event_weight_table(codes, kinds, weights, what)[codes]


def event_weight_table(
    codes: NDArray[np.int32], kinds: list[Any], weights: Mapping[Any, float], what: str
) -> NDArray[np.float32]:
    """The weight of each kind of event; refuses kinds without one."""
    unknown = [kind for kind in kinds if kind not in weights]
    if unknown:
        counts = np.bincount(codes, minlength=len(kinds))
        shown = [f"{kind!r} ({counts[kinds.index(kind)]:,} rows)" for kind in unknown[:5]]
        rest = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
        known = ", ".join(map(repr, weights)) or "nothing"
        raise DataError(f"{what}: event_weights names {known}, but not {', '.join(shown)}{rest}")
    return np.array([weights[kind] for kind in kinds], np.float32)


def factorize_ints(ids: Ints) -> tuple[NDArray[np.int32], Ints]:
    """The code of each row, and the distinct values ascending in the dtype given."""
    # Rust sorts int64. Flipping the top bit maps uint64 onto it and keeps the order; all others fit.
    wide = ids.dtype == np.uint64
    flip = np.uint64(1 << 63)
    keys = (ids ^ flip).view(np.int64) if wide else np.ascontiguousarray(ids, np.int64)
    codes, uniques = _rust.encode_ints(np.ascontiguousarray(keys))
    return codes, (uniques.view(np.uint64) ^ flip) if wide else uniques.astype(ids.dtype, copy=False)


def _pyarrow() -> ModuleType | None:
    """The module where it is installed: it is faster on strings, and columns can do without it."""
    try:
        return require("pyarrow", _EXTRA)
    except MissingExtraError:
        return None


def is_text(pyarrow: ModuleType, kind: Arrow) -> bool:
    types = pyarrow.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def as_column(values: object, what: str) -> Any:
    """Any column as an Arrow `ChunkedArray` where it is one or easily becomes one, else as a NumPy array."""
    if isinstance(values, str | bytes) or np.isscalar(values) or values is None:
        raise DataError(f"{what} must be a column of values, not {values!r}")
    if isinstance(values, np.ma.MaskedArray):
        _refuse_nulls(np.ma.getmaskarray(values), what)
        values = values.data
    if isinstance(values, np.ndarray | list | tuple | range):
        column = np.asarray(values) if isinstance(values, np.ndarray | range) else _objects(values)
    else:
        column = _library_column(values)
    if column.ndim != 1 if isinstance(column, np.ndarray) else False:
        raise DataError(f"{what} must be one-dimensional, not {column.ndim}-d of shape {column.shape}")
    return column


def _objects(values: Sequence[object]) -> NDArray[Any]:
    # NumPy must not look at the values: it would turn [1, "a"] into strings and [2**63, -1] into floats.
    return np.fromiter(values, object, len(values))


def _library_column(values: object) -> Any:
    pyarrow = _pyarrow()
    if pyarrow is not None and isinstance(values, pyarrow.ChunkedArray):
        return values
    if pyarrow is not None and isinstance(values, pyarrow.Array):
        return pyarrow.chunked_array([values])
    try:
        narwhals = require("narwhals", _EXTRA)
        series = (
            values if isinstance(values, narwhals.Series) else narwhals.from_native(values, series_only=True)
        )
    except (MissingExtraError, TypeError):
        # pandas' Index and Categorical, memory views, and anything else that NumPy can read.
        return np.asarray(values)
    if pyarrow is None:
        return series.to_numpy()
    try:
        column = series.to_arrow()
    except (pyarrow.ArrowException, TypeError, OverflowError, UnicodeError):
        return series.to_numpy()  # mixed or huge objects: refused below, with the row
    return column if isinstance(column, pyarrow.ChunkedArray) else pyarrow.chunked_array([column])


# --- Arrow columns ---------------------------------------------------------------------------------------


def _arrow_ids(column: Arrow, what: str) -> Ints | Coded:
    pyarrow = require("pyarrow", _EXTRA)
    types, kind = pyarrow.types, column.type
    _refuse_arrow_nulls(column, what)
    if not len(column):
        return _no_ids(pyarrow, kind)
    if types.is_dictionary(kind):
        return _dictionary_ids(column, what)
    if types.is_integer(kind):
        return _to_numpy(column)
    if is_text(pyarrow, kind):
        if types.is_string_view(kind):
            column = column.cast(pyarrow.large_string())
        return _dictionary_ids(column.dictionary_encode(), what)
    _refuse_ids(str(kind), what, _to_numpy(column) if types.is_floating(kind) else None)


def _no_ids(pyarrow: ModuleType, kind: Arrow) -> Ints | Coded:
    """The ids of a column without rows, which a table library may give any type."""
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    if is_text(pyarrow, kind):
        return Coded(np.empty(0, np.int32), Strings.from_list([]))
    return np.empty(0, kind.to_pandas_dtype() if pyarrow.types.is_integer(kind) else np.int64)


def _dictionary_ids(column: Arrow, what: str) -> Ints | Coded:
    """A dictionary column that has rows, none null: Parquet's, pandas' or from `dictionary_encode`."""
    pyarrow = require("pyarrow", _EXTRA)
    compute = require("pyarrow.compute", _EXTRA)
    try:
        column = column.unify_dictionaries()
    except pyarrow.ArrowException:  # dictionaries that hold nulls do not unify
        return _arrow_ids(column.cast(column.type.value_type), what)
    dictionary = column.chunk(0).dictionary
    codes = np.empty(len(column), np.int32)
    start = 0
    for chunk in column.chunks:
        codes[start : start + len(chunk)] = chunk.indices.to_numpy(zero_copy_only=False)
        start += len(chunk)

    if dictionary.null_count:
        null = dictionary.is_null().to_numpy(zero_copy_only=False)
        _refuse_nulls(null[codes], what)
    if not is_text(pyarrow, dictionary.type):
        kept = dictionary.drop_null() if dictionary.null_count else dictionary
        values = _arrow_ids(pyarrow.chunked_array([kept]), what)
        assert isinstance(values, np.ndarray)
        return values[_drop_null_codes(dictionary, codes)]

    # Only the values that occur, sorted; a dictionary may hold the same value twice.
    occurs = np.zeros(len(dictionary), np.bool_)
    occurs[codes] = True
    kept = np.flatnonzero(occurs)
    strings = (dictionary if len(kept) == len(dictionary) else dictionary.take(kept)).cast(
        pyarrow.large_string()
    )
    order = compute.array_sort_indices(strings).to_numpy()
    strings = strings.take(order)
    rises = compute.not_equal(strings[1:], strings[:-1]).to_numpy(zero_copy_only=False)
    rank = np.empty(len(dictionary), np.int32)
    if rises.all():
        rank[kept[order]] = np.arange(len(kept), dtype=np.int32)
    else:
        first = np.concatenate(([True], rises))
        rank[kept[order]] = np.cumsum(first, dtype=np.int32) - 1
        strings = strings.take(np.flatnonzero(first))
    return Coded(rank[codes], Strings.from_arrow(strings))


def _drop_null_codes(dictionary: Arrow, codes: NDArray[np.int32]) -> NDArray[np.int64] | NDArray[np.int32]:
    """Codes into the dictionary without its nulls, which no row uses."""
    if not dictionary.null_count:
        return codes
    valid = dictionary.is_valid().to_numpy(zero_copy_only=False)
    shifted: NDArray[np.int64] = (np.cumsum(valid) - 1)[codes]
    return shifted


def _to_numpy(column: Arrow) -> NDArray[Any]:
    """A column of a fixed-width type: a view of Arrow's memory if it is in one piece, else a new array."""
    pieces = [chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks]
    if not pieces:
        pieces = [column.to_numpy()]  # no rows, but a dtype
    array: NDArray[Any] = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return array


def _plain(column: Arrow) -> Arrow:
    """A dictionary column spelled out; any other as it is."""
    types = require("pyarrow", _EXTRA).types
    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column


# --- NumPy and Python objects ----------------------------------------------------------------------------


def _object_ids(column: NDArray[Any], what: str) -> Ints | Coded:
    values = column.tolist()
    kinds = set(map(type, values))
    if kinds and all(issubclass(kind, str) for kind in kinds):
        return _string_ids(values, what)
    if all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
        for dtype in (np.int64, np.uint64):
            try:
                return np.fromiter(values, dtype, len(values))
            except OverflowError:
                continue
        outside = np.fromiter((not -(2**63) <= v < 2**63 for v in values), np.bool_, len(values))
        _refuse_rows(outside, what, "outside the 64-bit integers", ", or mix with negatives", column)
    null = np.fromiter(map(is_null, values), np.bool_, len(values))
    _refuse_nulls(null, what)
    names = Counter(map(type, values))
    if len(names) == 1:
        kind = next(iter(names))
        _refuse_ids(kind.__name__, what, column.astype(np.float64) if issubclass(kind, float) else None)
    usual = names.most_common(1)[0][0]
    other = np.fromiter((type(v) is not usual for v in values), np.bool_, len(values))
    listed = ", ".join(sorted(kind.__name__ for kind in names))
    _refuse_rows(other, what, f"not {usual.__name__}", f"; it mixes {listed}: cast it to one type", column)


def _string_ids(values: list[str], what: str) -> Coded:
    pyarrow = _pyarrow()
    try:
        if pyarrow is not None:
            column = pyarrow.chunked_array([pyarrow.array(values, pyarrow.large_string())])
            coded = _dictionary_ids(column.dictionary_encode(), what)
            assert isinstance(coded, Coded)
            return coded
        uniques = sorted(set(values))
        strings = Strings.from_list(uniques)
    except UnicodeEncodeError as error:
        text = str(error.object)
        row = values.index(text)
        raise DataError(f"{what}: row {row} ({text!r}) is not valid Unicode text") from error
    index = dict(zip(uniques, range(len(uniques)), strict=True))
    return Coded(np.fromiter(map(index.__getitem__, values), np.int32, len(values)), strings)


def is_null(value: object) -> bool:
    """None, NaN, and pandas' and NumPy's markers of a missing value."""
    # NaN and NaT differ from themselves; pandas' NA refuses to say.
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def numpy_nulls(column: NDArray[Any]) -> NDArray[np.bool_]:
    null: NDArray[np.bool_] = np.zeros(len(column), np.bool_)
    if column.dtype.kind in "fmM":
        null = np.isnan(column) if column.dtype.kind == "f" else np.isnat(column)
    return null


# --- Numbers and times -----------------------------------------------------------------------------------


def numbers(column: Any, dtype: type[np.float32] | type[np.float64], what: str) -> NDArray[Any]:
    """A column of numbers as floats, with NaN for null."""
    if not isinstance(column, np.ndarray):
        pyarrow = require("pyarrow", _EXTRA)
        column = _plain(column)
        types, kind = pyarrow.types, column.type
        numeric = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        if not (numeric or types.is_boolean(kind) or types.is_null(kind)):
            raise DataError(f"{what} holds {kind}, and must hold numbers")
        return _to_numpy(column.cast(pyarrow.from_numpy_dtype(dtype), safe=False))
    if column.dtype.kind == "O":
        wrong = [kind.__name__ for kind in set(map(type, column.tolist())) if issubclass(kind, str | bytes)]
        if wrong:
            raise DataError(f"{what} holds {wrong[0]}, and must hold numbers")
        try:
            column = column.astype(np.float64)
        except (TypeError, ValueError) as error:
            null = np.fromiter(map(is_null, column.tolist()), np.bool_, len(column))
            _refuse_nulls(null, what)
            raise DataError(f"{what} must hold numbers: {error}") from error
    if column.dtype.kind not in "biuf":
        raise DataError(f"{what} holds {column.dtype.name}, and must hold numbers")
    with np.errstate(over="ignore"):  # an overflow becomes infinite, and is refused with its row
        numbers: NDArray[Any] = column.astype(dtype, copy=False)
    return numbers


def datetimes(column: Any, what: str) -> NDArray[np.int64] | None:
    """A column of dates or datetimes as unix seconds, rounded down; None if it is anything else."""
    if not isinstance(column, np.ndarray):
        return _arrow_datetimes(_plain(column), what)
    if column.dtype.kind == "O" and (pyarrow := _pyarrow()) is not None:
        try:
            return _arrow_datetimes(pyarrow.chunked_array([pyarrow.array(column, from_pandas=True)]), what)
        except (pyarrow.ArrowException, OverflowError):
            return None
    if column.dtype.kind == "O":
        return _object_datetimes(column, what)
    if column.dtype.kind != "M":
        return None
    _refuse_nulls(np.isnat(column), what)
    return column.astype("datetime64[s]").view(np.int64)


def _arrow_datetimes(column: Arrow, what: str) -> NDArray[np.int64] | None:
    pyarrow = require("pyarrow", _EXTRA)
    types, kind = pyarrow.types, column.type
    if not (types.is_timestamp(kind) or types.is_date(kind)):
        return None
    _refuse_arrow_nulls(column, what)
    if types.is_date32(kind):
        days: NDArray[np.int64] = _to_numpy(column.cast(pyarrow.int32())).astype(np.int64)
        return days * 86_400
    # A timestamp with a zone counts from the same 1970 in UTC; one without is taken to be in UTC.
    ticks = _to_numpy(column.cast(pyarrow.int64()))
    unit = "ms" if types.is_date64(kind) else kind.unit
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    seconds: NDArray[np.int64] = ticks if per_second == 1 else ticks // per_second
    return seconds


def _object_datetimes(column: NDArray[Any], what: str) -> NDArray[np.int64] | None:
    """Python dates and datetimes without pyarrow; as in Arrow, one without a zone is taken to be in UTC."""
    values = column.tolist()
    null = np.fromiter(map(is_null, values), np.bool_, len(values))
    dated = np.fromiter((isinstance(value, date) for value in values), np.bool_, len(values))
    if not dated.any() or not (dated | null).all():
        return None
    _refuse_nulls(null, what)
    if all(issubclass(kind, datetime) for kind in set(map(type, values))):
        return np.fromiter(map(timegm, map(datetime.utctimetuple, values)), np.int64, len(values))
    return np.array(values, "datetime64[s]").view(np.int64)


def _whole_seconds(column: Any, what: str) -> NDArray[np.int64]:
    """A column of numbers as whole seconds, rounded down."""
    if not isinstance(column, np.ndarray):
        types = require("pyarrow", _EXTRA).types
        column = _plain(column)
        if types.is_boolean(column.type):
            raise DataError(f"{what} holds bool, and must hold times")
        _refuse_arrow_nulls(column, what)
        exact = types.is_integer(column.type)
    else:
        kinds = set(map(type, column.tolist())) if column.dtype.kind == "O" else {column.dtype.type}
        if kinds & {bool, np.bool_}:
            raise DataError(f"{what} holds bool, and must hold times")
        if kinds == {int}:
            column = _object_ids(column, what)  # floats would lose the last digits
        exact = column.dtype.kind in "iu"
    if exact:
        whole = column if isinstance(column, np.ndarray) else _to_numpy(column)
        if whole.dtype == np.uint64 and len(whole) and whole.max() > np.uint64(2**63 - 1):
            _refuse_rows(whole > np.uint64(2**63 - 1), what, "outside the 64-bit seconds", "", whole)
        return whole.astype(np.int64, copy=False)
    try:
        seconds = numbers(column, np.float64, what)
    except DataError as error:
        remedy = "times are unix seconds or datetimes: parse text to datetimes first"
        raise DataError(f"{error}; {remedy}") from error
    outside = ~(np.abs(seconds) < 2.0**63)
    if outside.any():
        _refuse_rows(outside, what, "null or not a finite 64-bit time", "", column)
    whole_seconds: NDArray[np.int64] = np.floor(seconds).astype(np.int64)
    return whole_seconds


# --- Refusals --------------------------------------------------------------------------------------------


def _refuse_rows(wrong: NDArray[np.bool_], what: str, problem: str, remedy: str, column: Any) -> NoReturn:
    """Say how many rows are wrong, and show the first."""
    count, row = int(np.count_nonzero(wrong)), int(np.argmax(wrong))
    value = column[row] if isinstance(column, np.ndarray) else column[row].as_py()
    shown = str(value) if isinstance(value, np.datetime64) else repr(getattr(value, "item", lambda: value)())
    verb = "row is" if len(wrong) == 1 else "rows are"
    raise DataError(
        f"{what}: {count:,} of {len(wrong):,} {verb} {problem}; the first is row {row} ({shown}){remedy}"
    )


def _refuse_nulls(null: NDArray[np.bool_], what: str) -> None:
    if null.any():
        nothing: NDArray[Any] = np.full(len(null), None, object)
        _refuse_rows(null, what, "null", ": drop or fill them first", nothing)


def _refuse_arrow_nulls(column: Arrow, what: str) -> None:
    if column.null_count:
        _refuse_nulls(column.is_null().to_numpy(), what)


def _refuse_ids(kind: str, what: str, floats: NDArray[Any] | None) -> NoReturn:
    """Refuse a type of id; floats that are all whole numbers get the remedy spelled out."""
    if floats is None:
        raise DataError(f"{what} holds {kind}, and {_IDS}: cast it to one of them")
    _refuse_nulls(np.isnan(floats), what)
    whole = bool((np.isfinite(floats) & (np.floor(floats) == floats)).all())
    remedy = "all are whole numbers, so cast it to int64" if whole else "cast it to one of them"
    raise DataError(f"{what} holds {kind}, and {_IDS}: {remedy}")
