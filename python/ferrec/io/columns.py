"""A column as ids, weights, times or numbers."""

from calendar import timegm
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from types import ModuleType
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.errors import DataError, MissingExtraError, require
from ferrec.io.arrays import SHORT, Ints
from ferrec.io.strings import Coded, Strings
from ferrec.io.tables import EXTRA, Arrow, pyarrow_if_there
from ferrec.io.times import PER_SECOND

_IDS = "ids must be integers or strings"


def read_ids(values: object, what: str) -> Ints | Coded:
    """A column of ids: integers in the caller's dtype, or strings as codes."""
    if isinstance(values, list) and len(values) <= SHORT and all(type(v) is int for v in values):
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
    """A column of times as nanoseconds since 1970: numbers are unix seconds, dates and datetimes are converted."""
    column = as_column(values, what)
    moments = datetimes(column, what, "ns")
    if moments is None:
        moments = _from_seconds(column, what)
        before = moments < 0
        if before.any():
            _refuse_rows(before, what, "negative", "times are unix seconds", column)
        return _owned(moments, column)
    before = moments < 0
    if before.any():
        _refuse_rows(before, what, "before 1970", "times are unix seconds", moments.view("datetime64[ns]"))
    return _owned(moments, column)


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
        compute = require("pyarrow.compute", EXTRA)
        types = require("pyarrow", EXTRA).types
        if types.is_dictionary(column.type) and any(chunk.dictionary.null_count for chunk in column.chunks):
            column = _plain(column)
        null = compute.is_null(column, nan_is_null=True).to_numpy()
        if is_text(require("pyarrow", EXTRA), column.type) and null.any():
            column = column.dictionary_encode()  # of which rows are cheap to leave out
    elif column.dtype.kind == "O":
        null = np.fromiter(map(is_null, column.tolist()), np.bool_, len(column))
    else:
        null = numpy_nulls(column)
    return column, ~null if null.any() else None


def select_rows(column: Any, mask: NDArray[np.bool_]) -> Any:
    """Some rows of a column that `present` gave."""
    return column[mask] if isinstance(column, np.ndarray) else column.filter(mask)


def is_float(column: Any) -> bool:
    """Whether a column that `present` gave holds floats."""
    if isinstance(column, np.ndarray):
        return bool(column.dtype.kind == "f")
    return bool(require("pyarrow", EXTRA).types.is_floating(column.type))


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
        raise DataError(what, f"event_weights names {known}, but not {', '.join(shown)}{rest}")
    return np.array([weights[kind] for kind in kinds], np.float32)


def factorize_ints(ids: Ints) -> tuple[NDArray[np.int32], Ints]:
    """The code of each row, and the distinct values ascending in the dtype given."""
    # Rust sorts int64. Flipping the top bit maps uint64 onto it and keeps the order; all others fit.
    wide = ids.dtype == np.uint64
    flip = np.uint64(1 << 63)
    keys = (ids ^ flip).view(np.int64) if wide else np.ascontiguousarray(ids, np.int64)
    codes, uniques = _rust.encode_ints(np.ascontiguousarray(keys))
    return codes, (uniques.view(np.uint64) ^ flip) if wide else uniques.astype(ids.dtype, copy=False)


def is_text(pyarrow: ModuleType, kind: Arrow) -> bool:
    """Return whether an Arrow type is a type of text."""
    types = pyarrow.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def as_column(values: object, what: str) -> Any:
    """Any column as an Arrow `ChunkedArray` where it is one or easily becomes one, else as a NumPy array."""
    if isinstance(values, str | bytes) or np.isscalar(values) or values is None:
        raise DataError(what, "must be a column of values", values)
    if isinstance(values, np.ma.MaskedArray):
        _refuse_nulls(np.ma.getmaskarray(values), what)
        values = values.data
    if isinstance(values, np.ndarray | list | tuple | range):
        column = np.asarray(values) if isinstance(values, np.ndarray | range) else _objects(values)
    else:
        column = _library_column(values)
    if column.ndim != 1 if isinstance(column, np.ndarray) else False:
        raise DataError(what, "must be one-dimensional", column)
    return column


def _objects(values: Sequence[object]) -> NDArray[Any]:
    # NumPy must not look at the values: it would turn [1, "a"] into strings and [2**63, -1] into floats.
    return np.fromiter(values, object, len(values))


def _library_column(values: object) -> Any:
    pyarrow = pyarrow_if_there()
    if pyarrow is not None and isinstance(values, pyarrow.ChunkedArray):
        return values
    if pyarrow is not None and isinstance(values, pyarrow.Array):
        return pyarrow.chunked_array([values])
    try:
        narwhals = require("narwhals", EXTRA)
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


def _arrow_ids(column: Arrow, what: str) -> Ints | Coded:
    pyarrow = require("pyarrow", EXTRA)
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
    pyarrow = require("pyarrow", EXTRA)
    compute = require("pyarrow.compute", EXTRA)
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
    types = require("pyarrow", EXTRA).types
    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column


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
        _refuse_rows(outside, what, "outside the 64-bit integers, or mix with negatives", "", column)
    null = np.fromiter(map(is_null, values), np.bool_, len(values))
    _refuse_nulls(null, what)
    names = Counter(map(type, values))
    if len(names) == 1:
        kind = next(iter(names))
        _refuse_ids(kind.__name__, what, column.astype(np.float64) if issubclass(kind, float) else None)
    usual = names.most_common(1)[0][0]
    other = np.fromiter((type(v) is not usual for v in values), np.bool_, len(values))
    listed = ", ".join(sorted(kind.__name__ for kind in names))
    _refuse_rows(other, what, f"not {usual.__name__}", f"it mixes {listed}: cast it to one type", column)


def _string_ids(values: list[str], what: str) -> Coded:
    pyarrow = pyarrow_if_there()
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
        raise DataError(what, f"row {row} ({text!r}) is not valid Unicode text") from error
    index = dict(zip(uniques, range(len(uniques)), strict=True))
    return Coded(np.fromiter(map(index.__getitem__, values), np.int32, len(values)), strings)


def is_null(value: object) -> bool:
    """None, NaN, and pandas' and NumPy's markers of a missing value."""
    # NaN and NaT differ from themselves; pandas' NA refuses to say.
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def numpy_nulls(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark the rows that NumPy itself knows to be missing: NaN and NaT."""
    null: NDArray[np.bool_] = np.zeros(len(column), np.bool_)
    if column.dtype.kind in "fmM":
        null = np.isnan(column) if column.dtype.kind == "f" else np.isnat(column)
    return null


def numbers(column: Any, dtype: type[np.float32] | type[np.float64], what: str) -> NDArray[Any]:
    """A column of numbers as floats, with NaN for null."""
    if not isinstance(column, np.ndarray):
        pyarrow = require("pyarrow", EXTRA)
        column = _plain(column)
        types, kind = pyarrow.types, column.type
        numeric = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        if not (numeric or types.is_boolean(kind) or types.is_null(kind)):
            raise DataError(what, "must hold numbers", kind)
        return _to_numpy(column.cast(pyarrow.from_numpy_dtype(dtype), safe=False))
    if column.dtype.kind == "O":
        wrong = [kind for kind in set(map(type, column.tolist())) if issubclass(kind, str | bytes)]
        if wrong:
            raise DataError(what, "must hold numbers", wrong[0])
        try:
            column = column.astype(np.float64)
        except (TypeError, ValueError) as error:
            null = np.fromiter(map(is_null, column.tolist()), np.bool_, len(column))
            _refuse_nulls(null, what)
            kinds = ", ".join(sorted({type(value).__name__ for value in column.tolist()}))
            raise DataError(what, f"must hold numbers, it holds {kinds}") from error
    if column.dtype.kind not in "biuf":
        raise DataError(what, "must hold numbers", column.dtype)
    with np.errstate(over="ignore"):  # an overflow becomes infinite, and is refused with its row
        numbers: NDArray[Any] = column.astype(dtype, copy=False)
    return numbers


def datetimes(column: Any, what: str, unit: Literal["s", "ns"]) -> NDArray[np.int64] | None:
    """A column of dates or datetimes in some unit since 1970, rounded down; None if it is anything else.

    What 64 bits do not hold in that unit is refused with its row.
    """
    if not isinstance(column, np.ndarray):
        found = _arrow_datetimes(_plain(column), what)
    elif column.dtype.kind == "O" and (pyarrow := pyarrow_if_there()) is not None:
        try:
            chunked = pyarrow.chunked_array([pyarrow.array(column, from_pandas=True)])
        except (pyarrow.ArrowException, OverflowError):
            return None
        found = _arrow_datetimes(chunked, what)
    elif column.dtype.kind == "O":
        found = _object_datetimes(column, what)
    else:
        found = column if column.dtype.kind == "M" else None
    if found is None:
        return None
    _refuse_nulls(np.isnat(found), what)
    moments: NDArray[Any] = found.astype(f"datetime64[{unit}]")
    coarser = np.promote_types(found.dtype, moments.dtype) == moments.dtype
    if len(found) and coarser and _wraps(np.array([found.min(), found.max()]), moments.dtype).any():
        _refuse_rows(_wraps(found, moments.dtype), what, _OUTSIDE, "", found)
    return moments.view(np.int64)


_OUTSIDE = "outside 1677 to 2262, the years whose nanoseconds 64 bits hold"


def _wraps(moments: NDArray[Any], to: "np.dtype[Any]") -> NDArray[np.bool_]:
    """Which moments do not fit into a finer unit: NumPy wraps them, which shows on the way back."""
    wrapped: NDArray[np.bool_] = moments.astype(to).astype(moments.dtype) != moments
    return wrapped


def _arrow_datetimes(column: Arrow, what: str) -> NDArray[Any] | None:
    """Dates or timestamps as NumPy's, in their own unit; None if the column is anything else."""
    pyarrow = require("pyarrow", EXTRA)
    types, kind = pyarrow.types, column.type
    if not (types.is_timestamp(kind) or types.is_date(kind)):
        return None
    _refuse_arrow_nulls(column, what)
    if types.is_date32(kind):
        days: NDArray[np.int64] = _to_numpy(column.cast(pyarrow.int32())).astype(np.int64)
        return days.view("datetime64[D]")
    # A timestamp with a zone counts from the same 1970 in UTC; one without is taken to be in UTC.
    unit = "ms" if types.is_date64(kind) else kind.unit
    return _to_numpy(column.cast(pyarrow.int64())).view(f"datetime64[{unit}]")


def _object_datetimes(column: NDArray[Any], what: str) -> NDArray[Any] | None:
    """Python dates and datetimes without pyarrow; as in Arrow, one without a zone is taken to be in UTC."""
    values = column.tolist()
    null = np.fromiter(map(is_null, values), np.bool_, len(values))
    dated = np.fromiter((isinstance(value, date) for value in values), np.bool_, len(values))
    if not dated.any() or not (dated | null).all():
        return None
    _refuse_nulls(null, what)
    if not all(issubclass(kind, datetime) for kind in set(map(type, values))):
        return np.array(values, "datetime64[s]")
    moments = (timegm(value.utctimetuple()) * 10**6 + value.microsecond for value in values)
    return np.fromiter(moments, np.int64, len(values)).view("datetime64[us]")


def _from_seconds(column: Any, what: str) -> NDArray[np.int64]:
    """A column of unix seconds as nanoseconds, floats as exactly as they are."""
    if not isinstance(column, np.ndarray):
        types = require("pyarrow", EXTRA).types
        column = _plain(column)
        if types.is_boolean(column.type):
            raise DataError(what, "must hold times", bool)
        _refuse_arrow_nulls(column, what)
        exact = types.is_integer(column.type)
    else:
        kinds = set(map(type, column.tolist())) if column.dtype.kind == "O" else {column.dtype.type}
        if kinds & {bool, np.bool_}:
            raise DataError(what, "must hold times", bool)
        if kinds == {int}:
            column = _object_ids(column, what)  # floats would lose the last digits
        exact = column.dtype.kind in "iu"
    if exact:
        whole = column if isinstance(column, np.ndarray) else _to_numpy(column)
        if len(whole) and (whole.max() > _MOST_SECONDS or whole.min() < -_MOST_SECONDS):
            outside = (whole > _MOST_SECONDS) | (whole < -_MOST_SECONDS)
            _refuse_rows(outside, what, _OUTSIDE, _MILLISECONDS, whole)
        moments: NDArray[np.int64] = whole.astype(np.int64) * PER_SECOND
        return moments
    try:
        seconds = numbers(column, np.float64, what)
    except DataError as error:
        raise error.advised("times are unix seconds or datetimes: parse text to datetimes first") from error
    unknown = ~np.isfinite(seconds)
    if unknown.any():
        _refuse_rows(unknown, what, "null or not a finite time", "", column)
    outside = np.abs(seconds) >= _MOST_SECONDS
    if outside.any():
        _refuse_rows(outside, what, _OUTSIDE, _MILLISECONDS, column)
    floor = np.floor(seconds)
    nearest: NDArray[np.int64] = np.rint((seconds - floor) * PER_SECOND).astype(np.int64)
    nearest += floor.astype(np.int64) * PER_SECOND
    return nearest


_MOST_SECONDS = (2**63 - 1) // PER_SECOND
_MILLISECONDS = "numbers are unix seconds: divide milliseconds by 1,000, or give datetimes"


def _refuse_rows(wrong: NDArray[np.bool_], what: str, problem: str, remedy: str, column: Any) -> NoReturn:
    """Say how many rows are wrong, and show the first."""
    count, row = int(np.count_nonzero(wrong)), int(np.argmax(wrong))
    value = column[row] if isinstance(column, np.ndarray) else column[row].as_py()
    verb = "row is" if len(wrong) == 1 else "rows are"
    raise DataError(
        what,
        f"{count:,} of {len(wrong):,} {verb} {problem}",
        value,
        place={"row": row},
        advice=remedy,
    )


def _refuse_nulls(null: NDArray[np.bool_], what: str) -> None:
    if null.any():
        nothing: NDArray[Any] = np.full(len(null), None, object)
        _refuse_rows(null, what, "null", "drop or fill them first", nothing)


def _refuse_arrow_nulls(column: Arrow, what: str) -> None:
    if column.null_count:
        _refuse_nulls(column.is_null().to_numpy(), what)


def _refuse_ids(kind: str, what: str, floats: NDArray[Any] | None) -> NoReturn:
    """Refuse a type of id; floats that are all whole numbers get the remedy spelled out."""
    if floats is None:
        raise DataError(what, f"holds {kind}, and {_IDS}", advice="cast it to one of them")
    _refuse_nulls(np.isnan(floats), what)
    whole = bool((np.isfinite(floats) & (np.floor(floats) == floats)).all())
    remedy = "all are whole numbers, so cast it to int64" if whole else "cast it to one of them"
    raise DataError(what, f"holds {kind}, and {_IDS}", advice=remedy)
