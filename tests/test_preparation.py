"""Every step of a preparation against loops over rows, on tables of every kind."""

import math
import random
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ferrec
from ferrec import DataError, ModelFileError, NotFittedError, Prepare

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

Row = dict[str, Any]
Table = dict[str, list[Any]]
COLUMNS = {"time": "time", "event": "kind"}


# --- The oracle: one row after another --------------------------------------------------------------------


def naive(rows: list[Row], fitted: list[Row] | None = None, **params: Any) -> list[Row]:
    """The rows that `Prepare(**params)` leaves of `rows`, fitted on them or on others."""
    fit_rows = rows if fitted is None else fitted
    missing = {"user_id": "drop", "item_id": "drop", "time": "drop", "kind": "drop", **params.get("missing", {})}
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
            left = [r for r in rows if len(items[r["user_id"]]) >= k_users and len(users[r["item_id"]]) >= k_items]
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


SCHEMA = {"user_id": "string", "item_id": "int64", "time": "int64", "kind": "string", "value": "float64", "row": "int64"}


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


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=100, deadline=None)
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


@settings(max_examples=40, deadline=None)
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
