"""Interactions against a dictionary of lists; hostile tables, columns, files and matrices."""

import json
import pickle
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from ferrec.data.ids import Ids
from ferrec.data.interactions import Events, Interactions
from ferrec.errors import DataError, MissingExtraError
from ferrec.io import columns
from ferrec.io.times import PER_SECOND, in_seconds

POLICIES = ["sum", "last", "max", "count"]
BERLIN = timezone(timedelta(hours=2))


def naive(users, items, weights, times, policy):
    """The pairs as {(user, item): (weight, latest time)}, by the definition of each policy."""
    events = {}
    for row, pair in enumerate(zip(users, items, strict=True)):
        time = 0 if times is None else times[row]
        weight = np.float32(1) if weights is None else np.float32(weights[row])
        events.setdefault(pair, []).append((time, row, weight))
    merge = {
        "sum": lambda found: sum(float(weight) for _, _, weight in found),
        "last": lambda found: max(found)[2],
        "max": lambda found: max(weight for _, _, weight in found),
        "count": len,
    }[policy]
    return {pair: (merge(found), max(found)[0]) for pair, found in events.items()}


def pairs(data):
    """The same from the matrix of some interactions."""
    matrix = data.matrix
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    users, items = data.users.decode(rows).tolist(), data.items.decode(matrix.indices).tolist()
    times = np.zeros(data.nnz, np.int64) if data.times is None else data.times
    return {
        (user, item): (weight, time)
        for user, item, weight, time in zip(
            users, items, matrix.data.tolist(), in_seconds(times).tolist(), strict=True
        )
    }


def check(data, users, items, weights, times, policy):
    expected = naive(users, items, weights, times, policy)
    found = pairs(data)
    assert found.keys() == expected.keys()
    for pair, (weight, time) in expected.items():
        assert found[pair][0] == pytest.approx(weight, rel=1e-6)
        assert found[pair][1] == time
    assert data.users.values.tolist() == sorted(set(users))
    assert data.items.values.tolist() == sorted(set(items))
    assert (len(data), data.nnz) == (len(users), len(expected))
    matrix = data.matrix
    assert matrix.shape == (data.n_users, data.n_items) == (len(set(users)), len(set(items)))
    assert matrix.dtype == np.float32
    assert matrix.has_canonical_format
    inside = np.diff(matrix.indices)[np.setdiff1d(np.arange(1, data.nnz), matrix.indptr) - 1]
    assert (inside > 0).all()


SMALL_IDS = st.integers(-3, 3)


@st.composite
def event_lists(draw, ids=SMALL_IDS):
    n = draw(st.integers(0, 30))
    columns = [draw(st.lists(ids, min_size=n, max_size=n)) for _ in range(2)]
    number = st.floats(-100, 100, width=32)
    weights = draw(st.none() | st.lists(number, min_size=n, max_size=n))
    times = draw(st.none() | st.lists(st.integers(0, 5), min_size=n, max_size=n))
    return (*columns, weights, times)


@pytest.mark.parametrize("policy", POLICIES)
@given(events=event_lists() | event_lists(st.sampled_from(["", "a", "b", "ä", "日本"])))
def test_against_the_definition(policy, events):
    users, items, weights, times = events
    data = Interactions.from_arrays(users, items, weights, times, duplicates=policy)
    check(data, users, items, weights, times, policy)
    assert data.duplicates == policy
    kept = data.events
    assert data.users.decode(kept.users).tolist() == users
    assert data.items.decode(kept.items).tolist() == items
    assert (kept.weights is None) == (weights is None)
    assert (
        kept.times is None if times is None else kept.times.tolist() == [time * PER_SECOND for time in times]
    )


@given(events=event_lists(), seed=st.integers(0, 2**32 - 1))
def test_select_is_the_same_as_fewer_events(events, seed):
    users, items, weights, times = events
    data = Interactions.from_arrays(users, items, weights, times, duplicates="last")
    mask = np.random.default_rng(seed).random(len(users)) < 0.5
    part = data.select(mask)

    def keep(column):
        return None if column is None else [value for value, kept in zip(column, mask, strict=True) if kept]

    expected = naive(keep(users), keep(items), keep(weights), keep(times), "last")
    assert pairs(part) == expected
    assert part.users is data.users
    assert part.items is data.items
    assert part.matrix.shape == data.matrix.shape


@given(events=event_lists(), seed=st.integers(0, 2**32 - 1))
def test_order_of_rows_does_not_matter(events, seed):
    users, items, _, _ = events
    order = np.random.default_rng(seed).permutation(len(users))
    data = Interactions.from_arrays(users, items)
    again = Interactions.from_arrays([users[i] for i in order], [items[i] for i in order])
    assert pairs(data) == pairs(again)


USERS = ["ann", "bob", "ann", "zoë", "ann"]
ITEMS = [5, 5, 7, -1, 5]
RATINGS = [1.0, 2.5, 3.0, 0.0, -4.0]
TIMES = [datetime(2024, 1, day, 12, tzinfo=BERLIN) for day in (5, 4, 3, 2, 1)]
SECONDS = [int(time.timestamp()) for time in TIMES]
COLUMNS = {"user_id": USERS, "item_id": ITEMS, "rating": RATINGS, "ts": TIMES}
NAMED = {"rating": "rating", "time": "ts"}


def every_table(tmp_path):
    """The same events in every container and file."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    import pyarrow.csv
    import pyarrow.parquet

    table = pa.table(COLUMNS)
    parquet, csv, folder = tmp_path / "all.parquet", tmp_path / "all.csv", tmp_path / "folder"
    pyarrow.parquet.write_table(table, parquet, row_group_size=2)
    pyarrow.csv.write_csv(table, csv)
    (folder / "day=2").mkdir(parents=True)
    pyarrow.parquet.write_table(table.slice(0, 2), folder / "day=2" / "0.parquet")
    pyarrow.parquet.write_table(table.slice(2), folder / "day=2" / "1.parquet")
    (folder / "_SUCCESS").write_text("")
    (folder / "_tmp.parquet").write_text("not Parquet")
    (folder / "notes.txt").write_text("not Parquet")
    frame = pandas.DataFrame(COLUMNS)
    yield "dictionary", COLUMNS
    yield "pandas", frame
    yield "pandas, odd index", frame.set_index(pandas.Index([3, 3, 1, 0, 9]))
    yield "pandas, category", frame.astype({"user_id": "category", "item_id": "category"})
    yield "pandas, object", frame.astype(object)
    yield "pandas, nullable", frame.convert_dtypes()
    yield "pandas, arrow", frame.convert_dtypes(dtype_backend="pyarrow")
    yield "polars", polars.DataFrame(COLUMNS)
    yield "polars, lazy", polars.LazyFrame(COLUMNS)
    yield (
        "polars, category",
        polars.DataFrame(COLUMNS).with_columns(polars.col("user_id").cast(polars.Categorical)),
    )
    yield "pyarrow", table
    yield "pyarrow, chunks", pa.concat_tables([table.slice(0, 1), table.slice(1)])
    yield "pyarrow, batch", table.to_batches()[0]
    yield "file", parquet
    yield "folder", folder
    yield "pattern", str(folder / "*" / "?.parquet")
    yield "csv", csv


def read(source, **names):
    if isinstance(source, str) or hasattr(source, "joinpath"):
        return (Interactions.from_csv if str(source).endswith("csv") else Interactions.from_parquet)(
            source, **names
        )
    return Interactions.from_table(source, **names)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_from_every_table(tmp_path, policy):
    expected = Interactions.from_arrays(USERS, ITEMS, RATINGS, SECONDS, duplicates=policy)
    check(expected, USERS, ITEMS, RATINGS, SECONDS, policy)
    for name, source in every_table(tmp_path):
        data = read(source, duplicates=policy, **NAMED)
        assert data.users == expected.users, name
        assert data.items == expected.items, name
        assert (data.matrix != expected.matrix).nnz == 0, name
        for mine, theirs in zip(data.csr.parts(), expected.csr.parts(), strict=True):
            assert np.array_equal(mine, theirs), name
        assert np.array_equal(data.times, expected.times), name
        assert np.array_equal(data.events.weights, expected.events.weights), name


def test_tables_without_pyarrow(monkeypatch):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    monkeypatch.setattr(columns, "pyarrow_if_there", lambda: None)
    expected = Interactions.from_arrays(USERS, ITEMS, RATINGS, SECONDS)
    for table in (COLUMNS, pandas.DataFrame(COLUMNS), polars.DataFrame(COLUMNS)):
        data = Interactions.from_table(table, **NAMED)
        assert pairs(data) == pairs(expected)


def test_structured_array():
    rows = np.array([(1, 5, 2.0), (2, 5, 3.0)], [("user_id", "u2"), ("item_id", ">i4"), ("r", "f8")])
    assert pairs(Interactions.from_table(rows, rating="r")) == {(1, 5): (2.0, 0), (2, 5): (3.0, 0)}


# --- Times -----------------------------------------------------------------------------------------------


def times_of(column):
    times = Interactions.from_arrays(range(len(column)), range(len(column)), times=column).times
    whole, rest = np.divmod(times, PER_SECOND)
    assert not rest.any()
    return whole.tolist()


def nanoseconds_of(column):
    return Interactions.from_arrays(range(len(column)), range(len(column)), times=column).times.tolist()


def test_times_of_any_unit_zone_and_library():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    exact = [
        datetime(2024, 1, 1, 10, 0, 59, 999999, tzinfo=BERLIN),
        datetime(1970, 1, 1, tzinfo=UTC),
    ]
    utc = [moment.astimezone(UTC).replace(tzinfo=None) for moment in exact]
    seconds = [int(moment.timestamp()) for moment in exact]
    columns = [seconds, [float(second) for second in seconds], np.array(seconds, np.uint64)]
    columns += [np.array(utc, "datetime64[s]"), pandas.Series(utc).astype("datetime64[s]")]
    columns += [polars.Series(seconds, dtype=polars.Int64), polars.Series(seconds, dtype=polars.UInt32)]
    columns += [pa.array(utc).cast(pa.timestamp("s"), safe=False), pa.array(seconds).dictionary_encode()]
    for column in columns:
        assert nanoseconds_of(column) == [second * 10**9 for second in seconds], column
    halves = [second + 0.5 for second in seconds]
    assert nanoseconds_of(halves) == [second * 10**9 + 5 * 10**8 for second in seconds]
    columns = [np.array(utc, "datetime64[ms]"), pandas.Series(utc).astype("datetime64[ms]")]
    columns += [polars.Series(utc).cast(polars.Datetime("ms"))]
    columns += [pa.array(utc).cast(pa.timestamp("ms"), safe=False)]
    for column in columns:
        assert nanoseconds_of(column) == [seconds[0] * 10**9 + 999 * 10**6, 0], column
    columns = [exact, utc, np.array(utc, object), pandas.Series(exact)]
    columns += [pandas.to_datetime(pandas.Series(exact), utc=True).dt.tz_convert("Asia/Kolkata")]
    columns += [np.array(utc, f"datetime64[{unit}]") for unit in ("us", "ns")]
    columns += [pandas.Series(utc).astype(f"datetime64[{unit}]") for unit in ("us", "ns")]
    columns += [polars.Series(utc).cast(polars.Datetime(unit)) for unit in ("us", "ns")]
    columns += [pa.array(utc).cast(pa.timestamp(unit)) for unit in ("us", "ns")]
    columns += [pa.array(exact, pa.timestamp("ns", tz="America/New_York"))]
    for column in columns:
        assert nanoseconds_of(column) == [seconds[0] * 10**9 + 999_999_000, 0], column
    last = np.array([1704067200 * 10**9 + 1, 0], "datetime64[ns]")
    for column in (last, pandas.Series(last), polars.Series(last), pa.array(last)):
        assert nanoseconds_of(column) == last.view(np.int64).tolist(), column
    days = [date(2024, 1, 1), date(1970, 1, 1)]
    for column in (
        days,
        pa.array(days),
        pa.array(days, pa.date64()),
        np.array(days, "datetime64[D]"),
        polars.Series(days),
    ):
        assert times_of(column) == [1704067200, 0]


def test_python_times_without_pyarrow(monkeypatch):
    monkeypatch.setattr(columns, "pyarrow_if_there", lambda: None)
    assert times_of(TIMES) == SECONDS
    assert times_of([datetime(1970, 1, 2), datetime(1970, 1, 1)]) == [86400, 0]
    assert times_of([date(1970, 1, 2)]) == [86400]
    assert nanoseconds_of([datetime(1970, 1, 1, 0, 0, 1, 5)]) == [10**9 + 5000]
    assert times_of([2**33 - 1]) == [2**33 - 1]


def test_large_times_keep_every_digit():
    assert nanoseconds_of([2**33 - 1, 2**33 + 1]) == [(2**33 - 1) * 10**9, (2**33 + 1) * 10**9]
    info = Interactions.from_arrays([1, 1], [1, 2], times=[9 * 10**9, 5.5]).summary()
    assert info["time_range"] == ["1970-01-01T00:00:05.5Z", "2255-03-14T16:00:00Z"]


@given(times=st.lists(st.floats(0, 9.2e9), min_size=1, max_size=20))
def test_fractions_of_seconds_are_kept_as_exactly_as_floats_hold_them(times):
    found = nanoseconds_of(times)
    assert all(
        abs(Fraction(time) * 10**9 - moment) <= Fraction(1, 2)
        for time, moment in zip(times, found, strict=True)
    )


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, -5, -6], "times: 2 of 3 rows are negative, got -5 at row 1"),
        ([1.0, -0.5], "1 of 2 rows are negative, got -0.5 at row 1"),
        ([1, None], "1 of 2 rows are null.*, got None at row 1"),
        (
            [1.0, float("nan")],
            "1 of 2 rows are null or not a finite time, got nan at row 1",
        ),
        ([1.0, float("inf")], "got inf at row 1"),
        ([1e300], "1 of 1 row is outside 1677 to 2262"),
        (np.array([2**63], np.uint64), "1 of 1 row is outside 1677 to 2262"),
        (
            [1, 1704067200_000],
            "times: 1 of 2 rows are outside 1677 to 2262, .*got 1704067200000 at row 1; .*divide",
        ),
        ([1.0, 9.3e9], "1 of 2 rows are outside 1677 to 2262.*row 1"),
        (np.array([0, 2**62], "datetime64[s]"), "1 of 2 rows are outside 1677 to 2262.*row 1"),
        (np.array(["2024", "2300"], "datetime64[Y]"), "1 of 2 rows are outside 1677 to 2262.*row 1"),
        ([datetime(2024, 1, 1), datetime(2263, 1, 1)], "1 of 2 rows are outside 1677 to 2262.*row 1"),
        ([date(2024, 1, 1), date(9999, 12, 31)], "1 of 2 rows are outside 1677 to 2262.*row 1"),
        (["2024-01-01"], "must hold numbers, got .*; times are unix seconds or datetimes: parse text"),
        (np.array(["2024-01-01"]), "parse text"),
        ([True], "times: must hold times, got bool"),
        (np.array([True]), "times: must hold times, got bool"),
        (
            [datetime(1969, 12, 31)],
            "times: 1 of 1 row is before 1970, got '1969-12-31T00:00:00' at row 0; times are unix seconds",
        ),
        ([datetime(2000, 1, 1), None], "1 of 2 rows are null"),
        (np.array(["2000-01-01", "NaT"], "datetime64[s]"), "1 of 2 rows are null, got .* at row 1"),
        (np.array([1], "timedelta64[s]"), "must hold numbers, got (timedelta64|duration)"),
        ([1 + 2j], "must hold numbers"),
    ],
)
@pytest.mark.parametrize("library", ["numpy", "pyarrow", "pandas", "polars"])
def test_times_that_are_refused(column, message, library):
    n = len(column)
    if library != "numpy":
        module = pytest.importorskip(library)
        make = {"pyarrow": "array", "pandas": "Series", "polars": "Series"}[library]
        try:
            column = getattr(module, make)(column)
        except (TypeError, ValueError, OverflowError, NotImplementedError):
            pytest.skip(f"{library} cannot hold such a column")
    if library == "pandas" and "nan" in message:
        message = "null"  # pandas takes NaN for null
    with pytest.raises(DataError, match=message):
        Interactions.from_arrays(range(n), range(n), times=column)


# --- Weights ---------------------------------------------------------------------------------------------


def test_numbers_of_any_type():
    pa = pytest.importorskip("pyarrow")
    columns = [[1, 0], [True, False], [1.0, 0], [Decimal(1), Decimal(0)], np.array([1, 0], np.float16)]
    columns += [np.array([1, 0], ">f8"), np.array([1, 0], np.uint64), np.array([1, 0], object)]
    columns += [
        pa.array([Decimal("1.0"), Decimal("0.0")]),
        pa.array([True, False]),
        pa.array([1.0, 0.0]).dictionary_encode(),
    ]
    for column in columns:
        data = Interactions.from_arrays([1, 2], [5, 5], column)
        assert data.events.weights.tolist() == [1.0, 0.0]
        assert data.nnz == 2  # a zero that is given is kept


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 1e300, None])
@pytest.mark.parametrize("library", ["dictionary", "pyarrow", "pandas", "polars"])
def test_ratings_that_are_not_finite(bad, library):
    columns = {"user_id": [1, 2, 3], "item_id": [1, 2, 3], "rating": [1.0, bad, bad]}
    table = columns
    if library != "dictionary":
        module = pytest.importorskip(library)
        table = {"pyarrow": "table", "pandas": "DataFrame", "polars": "DataFrame"}[library]
        table = getattr(module, table)(columns)
    message = "column 'rating': 2 of 3 rows are null or not a finite 32-bit number, got .* at row 1"
    with pytest.raises(DataError, match=message):
        Interactions.from_table(table, rating="rating")


@pytest.mark.parametrize("column", [["a", "b"], np.array(["1", "2"]), [1.0, "2"], [b"1", b"2"], [1j, 2j]])
def test_ratings_that_are_not_numbers(column):
    with pytest.raises(DataError, match=r"ratings.* must hold numbers"):
        Interactions.from_arrays([1, 2], [1, 2], column)


def test_event_types():
    table = {"user_id": [1, 1, 2, 2], "item_id": [5, 5, 5, 6], "type": ["view", "buy", "view", "cart"]}
    weights = {"view": 1, "buy": 5.5, "cart": -2, "never seen": 9}
    data = Interactions.from_table(table, event_type="type", event_weights=weights)
    assert pairs(data) == {(1, 5): (6.5, 0), (2, 5): (1.0, 0), (2, 6): (-2.0, 0)}
    counted = Interactions.from_table(table, event_type="type", event_weights=weights, duplicates="count")
    assert pairs(counted)[1, 5] == (2.0, 0)
    message = r"column 'type': event_weights names 'buy', but not 'cart' \(1 rows\), 'view' \(2 rows\)"
    with pytest.raises(DataError, match=message):
        Interactions.from_table(table, event_type="type", event_weights={"buy": 1})
    numbered = {**table, "type": [0, 1, 0, 1]}
    data = Interactions.from_table(numbered, event_type="type", event_weights={0: 1, 1: 10})
    assert pairs(data)[1, 5] == (11.0, 0)
    with pytest.raises(DataError, match="column 'type': 1 of 4 rows are null"):
        Interactions.from_table(
            {**table, "type": ["view", None, "buy", "buy"]}, event_type="type", event_weights=weights
        )


# --- What is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["dictionary", "pyarrow", "pandas", "polars"])
def test_a_missing_column_lists_those_there_are(library):
    columns = {"user": [1], "item_id": [1]}
    table = columns
    if library != "dictionary":
        module = pytest.importorskip(library)
        table = getattr(module, {"pyarrow": "table"}.get(library, "DataFrame"))(columns)
    with pytest.raises(
        DataError, match="column 'user_id': is not in the table; its columns are 'user', 'item_id'"
    ):
        Interactions.from_table(table)


def test_a_missing_column_in_a_file(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    (tmp_path / "a.csv").write_text("user,item_id\n1,2\n")
    pyarrow.parquet.write_table(pa.table({"user": [1], "item_id": [2]}), tmp_path / "a.parquet")
    for source in (tmp_path / "a.csv", tmp_path / "a.parquet"):
        with pytest.raises(DataError, match="its columns are 'user', 'item_id'"):
            read(source)
        with pytest.raises(DataError, match="column 'when': is not in the table"):
            read(source, user="user", time="when")


def test_repeated_column_names(tmp_path):
    pandas, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    import pyarrow.parquet

    rows = [[1, 2, 3], [4, 5, 6]]
    for names in (["user_id", "user_id", "item_id"], ["item_id", "user_id", "item_id"]):
        arrow = pa.table([list(column) for column in zip(*rows, strict=True)], names=names)
        for table in (pandas.DataFrame(rows, columns=names), arrow):
            with pytest.raises(DataError, match=r"column '.*_id': appears 2 times"):
                Interactions.from_table(table)
        pyarrow.parquet.write_table(arrow, tmp_path / "a.parquet")
        with pytest.raises(DataError, match=r"columns appear more than once: '.*_id'"):
            Interactions.from_parquet(tmp_path / "a.parquet")
        (tmp_path / "a.csv").write_text(",".join(names) + "\n1,2,3\n")
        with pytest.raises(DataError, match=r"column '.*_id': appears 2 times"):
            Interactions.from_csv(tmp_path / "a.csv")
    # A repeated name that nobody asks for does no harm.
    names = ["user_id", "item_id", "x", "x"]
    rows = [[1, 2, 0, 0]]
    for table in (pandas.DataFrame(rows, columns=names), pa.table([[1], [2], [0], [0]], names=names)):
        assert pairs(Interactions.from_table(table)) == {(1, 2): (1.0, 0)}


@pytest.mark.parametrize("library", ["dictionary", "pyarrow", "pandas", "polars"])
def test_null_ids(library):
    for name, ids in (("user_id", [1, None, 3]), ("item_id", ["a", None, None]), ("user_id", [None] * 3)):
        columns = {"user_id": [1, 2, 3], "item_id": [1, 2, 3], name: ids}
        table = columns
        if library != "dictionary":
            module = pytest.importorskip(library)
            table = getattr(module, {"pyarrow": "table"}.get(library, "DataFrame"))(columns)
        first = ids.index(None)
        message = rf"column '{name}': {ids.count(None)} of 3 rows are null, got None at row {first}"
        with pytest.raises(DataError, match=message):
            Interactions.from_table(table)


def test_arguments_that_are_refused():
    table = {"user_id": [1], "item_id": [2], "r": [1.0], "e": ["x"]}
    cases = [
        ({"duplicates": "mean"}, "duplicates: must be one of 'sum', 'last', 'max', 'count', 'error'"),
        ({"user": "item_id"}, r"must be different columns, got \['item_id', 'item_id'\]"),
        ({"event_type": "e"}, "event_type, event_weights: go together"),
        ({"event_weights": {"x": 1}}, "event_type, event_weights: go together"),
        (
            {"rating": "r", "event_type": "e", "event_weights": {"x": 1}},
            "rating, event_type: both give the weight",
        ),
        (
            {"event_type": "e", "event_weights": {"x": float("nan")}},
            r"event_weights\['x'\]: expected a finite number, got nan",
        ),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            Interactions.from_table(table, **arguments)
    with pytest.raises(ValueError, match="duplicates: must be one of"):
        Interactions.from_arrays([1], [2], duplicates="mean")
    with pytest.raises(TypeError, match="use from_parquet or from_csv"):
        Interactions.from_table("events.parquet")
    for nonsense in (5, None, [1, 2], object()):
        with pytest.raises(TypeError, match="expected a pandas, polars or pyarrow table"):
            Interactions.from_table(nonsense)
    with pytest.raises(DataError, match="items: must have 2 rows like users, got 3"):
        Interactions.from_arrays([1, 2], [1, 2, 3])
    with pytest.raises(DataError, match="ratings: must have 2 rows like users, got 1"):
        Interactions.from_arrays([1, 2], [1, 2], [1.0])
    with pytest.raises(DataError, match="column 't': must have 1 rows like column 'user_id', got 2"):
        Interactions.from_table({**table, "t": [1, 2]}, time="t")


def test_repeated_pairs_are_named():
    with pytest.raises(
        DataError,
        match="events: 2 repeat the pair of an earlier one, the first user 'ann' and item 5",
    ):
        Interactions.from_arrays(["bob", "ann", "ann", "ann"], [5, 5, 5, 5], duplicates="error")
    data = Interactions.from_arrays(["bob", "ann"], [5, 5], duplicates="error")
    assert data.nnz == 2
    assert data.select(np.array([True, False])).nnz == 1


def test_select_checks_its_mask():
    data = Interactions.from_arrays([1, 2], [1, 2])
    for mask in ([True], [[True, False]], [0, 1], np.array([1, 0])):
        with pytest.raises(
            ValueError,
            match=r"event_mask: must be bool of shape \(2,\), got ndarray of .*",
        ):
            data.select(mask)
    assert data.select([True, False]).nnz == 1


def test_events_check_their_arrays():
    codes = np.array([0, 1], np.int32)
    with pytest.raises(
        DataError,
        match=r"events\.items: must be int32 of shape \(2,\), got ndarray of int32 and shape \(1,\)",
    ):
        Events(codes, codes[:1])
    with pytest.raises(
        DataError,
        match=r"events\.times: must be int64 of shape \(2,\), got ndarray of int32 and shape \(2,\)",
    ):
        Events(codes, codes, times=codes)
    ids = Ids.from_values([1, 2])
    with pytest.raises(DataError):
        Interactions(ids, ids, Events(codes + 1, codes))
    with pytest.raises(DataError):
        Interactions(ids, ids, Events(codes - 1, codes))


# --- Files -----------------------------------------------------------------------------------------------


def test_paths_that_hold_nothing(tmp_path):
    pytest.importorskip("pyarrow")
    for make in (Interactions.from_parquet, Interactions.from_csv):
        for path in (tmp_path / "absent", str(tmp_path / "*.none")):
            with pytest.raises(FileNotFoundError, match="no such file"):
                make(path)
        with pytest.raises(DataError, match="the folder holds no"):
            make(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"\xff" * 1000])
def test_files_that_are_not_what_they_seem(tmp_path, content):
    pytest.importorskip("pyarrow")
    (tmp_path / "bad.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"bad.parquet: cannot be read as Parquet"):
        Interactions.from_parquet(tmp_path / "bad.parquet")
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(DataError):
        Interactions.from_csv(tmp_path / "bad.csv")


def test_a_truncated_file(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    file = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table({"user_id": range(1000), "item_id": range(1000)}), file)
    whole = file.read_bytes()
    file.write_bytes(whole[:500])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        Interactions.from_parquet(file)
    file.write_bytes(whole[:100] + b"\xff" * 400 + whole[500:])
    with pytest.raises(DataError):
        Interactions.from_parquet(file)


def test_folders_whose_files_differ(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"user_id": [1], "item_id": ["a"]}), tmp_path / "0.parquet")
    other = pa.table({"item_id": pa.array(["b"], pa.large_string()), "user_id": pa.array([2], pa.int32())})
    pyarrow.parquet.write_table(other, tmp_path / "1.parquet")
    assert pairs(Interactions.from_parquet(tmp_path)) == {(1, "a"): (1.0, 0), (2, "b"): (1.0, 0)}
    pyarrow.parquet.write_table(pa.table({"user_id": [3]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match="column 'item_id': 1 of 3 rows are null, got None at row 2"):
        Interactions.from_parquet(tmp_path)
    pyarrow.parquet.write_table(pa.table({"user_id": ["x"], "item_id": ["a"]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        Interactions.from_parquet(tmp_path)


def test_csv_ids_lose_nothing(tmp_path):
    pytest.importorskip("pyarrow")
    file = tmp_path / "a.csv"

    def ids(*values):
        file.write_text("user_id,item_id\n" + "".join(f"{value},1\n" for value in values))
        return Interactions.from_csv(file).users.values.tolist()

    assert ids("7", "-3", "0") == [-3, 0, 7]
    assert ids("007", "7") == ["007", "7"]
    assert ids("1.0", "1") == ["1", "1.0"]
    assert ids("+1", "-0") == ["+1", "-0"]
    assert ids("NA", "null", "NaN", "true") == ["NA", "NaN", "null", "true"]
    assert ids(2**64 - 1, 2**63) == [2**63, 2**64 - 1]
    assert ids(2**64, 1) == ["1", str(2**64)]
    assert ids("Ünï,"[:3], '"a,b"') == ["a,b", "Ünï"]
    with pytest.raises(DataError, match="column 'user_id': 1 of 2 rows are null, got None at row 1"):
        ids("a", "")


def test_csv_columns(tmp_path):
    pytest.importorskip("pyarrow")
    file = tmp_path / "a.tsv"
    file.write_text(
        "who\twhat\tstars\twhen\tdid\n1\tx\t3\t2024-01-01T00:00:00Z\t1\n2\tx\t4.5\t2024-01-02T00:00:00Z\t2\n"
    )
    names = {"user": "who", "item": "what", "time": "when", "delimiter": "\t"}
    data = Interactions.from_csv(file, rating="stars", **names)
    assert pairs(data) == {(1, "x"): (3.0, 1704067200), (2, "x"): (4.5, 1704153600)}
    data = Interactions.from_csv(file, event_type="did", event_weights={1: 2.0, 2: 3.0}, **names)
    assert data.matrix.data.tolist() == [2.0, 3.0]
    (tmp_path / "b.tsv").write_text("who\twhat\tstars\twhen\n3\ty\tgood\t5\n")
    with pytest.raises(DataError):
        Interactions.from_csv(tmp_path, rating="stars", **names)
    with pytest.raises(DataError, match="column 'stars': must hold numbers, got string"):
        Interactions.from_csv(tmp_path / "b.tsv", rating="stars", **names)


# --- Matrices --------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(st.integers(0, 6), st.integers(0, 6)))
def test_from_csr_moves_rows_and_columns_to_their_ids(seed, shape):
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, 3, shape).astype(np.float64)
    users, items = rng.permutation(shape[0]) * 10 - 20, [f"i{i}" for i in rng.permutation(shape[1])]
    data = Interactions.from_csr(sparse.csr_array(dense), user_ids=users, item_ids=items)
    expected = {
        (int(user), item): (dense[row, column], 0)
        for row, user in enumerate(users)
        for column, item in enumerate(items)
        if dense[row, column]
    }
    assert pairs(data) == expected
    plain = Interactions.from_csr(sparse.csr_array(dense))
    assert np.array_equal(plain.matrix.toarray(), dense)
    assert plain.users.values.tolist() == list(range(shape[0]))
    assert len(plain) == plain.nnz == np.count_nonzero(dense)
    again = plain.select(np.ones(len(plain), np.bool_))
    assert np.array_equal(again.matrix.toarray(), dense)


@pytest.mark.parametrize(
    "form", ["csr_matrix", "csr_array", "csc_array", "coo_array", "lil_matrix", "dok_array"]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_from_every_sparse_form(form, dtype):
    dense = np.array([[0, 1, 1], [1, 0, 0]], dtype)
    matrix = getattr(sparse, form)(dense)
    data = Interactions.from_csr(matrix)
    assert np.array_equal(data.matrix.toarray(), dense.astype(np.float32))
    assert np.array_equal(matrix.toarray(), dense)


def test_from_csr_shares_what_it_can_and_mends_the_rest():
    matrix = sparse.csr_array(np.eye(3, dtype=np.float32))
    assert np.shares_memory(Interactions.from_csr(matrix).matrix.data, matrix.data)
    messy = sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2))
    assert Interactions.from_csr(messy).matrix.toarray().tolist() == [[2.0, 5.0]]
    assert messy.indices.tolist() == [1, 0, 1]
    wide = sparse.csr_array((np.ones(1), np.array([1], np.int64), np.array([0, 1], np.int64)), shape=(1, 2))
    assert Interactions.from_csr(wide).nnz == 1


def test_matrices_that_are_refused():
    good = sparse.csr_array(np.eye(2))
    for dense in (np.eye(2), [[1, 0], [0, 1]], None):
        with pytest.raises(TypeError):
            Interactions.from_csr(dense)
    for value in (np.nan, np.inf, 1e300):
        with pytest.raises(DataError, match="matrix"):
            Interactions.from_csr(sparse.csr_array([[value]]))
    for indices in ([0, 5], [0, -1]):
        bad = sparse.csr_array(np.eye(2))
        bad.indices = np.array(indices, bad.indices.dtype)
        with pytest.raises(DataError, match="matrix"):
            Interactions.from_csr(bad)
        with pytest.raises(DataError, match="matrix"):
            Interactions.from_csr(bad, item_ids=["b", "a"])
    with pytest.raises(DataError, match="user_ids: must have 2 ids like the matrix, got 3"):
        Interactions.from_csr(good, user_ids=[1, 2, 3])
    with pytest.raises(DataError, match="item_ids: 1 ids repeat an earlier one, the first 'a'"):
        Interactions.from_csr(good, item_ids=["a", "a"])
    with pytest.raises(DataError, match="user_ids: 1 of 2 rows are null"):
        Interactions.from_csr(good, user_ids=["a", None])


# --- The object ------------------------------------------------------------------------------------------


def test_empty_tables(tmp_path):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    arrow = pa.table({"user_id": pa.array([], pa.int64()), "item_id": pa.array([], pa.string())})
    pyarrow.parquet.write_table(arrow, tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("user_id,item_id\n")
    columns = {"user_id": [], "item_id": []}
    tables = [
        columns,
        pandas.DataFrame(columns),
        polars.DataFrame(columns),
        pa.table(columns),
        arrow,
        arrow.to_pandas(),
    ]
    for source in [*tables, tmp_path / "a.parquet", tmp_path / "a.csv"]:
        data = read(source)
        assert data.matrix.shape == (0, 0)
        assert (len(data), data.nnz) == (0, 0)
        assert repr(data) == "Interactions(0 users × 0 items, 0 events, 0 pairs)"
        info = data.summary()
        assert (info["density"], info["weight_range"], info["events_per_user"]) == (0.0, None, None)
    empty = Interactions.from_arrays([1, 2], [1, 2], [1.0, 2.0], [5, 6]).select(np.zeros(2, np.bool_))
    assert empty.matrix.shape == (2, 2)
    assert empty.times.tolist() == []
    assert empty.summary()["time_range"] is None


def test_summary():
    data = Interactions.from_arrays(
        ["a", "a", "a", "b"], [1, 1, 2, 3], [1.0, 2.0, -1.0, 0.5], [0, 86400, 5, 31536000]
    )
    info = data.summary()
    assert json.loads(json.dumps(info)) == info
    assert info == {
        "users": 2,
        "items": 3,
        "events": 4,
        "pairs": 3,
        "density": 0.5,
        "duplicate_share": 0.25,
        "events_per_user": {"min": 1.0, "25%": 1.5, "median": 2.0, "75%": 2.5, "max": 3.0, "mean": 2.0},
        "events_per_item": {"min": 1.0, "25%": 1.0, "median": 1.0, "75%": 1.5, "max": 2.0, "mean": 4 / 3},
        "weight_range": [-1.0, 3.0],
        "time_range": ["1970-01-01T00:00:00Z", "1971-01-01T00:00:00Z"],
    }
    assert repr(data) == "Interactions(2 users × 3 items, 4 events, 3 pairs, 1970-01-01 to 1971-01-01)"


def test_nothing_can_be_written_to():
    users, weights, times = np.array([1, 2]), np.array([1.0, 2.0], np.float32), np.array([5, 6])
    for given_as in (
        lambda array: array,
        pytest.importorskip("pandas").Series,
        pytest.importorskip("pyarrow").array,
    ):
        data = Interactions.from_arrays(given_as(users), given_as(users), given_as(weights), given_as(times))
        arrays = [data.matrix.data, data.matrix.indices, data.matrix.indptr, data.times, data.users.values]
        arrays += [data.events.users, data.events.items, data.events.weights, data.events.times]
        assert not any(array.flags.writeable for array in arrays)
        # What was given stays the caller's: writable, and not looked at again.
        assert not any(np.shares_memory(array, mine) for array in arrays for mine in (users, weights, times))
    matrix = data.matrix
    matrix.data = matrix.data * 2
    assert data.matrix.data.tolist() == [1.0, 2.0]
    for name in ("users", "matrix", "times", "anything"):
        with pytest.raises(AttributeError):
            setattr(data, name, None)


def test_read_only_input():
    users, ratings, times = np.array([2, 1]), np.array([1.0, 2.0]), np.array([5, 6])
    for array in (users, ratings, times):
        array.flags.writeable = False
    data = Interactions.from_arrays(users, users, ratings, times)
    assert pairs(data) == {(2, 2): (1.0, 5), (1, 1): (2.0, 6)}


def test_pickle():
    data = Interactions.from_arrays(["b", "a", "b"], [1, 2, 1], [1.0, 2.0, 5.0], [3, 2, 1], duplicates="last")
    again = pickle.loads(pickle.dumps(data))
    assert pairs(again) == pairs(data)
    assert again.duplicates == "last"
    matrix = Interactions.from_csr(sparse.csr_array([[0, 2], [1, 0]]), user_ids=["b", "a"])
    assert pairs(pickle.loads(pickle.dumps(matrix))) == pairs(matrix)


def test_a_missing_package_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r'pip install "ferrec\[parquet\]"'):
        Interactions.from_parquet(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with pytest.raises(MissingExtraError, match=r'pip install "ferrec\[parquet\]"'):
        Interactions.from_table(pytest.importorskip("pandas").DataFrame(COLUMNS))
    assert Interactions.from_table(COLUMNS).nnz == 4  # a dictionary needs neither


def test_import_loads_no_table_library():
    code = (
        "import sys, ferrec.data.interactions, ferrec.data.splits\n"
        "print([name for name in ('pandas', 'pyarrow', 'narwhals', 'polars') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
