"""Item and user tables against dictionaries; every library, hostile columns, and what carries them along."""

import pickle
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ferrec import split
from ferrec.data.attributes import Categories, Columns, Lists, Numbers
from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions
from ferrec.errors import DataError, MissingExtraError, UnknownIdError
from ferrec.io import tables

IDS = ["tea", "cocoa", "milk"]
DATA = Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"], times=[10, 20, 30])
TABLE = {
    "item_id": IDS,
    "price": [3.5, None, 1.0],
    "stock": [3, 4, None],
    "fair": [True, False, None],
    "title": ["Green Tea", None, "Milk"],
    "genres": ["hot|green", "", None],
    "tags": [["a", "b", "a"], [], None],
    "made": [datetime(2024, 1, 2, tzinfo=UTC), datetime(1960, 1, 1, tzinfo=UTC), None],
}
EXPECTED = {  # in the order of the ids: cocoa, milk, tea
    "price": [None, 1.0, 3.5],
    "stock": [4.0, None, 3.0],
    "fair": [0.0, None, 1.0],
    "title": [None, "Milk", "Green Tea"],
    "genres": [[], None, ["hot", "green"]],
    "tags": [[], None, ["a", "b", "a"]],
    "made": [-315619200.0, None, 1704153600.0],
}


def every_table(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    import pyarrow.csv
    import pyarrow.parquet

    arrow = pa.table(TABLE)
    pyarrow.parquet.write_table(arrow, tmp_path / "items.parquet")
    pyarrow.csv.write_csv(arrow.set_column(6, "tags", pa.array(["a;b;a", ";", None])), tmp_path / "items.csv")
    encoded = arrow.set_column(4, "title", arrow["title"].dictionary_encode())
    yield from {
        "dict": TABLE,
        "pandas": pd.DataFrame(TABLE),
        "pandas-arrow": arrow.to_pandas(types_mapper=pd.ArrowDtype),
        "polars": pl.DataFrame(TABLE),
        "lazy": pl.DataFrame(TABLE).lazy(),
        "arrow": arrow,
        "dictionary": encoded,
        "sliced": pa.concat_tables([arrow.slice(1), arrow.slice(0, 1)]),
        "parquet": tmp_path / "items.parquet",
        "csv": tmp_path / "items.csv",
    }.items()


def test_the_same_from_every_table(tmp_path):
    for name, table in every_table(tmp_path):
        separators = {"genres": "|"} | ({"tags": ";"} if name == "csv" else {})
        data = DATA.with_items(table, separators=separators)
        assert data.items.values.tolist() == sorted(IDS)
        found = {column: data.item_table[column].tolist() for column in data.item_table}
        # An empty field of CSV is null.
        assert found == EXPECTED | ({"genres": [None, *EXPECTED["genres"][1:]]} if name == "csv" else {}), (
            name
        )
        for column in data.item_table.values():
            assert column.missing.tolist() == [value is None for value in column.tolist()]


def test_without_pyarrow(monkeypatch):
    def missing(module, extra):
        raise MissingExtraError(module)

    monkeypatch.setattr(tables, "require", missing)
    data = DATA.with_items(TABLE, separators={"genres": "|"})
    assert {name: column.tolist() for name, column in data.item_table.items()} == EXPECTED
    structured = np.array([("tea", 1.5)], [("item_id", "U3"), ("price", "f4")])
    column = DATA.with_items(structured, extend=False).item_table["price"]
    assert column.values.dtype == np.float32
    assert column.tolist() == [None, 1.5]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12),
    st.dictionaries(st.integers(0, 12), st.one_of(st.none(), st.integers(0, 5)), max_size=8),
    st.booleans(),
    st.booleans(),
)
def test_rows_find_their_ids(events, table, extend, users_too):
    users, items = [user for user, _ in events], [item for _, item in events]
    data = Interactions.from_arrays(np.array(users, int), np.array(items, int), times=np.arange(len(events)))
    rows = {"item_id": list(table), "size": list(table.values())}
    more = data.with_items(rows, extend=extend)
    if users_too:
        more = more.with_users(rows, user="item_id", extend=extend)
        assert more.users.values.tolist() == sorted({*users, *(table if extend else [])})
    expected = sorted({*items, *(table if extend else [])})
    assert more.items.values.tolist() == expected
    assert more.item_table["size"].tolist() == [table.get(item) for item in expected]
    # Codes may have moved, but not what they mean.
    anew = Interactions(more.users, more.items, more.events)
    assert (more.matrix != anew.matrix).nnz == 0
    assert np.array_equal(more.times, anew.times)
    assert more.users.decode(more.events.users).tolist() == users
    assert more.items.decode(more.events.items).tolist() == items


@pytest.mark.parametrize("kind", ["numbers", "categories", "lists"])
@given(at=st.lists(st.integers(-1, 3), max_size=8))
@settings(max_examples=30)
def test_take(kind, at):
    ids = Ids.from_values(["x", "y"])
    column = {
        "numbers": Numbers(np.array([1, np.nan, 3, 4], np.float32)),
        "categories": Categories(np.array([1, -1, 0, 0], np.int32), ids),
        "lists": Lists(
            np.array([0, 2, 2, 2, 3]),
            np.array([1, 0, 1], np.int32),
            ids,
            np.array([False, True, False, False]),
        ),
    }[kind]
    values = [*column.tolist(), None]
    taken = column.take(np.array(at, int))
    assert taken.tolist() == [values[i] for i in at]
    assert len(taken) == len(at)
    if kind != "numbers":
        dense = [[(taken.tolist()[i] or []).count(key) for key in "xy"] for i in range(len(at))]
        assert taken.to_csr().toarray().tolist() == dense


def test_whatever_keeps_ids_keeps_tables():
    users = {"user_id": [1, 2, 3], "age": [30, 40, 50]}
    data = DATA.with_items(TABLE, separators={"genres": "|"}).with_users(users)
    assert repr(data).endswith("users with age, items with price, stock, fair, title, genres, tags, made)")
    parts = [data.select(data.events.items == 2), pickle.loads(pickle.dumps(data))]
    parts += [*split.random(data, 0.3), *split.by_time(data, cutoff=30), *split.leave_last_out(data)]
    parts += [part for fold in split.k_fold(data, 2) for part in fold]
    for part in parts:
        assert part.users == data.users
        assert part.items == data.items
        assert part.user_table["age"].tolist() == [30, 40, 50]
        assert part.item_table["title"].tolist() == EXPECTED["title"]


def test_tables_add_up_and_extend_each_other():
    one = DATA.with_items({"item_id": ["tea"], "price": [1.0]})
    two = one.with_items({"item_id": ["soup", "tea"], "size": [2, 3]})
    assert two.items.values.tolist() == ["milk", "soup", "tea"]
    assert two.item_table["price"].tolist() == [None, None, 1.0]
    assert two.item_table["size"].tolist() == [None, 2.0, 3.0]
    assert one.item_table.n_rows == 2
    assert "size" not in one.item_table
    with pytest.raises(DataError, match="column 'price': is there already; rename it or leave it out"):
        two.with_items({"item_id": ["tea"], "price": [1.0]})


def test_from_csr_keeps_its_entries():
    matrix = sparse.csr_array(np.array([[0, 2, 1], [1, 0, 0]], np.float32))
    data = Interactions.from_csr(matrix).with_items({"item_id": [7, -3], "size": [1, 2]})
    assert data.items.values.tolist() == [-3, 0, 1, 2, 7]
    assert data.matrix.toarray().tolist() == [[0, 0, 2, 1, 0], [0, 1, 0, 0, 0]]
    assert data.events.items.tolist() == [2, 3, 1]
    same = Interactions.from_csr(matrix).with_items({"item_id": [0]})
    assert same.n_items == 3
    assert not same.item_table


def test_ids_of_mixed_widths():
    data = Interactions.from_arrays([1], np.array([2**63], np.uint64))
    wide = data.with_items({"item_id": np.array([5], np.int64)})
    assert wide.items.values.tolist() == [5, 2**63]
    assert wide.items.decode(wide.events.items).tolist() == [2**63]


def test_integers_that_are_names():
    table = {"item_id": IDS, "brand": [70, 5, 70], "price": [1, 2, 3]}
    data = DATA.with_items(table, categories=["brand"], columns=["brand"])
    assert list(data.item_table) == ["brand"]
    assert data.item_table["brand"].tolist() == [5, 70, 70]
    assert data.item_table["brand"].ids.values.tolist() == [5, 70]


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (
            {"item_id": ["tea", "tea", "milk"]},
            {},
            "column 'item_id': 1 of 2 ids have more than one row, the first 'tea'; keep one row for each",
        ),
        ({"item_id": ["tea", None]}, {}, "1 of 2 rows are null"),
        ({"item_id": [1, 2]}, {}, "ids are integers here and strings in the events"),
        ({"item": ["tea"]}, {}, "column 'item_id': is not in the table; its columns are 'item'"),
        ({"item_id": ["tea"], "x": [1, 2]}, {}, "1 rows and column 'x' has 2"),
        (
            {"item_id": ["tea"], "x": [np.inf]},
            {},
            "column 'x': must be finite or null, got inf at row 0",
        ),
        ({"item_id": ["tea"], "x": [b"raw"]}, {}, "column 'x': must hold numbers, got bytes"),
        (
            {"item_id": ["tea"], "x": [{}]},
            {},
            "column 'x': must hold numbers, it holds dict",
        ),
        ({"item_id": IDS, "x": ["a", 1, None]}, {}, "column 'x', nulls left out: 1 of 2 rows are not"),
        (
            {"item_id": IDS, "x": [["a"], 1, None]},
            {},
            "column 'x', nulls left out: must hold numbers, it holds int, list",
        ),
        (
            {"item_id": ["tea"], "x": [[1.5]]},
            {},
            "the values in the lists of column 'x': holds float, and ids must be integers or strings",
        ),
        ({"item_id": ["tea"], "x": [["a", None]]}, {}, "the values in the lists of column 'x': 1 of 2"),
        (
            {"item_id": ["tea"], "x": [1]},
            {"separators": {"x": "|"}},
            "column 'x': only text can be split, got int64",
        ),
        (
            {"item_id": ["tea"], "x": [1.5]},
            {"categories": ["x"]},
            "column 'x': holds float, and ids must be integers or strings; cast it to one of them",
        ),
        ({"item_id": ["tea"]}, {"columns": ["x"]}, "column 'x': is not in the table"),
    ],
)
def test_tables_that_are_refused(table, options, message):
    with pytest.raises(DataError, match=message):
        DATA.with_items(table, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": "price"}, TypeError, "columns: expected a list"),
        ({"categories": "price"}, TypeError, "categories: expected a list"),
        ({"separators": {"title": ""}}, ValueError, "column 'title' needs a separator"),
        (
            {"columns": ["price"], "separators": {"genres": "|"}},
            ValueError,
            r"columns: must not leave out 'genres', which is named beside it, got \['price'\]",
        ),
    ],
)
def test_options_that_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        DATA.with_items(TABLE, **options)


def test_paths_that_hold_nothing(tmp_path):
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(FileNotFoundError):
            DATA.with_items(tmp_path / name)
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"bad\.parquet: cannot be read as Parquet"):
        DATA.with_items(tmp_path / "bad.parquet")
    (tmp_path / "items.csv").write_text("item_id;day;n\ntea;2024-01-01;1\nsoup;;2\n")
    data = DATA.with_items(tmp_path / "items.csv", delimiter=";", columns=["day"])
    assert data.item_table["day"].tolist() == [None, None, 1704067200.0]


def test_empty_and_all_missing():
    data = DATA.with_items({"item_id": [], "x": []})
    assert data.item_table["x"].tolist() == [None, None]
    nothing = {"item_id": ["tea"], "a": [None], "b": [None], "c": [None]}
    table = DATA.with_items(nothing, categories=["b"], separators={"c": " "}).item_table
    assert [type(column) for column in table.values()] == [Numbers, Categories, Lists]
    assert all(column.missing.all() for column in table.values())
    none = Interactions.from_arrays([], []).with_items(TABLE, columns=["price"])
    assert none.n_items == 3
    assert none.item_table["price"].tolist() == EXPECTED["price"]


def test_dates_and_numpy_types():
    table = {
        "item_id": IDS,
        "day": [date(1970, 1, 2), None, date(1969, 12, 31)],
        "at": np.array(["1970-01-01T00:00:05", "NaT", "1970-01-01"], "datetime64[ms]"),
        "half": np.array([1, 2, 3], np.float16),
        "whole": np.array([1, 2, 3], np.uint8),
    }
    columns = DATA.with_items(table).item_table
    assert columns["day"].tolist() == [None, -86400.0, 86400.0]
    assert columns["at"].tolist() == [None, 0.0, 5.0]
    assert columns["half"].values.dtype == np.float32
    assert columns["whole"].values.dtype == np.float64


def test_columns_check_their_parts():
    ids = Ids.from_values(["a"])
    for make, message in (
        (lambda: Numbers(np.array([1])), "must be 1-d float32 or float64"),
        (lambda: Numbers(np.array([np.inf])), "numbers: must be finite or NaN, got inf at row 0"),
        (lambda: Categories(np.array([1], np.int32), ids), r"codes: must be in 0..1, got \(1, 1\)"),
        (lambda: Categories(np.array([0]), ids), "must be 1-d int32"),
        (
            lambda: Lists(np.array([0, 1]), np.array([-1], np.int32), ids, np.array([False])),
            r"codes: must be in 0..1, got \(-1, -1\)",
        ),
        (
            lambda: Lists(np.array([0, 1]), np.array([0], np.int32), ids, np.array([True])),
            "a row that is missing must have no values at row 0",
        ),
        (lambda: Lists(np.array([0]), np.array([0], np.int32), ids, np.array([False])), "indptr: must be"),
        (lambda: Lists(np.array([0, 2]), np.array([0], np.int32), ids, np.array([False])), "ascend"),
        (lambda: Columns(2, {"x": Numbers(np.ones(1))}), "column 'x': must have 2 rows, got 1"),
        (lambda: Interactions(ids, ids, DATA.events, item_table=Columns(2)), "item_table: must have 1 rows"),
    ):
        with pytest.raises(DataError, match=message):
            make()
    with pytest.raises(UnknownIdError, match="column 'y': is unknown, there are none"):
        Columns(0)["y"]
    assert Columns(0).get("y") is None


def test_nothing_can_be_written_to():
    prices = np.array([1.0, 2.0, 3.0])
    table = DATA.with_items({"item_id": IDS, "price": prices, "tags": [["a"], [], None]}).item_table
    prices[:] = 9
    assert table["price"].tolist() == [2.0, 3.0, 1.0]
    for array in (table["price"].values, table["tags"].codes, table["tags"].missing):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
