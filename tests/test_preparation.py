"""Every step of a preparation against loops over rows, on tables of every kind."""

import math
import random
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import HANGS

import ferrec
from ferrec import DataError, ModelFileError, NotFittedError, Prepare

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

Row = dict[str, Any]
Table = dict[str, list[Any]]
COLUMNS = {"time": "time", "event_type": "kind"}


# --- The oracle: one row after another --------------------------------------------------------------------


def naive(rows: list[Row], fitted: list[Row] | None = None, **params: Any) -> list[Row]:
    """The rows that `Prepare(**params)` leaves of `rows`, fitted on them or on others."""
    fit_rows = rows if fitted is None else fitted
    missing = {
        "user_id": "drop",
        "item_id": "drop",
        "time": "drop",
        "kind": "drop",
        **params.get("missing", {}),
    }
    fills = {column: naive_fill(fit_rows, column, policy) for column, policy in missing.items()}
    learned = core_of(row_steps(fit_rows, fills, missing, params), params)
    kept = row_steps(rows, fills, missing, params)
    if params.get("activity") or params.get("k_core"):
        users = {row["user_id"] for row in learned}
        kept = [row for row in kept if row["user_id"] in users]
    if params.get("k_core"):
        items = {row["item_id"] for row in learned}
        kept = [row for row in kept if row["item_id"] in items]
    return values_of(kept, learned, params)


def gone(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def naive_fill(rows: list[Row], column: str, policy: Any) -> Any:
    there = [row[column] for row in rows if not gone(row[column])]
    if policy == "mean":
        return sum(there) / len(there)
    if policy == "median":
        return float(np.median(there))
    if policy == "mode":
        return min(there, key=lambda value: (-there.count(value), value))
    return None if policy in ("drop", "error") else policy


def row_steps(rows: list[Row], fills: dict[str, Any], missing: dict[str, Any], params: Any) -> list[Row]:
    out = []
    for row in rows:
        row = {c: fills.get(c) if gone(v) and fills.get(c) is not None else v for c, v in row.items()}
        if any(gone(row[column]) for column, policy in missing.items() if policy == "drop"):
            continue
        if params.get("event_weights") and params["event_weights"][row["kind"]] is None:
            continue
        out.append(row)
    dedup = params.get("dedup")
    if dedup == "exact":
        first: dict[Any, Row] = {}
        for row in out:
            first.setdefault((row["user_id"], row["item_id"], row["time"], row["kind"]), row)
        return list(first.values())
    if dedup in ("first", "last"):
        pairs = defaultdict(list)
        for row in out:
            pairs[row["user_id"], row["item_id"]].append(row)
        pick = (lambda g: min(g, key=lambda r: r["time"])) if dedup == "first" else latest
        chosen = {id(pick(group)) for group in pairs.values()}
        return [row for row in out if id(row) in chosen]
    return out


def latest(group: list[Row]) -> Row:
    best = group[0]
    for row in group[1:]:
        best = row if row["time"] >= best["time"] else best
    return best


def core_of(rows: list[Row], params: Any) -> list[Row]:
    if params.get("activity") and rows:
        counts = Counter(row["user_id"] for row in rows)
        low, high = np.quantile(list(counts.values()), params["activity"])
        rows = [row for row in rows if low <= counts[row["user_id"]] <= high]
    if params.get("k_core"):
        k = params["k_core"]
        k_users, k_items = k if isinstance(k, tuple) else (k, k)
        while True:
            items, users = defaultdict(set), defaultdict(set)
            for row in rows:
                items[row["user_id"]].add(row["item_id"])
                users[row["item_id"]].add(row["user_id"])
            left = [
                r for r in rows if len(items[r["user_id"]]) >= k_users and len(users[r["item_id"]]) >= k_items
            ]
            if len(left) == len(rows):
                break
            rows = left
    return rows


def values_of(rows: list[Row], learned: list[Row], params: Any) -> list[Row]:
    def scaled(row: Row, column: str, method: str) -> float:
        if method == "log1p":
            return math.log1p(row[column])
        group = learned
        if method.endswith("_by_user"):
            group = [other for other in learned if other["user_id"] == row["user_id"]] or learned
        values = np.array([other[column] for other in group], float)
        if not len(values) or values.min() == values.max():
            return 0.0
        if method.startswith("minmax"):
            return (row[column] - values.min()) / (values.max() - values.min())
        return (row[column] - values.mean()) / values.std()

    last = max((row["time"] for row in learned), default=0)
    out = []
    for row in rows:
        made = {c: scaled(row, c, method) for c, method in params.get("normalize", {}).items()}
        new = row | made
        weight = 1.0
        if params.get("event_weights"):
            weight *= params["event_weights"][row["kind"]]
        if params.get("weight_by"):
            weight *= new[params["weight_by"]]
        if params.get("half_life"):
            weight *= 0.5 ** ((last - row["time"]) / params["half_life"])
        if params.get("event_weights") or params.get("weight_by") or params.get("half_life"):
            new["weight"] = weight
        out.append(new)
    if params.get("session_gap"):
        session, before = -1, (None, 0)
        for row in sorted(out, key=lambda r: (r["user_id"], r["time"], r["row"])):
            same = before[0] == row["user_id"] and row["time"] - before[1] <= params["session_gap"]
            session += not same
            row["session_id"] = session
            before = (row["user_id"], row["time"])
    return out


# --- Tables ------------------------------------------------------------------------------------------------


def columns_of(rows: list[Row]) -> Table:
    names = ["user_id", "item_id", "time", "kind", "value", "row"]
    return {name: [row[name] for row in rows] for name in names}


SCHEMA = {
    "user_id": "string",
    "item_id": "int64",
    "time": "int64",
    "kind": "string",
    "value": "float64",
    "row": "int64",
}


def as_arrow(table: Table) -> Any:
    return pyarrow.table({n: pyarrow.array(c, getattr(pyarrow, SCHEMA[n])()) for n, c in table.items()})


def as_kind(kind: str, table: Table, folder: Path | None = None) -> Any:
    arrow = as_arrow(table)
    if kind == "parquet":
        assert folder is not None
        path = folder / f"{random.getrandbits(64):x}.parquet"
        parquet.write_table(arrow, path, row_group_size=3)
        return path
    make = {"dict": lambda t: dict(table), "arrow": lambda t: t, "pandas": lambda t: t.to_pandas()}
    make["polars"] = polars.from_arrow
    make["lazy"] = lambda t: polars.from_arrow(t).lazy()
    return make[kind](arrow)


def rows_of(table: Any) -> list[Row]:
    """The rows of any table, null as None."""
    if isinstance(table, dict):
        columns = {name: list(values) for name, values in table.items()}
    elif isinstance(table, pandas.DataFrame):
        columns = {name: table[name].tolist() for name in table.columns}
    else:
        arrow = table if isinstance(table, pyarrow.Table) else table.to_arrow()
        columns = arrow.to_pydict()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def agree(got: list[Row], wanted: list[Row]) -> None:
    assert [row["row"] for row in got] == [row["row"] for row in wanted]
    for mine, theirs in zip(got, wanted, strict=True):
        assert set(mine) == set(theirs)
        for name, value in theirs.items():
            if gone(value):
                assert gone(mine[name])
            elif isinstance(value, float):
                assert mine[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name
            else:
                assert mine[name] == value, name


maybe = st.one_of(st.none(), st.just(0.0))
events = st.lists(
    st.tuples(
        st.sampled_from([None, "ann", "bob", "zoë", "дима", ""]),
        st.sampled_from([None, 7, -3, 2**52, 10, 11]),
        st.sampled_from([None, 0, 10, 11, 100, 5000]),
        st.sampled_from([None, "view", "buy", "skip"]),
        st.sampled_from([None, 0.0, 1.0, 2.5, 100.0]),
    ),
    max_size=40,
)
steps = st.fixed_dictionaries(
    {"missing": st.fixed_dictionaries({"value": st.sampled_from(["drop", "mean", "median", "mode", 3.5])})},
    optional={
        "dedup": st.sampled_from(["exact", "first", "last"]),
        "activity": st.sampled_from([(0.0, 0.9), (0.2, 1.0), (0.0, 1.0)]),
        "k_core": st.sampled_from([1, 2, (1, 3), (3, 1)]),
        "event_weights": st.just({"view": 1, "buy": 5.5, "skip": None}),
        "weight_by": st.just("value"),
        "half_life": st.just(100.0),
        "normalize": st.fixed_dictionaries(
            {"value": st.sampled_from(["zscore", "minmax", "log1p", "zscore_by_user", "minmax_by_user"])}
        ),
        "session_gap": st.sampled_from([10, 1000.0]),
    },
)
KINDS = ["dict", "pandas", "polars", "lazy", "arrow", "parquet"]


def rows_from(drawn: list[tuple[Any, ...]]) -> list[Row]:
    names = ("user_id", "item_id", "time", "kind", "value")
    return [{**dict(zip(names, row, strict=True)), "row": at} for at, row in enumerate(drawn)]


def unfillable(rows: list[Row], params: Any) -> bool:
    policy = params["missing"]["value"]
    return policy in ("mean", "median", "mode") and all(gone(row["value"]) for row in rows)


@settings(max_examples=80)
@given(drawn=events, params=steps, kind=st.sampled_from(KINDS))
def test_every_step_equals_loops(
    drawn: list[tuple[Any, ...]], params: Any, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = rows_from(drawn)
    prepare = Prepare(**COLUMNS, **params)
    table = as_kind(kind, columns_of(rows), tmp_path_factory.getbasetemp())
    if unfillable(rows, params):
        with pytest.raises(DataError, match="no value to take it from"):
            prepare.fit(table)
        return
    wanted = naive(rows, **params)
    got = prepare.fit_transform(table)
    agree(rows_of(got), wanted)
    agree(rows_of(prepare.transform(table)), wanted)
    report = prepare.report.to_dict()
    assert report["before"]["rows"] == len(rows) and report["after"]["rows"] == len(wanted)
    assert report["after"]["users"] == len({row["user_id"] for row in wanted})
    assert report["after"]["items"] == len({row["item_id"] for row in wanted})
    assert sum(step["removed"]["rows"] for step in report["steps"]) == report["removed"]["rows"]
    assert type(got) is {"dict": dict, "pandas": pandas.DataFrame, "polars": polars.DataFrame}.get(
        kind, polars.DataFrame if kind == "lazy" else pyarrow.Table
    )


@settings(max_examples=50)
@given(first=events, second=events, params=steps, kind=st.sampled_from(["dict", "arrow"]))
def test_new_data_goes_by_what_was_learned(
    first: list[tuple[Any, ...]], second: list[tuple[Any, ...]], params: Any, kind: str
) -> None:
    old, new = rows_from(first), rows_from(second)
    if unfillable(old, params):
        return
    prepare = Prepare(**COLUMNS, **params).fit(as_kind(kind, columns_of(old)))
    wanted = naive(new, old, **params)
    agree(rows_of(prepare.transform(as_kind(kind, columns_of(new)))), wanted)


@settings(max_examples=20)
@given(drawn=events, params=steps)
def test_saved_and_streamed_it_does_the_same(
    drawn: list[tuple[Any, ...]], params: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows, folder = rows_from(drawn), tmp_path_factory.mktemp("stream")
    if unfillable(rows, params):
        return
    path = as_kind("parquet", columns_of(rows), folder)
    prepare = Prepare(**COLUMNS, **params).fit(path)
    prepare.save(folder / "prepare")
    loaded = Prepare.load(folder / "prepare")
    assert loaded.get_params() == prepare.get_params() and loaded.report == prepare.report
    report = loaded.transform_parquet(path, folder / "clean.parquet")
    wanted = prepare.transform(path)
    assert parquet.read_table(folder / "clean.parquet").equals(wanted)
    assert report.to_dict()["after"] == prepare.report.to_dict()["after"]
    assert Prepare(**COLUMNS, **params).fit_transform_parquet(path, path) == prepare.report
    assert parquet.read_table(path).equals(wanted)


# --- Hostile tables ----------------------------------------------------------------------------------------

PLAIN = {"user_id": ["ann", "bob"], "item_id": [1, 2]}


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_table_stays_empty(kind: str, tmp_path: Path) -> None:
    table = as_kind(kind, columns_of([]), tmp_path)
    prepare = Prepare(
        **COLUMNS,
        dedup="last",
        activity=(0.1, 0.9),
        k_core=5,
        event_weights={"view": 1},
        weight_by="value",
        half_life="1d",
        normalize={"value": "zscore_by_user"},
        session_gap="30m",
    )
    assert rows_of(prepare.fit_transform(table)) == []
    assert (
        rows_of(
            prepare.transform(as_kind(kind, columns_of(rows_from([("ann", 1, 0, "view", 1.0)])), tmp_path))
        )
        == []
    )
    with pytest.raises(DataError, match=r"missing\['value'\]: the column holds no value"):
        Prepare(missing={"value": "mean"}).fit(table)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_nulls_is_left_empty(kind: str, tmp_path: Path) -> None:
    table = as_kind(kind, columns_of(rows_from([(None,) * 5] * 3)), tmp_path)
    prepare = Prepare(**COLUMNS, missing={"value": "drop"}, session_gap=60, k_core=1)
    assert rows_of(prepare.fit_transform(table)) == []
    assert [step.why for step in prepare.report if step.name == "missing"] == ["user_id is missing"]
    filled = Prepare(missing={"kind": "?", "user_id": "drop", "value": 1}).fit(table)
    assert rows_of(filled.transform(table)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_one_row(kind: str, tmp_path: Path) -> None:
    table = as_kind(kind, columns_of(rows_from([("ann", 1, 5, "buy", 2.0)])), tmp_path)
    prepare = Prepare(
        **COLUMNS,
        dedup="exact",
        activity=(0.0, 0.5),
        k_core=1,
        event_weights={"buy": 2},
        half_life=1,
        normalize={"value": "zscore"},
        session_gap=1,
    )
    (row,) = rows_of(prepare.fit_transform(table))
    assert (row["value"], row["weight"], row["session_id"]) == (0.0, 2.0, 0)


def test_columns_that_are_missing_repeated_or_in_the_way_are_named() -> None:
    with pytest.raises(
        DataError, match="column 'time': is not in the table; its columns are 'user_id', 'item_id'"
    ):
        Prepare(time="time").fit(PLAIN)
    with pytest.raises(DataError, match="column 'price': is not in the table"):
        Prepare(missing={"price": 0}).fit(PLAIN)
    repeated = pandas.DataFrame([[1, 2, 3, 4, 5]], columns=["user_id", "item_id", "user_id", "x", "x"])
    for table in (
        repeated,
        pyarrow.Table.from_arrays([pyarrow.array([1])] * 5, names=list(repeated.columns)),
    ):
        with pytest.raises(DataError, match="columns appear more than once: 'user_id', 'x'"):
            Prepare().fit(table)
    with pytest.raises(DataError, match="column 'weight': is in the table, and is to be made"):
        Prepare(weight_by="item_id2").fit({**PLAIN, "item_id2": [1, 2], "weight": [1, 2]})
    assert Prepare(weight_by="weight").fit_transform({**PLAIN, "weight": [3, 4]})["weight"].tolist() == [3, 4]
    with pytest.raises(DataError, match="column 'item_id': must have 2 rows like column 'user_id', got 1"):
        Prepare().fit({"user_id": [1, 2], "item_id": [1]})
    with pytest.raises(DataError, match="column 'more': must have 2 rows like others, got 1"):
        Prepare().fit_transform({**PLAIN, "more": [1]})
    with pytest.raises(TypeError, match="source: expected a pandas, polars or pyarrow table"):
        Prepare().fit(3)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "user_id",
            [1, "1"],
            "column 'user_id': 1 of 2 rows are not int, got '1' at row 1; it mixes int, str: cast it to one type",
        ),
        ("user_id", [1, 2**64], r"column 'user_id': 1 of 2 rows are outside the 64-bit integers"),
        (
            "user_id",
            [1.5, 2.0],
            "column 'user_id': holds float, and ids must be integers or strings",
        ),
        (
            "user_id",
            [True, False],
            "column 'user_id': holds bool, and ids must be integers or strings",
        ),
        (
            "user_id",
            [b"x", b"y"],
            "column 'user_id': holds bytes, and ids must be integers or strings",
        ),
        ("user_id", ["a", "\ud800"], "is not valid Unicode"),
        (
            "time",
            ["2024", "2025"],
            "column 'time': must hold numbers, got str; times are unix seconds or datetimes: parse text",
        ),
        ("time", [5, -1], "column 'time': 1 of 2 rows are negative"),
        ("time", [5.0, math.inf], "column 'time': 1 of 2 rows are null or not a finite"),
        ("kind", ["view", "buy"], "event_weights names 'view', but not 'buy'"),
        ("value", [1.0, math.inf], "column 'value': 1 of 2 rows are infinite, got .* at row 1"),
        ("value", [1.0, -1.0], r"column 'value': log1p needs numbers above -1, got -1\.0 at row 1"),
        (
            "value",
            [1.0, None],
            "column 'value': 1 of 2 rows are null at row 1; give missing=\\{'value': \"drop\"\\}",
        ),
        ("value", ["1", "2"], "column 'value': must hold numbers, got str"),
    ],
)
def test_values_that_cannot_be_used_are_named(column: str, values: list[Any], message: str) -> None:
    table: Any = {**PLAIN, "time": [1, 2], "kind": ["view", "view"], "value": [1.0, 2.0], column: values}
    prepare = Prepare(**COLUMNS, event_weights={"view": 1}, normalize={"value": "log1p"})
    with pytest.raises(DataError, match=message):
        prepare.fit(table)


def test_ids_of_many_types_are_kept_as_they_are() -> None:
    """Non-ASCII text, integers beyond float64, unsigned ones, categories, views of strings."""
    for ids in (
        ["дима", "zoë", "дима", "日本", "🙂"],
        [2**63 - 1, 2**63 - 2, 2**63 - 1, -(2**63), 0],
        [2**64 - 1, 2**64 - 2, 2**64 - 1, 0, 1],
    ):
        table = {"user_id": ids, "item_id": [1, 1, 2, 1, 1]}
        clean = Prepare(k_core=(2, 1)).fit_transform(table)
        assert clean["user_id"].tolist() == [ids[0], ids[2]] and clean["item_id"].tolist() == [1, 2]
    frame = pandas.DataFrame(
        {"user_id": pandas.Categorical(["b", "a", "b"]), "item_id": [1, 1, 2]}, index=[7, 7, 9]
    )
    clean = Prepare(k_core=(2, 1)).fit_transform(frame)
    assert clean.index.tolist() == [7, 9] and str(clean["user_id"].dtype) == "category"
    enum = polars.DataFrame({"user_id": ["b", "a", "b"], "item_id": [1, 1, 2]}).cast(
        {"user_id": polars.Enum(["a", "b"])}
    )
    assert Prepare(k_core=(2, 1)).fit_transform(enum).schema == enum.schema
    structured = np.array([(1, 5), (1, 6), (2, 5)], [("user_id", "u4"), ("item_id", "i8")])
    assert Prepare(k_core=(2, 1)).fit_transform(structured)["user_id"].dtype == np.uint32
    batch = pyarrow.record_batch({"user_id": [1, 1, 2], "item_id": [5, 6, 5]})
    assert Prepare(k_core=(2, 1)).fit_transform(batch).num_rows == 2


def test_integers_that_pandas_made_floats_are_integers_again(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"user_id": [1, None, 2], "item_id": [5.0, 5.0, None], "note": ["x", None, "y"]})
    clean = Prepare().fit_transform(frame)
    assert clean.to_dict("list") == {"user_id": [1], "item_id": [5], "note": ["x"]}
    assert [str(kind) for kind in clean.dtypes[:2]] == ["int64", "int64"]
    frame.to_parquet(tmp_path / "a.parquet")
    Prepare().fit(frame).transform_parquet(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert parquet.read_table(tmp_path / "b.parquet").schema.field("user_id").type == pyarrow.int64()


def test_times_of_any_zone_and_unit_are_the_same_moments() -> None:
    seconds = np.array([0, 1000, 1000, 9000])
    moments = [datetime.fromtimestamp(int(second), UTC) for second in seconds]
    tokyo = pandas.Series(moments).dt.tz_convert("Asia/Tokyo")
    forms: list[Any] = [
        seconds,
        seconds.astype(float),
        seconds.astype("datetime64[s]"),
        seconds.astype("datetime64[s]").astype("datetime64[ns]"),
        moments,
        tokyo,
        polars.Series(moments).dt.convert_time_zone("America/New_York"),
        pyarrow.array(moments, pyarrow.timestamp("us", "+05:30")),
    ]
    for times in forms:
        table = {"user_id": [1, 1, 1, 1], "item_id": [1, 1, 1, 1], "when": times}
        prepare = Prepare(time="when", dedup="exact", half_life=1000, session_gap=999)
        clean = prepare.fit_transform(table)
        assert clean["weight"].tolist() == [2.0**-9, 2.0**-8, 1.0]
        assert clean["session_id"].tolist() == [0, 1, 2]
    local = [datetime(2024, 3, 31, 1), datetime(2024, 3, 31, 4), None]
    table = {"user_id": [1, 1, 1], "item_id": [1, 2, 3], "when": local}
    assert Prepare(time="when", session_gap="2h").fit_transform(table)["session_id"].tolist() == [0, 1]


def test_columns_that_no_step_looks_at_are_left_alone() -> None:
    odd = [{"a": 1}, [1, 2], None, "x"]
    table = {"user_id": [1, 2, 1, 1], "item_id": [1, 1, 2, 3], "odd": odd, 5: [1, 2, 3, 4]}
    clean = Prepare(k_core=(2, 1)).fit_transform(table)
    assert clean["odd"].tolist() == [odd[0], odd[2], odd[3]] and clean[5].tolist() == [1, 3, 4]
    frame = pandas.DataFrame(table)
    clean = Prepare(k_core=(2, 1)).fit_transform(frame)
    assert clean["odd"].tolist() == [odd[0], odd[2], odd[3]] and list(clean.columns) == list(table)
    assert frame.equals(pandas.DataFrame(table)), "the caller's table has changed"


# --- Missing values ----------------------------------------------------------------------------------------


def test_an_error_policy_refuses_ids_too() -> None:
    table = {"user_id": ["ann", None, None], "item_id": [1, 2, None]}
    with pytest.raises(
        DataError,
        match="column 'user_id': 2 of 3 rows are null at row 1; give missing=\\{'user_id': \"drop\"\\}",
    ):
        Prepare(missing={"user_id": "error"}).fit(table)
    prepare = Prepare().fit(table)
    assert [(step.rows, step.why) for step in prepare.report] == [(3, "the table"), (1, "user_id is missing")]


@pytest.mark.parametrize("kind", ["dict", "pandas", "polars", "arrow"])
def test_fills_keep_the_kind_of_the_column(kind: str) -> None:
    arrow = pyarrow.table(
        {
            "user_id": [1, 2, 3],
            "item_id": [1, 2, 3],
            "text": ["a", None, "b"],
            "coded": pyarrow.array(["a", None, "b"]).dictionary_encode(),
            "flag": [True, None, False],
            "whole": pyarrow.array([1, None, 5], pyarrow.int32()),
            "real": pyarrow.array([1.0, None, float("nan")]),
        }
    )
    table = {
        "dict": lambda: {name: arrow[name] for name in arrow.column_names},
        "pandas": lambda: arrow.to_pandas(types_mapper=pandas.ArrowDtype),
        "polars": lambda: polars.from_arrow(arrow),
        "arrow": lambda: arrow,
    }[kind]()
    missing = {"text": "?", "coded": "mode", "flag": True, "whole": 7, "real": 0.5}
    rows = rows_of(Prepare(missing=missing).fit_transform(table))
    assert [row["text"] for row in rows] == ["a", "?", "b"]
    assert [row["coded"] for row in rows] == ["a", "a", "b"]
    assert [row["flag"] for row in rows] == [True, True, False]
    assert [row["whole"] for row in rows] == [1, 7, 5] and isinstance(rows[0]["whole"], int | np.integer)
    assert [row["real"] for row in rows] == [1.0, 0.5, 0.5]
    rows = rows_of(Prepare(missing={"whole": "mean"}).fit_transform(table))
    assert [row["whole"] for row in rows] == [1.0, 3.0, 5.0]
    for column, value in (("text", 5), ("flag", "x"), ("whole", "x"), ("real", True), ("coded", 1)):
        with pytest.raises(
            DataError, match=f"missing: column '{column}' holds .*, which {value!r} cannot fill"
        ):
            Prepare(missing={column: value}).fit(table)


@pytest.mark.parametrize("value", [0.5, 7, "?", True])
def test_a_column_of_gaps_alone_takes_the_type_of_what_fills_it(value: Any, tmp_path: Path) -> None:
    """As pandas has a column of text when all of a file's is missing: floats, or objects."""
    gaps: list[Any] = [
        [None, None],
        np.full(2, math.nan),
        pandas.Series([None, None], dtype=object),
        pandas.Series([math.nan, math.nan]),
        pandas.Series(pandas.Categorical([None, None], categories=["a"])),
        polars.Series([None, None], dtype=polars.String),
        polars.Series([None, math.nan]),
        pyarrow.nulls(2),
        pyarrow.nulls(2, pyarrow.bool_()),
    ]
    prepare = Prepare(missing={"x": value})
    for column in gaps:
        filled = prepare.fit_transform({**PLAIN, "x": column})["x"]
        assert filled.tolist() == [value, value], column
        assert prepare.transform({**PLAIN, "x": column})["x"].dtype == filled.dtype
    frame = prepare.fit_transform(pandas.DataFrame({**PLAIN, "x": [None, None]}))
    assert frame["x"].tolist() == [value, value]
    parquet.write_table(pyarrow.table({**PLAIN, "x": pyarrow.nulls(2)}), tmp_path / "a.parquet")
    prepare.fit_transform_parquet(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert parquet.read_table(tmp_path / "b.parquet")["x"].to_pylist() == [value, value]


def test_the_report_of_new_data_says_what_was_filled(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({**PLAIN, "x": [1, None]}), tmp_path / "a.parquet")
    prepare = Prepare(missing={"x": "mode"}).fit(tmp_path / "a.parquet")
    report = prepare.transform_parquet(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert report == prepare.report and report.steps[-1].why == "x by 1 where it is missing"


def test_a_statistic_of_what_is_no_number() -> None:
    with pytest.raises(DataError, match="column 'text': must hold numbers, got str"):
        Prepare(missing={"text": "median"}).fit({**PLAIN, "text": ["a", None]})
    with pytest.raises(DataError, match=r"missing\['odd'\]='mode'"):
        Prepare(missing={"odd": "mode"}).fit({**PLAIN, "odd": [1, "a"]})
    with pytest.raises(DataError, match=r"missing\['day'\]='mode': the column holds date"):
        days = pyarrow.array([None, 1], pyarrow.date32())
        Prepare(missing={"day": "mode"}).fit({**PLAIN, "day": days})


# --- What was learned --------------------------------------------------------------------------------------


def test_ids_that_the_fit_has_not_seen() -> None:
    old = {"user_id": [1, 1, 2, 2, 3], "item_id": ["a", "b", "a", "b", "c"]}
    new = {"user_id": [1, 3, 9, 9], "item_id": ["a", "a", "b", "z"]}
    assert Prepare(k_core=2).fit(old).transform(new)["user_id"].tolist() == [1]
    kept = Prepare(k_core=2, unknown="keep").fit(old).transform(new)
    assert list(zip(kept["user_id"].tolist(), kept["item_id"].tolist(), strict=True)) == [
        (1, "a"),
        (9, "b"),
        (9, "z"),
    ]
    assert Prepare().fit(old).transform(new)["user_id"].tolist() == new["user_id"]
    with pytest.raises(DataError, match="column 'user_id': holds strings, and held integers in fit; cast it"):
        Prepare(k_core=2).fit(old).transform({**new, "user_id": ["1", "3", "9", "9"]})


def test_parameters_count_at_the_next_fit() -> None:
    table = {"user_id": [1, 1, 2], "item_id": [1, 2, 1]}
    prepare = Prepare(k_core=(2, 1)).fit(table).set_params(k_core=None)
    assert len(prepare.transform(table)["user_id"]) == 2 and len(prepare.fit_transform(table)["user_id"]) == 3


def test_one_thread_equals_two() -> None:
    rng = np.random.default_rng(0)
    n = 200_000
    table = {
        "user_id": rng.integers(0, 3000, n),
        "item_id": rng.integers(0, 900, n),
        "time": rng.integers(0, 10**6, n),
    }
    made = [
        Prepare(time="time", dedup="last", k_core=20, session_gap=9999, n_threads=threads).fit_transform(
            table
        )
        for threads in (1, 2)
    ]
    assert all(np.array_equal(made[0][name], made[1][name]) for name in made[0])


def test_the_interactions_of_a_preparation() -> None:
    table = pandas.DataFrame(
        {
            "u": ["ann", "ann", "bob", "ann"],
            "i": [1, 2, 1, 1],
            "t": [10, 20, 30, 40],
            "s": [1.0, 2.0, 3.0, 4.0],
        }
    )
    prepare = Prepare(user="u", item="i", time="t", weight_by="s").fit(table)
    data = prepare.interactions(table, duplicates="last")
    assert data.matrix.toarray().tolist() == [[4.0, 2.0], [3.0, 0.0]] and data.times.tolist() == [
        40 * 10**9,
        20 * 10**9,
        30 * 10**9,
    ]
    plain = Prepare(user="u", item="i").fit(table).interactions(table)
    assert plain.matrix.toarray().tolist() == [[2.0, 1.0], [1.0, 0.0]] and plain.events.times is None


def test_weights_beyond_the_fit_follow_the_same_curve() -> None:
    old = {"user_id": [1], "item_id": [1], "time": [100]}
    prepare = Prepare(time="time", half_life=10).fit(old)
    new = prepare.transform({"user_id": [1, 1, 1], "item_id": [1, 1, 1], "time": [80, 100, 110]})
    assert new["weight"].tolist() == [0.25, 1.0, 2.0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"time": "user_id"},
            r"user, item, time, event_type: must be different columns, got \['user_id', 'item_id', 'user_id'\]",
        ),
        ({"half_life": 5}, "half_life: needs the column of times, got 5; give time="),
        ({"session_gap": 5}, "session_gap: needs the column of times, got 5; give time="),
        ({"event_weights": {"a": 1}}, "event_weights: needs the column of event types; give event_type="),
        ({"event_type": "e", "event_weights": {"a": "1"}}, r"event_weights\['a'\]: expected a number"),
        (
            {"event_type": "e", "event_weights": {"a": math.nan}},
            r"event_weights\['a'\]: expected a finite",
        ),
        ({"normalize": {"x": "robust"}}, r"normalize\['x'\]: must be one of 'zscore'"),
        (
            {"normalize": {"user_id": "zscore"}},
            "normalize, weight_by: must be columns of numbers, got 'user_id'",
        ),
        (
            {"missing": {"user_id": "?"}},
            r"missing\['user_id'\]: ids and times can be 'drop' or 'error' only",
        ),
        ({"missing": {"x": [1]}}, r"missing\['x'\]: expected 'drop'"),
        ({"missing": {"x": math.inf}}, r"missing\['x'\]: expected a finite number"),
        ({"dedup": "all"}, "dedup: must be one of 'exact', 'first', 'last', got 'all'"),
        ({"activity": 0.5}, "activity: expected two quantiles"),
        ({"activity": (0.9, 0.1)}, "activity: expected quantiles with 0 <= low < high <= 1"),
        ({"k_core": -1}, "k_core: must be at least 0, got -1"),
        (
            {"time": "t", "half_life": "3 months"},
            "half_life: expected seconds above 0, or text such as .* got '3 months'",
        ),
        ({"time": "t", "session_gap": 0}, "session_gap: expected seconds above 0, .* got 0"),
        ({"unknown": "maybe"}, "unknown: must be one of 'drop', 'keep', got 'maybe'"),
        ({"n_threads": 0}, "n_threads: must be at least 1, got 0"),
    ],
)
def test_parameters_that_make_no_sense_are_named(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prepare(**params).fit(PLAIN)


def test_types_of_parameters() -> None:
    with pytest.raises(TypeError, match="user: expected the name of a column, got 5"):
        Prepare(user=5).fit(PLAIN)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"k_core: expected an integer, got 2\.5"):
        Prepare(k_core=2.5).fit(PLAIN)  # type: ignore[arg-type]
    with pytest.raises(NotFittedError, match=r"Prepare: is not fitted; call fit\(source\) first"):
        Prepare().transform(PLAIN)


# --- Files -------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    table = {"u": ["ann", "ann", "bob"], "item_id": [1, 2, 1], "v": [1.0, 2.0, None], "e": [1, 2, 1]}
    prepare = Prepare(
        user="u",
        event_type="e",
        k_core=(2, 1),
        missing={"v": "median"},
        normalize={"v": "zscore_by_user"},
        event_weights={1: 2.0, 2: None},
        activity=(0.0, 1.0),
    )
    prepare.set_params(event_weights={1: 2.0, 2: 1.0}).fit(table).save(tmp_path / "p")
    return tmp_path / "p"


def test_a_saved_preparation_comes_back_whole(saved: Path) -> None:
    loaded = Prepare.load(saved)
    assert (
        loaded.event_weights == {1: 2.0, 2: 1.0} and loaded.k_core == (2, 1) and loaded.activity == (0.0, 1.0)
    )
    new = loaded.transform({"u": ["ann", "cat"], "item_id": [1, 1], "v": [2.0, None], "e": [1, 2]})
    assert {name: values.tolist() for name, values in new.items()} == {
        "u": ["ann"], "item_id": [1], "v": [1.0], "e": [1], "weight": [2.0],
    }  # fmt: skip
    loaded.save(saved)
    with pytest.raises(FileExistsError, match="exists and is no saved preparation"):
        loaded.save(saved.parent)


def test_damaged_files_are_refused(saved: Path) -> None:
    import json

    index = saved / "preparation.json"
    good = index.read_text()
    for key in json.loads(good):
        for bad in (None, [], {}, "x", -1, {"x": 1}):
            broken = {**json.loads(good), key: bad}
            index.write_text(json.dumps(broken))
            if (
                key in ("saved",)
                or (key == "latest" and bad in (None, -1))
                or (key == "fills" and bad in ({}, {"x": 1}))
            ):
                continue
            if key == "ferrec" and bad == "x":
                continue
            with pytest.raises(ModelFileError):
                Prepare.load(saved)
    for bad_text in ("", "{", "[]", "null"):
        index.write_text(bad_text)
        with pytest.raises(ModelFileError):
            Prepare.load(saved)
    index.write_text(good)
    for file in saved.glob("*.npy"):
        whole = file.read_bytes()
        for part in (b"", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"x" * len(whole)):
            file.write_bytes(part)
            with pytest.raises(ModelFileError, match=file.name):
                Prepare.load(saved)
        file.unlink()
        with pytest.raises(ModelFileError, match=f"{file.name}: is missing"):
            Prepare.load(saved)
        file.write_bytes(whole)
    Prepare.load(saved)
    index.unlink()
    with pytest.raises(ModelFileError, match=r"preparation\.json is missing"):
        Prepare.load(saved)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        Prepare.load(saved / "nothing")


def test_a_preparation_lives_beside_its_model(tmp_path: Path) -> None:
    table = {"user_id": [1, 1, 2, 2], "item_id": [1, 2, 1, 2]}
    prepare = Prepare(k_core=2).fit(table)
    ferrec.Popularity().fit(prepare.interactions(table)).save(tmp_path / "model")
    prepare.save(tmp_path / "model" / "preparation")
    data = Prepare.load(tmp_path / "model" / "preparation").interactions(table)
    assert ferrec.load(tmp_path / "model").users == data.users


def test_parquet_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Prepare().fit(tmp_path / "nothing.parquet")
    (tmp_path / "bad.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match=r"bad\.parquet: cannot be read as Parquet"):
        Prepare().fit(tmp_path / "bad.parquet")
    twice = pyarrow.Table.from_arrays([pyarrow.array([1])] * 3, names=["user_id", "item_id", "user_id"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    for read in (Prepare().fit, ferrec.describe, ferrec.Interactions.from_parquet):
        with pytest.raises(DataError, match="columns appear more than once: 'user_id'"):
            read(tmp_path / "twice.parquet")
    (tmp_path / "twice.parquet").unlink()
    parquet.write_table(pyarrow.table(PLAIN), tmp_path / "good.parquet")
    prepare = Prepare().fit(tmp_path / "good.parquet")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        prepare.transform_parquet(tmp_path / "good.parquet", tmp_path / "none" / "x.parquet")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.parquet", "good.parquet"]


def test_folders_and_partitions(tmp_path: Path) -> None:
    for day, users in (("2024-01-01", [1, 1]), ("2024-01-02", [1, 2])):
        (tmp_path / f"day={day}").mkdir()
        parquet.write_table(
            pyarrow.table({"user_id": users, "item_id": [5, 6]}), tmp_path / f"day={day}" / "a.parquet"
        )
    report = Prepare(dedup="first").fit_transform_parquet(tmp_path, tmp_path / "_clean.parquet")
    assert report.steps[-1].rows == 3
    clean = parquet.read_table(tmp_path / "_clean.parquet", partitioning=None).to_pylist()
    assert [row["day"] for row in clean] == ["2024-01-01", "2024-01-01", "2024-01-02"]


def test_files_of_a_folder_may_lack_columns(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({**PLAIN, "note": ["x", "y"]}), tmp_path / "1.parquet")
    parquet.write_table(pyarrow.table(PLAIN), tmp_path / "2.parquet")
    report = Prepare(missing={"note": "?"}).fit_transform_parquet(tmp_path, tmp_path / "_clean.parquet")
    assert report.steps[-1].rows == 4
    assert parquet.read_table(tmp_path / "_clean.parquet")["note"].to_pylist() == ["x", "y", "?", "?"]


STREAM = """
import resource, sys
from ferrec import Prepare
prepare = Prepare(time="time", dedup="exact", k_core=2, session_gap="1h")
prepare.fit_transform_parquet(sys.argv[1], sys.argv[2])  # a small one, to load everything
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prepare.fit_transform_parquet(sys.argv[3], sys.argv[4])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_memory_of_a_stream_does_not_grow_with_the_other_columns(tmp_path: Path) -> None:
    """Row groups of a million rows by 60 columns, which would be 480 MB."""
    rng = np.random.default_rng(0)
    n = 1_000_000
    keys = {
        "user_id": rng.integers(0, 50_000, n),
        "item_id": rng.integers(0, 10_000, n),
        "time": rng.integers(0, 10**7, n),
    }
    other = {f"column {at}": np.full(n, float(at)) for at in range(57)}
    parquet.write_table(pyarrow.table({**keys, **other}), tmp_path / "wide.parquet", row_group_size=n)
    parquet.write_table(pyarrow.table({**keys, **other}).slice(0, 1000), tmp_path / "small.parquet")
    files = [tmp_path / name for name in ("small.parquet", "a.parquet", "wide.parquet", "b.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", STREAM, *map(str, files)], capture_output=True, text=True, timeout=HANGS
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300e6
    assert 0 < parquet.ParquetFile(tmp_path / "b.parquet").metadata.num_rows <= n


# --- Ten million rows ----------------------------------------------------------------------------------------


def test_ten_million_rows_beside_numpy() -> None:
    """The row filters on a log of real size: exact repeats, gaps, a robot, and a 5-core of a thin tail."""
    n, rng = 10_000_000, np.random.default_rng(0)
    users = (rng.pareto(1.1, n) * 20).astype(np.int64) % 1_000_000
    items = (rng.pareto(1.0, n) * 10).astype(np.int64) % 200_000
    users[: n // 100] = 7
    seconds = rng.integers(0, 400 * 86_400, n)
    users[-1000:], items[-1000:], seconds[-1000:] = users[:1000], items[:1000], seconds[:1000]
    value = np.where(rng.random(n) < 0.01, np.nan, 1.0)
    table = {"user_id": users, "item_id": items, "time": seconds, "value": value}
    params: Any = {"missing": {"value": "drop"}, "dedup": "last", "activity": (0.0, 0.9999), "k_core": 5}
    clean = Prepare(time="time", **params).fit_transform(table)

    there = np.flatnonzero(~np.isnan(value))
    pair = users[there] * 200_000 + items[there]
    order = np.lexsort((there, seconds[there], pair))
    last = np.append(pair[order][1:] != pair[order][:-1], True)
    kept = np.sort(there[order[last]])
    counts = np.bincount(users[kept])
    kept = kept[counts[users[kept]] <= np.quantile(counts[counts > 0], 0.9999)]
    while True:
        few_users, few_items = (np.bincount(codes[kept], minlength=1_000_000) < 5 for codes in (users, items))
        stays = ~(few_users[users[kept]] | few_items[items[kept]])
        if stays.all():
            break
        kept = kept[stays]
    assert 100_000 < len(kept) < n
    np.testing.assert_array_equal(clean["user_id"], users[kept])
    np.testing.assert_array_equal(clean["item_id"], items[kept])
    np.testing.assert_array_equal(clean["time"], seconds[kept])
