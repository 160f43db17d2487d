"""Reader of attribute tables: the rows of any table as ids, and its columns as `Numbers`, `Categories`, `Lists`.

Unlike ids and weights, attributes may be missing: a reader looks at the values that are there.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec.data.attributes import Categories, Column, Columns, Lists, Numbers
from ferrec.data.ids import Ids, factorize
from ferrec.errors import DataError, ParameterError, ParameterTypeError, ShapeError, require
from ferrec.io.arrays import offsets_of
from ferrec.io.columns import as_column, datetimes, is_null, is_text, numbers, numpy_nulls, read_ids
from ferrec.io.files import csv_delimiter, open_csv, open_parquet
from ferrec.io.strings import Coded, Strings
from ferrec.io.tables import Table, open_table


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """A table of attributes, and how to read it; see `Interactions.with_items`."""

    source: object
    id: str
    columns: Sequence[str] | None
    categories: Sequence[str]
    separators: Mapping[str, str]
    delimiter: str

    def __post_init__(self) -> None:
        for name in ("columns", "categories"):
            given = getattr(self, name)
            may_be_none = name == "columns" and given is None
            if isinstance(given, str) or not (may_be_none or isinstance(given, Iterable)):
                raise ParameterTypeError(name, "expected a list of column names", given)
        if not isinstance(self.separators, Mapping):
            raise ParameterTypeError("separators", "expected separators by column", self.separators)
        for name, separator in self.separators.items():
            if not (isinstance(separator, str) and separator):
                raise ParameterError("separators", f"column {name!r} needs a separator", separator)

    def read(self) -> tuple[NDArray[np.int32], Ids, Columns]:
        """The code of each row, the ids of the codes, and the columns by row."""
        table = self._open()
        names = table.names if self.columns is None else self.columns
        wanted = [name for name in names if name != self.id]
        for name in (self.id, *wanted, *self.categories, *self.separators):
            table.check(name)
            if name not in (self.id, *wanted):
                raise ParameterError(
                    "columns", f"must not leave out {name!r}, which is named beside it", list(wanted)
                )
        codes, ids = factorize(table.read(self.id), f"column {self.id!r}")
        if len(ids) < len(codes):
            again = np.flatnonzero(np.bincount(codes) > 1)
            first = ids.decode(again[:1]).tolist()[0]
            raise DataError(
                f"column {self.id!r}",
                f"{len(again):,} of {len(ids):,} ids have more than one row, the first {first!r}",
                advice="keep one row for each",
            )
        read = {}
        for name in wanted:
            what, category = f"column {name!r}", name in self.categories
            read[name] = read_column(table.read(name), what, category, self.separators.get(name))
            if len(read[name]) != len(codes):
                rows = f"{len(codes):,} rows and {what} has {len(read[name]):,}"
                raise ShapeError(f"column {self.id!r}", f"has {rows}")
        return codes, ids, Columns(len(codes), read)

    def _open(self) -> Table:
        source = self.source
        if not isinstance(source, str | os.PathLike):
            return open_table(source, None if self.columns is None else [self.id, *self.columns])
        if csv_delimiter(source) is not None:
            return open_csv(source, ids=[self.id], others=self.columns, delimiter=self.delimiter)
        return open_parquet(source)


def attach(
    ids: Ids, known: Columns, table: AttributeTable, extend: bool
) -> tuple[Ids, NDArray[np.int32] | None, Columns]:
    """The ids, with those of the table where `extend`; the new codes of the old, None where they stay; the
    columns, those known and those read.
    """
    row_codes, row_ids, columns = table.read()
    mine, theirs = ids.kind, row_ids.kind
    if len(ids) and len(row_ids) and mine != theirs:
        raise DataError(
            f"column {table.id!r}",
            f"ids are {theirs} here and {mine} in the events",
            advice="cast one of them",
        )
    moved = None
    if extend:
        every = ids.union(row_ids)
        if len(every) > len(ids):
            moved = every.encode(ids.values)
            known = known.take(_inverse(moved, len(every)))
            ids = every
    rows = _inverse(row_codes, len(row_ids))
    found = row_ids.encode(ids.values, unknown="ignore")
    return ids, moved, known.joined(columns.take(np.append(rows, np.int32(-1))[found]))


def _inverse(codes: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    """Where each of n codes stands, -1 where nowhere."""
    at = np.full(n, -1, np.int32)
    at[codes] = np.arange(len(codes), dtype=np.int32)
    return at


def read_column(values: object, what: str, category: bool, separator: str | None) -> Column:
    """A column of any type that an attribute may have; `category` reads integers as names."""
    column = as_column(values, what)
    missing = _missing(column)
    present = _present(column, missing)
    if missing.any():
        what = f"{what}, nulls left out"  # messages count the rows that are looked at
    if separator is not None:
        return _split(present, missing, separator, what)
    if _holds_lists(present):
        return _lists(present, missing, what)
    if category or _holds_text(present):
        codes, ids = factorize(present, what)
        spread = np.full(len(missing), -1, np.int32)
        spread[~missing] = codes
        return Categories(spread, ids)
    return _numbers(present, missing, what)


# --- What is there ---------------------------------------------------------------------------------------


def _missing(column: Any) -> NDArray[np.bool_]:
    if not isinstance(column, np.ndarray):
        missing: NDArray[np.bool_] = column.is_null(nan_is_null=True).to_numpy()
        return missing
    if column.dtype.kind == "O":
        # An array among the values is a list; it would compare value by value.
        null = (not isinstance(value, np.ndarray) and is_null(value) for value in column.tolist())
        return np.fromiter(null, np.bool_, len(column))
    return numpy_nulls(column)


def _present(column: Any, missing: NDArray[np.bool_]) -> Any:
    """The rows that have a value."""
    if not missing.any():
        return column
    if isinstance(column, np.ndarray):
        return column[~missing]
    return column.filter(require("pyarrow", "parquet").array(~missing))


def _holds_lists(column: Any) -> bool:
    if not isinstance(column, np.ndarray):
        types, kind = require("pyarrow", "parquet").types, column.type
        return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
    kinds = set(map(type, column.tolist())) if column.dtype.kind == "O" else set()
    return bool(kinds) and all(issubclass(kind, list | tuple | np.ndarray) for kind in kinds)


def _holds_text(column: Any) -> bool:
    if not isinstance(column, np.ndarray):
        pyarrow = require("pyarrow", "parquet")
        kind = column.type
        kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
        return is_text(pyarrow, kind)
    if column.dtype.kind == "O":
        return any(issubclass(kind, str) for kind in set(map(type, column.tolist())))
    return column.dtype.kind in "UT"


# --- Kinds -----------------------------------------------------------------------------------------------


def _numbers(present: Any, missing: NDArray[np.bool_], what: str) -> Numbers:
    found: NDArray[Any] | None = datetimes(present, what, "s")
    if found is None:
        short = str(present.dtype if isinstance(present, np.ndarray) else present.type)
        single = short in ("float32", "float16", "float", "halffloat")
        found = numbers(present, np.float32 if single else np.float64, what)
    dtype = np.float32 if found.dtype == np.float32 else np.float64
    values: NDArray[Any] = np.full(len(missing), np.nan, dtype)
    values[~missing] = found
    if np.isinf(values).any():
        raise DataError(
            what,
            "must be finite or null",
            values[np.isinf(values)][0],
            place={"row": int(np.isinf(values).argmax())},
        )
    return Numbers(values)


def _lists(present: Any, missing: NDArray[np.bool_], what: str) -> Lists:
    flat: Any
    if isinstance(present, np.ndarray):
        rows = present.tolist()
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        flat = list(chain.from_iterable(rows))
    else:
        compute = require("pyarrow.compute", "parquet")
        lengths = compute.list_value_length(present).to_numpy().astype(np.int64)
        flat = compute.list_flatten(present)
    codes, ids = factorize(flat if lengths.any() else [], f"the values in the lists of {what}")
    return _spread(lengths, codes, ids, missing)


def _split(present: Any, missing: NDArray[np.bool_], separator: str, what: str) -> Lists:
    """Every distinct text is cut once; what is between separators is stripped, and left out where empty."""
    nothing = Coded(np.empty(0, np.int32), Strings.from_list([]))
    texts = nothing if missing.all() else read_ids(present, what)
    if not isinstance(texts, Coded):
        raise DataError(what, "only text can be split", texts.dtype)
    pieces = list(map(str.split, texts.uniques, repeat(separator)))
    flat = list(map(str.strip, chain.from_iterable(pieces)))
    full = np.fromiter(map(bool, flat), np.bool_, len(flat))
    owners = np.repeat(np.arange(len(pieces)), np.fromiter(map(len, pieces), np.int64, len(pieces)))[full]
    lengths = np.bincount(owners, minlength=len(pieces))
    codes, ids = factorize(list(filter(None, flat)), what)
    distinct = _spread(lengths, codes, ids, np.zeros(len(pieces), np.bool_))
    at = np.full(len(missing), -1)
    at[~missing] = texts.codes
    return distinct.take(at)


def _spread(
    lengths: NDArray[np.int64], codes: NDArray[np.int32], ids: Ids, missing: NDArray[np.bool_]
) -> Lists:
    """Lists of the rows that have one, among those that have none."""
    every = np.zeros(len(missing), np.int64)
    every[~missing] = lengths
    return Lists(offsets_of(every), codes, ids, missing)
