"""Recommendations: the answer in the caller's ids, in every form that people want it."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

from ferrec import DataError, Ids, Recommendations, UnknownIdError
from ferrec.io.files import parquet_writer

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

ROWS = [
    ("bob", "tea", 3.0, 1),
    ("bob", "jam", 2.0, 2),
    ("ann", "milk", 5.0, 1),
    ("ann", "tea", 4.0, 2),
    ("ann", "jam", -1.0, 3),
]


def strings() -> Recommendations:
    """Two users with answers, and one between them without."""
    items = Ids.from_values(["jam", "milk", "tea"])
    queries = np.array(["bob", "çé", "ann"], dtype=object)
    scores = np.array([3, 2, 5, 4, -1], np.float32)
    return Recommendations(
        queries, items, np.array([0, 2, 2, 5]), np.array([2, 0, 1, 2, 0], np.int32), scores
    )


def integers(dtype: type[np.integer]) -> Recommendations:
    items = Ids.from_values(np.array([100, 120], dtype))
    indptr = np.array([0, 1, 3])
    return Recommendations(
        np.array([9, 7], dtype), items, indptr, [1, 0, 1], np.array([1, 2, 1.5], np.float32)
    )


def test_access() -> None:
    recs = strings()
    assert len(recs) == 3
    assert recs["bob"] == [("tea", 3.0), ("jam", 2.0)]
    assert recs["çé"] == []
    assert "ann" in recs and "eve" not in recs
    assert list(recs) == [(name, recs[name]) for name in ("bob", "çé", "ann")]
    assert recs.to_lists() == {"bob": ["tea", "jam"], "çé": [], "ann": ["milk", "tea", "jam"]}
    assert recs.ranks.tolist() == [1, 2, 1, 2, 3]
    with pytest.raises(
        UnknownIdError, match="query: must be among the 3 queries, got 'eve'; the first is 'bob'"
    ):
        recs["eve"]
    with pytest.raises(KeyError):
        recs[7]


def test_access_by_any_integer_type() -> None:
    recs = integers(np.int32)
    assert recs[9] == recs[np.int64(9)] == recs[np.uint8(9)] == [(120, 1.0)]
    assert type(recs[9][0][0]) is int and type(recs[9][0][1]) is float


def test_iteration_crosses_blocks() -> None:
    n = 10_000
    items = Ids.from_values(np.arange(5))
    recs = Recommendations(np.arange(n), items, np.arange(n + 1), np.arange(n) % 5, np.ones(n))
    assert [(query, answers[0][0]) for query, answers in recs] == [(q, q % 5) for q in range(n)]


def test_a_query_asked_twice() -> None:
    recs = Recommendations(np.array([3, 3]), Ids.from_values([1]), [0, 1, 2], [0, 0], [2.0, 2.0])
    assert recs[3] == [(1, 2.0)] and len(recs) == 2 and len(list(recs)) == 2


def test_is_frozen() -> None:
    recs = strings()
    for name in ("queries", "indptr", "codes", "scores"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(recs, name)[:1] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        recs.codes = recs.codes  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(recs))
    assert list(again) == list(recs)


def test_repr() -> None:
    assert repr(strings()) == (
        "Recommendations(3 queries, 5 answers)\n"
        "  'bob': 'tea' 3, 'jam' 2\n"
        "  'çé': none\n"
        "  'ann': 'milk' 5, 'tea' 4, 'jam' -1"
    )
    n = 1_000
    many = Recommendations(np.arange(n), Ids.from_values([5]), np.arange(n + 1), np.zeros(n, int), np.ones(n))
    assert len(repr(many).splitlines()) == 7 and "1,000 queries" in repr(many)


def test_arrow() -> None:
    table = strings().to_arrow("who", "what")
    assert table.column_names == ["who", "what", "score", "rank"]
    assert table.schema.types == [
        pyarrow.large_string(),
        pyarrow.large_string(),
        pyarrow.float32(),
        pyarrow.int32(),
    ]
    assert [tuple(row.values()) for row in table.to_pylist()] == ROWS
    assert table.validate(full=True) is None


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint32, np.uint64])
def test_integer_ids_keep_their_type(dtype: type[np.integer]) -> None:
    recs = integers(dtype)
    table = recs.to_arrow()
    assert table.schema.types[:2] == [pyarrow.from_numpy_dtype(dtype)] * 2
    assert table["user_id"].to_pylist() == [9, 7, 7] and table["item_id"].to_pylist() == [120, 100, 120]
    polars = pytest.importorskip("polars")
    pandas = pytest.importorskip("pandas")
    frame = recs.to_pandas()
    assert frame.dtypes.tolist() == [np.dtype(dtype), np.dtype(dtype), np.dtype("f4"), np.dtype("i4")]
    assert polars.from_arrow(table).equals(recs.to_polars())
    assert isinstance(frame, pandas.DataFrame)


def test_pandas_and_polars() -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    frame, other = strings().to_pandas("who", "what"), strings().to_polars("who", "what")
    assert list(frame.columns) == other.columns == ["who", "what", "score", "rank"]
    assert list(frame.itertuples(index=False, name=None)) == other.rows() == ROWS


@pytest.mark.parametrize("to", ["to_arrow", "to_pandas", "to_polars"])
def test_empty_and_clashing_names(to: str) -> None:
    pytest.importorskip(to[3:] if to != "to_arrow" else "pyarrow")
    none = Recommendations(np.empty(0, np.int64), Ids.from_values(["a"]), [0], [], [])
    assert len(none) == 0 and len(getattr(none, to)()) == 0 and repr(none)
    with pytest.raises(ValueError, match="one name"):
        getattr(none, to)("same", "same")
    with pytest.raises(ValueError, match="one name"):
        getattr(none, to)("rank")


def test_csr_is_best_first() -> None:
    matrix = strings().to_csr()
    assert matrix.shape == (3, 3) and matrix.dtype == np.float32
    assert matrix.indices.tolist() == [2, 0, 1, 2, 0]
    assert matrix.toarray().tolist() == [[2, 0, 3], [0, 0, 0], [-1, 5, 4]]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "recs.parquet"
    path.write_text("older")
    strings().to_parquet(path, user="who", compression="snappy")
    assert parquet.read_table(path).equals(strings().to_arrow("who"))
    assert [file.name for file in tmp_path.iterdir()] == ["recs.parquet"]
    with pytest.raises(FileNotFoundError, match="no such folder"):
        strings().to_parquet(tmp_path / "nowhere" / "recs.parquet")
    with pytest.raises(IsADirectoryError):
        strings().to_parquet(tmp_path)


def test_an_interrupted_file_never_shows(tmp_path: Path) -> None:
    path = tmp_path / "recs.parquet"
    path.write_text("older")
    table = strings().to_arrow()
    with pytest.raises(KeyboardInterrupt), parquet_writer(path, table.schema) as writer:
        writer.write_table(table)
        assert len(list(tmp_path.iterdir())) == 2
        raise KeyboardInterrupt
    assert path.read_text() == "older"
    assert [file.name for file in tmp_path.iterdir()] == ["recs.parquet"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indptr": [0, 2, 5]}, "expected 4 offsets for 3 queries, got 3"),
        ({"indptr": [0, 2, 1, 5]}, "must ascend from 0"),
        ({"indptr": [1, 2, 2, 5]}, "must ascend from 0"),
        ({"indptr": [0, 2, 2, 4]}, "must ascend from 0 to the number of codes, 5"),
        ({"codes": [2, 0, 1, 2, 3]}, r"codes: must be in 0\.\.3, got \(0, 3\)"),
        ({"codes": [2, 0, 1, 2, -1]}, r"codes: must be in 0\.\.3, got \(-1, 2\)"),
        ({"codes": [2, 0, 1, 2, 2**32]}, "codes: some values do not fit int32"),
        ({"codes": [2.0, 0, 1, 2, 0]}, "codes: expected a flat array of int32"),
        ({"scores": [1.0]}, "scores: must have length 5 like codes, got 1"),
        ({"scores": ["a"] * 5}, "scores: expected a flat array of float32"),
    ],
)
def test_parts_that_do_not_fit(change: dict[str, list[object]], message: str) -> None:
    good = strings()
    parts = {field.name: getattr(good, field.name) for field in dataclasses.fields(good)}
    with pytest.raises(DataError, match=message):
        Recommendations(**{**parts, **change})


def test_other_tables_are_written_with_the_usual_settings(tmp_path):
    """What is said of users and items in `parquet_settings` is no business of a prepared log."""
    for names in (["at"], ["at", "kind", "note", "place"]):
        table = pyarrow.table({name: [at // 10 for at in range(100)] for name in names})
        with parquet_writer(tmp_path / "log.parquet", table.schema) as writer:
            writer.write_table(table)
        assert parquet.read_table(tmp_path / "log.parquet").equals(table)
        group = parquet.ParquetFile(tmp_path / "log.parquet").metadata.row_group(0)
        columns = [group.column(at) for at in range(len(names))]
        assert all("RLE_DICTIONARY" in one.encodings and one.is_stats_set for one in columns)
